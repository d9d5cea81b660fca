"""The payload, as authors of converters and codecs import it."""

from ...core.payload import Payload

__all__ = ["Payload"]
