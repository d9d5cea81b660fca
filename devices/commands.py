"""Durable commands: asked of a device until the device itself has answered.

A device has a topic of its own, say ``farm/valve-north``. It takes commands on ``<topic>/command`` as JSON
``{"id", "name", "payload"}`` and answers on ``<topic>/answer`` with ``{"id", "ok": true, "result"}`` or
``{"id", "ok": false, "error"}``. The id is the same each time a command is repeated: a device that has seen it
answers again and does nothing. The gateway hands the answer to the execution that asked, by the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

from overwinter.runtime import messages, workflow
from overwinter.runtime.exceptions import ApplicationError

ANSWER_SIGNAL: Final = "__overwinter_answer"
"""The signal by which the gateway hands over a device's answer."""
_REPEATS: Final = 3


class _Commands:
    """The commands of one execution: how many it gave, and the answers that came."""

    def __init__(self) -> None:
        self.count = 0
        self.waiting: set[int] = set()
        self.answers: dict[int, Mapping[str, Any]] = {}

    def take(self, answer: dict[str, Any]) -> None:
        """Keep an answer that someone waits for; a repeat, or one that came too late, stays in the history only."""
        _, number = parse_id(str(answer["id"]))
        if number in self.waiting:
            self.answers[number] = answer


async def command(
    device: str,
    name: str,
    payload: Mapping[str, Any] | None = None,
    *,
    timeout: timedelta,
    expires: timedelta | None = None,
) -> Any:
    """Ask a device to do something, and return what it answers. For workflow code.

    The command is published at once and, while there is no answer, three more times within `timeout`. One that could
    not be delivered within `expires` (by default `timeout`) is dropped on its way, so that it does not reach the device
    when nobody expects it any more.

    Raises:
        TimeoutError: no answer came within `timeout`. Whether the device has acted is not known.
        ApplicationError: of type ``CommandRejected``; the device answered that it will not.
    """
    commands = _of_this_execution()
    commands.count += 1
    number = commands.count
    request = {"id": command_id(number), "name": name, "payload": dict(payload or {})}
    commands.waiting.add(number)
    try:
        for _ in range(1 + _REPEATS):
            messages.publish(f"{device}/command", request, expires=expires or timeout)
            try:
                await workflow.wait_condition(
                    lambda: number in commands.answers,
                    timeout=timeout / (1 + _REPEATS),
                    timeout_summary=f"{device} answers {name}",
                )
            except TimeoutError:
                continue
            return _result(device, name, commands.answers.pop(number))
    finally:
        commands.waiting.discard(number)
    raise TimeoutError(f"{device} has not answered {name!r} within {timeout}")


def _of_this_execution() -> _Commands:
    handler = workflow.get_signal_handler(ANSWER_SIGNAL)
    if handler is None:
        commands = _Commands()
        workflow.set_signal_handler(ANSWER_SIGNAL, commands.take)
        return commands
    owner = getattr(handler, "__self__", None)
    assert isinstance(owner, _Commands)
    return owner


def _result(device: str, name: str, answer: Mapping[str, Any]) -> Any:
    if answer.get("ok") is True:
        return answer.get("result")
    raise ApplicationError(
        f"{device} rejected {name!r}: {answer.get('error')}",
        dict(answer),
        type="CommandRejected",
        non_retryable=True,
    )


def command_id(number: int) -> str:
    """The id of the running execution's command of this number."""
    info = workflow.info()
    return f"{number}/{info.run_id}/{info.workflow_id}"


class AnswerRefused(ValueError):
    """What came is no answer to a command."""


def parse_id(text: str) -> tuple[tuple[str, str], int]:
    """The workflow id and run id that a command's id names, and the command's number.

    Raises:
        AnswerRefused: it is no such id.
    """
    number, slash, rest = text.partition("/")
    run_id, second_slash, workflow_id = rest.partition("/")
    if not (slash and second_slash and number.isascii() and number.isdigit() and run_id and workflow_id):
        raise AnswerRefused(
            f"id {text[:80]!r} is not the id of a command: answer with the id that the command had"
        )
    return (workflow_id, run_id), int(number)


def check_answer(answer: object) -> dict[str, Any]:
    """The answer, when it has the form of one.

    Raises:
        AnswerRefused: what was found, and what was expected.
    """
    if not isinstance(answer, dict):
        raise AnswerRefused(f"an answer is a JSON object with id and ok, found {type(answer).__name__}")
    found = cast("dict[str, Any]", answer)
    if not isinstance(found.get("id"), str) or not isinstance(found.get("ok"), bool):
        raise AnswerRefused('an answer has "id" (text) and "ok" (true or false)')
    parse_id(found["id"])
    return found
