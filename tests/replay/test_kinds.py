"""Each kind of event has a form in Temporal's histories, and comes back as what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from overwinter.runtime.core import commands as cmd
from overwinter.runtime.core import events as ev
from overwinter.runtime.core.events import Body, Event
from overwinter.runtime.core.payload import ENCODING, Failure, Payload
from overwinter.runtime.core.retry import RetryRule
from overwinter.runtime.core.seed import seed_of
from overwinter.runtime.core.skipping import ClockStart, TimeSkipping
from overwinter.runtime.temporal.commands import COMMANDS
from overwinter.runtime.temporal.happenings import HAPPENINGS
from overwinter.runtime.temporal.reading import read
from overwinter.runtime.temporal.writing import HistoryWriter

VALUE = Payload({ENCODING: b"json/plain"}, b'{"bed":3}')
MORE = {"m": VALUE}
ATTRIBUTES = {
    "Beds": ("Int", 3),
    "Crop": ("Keyword", "barley"),
    "Plots": ("KeywordList", ["a", "b"]),
    "Share": ("Double", 0.5),
    "Sown": ("Datetime", 1_772_344_800_000_000),
    "Wet": ("Bool", False),
    "Gone": ("Keyword", None),
}
RULE = RetryRule(2.0, 1.5, 60.0, 4, ("Dark",))
CAUSE = Failure(
    kind="application",
    message="too dark",
    stack_trace="line",
    details=(VALUE,),
    attributes={"type": "Dark", "non_retryable": True, "next_retry_delay_s": 1.5, "category": "BENIGN"},
)
FAILURE = Failure(
    kind="activity",
    message="Activity task failed",
    cause=CAUSE,
    attributes={
        "scheduled_event_id": 5,
        "started_event_id": 6,
        "identity": "i",
        "activity_type": "look",
        "activity_id": "1",
        "retry_state": "TIMEOUT",
    },
)
TIMEOUT = Failure(
    kind="timeout", message="late", details=(VALUE,), attributes={"timeout_type": "START_TO_CLOSE"}
)
START = ev.WorkflowStarted(
    "w",
    "r2",
    "Water",
    "q",
    (VALUE,),
    0,
    first_run_id="r1",
    continued_run_id="r1",
    attempt=2,
    execution_timeout_s=90.0,
    run_timeout_s=60.0,
    task_timeout_s=10.0,
    retry=RULE,
    memo=MORE,
    headers=MORE,
    caused_by="client",
    search_attributes={name: found for name, found in ATTRIBUTES.items() if found[1] is not None},
    parent_workflow_id="p",
    parent_run_id="pr",
    parent_command_id=7,
    root_workflow_id="p",
    root_run_id="pr",
    cron="@daily",
    first_delay_s=1.5,
    last_result=VALUE,
    last_failure=CAUSE,
    priority_key=2,
    fairness_key="f",
    fairness_weight=2.0,
    summary="one line",
    details="more",
    clock=ClockStart(TimeSkipping(skips_max=7)),
)
ACTIVITY = cmd.ScheduleActivity(
    1, "look", "q", (VALUE,), 60.0, 20.0, 10.0, 5.0, RULE, "1", MORE, "a look", priority_key=1
)
CHILD = cmd.StartChild(
    3,
    "c",
    "Valve",
    "q",
    (VALUE,),
    9.0,
    8.0,
    10.0,
    RULE,
    2,
    3,
    "@daily",
    MORE,
    {"Beds": ("Int", 3)},
    MORE,
    "s",
    "d",
)


def there_and_back(*groups: tuple[int, list[Body]], start: ev.WorkflowStarted = START) -> list[Body]:
    """What is read of what was written, without what says only when code was called."""
    numbered = [(activation, body) for activation, bodies in groups for body in bodies]
    records = [
        Event(number, activation, 1_700_000_000_000_000 + number * 1500, body)
        for number, (activation, body) in enumerate([(1, start), *numbered], 1)
    ]
    found = read("w", list(HistoryWriter().write(records))).records
    assert found[0].body == start
    return [event.body for event in found[1:] if not isinstance(event.body, ev.ActivationStarted)]


def without_ids(bodies: list[Body]) -> list[object]:
    return [repr(body).replace(f"id={getattr(body, 'id', None)}", "id=_", 1) for body in bodies]


def test_no_kind_is_forgotten() -> None:
    assert set(HAPPENINGS) == set(ev.HAPPENINGS)
    assert set(COMMANDS) == set(ev.COMMANDS)


@pytest.mark.parametrize(
    "groups",
    [
        [(2, [ev.Signaled("water", (VALUE,), MORE, "client"), ev.CancelRequested("enough")])],
        [(0, [ev.WorkflowPaused("me", "frost", "1"), ev.WorkflowUnpaused("me", "thaw", "2")])],
        [(0, [ev.TimeSkipped(1_700_000_060_000_000, True, 1_700_000_000_000_000)])],
        [(0, [ev.TimeSkippingChanged(TimeSkipping(True, True, 5, "f", 1_500_000))])],
        [(0, [ev.WorkflowTerminated("no more", (VALUE,))])],
        [(0, [ev.WorkflowTimedOut(new_run_id="r3", retry_state="IN_PROGRESS")])],
        [(1, [ACTIVITY]), (2, [ev.ActivityCompleted(1, VALUE)])],
        [(1, [ACTIVITY]), (2, [ev.ActivityFailed(1, CAUSE, "NON_RETRYABLE_FAILURE")])],
        [(1, [ACTIVITY]), (2, [ev.ActivityFailed(1, TIMEOUT, "TIMEOUT")])],
        [(1, [cmd.StartTimer(2, 1_500_000, "a while", number=1)]), (2, [ev.TimerFired(2)])],
        [(1, [cmd.StartTimer(2, 1_500_000, number=1)]), (2, [ev.Signaled("s", ()), cmd.CancelTimer(2)])],
        [(1, [cmd.StartTimer(2, 1_500_000, groups={"g": "beds", "h": ""}, number=1)])],
        [(1, [CHILD]), (2, [ev.ChildStarted(3, "cr")]), (3, [ev.ChildClosed(3, "cr", VALUE)])],
        [(1, [CHILD]), (2, [ev.ChildStarted(3, "cr"), ev.ChildClosed(3, "cr", None, FAILURE, "TIMEOUT")])],
        [(1, [CHILD]), (2, [ev.ChildStartFailed(3, "already started")])],
        [
            (1, [cmd.SignalExternal(4, "o", "or", "n", (VALUE,), MORE)]),
            (2, [ev.ExternalResolved(4, None, "or")]),
        ],
        [(1, [cmd.CancelExternal(4, "o", "or", "enough")]), (2, [ev.ExternalResolved(4, None, "or")])],
        [(1, [cmd.SignalWithStart(4, "o", "Water", "q", (VALUE,), "n", (VALUE,))])],
        [
            (
                1,
                [
                    cmd.UpsertSearchAttributes(ATTRIBUTES),
                    cmd.UpsertMemo(MORE),
                    cmd.RecordPatch("gently", True),
                ],
            )
        ],
        [(1, [cmd.PublishMessage(5, "farm/valve", b"\x00open", 2, True, 60.0)])],
        [(1, [cmd.CompleteWorkflow(VALUE, "r3")])],
        [(1, [cmd.FailWorkflow(FAILURE, "r3", "TIMEOUT")])],
        [(2, [ev.CancelRequested("enough"), cmd.CancelWorkflow()])],
        [(1, [cmd.ContinueAsNew("Water", "q", (VALUE,), MORE, "r3", 60.0, 10.0, None, MORE, {}, 1.5)])],
    ],
    ids=lambda groups: type(groups[-1][1][-1]).__name__,
)
def test_it_comes_back(groups: list[tuple[int, list[Body]]]) -> None:
    given = [body for _, bodies in groups for body in bodies]
    found = there_and_back(*groups)
    # Temporal's ids of timers and activities are counted anew.
    assert without_ids(found) == without_ids([_without_number(body) for body in given])


def _without_number(body: Body) -> Body:
    return replace(body, number=0) if isinstance(body, cmd.StartTimer) else body


def test_updates_and_their_outcomes_keep_their_places() -> None:
    accepted = [ev.UpdateAccepted(f"u{n}", "ask", (VALUE,), MORE, "client", behind=n) for n in (0, 1)]
    answers: list[Body] = [cmd.StartTimer(1, 5, number=1), cmd.CompleteUpdate("u0", VALUE)]
    events = list(
        HistoryWriter().write(
            [
                Event(n, max(1, min(n, 2)), n, body)
                for n, body in enumerate([START, ev.Signaled("s", ()), *accepted, *answers], 1)
            ]
        )
    )
    names = [event.event_type.short_name for event in events]
    assert names[-5:] == [
        "WORKFLOW_TASK_COMPLETED",
        "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
        "TIMER_STARTED",
        "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
        "WORKFLOW_EXECUTION_UPDATE_COMPLETED",
    ]
    (signal,) = [e for e in events if e.HasField("workflow_execution_signaled_event_attributes")]
    first = events[-4].workflow_execution_update_accepted_event_attributes
    assert first.accepted_request_sequencing_event_id == signal.event_id
    assert (
        events[-1].workflow_execution_update_completed_event_attributes.accepted_event_id
        == events[-4].event_id
    )
    read_again = [e.body for e in read("w", events).records if isinstance(e.body, ev.UpdateAccepted)]
    assert [body.update_id for body in read_again] == ["u0", "u1"]


def test_a_local_activity_is_a_marker_and_its_task_goes_on() -> None:
    local = cmd.ScheduleActivity(1, "look", "q", (), start_to_close_s=5.0, activity_id="1", local=True)
    records = [
        Event(1, 1, 1, START),
        Event(2, 1, 1, local),
        Event(3, 2, 2_500_000, ev.ActivityCompleted(1, VALUE, 2)),
        Event(4, 2, 2_500_000, cmd.CompleteWorkflow(VALUE)),
    ]
    events = list(HistoryWriter().write(records))
    assert [event.event_type.short_name for event in events[-3:]] == [
        "WORKFLOW_TASK_COMPLETED",
        "MARKER_RECORDED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]
    reading = read("w", events)
    (end,) = [event for event in reading.records if isinstance(event.body, ev.ActivityCompleted)]
    assert (end.at_us, end.activation) == (2_500_000, 2)
    assert reading.local_activities["1"][0].activity_type == "look"


def test_a_reset_reseeds_by_the_id_of_the_run_that_it_made() -> None:
    start = ev.WorkflowStarted("w", "r3", "Water", "q", (), 0, original_run_id="r1")
    resets = [
        ev.WorkflowReset(seed_of("r2"), "r1", reason="again", identity="me"),
        ev.WorkflowReset(seed_of("r3"), "r2"),
    ]
    records = [
        Event(number, int(number == 1), number, body) for number, body in enumerate([start, *resets], 1)
    ]
    found = [event.body for event in read("w", list(HistoryWriter().write(records))).records]
    assert found[-2:] == resets


def test_an_update_of_a_reset_run_is_what_was_admitted() -> None:
    update = ("u", "ask", (VALUE,), MORE, "client")
    records = [
        Event(1, 1, 1, START),
        Event(2, 0, 2, ev.UpdateAdmitted(*update)),
        Event(3, 2, 3, ev.ActivationStarted()),
        Event(4, 2, 3, ev.UpdateAccepted(*update)),
    ]
    events = list(HistoryWriter().write(records))
    events[-1].workflow_execution_update_accepted_event_attributes.ClearField("accepted_request")
    bodies = [event.body for event in read("w", events).records]
    assert ev.UpdateAdmitted(*update) in bodies
    assert ev.UpdateAccepted(*update) in bodies


def test_an_execution_that_never_ran_shows_as_cancelled() -> None:
    start = ev.WorkflowStarted("w", "r", "Water", "q", (), 0, admitted=False)
    events = list(
        HistoryWriter().write([Event(1, 0, 1, start), Event(2, 0, 2, ev.WorkflowWithdrawn("late"))])
    )
    assert [event.event_type.short_name for event in events] == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_EXECUTION_CANCEL_REQUESTED",
        "WORKFLOW_EXECUTION_CANCELED",
    ]
