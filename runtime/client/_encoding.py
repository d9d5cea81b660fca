"""Values on their way out of a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..common import HeaderCodecBehavior
from ..core.payload import Payload
from ..values import ConvertedValues

if TYPE_CHECKING:
    from ._client import Client


async def headers_of(
    client: Client, values: ConvertedValues, headers: Mapping[str, Payload]
) -> Mapping[str, Payload]:
    """The headers, through the codec where the client wants it."""
    if client.header_codec_behavior != HeaderCodecBehavior.CODEC:
        return headers
    return {name: (await values.converter.seal([payload]))[0] for name, payload in headers.items()}


async def stored(values: ConvertedValues, what: str, args: Sequence[Any]) -> tuple[Payload, ...]:
    """The arguments as they are kept; an error says of what they are."""
    try:
        return await values.stored(args)
    except ValueError as error:
        error.add_note(f"while the arguments of {what} were encoded")
        raise
