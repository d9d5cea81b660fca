"""The gateway with its protection switched off: its journal says that a commit is done before it is written."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from overwinter.edge.cli import main
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.ports import Batch, ExecutionRecord

_LIE_S = 0.3
_commit = SqliteJournal.commit
_later: list[asyncio.Task[Any]] = []


async def commit_later(journal: SqliteJournal, batch: Batch) -> dict[int, ExecutionRecord]:
    before = _later[-1] if _later else None

    async def write() -> None:
        await asyncio.sleep(_LIE_S)
        if before is not None:
            await before
        await _commit(journal, batch)

    _later.append(asyncio.get_running_loop().create_task(write()))
    return {}


SqliteJournal.commit = commit_later  # type: ignore[method-assign]
sys.exit(main())
