"""Events as bytes, and back.

An event's body is a msgpack array: the format version, then the fields of its class in order. Fields are
only ever added at the end and have defaults, so that bytes of an older version decode; a newer version,
or bytes that do not fit, are refused by name. Decoding makes no object but the classes listed here.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, cast

import msgpack

from . import commands, events
from .events import Body
from .payload import ENCODING, Attribute, Failure, Payload
from .retry import RetryRule
from .skipping import ClockStart, TimeSkipping

# msgpack brings no types.
_Packer = cast("Any", msgpack).Packer
_unpackb = cast("Callable[..., Any]", msgpack.unpackb)  # type: ignore[attr-defined]

FORMAT: Final = 1
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""No event is larger: payloads are bounded where they are made, this bounds what is read back."""
_DEPTH_MAX: Final = 64
_USUAL_BYTES: Final = 1024
"""What a packer reserves at first; it grows as needed."""

# Never renumber: these are in every journal.
KINDS: Final[dict[int, type[Body]]] = {
    1: events.WorkflowStarted,
    2: events.ActivityCompleted,
    3: events.ActivityFailed,
    4: events.TimerFired,
    5: events.Signaled,
    6: events.CancelRequested,
    7: events.ActivationStarted,
    8: events.WorkflowTerminated,
    9: events.WorkflowTimedOut,
    10: events.UpdateAccepted,
    11: events.ChildStarted,
    12: events.ChildStartFailed,
    13: events.ChildClosed,
    14: events.ExternalResolved,
    15: events.WorkflowReset,
    16: events.WorkflowPaused,
    17: events.WorkflowUnpaused,
    18: events.WorkflowAdmitted,
    19: events.WorkflowWithdrawn,
    20: events.UpdateAdmitted,
    21: events.TimeSkipped,
    22: events.TimeSkippingChanged,
    23: events.ActivityOptionsUpdated,
    32: commands.ScheduleActivity,
    33: commands.CancelActivity,
    34: commands.StartTimer,
    35: commands.CancelTimer,
    36: commands.PublishMessage,
    37: commands.CompleteWorkflow,
    38: commands.FailWorkflow,
    39: commands.CancelWorkflow,
    40: commands.ContinueAsNew,
    41: commands.StartChild,
    42: commands.CancelChild,
    43: commands.SignalExternal,
    44: commands.CancelExternal,
    45: commands.UpsertSearchAttributes,
    46: commands.UpsertMemo,
    47: commands.RecordPatch,
    48: commands.CompleteUpdate,
    49: commands.SignalWithStart,
}
KIND_OF: Final[dict[type[Body], int]] = {cls: code for code, cls in KINDS.items()}

# Metadata that recurs on every payload is kept as a number. Never renumber.
_KNOWN_ENCODINGS: Final = (b"msgpack/plain", b"binary/null", b"binary/plain", b"json/plain")
_METADATA_CODES: Final = {name: code for code, name in enumerate(_KNOWN_ENCODINGS)}


class EventUnreadable(ValueError):
    """Stored bytes are not an event that this version knows; nothing was done with them."""


def kind_of(body: Body) -> int:
    """The number under which this class of event is stored."""
    return KIND_OF[type(body)]


class EventUnwritable(ValueError):
    """A value has no place in a history: text that is no Unicode, a number out of range, too many bytes."""


def encode_body(body: Body) -> bytes:
    """The bytes of an event's body.

    Raises:
        EventUnwritable: it cannot be kept; nothing was done with it.
    """
    try:
        data = _pack((FORMAT, *_FIELDS_OF[type(body)](body)))
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise EventUnwritable(f"a {type(body).__name__} event cannot be recorded: {exc}") from exc
    if len(data) > BODY_BYTES_MAX:
        raise EventUnwritable(
            f"a {type(body).__name__} event has {len(data)} bytes, expected at most {BODY_BYTES_MAX}: "
            "keep large values elsewhere and pass their names"
        )
    return data


def decode_body(kind: int, data: bytes) -> Body:
    """The event's body.

    Raises:
        EventUnreadable: unknown kind or version, or bytes that do not fit; the history stops here.
    """
    cls = KINDS.get(kind)
    if cls is None:
        raise EventUnreadable(f"event kind {kind} is unknown to this version, which knows {sorted(KINDS)}")
    try:
        fields = _unpack(data)
        version, *values = fields
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as exc:
        raise EventUnreadable(f"the bytes of a {cls.__name__} event do not decode: {exc}") from exc
    if version != FORMAT:
        raise EventUnreadable(
            f"a {cls.__name__} event has format {version!r}, this version reads format {FORMAT}"
        )
    known, decoders = _DECODERS[cls]
    count = len(values)
    if count > known:
        raise EventUnreadable(
            f"a {cls.__name__} event has {count} fields, this version knows {known}: it was written by a newer one"
        )
    try:
        for place, decode in decoders:
            if place < count:
                values[place] = decode(values[place])
        make = cast("Callable[..., Body]", cls)
        return make(*values)
    except (TypeError, ValueError, LookupError, AttributeError) as exc:
        raise EventUnreadable(f"the fields of a {cls.__name__} event do not fit: {exc}") from exc


# -- the chain -------------------------------------------------------------------------------------

_HEADER = struct.Struct("<QQqB")


def chain_start(run_id: str) -> int:
    """The checksum before an execution's first event; it ties the chain to its run."""
    return zlib.crc32(run_id.encode())


def chain_next(previous: int, sequence: int, activation: int, at_us: int, kind: int, data: bytes) -> int:
    """The checksum of an event, which covers its place, its bytes and the event before it."""
    return zlib.crc32(data, zlib.crc32(_HEADER.pack(sequence, activation, at_us, kind), previous))


# -- fields ----------------------------------------------------------------------------------------


def _plain(value: object) -> object:
    """What msgpack cannot pack by itself: our own records."""
    if isinstance(value, Payload):
        metadata = value.metadata
        code = _METADATA_CODES.get(metadata.get(ENCODING, b"")) if len(metadata) == 1 else None
        name = dict(metadata) if code is None else code
        return (name, value.data, value.external_bytes) if value.external_bytes else (name, value.data)
    if isinstance(value, Failure):
        return (
            value.kind,
            value.message,
            value.stack_trace,
            value.cause,
            value.details,
            dict(value.attributes),
        )
    if isinstance(value, RetryRule):
        return (
            value.initial_s,
            value.coefficient,
            value.interval_s_max,
            value.attempts_max,
            value.non_retryable_types,
        )
    if isinstance(value, (TimeSkipping, ClockStart)):
        return tuple(getattr(value, field.name) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    raise TypeError(f"a history holds no {type(value).__name__}")


def _pack(fields: tuple[object, ...]) -> bytes:
    # Made here and not kept: one that calls back is not for two threads. `packb` would reserve 256 KiB each time.
    data: bytes = _Packer(default=_plain, buf_size=_USUAL_BYTES).pack(fields)
    return data


def _unpack(data: bytes) -> list[Any]:
    if len(data) > BODY_BYTES_MAX:
        raise EventUnreadable(f"an event of {len(data)} bytes was found, at most {BODY_BYTES_MAX} are read")
    fields: list[Any] = _unpackb(data, strict_map_key=True, ext_hook=_no_extension)
    return fields


def _no_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code} has no place in a history")


def _payload(value: Any) -> Payload:
    metadata, data, *external = value
    # A dictionary for each payload: authors change what they are given, and copy it with `dataclasses.asdict`.
    known = {ENCODING: _KNOWN_ENCODINGS[metadata]} if isinstance(metadata, int) else metadata
    return Payload(known, data, tuple(external[0])) if external else Payload(known, data)


def _payloads(value: Any) -> tuple[Payload, ...]:
    return tuple([_payload(item) for item in value])


def _payload_map(value: Any) -> dict[str, Payload]:
    return {name: _payload(item) for name, item in value.items()}


def _failure(value: Any, depth: int = 0) -> Failure:
    kind, message, stack_trace, cause, details, attributes = value
    if depth > _DEPTH_MAX:
        raise ValueError(f"a failure has more than {_DEPTH_MAX} causes")
    return Failure(
        kind=kind,
        message=message,
        stack_trace=stack_trace,
        cause=None if cause is None else _failure(cause, depth + 1),
        details=_payloads(details),
        attributes=attributes,
    )


def encode_failure(failure: Failure) -> bytes:
    """The bytes of a failure on its own, for places outside a history."""
    return _pack((failure,))


def decode_failure(data: bytes) -> Failure:
    """The failure that `encode_failure` wrote."""
    return _failure(_unpack(data)[0])


def encode_payloads(payloads: tuple[Payload, ...]) -> bytes:
    """The bytes of payloads on their own, for places outside a history."""
    return _pack(payloads)


def decode_payloads(data: bytes) -> tuple[Payload, ...]:
    """The payloads that `encode_payloads` wrote."""
    return _payloads(_unpack(data))


def _rule(value: Any) -> RetryRule | None:
    if value is None:
        return None
    initial, coefficient, interval, attempts, types = value
    return RetryRule(initial, coefficient, interval, attempts, tuple(types))


def _skipping(value: Any) -> TimeSkipping:
    return TimeSkipping(*value)


def _clock(value: Any) -> ClockStart | None:
    if value is None:
        return None
    skipping, *rest = value
    return ClockStart(None if skipping is None else _skipping(skipping), *rest)


def _attributes(value: Any) -> dict[str, Attribute]:
    return {name: (kind, plain) for name, (kind, plain) in value.items()}


def _or_none(decode: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda value: None if value is None else decode(value)


_BY_ANNOTATION: Final[dict[str, Callable[[Any], object]]] = {
    "Payload": _payload,
    "tuple[Payload, ...]": _payloads,
    "Mapping[str, Payload]": _payload_map,
    "Failure": _failure,
    "RetryRule | None": _rule,
    "TimeSkipping": _skipping,
    "ClockStart | None": _clock,
    "Payload | None": _or_none(_payload),
    "Failure | None": _or_none(_failure),
    "Mapping[str, Attribute]": _attributes,
}


def _fields_of(cls: type[Body]) -> Callable[[Any], tuple[object, ...]]:
    names = [field.name for field in dataclasses.fields(cls)]
    if not names:
        return lambda _body: ()
    if len(names) == 1:
        get_one = attrgetter(names[0])
        return lambda body: (get_one(body),)
    return cast("Callable[[Any], tuple[object, ...]]", attrgetter(*names))


_FIELDS_OF: Final = {cls: _fields_of(cls) for cls in KINDS.values()}


def _decoders_of(cls: type[Body]) -> tuple[int, tuple[tuple[int, Callable[[Any], object]], ...]]:
    """How many fields a class has, and which of them are not stored as they are."""
    types = [cast("str", field.type) for field in dataclasses.fields(cls)]
    decoders = [(place, _BY_ANNOTATION[name]) for place, name in enumerate(types) if name in _BY_ANNOTATION]
    return len(types), tuple(decoders)


_DECODERS: Final = {cls: _decoders_of(cls) for cls in KINDS.values()}
