"""Closed executions in files: histories as JSON lines, many in a file, compressed.

A file is written under another name, synced, and then named: it is there whole or not at all, and before the commit that deletes
its executions from the journal. A crash between the two leaves an execution in both; the next file has it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from .core.events import Event
from .core.state import ExecutionState
from .core.transitions import IllegalTransition
from .histories import from_lines, to_lines
from .ports import ExecutionRecord, History

SUFFIX: Final = ".history.jsonl.gz"
_UNFINISHED: Final = ".unfinished"
_LEVEL: Final = 6
_HEADER: Final = '{"format"'


class Archived(NamedTuple):
    """One execution of an archive; `about` is its header."""

    about: dict[str, Any]
    lines: list[str]

    @property
    def workflow_id(self) -> str:
        """Its workflow id."""
        return str(self.about["workflow_id"])

    def events(self) -> list[Event]:
        """Its history.

        Raises:
            ValueError: the file is not whole; the message names the line.
        """
        return from_lines(self.lines)[1]


def write(folder: Path, histories: Sequence[tuple[ExecutionRecord, Sequence[Event]]]) -> Path:
    """A file with these histories is in the folder, durably.

    Raises:
        OSError: it could not be written; nothing of it is there.
    """
    import gzip  # not needed to start

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    first, last = histories[0][0].key, histories[-1][0].key
    file = folder / f"{first:012d}-{last:012d}{SUFFIX}"
    unfinished = file.with_name(file.name + _UNFINISHED)
    try:
        with unfinished.open("wb") as raw:
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
                for record, events in histories:
                    packed.write("".join(_lines(record, events)).encode())
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(unfinished, file)
        _sync(folder)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return file


def _lines(record: ExecutionRecord, events: Sequence[Event]) -> Iterator[str]:
    lines = to_lines(record.workflow_id, events)
    about = json.loads(next(lines)) | {
        "status": record.status,
        "task_queue": record.task_queue,
        "started_at_us": record.started_at_us,
        "closed_at_us": record.closed_at_us,
    }
    yield json.dumps(about) + "\n"
    yield from lines


def record_of(found: Archived) -> ExecutionRecord:
    """How a journal listed it; what it had to do with others is in its history."""
    about = found.about
    return ExecutionRecord(
        key=0,
        workflow_id=found.workflow_id,
        run_id=str(about["run_id"]),
        workflow_type=str(about["type"]),
        task_queue=str(about.get("task_queue", "")),
        started_at_us=int(about["started_at_us"]),
        status=str(about["status"]),
        closed_at_us=about.get("closed_at_us"),
        wake_at_us=None,
    )


def history_of(found: Archived) -> History:
    """Its history, and the state that it adds up to.

    Raises:
        ValueError: it is not whole.
    """
    events = found.events()
    state = ExecutionState(str(found.about["run_id"]))
    try:
        for event in events:
            state.apply(event)
    except IllegalTransition as error:
        raise ValueError(f"the history of {found.workflow_id} does not fit together: {error}") from error
    return History(events, state)


def read(file: Path) -> Iterator[Archived]:
    """The executions of a file, one after the other.

    Raises:
        ValueError: it is no archive, or not whole.
        OSError: it cannot be read.
    """
    import gzip  # as above

    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from _executions(lines)
    except (EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not whole: {error}") from error


def _executions(lines: Iterable[str]) -> Iterator[Archived]:
    found: Archived | None = None
    for line in lines:
        if line.startswith(_HEADER):
            if found is not None:
                yield found
            found = Archived(json.loads(line), [line])
        elif found is None:
            raise ValueError("no archive: it does not begin with the header of a history")
        else:
            found.lines.append(line)
    if found is not None:
        yield found


def files(folder: Path) -> list[Path]:
    """The files of an archive, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(folder.glob("*" + SUFFIX), key=lambda file: (file.stat().st_mtime_ns, file.name))


def size(folder: Path) -> int:
    """How many bytes the files of an archive have."""
    return sum(file.stat().st_size for file in files(folder))


def trim(folder: Path, bytes_max: int) -> int:
    """The oldest files are gone, as many as are too many; returns how many."""
    found = [(file, file.stat().st_size) for file in files(folder)]
    left, gone = sum(each for _, each in found), 0
    for file, each in found[:-1]:  # the newest stays, whatever its size
        if left <= bytes_max:
            break
        file.unlink()
        left -= each
        gone += 1
    return gone


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
