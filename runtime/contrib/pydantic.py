"""Values as pydantic writes and reads them, for clients that are given `pydantic_data_converter`.

Without it models are converted too; with it pydantic decides about every value, so that strict fields, custom types and
unions are what they are in pydantic's JSON mode. Needs pydantic 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaSerializer, to_json
from pydantic_core.core_schema import any_schema

from ..converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
)
from ..core.payload import Payload
from ..plain_values import DEFAULT_LIMITS, require_size

__all__ = [
    "PydanticJSONPlainPayloadConverter",
    "PydanticPayloadConverter",
    "ToJsonOptions",
    "pydantic_data_converter",
]


@dataclass
class ToJsonOptions:
    """How values become JSON."""

    exclude_unset: bool = False
    """Fields that were not given are left out."""


class PydanticJSONPlainPayloadConverter(EncodingPayloadConverter):
    """Any value that pydantic can write, as ``json/plain``.

    Reading a type takes an adapter, which is costly to make: the last `max_cached_type_adapters` are kept, all of them
    with None.

    Raises:
        ValueError: the number is negative.
    """

    def __init__(
        self, to_json_options: ToJsonOptions | None = None, *, max_cached_type_adapters: int | None = 1024
    ) -> None:
        if max_cached_type_adapters is not None and max_cached_type_adapters < 0:
            raise ValueError(f"max_cached_type_adapters cannot be negative, found {max_cached_type_adapters}")
        self._options = to_json_options
        self._serializer = SchemaSerializer(any_schema())
        self._adapters_max = max_cached_type_adapters
        self._adapter_of = lru_cache(max_cached_type_adapters)(TypeAdapter)

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self._options, "adapters_max": self._adapters_max}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["options"], max_cached_type_adapters=state["adapters_max"])  # type: ignore[misc]  # the cache cannot be copied

    @property
    def encoding(self) -> str:
        """``json/plain``."""
        return "json/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """The value's payload.

        Raises:
            PayloadLimitError: it is too large.
            pydantic_core.PydanticSerializationError: pydantic does not know its type.
        """
        if self._options is None:
            data = to_json(value)
        else:
            data = self._serializer.to_json(value, exclude_unset=self._options.exclude_unset)
        require_size(len(data), DEFAULT_LIMITS)
        return Payload({"encoding": self.encoding.encode()}, data)

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value, as pydantic makes it for the hint.

        Raises:
            pydantic.ValidationError: it does not fit.
        """
        hint = Any if type_hint is None else type_hint
        return self._adapter(hint).validate_json(payload.data)

    def _adapter(self, hint: Any) -> TypeAdapter[Any]:
        try:
            hash(hint)
        except TypeError:
            return TypeAdapter(hint)
        return self._adapter_of(hint)


class PydanticPayloadConverter(CompositePayloadConverter):
    """The default converter, in which pydantic writes and reads what would be JSON."""

    def __init__(
        self, to_json_options: ToJsonOptions | None = None, *, max_cached_type_adapters: int | None = 1024
    ) -> None:
        by_pydantic = PydanticJSONPlainPayloadConverter(
            to_json_options, max_cached_type_adapters=max_cached_type_adapters
        )
        super().__init__(
            *(
                by_pydantic if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


pydantic_data_converter = DataConverter(payload_converter_class=PydanticPayloadConverter)
"""For clients whose values are pydantic's."""
