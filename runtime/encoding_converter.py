"""What writes and reads one encoding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .core.payload import Payload


class EncodingPayloadConverter(ABC):
    """Converts values to and from one encoding."""

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The encoding's name, as it stands in a payload's metadata."""

    @abstractmethod
    def to_payload(self, value: Any) -> Payload | None:
        """The value as a payload, or None if this encoding is not for it."""

    @abstractmethod
    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The payload's value, as the hint asks."""
