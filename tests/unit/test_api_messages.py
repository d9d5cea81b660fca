"""Records of Temporal's protocol as client code uses them, without protobuf."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta, timezone

import pytest

from overwinter.runtime.api._json import from_json_dict, to_json_dict
from overwinter.runtime.api.common.v1 import Header, Payload, Payloads, WorkflowExecution
from overwinter.runtime.api.enums.v1 import EVENT_TYPE_TIMER_FIRED, EventType, RetryState  # type: ignore[attr-defined]
from overwinter.runtime.api.history.v1 import History, HistoryEvent
from overwinter.runtime.api.time import Duration, Timestamp


def test_unset_fields_read_as_defaults_and_reading_sets_nothing() -> None:
    event = HistoryEvent()
    assert (event.event_id, event.event_type, event.worker_may_ignore) == (0, 0, False)
    assert event.timer_started_event_attributes.timer_id == ""
    assert list(event.activity_task_scheduled_event_attributes.input.payloads) == []
    assert event.activity_task_scheduled_event_attributes.header.fields == {}
    assert not event.HasField("timer_started_event_attributes")
    assert event.WhichOneof("attributes") is None
    assert event.ListFields() == []
    assert event == HistoryEvent()


def test_what_is_set_within_sets_what_is_around_it_and_takes_the_place_of_others() -> None:
    event = HistoryEvent()
    event.activity_task_scheduled_event_attributes.activity_type.name = "water"
    assert event.HasField("activity_task_scheduled_event_attributes")
    event.workflow_execution_started_event_attributes.input.payloads.add(data=b"1")
    assert event.WhichOneof("attributes") == "workflow_execution_started_event_attributes"
    assert not event.HasField("activity_task_scheduled_event_attributes")
    event.workflow_execution_started_event_attributes.header.fields["a"] = Payload(data=b"2")
    assert event.workflow_execution_started_event_attributes.header.fields["a"].data == b"2"
    assert Header().fields["missing"] == Payload()


def test_fields_are_given_by_name_and_changed_only_as_they_may_be() -> None:
    execution = WorkflowExecution(workflow_id="w", run_id=None)
    execution.run_id = "r"
    assert execution == WorkflowExecution(workflow_id="w", run_id="r")
    assert execution != WorkflowExecution(workflow_id="w")
    with pytest.raises(ValueError, match="no field 'color'"):
        WorkflowExecution(color="red")
    with pytest.raises(AttributeError, match="no field 'color'"):
        execution.color = "red"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="use its own methods"):
        Payloads().payloads = []
    with pytest.raises(AttributeError, match="use its CopyFrom"):
        HistoryEvent().event_time = Timestamp()
    history = History(events=[{"event_id": 4, "event_type": "TimerFired"}])
    assert history.events[0].event_type is EventType.EVENT_TYPE_TIMER_FIRED
    assert copy.deepcopy(history) == history


def test_enumerations_are_numbers_with_names() -> None:
    assert EventType.Name(4) == "EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT"
    assert EventType.Value("EVENT_TYPE_TIMER_FIRED") == EVENT_TYPE_TIMER_FIRED
    assert EventType.EVENT_TYPE_TIMER_FIRED.short_name == "TIMER_FIRED"
    assert RetryState.RETRY_STATE_UNSPECIFIED.short_name == ""
    for written in (
        11,
        "11",
        "EVENT_TYPE_ACTIVITY_TASK_STARTED",
        "ActivityTaskStarted",
        "ACTIVITY_TASK_STARTED",
    ):
        assert EventType.of(written) is EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
    assert EventType.of(999) == 999, "of a newer version"
    with pytest.raises(ValueError, match="no value defined for name 'SUNRISE'"):
        EventType.Value("SUNRISE")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T06:00:00Z", datetime(2026, 3, 1, 6, tzinfo=UTC)),
        ("2026-03-01T06:00:00.250Z", datetime(2026, 3, 1, 6, 0, 0, 250_000, UTC)),
        ("1969-12-31T23:59:59.000001Z", datetime(1969, 12, 31, 23, 59, 59, 1, UTC)),
    ],
)
def test_instants(text: str, instant: datetime) -> None:
    found = Timestamp()
    found.FromDatetime(instant)
    assert found.ToJsonString() == text
    assert found.ToDatetime(UTC) == instant
    assert found.ToDatetime() == instant.replace(tzinfo=None)
    again = Timestamp()
    again.FromJsonString(text.replace("Z", "+00:00"))
    assert again == found
    east = Timestamp()
    east.FromDatetime(instant.astimezone(timezone(timedelta(hours=5))))
    assert east == found


@pytest.mark.parametrize(
    ("text", "length"),
    [("0s", timedelta()), ("1.500s", timedelta(seconds=1.5)), ("-0.000001s", -timedelta(microseconds=1))],
)
def test_durations(text: str, length: timedelta) -> None:
    found = Duration()
    found.FromTimedelta(length)
    assert (found.ToJsonString(), found.ToTimedelta()) == (text, length)
    assert found.ToMilliseconds() == int(length / timedelta(milliseconds=1))
    again = Duration()
    again.FromJsonString(text)
    assert again == found


def test_nanoseconds_survive_though_python_has_none() -> None:
    found = Timestamp()
    found.FromJsonString("2024-12-30T22:38:44.668149481Z")
    assert found.ToJsonString() == "2024-12-30T22:38:44.668149481Z"
    assert found.ToMicroseconds() % 1_000_000 == 668_149


def test_json_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    found = from_json_dict(
        HistoryEvent,
        {
            "event_id": 7,
            "eventType": "EVENT_TYPE_OF_TOMORROW",
            "timerStartedEventAttributes": {"timerId": "1", "moonPhase": {"full": True}},
            "taskId": None,
        },
    )
    assert to_json_dict(found) == {"eventId": "7", "timerStartedEventAttributes": {"timerId": "1"}}


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"eventId": "seven"}, "event 1.eventId"),
        ({"eventId": 1.5}, "expected a whole number"),
        ({"workerMayIgnore": "yes"}, "expected true or false"),
        ({"timerStartedEventAttributes": []}, "expected a JSON object"),
        ({"timerStartedEventAttributes": {"timerId": 3}}, "timerId: expected a text"),
        ({"timerStartedEventAttributes": {"startToFireTimeout": "soon"}}, "no duration such as"),
        ({"markerRecordedEventAttributes": {"details": []}}, "details: expected a JSON object"),
        ({"userMetadata": {"summary": {"data": "!"}}}, "expected base64"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(attributes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json_dict(HistoryEvent, attributes, "event 1")
