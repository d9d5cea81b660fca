"""Histories in files, and whether they fit the code: what ``overwinter export`` and ``overwinter replay`` do."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from overwinter.runtime.client import WorkflowHistory
from overwinter.runtime.core.events import WorkflowStarted, event_name
from overwinter.runtime.core.replay import HistoryDiverged
from overwinter.runtime.display import views
from overwinter.runtime.histories import from_lines, to_lines
from overwinter.runtime.live import source_line
from overwinter.runtime.ports import OPEN, ExecutionRecord, Journal
from overwinter.runtime.worker import Replayer

from .catalog import Catalog
from .ports import Json

SUFFIX: Final = ".history.jsonl"
_PAGE: Final = 200
Progress = Callable[[int], None]
"""Called with how many are done."""


async def export(
    journal: Journal,
    folder: Path,
    progress: Progress,
    *,
    limit: int,
    status: str | None = None,
    workflow_type: str | None = None,
) -> int:
    """Each history is in a file of its own, whole or not at all; returns how many there are.

    Raises:
        OSError: the folder cannot be written.
        HistoryDamaged: a history in the journal is not whole; those before it are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    async for record in _records(journal, views.of_status(status) | {"workflow_type": workflow_type}):
        events = (await journal.history(record)).events
        name = re.sub(r"[^\w.-]", "_", record.workflow_id)[:100]
        file = folder / f"{name}.{record.run_id}{SUFFIX}"
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text("".join(to_lines(record.workflow_id, events)), encoding="utf-8")
        os.replace(unfinished, file)
        count += 1
        progress(count)
        if count == limit:
            break
    return count


async def _records(journal: Journal, wanted: Mapping[str, Any]) -> AsyncIterator[ExecutionRecord]:
    before: int | None = None
    while True:
        page = await journal.executions(**wanted, limit=_PAGE, before_key=before)
        for record in page:
            yield record
        if len(page) < _PAGE:
            return
        before = page[-1].key


async def open_histories(journal: Journal) -> AsyncIterator[WorkflowHistory]:
    """The histories of the open executions."""
    async for record in _records(journal, {"status": OPEN}):
        yield WorkflowHistory(record.workflow_id, (await journal.history(record)).events)


async def exported(paths: Iterable[Path]) -> AsyncIterator[WorkflowHistory]:
    """The histories of these files, and of the exported files in these folders.

    Raises:
        ValueError: a file holds no history; names the file and the line.
        OSError: a file cannot be read.
    """
    for path in paths:
        for file in sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]:
            try:
                with file.open(encoding="utf-8") as lines:
                    yield WorkflowHistory(*from_lines(lines))
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error


async def replay(catalog: Catalog, histories: AsyncIterator[WorkflowHistory], progress: Progress) -> Json:
    """Which histories fit the workflows of the catalog; nothing that they ask for is carried out.

    Raises:
        ValueError: the catalog has no workflow.
    """
    replayer = Replayer(workflows=catalog.workflows)
    count = 0
    misfits: list[Json] = []
    async with replayer.workflow_replay_iterator(histories) as results:
        async for result in results:
            count += 1
            progress(count)
            if result.replay_failure is not None:
                misfits.append(_misfit(result.history, result.replay_failure))
    return {"histories": count, "fits": count - len(misfits), "misfits": misfits}


def _misfit(history: WorkflowHistory, failure: Exception) -> Json:
    start = history.events[0].body
    row: dict[str, Any] = {
        "workflow_id": history.workflow_id,
        "run_id": start.run_id if isinstance(start, WorkflowStarted) else "",
        "type": start.workflow_type if isinstance(start, WorkflowStarted) else "",
        "problem": str(failure.__cause__ or failure),
    }
    if isinstance(failure, HistoryDiverged):
        recorded, replayed = failure.recorded, failure.replayed
        row["verdict"] = "needs a patch"
        row["recorded"] = "nothing more" if recorded is None else _described(recorded.body, recorded.sequence)
        row["replayed"] = "nothing more" if replayed is None else _described(replayed, None)
        row["problem"] = "put the new code behind workflow.patched(), or let these executions end first"
    else:
        row["verdict"] = "blocked"
        row["where"] = source_line(failure.__cause__) if failure.__cause__ is not None else ""
    return row


def _described(body: Any, sequence: int | None) -> str:
    names = ("activity_type", "workflow_type", "topic", "patch_id", "id")
    parts = [f"{name} {getattr(body, name)!r}" for name in names if hasattr(body, name)]
    place = "" if sequence is None else f" (event {sequence})"
    return f"{event_name(body)} {', '.join(parts)}{place}".replace("  ", " ")
