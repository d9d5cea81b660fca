"""What stands in a history in the place of a payload that is kept elsewhere.

The form is Temporal's: an ``ExternalStorageReference`` message as JSON, with the name of the driver and its claim.
"""

from __future__ import annotations

import json
import weakref
from typing import Any, Final, cast

from ..core.payload import ENCODING, Payload
from .drivers import StorageDriverClaim

MESSAGE_TYPE: Final = b"temporal.api.sdk.v1.ExternalStorageReference"
NOT_CONFIGURED: Final = (
    "[TMPRL1105] Detected externally stored payload(s) but external storage is not configured."
)
REFERENCE_ENCODING: Final = b"json/protobuf"
_BEFORE_THE_MESSAGE: Final = b"json/external-storage-reference"
"""The encoding of references that the SDK wrote before it had the message."""


def is_reference(payload: Payload) -> bool:
    """Whether this stands for a payload that is kept elsewhere."""
    encoding = payload.metadata.get(ENCODING)
    if encoding == REFERENCE_ENCODING:
        return payload.metadata.get("messageType") == MESSAGE_TYPE
    return encoding == _BEFORE_THE_MESSAGE


def reference_to(driver: str, claim: StorageDriverClaim, size: int) -> Payload:
    """The reference to a payload of this size; the claim lives as long as it does."""
    message = {"driverName": driver, "claimData": dict(claim.claim_data)}
    reference = Payload(
        {ENCODING: REFERENCE_ENCODING, "messageType": MESSAGE_TYPE},
        json.dumps(message, separators=(",", ":")).encode(),
        (size,),
    )
    weakref.finalize(reference, _let_go, claim).atexit = False
    return reference


def _let_go(_claim: StorageDriverClaim) -> None:
    """The reference is gone from memory: nothing is left to do but to forget the claim."""


def read_reference(payload: Payload) -> tuple[str, StorageDriverClaim]:
    """The name of the driver and the claim of a reference.

    Raises:
        ValueError: the bytes are not those of a reference.
    """
    try:
        found: Any = json.loads(payload.data)
        if payload.metadata.get(ENCODING) == _BEFORE_THE_MESSAGE:
            driver, claim = found["driver_name"], found["driver_claim"]["claim_data"]
        else:
            driver, claim = found["driverName"], found.get("claimData", {})
        texts = cast("dict[str, str]", claim)
        return str(driver), StorageDriverClaim({str(name): str(value) for name, value in texts.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a reference to an externally stored payload does not decode: {error}") from error
