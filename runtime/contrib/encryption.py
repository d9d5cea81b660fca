"""Payloads encrypted with AES-256-GCM. Needs ``cryptography``: pip install 'overwinter[encryption]'.

A payload becomes one with the encoding ``binary/encrypted`` and the id of its key. Of the key and a random salt another key is
derived for each process, under which a counter is the nonce: no nonce is used twice under one key, however many payloads and
restarts there are. Encoding and key id are authenticated, so that none can be put in the place of another.

What is stored is: 16 bytes salt, 12 bytes nonce, the encrypted payload, 16 bytes tag.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..converter import ImmediatePayloadCodec
from ..core.payload import ENCODING, Payload
from .key_ring import KEY_BYTES, Key, KeyRing, KeyRingError, UnknownKey

__all__ = ["AesGcmCodec", "Key", "KeyRing", "KeyRingError", "PayloadNotAuthentic", "UnknownKey", "key_ids_in"]

ENCRYPTED: Final = b"binary/encrypted"
KEY_ID: Final = "encryption-key-id"
MARK: Final = KEY_ID.encode()
"""What all bytes contain that hold an encrypted payload."""

_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = _SALT_BYTES + _NONCE_BYTES
_TAG_BYTES: Final = 16
_DERIVED_KEPT: Final = 256
_PURPOSE: Final = b"overwinter payload 1"


class PayloadNotAuthentic(ValueError):
    """An encrypted payload was changed, or its key is not the one that this id had."""


class _Sender:
    """Encrypts for one process under one key."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.process = os.getpid()
        self._salt = os.urandom(_SALT_BYTES)
        self._cipher = AESGCM(_derived(key.secret, self._salt))
        self._nonces = count()

    def sealed(self, payload: Payload) -> Payload:
        nonce = next(self._nonces).to_bytes(_NONCE_BYTES, "big")
        text = self._cipher.encrypt(nonce, payload.SerializeToString(), _associated(self.key.id))
        metadata = {ENCODING: ENCRYPTED, KEY_ID: self.key.id.encode()}
        return Payload(metadata, self._salt + nonce + text)


class AesGcmCodec(ImmediatePayloadCodec):
    """Encrypts with the current key of a ring, and decrypts with whichever it was.

    What is not encrypted is read as it is, so that a journal that began without encryption goes on with it.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._sender = _Sender(ring.current)
        self._opener = lru_cache(maxsize=_DERIVED_KEPT)(self._opening)

    def __repr__(self) -> str:
        return f"AesGcmCodec({self._ring!r})"

    @property
    def ring(self) -> KeyRing:
        """The keys."""
        return self._ring

    def use(self, ring: KeyRing) -> None:
        """Go on with these keys."""
        self._ring = ring
        self._sender = _Sender(ring.current)
        self._opener.cache_clear()

    def encode_now(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`."""
        if self._sender.process != os.getpid():
            self._sender = _Sender(self._ring.current)  # A fork has the salt and the counter of its parent.
        return [self._sender.sealed(payload) for payload in payloads]

    def decode_now(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`.

        Raises:
            UnknownKey: the ring does not have the key; names it.
            PayloadNotAuthentic: what was found is not what was encrypted.
        """
        return [
            self._opened(payload) if payload.metadata.get(ENCODING) == ENCRYPTED else payload
            for payload in payloads
        ]

    def _opened(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")
        data = payload.data
        cipher = self._opener(key_id, data[:_SALT_BYTES])
        try:
            if len(data) < _HEAD_BYTES + _TAG_BYTES:
                raise InvalidTag
            text = cipher.decrypt(data[_SALT_BYTES:_HEAD_BYTES], data[_HEAD_BYTES:], _associated(key_id))
        except InvalidTag:
            raise PayloadNotAuthentic(
                f"a payload that was encrypted with the key {key_id[:64]!r} does not decrypt: it was changed, or the key of "
                "this id in the key ring is another one"
            ) from None
        return Payload.FromString(text)

    def _opening(self, key_id: str, salt: bytes) -> AESGCM:
        return AESGCM(_derived(self._ring[key_id].secret, salt))


def _derived(secret: bytes, salt: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt, _PURPOSE).derive(secret)


def _associated(key_id: str) -> bytes:
    return b"\0".join((_PURPOSE, ENCRYPTED, key_id.encode()))


def key_ids_in(data: bytes) -> Iterator[str]:
    """The ids of keys of the payloads in these bytes, one for each payload. Rather too many than too few."""
    for found in _STORED_ID.finditer(data):
        end = found.end()
        yield data[end : end + found[1][0]].decode("ascii", "replace")


# The value is bytes in msgpack (0xc4), or field 2 of an entry on the wire (0x12), then its length; ids are short.
_STORED_ID: Final = re.compile(re.escape(MARK) + rb"[\xc4\x12](.)", re.DOTALL)
