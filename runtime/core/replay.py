"""Rebuilding an execution's code from its history, and finding where code and history part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from . import codec
from .commands import Command, RecordPatch, identity
from .events import COMMANDS, FOR_NO_CODE, HAPPENINGS, ActivationStarted, Event, Happening, event_name
from .instance import Instance


class HistoryDiverged(Exception):
    """The workflow's code asks for something else than its history recorded; no new effect was made.

    `recorded` and `replayed` are the two sides at the first difference; None where one has ended.
    """

    def __init__(self, activation: int, recorded: Event | None, replayed: Command | None) -> None:
        self.activation = activation
        self.recorded = recorded
        self.replayed = replayed
        there = (
            "nothing more"
            if recorded is None
            else f"{event_name(recorded.body)} {_subject(recorded.body)} (event {recorded.sequence})"
        )
        here = "nothing more" if replayed is None else f"{event_name(replayed)} {_subject(replayed)}"
        super().__init__(
            f"in activation {activation} the history has {there}, but the code now asks for {here}: "
            "bring back the code that this execution began with, or let it end before its code changes"
        )


def _subject(body: object) -> str:
    for name in ("activity_type", "topic", "workflow_type"):
        if hasattr(body, name):
            return f"{getattr(body, name)!r} (id {getattr(body, 'id', '-')})"
    number = getattr(body, "id", None)
    return "" if number is None else f"(id {number})"


@dataclass(slots=True)
class _Activation:
    number: int
    at_us: int = 0
    given_until: int = 0
    """The sequence of the last event that it was given."""
    inputs: list[Happening] = field(default_factory=list[Happening])
    recorded: list[Event] = field(default_factory=list[Event])


def activations(history: Iterable[Event]) -> tuple[list[_Activation], list[Happening]]:
    """Group a history into its activations; the second part is what still waits to be handed over."""
    done: list[_Activation] = []
    waiting: list[Happening] = []
    current: _Activation | None = None
    for event in history:
        body = event.body
        if event.activation == 0:
            if isinstance(body, HAPPENINGS) and not isinstance(body, FOR_NO_CODE):
                waiting.append(body)
            continue
        if current is None or current.number != event.activation:
            current = _Activation(event.activation, event.at_us)
            done.append(current)
        if isinstance(body, ActivationStarted):
            current.inputs += waiting
            current.given_until = event.sequence
            waiting = []
        elif isinstance(body, COMMANDS):
            current.recorded.append(event)
        elif isinstance(body, HAPPENINGS):
            current.inputs.append(body)
            current.given_until = event.sequence
    return done, waiting


def replay(
    instance: Instance,
    history: Sequence[Event],
    opened: Callable[[Happening], Happening] | None = None,
) -> list[Happening]:
    """Bring a new instance to where its history ends; returns what still waits to be handed over.

    `opened` gives what the code is handed in the place of what was recorded, where payloads were sealed.

    Raises:
        HistoryDiverged: the code asks for something else than it did.
        ActivationFailed: the code raises where it did not.
    """
    done, waiting = activations(history)
    sizes = _Sizes(history)
    instance.replaying = True
    instance.patches.recorded = {
        event.body.patch_id for event in history if isinstance(event.body, RecordPatch)
    }
    for activation in done:
        instance.history_length = activation.given_until
        instance.history_bytes = sizes.up_to(activation.given_until)
        inputs = activation.inputs
        given = instance.activate(
            activation.at_us, inputs if opened is None else [opened(body) for body in inputs]
        )
        _compare(activation, given)
    instance.replaying = False
    return waiting


class _Sizes:
    """How many bytes a history had at each of its events."""

    def __init__(self, history: Sequence[Event]) -> None:
        self._history = history
        self._index = 0
        self._bytes = 0

    def up_to(self, sequence: int) -> int:
        while self._index < sequence:
            self._bytes += len(codec.encode_body(self._history[self._index].body))
            self._index += 1
        return self._bytes


def _compare(activation: _Activation, asked: Sequence[Command]) -> None:
    # Patches have no place of their own: a call may move, and a deprecated one may go.
    recorded = [event for event in activation.recorded if not isinstance(event.body, RecordPatch)]
    given = [command for command in asked if not isinstance(command, RecordPatch)]
    for index in range(max(len(recorded), len(given))):
        was = recorded[index] if index < len(recorded) else None
        now = given[index] if index < len(given) else None
        if (
            was is None
            or now is None
            or not isinstance(was.body, COMMANDS)
            or identity(was.body) != identity(now)
        ):
            raise HistoryDiverged(activation.number, was, now)
