"""An open execution in memory: its state, its code when it is loaded, and what waits to be handed to it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from .core import codec, replay
from .core.code import Code
from .core.commands import Command
from .core.events import (
    NOTES,
    ActivationStarted,
    Body,
    Event,
    Happening,
    UpdateAccepted,
    UpdateAdmitted,
    WorkflowStarted,
)
from .core.instance import ActivationFailed, RejectedUpdate
from .core.records import dataclass
from .core.replay import HistoryDiverged
from .core.state import ExecutionState, chain_due_us
from .ports import HOT, AttemptRecord, Batch, Blocked, EventRecord, ExecutionRecord, History, Receipt

if TYPE_CHECKING:
    from .task_queues import ServingWorker
    from .transit import InTransit

H = TypeVar("H", bound=Happening)

_RUNTIME = str(Path(__file__).resolve().parent)


@dataclass(slots=True)
class Incoming:
    """Something that happened to an execution, and whom to tell once it is durable (or why it is not)."""

    body: Happening
    settle: Callable[[BaseException | None], None] | None = None
    received: Receipt | None = None
    turned_away: Callable[[], None] | None = None
    """What to do instead of telling that the execution has closed."""
    begins: bool = False
    """It came with the start, and belongs into the first activation."""
    alongside: Callable[[Batch], None] | None = None
    """Adds to the batch that it is in."""
    durability: int = 0
    """The class of the activity that has ended, where that has one of its own."""
    kept: bool = False
    """It has happened whatever becomes of it: when there is no room it waits, and who is to be told waits too."""


class LiveExecution:
    """An open execution that this process holds in memory."""

    __slots__ = (
        "armed_us",
        "attempts",
        "behind",
        "blocked",
        "durability",
        "failures",
        "held",
        "history",
        "incoming",
        "incoming_start",
        "instance",
        "is_activity",
        "notes_came",
        "opened",
        "queued",
        "record",
        "retry",
        "size",
        "state",
        "suspended",
        "transit",
        "uncommitted",
        "waiting",
        "weight",
        "worker",
    )

    def __init__(self, record: ExecutionRecord) -> None:
        self.record = record
        self.is_activity = record.is_activity
        self.state = ExecutionState(record.run_id)
        self.instance: Code | None = None
        self.history: Sequence[Event] | None = None
        """All events, from which the instance can be rebuilt; None when they are not kept here: read them first."""
        self.waiting: list[Happening] = []
        """Recorded, but not yet handed to the code."""
        self.incoming: list[Incoming] = []
        self.held: list[Incoming] = []
        """Updates that wait for code to validate them; they are in no history yet."""
        self.incoming_start: WorkflowStarted | None = None
        self.attempts: dict[int, AttemptRecord] = {}
        self.blocked = record.blocked
        self.armed_us: int | None = None
        """The instant for which an alarm is set."""
        self.size = 0
        """Bytes of the history."""
        self.failures = 0
        self.retry = False
        self.queued = False
        self.uncommitted = False
        self.suspended = False
        """Whether nothing is handed over or recorded for a moment: what comes waits."""
        self.notes_came = False
        """Whether there is a request to pause or to go on in `incoming`."""
        self.opened: dict[int, tuple[Happening, Happening]] = {}
        """What is recorded with sealed payloads, by its identity, and as the code is handed it."""
        self.behind: Mapping[str, int] = {}
        """Updates of the activation that is to be recorded which were accepted behind commands; see `UpdateAccepted`."""
        self.transit: InTransit | None = None
        """The payloads that it waits for, once it has waited for any."""
        self.worker: ServingWorker | None = None
        """Whose code was loaded last."""
        self.durability = 0
        """The class of its workflow, as `core.events.WorkflowStarted` has it."""
        self.weight = 0
        """The bytes that it counts for in the cache."""

    def load(self, history: History, attempts: Sequence[AttemptRecord]) -> None:
        """Take over what the journal holds."""
        self.state = history.state
        self.history = history.events
        self.size = history.size
        self.durability = history.state.started.durability
        _, self.waiting = replay.activations(history.events)
        self.attempts = {attempt.activity: attempt for attempt in attempts}

    @property
    def idle(self) -> bool:
        """Whether it can be dropped from memory: nothing runs, nothing waits to be handed over."""
        waiting = self.waiting and self.state.admitted
        return self.recorded and not (waiting or self.state.activities)

    @property
    def recorded(self) -> bool:
        """Whether the journal has all that happened to it."""
        waits = self.queued or self.incoming or self.held or self.uncommitted or self.suspended
        return not (waits or (self.transit is not None and self.transit.under_way))

    @property
    def rebuildable(self) -> bool:
        """Whether its code is in memory, or the whole history that it can be rebuilt from."""
        return self.instance is not None or self.history is not None

    def clock_us(self, now_us: int) -> int:
        """What its own clock shows when the engine's shows `now_us`."""
        return now_us + self.state.skipped_us

    def instant_us(self, now_us: int) -> int:
        """The instant of what is recorded now: by its own clock, and never before the event before."""
        return max(now_us + self.state.skipped_us, self.state.at_us)

    def due_us(self, now_us: int | None = None) -> int | None:
        """When the next that waits for its time is due, by the engine's clock; see `ExecutionState.next_due_us`."""
        due_us = self.state.next_due_us(None if now_us is None else self.clock_us(now_us))
        return None if due_us is None else due_us - self.state.skipped_us

    def wake_at_us(self) -> int | None:
        """When it goes on without being asked; see `ExecutionRecord.wake_at_us`."""
        state = self.state
        if not state.admitted:
            return self.due_us()
        if state.activities or state.children or state.externals:
            return HOT
        if state.clock is not None and state.clock.skipping.enabled:
            return HOT  # It may have a skip to make that was not recorded any more.
        if state.unconsumed and state.first_due_us is None:
            return HOT
        return self.due_us()

    # -- activation ----------------------------------------------------------------------------------

    def ensure_instance(self, make: Callable[[WorkflowStarted], Code]) -> Code:
        """The code of this execution, rebuilt from its history where it is not in memory.

        Raises:
            HistoryDiverged, ActivationFailed: the code does not fit its history.
        """
        if self.instance is None:
            assert self.history is not None, "code was to be rebuilt from a history that was not read"
            instance = make(self.as_opened(self.first_event()))
            try:
                self.waiting = replay.replay(instance, self.history, self.as_opened if self.opened else None)
            except BaseException:
                instance.evict()
                raise
            instance.history_bytes = self._size
            self.instance = instance
            self.history = None
        return self.instance

    def _size(self) -> int:
        return self.size

    def first_event(self) -> WorkflowStarted:
        """The first event; that of an execution which begins now is still to be handed over."""
        if self.history and isinstance(self.history[0].body, WorkflowStarted):
            # Read again since the state was made: what was opened of it goes by this one.
            return self.history[0].body
        if self.state.start is not None:
            return self.state.start
        first = self.incoming_start
        assert first is not None, "an execution without its first event was asked for it"
        return first

    def append(self, batch: Batch, activation: int, at_us: int, bodies: Sequence[Body]) -> list[Event]:
        """Add events to the history and to the batch.

        Raises:
            EventUnwritable: one of them cannot be kept; nothing was added.
        """
        state = self.state
        key = self.record.key
        encoded = [(body, codec.KIND_OF[type(body)], codec.encode_body(body)) for body in bodies]
        added: list[Event] = []
        for body, kind, data in encoded:
            event = Event(state.sequence + 1, activation, at_us, body)
            checksum = codec.chain_next(state.checksum, event.sequence, activation, at_us, kind, data)
            state.apply(event)
            state.checksum = checksum
            added.append(event)
            self.size += len(data)
            batch.events.append(EventRecord(key, event.sequence, activation, at_us, kind, data, checksum))
        return added

    def as_opened(self, body: H) -> H:
        """What the code is handed in the place of what is recorded."""
        found = self.opened.get(id(body))
        return body if found is None else cast("H", found[1])

    def chain_due_us(self, at_us: int) -> int | None:
        """When the execution timeout ends; that of an execution which begins now counts from now."""
        return self.state.chain_due_us if self.state.start else chain_due_us(self.first_event(), at_us)

    def asked(self, number: int) -> Command | None:
        """The command by which this activity or child was asked for, while its end was not handed over."""
        pending = self.state.activities.get(number) or self.state.children.get(number)
        if pending is not None:
            return pending.command
        return None if self.instance is None else self.instance.asked(number)

    def hand_over(
        self,
        at_us: int,
        inputs: list[Happening],
        instance: Code,
        finish: Callable[[Command], Command],
    ) -> list[Command]:
        """Hand everything over; what the code asks for is still to be recorded.

        Raises:
            ActivationFailed: the code has a bug; the instance is gone.
        """
        # What `record_activation` puts before the commands, but for updates: which of them it accepts is not known yet.
        admitted = self.state.updates_admitted
        before: list[Body] = [ActivationStarted()] if self.state.unconsumed else []
        before += [body for body in inputs if not isinstance(body, UpdateAccepted)]
        instance.history_length = self.state.sequence + len(before)
        instance.history_bytes = lambda: self.size + sum(map(replay.size_of, before))
        given = self.waiting + inputs if self.waiting else inputs
        if admitted:
            updates = [_accepted(self.as_opened(update)) for update in admitted.values()]
            given = [*self.waiting, *updates, *inputs]
        if self.opened:
            given = [self.as_opened(body) for body in given]
        try:
            commands = instance.activate(at_us, given)
        except ActivationFailed:
            self.drop_instance()
            raise
        finally:
            instance.history_bytes = self._size  # Not to keep what it was given.
        if instance.accepted_behind:
            self.behind, instance.accepted_behind = instance.accepted_behind, {}
        return [finish(command) for command in commands] if instance.closed else commands

    def record_activation(
        self,
        batch: Batch,
        at_us: int,
        inputs: Sequence[Happening],
        commands: Sequence[Command],
        rejected: Sequence[RejectedUpdate],
    ) -> None:
        """Add what was handed over, and what the code asked for, to the history and to the batch.

        Raises:
            ActivationFailed: it cannot be written; nothing was recorded, and the instance is gone.
        """
        bodies: list[Body] = [ActivationStarted()] if self.state.unconsumed else []
        if self.state.updates_admitted:
            bodies += [_accepted(update) for update in self.state.updates_admitted.values()]
        bodies += inputs
        if rejected:
            bodies = _without(bodies, {update.update_id for update in rejected})
        if self.behind:
            behind, self.behind = self.behind, {}
            bodies = [_placed(body, behind) for body in bodies]
        try:
            if bodies or commands:
                self.append(batch, self.state.activation + 1, at_us, [*bodies, *commands])
        except codec.EventUnwritable as error:
            self.drop_instance()
            raise ActivationFailed(str(error)) from error
        self.waiting = []

    def accept(self, batch: Batch, at_us: int, inputs: Sequence[Happening]) -> None:
        """Record what happened without handing it over: the code is blocked, or no worker is there."""
        added = self.append(batch, 0, at_us, inputs)
        if self.history is not None:
            self.history = [*self.history, *added]
        self.waiting += [body for body in inputs if not isinstance(body, NOTES)]

    def drop_instance(self) -> None:
        """Free the code's memory; it is rebuilt from the journal when something happens."""
        self.opened.clear()
        if self.instance is not None:
            instance, self.instance = self.instance, None
            instance.evict()


def _accepted(update: UpdateAdmitted) -> UpdateAccepted:
    return UpdateAccepted(update.update_id, update.name, update.args, update.headers, update.caused_by)


def _without(bodies: list[Body], rejected: set[str]) -> list[Body]:
    return [b for b in bodies if not (isinstance(b, UpdateAccepted) and b.update_id in rejected)]


def _placed(body: Body, behind: Mapping[str, int]) -> Body:
    if not isinstance(body, UpdateAccepted) or body.update_id not in behind:
        return body
    return replace(body, behind=behind[body.update_id])


def blocked_by(error: BaseException, previous: Blocked | None, now_us: int) -> Blocked:
    """Why an execution cannot go on: the cause, and the line of the user's code that it came from."""
    cause = error.__cause__ if isinstance(error, ActivationFailed) and error.__cause__ is not None else error
    text, where = str(cause), ""
    if isinstance(cause, HistoryDiverged):
        text, where = f"{cause.difference}: {cause.remedy}", cause.replayed_at or cause.agreed_at
    where = where or source_line(cause)
    text = f"{type(cause).__name__}: {text}"
    if previous is not None and previous.cause == text:
        return Blocked(text, previous.where, previous.since_us, previous.attempts + 1)
    return Blocked(text, where, now_us, 1)


def source_line(error: BaseException) -> str:
    """The innermost line of code that is neither ours nor the standard library's, as ``file:line in function``."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        filename = frame.filename
        if is_foreign(filename):
            return f"{filename}:{frame.lineno} in {frame.name}"
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


_STANDARD_LIBRARY = str(Path(traceback.__file__).parent)


@cache
def is_foreign(filename: str) -> bool:
    """Whether a file is neither ours nor the standard library's."""
    real = str(Path(filename).resolve())
    ours = real.startswith(_RUNTIME)
    standard = real.startswith(_STANDARD_LIBRARY) and "site-packages" not in real
    return not (ours or standard or filename.startswith("<"))
