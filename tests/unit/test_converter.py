"""Values and failures as payloads, and back."""

from __future__ import annotations

import asyncio
import collections
import collections.abc
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    cast,
)
from uuid import UUID

import msgpack  # pyright: ignore[reportMissingTypeStubs] - there are none
import numpy as np
import pytest

from overwinter.runtime import converter
from overwinter.runtime.api.failure.v1 import Failure as Message
from overwinter.runtime.common import RawValue
from overwinter.runtime.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    FailureConverter,
    JSONPlainPayloadConverter,
    JSONTypeConverter,
    MsgpackPlainPayloadConverter,
    PayloadCodec,
    PayloadConverter,
    PayloadLimitError,
    PayloadLimits,
    PayloadUnreadable,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
    value_to_type,
)
from overwinter.runtime.core.payload import Failure, Payload
from overwinter.runtime.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    ServerError,
    TerminatedError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from overwinter.runtime.exceptions import TimeoutError as OurTimeoutError
from overwinter.runtime.failure_messages import message_of
from overwinter.runtime.values import ConvertedValues

if TYPE_CHECKING:
    from somewhere_unknown import Missing  # type: ignore[import-not-found]  # pyright: ignore

PAYLOADS = PayloadConverter.default
FAILURES = FailureConverter.default
packb: Any = cast("Any", msgpack).packb


class Soil(Enum):
    CLAY = "clay"
    SAND = "sand"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Unit(StrEnum):
    LITRE = "l"


@dataclass
class Reading:
    moisture: float
    samples: list[int] = field(default_factory=list[int])
    at: datetime | None = None


@dataclass(frozen=True)
class Field:
    name: str
    reading: Reading
    soil: Soil = Soil.CLAY
    missing: Missing | None = None
    area: float = field(init=False, default=0.0)


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list["Tree"])


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T]


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Order(TypedDict, total=False):
    litres: float
    due: date


FieldId = NewType("FieldId", str)


def there_and_back(value: Any, hint: Any = None) -> Any:
    return PAYLOADS.from_payload(PAYLOADS.to_payload(value), hint)


# -- encoding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (None, "binary/null"),
        (b"\x00\xff", "binary/plain"),
        (3, "msgpack/plain"),
        ({"a": [1]}, "msgpack/plain"),
    ],
)
def test_each_value_has_its_encoding(value: Any, encoding: str) -> None:
    payload = PAYLOADS.to_payload(value)
    assert payload.encoding == encoding
    assert there_and_back(value) == value


class Stamping(JSONPlainPayloadConverter):
    """As authors write them for protobuf payloads: it changes the metadata of a payload that it was given."""

    def to_payload(self, value: Any) -> Payload | None:
        payload = super().to_payload(value)
        assert payload is not None
        payload.metadata["encoding"] = b"stamped"
        return payload

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        payload.metadata["encoding"] = b"json/plain"
        return super().from_payload(payload, type_hint)


def test_a_converter_may_change_metadata_in_place() -> None:
    theirs = CompositePayloadConverter(Stamping(encoding="stamped"), JSONPlainPayloadConverter())
    payload = theirs.to_payload("a")
    assert payload.encoding == "stamped"
    assert [theirs.from_payload(payload), theirs.from_payload(payload)] == ["a", "a"]
    assert PAYLOADS.to_payload("a").encoding == "msgpack/plain"
    assert JSONPlainPayloadConverter().to_payload("a") == Payload({"encoding": b"json/plain"}, b'"a"')


@pytest.mark.parametrize(
    "theirs",
    [JSONPlainPayloadConverter(decoder=json.JSONDecoder), Stamping()],
    ids=["with options", "of a class of its own"],
)
def test_a_json_converter_that_takes_the_default_one_s_place_writes(
    theirs: JSONPlainPayloadConverter,
) -> None:
    composite = CompositePayloadConverter(
        *(
            theirs if isinstance(each, JSONPlainPayloadConverter) else each
            for each in DefaultPayloadConverter.default_encoding_payload_converters
        )
    )
    assert composite.to_payload({"a": 1}).data == b'{"a":1}'
    assert composite.to_payload(b"bytes").encoding == "binary/plain"
    assert composite.from_payload(PAYLOADS.to_payload({"a": 1})) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Reading(0.5, [1, 2]), {"moisture": 0.5, "samples": [1, 2], "at": None}),
        ([Soil.CLAY, Level.HIGH, Unit.LITRE], ["clay", 2, "l"]),
        (datetime(2026, 11, 24, 5, tzinfo=UTC), "2026-11-24T05:00:00+00:00"),
        ({"d": date(2026, 1, 2), "t": time(3, 4)}, {"d": "2026-01-02", "t": "03:04:00"}),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ({1, 2, 3}, [1, 2, 3]),
        ((1, (2, "x")), [1, [2, "x"]]),
        (Point(1, 2.0), [1, 2.0]),
        (range(3), [0, 1, 2]),
        (iter([1, 2]), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.deque([1]), [1]),
        ({"raw": bytearray(b"ab")}, {"raw": b"ab"}),
        (np.float32(0.5), 0.5),
        (np.arange(6, dtype=np.int16).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
        ({"n": np.int64(7), "ok": np.bool_(True)}, {"n": 7, "ok": True}),
        ("\ud800", "\ud800"),
    ],  # pyright: ignore[reportUnknownArgumentType]
)
def test_a_value_that_is_not_plain_is_kept_as_its_plain_form(value: Any, plain: Any) -> None:
    assert there_and_back(value) == plain


def test_keys_become_text_as_in_json() -> None:
    value = {1: "a", True + 1: "b", None: "c", 1.5: "d", float("inf"): "e", Level.HIGH + 1: "f", False: "g"}
    assert there_and_back(value) == json.loads(json.dumps(value))
    assert there_and_back({Soil.CLAY: 1, Level.LOW: 2}) == {"clay": 1, "1": 2}
    assert there_and_back({"outer": {2: {3: 4}}}) == {"outer": {"2": {"3": 4}}}


def test_a_key_that_is_no_text_is_refused_with_its_place() -> None:
    with pytest.raises(TypeError, match=r"^a\[0\]\[\(1, 2\)\]: a map's key is of type tuple"):
        PAYLOADS.to_payload({"a": [{(1, 2): 3}]})


def test_two_keys_of_one_text_are_refused_rather_than_one_lost() -> None:
    with pytest.raises(TypeError, match="same text"):
        PAYLOADS.to_payload({1: "a", "1": "b"})


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**63) - 1, 10**400, {"n": [2**200]}])
def test_wide_integers_are_exact(value: Any) -> None:
    assert there_and_back(value) == value


def test_numbers_that_json_in_python_allows_are_kept() -> None:
    assert there_and_back([float("inf"), float("-inf")]) == [float("inf"), float("-inf")]
    assert there_and_back(float("nan")) != there_and_back(float("nan"))


def test_a_set_is_written_in_the_order_of_its_content_since_text_hashes_differently_each_time() -> None:
    words = [f"field-{number:02}" for number in range(50)]
    assert there_and_back(set(words)) == words
    assert there_and_back({(1, "b"), (1, "a")}) == [[1, "a"], [1, "b"]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"^builtins\.object has no stored form"),
        ({"wait": timedelta(seconds=1)}, r"^wait: datetime\.timedelta has no stored form"),
        ([1, Decimal("0.1")], r"^\[1\]: decimal\.Decimal"),
        (Reading(0.1, [lambda: None]), r"^samples\[0\]: builtins\.function"),  # type: ignore[list-item]  # pyright: ignore
        ({"of": Soil}, r"^of: enum\.EnumType has no stored form"),
        ({"an odd key": object()}, r"^\['an odd key'\]: builtins\.object"),
    ],
)
def test_a_value_without_stored_form_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        PAYLOADS.to_payload(value)


def test_the_caller_adds_the_name_of_the_argument() -> None:
    with pytest.raises(converter.LocatedError) as caught:
        PAYLOADS.to_payload({"wait": object()})
    assert str(caught.value.within("order")).startswith("order.wait: ")


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"x" * 101, "x" * 100, list(range(100)), {"a": ["x" * 50, "y" * 50]}])
def test_a_value_above_the_limit_is_refused_and_told_what_to_do(value: Any) -> None:
    small = DefaultPayloadConverter(PayloadLimits(bytes_max=100))
    with pytest.raises(
        PayloadLimitError, match=r"at most 100 bytes \(PayloadLimits.bytes_max\).*file.*reference"
    ):
        small.to_payload(value)
    assert DefaultPayloadConverter(PayloadLimits(bytes_max=1000)).to_payload(value)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_is_allowed_up_to_the_limit() -> None:
    assert there_and_back(nested(64)) == nested(64)
    with pytest.raises(PayloadLimitError, match=r"more than 64 levels deep \(PayloadLimits.depth_max\)"):
        PAYLOADS.to_payload(nested(65))
    with pytest.raises(PayloadLimitError):
        PAYLOADS.to_payload(nested(100_000))


def test_a_value_that_contains_itself_is_refused() -> None:
    circular: dict[str, Any] = {}
    circular["again"] = [circular]
    tree = Tree(1)
    tree.children.append(tree)
    for value in (circular, tree):
        with pytest.raises(PayloadLimitError, match="contains itself"):
            PAYLOADS.to_payload(value)


def test_a_small_value_that_unfolds_into_a_huge_one_is_refused() -> None:
    value: list[Any] = [1, 2]
    for _ in range(50):
        value = [value] * 10
    with pytest.raises(PayloadLimitError, match="bytes_max"):
        PAYLOADS.to_payload(value)


def test_an_endless_iterable_is_refused() -> None:
    def zeros() -> Iterator[int]:
        yield from itertools.repeat(0)

    with pytest.raises(PayloadLimitError, match="items"):
        PAYLOADS.to_payload({"zeros": zeros()})


def test_a_large_array_is_refused_before_it_is_copied() -> None:
    image = np.broadcast_to(np.uint8(0), (100_000, 100_000))
    with pytest.raises(
        PayloadLimitError, match=r"^image: an array of shape \(100000, 100000\) and dtype uint8.*file"
    ):
        PAYLOADS.to_payload({"image": image})


def test_an_integer_that_python_would_not_print_is_refused() -> None:
    with pytest.raises(PayloadLimitError, match="4300"):
        PAYLOADS.to_payload([1 << 50_000])


@pytest.mark.parametrize("limits", [{"bytes_max": 0}, {"bytes_max": 65 << 20}, {"depth_max": 129}])
def test_limits_that_could_not_be_read_back_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 to"):
        PayloadLimits(**limits)


def test_what_was_written_under_a_larger_limit_stays_readable() -> None:
    large = DefaultPayloadConverter(PayloadLimits(bytes_max=8 << 20, depth_max=128))
    small = DefaultPayloadConverter(PayloadLimits(bytes_max=10, depth_max=1))
    for value in ("x" * (4 << 20), nested(128)):
        assert small.from_payload(large.to_payload(value)) == value


# -- decoding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\x92\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\x01\x01",
        b"\x81\x91\x01\x01",
        b"\xa1\xff",
        b"\xd6\xff\x00\x00\x00\x01",
        b"\x91\xd6\xff\x00\x00\x00\x01",
        b"\xd4\x05\x00",
        b"\xd4\x01\x20",
        b"\xd5\x01 1",
        b"\xc7\x03\x011_1",
        b"\xc7\x00\x01",
        b"\x91" * 200 + b"\x01",
        b"\x91" * 100_000,
        b"\xdd\x00\x1f\xff\xff" * 400_000,
        b"\xdf\x00\x1f\xff\xff\xa0" * 300_000,
    ],
)
def test_bytes_that_were_not_written_here_are_unreadable(data: bytes) -> None:
    payload = Payload(PAYLOADS.to_payload(1).metadata, data)
    with pytest.raises(PayloadUnreadable):
        PAYLOADS.from_payload(payload)


def test_json_is_read() -> None:
    payload = Payload({"encoding": b"json/plain"}, b'{"moisture": 0.5, "samples": [1]}')
    assert PAYLOADS.from_payload(payload, Reading) == Reading(0.5, [1])
    for data in (b"{", b"[" * 100_000, b"9" * 5000, b"\xff"):
        with pytest.raises(PayloadUnreadable):
            PAYLOADS.from_payload(Payload({"encoding": b"json/plain"}, data))


def test_json_written_by_a_composite_of_ones_own_has_sorted_keys_and_numbers_for_bytes() -> None:
    own = CompositePayloadConverter(JSONPlainPayloadConverter())
    payload = own.to_payload({"b": Reading(1.0), "a": {b"xy": 1}.popitem()[0]})
    assert payload.data == b'{"a":[120,121],"b":{"at":null,"moisture":1.0,"samples":[]}}'
    with pytest.raises(PayloadLimitError):
        own.to_payload(nested(100_000))


def test_an_unknown_encoding_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="json/sealed.*msgpack/plain"):
        PAYLOADS.from_payload(Payload({"encoding": b"json/sealed"}, b""))


def test_a_null_with_bytes_is_unreadable() -> None:
    with pytest.raises(PayloadUnreadable):
        PAYLOADS.from_payload(Payload({"encoding": b"binary/null"}, b"x"))


def test_a_raw_value_passes_both_ways_untouched() -> None:
    payload = Payload({"encoding": b"anything"}, b"xyz")
    assert PAYLOADS.to_payload(RawValue(payload)) is payload
    assert PAYLOADS.from_payload(payload, RawValue) == RawValue(payload)


def test_missing_hints_ask_for_nothing() -> None:
    payloads = PAYLOADS.to_payloads([1, [2], None])
    assert PAYLOADS.from_payloads(payloads, [float]) == [1.0, [2], None]
    assert PAYLOADS.from_payloads(payloads) == [1, [2], None]


# -- type hints ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, 3.0, 3),
        (float, 3, 3.0),
        (object, [1], [1]),
        (Any, "x", "x"),
        (None, None, None),
        (T, 5, 5),
        (bytes, [1, 2], b"\x01\x02"),
        (datetime, "2026-11-24T05:00:00Z", datetime(2026, 11, 24, 5, tzinfo=UTC)),
        (date, "2026-11-24", date(2026, 11, 24)),
        (time, "05:00", time(5)),
        (UUID, str(UUID(int=7)), UUID(int=7)),
        (Soil, "sand", Soil.SAND),
        (Level, 2, Level.HIGH),
        (Unit, "l", Unit.LITRE),
        (FieldId, "north", "north"),
        (Literal["a", 1], 1, 1),
        (Literal[Soil.CLAY], "clay", Soil.CLAY),
        (Annotated[int, "litres"], 3, 3),
        (Optional[Reading], None, None),  # noqa: UP045 - both spellings are read
        (Reading | None, {"moisture": 1}, Reading(1.0)),
        (int | float, 3.7, 3.7),
        (float | int, 3, 3),
        (Reading | Point, [1, 2], Point(1, 2.0)),
        (list, [1, "a"], [1, "a"]),
        (Sequence[float], [1, 2], [1.0, 2.0]),
        (list[Reading], [{"moisture": 1}], [Reading(1.0)]),
        (set[int], [1, 1], {1}),
        (frozenset[str], ["a"], frozenset("a")),
        (collections.abc.Set[int], [1], {1}),
        (collections.deque[int], [1], collections.deque([1])),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (tuple[()], [], ()),
        (Point, [1, 2], Point(1, 2.0)),
        (dict, {"a": 1}, {"a": 1}),
        (Mapping[str, float], {"a": 1}, {"a": 1.0}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (dict[float, str], {"1.5": "a", "Infinity": "b"}, {1.5: "a", float("inf"): "b"}),
        (dict[bool, int], {"true": 1}, {True: 1}),
        (dict[None, int], {"null": 1}, {None: 1}),
        (dict[Level, int], {"2": 1}, {Level.HIGH: 1}),
        (dict[Soil, int], {"sand": 1}, {Soil.SAND: 1}),
        (dict[int | None, int], {"null": 1, "2": 3}, {None: 1, 2: 3}),
        (dict[UUID, int], {str(UUID(int=7)): 1}, {UUID(int=7): 1}),
        (collections.Counter[str], {"a": 1}, collections.Counter("a")),
        (
            Order,
            {"litres": 1, "due": "2026-11-24", "x": 1},
            {"litres": 1.0, "due": date(2026, 11, 24), "x": 1},
        ),
        (Tree, {"value": 1, "children": [{"value": 2}]}, Tree(1, [Tree(2)])),
        (Box[Reading], {"content": {"moisture": 1}, "more": []}, Box(Reading(1.0), [])),
        (Box[int], {"content": 1.0, "more": [2.0]}, Box(1, [2])),
        (np.float32, 0.5, np.float32(0.5)),
        ("Unresolved", [1], [1]),
    ],
)
def test_a_hint_makes_the_value_what_it_asks_for(hint: Any, value: Any, expected: Any) -> None:
    converted = value_to_type(hint, value)
    assert converted == expected
    assert type(converted) is type(expected)


def test_an_array_hint_gives_its_element_type_back() -> None:
    wave = np.linspace(0, 1, 7, dtype=np.float32)
    back = there_and_back(wave, np.ndarray[Any, np.dtype[np.float32]])
    assert back.dtype == np.float32
    assert np.array_equal(back, wave)


def test_a_dataclass_comes_back_with_names_that_exist_only_for_type_checkers() -> None:
    before = Field("north", Reading(0.25, [1], datetime(2026, 1, 2)), Soil.SAND)
    object.__setattr__(before, "area", 2.5)
    assert there_and_back(before, Field) == before


def test_unknown_fields_are_ignored_and_defaults_fill_missing_ones() -> None:
    assert value_to_type(Reading, {"moisture": 1, "later": True}) == Reading(1.0)


def test_a_class_defined_in_a_function_may_refer_to_itself() -> None:
    @dataclass
    class Pipe:
        length: float
        following: Pipe | None = None

    assert there_and_back(Pipe(1.0, Pipe(2.0)), Pipe) == Pipe(1.0, Pipe(2.0))


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (
            Field,
            {"name": "n", "reading": {"moisture": "wet"}},
            r"^reading.moisture: Expected value to be float, was .*str 'wet'",
        ),
        (
            Field,
            {"name": "n", "reading": {"moisture": 1, "samples": [1, None]}},
            r"^reading.samples\[1\]: Expected value to be int",
        ),
        (Reading, [1], "Expected value to be Reading, was .*a list of 1"),
        (Reading, {}, "expected Reading, which refused the value: .*moisture"),
        (dict[str, int], {"a": "x"}, "^a: Expected value to be int, was .*str 'x'"),
        (dict[int, int], {"a": 1}, "^a: Expected value to be int, was .*str 'a'"),
        (tuple[int, str], [1], r"expected tuple\[int, str\], found a list of 1"),
        (list[int], "12", r"Expected value to be list\[int\], was .*str '12'"),
        (bool, 1, "Expected value to be bool, was .*int 1"),
        (str, None, "Expected value to be str, was .*None"),
        (None, 0, "Expected value to be None, was .*int 0"),
        (int | str, [1], r"Expected value to be int \| str, was .*a list of 1"),
        (Literal["a"], "b", "str 'b'"),
        (Soil, "rock", "Expected value to be Soil, was .*str 'rock'"),
        (Level, "2", "Expected value to be Level, was .*str '2'"),
        (datetime, "noon", "expected datetime as ISO 8601 text, found str 'noon'"),
        (date, 5, "expected date as ISO 8601 text, found int 5"),
        (UUID, "x", "expected UUID"),
        (int, float("nan"), "expected int"),
        (complex, 1, "complex is not supported"),
        (type[int], 1, "is not supported"),
        (set[list[int]], [[1]], "expected set"),
    ],
)
def test_a_value_that_does_not_fit_is_a_type_error_with_its_place(
    hint: Any, value: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        value_to_type(hint, value)


def test_a_long_text_is_not_repeated_whole_in_the_error() -> None:
    with pytest.raises(TypeError) as caught:
        value_to_type(int, "x" * 10_000)
    assert len(str(caught.value)) < 100


def test_a_pydantic_model_is_dumped_and_validated_by_its_own_methods() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Valve", litres=(float, ...), due=(datetime, ...))
    valve = model(litres=1, due=datetime(2026, 1, 2, tzinfo=UTC))
    assert there_and_back({"valve": valve})["valve"]["litres"] == 1.0
    assert there_and_back(valve, model) == valve
    with pytest.raises(pydantic.ValidationError):
        value_to_type(model, {"litres": "much"})
    with pytest.raises(TypeError, match=r"^\[0\]: expected Valve, which refused"):
        value_to_type(list[model], [{"litres": "much"}])  # type: ignore[valid-type]


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class CelsiusConverter(JSONTypeConverter):
    def to_typed_value(self, hint: type, value: Any) -> Any:
        return Celsius(value) if hint is Celsius else JSONTypeConverter.Unhandled


def test_a_type_converter_of_ones_own_is_asked_first_at_every_level() -> None:
    own = CompositePayloadConverter(MsgpackPlainPayloadConverter(custom_type_converters=[CelsiusConverter()]))
    back = own.from_payload(own.to_payload({"a": [20.5]}), dict[str, list[Celsius]])
    assert back["a"][0].degrees == 20.5


# -- failures --------------------------------------------------------------------------------------


VALUES = ConvertedValues(DataConverter.default)


def failure_of(exception: BaseException) -> Failure:
    return VALUES.failure_of(exception)


def again(exception: BaseException) -> Any:
    return VALUES.error_of(failure_of(exception))


def raised(exception: BaseException) -> BaseException:
    try:
        raise exception
    except BaseException as caught:  # noqa: BLE001 - it is the one just raised
        return caught


def test_any_exception_becomes_an_application_failure_with_its_class_text_and_traceback() -> None:
    failure = failure_of(raised(KeyError("field")))
    assert (failure.kind, failure.message, failure.attributes["type"]) == (
        "application",
        "'field'",
        "KeyError",
    )
    assert "test_converter.py" in failure.stack_trace
    assert "raise exception" in failure.stack_trace
    error = VALUES.error_of(failure)
    assert isinstance(error, ApplicationError)
    assert (error.type, str(error)) == ("KeyError", "KeyError: 'field'")
    assert error.failure == message_of(failure)


def test_an_application_error_keeps_all_it_was_given() -> None:
    error = again(
        ApplicationError(
            "dry",
            1,
            {"a": [2]},
            type="Dry",
            non_retryable=True,
            next_retry_delay=timedelta(milliseconds=1500),
            category=ApplicationErrorCategory.BENIGN,
        )
    )
    assert type(error) is ApplicationError
    assert (error.message, error.type, error.non_retryable) == ("dry", "Dry", True)
    assert (error.next_retry_delay, error.category) == (
        timedelta(seconds=1.5),
        ApplicationErrorCategory.BENIGN,
    )
    assert list(error.details) == [1, {"a": [2]}]


def test_every_kind_of_failure_comes_back_as_its_class_with_its_attributes() -> None:
    cancelled, terminated = again(CancelledError("why", 1)), again(TerminatedError("by hand", "x"))
    assert (type(cancelled), cancelled.message, list(cancelled.details)) == (CancelledError, "why", [1])
    assert (type(terminated), terminated.message, list(terminated.details)) == (
        TerminatedError,
        "by hand",
        ["x"],
    )
    timeout = again(OurTimeoutError("late", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[3]))
    assert (type(timeout), timeout.type, timeout.last_heartbeat_details) == (
        OurTimeoutError,
        TimeoutType.HEARTBEAT,
        [3],
    )
    server = again(ServerError("no", non_retryable=True))
    assert (type(server), server.message, server.non_retryable) == (ServerError, "no", True)
    for state in (None, RetryState.MAXIMUM_ATTEMPTS_REACHED):
        options: dict[str, Any] = {
            "scheduled_event_id": 5,
            "started_event_id": 6,
            "identity": "i",
            "activity_type": "t",
            "activity_id": "9",
        }
        activity = again(ActivityError("a", **options, retry_state=state))
        assert type(activity) is ActivityError
        assert {name: getattr(activity, name) for name in options} == options
        assert activity.retry_state is state
    child_options: dict[str, Any] = {
        "namespace": "n",
        "workflow_id": "w",
        "run_id": "r",
        "workflow_type": "t",
        "initiated_event_id": 1,
        "started_event_id": 2,
    }
    child = again(ChildWorkflowError("c", **child_options, retry_state=RetryState.TIMEOUT))
    assert type(child) is ChildWorkflowError
    assert {name: getattr(child, name) for name in child_options} == child_options
    assert child.retry_state is RetryState.TIMEOUT


def test_asyncio_cancellation_is_a_canceled_failure_and_as_a_cause_an_error_like_any_other() -> None:
    cancelled = again(asyncio.CancelledError())
    assert (type(cancelled), str(cancelled)) == (CancelledError, "Cancelled")
    assert failure_of(asyncio.CancelledError("stop")).message == "stop"
    outer = ApplicationError("outer")
    outer.__cause__ = asyncio.CancelledError("stop")
    cause = again(outer).__cause__
    assert isinstance(cause, ApplicationError)
    assert (cause.message, cause.type) == ("stop", "CancelledError")


def test_a_failure_error_without_a_kind_of_its_own_is_a_plain_one() -> None:
    error = again(WorkflowAlreadyStartedError("w", "t"))
    assert (type(error), error.message) == (FailureError, "Workflow execution already started")


def test_a_failure_of_an_unknown_kind_is_still_an_error() -> None:
    error = VALUES.error_of(Failure(kind="from_a_newer_version", message="m"))
    assert type(error) is FailureError
    assert str(error) == "m"


def in_context(outer: BaseException) -> BaseException:
    """An error that is raised while another is handled, which came from a third."""
    try:
        try:
            try:
                raise ValueError("root")
            except ValueError as root:
                raise ApplicationError("middle", type="M") from root
        except ApplicationError:
            raise outer  # noqa: B904 - without a cause on purpose
    except type(outer) as caught:
        return caught


def test_the_cause_chain_is_kept() -> None:
    middle = again(in_context(RuntimeError("outer")).__context__ or ValueError())
    assert (middle.type, middle.cause.type, middle.cause.message) == ("M", "ValueError", "root")
    assert middle.cause.cause is None


def test_what_was_being_handled_is_the_cause_of_a_failure_error_and_of_no_other() -> None:
    assert again(in_context(RuntimeError("outer"))).cause is None
    assert again(in_context(ApplicationError("outer"))).cause.type == "M"
    alone = ApplicationError("outer")
    alone.__suppress_context__ = True  # as `from None` does
    assert again(in_context(alone)).cause is None


def test_a_group_is_recorded_without_its_members_as_causes() -> None:
    group = ExceptionGroup("two failed", [ValueError("first"), KeyError("second")])
    assert failure_of(group).cause is None


def test_a_failure_that_was_read_is_written_again_unchanged() -> None:
    failure = Failure(kind="application", message="m", stack_trace="trace of then", attributes={"type": "X"})
    error = raised(VALUES.error_of(failure))
    assert failure_of(error) == failure
    outer = RuntimeError("around")
    outer.__cause__ = error
    assert failure_of(outer).cause == failure


def test_causes_that_run_in_a_circle_or_without_end_are_cut() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert [failure_of(one).message, failure_of(one).root().message] == ["1", "2"]
    links = [ValueError(str(number)) for number in range(1000)]
    for outer, inner in itertools.pairwise(links):
        outer.__cause__ = inner
    assert failure_of(links[0]).root().message == "31"


def test_messages_that_are_huge_broken_or_odd_are_bounded_text() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise LookupError

    assert "could not be made (LookupError)" in failure_of(Unprintable()).message
    assert len(failure_of(ValueError("x" * 1_000_000)).message) < 17_000
    assert failure_of(ValueError("\ud800")).message == "\\ud800"


def test_a_deep_recursion_has_a_short_stack_trace() -> None:
    def down(level: int) -> int:
        return down(level + 1) + 1

    with pytest.raises(RecursionError) as caught:
        down(0)
    assert len(failure_of(caught.value).stack_trace) < 20_000


def test_the_stack_trace_leaves_out_the_frames_of_the_runtime() -> None:
    with pytest.raises(TypeError) as caught:
        PAYLOADS.to_payload({"a": object()})
    trace = failure_of(caught.value).stack_trace
    assert "test_converter.py" in trace
    assert "plain_values.py" not in trace


def test_details_that_have_no_stored_form_fail_the_conversion() -> None:
    with pytest.raises(TypeError, match="has no stored form"):
        failure_of(ApplicationError("x", object()))


# -- data converter --------------------------------------------------------------------------------


class Reversing(PayloadCodec):
    """Not a cipher, but enough to see that everything passes through."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload({"encoding": b"binary/reversed", "was": p.metadata["encoding"]}, p.data[::-1])
            for p in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload({"encoding": p.metadata["was"]}, p.data[::-1]) for p in payloads]


async def test_a_codec_sees_every_payload_and_gives_it_back() -> None:
    data = DataConverter(payload_codec=Reversing())
    stored = await data.encode([{"a": 1}, None, b"xy"])
    assert {payload.encoding for payload in stored} == {"binary/reversed"}
    assert await data.decode(stored) == [{"a": 1}, None, b"xy"]
    assert await data.decode(await data.encode([1]), [float]) == [1.0]


async def test_encoded_attributes_hide_message_and_trace_in_every_link() -> None:
    data = DataConverter(
        payload_codec=Reversing(), failure_converter_class=DefaultFailureConverterWithEncodedAttributes
    )
    outer = raised(ApplicationError("secret outside", 1, type="T"))
    outer.__cause__ = raised(ValueError("secret inside"))
    stored = Message()
    await data.encode_failure(outer, stored)
    assert "secret" not in repr(stored)
    assert "test_converter" not in repr(stored)
    back = await data.decode_failure(stored)
    assert isinstance(back, ApplicationError)
    assert (back.message, back.type, list(back.details)) == ("secret outside", "T", [1])
    assert isinstance(back.cause, ApplicationError)
    assert back.cause.message == "secret inside"


class Owned(EncodingPayloadConverter, WithSerializationContext):
    def __init__(self, owner: str = "nobody") -> None:
        self.owner = owner

    @property
    def encoding(self) -> str:
        return "own/er"

    def to_payload(self, value: Any) -> Payload | None:
        return Payload({"encoding": b"own/er"}, f"{self.owner}:{value}".encode())

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        return payload.data.decode()

    def with_context(self, context: SerializationContext) -> Owned:
        assert isinstance(context, WorkflowSerializationContext)
        return Owned(context.workflow_id)


def test_a_context_reaches_the_converters_that_ask_for_it_and_changes_no_other() -> None:
    context = WorkflowSerializationContext("default", "irrigate-1")
    assert DataConverter.default.with_context(context) is DataConverter.default
    data = DataConverter(payload_converter_class=lambda: CompositePayloadConverter(Owned()))
    assert data.with_context(context).payload_converter.to_payload(1).data == b"irrigate-1:1"
    assert data.payload_converter.to_payload(1).data == b"nobody:1"


def test_limits_are_given_to_the_data_converter_by_a_call() -> None:
    data = DataConverter(payload_converter_class=lambda: DefaultPayloadConverter(PayloadLimits(bytes_max=5)))
    with pytest.raises(PayloadLimitError):
        data.payload_converter.to_payload("longer")


def test_a_value_that_no_converter_takes_is_refused() -> None:
    class Nothing(Owned):
        def to_payload(self, value: Any) -> Payload | None:
            return None

    with pytest.raises(RuntimeError, match="no converter takes a int"):
        CompositePayloadConverter(Nothing()).to_payload(1)


def test_every_listed_name_can_be_imported() -> None:
    assert all(hasattr(converter, name) for name in converter.__all__)
    assert sorted(converter.__all__) == converter.__all__
    assert converter.default() is DataConverter.default


def test_the_encoding_is_plain_msgpack() -> None:
    value = {"field": "north", "samples": [1, 2.5, True, None]}
    assert PAYLOADS.to_payload(value).data == packb(value)
