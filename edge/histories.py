"""Histories in files, and whether they fit the code: what ``overwinter export`` and ``overwinter replay`` do."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from overwinter.runtime import archive
from overwinter.runtime.client import WorkflowHistory
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.core.commands import PublishMessage, SignalWithStart
from overwinter.runtime.core.events import Event, event_name
from overwinter.runtime.display import views
from overwinter.runtime.histories import from_lines, to_lines
from overwinter.runtime.misfits import Misfit
from overwinter.runtime.ports import OPEN, ExecutionRecord, Journal
from overwinter.runtime.worker import Replayer

from .catalog import Catalog
from .ports import Json

LINES: Final = "lines"
TEMPORAL: Final = "temporal"
FORMATS: Final = (LINES, TEMPORAL)
"""JSON lines, which hold everything; or what Temporal's tools read."""

NOT_TEMPORALS: Final = (PublishMessage, SignalWithStart)
"""What Temporal's histories have no event for."""

_SUFFIXES: Final = {LINES: ".history.jsonl", TEMPORAL: ".history.json"}
_READ: Final = (".jsonl", ".json", archive.SUFFIX)
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
    form: str = LINES,
) -> Json:
    """Each history is in a file of its own, whole or not at all.

    Returns how many there are, and of Temporal's form how often a kind of event had to become a marker, since it has
    no such event.

    Raises:
        OSError: the folder cannot be written.
        HistoryDamaged: a history in the journal is not whole; those before it are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    markers: Counter[str] = Counter()
    async for record in records_of(journal, views.of_status(status) | {"workflow_type": workflow_type}):
        if record.is_activity:  # It has nothing that could be replayed.
            continue
        events = (await journal.history(record)).events
        name = re.sub(r"[^\w.-]", "_", record.workflow_id)[:100]
        file = folder / f"{name}.{record.run_id}{_SUFFIXES[form]}"
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(_text(record, events, form), encoding="utf-8")
        os.replace(unfinished, file)
        count += 1
        markers.update(event_name(e.body) for e in events if isinstance(e.body, NOT_TEMPORALS))
        progress(count)
        if count == limit:
            break
    answer: dict[str, Any] = {"folder": str(folder), "histories": count}
    return answer | {"markers": dict(markers)} if form == TEMPORAL else answer


def _text(record: ExecutionRecord, events: Sequence[Event], form: str) -> str:
    if form == LINES:
        return "".join(to_lines(record.workflow_id, events))
    return WorkflowHistory.of_records(record.workflow_id, events).to_json() + "\n"


async def records_of(journal: Journal, wanted: Mapping[str, Any]) -> AsyncIterator[ExecutionRecord]:
    """The executions of which this is true, the newest first; see `Journal.executions`."""
    before: int | None = None
    while True:
        page = await journal.executions(**wanted, limit=_PAGE, before_key=before)
        for record in page:
            yield record
        if len(page) < _PAGE:
            return
        before = page[-1].key


async def open_histories(journal: Journal) -> AsyncIterator[WorkflowHistory]:
    """The histories of the open executions of workflows."""
    async for record in records_of(journal, {"status": OPEN}):
        if record.is_activity:
            continue
        yield WorkflowHistory.of_records(record.workflow_id, (await journal.history(record)).events)


async def exported(paths: Iterable[Path]) -> AsyncIterator[WorkflowHistory]:
    """The histories of these files, and of the files in these folders: exported ones, or JSON of Temporal's tools.

    Raises:
        ValueError: a file holds no history; names the file and the place.
        OSError: a file cannot be read.
    """
    for path in paths:
        files = [each for suffix in _READ for each in path.rglob("*" + suffix)] if path.is_dir() else [path]
        for file in sorted(files):
            try:
                for history in _read(file):
                    yield history
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error


def _read(file: Path) -> Iterator[WorkflowHistory]:
    if file.name.endswith(archive.SUFFIX):
        for each in archive.read(file):
            yield WorkflowHistory.of_records(each.workflow_id, each.events())
        return
    if file.suffix == ".jsonl":
        with file.open(encoding="utf-8") as lines:
            yield WorkflowHistory.of_records(*from_lines(lines))
        return
    history = WorkflowHistory.from_json(file.name.split(".")[0], file.read_text(encoding="utf-8"))
    if not history.events:
        raise ValueError("no history: there is no event")
    # Temporal's older servers do not say the id.
    start = history.events[0].workflow_execution_started_event_attributes
    yield WorkflowHistory(start.workflow_id or history.workflow_id, history.events)


async def replay(
    catalog: Catalog,
    histories: AsyncIterator[WorkflowHistory],
    progress: Progress,
    converter: DataConverter = DataConverter.default,
) -> Json:
    """Which histories fit the workflows of the catalog; nothing that they ask for is carried out.

    Raises:
        ValueError: the catalog has no workflow.
    """
    replayer = Replayer(workflows=catalog.workflows, data_converter=converter)
    count = 0
    misfits: list[Json] = []
    async with replayer.workflow_replay_iterator(histories) as results:
        async for result in results:
            count += 1
            progress(count)
            if result.replay_failure is not None:
                misfits.append(views.misfit(_misfit(result.history, result.replay_failure)))
    return {"histories": count, "fits": count - len(misfits), "misfits": misfits}


def _misfit(history: WorkflowHistory, failure: Exception) -> Misfit:
    run_id, workflow_type = "", ""
    if history.events:
        start = history.events[0].workflow_execution_started_event_attributes
        run_id, workflow_type = history.run_id, start.workflow_type.name
    return Misfit(history.workflow_id, run_id, workflow_type, failure)
