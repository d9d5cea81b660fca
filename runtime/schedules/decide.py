"""What a schedule does next: decisions over a record of how far it has come; nothing here starts, waits or reads a clock.

Each function takes that record and returns a new one with what is to be done. Who calls it stores the record
together with what it does, then reports each start with `started` or `not_started`, and each end with `ended`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, Final, NamedTuple, cast

from ..core.records import dataclass
from .spec import Occurrence, occurrences
from .types import (
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionResult,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleInfo,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)

BUFFER_MAX: Final = 1000
"""So many actions wait at most; further ones are dropped and counted."""
BATCH_MAX: Final = 1000
"""So many times are looked at in one decision; `next_wakeup` is at once when there are more."""
BACKFILL_BATCH_MAX: Final = 100
"""So many actions of backfills are taken in one decision, and in one second."""
RECENT_MAX: Final = 10
CATCHUP_WINDOW_DEFAULT: Final = timedelta(days=365)
CATCHUP_WINDOW_MIN: Final = timedelta(seconds=10)


# -- what is to be done --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartAction:
    """Start the workflow under this id, then report it."""

    workflow_id: str
    nominal_at: datetime
    scheduled_at: datetime
    """With its jitter."""
    overlap: ScheduleOverlapPolicy
    manual: bool = False
    """By a trigger or a backfill: the id may have been used before."""


@dataclass(frozen=True, slots=True)
class CancelRunning:
    """Ask this run to stop; repeated in each decision until it has ended."""

    workflow_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class TerminateRunning:
    """End this run; repeated in each decision until it has ended."""

    workflow_id: str
    run_id: str


Action = StartAction | CancelRunning | TerminateRunning


class Outcome(StrEnum):
    """How what was started has ended, with all its retries and runs that continued it."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"
    TERMINATED = "terminated"


@dataclass(frozen=True)
class ScheduleRules:
    """What decisions follow; it only changes when the schedule is updated."""

    spec: ScheduleSpec
    policy: SchedulePolicy
    workflow_id: str
    """The action's; nominal times are put behind it."""
    seed: str = ""
    """Of the jitter: the schedule's id."""

    @staticmethod
    def of(schedule: Schedule, schedule_id: str) -> ScheduleRules:
        """The rules of a schedule.

        Raises:
            TypeError: its action is none that is known here.
        """
        if not isinstance(schedule.action, ScheduleActionStartWorkflow):
            raise TypeError(
                f"action is {type(schedule.action).__name__}, expected ScheduleActionStartWorkflow"
            )
        return ScheduleRules(schedule.spec, schedule.policy, schedule.action.id, schedule_id)

    @property
    def catchup_window(self) -> timedelta:
        """How old a time may be for its action still to be taken."""
        window = self.policy.catchup_window
        return CATCHUP_WINDOW_DEFAULT if window is None else max(window, CATCHUP_WINDOW_MIN)


# -- how far it has come -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """What was started and has not ended; `run_id` is empty until the start is reported."""

    workflow_id: str
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An action that is to be taken; without an overlap policy of its own the schedule's decides, as it is then."""

    nominal_at: datetime
    scheduled_at: datetime
    overlap: ScheduleOverlapPolicy | None = None
    manual: bool = False


@dataclass(frozen=True, slots=True)
class Backfilling:
    """What is left of a backfill: the nominal times after `after`, up to `until`."""

    after: datetime
    until: datetime
    overlap: ScheduleOverlapPolicy | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """An action that was taken."""

    scheduled_at: datetime
    started_at: datetime
    workflow_id: str
    run_id: str


@dataclass(frozen=True)
class ScheduleProgress:
    """How far a schedule has come. Its `state` is the one that holds, once the schedule has begun."""

    created_at: datetime
    processed_at: datetime
    """The nominal times up to here have been dealt with."""
    state: ScheduleState = field(default_factory=ScheduleState)
    updated_at: datetime | None = None
    """Times before it are of rules that hold no more."""
    running: tuple[Running, ...] = ()
    """But for what `ALLOW_ALL` started, which nobody waits for."""
    waiting: tuple[Waiting, ...] = ()
    backfills: tuple[Backfilling, ...] = ()
    recent: tuple[Taken, ...] = ()
    num_actions: int = 0
    num_missed: int = 0
    num_skipped: int = 0
    num_dropped: int = 0
    """Not taken because too many waited."""

    @staticmethod
    def begun(state: ScheduleState, now: datetime) -> ScheduleProgress:
        """The record of a new schedule: times before now are not its own."""
        return ScheduleProgress(created_at=now, processed_at=now, state=replace(state))

    def to_json(self) -> dict[str, Any]:
        """The record as a value that JSON knows."""
        return {name: _to_json(value) for name, value in vars(self).items()}

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> ScheduleProgress:
        """The record that `to_json` wrote."""
        return ScheduleProgress(**{name: _READERS.get(name, _same)(value) for name, value in found.items()})


class Decision(NamedTuple):
    """What is to be done, in this order, and the record afterwards."""

    actions: list[Action]
    progress: ScheduleProgress


# -- what happens --------------------------------------------------------------------------------------


def due(rules: ScheduleRules, progress: ScheduleProgress, now: datetime) -> Decision:
    """What is to be done now that it is `now`: by time, and by backfills that are not finished.

    Actions of times that nobody was there to see are taken when they are in the catch-up window, and counted as
    missed when they are older. While the schedule is paused, or no action is left, times pass.
    """
    return _settled(rules, _with_due(rules, progress, now))


def trigger(
    rules: ScheduleRules,
    progress: ScheduleProgress,
    now: datetime,
    overlap: ScheduleOverlapPolicy | None = None,
) -> Decision:
    """What is to be done to take the action once, now; also while paused, and without counting `remaining_actions`."""
    return _settled(rules, _with_waiting(progress, [Waiting(_utc(now), _utc(now), overlap, manual=True)]))


def backfill(
    rules: ScheduleRules,
    progress: ScheduleProgress,
    *backfills: ScheduleBackfill,
) -> Decision:
    """What is to be done to take the actions of these stretches of time now; long ones go on in later decisions."""
    asked = tuple(
        Backfilling(_utc(each.start_at) - timedelta(microseconds=1), _utc(each.end_at), each.overlap)
        for each in backfills
    )
    queue = progress.backfills + asked
    dropped = max(0, len(queue) - BUFFER_MAX)
    return _settled(
        rules,
        replace(progress, backfills=queue[:BUFFER_MAX], num_dropped=progress.num_dropped + dropped),
    )


def ended(
    rules: ScheduleRules,
    progress: ScheduleProgress,
    workflow_id: str,
    outcome: Outcome,
    message: str = "",
) -> Decision:
    """What is to be done now that this has ended; `message` is why it failed, for the note of a pause.

    What is not in `running` changes nothing, so that an end may be reported twice.
    """
    if not any(run.workflow_id == workflow_id for run in progress.running):
        return Decision([], progress)
    progress = _without(progress, workflow_id)
    return _settled(rules, _paused_by(rules, progress, workflow_id, outcome, message))


def not_started(rules: ScheduleRules, progress: ScheduleProgress, action: StartAction) -> Decision:
    """What is to be done now that this could not be started, since its id was in use for example."""
    # Beside others nobody waits for it, and what runs under its id may be one that is waited for.
    if action.overlap is not ScheduleOverlapPolicy.ALLOW_ALL:
        progress = _without(progress, action.workflow_id)
    return _settled(rules, progress)


def started(progress: ScheduleProgress, action: StartAction, run_id: str, at: datetime) -> ScheduleProgress:
    """The record now that this action was taken."""
    taken = Taken(action.scheduled_at, at, action.workflow_id, run_id)
    if action.overlap is not ScheduleOverlapPolicy.ALLOW_ALL:
        unnamed = _without(progress, action.workflow_id)
        progress = replace(unnamed, running=(*unnamed.running, Running(action.workflow_id, run_id)))
    return replace(
        progress,
        recent=(*progress.recent, taken)[-RECENT_MAX:],
        num_actions=progress.num_actions + 1,
    )


def _without(progress: ScheduleProgress, workflow_id: str) -> ScheduleProgress:
    return replace(progress, running=tuple(run for run in progress.running if run.workflow_id != workflow_id))


def paused(progress: ScheduleProgress, note: str | None) -> ScheduleProgress:
    """The record of a paused schedule; call `due` before, for the times up to now."""
    return replace(progress, state=replace(progress.state, paused=True, note=note))


def unpaused(progress: ScheduleProgress, now: datetime, note: str | None) -> ScheduleProgress:
    """The record of a schedule that goes on; the times that passed while it was paused are not made up for."""
    processed = max(progress.processed_at, now) if progress.state.paused else progress.processed_at
    return replace(progress, processed_at=processed, state=replace(progress.state, paused=False, note=note))


def updated(
    rules: ScheduleRules, progress: ScheduleProgress, state: ScheduleState, now: datetime
) -> ScheduleProgress:
    """The record of a schedule that has these rules and this state from now on; call `due` before, with the old rules.

    Times before now do not count. What jitter puts off until now or later is taken.
    """
    jitter = rules.spec.jitter or timedelta()
    processed = max(progress.processed_at, now - jitter - timedelta(microseconds=1))
    return replace(progress, processed_at=processed, state=replace(state), updated_at=now)


def next_wakeup(rules: ScheduleRules, progress: ScheduleProgress, now: datetime) -> datetime | None:
    """When `due` is to be called next, at the latest; None when only a report, a request or an update can change anything."""
    if progress.backfills and len(progress.waiting) < BUFFER_MAX // 2:
        return now + timedelta(seconds=1)
    if not _may_act(progress.state):
        return None
    coming = next(_coming(rules, progress), None)
    return None if coming is None else max(coming.at, now)


def next_action_times(
    rules: ScheduleRules, progress: ScheduleProgress, now: datetime, count: int = 10
) -> list[datetime]:
    """The next times of actions, as if the schedule were not paused."""
    if progress.state.limited_actions:
        count = min(count, progress.state.remaining_actions)
    since = now if progress.state.paused else progress.processed_at
    coming = _coming(rules, replace(progress, processed_at=max(since, progress.processed_at)))
    return [found.at for found in islice(coming, count)]


def info(rules: ScheduleRules, progress: ScheduleProgress, now: datetime) -> ScheduleInfo:
    """The record as a description shows it."""
    return ScheduleInfo(
        num_actions=progress.num_actions,
        num_actions_missed_catchup_window=progress.num_missed,
        num_actions_skipped_overlap=progress.num_skipped,
        running_actions=[
            ScheduleActionExecutionStartWorkflow(run.workflow_id, run.run_id) for run in progress.running
        ],
        recent_actions=[
            ScheduleActionResult(
                taken.scheduled_at,
                taken.started_at,
                ScheduleActionExecutionStartWorkflow(taken.workflow_id, taken.run_id),
            )
            for taken in progress.recent
        ],
        next_action_times=next_action_times(rules, progress, now),
        created_at=progress.created_at,
        last_updated_at=progress.updated_at,
    )


# -- times ---------------------------------------------------------------------------------------------


def _coming(rules: ScheduleRules, progress: ScheduleProgress) -> Iterator[Occurrence]:
    since = progress.updated_at
    found = occurrences(rules.spec, progress.processed_at, seed=rules.seed)
    return (each for each in found if since is None or each.at >= since)


def _with_due(rules: ScheduleRules, progress: ScheduleProgress, now: datetime) -> ScheduleProgress:
    if not _may_act(progress.state):
        return replace(progress, processed_at=max(progress.processed_at, now))
    oldest = now - rules.catchup_window
    waiting: list[Waiting] = []
    processed, missed = progress.processed_at, 0
    for nominal, at in islice(_coming(rules, progress), BATCH_MAX):
        if at > now:
            break
        processed = nominal
        if at < oldest:
            missed += 1
        else:
            waiting.append(Waiting(nominal, at))
    progress = replace(progress, processed_at=processed, num_missed=progress.num_missed + missed)
    return _with_waiting(progress, waiting)


def _with_waiting(progress: ScheduleProgress, waiting: Sequence[Waiting]) -> ScheduleProgress:
    room = max(0, BUFFER_MAX - len(progress.waiting))
    return replace(
        progress,
        waiting=(*progress.waiting, *waiting[:room]),
        num_dropped=progress.num_dropped + len(waiting[room:]),
    )


def _with_backfills(rules: ScheduleRules, progress: ScheduleProgress) -> ScheduleProgress:
    """The next actions of the backfills wait; half of the buffer is kept free for those of time."""
    waiting = list(progress.waiting)
    backfills = list(progress.backfills)
    room = min(BACKFILL_BATCH_MAX, BUFFER_MAX // 2 - len(waiting))
    while backfills and room > 0:
        first = backfills.pop(0)
        found = list(islice(_backfilled(rules, first), room))
        waiting += [Waiting(nominal, at, first.overlap, manual=True) for nominal, at in found]
        if len(found) == room:
            backfills.insert(0, replace(first, after=found[-1].nominal))
        room -= len(found)
    return replace(progress, waiting=tuple(waiting), backfills=tuple(backfills))


def _backfilled(rules: ScheduleRules, asked: Backfilling) -> Iterator[Occurrence]:
    for found in occurrences(rules.spec, asked.after, seed=rules.seed):
        if found.nominal > asked.until:
            return
        yield found


def _may_act(state: ScheduleState) -> bool:
    return not state.paused and (not state.limited_actions or state.remaining_actions > 0)


# -- overlaps ------------------------------------------------------------------------------------------


@dataclass
class _Sorting:
    """Actions that wait, sorted into those to take, those that go on waiting and those to skip."""

    busy: bool
    """Whether something runs."""
    default: ScheduleOverlapPolicy
    beside: list[Waiting] = field(default_factory=list[Waiting])
    alone: Waiting | None = None
    kept: list[Waiting] = field(default_factory=list[Waiting])
    skipped: int = 0
    cancel: bool = False
    terminate: bool = False

    def add(self, action: Waiting) -> None:
        overlap = action.overlap or self.default
        if overlap is ScheduleOverlapPolicy.ALLOW_ALL:
            self.beside.append(action)
        elif not self.busy and self.alone is None:
            self.alone = action
        else:
            self._overlapping(action, overlap)

    def _overlapping(self, action: Waiting, overlap: ScheduleOverlapPolicy) -> None:
        match overlap:
            case ScheduleOverlapPolicy.BUFFER_ALL:
                self.kept.append(action)
            case ScheduleOverlapPolicy.BUFFER_ONE if not self.kept:
                self.kept.append(action)
            case ScheduleOverlapPolicy.CANCEL_OTHER | ScheduleOverlapPolicy.TERMINATE_OTHER if self.busy:
                self.cancel |= overlap is ScheduleOverlapPolicy.CANCEL_OTHER
                self.terminate |= overlap is ScheduleOverlapPolicy.TERMINATE_OTHER
                self.kept.append(action)
            case ScheduleOverlapPolicy.CANCEL_OTHER | ScheduleOverlapPolicy.TERMINATE_OTHER:
                # What it would stop has not been started: the newer one takes its place.
                self.alone = action
            case _:
                self.skipped += 1


def _settled(rules: ScheduleRules, progress: ScheduleProgress) -> Decision:
    """What can be started is; where starts were refused, what waits behind them gets its turn."""
    progress = _with_backfills(rules, progress)
    actions: list[Action] = []
    refused = True
    while progress.waiting and refused:
        found, progress, refused = _pass(rules, progress)
        actions += found
    return Decision(actions, progress)


def _pass(rules: ScheduleRules, progress: ScheduleProgress) -> tuple[list[Action], ScheduleProgress, bool]:
    sorting = _Sorting(bool(progress.running), rules.policy.overlap)
    for action in progress.waiting:
        sorting.add(action)
    stopped = _stopped(sorting, progress.running)
    progress = replace(
        progress, waiting=tuple(sorting.kept), num_skipped=progress.num_skipped + sorting.skipped
    )
    actions: list[Action] = []
    wanted = [*sorting.beside, *([sorting.alone] if sorting.alone else [])]
    for waiting in wanted:
        if waiting.manual or _may_act(progress.state):
            start = _start(rules, waiting)
            progress = _with_start(progress, start)
            actions.append(start)
    return actions + stopped, progress, len(actions) < len(wanted)


def _stopped(sorting: _Sorting, running: Sequence[Running]) -> list[Action]:
    if sorting.terminate:
        return [TerminateRunning(run.workflow_id, run.run_id) for run in running]
    if sorting.cancel:
        return [CancelRunning(run.workflow_id, run.run_id) for run in running]
    return []


def _start(rules: ScheduleRules, waiting: Waiting) -> StartAction:
    return StartAction(
        workflow_id=f"{rules.workflow_id}-{waiting.nominal_at:%Y-%m-%dT%H:%M:%SZ}",
        nominal_at=waiting.nominal_at,
        scheduled_at=waiting.scheduled_at,
        overlap=waiting.overlap or rules.policy.overlap,
        manual=waiting.manual,
    )


def _with_start(progress: ScheduleProgress, start: StartAction) -> ScheduleProgress:
    state = progress.state
    if state.limited_actions and not start.manual:
        state = replace(state, remaining_actions=state.remaining_actions - 1)
    running = progress.running
    if start.overlap is not ScheduleOverlapPolicy.ALLOW_ALL:
        running = (*running, Running(start.workflow_id))
    return replace(progress, state=state, running=running)


def _paused_by(
    rules: ScheduleRules, progress: ScheduleProgress, workflow_id: str, outcome: Outcome, message: str
) -> ScheduleProgress:
    failed = outcome in (Outcome.FAILED, Outcome.TIMED_OUT)
    if not (rules.policy.pause_on_failure and failed) or progress.state.paused:
        return progress
    what = "failure" if outcome is Outcome.FAILED else "timeout"
    note = f"paused due to workflow {what}: {workflow_id}" + (f": {message}" if message else "")
    return paused(progress, note)


# -- the record as JSON ----------------------------------------------------------------------------------


def _to_json(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case tuple():
            each_of = cast("tuple[Running | Waiting | Backfilling | Taken, ...]", value)
            return [{name: _to_json(one) for name, one in asdict(each).items()} for each in each_of]
        case ScheduleState():
            return asdict(value)
        case ScheduleOverlapPolicy():
            return int(value)
        case _:
            return value


def _same(value: Any) -> Any:
    return value


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _each(kind: type) -> Callable[[list[dict[str, Any]]], tuple[Any, ...]]:
    def read(found: list[dict[str, Any]]) -> tuple[Any, ...]:
        return tuple(
            kind(**{name: _FIELDS.get(name, _same)(value) for name, value in each.items()}) for each in found
        )

    return read


def _overlap(number: int | None) -> ScheduleOverlapPolicy | None:
    return None if number is None else ScheduleOverlapPolicy(number)


_FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "nominal_at": _instant,
    "scheduled_at": _instant,
    "started_at": _instant,
    "after": _instant,
    "until": _instant,
    "overlap": _overlap,
}
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "created_at": _instant,
    "processed_at": _instant,
    "updated_at": _instant,
    "state": lambda found: ScheduleState(**found),
    "running": _each(Running),
    "waiting": _each(Waiting),
    "backfills": _each(Backfilling),
    "recent": _each(Taken),
}


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
