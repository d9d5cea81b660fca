"""The keys that payloads are encrypted with: the newest encrypts, all of them decrypt.

A ring is text, one key a line, the newest last: its id, a space, 32 bytes in base64. Lines that begin with ``#`` are remarks.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
"""Where systemd puts what ``LoadCredential=`` and ``LoadCredentialEncrypted=`` name."""
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class KeyRingError(ValueError):
    """Keys cannot be had. The text names the place and never what is secret."""


class UnknownKey(KeyRingError):
    """A payload was encrypted with a key that the ring does not have."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its id."""

    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Key:
        """A key that nobody has had before."""
        return cls(f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}", secrets.token_bytes(KEY_BYTES))


class KeyRing:
    """Keys by their ids.

    Raises:
        KeyRingError: there is none, or two have one id.
    """

    def __init__(self, *keys: Key) -> None:
        if not keys:
            raise KeyRingError("the key ring is empty, expected at least one key")
        self.keys: Mapping[str, Key] = {key.id: key for key in keys}
        if len(self.keys) != len(keys):
            raise KeyRingError("two keys of the key ring have the same id, expected one each")
        self.current = keys[-1]

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.keys)})"

    def __getitem__(self, key_id: str) -> Key:
        """The key of this id; raises `UnknownKey`."""
        found = self.keys.get(key_id)
        if found is None:
            raise UnknownKey(
                f"a payload is encrypted with the key {key_id[:64]!r}, which the key ring does not have "
                f"(it has {', '.join(self.keys)}): put that key back, before the newest"
            )
        return found

    def with_new(self, key: Key) -> KeyRing:
        """The same with another key, which encrypts from now on."""
        return KeyRing(*self.keys.values(), key)

    def without(self, key_id: str) -> KeyRing:
        """The same without this key."""
        return KeyRing(*(key for key in self.keys.values() if key.id != key_id))

    # -- where it is kept ----------------------------------------------------------------------------

    @classmethod
    def from_text(cls, text: str, source: str) -> KeyRing:
        """The ring of this text; `source` says in errors where it is from."""
        keys: list[Key] = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                keys.append(_key_of(line, f"{source}, line {number}"))
        try:
            return cls(*keys)
        except KeyRingError as error:
            raise KeyRingError(f"{source}: {error}") from None

    @classmethod
    def from_file(cls, path: Path) -> KeyRing:
        """The ring in a file that its owner alone can read.

        Raises:
            KeyRingError: there is no such file, others can read it, or it holds no ring.
        """
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read()
        except OSError as error:
            raise KeyRingError(f"the keys in {path} cannot be read: {error.strerror}") from None
        if mode & 0o077:
            raise KeyRingError(
                f"the keys in {path} have mode {mode:04o}, expected 0600 or less: others can read them. "
                f"chmod 600 {path}, and think of them as known"
            )
        try:
            return cls.from_text(content.decode("ascii"), str(path))
        except UnicodeDecodeError:
            raise KeyRingError(f"{path} is no text, expected lines with an id and a key in base64") from None

    @classmethod
    def from_credential(cls, name: str, environment: Mapping[str, str] = os.environ) -> KeyRing:
        """The ring in a credential that systemd hands to this service; raises as `from_file`."""
        folder = environment.get(CREDENTIALS)
        if folder is None:
            raise KeyRingError(
                f"there is no credential {name!r}: ${CREDENTIALS} is not set, expected a systemd service with "
                f"LoadCredentialEncrypted={name}:FILE"
            )
        return cls.from_file(Path(folder) / name)

    @classmethod
    def from_environment(cls, variable: str, environment: Mapping[str, str] = os.environ) -> KeyRing:
        """The ring in a variable of the environment.

        Raises:
            KeyRingError: it is not set, or holds no ring.
        """
        text = environment.get(variable)
        if text is None:
            raise KeyRingError(f"there are no keys: the variable {variable} is not set")
        return cls.from_text(text, f"the variable {variable}")

    def write(self, path: Path) -> None:
        """The file holds this ring, wholly, also after a power cut; its owner alone can read it. Raises OSError."""
        lines = [f"{key.id} {base64.b64encode(key.secret).decode()}\n" for key in self.keys.values()]
        handle, unfinished = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}."
        )  # Made with mode 0600.
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except OSError:
            Path(unfinished).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _key_of(line: str, place: str) -> Key:
    key_id, *rest = line.split()
    if not _ID.fullmatch(key_id) or len(rest) != 1:
        # What is wrong may be the key itself, so it is not shown.
        raise KeyRingError(
            f"{place} is no key, expected an id of letters, digits and ._- and a key in base64"
        )
    try:
        secret = base64.b64decode(rest[0], validate=True)
    except (binascii.Error, ValueError):
        raise KeyRingError(f"{place}: the key {key_id} is not base64") from None
    if len(secret) != KEY_BYTES:
        raise KeyRingError(f"{place}: the key {key_id} has {len(secret)} bytes, expected {KEY_BYTES}")
    return Key(key_id, secret)
