"""Removing payload files that nothing refers to any more.

A file is removed when four things are true of it: it is old enough, no claim to it is in memory, nothing that waits in memory
refers to it, and nothing in the journal does. The order in which these are looked at matters:

1. which files are old, and held by nobody, in claims or in what waits;
2. then a commit boundary: what was bytes on the way into the journal is in the journal;
3. then what can change: attempts, messages, schedules; then histories, which only grow. A reference that moves meanwhile moves
   from the former into the latter, and is seen;
4. and in the moment of removal, whether the file was asked for since.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from ..converter import DataConverter
from ..core.payload import Payload
from ..core.records import dataclass
from ..ports import Journal
from ..schedules.runner import Kept
from .files import MARK, FileStorageDriver, digests_in
from .folder import FileState

_log = logging.getLogger(__name__)

AGE_S_MIN: Final = 3600.0
"""Younger files are left alone: whoever they were written for may be in another process."""
INTERVAL_S: Final = 24 * 3600.0
_FIRST_AFTER_S: Final = 600.0
_PAGE: Final = 2000


class Memory(Protocol):
    """What a collector asks of an engine."""

    @property
    def journal(self) -> Journal:
        """The journal whose folder it is."""
        ...

    async def flushed(self) -> None:
        """What was on its way into the journal is there, or has failed."""
        ...

    def payloads_in_memory(self) -> Iterable[Payload]:
        """Payloads of what waits to be recorded."""
        ...


@dataclass(frozen=True, slots=True)
class Collected:
    """What one collection did."""

    files: int
    removed: int
    removed_bytes: int


class Collector:
    """Removes what nothing refers to from the folder of one journal."""

    def __init__(
        self,
        driver: FileStorageDriver,
        memory: Memory,
        *,
        age_s_min: float = AGE_S_MIN,
    ) -> None:
        self._driver = driver
        self._journal = memory.journal
        self._memory = memory
        self._age_s_min = age_s_min

    async def claim_folder(self) -> None:
        """The folder is this journal's; raises as `FileStorageDriver.belong_to`."""
        journal_id = await self._journal.setting("payload_folder_owner", uuid.uuid4().hex)
        await self._driver.belong_to(journal_id)

    async def collect(self) -> Collected:
        """Remove what is unused.

        Raises:
            FolderOfAnotherJournal: the folder is not this journal's; nothing was removed.
        """
        await self.claim_folder()
        unused = await self._driver.unheld(time.time() - self._age_s_min)
        files = len(unused)
        if unused:
            self._leave_out_memory(unused)
            await self._memory.flushed()
            await self._leave_out_referred(unused)
            self._leave_out_memory(unused)
        removed_bytes = await self._driver.remove(unused)
        return Collected(files, len(unused), removed_bytes)

    def _leave_out_memory(self, unused: dict[str, FileState]) -> None:
        for payload in self._memory.payloads_in_memory():
            _leave_out(unused, payload.data)

    async def _leave_out_referred(self, unused: dict[str, FileState]) -> None:
        journal = self._journal
        for schedule_id, data in (await journal.schedules()).items():
            for payload in Kept.from_bytes(schedule_id, data).payloads():
                _leave_out(unused, payload.data)
        for _, data in await journal.attempts_and_messages_with(MARK):
            _leave_out(unused, data)
        last = (await journal.last_ids()).lsn
        for after in range(0, last, _PAGE):
            if not unused:
                return
            for _, data in await journal.events_with(MARK, after, after + _PAGE):
                _leave_out(unused, data)

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Collect now and then, until it is cancelled."""
        await asyncio.sleep(min(interval_s, _FIRST_AFTER_S))
        while True:
            try:
                collected = await self.collect()
            except Exception:  # a full or broken disk must not end this: files that are unused do no harm
                _log.exception("unused payload files in %s were not removed", self._driver.folder.path)
            else:
                if collected.removed:
                    _log.info(
                        "removed %d unused payload files with %d bytes",
                        collected.removed,
                        collected.removed_bytes,
                    )
            await asyncio.sleep(interval_s)


def _leave_out(unused: dict[str, FileState], data: bytes) -> None:
    for digest in digests_in(data):
        unused.pop(digest, None)


@asynccontextmanager
async def collecting(
    converter: DataConverter, memory: Memory, interval_s: float = INTERVAL_S
) -> AsyncGenerator[None]:
    """Within this block, the folders of a converter's file drivers are this journal's, and are kept clean.

    One that is kept clean already, by a worker beside this, is left to that.

    Raises:
        FolderOfAnotherJournal: one of them is not this journal's.
    """
    storage = converter.external_storage
    drivers = () if storage is None else storage.drivers
    tasks: dict[FileStorageDriver, asyncio.Task[None]] = {}
    for driver in drivers:
        if isinstance(driver, FileStorageDriver) and not driver.kept_clean:
            collector = Collector(driver, memory)
            await collector.claim_folder()
            driver.kept_clean = True
            tasks[driver] = asyncio.ensure_future(collector.run(interval_s))
    try:
        yield
    finally:
        for driver, task in tasks.items():
            driver.kept_clean = False
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
