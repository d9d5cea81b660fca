"""Whatever goes in comes out; whatever bytes are read, only the stated errors come."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import Enum
from typing import Any, cast
from uuid import UUID

import msgpack  # pyright: ignore[reportMissingTypeStubs] - there are none
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.runtime.converter import PayloadConverter, PayloadLimitError, PayloadUnreadable, value_to_type
from overwinter.runtime.core.payload import Payload

PAYLOADS = PayloadConverter.default
MSGPACK = {"encoding": b"msgpack/plain"}
packb: Any = cast("Any", msgpack).packb

any_text = st.text(alphabet=st.characters(), max_size=20)
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text | st.binary(max_size=20)
)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(any_text, inner, max_size=5),
    max_leaves=30,
)
json_keys = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)

# Each failure prints the line that repeats it; slowness is no failure.
SAMPLED = settings(deadline=None, print_blob=True)


class Soil(Enum):
    CLAY = "clay"
    SAND = 2


@dataclass
class Leaf:
    number: int
    text: str
    at: datetime
    day: date
    clock: time
    id: UUID
    soil: Soil
    raw: bytes


@dataclass
class Branch:
    name: str
    leaves: list[Leaf] = field(default_factory=list[Leaf])
    by_number: dict[int, tuple[float, ...]] = field(default_factory=dict[int, tuple[float, ...]])
    inner: Branch | None = None
    marks: set[str] = field(default_factory=set[str])
    either: int | str | None = None


leaves = st.builds(Leaf, raw=st.binary(max_size=10), at=st.datetimes(), clock=st.times())
finite = st.floats(allow_nan=False)
branches = st.recursive(
    st.none(),
    lambda inner: st.builds(
        Branch,
        name=st.text(max_size=5),
        leaves=st.lists(leaves, max_size=2),
        by_number=st.dictionaries(st.integers(), st.lists(finite, max_size=2).map(tuple), max_size=2),
        inner=inner,
        marks=st.sets(st.text(max_size=3), max_size=3),
        either=st.none() | st.integers() | st.text(max_size=3),
    ),
    max_leaves=4,
)


def read(data: bytes, hint: Any = None) -> Any:
    return PAYLOADS.from_payload(Payload(MSGPACK, data), hint)


@given(plain)
@SAMPLED
def test_plain_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    back = PAYLOADS.from_payload(PAYLOADS.to_payload(value))
    assert back == value
    assert repr(back) == repr(value)


@given(st.dictionaries(json_keys, scalars.filter(lambda value: not isinstance(value, bytes)), max_size=5))
@SAMPLED
def test_keys_are_those_of_json(value: dict[Any, Any]) -> None:
    expected = json.loads(json.dumps(value))
    if len(expected) < len(value):
        with pytest.raises(TypeError, match="same text"):
            PAYLOADS.to_payload(value)
    else:
        assert PAYLOADS.from_payload(PAYLOADS.to_payload(value)) == expected


@given(branches)
@settings(SAMPLED, max_examples=60)
def test_dataclasses_come_back_equal_by_their_hints(value: Branch | None) -> None:
    assert PAYLOADS.from_payload(PAYLOADS.to_payload(value), Branch | None) == value


@given(st.binary(max_size=300))
@settings(SAMPLED, max_examples=500)
def test_hostile_bytes_are_a_plain_value_or_unreadable(data: bytes) -> None:
    try:
        value = read(data)
    except PayloadUnreadable:
        return
    assert_plain(value)


def assert_plain(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            assert type(key) in (str, bytes)  # pyright: ignore[reportUnknownArgumentType]
            assert_plain(item)
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            assert_plain(item)
    else:
        assert value is None or type(value) in (bool, int, float, str, bytes)


@given(plain.map(lambda value: packb(value, unicode_errors="surrogatepass", default=str)), st.data())
@settings(SAMPLED, max_examples=200)
def test_a_damaged_payload_is_a_plain_value_or_unreadable(whole: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + data.draw(st.integers(0, 2)) :]
    try:
        assert_plain(read(damaged))
    except PayloadUnreadable:
        pass


@given(
    plain,
    st.sampled_from([Branch, Leaf, list[Leaf], dict[int, Branch], tuple[int, str], Soil, set[int], datetime]),
)
@settings(SAMPLED, max_examples=300)
def test_a_value_that_does_not_fit_its_hint_is_a_type_error(value: Any, hint: Any) -> None:
    try:
        value_to_type(hint, value)
    except TypeError as refused:
        assert len(str(refused)) < 2000


@given(st.integers(1, 200), st.booleans())
@SAMPLED
def test_nesting_is_refused_exactly_above_the_limit(depth: int, mapped: bool) -> None:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if mapped else [value]
    if depth > 64:
        with pytest.raises(PayloadLimitError):
            PAYLOADS.to_payload(value)
    else:
        assert PAYLOADS.from_payload(PAYLOADS.to_payload(value)) == value
    data = packb(value)
    if depth > 128:
        with pytest.raises(PayloadUnreadable):
            read(data)
    else:
        assert read(data) == value


def claims() -> Iterator[bytes]:
    """Bytes that claim far more than they hold, up to the size at which lengths are checked first, and above."""
    for size in (4096, 4097, 2 << 20):
        length = (size - 1).to_bytes(4, "big")
        for head in (b"\xdd", b"\xdf", b"\xdb", b"\xc6"):
            yield (head + length + (b"\xa0" if head == b"\xdf" else b"")) * (size // 6)
            yield (head + length) * 500 + b"\0" * (size - 2500)


@pytest.mark.parametrize("data", list(claims()), ids=lambda data: f"{data[0]:02x}-{len(data)}")
def test_claimed_lengths_reserve_no_more_than_a_few_times_the_bytes(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PayloadUnreadable):
            read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 36 << 20
