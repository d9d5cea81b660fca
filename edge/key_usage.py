"""Which keys still protect something in a journal, or in the payload files beside it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from overwinter.runtime.batch_jobs import BatchJob
from overwinter.runtime.contrib.encryption import MARK, key_ids_in
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.ports import Journal
from overwinter.runtime.schedules.runner import Kept

from .histories import records_of

_PAGE: Final = 2000
_HEAD_BYTES: Final = 1024
"""Of a payload file, in which the id of its key is."""
_ID_BYTES_MAX: Final = 66
"""Of the id of a key, with what is before it."""
_FILE: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """What one key protects."""

    payloads: int
    where: tuple[str, ...]
    """Executions, schedules, batch jobs and payload files, each once."""


async def key_usage(journal: Journal, folder: Path) -> dict[str, KeyUsage]:
    """By key id, what the key protects in a journal and in its folder of payload files."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    async for where, data in _kept(journal):
        for key_id in key_ids_in(data):
            found[key_id][where] += 1
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _FILE.fullmatch(file.name):
            with file.open("rb") as opened:
                for key_id in key_ids_in(opened.read(_HEAD_BYTES)):
                    found[key_id][f"payload file {file.name}"] += 1
    return {key_id: KeyUsage(places.total(), tuple(places)) for key_id, places in found.items()}


async def _kept(journal: Journal) -> AsyncIterator[tuple[str, bytes]]:
    """What the journal keeps of encrypted payloads, and where."""
    for schedule_id, data in (await journal.schedules()).items():
        yield f"schedule {schedule_id}", _bytes_of(Kept.from_bytes(schedule_id, data).payloads())
    for job_id, data in (await journal.jobs()).items():
        operation = BatchJob.from_bytes(job_id, data).operation
        yield f"batch job {job_id}", _bytes_of([*operation.args, *operation.headers.values()])
    rows = await journal.attempts_and_messages_with(MARK)
    last = (await journal.last_ids()).lsn
    for after in range(0, last, _PAGE):
        rows += [(key, _ids(data)) for key, data in await journal.events_with(MARK, after, after + _PAGE)]
    names = {record.key: record.workflow_id async for record in records_of(journal, {})} if rows else {}
    for key, data in rows:
        yield f"execution {names.get(key, f'number {key}')}", data


def _ids(data: bytes) -> bytes:
    """What is kept of an event for counting: the ids of its keys, and not the values."""
    return MARK.join([b"", *(part[:_ID_BYTES_MAX] for part in data.split(MARK)[1:])])


def _bytes_of(payloads: Iterable[Payload]) -> bytes:
    return b"".join(payload.SerializeToString() for payload in payloads)
