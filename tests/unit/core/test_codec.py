"""Events as bytes: they come back as they were, and what does not fit is refused by name."""

from __future__ import annotations

import dataclasses

import msgpack
import pytest

from overwinter.runtime.core import codec
from overwinter.runtime.core.commands import (
    CompleteWorkflow,
    PublishMessage,
    ScheduleActivity,
    SignalWithStart,
    StartTimer,
)
from overwinter.runtime.core.events import (
    ActivityFailed,
    Body,
    Signaled,
    TimeSkipped,
    TimeSkippingChanged,
    WorkflowStarted,
)
from overwinter.runtime.core.payload import Failure, Payload
from overwinter.runtime.core.retry import RetryRule
from overwinter.runtime.core.skipping import ClockStart, TimeSkipping

VALUE = Payload({"encoding": b"json/plain", "key": b"\x00\xff"}, b"[1]")
FAILURE = Failure(
    kind="application",
    message="no water",
    stack_trace="line 1",
    cause=Failure(kind="timeout", message="late", attributes={"timeout_type": "HEARTBEAT"}),
    details=(VALUE,),
    attributes={"type": "NoWater", "non_retryable": True},
)
BODIES: list[Body] = [
    WorkflowStarted("w", "r", "T", "q", (VALUE, VALUE), 2**62, retry=RetryRule(1.0, 2.0, 60.0, 3, ("A",))),
    Signaled("ä", (VALUE,), {"h": VALUE}, "farm/soil"),
    ActivityFailed(3, FAILURE, "TIMEOUT", 4),
    ScheduleActivity(1, "A", "q", (VALUE,), 1.5, None, 2.5, None, None, "id", {"h": VALUE}, "soil"),
    StartTimer(7, 10**15, "season", {"beds": "All beds"}),
    SignalWithStart(
        9, "w", "T", "q", (VALUE,), "go", (VALUE,), memo={"m": VALUE}, search_attributes={"A": ("Int", 1)}
    ),
    PublishMessage(8, "farm/valve", b"\x00", 1, True, 2.0),
    CompleteWorkflow(VALUE),
    WorkflowStarted("w", "r", "T", "q", (), 1, clock=ClockStart(TimeSkipping(True, True, 5), 7, 2)),
    WorkflowStarted("w", "r", "T", "q", (), 1, clock=ClockStart(skipped_us=7)),
    TimeSkipped(2**40, True, 2**41),
    TimeSkippingChanged(TimeSkipping(forward_id="f", forward_us=3_600_000_000)),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_an_event_comes_back_as_it_was(body: Body) -> None:
    assert codec.decode_body(codec.kind_of(body), codec.encode_body(body)) == body


def test_every_event_has_a_number_of_its_own() -> None:
    assert len(codec.KIND_OF) == len(codec.KINDS)


def test_an_older_event_without_the_last_fields_has_their_defaults() -> None:
    old = msgpack.packb([codec.FORMAT, 7, 1000])
    assert codec.decode_body(codec.KIND_OF[StartTimer], old) == StartTimer(7, 1000, "")


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (9999, b"\x90", "kind 9999 is unknown"),
        (34, b"\xc1", "do not decode"),
        (34, msgpack.packb([codec.FORMAT + 1, 7, 1000]), "format 2"),
        (34, msgpack.packb([codec.FORMAT, 7, 1000, "", {}, 1, "one more"]), "written by a newer one"),
        (34, msgpack.packb([codec.FORMAT]), "do not fit"),
        (37, msgpack.packb([codec.FORMAT, 5]), "do not fit"),
        (36, msgpack.packb([codec.FORMAT, msgpack.ExtType(1, b"x")]), "extension type 1"),
    ],
)
def test_bytes_that_are_no_event_are_refused_by_name(kind: int, data: bytes, said: str) -> None:
    with pytest.raises(codec.EventUnreadable, match=said):
        codec.decode_body(kind, data)


@pytest.mark.parametrize("body", [Signaled("\ud800", ()), StartTimer(1, 2**70), Signaled("s", (object(),))])  # type: ignore[arg-type]
def test_a_value_that_cannot_be_kept_is_refused(body: Body) -> None:
    with pytest.raises(codec.EventUnwritable, match=type(body).__name__):
        codec.encode_body(body)


def test_an_event_over_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "BODY_BYTES_MAX", 100)
    with pytest.raises(codec.EventUnwritable, match="expected at most 100"):
        codec.encode_body(dataclasses.replace(Signaled("s", ()), caused_by="x" * 200))


def test_the_chain_sees_every_flipped_bit_and_every_change_of_place() -> None:
    data = codec.encode_body(BODIES[1])
    start = codec.chain_start("run")
    whole = codec.chain_next(start, 1, 1, 1000, 5, data)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert codec.chain_next(start, 1, 1, 1000, 5, bytes(flipped)) != whole
    places = [(2, 1, 1000, 5), (1, 2, 1000, 5), (1, 1, 1001, 5), (1, 1, 1000, 6)]
    assert all(codec.chain_next(start, *place, data) != whole for place in places)
    assert codec.chain_next(codec.chain_start("other run"), 1, 1, 1000, 5, data) != whole
