"""Messages of Protocol Buffers as payloads, where a program has the package ``protobuf``; nothing of it is imported here."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from .api.message import Message
from .core.payload import ENCODING, Payload
from .encoding_converter import EncodingPayloadConverter
from .external_storage.references import MESSAGE_TYPE, NOT_CONFIGURED
from .plain_values import DEFAULT_LIMITS, PayloadLimits, PayloadUnreadable, require_size

_MESSAGE_TYPE = "messageType"


def is_message(value: object) -> bool:
    """Whether a value is a message: a record of ours, or one of the package, of which there is none before its import."""
    if isinstance(value, Message):
        return True
    package = sys.modules.get("google.protobuf.message")
    return package is not None and isinstance(value, package.Message)


class _ProtoPayloadConverter(EncodingPayloadConverter):
    """What both forms have in common: the name of the message's type is in the metadata."""

    def __init__(self, limits: PayloadLimits) -> None:
        self._limits = limits

    def _payload(self, name: str, data: bytes) -> Payload:
        require_size(len(data), self._limits)
        return Payload({ENCODING: self.encoding.encode(), _MESSAGE_TYPE: name.encode()}, data)

    def _new_message(self, payload: Payload, type_hint: Any) -> Any:
        name = payload.metadata.get(_MESSAGE_TYPE, b"<unknown>").decode()
        hinted = getattr(getattr(type_hint, "DESCRIPTOR", None), "full_name", None)
        if hinted == name:
            return type_hint()
        if name == MESSAGE_TYPE.decode():
            raise RuntimeError(NOT_CONFIGURED)
        try:
            found = _package("symbol_database").Default().GetSymbol(name)
        except KeyError as error:
            raise RuntimeError(
                f"Unknown Protobuf type {name}: import the module that protoc made for it"
            ) from error
        return found()


def _package(name: str) -> Any:
    try:
        return import_module(f"google.protobuf.{name}")
    except ImportError as error:
        raise RuntimeError(
            "a payload is a Protobuf message: pip install 'overwinter[protobuf]' to read it"
        ) from error


def _name_of(record: type[Message]) -> str:
    return "temporal." + record.__module__.removeprefix(f"{__package__}.") + "." + record.__name__


def _record_of(name: str, type_hint: Any) -> type[Message] | None:
    """The record that a message is read as."""
    if isinstance(type_hint, type) and issubclass(type_hint, Message):
        return type_hint
    if getattr(cast("Any", type_hint), "DESCRIPTOR", None) is not None or _is_known(name):
        return None
    module, _, kind = name.removeprefix("temporal.").rpartition(".")
    if (
        not name.startswith("temporal.api.")
        or find_spec(f"{__package__}.{module.rpartition('.')[0]}") is None
    ):
        return None
    found = getattr(import_module(f".{module}", __package__), kind, None)
    return found if isinstance(found, type) and issubclass(found, Message) else None


def _is_known(name: str) -> bool:
    """Whether somebody has imported the message that protoc made."""
    package = sys.modules.get("google.protobuf.symbol_database")
    try:
        return package is not None and package.Default().GetSymbol(name) is not None
    except KeyError:
        return False


def _plain(fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def _read(data: bytes, record: type[Message]) -> Message:
    from .api._json import from_json_dict  # as above

    try:
        return from_json_dict(record, json.loads(data), record.__name__)
    except (ValueError, RecursionError) as error:
        raise PayloadUnreadable(f"Failed parsing: {error}") from error


class JSONProtoPayloadConverter(_ProtoPayloadConverter):
    """Messages as JSON."""

    def __init__(self, ignore_unknown_fields: bool = False, limits: PayloadLimits = DEFAULT_LIMITS) -> None:
        super().__init__(limits)
        self._ignore_unknown_fields = ignore_unknown_fields

    @property
    def encoding(self) -> str:
        """``json/protobuf``."""
        return "json/protobuf"

    def to_payload(self, value: Any) -> Payload | None:
        """The message's payload, with sorted keys; None of anything else.

        Raises:
            PayloadLimitError: it is too large.
        """
        if not is_message(value):
            return None
        if isinstance(value, Message):
            from .api._json import to_json_dict  # here: it costs time, and few such values are stored

            return self._payload(_name_of(type(value)), _plain(to_json_dict(value)))
        fields = _package("json_format").MessageToDict(value)
        return self._payload(value.DESCRIPTOR.full_name, _plain(fields))

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The message.

        Raises:
            RuntimeError: its type is not known, or the package is not installed.
            PayloadUnreadable: the bytes are not of its type.
        """
        record = _record_of(payload.metadata.get(_MESSAGE_TYPE, b"").decode(), type_hint)
        if record is not None:
            return _read(payload.data, record)
        message = self._new_message(payload, type_hint)
        json_format = _package("json_format")
        try:
            return json_format.Parse(payload.data, message, ignore_unknown_fields=self._ignore_unknown_fields)
        except json_format.ParseError as error:
            raise PayloadUnreadable(f"Failed parsing: {error}") from error


class BinaryProtoPayloadConverter(_ProtoPayloadConverter):
    """Messages as bytes."""

    def __init__(self, limits: PayloadLimits = DEFAULT_LIMITS) -> None:
        super().__init__(limits)

    @property
    def encoding(self) -> str:
        """``binary/protobuf``."""
        return "binary/protobuf"

    def to_payload(self, value: Any) -> Payload | None:
        """The message's payload; None of anything else.

        Raises:
            PayloadLimitError: it is too large.
        """
        if isinstance(value, Message) or not is_message(value):
            return None
        return self._payload(value.DESCRIPTOR.full_name, value.SerializeToString())

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The message; raises as `JSONProtoPayloadConverter.from_payload`."""
        message = self._new_message(payload, type_hint)
        try:
            message.ParseFromString(payload.data)
        except _package("message").DecodeError as error:
            raise PayloadUnreadable(f"Failed parsing: {error}") from error
        return message
