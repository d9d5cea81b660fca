"""Records that are filled in field by field, with the manners of protobuf's messages.

User-written failure converters work on Temporal's ``Failure`` message. This is as much of a message as they touch:
fields that are there once something was put into them, copying, choices between fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, Generic, Self, SupportsIndex, TypeVar, cast, overload

from ..core.payload import Payload

T = TypeVar("T")

_counter: Final = itertools.count(1)


class Message:
    """The base of messages. A field that is a message comes to be with the first thing that is put into it."""

    _fields: ClassVar[list[str]] = []

    def __init__(self, **values: Any) -> None:
        self.contents: dict[str, Any] = {}
        self._touched = 0
        self.depth = 0
        """How many messages this one is within."""
        for name, value in values.items():
            field = self._field(name)
            if isinstance(field, Scalar):
                setattr(self, name, value)
            elif isinstance(field, Repeated):
                getattr(self, name).extend(value)
            else:
                getattr(self, name).CopyFrom(value)
                self.touch(name)

    @classmethod
    def _field(cls, name: str) -> Any:
        field = getattr(cls, name, None)
        if not isinstance(field, Scalar | Repeated | Part):
            raise ValueError(f"{cls.__name__} has no field {name!r}")  # noqa: TRY004 - as protobuf
        return field  # pyright: ignore[reportUnknownVariableType] - of whatever type

    def __init_subclass__(cls) -> None:
        cls._fields = [
            name for name, field in vars(cls).items() if isinstance(field, Scalar | Repeated | Part)
        ]

    @classmethod
    def _members(cls, choice: str) -> list[str]:
        fields = [(name, cls._field(name)) for name in cls._fields]
        return [name for name, field in fields if isinstance(field, Part) and field.choice == choice]

    def touch(self, name: str | None = None) -> None:
        """Something was put into this message, or into this field of it."""
        self._touched = next(_counter)
        if name is not None and isinstance(part := self.contents.get(name), Message):
            part.touch()

    @property
    def last_touched(self) -> int:
        """Grows with each change anywhere; 0 when there was none."""
        parts = [_last_touched(value) for value in self.contents.values()]
        return max(self._touched, *parts) if parts else self._touched

    # Names that authors know:

    def HasField(self, name: str) -> bool:  # noqa: N802
        """Whether something was put into the field, which is a message."""
        if not isinstance(field := self._field(name), Part):
            raise ValueError(f"{type(self).__name__}.{name} is always there: compare it with its default")  # noqa: TRY004 - as protobuf
        if not _last_touched(self.contents.get(name)):
            return False
        choice = field.choice
        return not choice or self.WhichOneof(choice) == name

    def WhichOneof(self, choice: str) -> str | None:  # noqa: N802
        """The field of a choice that was set last."""
        touched = {name: _last_touched(self.contents.get(name)) for name in self._members(choice)}
        last = max(touched, key=touched.__getitem__, default=None)
        return last if last is not None and touched[last] else None

    def SetInParent(self) -> None:  # noqa: N802
        """Be there, even without a value."""
        self.touch()

    def CopyFrom(self, other: Self) -> None:  # noqa: N802
        """Become equal to another message, sharing nothing with it."""
        if other is not self:
            self.Clear()
            self.MergeFrom(other)
        self.touch()

    def MergeFrom(self, other: Self) -> None:  # noqa: N802
        """Take over what the other has."""
        for name in self._fields:
            field = self._field(name)
            if isinstance(field, Scalar) and name in other.contents:
                setattr(self, name, other.contents[name])
            elif isinstance(field, Repeated) and getattr(other, name):
                getattr(self, name).extend(_copied(payload) for payload in getattr(other, name))
            elif isinstance(field, Part) and other.HasField(name):
                getattr(self, name).CopyFrom(getattr(other, name))
                self.touch(name)

    def Clear(self) -> None:  # noqa: N802
        """Be empty again."""
        self.contents.clear()

    def ClearField(self, name: str) -> None:  # noqa: N802
        """Let the field be empty again."""
        field = self._field(name)
        cleared = [name]
        if isinstance(field, Part) and field.choice and self.WhichOneof(field.choice) == name:
            cleared = self._members(field.choice)  # What was set before it does not come back.
        for each in cleared:
            self.contents.pop(each, None)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._content() == cast("Message", other)._content()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._content().items())})"

    def _content(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self._fields:
            field, value = self._field(name), self.contents.get(name)
            if isinstance(field, Part):
                if self.HasField(name):
                    found[name] = value
            elif value:
                found[name] = value
        return found


class Scalar(Generic[T]):
    """A field with one plain value."""

    def __init__(self, default: T) -> None:
        self._default = default

    def __set_name__(self, _owner: type[Message], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, message: None, _owner: type[Message]) -> Self: ...
    @overload
    def __get__(self, message: Message, _owner: type[Message]) -> T: ...
    def __get__(self, message: Message | None, _owner: type[Message]) -> Self | T:
        return self if message is None else cast("T", message.contents.get(self._name, self._default))

    def __set__(self, message: Message, value: T) -> None:
        wanted = type(self._default)
        if not isinstance(value, wanted):
            raise TypeError(
                f"{type(message).__name__}.{self._name} is set to a {type(value).__name__}, expected {wanted.__name__}"
            )
        message.contents[self._name] = value
        message.touch()


class Part(Generic[T]):
    """A field that is a message, or a payload. Of those with the same `choice`, the one that was set last counts."""

    def __init__(self, make: Callable[[], T], *, choice: str = "") -> None:
        self._make = make
        self.choice = choice

    def __set_name__(self, _owner: type[Message], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, message: None, _owner: type[Message]) -> Self: ...
    @overload
    def __get__(self, message: Message, _owner: type[Message]) -> T: ...
    def __get__(self, message: Message | None, _owner: type[Message]) -> Self | T:
        if message is None:
            return self
        found = message.contents.get(self._name)
        if found is not None and self.choice and _last_touched(found) and not message.HasField(self._name):
            found = None  # Another of the choice was set since, and this one lost what it held.
        if found is None:
            found = message.contents[self._name] = self._make()
            if isinstance(found, Message):
                found.depth = message.depth + 1
        return cast("T", found)

    def __set__(self, message: Message, value: T) -> None:
        raise AttributeError(
            f"{type(message).__name__}.{self._name} cannot be assigned: use its CopyFrom, as in protobuf"
        )


class Repeated:
    """A field with any number of payloads."""

    def __set_name__(self, _owner: type[Message], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, message: None, _owner: type[Message]) -> Self: ...
    @overload
    def __get__(self, message: Message, _owner: type[Message]) -> PayloadList: ...
    def __get__(self, message: Message | None, _owner: type[Message]) -> Self | PayloadList:
        if message is None:
            return self
        return cast("PayloadList", message.contents.setdefault(self._name, PayloadList(message)))


class PayloadList(list[Payload]):
    """The payloads of a message."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self._message = message

    def add(self, **values: Any) -> Payload:
        """One more payload, to be filled in."""
        payload = Payload(**values)
        self.append(payload)
        return payload

    def append(self, payload: Payload, /) -> None:
        """One more."""
        super().append(payload)
        self._message.touch()

    def extend(self, payloads: Iterable[Payload], /) -> None:
        """More."""
        super().extend(payloads)
        self._message.touch()

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        super().__delitem__(index)
        self._message.touch()


def _copied(payload: Payload) -> Payload:
    copied = Payload()
    copied.CopyFrom(payload)
    return copied


def _last_touched(value: Any) -> int:
    """0 for what was only looked at."""
    if isinstance(value, Message):
        return value.last_touched
    return 1 if isinstance(value, Payload) and (value.metadata or value.data) else 0
