"""The message that failure converters fill in: it behaves as protobuf's does, and a history's record loses nothing of it."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common import v1 as their_common
from temporalio.api.failure import v1 as theirs

from overwinter.runtime.api.common import v1 as our_common
from overwinter.runtime.api.failure import v1 as ours
from overwinter.runtime.core.payload import Failure, Payload
from overwinter.runtime.failure_messages import message_of, record_of

KINDS = list(ours.Failure.ONEOFS["failure_info"])
SCALARS: dict[str, list[tuple[str, Any]]] = {
    "application_failure_info": [("type", "Dry"), ("non_retryable", True), ("category", 1)],
    "timeout_failure_info": [("timeout_type", 4)],
    "server_failure_info": [("non_retryable", True)],
    "activity_failure_info": [("activity_id", "7"), ("retry_state", 4), ("scheduled_event_id", 5)],
    "child_workflow_execution_failure_info": [("namespace", "n"), ("started_event_id", 6)],
}


def steps(seed: int, count: int) -> list[Any]:
    """Things that a converter may do to a failure, as functions of it and of the messages' module."""
    chance = random.Random(seed)

    def step() -> Any:
        kind = chance.choice(KINDS)
        text = chance.choice(["", "m", "longer"])
        match chance.randrange(8):
            case 0:
                return lambda f, _m: setattr(f, "message", text)
            case 1:
                return lambda f, _m: getattr(f, kind).SetInParent()
            case 2 if kind in SCALARS:
                name, value = chance.choice(SCALARS[kind])
                return lambda f, _m: setattr(getattr(f, kind), name, value)
            case 3:
                return lambda f, m: f.application_failure_info.details.CopyFrom(
                    m.Payloads(payloads=[m.Payload(metadata={"encoding": b"e"}, data=text.encode())])
                )
            case 4:
                return lambda f, _m: f.ClearField(kind)
            case 5:
                return lambda f, _m: setattr(f.cause, "message", text)
            case 6:
                return lambda f, m: f.encoded_attributes.CopyFrom(m.Payload(data=b"hidden"))
            case _:
                return lambda f, _m: getattr(f, kind)  # looked at, and nothing more

    return [step() for _ in range(count)]


def seen(failure: Any) -> dict[str, Any]:
    """All that can be asked of a failure."""
    return {
        "message": failure.message,
        "kind": failure.WhichOneof("failure_info"),
        "has": [name for name in [*KINDS, "cause", "encoded_attributes"] if failure.HasField(name)],
        "scalars": [
            getattr(getattr(failure, kind), name) for kind, known in SCALARS.items() for name, _ in known
        ],
        "details": [payload.data for payload in failure.application_failure_info.details.payloads],
        "cause": failure.cause.message,
    }


@pytest.mark.parametrize("seed", range(50))
def test_it_answers_as_protobufs_message_whatever_is_done_to_it(seed: int) -> None:
    print(f"seed {seed}")
    ours_now, theirs_now = ours.Failure(), theirs.Failure()
    for number, step in enumerate(steps(seed, 12)):
        step(ours_now, our_common)
        step(theirs_now, their_common)
        assert seen(ours_now) == seen(theirs_now), f"after step {number}"


def test_a_copy_is_equal_and_shares_nothing() -> None:
    failure = ours.Failure(message="m")
    failure.application_failure_info.details.payloads.add().data = b"1"
    copied = ours.Failure()
    copied.CopyFrom(failure)
    assert copied == failure
    copied.application_failure_info.details.payloads[0].data = b"2"
    assert failure.application_failure_info.details.payloads[0].data == b"1"
    assert copied != failure


def test_what_a_message_does_not_have_is_refused_by_name() -> None:
    failure = ours.Failure()
    with pytest.raises(ValueError, match="no field 'failure_info_of_mine'"):
        failure.HasField("failure_info_of_mine")
    with pytest.raises(ValueError, match="always there"):
        failure.HasField("message")
    with pytest.raises(TypeError, match=r"Failure.message is set to a int, expected str"):
        failure.message = 3  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="CopyFrom"):
        failure.cause = ours.Failure()


def test_durations_are_whole_microseconds_in_both_directions() -> None:
    for delta in (timedelta(seconds=1.5), timedelta(microseconds=1), timedelta(days=400, microseconds=7)):
        duration = ours.Duration()
        duration.FromTimedelta(delta)
        assert duration.ToTimedelta() == delta


DETAIL = Payload({"encoding": b"json/plain"}, b"1")


@pytest.mark.parametrize(
    "record",
    [
        Failure(
            kind="application",
            message="m",
            stack_trace="s",
            details=(DETAIL,),
            attributes={
                "type": "T",
                "non_retryable": True,
                "next_retry_delay_s": 1.5,
                "category": "BENIGN",
            },
        ),
        Failure(kind="application", message="m", attributes={"type": None}),
        Failure(
            kind="application",
            message="m",
            details=(DETAIL, DETAIL),
            attributes={"type": None, "encoded": True},
        ),
        Failure(kind="timeout", message="m", details=(DETAIL,), attributes={"timeout_type": "HEARTBEAT"}),
        Failure(kind="canceled", message="m"),
        Failure(kind="terminated", message="m", details=(DETAIL,)),
        Failure(kind="server", message="m", attributes={"non_retryable": False}),
        Failure(kind="failure", message="m"),
        Failure(
            kind="activity",
            message="m",
            cause=Failure(kind="canceled", message="inner", details=(DETAIL,)),
            attributes={
                "scheduled_event_id": 5,
                "started_event_id": 6,
                "identity": "i",
                "activity_type": "t",
                "activity_id": "7",
                "retry_state": "TIMEOUT",
            },
        ),
        Failure(
            kind="child_workflow",
            message="m",
            attributes={
                "namespace": "n",
                "workflow_id": "w",
                "run_id": "r",
                "workflow_type": "t",
                "initiated_event_id": 1,
                "started_event_id": 2,
                "retry_state": None,
            },
        ),
    ],
    ids=lambda record: record.kind,
)
def test_a_record_becomes_a_message_and_the_same_record_again(record: Failure) -> None:
    assert record_of(message_of(record)) == record
