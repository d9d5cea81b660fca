"""Pydantic models need no converter here; these names are for code that chooses one all the same."""

from ..converter import DataConverter, DefaultPayloadConverter, JSONPlainPayloadConverter

PydanticPayloadConverter = DefaultPayloadConverter
PydanticJSONPlainPayloadConverter = JSONPlainPayloadConverter
pydantic_data_converter = DataConverter.default

__all__ = ["PydanticJSONPlainPayloadConverter", "PydanticPayloadConverter", "pydantic_data_converter"]
