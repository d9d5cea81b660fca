"""Payloads as files in a folder, named by the SHA-256 of what they hold.

A file is written under another name, synced, renamed, and its name synced; only then has its payload a claim, so that a
commit that refers to it comes after all of that. The same content is kept once. What is read is checked against its name.

A file that nothing refers to can be removed. So that none goes that something is about to refer to, a claim holds its file as
long as the claim is in memory, which is as long as the reference to it is (see `StorageDriver.store`).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import re
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from ..core.payload import Payload
from ..journal.errors import StorageFull
from .drivers import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)
from .folder import FileState, Folder

T = TypeVar("T")

CLAIM: Final = "sha256"
OWNER: Final = "journal"
"""The file that says whose folder it is."""
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_UNFINISHED: Final = ".part"
_THREADS: Final = 2
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class PayloadFileError(RuntimeError):
    """A payload that is kept in a file cannot be had. What needs it waits, and goes on when the file is back."""


class PayloadFileMissing(PayloadFileError):
    """There is no such file."""


class PayloadFileDamaged(PayloadFileError):
    """The file does not hold what its name says."""


class FolderOfAnotherJournal(RuntimeError):
    """The folder belongs to another journal, whose files would be taken for unused. Nothing was done."""


class FileStorageDriver(StorageDriver):
    """Keeps payloads in a folder, which belongs to one journal and is best beside it.

    While a worker uses it, what nothing in its journal refers to any more is removed now and then.
    """

    def __init__(self, folder: str | Path, *, name: str = "overwinter.files") -> None:
        self._name = name
        self.folder = Folder(Path(folder))
        self.kept_clean = False
        """Whether somebody removes what is unused."""
        self._threads: ThreadPoolExecutor | None = None
        # Reentrant: a claim may go away, and say so, wherever Python looks for garbage, also in here. At worst a file is
        # then held for longer than it need be.
        self._lock = threading.RLock()
        self._held: Counter[str] = Counter()
        """Claims in memory, by the file that they are for."""

    def name(self) -> str:
        """See `StorageDriver.name`."""
        return self._name

    def type(self) -> str:
        """See `StorageDriver.type`."""
        return "overwinter.files"

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """See `StorageDriver.store`.

        Raises:
            StorageFull: there is no room; nothing refers to what may have been written.
            OSError: the folder cannot be written.
        """
        return await self._in_thread(self._store_all, payloads)

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """See `StorageDriver.retrieve`.

        Raises:
            PayloadFileError: a file is missing, or does not hold what its name says.
        """
        return await self._in_thread(self._read_all, [claim.claim_data.get(CLAIM, "") for claim in claims])

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="payload files")
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    # -- writing -------------------------------------------------------------------------------------

    def _store_all(self, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        claims: list[StorageDriverClaim] = []
        try:
            self.folder.make()
            for payload in payloads:
                content = payload.SerializeToString()
                digest = hashlib.sha256(content).hexdigest()
                claims.append(self._claim(digest))
                self._keep(digest, content)
            self.folder.sync_names()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise StorageFull(
                f"a payload could not be written to {self.folder.path}, its volume or quota is full"
            ) from error
        return claims

    def _claim(self, digest: str) -> StorageDriverClaim:
        """A claim that holds its file, from now on: before it is looked whether there is one."""
        claim = StorageDriverClaim({CLAIM: digest})
        with self._lock:
            self._held[digest] += 1
        weakref.finalize(claim, self._let_go, digest).atexit = False
        return claim

    def _let_go(self, digest: str) -> None:
        with self._lock:
            self._held[digest] -= 1
            if self._held[digest] <= 0:
                del self._held[digest]

    def _keep(self, digest: str, content: bytes) -> None:
        """The content is on the disk; its name is to be synced."""
        if self._has(digest, content):
            # It may be from before a crash that came before it was synced.
            self.folder.touch(digest)
            self.folder.sync_file(digest)
            return
        unfinished = f".{uuid.uuid4().hex}{_UNFINISHED}"
        try:
            self.folder.write_new(unfinished, content)
            self.folder.sync_file(unfinished)
            self.folder.rename(unfinished, digest)
        except OSError:
            self.folder.remove(unfinished)
            raise

    def _has(self, digest: str, content: bytes) -> bool:
        """Whether there is a file that holds this; one that is damaged is written again."""
        state = self.folder.state(digest)
        if state is None or state.size != len(content):
            return False
        try:
            return self.folder.read(digest) == content
        except OSError:
            return False

    # -- reading -------------------------------------------------------------------------------------

    def _read_all(self, digests: Sequence[str]) -> list[Payload]:
        return [self._read(digest) for digest in digests]

    def _read(self, digest: str) -> Payload:
        path = self.folder.path / digest
        if not _DIGEST.fullmatch(digest):
            raise PayloadFileMissing(f"a reference names the file {digest[:80]!r}, expected a SHA-256")
        try:
            content = self.folder.read(digest)
        except FileNotFoundError:
            raise PayloadFileMissing(
                f"the payload file {path} is missing: restore it from a backup of its folder, or terminate what needs it"
            ) from None
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise PayloadFileDamaged(
                f"the payload file {path} is damaged, its {len(content)} bytes have the SHA-256 {found[:12]}...: "
                "restore it from a backup of its folder, or terminate what needs it"
            )
        return Payload.FromString(content)

    # -- what nothing refers to ----------------------------------------------------------------------

    async def belong_to(self, journal_id: str) -> None:
        """The folder is this journal's from now on.

        Raises:
            FolderOfAnotherJournal: it is another's.
        """
        await self._in_thread(self._belong_to, journal_id)

    def _belong_to(self, journal_id: str) -> None:
        self.folder.make()
        if self.folder.state(OWNER) is None:
            unfinished = f".{uuid.uuid4().hex}{_UNFINISHED}"
            self.folder.write_new(unfinished, journal_id.encode())
            self.folder.sync_file(unfinished)
            self.folder.rename(unfinished, OWNER)
            self.folder.sync_names()
        found = self.folder.read(OWNER).decode("ascii", "replace")
        if found != journal_id:
            raise FolderOfAnotherJournal(
                f"the payload folder {self.folder.path} belongs to another journal ({found[:40]}, not {journal_id}): "
                "give each journal a folder of its own, or restore the journal that it belongs to"
            )

    async def unheld(self, older_than_s: float) -> dict[str, FileState]:
        """Files that no claim in memory is for, and that were written or asked for longer ago than this instant."""
        return await self._in_thread(self._unheld, older_than_s)

    def _unheld(self, older_than_s: float) -> dict[str, FileState]:
        found: dict[str, FileState] = {}
        for name in self.folder.names():
            state = self.folder.state(name) if _is_ours(name) else None
            if state is not None and state.changed_at_s < older_than_s and name not in self._held:
                found[name] = state
        return found

    async def remove(self, unused: dict[str, FileState]) -> int:
        """Remove these files, but for those that were asked for since; returns how many bytes are free."""
        return await self._in_thread(self._remove, unused)

    def _remove(self, unused: dict[str, FileState]) -> int:
        freed = 0
        for name, state in unused.items():
            # Under the lock: whoever stores the same content now holds it first, and then looks whether it is there.
            with self._lock:
                if name in self._held or self.folder.state(name) != state:
                    continue
                self.folder.remove(name)
            freed += state.size
        return freed


def _is_ours(name: str) -> bool:
    return bool(_DIGEST.fullmatch(name)) or (name.startswith(".") and name.endswith(_UNFINISHED))


def digests_in(data: bytes) -> Iterable[str]:
    """The names of files that these bytes refer to. Rather too many than too few: who has them is not removed."""
    return (found.decode() for found in _REFERENCE.findall(data))


MARK: Final = b'"' + CLAIM.encode() + b'":"'
"""What all bytes contain that refer to a file."""
_REFERENCE: Final = re.compile(re.escape(MARK) + rb"([0-9a-f]{64})")
