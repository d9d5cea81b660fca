"""Rebuilding an execution's code from its history, and finding where code and history part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from typing import Protocol, TypeVar

from . import codec
from .code import Code
from .commands import Command, RecordPatch, StartTimer, identity
from .events import (
    COMMANDS,
    FOR_NO_CODE,
    HAPPENINGS,
    ActivationStarted,
    Body,
    Event,
    Happening,
    UpdateAccepted,
    event_name,
)
from .records import dataclass

Agreement = tuple[Event, Command]
"""A recorded command, and the same one as the code has given it."""


class HistoryDiverged(Exception):
    """The workflow's code asks for something else than its history recorded; no new effect was made.

    `recorded` and `replayed` are the two sides at the first difference; None where one has ended. `agreed` are both
    sides of the last command before it. Whoever replays with an eye on the code's lines sets where they are:
    `replayed_at`, or where the code waits, and `agreed_at`.
    """

    def __init__(self, activation: int, recorded: Event | None, replayed: Command | None) -> None:
        super().__init__(activation)
        self.activation = activation
        self.recorded = recorded
        self.replayed = replayed
        self.event = 1 if recorded is None else recorded.sequence
        """Whoever resets the execution to this event has its code asked anew where the two part."""
        self.agreed: Agreement | None = None
        self.replayed_at = ""
        self.agreed_at = ""

    def __str__(self) -> str:
        place = f" at {self.replayed_at}" if self.replayed_at else ""
        return f"{self.difference}{place}: {self.remedy}"

    @property
    def difference(self) -> str:
        """Both sides in one sentence."""
        return (
            f"in activation {self.activation} the history has {self.recorded_text}, "
            f"but the code now asks for {self.replayed_text}"
        )

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return "put the new code behind workflow.patched(), or bring back the code that it began with until it has ended"

    @property
    def recorded_text(self) -> str:
        """The history's side."""
        return "nothing more" if self.recorded is None else _event_text(self.recorded)

    @property
    def replayed_text(self) -> str:
        """The code's side."""
        return "nothing more" if self.replayed is None else _text(self.replayed)

    @property
    def agreed_text(self) -> str:
        """The last command on which both agree; empty when there is none."""
        return "" if self.agreed is None else _event_text(self.agreed[0])


def _event_text(event: Event) -> str:
    return f"{_text(event.body)} (event {event.sequence})"


def _text(body: Body) -> str:
    return f"{event_name(body)} {_subject(body)}".rstrip()


def _subject(body: Body) -> str:
    found = [repr(getattr(body, name)) for name in _SUBJECTS if getattr(body, name, "")]
    if isinstance(body, StartTimer):
        found.append(f"of {body.delay_us / 1_000_000:g} s")
    number = getattr(body, "id", None)
    return " ".join([*found, *([] if number is None else [f"(id {number})"])])


_SUBJECTS = ("activity_type", "workflow_type", "workflow_id", "name", "topic", "update_id", "patch_id")


_COMMANDS = frozenset[type[object]](COMMANDS)


@dataclass(slots=True)
class Activation:
    """What was handed over together, and what the code asked for in answer."""

    number: int
    at_us: int = 0
    given_until: int = 0
    """The sequence of the last event that it was given."""
    inputs: list[Happening] = field(default_factory=list[Happening])
    recorded: list[Event] = field(default_factory=list[Event])


def activations(history: Iterable[Event]) -> tuple[list[Activation], list[Happening]]:
    """Group a history into its activations; the second part is what still waits to be handed over."""
    done: list[Activation] = []
    waiting: list[Happening] = []
    current: Activation | None = None
    for event in history:
        sequence, number, at_us, body = event
        if number == 0:
            if isinstance(body, HAPPENINGS) and not isinstance(body, FOR_NO_CODE):
                waiting.append(body)
            continue
        if current is None or current.number != number:
            current = Activation(number, at_us)
            done.append(current)
        if type(body) in _COMMANDS:
            current.recorded.append(event)
        elif isinstance(body, ActivationStarted):
            current.inputs += waiting
            current.given_until = sequence
            waiting = []
        elif isinstance(body, HAPPENINGS):
            current.inputs.append(body)
            current.given_until = sequence
    return done, waiting


C = TypeVar("C", bound=Code)
C_contra = TypeVar("C_contra", bound=Code, contravariant=True)


class Matcher(Protocol[C_contra]):
    """How a history is laid beside the code that is replayed over it."""

    def step(self, instance: C_contra, activation: Activation) -> None:
        """Hand over what was handed over; the code has asked for what was recorded.

        Raises:
            HistoryDiverged: it has asked for something else.
            ActivationFailed: it raises.
        """
        ...


def replay(
    instance: C,
    history: Sequence[Event],
    opened: Callable[[Happening], Happening] | None = None,
    matcher: Matcher[C] | None = None,
) -> list[Happening]:
    """Bring a new instance to where its history ends; returns what still waits to be handed over.

    `opened` gives what the code is handed in the place of what was recorded, where payloads were sealed.

    Raises:
        HistoryDiverged: the code asks for something else than it did.
        ActivationFailed: the code raises where it did not.
    """
    done, waiting = activations(history)
    for _ in in_steps(instance, history, done, opened, matcher):
        pass
    return waiting


def in_steps(
    instance: C,
    history: Sequence[Event],
    done: Sequence[Activation],
    opened: Callable[[Happening], Happening] | None = None,
    matcher: Matcher[C] | None = None,
) -> Iterator[None]:
    """Replay the activations of a history one by one; raises as `replay`."""
    by: Matcher[C] = matcher or Exact()
    sizes = _Sizes(history)
    instance.begin_replay({event.body.patch_id for event in history if isinstance(event.body, RecordPatch)})
    for activation in done:
        updates = [body for body in activation.inputs if isinstance(body, UpdateAccepted)]
        instance.history_length = activation.given_until - len(updates)
        instance.history_bytes = _bytes_given(sizes, activation.given_until, updates)
        if opened is not None:
            activation.inputs = [opened(body) for body in activation.inputs]
        by.step(instance, activation)
        yield
    instance.replaying = False


def _bytes_given(sizes: _Sizes, given_until: int, updates: Sequence[Body]) -> Callable[[], int]:
    """Says what a history had when this was handed over. Few ask, and to know it the events are encoded again."""
    return lambda: sizes.up_to(given_until) - sum(map(size_of, updates))


def size_of(body: Body) -> int:
    """How many bytes an event has."""
    return len(codec.encode_body(body))


class _Sizes:
    """How many bytes a history had at each of its events."""

    def __init__(self, history: Sequence[Event]) -> None:
        self._history = history
        self._index = 0
        self._bytes = 0

    def up_to(self, sequence: int) -> int:
        history = self._history
        while self._index < len(history) and history[self._index].sequence <= sequence:
            self._bytes += size_of(history[self._index].body)
            self._index += 1
        return self._bytes


def diverged(
    activation: Activation, recorded: Event | None, replayed: Command | None, agreed: Agreement | None
) -> HistoryDiverged:
    """The error of a difference, with the last command before it."""
    error = HistoryDiverged(activation.number, recorded, replayed)
    error.event = activation.given_until if recorded is None else recorded.sequence
    error.agreed = agreed
    return error


class Exact:
    """A `Matcher` for histories of this very engine."""

    def __init__(self) -> None:
        self._agreed: Agreement | None = None

    def step(self, instance: Code, activation: Activation) -> None:
        """See `Matcher`."""
        asked = instance.activate(activation.at_us, activation.inputs)
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
                raise diverged(activation, was, now, self._agreed)
            self._agreed = (was, now)
