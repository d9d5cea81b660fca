"""The calls of Temporal's operator service that are answered here; see `service.OperatorService`."""

from __future__ import annotations

from ..enums.v1 import IndexedValueType
from ..message import Message


class AddSearchAttributesRequest(Message):
    """That search attributes be known."""

    search_attributes: dict[str, IndexedValueType]
    namespace: str


class AddSearchAttributesResponse(Message):
    """They are."""


class RemoveSearchAttributesRequest(Message):
    """That search attributes be forgotten."""

    search_attributes: list[str]
    namespace: str


class RemoveSearchAttributesResponse(Message):
    """They are."""


class ListSearchAttributesRequest(Message):
    """Which search attributes are known."""

    namespace: str


class ListSearchAttributesResponse(Message):
    """Those that were added, and those that every execution has."""

    custom_attributes: dict[str, IndexedValueType]
    system_attributes: dict[str, IndexedValueType]
