"""What travels arrives as it was, and nothing else arrives."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from typing import Any, get_type_hints

import msgpack
import pytest

from overwinter.runtime.core.events import Event, Signaled
from overwinter.runtime.core.payload import Failure, Payload
from overwinter.runtime.frontend import Frontend
from overwinter.runtime.remote.calls import CALLS, decode_error, encode_error
from overwinter.runtime.remote.frames import FrameRefused, unpack
from overwinter.runtime.remote.records import Misfit, coder_of
from overwinter.runtime.requests import StartRequest
from overwinter.runtime.service import RPCError, RPCStatusCode

from .absurd import absurd


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("OVERWINTER_SEED", random.randrange(1 << 32)))
    print(f"OVERWINTER_SEED={seed}")
    return random.Random(seed)


def through_the_wire(hint: Any, value: Any) -> Any:
    coder = coder_of(hint)
    return coder.decode(msgpack.unpackb(msgpack.packb(coder.encoded(value))), 0)


@pytest.mark.parametrize("name", CALLS)
def test_arguments_and_answers_arrive_as_they_were(name: str, dice: random.Random) -> None:
    hints = {each: hint for each, hint in get_type_hints(getattr(Frontend, name)).items() if each != "once"}
    for _ in range(100):
        for each, hint in hints.items():
            value = absurd(dice, hint)
            assert through_the_wire(hint, value) == value, each


@pytest.mark.parametrize("hint", [StartRequest, Event, Failure, Signaled, list[Payload], timedelta | None])
def test_bytes_at_random_become_a_value_or_a_misfit(hint: Any, dice: random.Random) -> None:
    coder = coder_of(hint)
    misfits = 0
    for _ in range(3000):
        body = bytearray(msgpack.packb(["x", coder.encoded(absurd(dice, hint))]))
        for _ in range(dice.randrange(1, 4)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        try:
            found = msgpack.unpackb(bytes(body))
        except Exception:
            continue
        try:
            coder.decode(found[1] if isinstance(found, list) and len(found) > 1 else found, 0)
        except Misfit:
            misfits += 1
    assert misfits


def test_frames_at_random_are_frames_or_refused(dice: random.Random) -> None:
    for _ in range(20_000):
        try:
            unpack(dice.randbytes(dice.randrange(40)))
        except FrameRefused:
            pass


def test_a_record_with_fewer_fields_is_of_an_older_program_and_one_with_more_is_refused() -> None:
    coder = coder_of(Signaled)
    assert coder.decode(["put", []], 0) == Signaled("put", ())
    with pytest.raises(Misfit, match="expected 2 to 4 fields of Signaled, found 5"):
        coder.decode(["put", [], {}, "", "of a newer program"], 0)
    with pytest.raises(Misfit, match="expected 2 to 4 fields of Signaled, found 1"):
        coder.decode(["put"], 0)


def test_a_type_that_cannot_travel_is_refused_when_its_call_is_made() -> None:
    with pytest.raises(TypeError, match="cannot travel"):
        coder_of(Client)


class Client:
    """Not a record."""


def test_an_error_that_no_caller_can_know_of_is_logged_and_told_as_internal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = decode_error(encode_error(KeyError("what")))
    assert isinstance(told, RPCError)
    assert told.status == RPCStatusCode.INTERNAL
    assert "cannot be told" in caplog.text


@pytest.mark.parametrize(
    "found", [None, [], ["of a newer gateway", 1], ["rpc"], ["rpc", 1, 2], ["rpc", "x", 999], {"a": 1}, [[]]]
)
def test_an_error_of_another_release_is_an_error_all_the_same(found: Any) -> None:
    told = decode_error(found)
    assert isinstance(told, RPCError)
    assert told.status == RPCStatusCode.UNKNOWN


def test_what_only_an_engine_sets_cannot_be_sent() -> None:
    request = StartRequest(workflow_id="w", workflow_type="W", task_queue="q", attempt=2)
    with pytest.raises(ValueError, match="attempt of a StartRequest cannot be set from another process"):
        coder_of(StartRequest).encoded(request)
