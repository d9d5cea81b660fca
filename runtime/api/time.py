"""Instants and durations as Temporal's protocol has them: whole seconds, and nanoseconds beside them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from .message import Int64, Message

_BILLION: Final = 1_000_000_000
_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|z|[+-]\d\d:\d\d)")
_DURATION: Final = re.compile(r"(-?)(\d+)(?:\.(\d{1,9}))?s")


class Timestamp(Message):
    """An instant, counted from 1970 in UTC."""

    seconds: Int64
    nanos: int

    @classmethod
    def of_us(cls, at_us: int) -> Timestamp:
        """The instant so many microseconds after 1970 began."""
        return cls(seconds=at_us // 1_000_000, nanos=at_us % 1_000_000 * 1000)

    def ToMicroseconds(self) -> int:  # noqa: N802 - the protocol's name
        """Microseconds since 1970 began."""
        return int(self.seconds * 1_000_000 + self.nanos // 1000)

    def ToMilliseconds(self) -> int:  # noqa: N802 - the protocol's name
        """Milliseconds since 1970 began."""
        return self.ToMicroseconds() // 1000

    def ToSeconds(self) -> int:  # noqa: N802 - the protocol's name
        """Seconds since 1970 began."""
        return int(self.seconds)

    def ToNanoseconds(self) -> int:  # noqa: N802 - the protocol's name
        """Nanoseconds since 1970 began."""
        return int(self.seconds * _BILLION + self.nanos)

    def ToDatetime(self, tzinfo: tzinfo | None = None) -> datetime:  # noqa: N802 - the protocol's name
        """The instant as a datetime: in this zone, or in UTC and without a zone."""
        found = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.ToMicroseconds())
        return found.replace(tzinfo=None) if tzinfo is None else found.astimezone(tzinfo)

    def FromDatetime(self, dt: datetime) -> None:  # noqa: N802 - the protocol's name
        """Become the instant of a datetime; one without a zone is in UTC."""
        aware = dt if dt.tzinfo is not None else dt.replace(tzinfo=UTC)
        found = Timestamp.of_us((aware - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1))
        self.seconds, self.nanos = found.seconds, found.nanos

    def ToJsonString(self) -> str:  # noqa: N802 - the protocol's name
        """The instant as JSON has it, ``2026-03-01T06:00:00.250Z``."""
        whole = datetime.fromtimestamp(0, UTC) + timedelta(seconds=self.seconds)
        return f"{whole.replace(tzinfo=None).isoformat()}{_fraction(self.nanos)}Z"

    def FromJsonString(self, value: str) -> None:  # noqa: N802 - the protocol's name
        """Become the instant that JSON has.

        Raises:
            ValueError: it is no instant.
        """
        found = _INSTANT.fullmatch(value)
        if found is None:
            raise ValueError(f"{value!r} is no instant such as '2026-03-01T06:00:00Z'")
        self.FromDatetime(datetime.fromisoformat(found[1].upper() + found[3].upper()))
        self.nanos = _nanos(found[2])


class Duration(Message):
    """A length of time; both numbers have its sign."""

    seconds: Int64
    nanos: int

    @classmethod
    def of_s(cls, seconds: float) -> Duration:
        """A duration of so many seconds, to the microsecond."""
        return cls._of_nanos(round(seconds * 1_000_000) * 1000)

    @classmethod
    def _of_nanos(cls, nanos: int) -> Duration:
        sign = -1 if nanos < 0 else 1
        return cls(seconds=sign * (abs(nanos) // _BILLION), nanos=sign * (abs(nanos) % _BILLION))

    def ToNanoseconds(self) -> int:  # noqa: N802 - the protocol's name
        """In nanoseconds."""
        return int(self.seconds * _BILLION + self.nanos)

    def ToMicroseconds(self) -> int:  # noqa: N802 - the protocol's name
        """In microseconds, towards zero."""
        return int(self.seconds * 1_000_000 + int(self.nanos / 1000))

    def ToMilliseconds(self) -> int:  # noqa: N802 - the protocol's name
        """In milliseconds, towards zero."""
        return int(self.seconds * 1000 + int(self.nanos / 1_000_000))

    def ToSeconds(self) -> int:  # noqa: N802 - the protocol's name
        """In seconds, towards zero."""
        return int(self.seconds)

    def ToTimedelta(self) -> timedelta:  # noqa: N802 - the protocol's name
        """As a timedelta."""
        return timedelta(microseconds=self.ToMicroseconds())

    def FromTimedelta(self, td: timedelta) -> None:  # noqa: N802 - the protocol's name
        """Become the length of a timedelta."""
        found = Duration._of_nanos(td // timedelta(microseconds=1) * 1000)
        self.seconds, self.nanos = found.seconds, found.nanos

    def ToJsonString(self) -> str:  # noqa: N802 - the protocol's name
        """The duration as JSON has it, ``1.500s``."""
        sign = "-" if self.ToNanoseconds() < 0 else ""
        return f"{sign}{abs(self.seconds)}{_fraction(abs(self.nanos))}s"

    def FromJsonString(self, value: str) -> None:  # noqa: N802 - the protocol's name
        """Become the duration that JSON has.

        Raises:
            ValueError: it is no duration.
        """
        found = _DURATION.fullmatch(value)
        if found is None:
            raise ValueError(f"{value!r} is no duration such as '1.5s'")
        nanos = int(found[2]) * _BILLION + _nanos(found[3])
        made = Duration._of_nanos(-nanos if found[1] else nanos)
        self.seconds, self.nanos = made.seconds, made.nanos


def _fraction(nanos: int) -> str:
    """Nanoseconds behind a point: none, three, six or nine digits."""
    if not nanos:
        return ""
    digits = f"{nanos:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}"


def _nanos(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))
