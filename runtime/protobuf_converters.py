"""Messages of Protocol Buffers as payloads, where a program has the package ``protobuf``; nothing of it is imported here."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from .core.payload import ENCODING, Payload
from .encoding_converter import EncodingPayloadConverter
from .external_storage.references import MESSAGE_TYPE, NOT_CONFIGURED
from .plain_values import DEFAULT_LIMITS, PayloadLimits, PayloadUnreadable, require_size

_MESSAGE_TYPE = "messageType"


def is_message(value: object) -> bool:
    """Whether a value is a message; there is none before the package was imported."""
    package = sys.modules.get("google.protobuf.message")
    return package is not None and isinstance(value, package.Message)


class _ProtoPayloadConverter(EncodingPayloadConverter):
    """What both forms have in common: the name of the message's type is in the metadata."""

    def __init__(self, limits: PayloadLimits) -> None:
        self._limits = limits

    def _payload(self, value: Any, data: bytes) -> Payload:
        require_size(len(data), self._limits)
        return Payload(
            {ENCODING: self.encoding.encode(), _MESSAGE_TYPE: value.DESCRIPTOR.full_name.encode()}, data
        )

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
        fields = _package("json_format").MessageToDict(value)
        return self._payload(value, json.dumps(fields, separators=(",", ":"), sort_keys=True).encode())

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The message.

        Raises:
            RuntimeError: its type is not known, or the package is not installed.
            PayloadUnreadable: the bytes are not of its type.
        """
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
        return self._payload(value, value.SerializeToString()) if is_message(value) else None

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The message; raises as `JSONProtoPayloadConverter.from_payload`."""
        message = self._new_message(payload, type_hint)
        try:
            message.ParseFromString(payload.data)
        except _package("message").DecodeError as error:
            raise PayloadUnreadable(f"Failed parsing: {error}") from error
        return message
