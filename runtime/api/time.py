"""Lengths of time and instants as messages, in the manner of protobuf's well-known types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from .message import Message, Scalar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Duration(Message):
    """A length of time."""

    seconds = Scalar(0)
    nanos = Scalar(0)

    def FromTimedelta(self, delta: timedelta) -> None:  # noqa: N802 - the name that authors know
        """Be as long as this."""
        seconds, rest = divmod(delta, timedelta(seconds=1))
        self.seconds, self.nanos = seconds, rest.microseconds * 1000

    def ToTimedelta(self) -> timedelta:  # noqa: N802 - as above
        """How long it is."""
        return timedelta(seconds=self.seconds, microseconds=self.nanos // 1000)


class Timestamp(Message):
    """An instant."""

    seconds = Scalar(0)
    nanos = Scalar(0)

    def FromDatetime(self, at: datetime) -> None:  # noqa: N802 - as above
        """Be this instant; one without a time zone is in UTC."""
        seconds, rest = divmod((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH, timedelta(seconds=1))
        self.seconds, self.nanos = seconds, rest.microseconds * 1000

    def ToDatetime(self, tzinfo: tzinfo | None = None) -> datetime:  # noqa: N802 - as above
        """The instant in this time zone; without one in UTC, and not saying so."""
        at = _EPOCH + timedelta(seconds=self.seconds, microseconds=self.nanos // 1000)
        return at.replace(tzinfo=None) if tzinfo is None else at.astimezone(tzinfo)
