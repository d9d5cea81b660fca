"""Typed attributes by which executions are found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from itertools import pairwise
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar, cast, get_origin

from .core.payload import Attribute
from .core.records import dataclass

SearchAttributeValue: TypeAlias = str | int | float | bool | datetime | Sequence[str]
SearchAttributeValues: TypeAlias = list[str] | list[int] | list[float] | list[bool] | list[datetime]
SearchAttributes: TypeAlias = Mapping[str, SearchAttributeValues]
"""The older, untyped form: a list of values for each name."""

SearchAttributeValueType = TypeVar("SearchAttributeValueType", str, int, float, bool, datetime, Sequence[str])


class SearchAttributeIndexedValueType(IntEnum):
    """How an attribute is indexed."""

    TEXT = 1
    KEYWORD = 2
    INT = 3
    DOUBLE = 4
    BOOL = 5
    DATETIME = 6
    KEYWORD_LIST = 7


@dataclass(frozen=True)
class SearchAttributeKey(Generic[SearchAttributeValueType]):
    """An attribute's name with its type; made by one of the ``for_`` functions. Equal by name and type."""

    name: str
    indexed_value_type: SearchAttributeIndexedValueType
    value_type: type[SearchAttributeValueType]

    @property
    def origin_value_type(self) -> type:
        """``value_type`` without its arguments, for `isinstance`."""
        return cast("type", get_origin(self.value_type) or self.value_type)

    def value_set(self, value: SearchAttributeValueType) -> SearchAttributeUpdate[SearchAttributeValueType]:
        """An update that sets the attribute."""
        return SearchAttributeUpdate(self, value)

    def value_unset(self) -> SearchAttributeUpdate[SearchAttributeValueType]:
        """An update that removes the attribute."""
        return SearchAttributeUpdate(self, None)

    @staticmethod
    def for_text(name: str) -> SearchAttributeKey[str]:
        """A key for text that is searched by words."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.TEXT, str)

    @staticmethod
    def for_keyword(name: str) -> SearchAttributeKey[str]:
        """A key for a word that is compared as a whole."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD, str)

    @staticmethod
    def for_int(name: str) -> SearchAttributeKey[int]:
        """A key for a whole number."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.INT, int)

    @staticmethod
    def for_float(name: str) -> SearchAttributeKey[float]:
        """A key for a floating point number."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DOUBLE, float)

    @staticmethod
    def for_bool(name: str) -> SearchAttributeKey[bool]:
        """A key for true or false."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.BOOL, bool)

    @staticmethod
    def for_datetime(name: str) -> SearchAttributeKey[datetime]:
        """A key for an instant."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DATETIME, datetime)

    @staticmethod
    def for_keyword_list(name: str) -> SearchAttributeKey[Sequence[str]]:
        """A key for several words."""
        value_type: Any = Sequence[str]
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD_LIST, value_type)


@dataclass(frozen=True)
class SearchAttributeUpdate(Generic[SearchAttributeValueType]):
    """A change of one attribute; a value of None removes it."""

    key: SearchAttributeKey[SearchAttributeValueType]
    value: SearchAttributeValueType | None


class SearchAttributePair(NamedTuple, Generic[SearchAttributeValueType]):
    """An attribute with its value."""

    key: SearchAttributeKey[SearchAttributeValueType]
    value: SearchAttributeValueType


@dataclass(frozen=True)
class TypedSearchAttributes(Collection[SearchAttributePair[Any]]):
    """The attributes of an execution, sorted by name, at most one for each name.

    Raises:
        ValueError: two pairs have one name.
    """

    search_attributes: Sequence[SearchAttributePair[Any]]

    empty: ClassVar[TypedSearchAttributes]
    """No attributes."""

    def __post_init__(self) -> None:
        pairs = sorted(self.search_attributes, key=lambda pair: pair.key.name)
        for before, after in pairwise(pairs):
            if before.key.name == after.key.name:
                raise ValueError(f"Duplicate search attribute entries found for key {after.key.name}")
        object.__setattr__(self, "search_attributes", pairs)

    def __len__(self) -> int:
        return len(self.search_attributes)

    def __iter__(self) -> Iterator[SearchAttributePair[Any]]:
        return iter(self.search_attributes)

    def __contains__(self, key: object) -> bool:
        """Whether there is a value for this key, by name and type."""
        return any(pair.key == key for pair in self.search_attributes)

    def __getitem__(self, key: SearchAttributeKey[SearchAttributeValueType]) -> SearchAttributeValueType:
        """The key's value.

        Raises:
            KeyError: there is none of this name and type.
        """
        for pair in self.search_attributes:
            if pair.key == key:
                return cast("SearchAttributeValueType", pair.value)
        raise KeyError(key.name)

    def get(self, key: SearchAttributeKey[SearchAttributeValueType], default: Any | None = None) -> Any:
        """The key's value, or the default."""
        return next((pair.value for pair in self.search_attributes if pair.key == key), default)

    def updated(self, *search_attributes: SearchAttributePair[Any]) -> TypedSearchAttributes:
        """A copy with these pairs added; a pair replaces one of the same name."""
        names = {pair.key.name for pair in search_attributes}
        kept = [pair for pair in self.search_attributes if pair.key.name not in names]
        return TypedSearchAttributes([*kept, *search_attributes])


TypedSearchAttributes.empty = TypedSearchAttributes([])


# -- as histories keep them ----------------------------------------------------------------------------

TYPE_NAMES = {
    SearchAttributeIndexedValueType.TEXT: "Text",
    SearchAttributeIndexedValueType.KEYWORD: "Keyword",
    SearchAttributeIndexedValueType.INT: "Int",
    SearchAttributeIndexedValueType.DOUBLE: "Double",
    SearchAttributeIndexedValueType.BOOL: "Bool",
    SearchAttributeIndexedValueType.DATETIME: "Datetime",
    SearchAttributeIndexedValueType.KEYWORD_LIST: "KeywordList",
}
MAKERS: dict[str, Callable[[str], SearchAttributeKey[Any]]] = {
    "Text": SearchAttributeKey.for_text,
    "Keyword": SearchAttributeKey.for_keyword,
    "Int": SearchAttributeKey.for_int,
    "Double": SearchAttributeKey.for_float,
    "Bool": SearchAttributeKey.for_bool,
    "Datetime": SearchAttributeKey.for_datetime,
    "KeywordList": SearchAttributeKey.for_keyword_list,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def attributes_of(given: TypedSearchAttributes | SearchAttributes | None) -> dict[str, Attribute]:
    """Attributes as they are recorded.

    Raises:
        TypeError: a value does not have its attribute's type.
    """
    if given is None:
        return {}
    if isinstance(given, TypedSearchAttributes):
        return {pair.key.name: recorded(pair.key, pair.value) for pair in given}
    return {name: _untyped(name, values) for name, values in given.items()}


def recorded(key: SearchAttributeKey[Any], value: Any) -> Attribute:
    """A value as it is recorded: an instant in microseconds, everything else as it is. None removes.

    Raises:
        TypeError: the value does not have the key's type.
    """
    kind = TYPE_NAMES[key.indexed_value_type]
    if value is None:
        return (kind, None)
    fits = isinstance(value, key.origin_value_type) or (kind == "Double" and isinstance(value, int))
    if not fits or (kind in ("Int", "Double") and isinstance(value, bool)):
        raise TypeError(f"search attribute {key.name!r} is {value!r}, expected {kind}")
    if kind == "Datetime":
        return (kind, _microseconds(cast("datetime", value)))
    if kind == "KeywordList":
        return (kind, [str(one) for one in cast("Sequence[object]", value)])
    return (kind, cast("object", value))


def _untyped(name: str, values: Sequence[Any]) -> Attribute:
    if not values:
        return ("Keyword", None)
    first = values[0]
    if isinstance(first, bool):
        return ("Bool", first)
    if isinstance(first, int):
        return ("Int", first)
    if isinstance(first, float):
        return ("Double", first)
    if isinstance(first, datetime):
        return ("Datetime", _microseconds(first))
    if not isinstance(first, str):
        raise TypeError(f"search attribute {name!r} has a value of type {type(first).__name__}")
    return ("Keyword", first) if len(values) == 1 else ("KeywordList", [str(value) for value in values])


def _microseconds(instant: datetime) -> int:
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def typed(attributes: Mapping[str, Attribute]) -> TypedSearchAttributes:
    """Recorded attributes as authors and clients see them."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(MAKERS[kind](name), _seen(kind, value))
            for name, (kind, value) in attributes.items()
            if value is not None
        ]
    )


def untyped(attributes: Mapping[str, Attribute]) -> SearchAttributes:
    """Recorded attributes in the older form."""
    return {
        name: list(cast("list[Any]", value)) if kind == "KeywordList" else [_seen(kind, value)]
        for name, (kind, value) in attributes.items()
        if value is not None
    }


def _seen(kind: str, value: Any) -> Any:
    if kind == "Datetime":
        return _EPOCH + timedelta(microseconds=value)
    return bool(value) if kind == "Bool" else value
