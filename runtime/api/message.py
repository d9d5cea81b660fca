"""Records with the names and manners of Temporal's protocol messages, in plain Python.

A field that was never set reads as its default: zero, an empty text, an empty list, or a message of defaults. Reading
sets nothing; to set a field of a message within a message sets the outer field too, and to set one of a group takes
the place of another. `HasField` and `WhichOneof` tell what is set. Classes declare their fields as annotations, in the
order of Temporal's definitions. Of payloads alone there is a wire form; everything has a JSON form (`_json`).
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self, SupportsIndex, TypeVar, cast

from ..core.payload import Payload
from ..core.records import dataclass
from ._enum import ProtocolEnum

T = TypeVar("T")

Int64 = Annotated[int, "int64"]
"""A whole number that JSON has as text."""

_UNSET: Any = object()
_SCALARS: dict[type, Any] = {bool: False, int: 0, float: 0.0, str: "", bytes: b""}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: `kind` is the class of its value, or of each of its values."""

    name: str
    json_name: str
    kind: type[Any]
    repeated: bool = False
    mapped: bool = False
    wide: bool = False
    oneof: str = ""

    @property
    def single_message(self) -> bool:
        """Whether the value is one message, which may be absent."""
        return not self.repeated and not self.mapped and (issubclass(self.kind, Message | Payload))

    @property
    def has_presence(self) -> bool:
        """Whether it can be told from its default that it was set."""
        return self.single_message or bool(self.oneof)

    def default(self) -> Any:
        """What an unset field reads as, other than lists, maps and messages."""
        if issubclass(self.kind, ProtocolEnum):
            return self.kind(0)
        return _SCALARS[self.kind]


def camel(name: str) -> str:
    """A field's name as JSON has it."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def fields_of(cls: type[Message]) -> Mapping[str, Field]:
    """The fields of a class of messages, by name and in order."""
    found: Mapping[str, Field] | None = cls.__dict__.get("FIELDS")
    if found is None:
        # Read when they are first asked for: by then all classes that they name are there.
        hints = typing.get_type_hints(cls, include_extras=True)
        oneofs = {name: oneof for oneof, names in cls.ONEOFS.items() for name in names}
        found = {
            name: _field(name, hint, oneofs.get(name, ""))
            for name, hint in hints.items()
            if not name.isupper()
        }
        cls.FIELDS = found
    return found


def _field(name: str, hint: Any, oneof: str) -> Field:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return Field(name, camel(name), _plain(arguments[0]), repeated=True, wide=_is_wide(arguments[0]))
    if origin is dict:
        return Field(name, camel(name), arguments[1], mapped=True)
    return Field(name, camel(name), _plain(hint), wide=_is_wide(hint), oneof=oneof)


def _plain(hint: Any) -> type[Any]:
    return cast("type[Any]", typing.get_args(hint)[0] if _is_wide(hint) else hint)


def _is_wide(hint: Any) -> bool:
    return typing.get_origin(hint) is Annotated


class Repeated(list[T]):
    """The values of a repeated field; a first one sets the field."""

    def __init__(self, owner: Message, field: Field) -> None:
        super().__init__()
        self._owner = owner
        self._field = field

    def add(self, **values: Any) -> T:
        """A new message at the end, with these fields."""
        self.append(self._field.kind(**values))
        return self[-1]

    def append(self, value: T) -> None:
        """One value more."""
        super().append(value)
        self._owner.SetInParent()

    def extend(self, values: Iterable[T]) -> None:
        """Several values more."""
        super().extend(values)
        self._owner.SetInParent()

    def insert(self, index: SupportsIndex, value: T) -> None:
        """One value more, in a place of its own."""
        super().insert(index, value)
        self._owner.SetInParent()


class Mapped(dict[str, T]):
    """The values of a map field; a missing key reads as the default, and is there from then on."""

    def __init__(self, owner: Message, field: Field) -> None:
        super().__init__()
        self._owner = owner
        self._field = field

    def __missing__(self, key: str) -> T:
        made = (
            self._field.kind() if issubclass(self._field.kind, Message | Payload) else self._field.default()
        )
        self[key] = cast("T", made)
        return self[key]

    def __setitem__(self, key: str, value: T) -> None:
        super().__setitem__(key, value)
        self._owner.SetInParent()


class Message:
    """One record. Fields are given by name; None leaves one unset."""

    ONEOFS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Groups of fields of which one is set at most."""

    FIELDS: ClassVar[Mapping[str, Field]]
    """See `fields_of`."""

    # Beside the fields, in the same dictionary: `_owner` is the message within which this one is, and under what
    # name, as long as it is not set there; `_depth` how many messages it is within.

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            if value is not None:
                self._give(name, value)

    def _give(self, name: str, value: Any) -> None:
        field = self._field(name)
        if field.repeated:
            found = getattr(self, name)
            found.extend(field.kind(**item) if isinstance(item, dict) else item for item in value)
        elif field.mapped:
            for key, item in value.items():
                getattr(self, name)[key] = item
        elif isinstance(value, dict) and issubclass(field.kind, Message):
            self._put(field, field.kind(**cast("dict[str, Any]", value)))
        else:
            self._put(field, value)

    @classmethod
    def _field(cls, name: str) -> Field:
        found = fields_of(cls).get(name)
        if found is None:
            raise ValueError(f"{cls.__name__} has no field {name!r}")
        return found

    def _put(self, field: Field, value: Any) -> None:
        if issubclass(field.kind, ProtocolEnum):
            value = field.kind.of(value)
        elif not isinstance(value, field.kind) and not (field.kind is float and isinstance(value, int)):
            raise TypeError(
                f"{type(self).__name__}.{field.name} is set to a {type(value).__name__}, expected {field.kind.__name__}"
            )
        if field.oneof:
            for name in self.ONEOFS[field.oneof]:
                self.__dict__.pop(name, None)
        self.__dict__[field.name] = value
        self.SetInParent()

    def __setattr__(self, name: str, value: Any) -> None:
        field = fields_of(type(self)).get(name)
        if field is None:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        if field.repeated or field.mapped or field.single_message:
            how = "its CopyFrom" if field.single_message else "its own methods"
            raise AttributeError(
                f"{type(self).__name__}.{name} cannot be assigned: use {how}, as in protobuf"
            )
        self._put(field, value)

    def __getattr__(self, name: str) -> Any:
        field = fields_of(type(self)).get(name)
        if field is None:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        made: Any
        if field.repeated:
            made = Repeated[Any](self, field)
        elif field.mapped:
            made = Mapped[Any](self, field)
        elif field.kind is Payload:
            made = Payload()
        elif field.single_message:
            made = field.kind()
            made.__dict__["_owner"] = (self, name)
            made.__dict__["_depth"] = self.depth + 1
        else:
            return field.default()
        self.__dict__[name] = made
        return made

    @property
    def depth(self) -> int:
        """How many messages this one is within, when it was made by looking there."""
        found: int = self.__dict__.get("_depth", 0)
        return found

    def SetInParent(self) -> None:  # noqa: N802 - the protocol's name
        """In the message that this one is a field of, it counts as set."""
        owner: tuple[Message, str] | None = self.__dict__.pop("_owner", None)
        if owner is not None:
            message, name = owner
            message._put(message._field(name), self)  # noqa: SLF001 - of this very class

    def _is_set(self, field: Field) -> bool:
        value = self.__dict__.get(field.name, _UNSET)
        if value is _UNSET:
            return False
        if isinstance(value, Message):
            return "_owner" not in value.__dict__
        if isinstance(value, Payload):
            return bool(value.metadata or value.data)
        return True if field.has_presence else bool(value)

    def HasField(self, name: str) -> bool:  # noqa: N802 - the protocol's name
        """Whether a field is set, or one of a group.

        Raises:
            ValueError: there is no such field, or its default cannot be told from its being set.
        """
        if name in self.ONEOFS:
            return self.WhichOneof(name) is not None
        field = self._field(name)
        if not field.has_presence:
            raise ValueError(f"{type(self).__name__}.{name} is always there: compare it with its default")
        return self._is_set(field)

    def WhichOneof(self, name: str) -> str | None:  # noqa: N802 - the protocol's name
        """Which field of a group is set."""
        if name not in self.ONEOFS:
            raise ValueError(f"{type(self).__name__} has no group {name!r}")
        return next(
            (n for n in self.ONEOFS[name] if n in self.__dict__ and self._is_set(self._field(n))), None
        )

    def ListFields(self) -> list[tuple[Field, Any]]:  # noqa: N802 - the protocol's name
        """The fields that are set, with their values."""
        return [(f, self.__dict__[f.name]) for f in fields_of(type(self)).values() if self._is_set(f)]

    def ClearField(self, name: str) -> None:  # noqa: N802 - the protocol's name
        """The field is not set any more."""
        self.__dict__.pop(self._field(name).name, None)

    def Clear(self) -> None:  # noqa: N802 - the protocol's name
        """No field is set any more."""
        for name in fields_of(type(self)):
            self.__dict__.pop(name, None)

    def CopyFrom(self, other: Self) -> None:  # noqa: N802 - the protocol's name
        """Become equal to another message, sharing nothing with it."""
        if other is not self:
            self.Clear()
            self.MergeFrom(other)

    def MergeFrom(self, other: Self) -> None:  # noqa: N802 - the protocol's name
        """Take over what the other has."""
        for field, value in other.ListFields():
            if field.single_message and field.kind is not Payload:
                getattr(self, field.name).MergeFrom(value)
            else:
                self._give(field.name, _copied(value))
        self.SetInParent()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.ListFields() == cast("Message", other).ListFields()

    __hash__ = None  # type: ignore[assignment] # fields may change

    def __repr__(self) -> str:
        fields = ", ".join(f"{field.name}={value!r}" for field, value in self.ListFields())
        return f"{type(self).__name__}({fields})"


def _copied(value: Any) -> Any:
    if isinstance(value, Message):
        copy = type(value)()
        copy.CopyFrom(value)
        return copy
    if isinstance(value, Payload):
        return value.copied()
    if isinstance(value, list):
        return [_copied(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in cast("dict[str, Any]", value).items()}
    return value
