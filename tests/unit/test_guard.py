"""Workflow code that reaches for what would not repeat is refused, with the line that did it."""

from __future__ import annotations

import asyncio
import datetime
import io
import logging
import pdb
import pickle
import random
import sys
from collections.abc import Callable

import pytest

from overwinter.runtime import guard
from overwinter.runtime.core.loop import DeterminismViolation, TimerHandle, WorkflowLoop
from tests.unit import guarded_names
from tests.unit.guarded_names import ALLOWED, REFUSED


class NoTimers:
    def start_timer(self, handle: TimerHandle, delay_s: float) -> None:
        raise AssertionError("no timer is expected")

    def cancel_timer(self, handle: TimerHandle) -> None:
        raise AssertionError("no timer is expected")


@pytest.fixture(autouse=True)
def guarded() -> None:
    guard.install()
    guard.guard_module(guarded_names.__name__)


def loop() -> WorkflowLoop:
    return WorkflowLoop(NoTimers(), None)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_what_would_not_repeat_is_refused_naming_the_line_and_works_outside(name: str) -> None:
    call = REFUSED[name]
    workflow_loop = loop()
    with workflow_loop, pytest.raises(DeterminismViolation) as refused:
        call()
    assert f"guarded_names.py:{call.__code__.co_firstlineno} " in str(refused.value)
    assert workflow_loop.violation is refused.value
    call()


@pytest.mark.parametrize("name", ALLOWED)
def test_what_repeats_is_allowed(name: str) -> None:
    workflow_loop = loop()
    with workflow_loop:
        ALLOWED[name]()
    assert workflow_loop.violation is None


def test_logging_printing_and_importing_are_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    workflow_loop = loop()
    sys.modules.pop("colorsys", None)
    with workflow_loop:
        logging.getLogger("farm").error("a log line reads the clock")
        print("a line")
        __import__("colorsys")
    assert workflow_loop.violation is None
    assert "a line" in capsys.readouterr().out


def test_a_violation_that_the_code_swallows_is_kept() -> None:
    workflow_loop = loop()
    with workflow_loop:
        try:
            random.random()
        except Exception:
            pass
    assert isinstance(workflow_loop.violation, DeterminismViolation)


def test_nothing_is_refused_where_the_author_has_lifted_the_guard() -> None:
    workflow_loop = loop()
    workflow_loop.unrestricted += 1
    with workflow_loop:
        for name in ("time.time", "open", "uuid4, by name"):
            REFUSED[name]()
    assert workflow_loop.violation is None


def test_the_guarded_class_is_still_the_same_class() -> None:
    class Later(datetime.datetime):
        pass

    now = datetime.datetime.now()
    assert type(now) is datetime.datetime
    assert pickle.loads(pickle.dumps(now)) == now  # noqa: S301 - our own bytes
    assert type(Later.now()) is Later
    assert datetime.datetime.now(datetime.UTC).tzinfo is datetime.UTC


@pytest.mark.parametrize("call", [input, breakpoint])
def test_a_person_is_not_asked(call: Callable[[], object]) -> None:
    workflow_loop = loop()
    workflow_loop.yields_within_s = 2.0
    with workflow_loop, pytest.raises(DeterminismViolation, match=f"builtins.{call.__name__} was"):
        call()


def test_a_debugger_is_let_in_where_turns_may_take_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("print(40 + 2)\ncontinue\n"))
    monkeypatch.setattr("sys.stdout", shown := io.StringIO())
    workflow_loop = loop()
    with workflow_loop:
        pdb.Pdb(nosigint=True).set_trace()
    assert workflow_loop.violation is None
    assert "42" in shown.getvalue()


def _leaves_the_loop() -> dict[str, Callable[[], object]]:
    return {
        "to_thread": lambda: asyncio.to_thread(int),
        "open_connection": lambda: asyncio.open_connection("127.0.0.1", 1),
        "start_server": lambda: asyncio.start_server(print, "127.0.0.1", 0),
        "subprocess": lambda: asyncio.create_subprocess_exec("true"),
    }


@pytest.mark.parametrize("name", _leaves_the_loop())
def test_asyncio_functions_that_leave_the_loop_are_refused(name: str) -> None:
    workflow_loop = loop()
    with workflow_loop:
        task = workflow_loop.create_task(_leaves_the_loop()[name]())  # type: ignore[arg-type]
        workflow_loop.drain()
    assert isinstance(task.exception(), DeterminismViolation)
    assert workflow_loop.violation is task.exception()


def test_coroutines_given_to_as_completed_begin_in_the_order_given() -> None:
    for _ in range(20):
        begun: list[int] = []

        async def step(number: int, begun: list[int] = begun) -> int:
            begun.append(number)
            return number

        async def run() -> list[int]:
            return [await done for done in asyncio.as_completed([step(number) for number in range(20)])]

        workflow_loop = loop()
        with workflow_loop:
            task = workflow_loop.create_task(run())
            workflow_loop.drain()
        assert task.result() == begun == list(range(20))
