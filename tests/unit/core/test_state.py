"""What a history adds up to, and what can be in none."""

from __future__ import annotations

import random

import pytest

from overwinter.runtime.core.commands import (
    CancelActivity,
    CancelTimer,
    CompleteWorkflow,
    ScheduleActivity,
    StartTimer,
)
from overwinter.runtime.core.events import (
    COMMANDS,
    ActivationStarted,
    ActivityCompleted,
    Body,
    CancelRequested,
    Event,
    Signaled,
    TimerFired,
    WorkflowStarted,
    WorkflowTerminated,
)
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.core.state import ExecutionState
from overwinter.runtime.core.transitions import LIFETIMES, IllegalTransition

VALUE = Payload({"encoding": b"json/plain"}, b"1")


def begun(**more: object) -> WorkflowStarted:
    return WorkflowStarted("w", "run", "Irrigate", "default", (), 7, **more)  # type: ignore[arg-type]


def activity(number: int) -> ScheduleActivity:
    return ScheduleActivity(number, "measure", (), "default", schedule_to_close_s=60.0)


def timer(number: int, delay_us: int = 1_000) -> StartTimer:
    return StartTimer(number, delay_us)


class Teller:
    """Tells a state a history, event by event."""

    def __init__(self) -> None:
        self.state = ExecutionState("run")

    def tell(
        self, *bodies: Body, activation: int = 1, at_us: int = 10, sequence: int | None = None
    ) -> ExecutionState:
        for body in bodies:
            number = self.state.sequence + 1 if sequence is None else sequence
            self.state.apply(Event(number, activation, at_us, body))
        return self.state


def test_what_is_pending_is_what_was_asked_for_and_has_not_ended() -> None:
    teller = Teller()
    state = teller.tell(begun(), activity(1), timer(2), timer(3, 500), activity(4))
    assert (set(state.activities), set(state.timers)) == ({1, 4}, {2, 3})
    assert state.next_due_us() == 510
    teller.tell(ActivityCompleted(1, VALUE, 1), CancelActivity(4), CancelTimer(3), activation=2)
    assert set(state.activities) == {4}
    assert state.activities[4].cancel_requested
    assert state.next_due_us() == 1_010
    teller.tell(TimerFired(2, 1_010), activation=3, at_us=1_010)
    assert (state.timers, state.next_due_us()) == ({}, None)


def test_a_deadline_is_the_shorter_of_the_workflows_timeouts() -> None:
    state = Teller().tell(begun(run_timeout_s=2.0, execution_timeout_s=1.0))
    assert state.deadline_us == state.next_due_us() == 1_000_010


def test_what_waits_for_its_activation_is_counted_until_one_begins() -> None:
    teller = Teller()
    state = teller.tell(begun())
    teller.tell(Signaled("flow", ()), CancelRequested(), activation=0)
    assert (state.unconsumed, state.cancel_requested) == (2, True)
    teller.tell(ActivationStarted(), activation=2)
    assert state.unconsumed == 0


def test_a_closed_workflow_is_closed_for_good() -> None:
    teller = Teller()
    state = teller.tell(begun(), CompleteWorkflow(VALUE))
    assert not state.open
    for body in (Signaled("flow", ()), WorkflowTerminated("late"), timer(1), begun()):
        with pytest.raises(IllegalTransition):
            teller.tell(body, activation=2)


@pytest.mark.parametrize(
    ("history", "last", "more"),
    [
        ([], timer(1), {}),
        ([begun()], begun(), {}),
        ([begun()], TimerFired(1, 5), {}),
        ([begun(), timer(1)], timer(1), {}),
        ([begun(), timer(2)], timer(1), {}),
        ([begun(), timer(1), CancelTimer(1)], TimerFired(1, 5), {}),
        ([begun(), activity(1), ActivityCompleted(1, VALUE, 1)], ActivityCompleted(1, VALUE, 1), {}),
        ([begun(), timer(1)], ActivityCompleted(1, VALUE, 1), {}),
        ([begun()], Signaled("flow", ()), {"sequence": 3}),
        ([begun()], Signaled("flow", ()), {"at_us": 9}),
        ([begun(), timer(1)], timer(2), {"activation": 0}),
    ],
    ids=[
        "before-the-start", "two-starts", "a-timer-that-is-not", "an-id-twice", "an-id-that-goes-back",
        "a-timer-that-was-cancelled", "two-results", "an-activity-that-is-a-timer", "a-gap", "time-goes-back",
        "a-command-of-nobody",
    ],
)  # fmt: skip
def test_an_event_that_cannot_follow_is_refused_and_changes_nothing(
    history: list[Body], last: Body, more: dict[str, int]
) -> None:
    teller = Teller()
    teller.tell(*history)
    before = (teller.state.sequence, set(teller.state.timers), set(teller.state.activities))
    with pytest.raises(IllegalTransition):
        teller.tell(last, **more)
    assert (teller.state.sequence, set(teller.state.timers), set(teller.state.activities)) == before


def test_every_kind_of_event_has_a_place_in_some_table_and_closed_lifetimes_end() -> None:
    places = {body for table in LIFETIMES.values() for row in table.values() for body in row}
    assert set(COMMANDS) <= places
    for name, table in LIFETIMES.items():
        states = {state for row in table.values() for state in row.values()}
        assert states <= set(table), name
        assert not table.get("closed")


def test_histories_drawn_from_the_tables_are_accepted_and_their_neighbours_refused() -> None:
    """Random walks over the three tables: each legal event passes, each one from outside the row does not."""
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    source = random.Random(seed)
    for _ in range(200):
        teller = Teller()
        state = teller.tell(begun())
        for step in range(source.randrange(1, 25)):
            new = state.id_max + 1
            choices: list[Body] = [activity(new), timer(new), Signaled("flow", ())]
            choices += [TimerFired(number, 5) for number in state.timers]
            choices += [CancelTimer(number) for number in state.timers]
            choices += [ActivityCompleted(number, VALUE, 1) for number in state.activities]
            choices += [CancelActivity(n) for n, a in state.activities.items() if not a.cancel_requested]
            teller.tell(source.choice(choices), activation=step + 1)
            gone = [n for n in range(1, state.id_max + 1) if n not in state.timers | state.activities]
            for number in gone[-3:]:
                for body in (TimerFired(number, 5), CancelTimer(number), ActivityCompleted(number, VALUE, 1)):
                    with pytest.raises(IllegalTransition):
                        teller.tell(body, activation=step + 1)
