"""`overwinter archive`: closed executions that have left the journal, from the files that they are in."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from overwinter.runtime.display import timeline

from . import listing
from .command_line import OK, AddCommand, data_converter_of, load_settings, place_of, print_answer
from .ports import Json, OperationRefused, UnknownExecution

if TYPE_CHECKING:
    from overwinter.runtime.archive import Archived

FOLDER: Final = "archive"


def add_commands(add: AddCommand) -> None:
    """Add `archive` to the command line."""
    command = add("archive", "list closed executions that have left the journal, or show one", _archive)
    command.add_argument("workflow_id", nargs="?", metavar="ID", help="show the history of this one")
    command.add_argument("--run", dest="run_id", metavar="RUN", help="this run instead of the newest")
    command.add_argument("--limit", type=int, default=50, metavar="N", help="list at most so many (50)")


def folder_of(arguments: argparse.Namespace) -> Path:
    """Where the archive of a command line's gateway is."""
    if arguments.state_dir is None:
        configured = load_settings(arguments).retention.folder
        if configured is not None:
            return configured
    return place_of(arguments).journal.parent / FOLDER


def _archive(arguments: argparse.Namespace) -> int:
    folder = folder_of(arguments)
    try:
        if arguments.workflow_id is None:
            answer = _listed(folder, arguments.limit)
            print_answer(arguments, answer, lambda terminal: listing.executions(answer, terminal))
        else:
            answer = _shown(folder, arguments)
            print_answer(arguments, answer, lambda terminal: timeline.render(answer, terminal))
    except (ValueError, OSError) as error:
        raise OperationRefused(f"the archive cannot be read: {error}") from error
    return OK


def _listed(folder: Path, limit: int) -> Json:
    from overwinter.runtime import archive  # not loaded for other commands
    from overwinter.runtime.display import views

    rows: list[Json] = []
    counts: dict[str, int] = {}
    for file in reversed(archive.files(folder)):
        found = [each for each in archive.read(file) if _is_whole(each.about)]
        for each in found:
            counts[each.about["status"]] = counts.get(each.about["status"], 0) + 1
        newest = sorted(found, key=lambda each: -each.about["started_at_us"])
        rows += [
            views.execution(archive.record_of(each), len(each.lines) - 1, None)
            for each in newest[: limit - len(rows)]
        ]
    return {"executions": rows, "counts": counts}


def _is_whole(about: Json) -> bool:
    return all(name in about for name in ("status", "started_at_us", "run_id", "type"))


def _shown(folder: Path, arguments: argparse.Namespace) -> Json:
    from overwinter.runtime import archive  # as above
    from overwinter.runtime.display import views
    from overwinter.runtime.display.opened import Opened

    for each in _runs(folder, arguments.workflow_id):
        if arguments.run_id in (None, each.about["run_id"]):
            history = Opened(data_converter_of(arguments)).history(archive.history_of(each))
            return views.shown(archive.record_of(each), history, [], lambda _number: False, None)
    raise UnknownExecution(
        f"no execution in {folder} has the workflow id {arguments.workflow_id!r}"
        + (f" and the run id {arguments.run_id!r}" if arguments.run_id else ""),
        hint="`overwinter archive` lists what is there; `overwinter list` what is still in the journal.",
    )


def _runs(folder: Path, workflow_id: str) -> Iterator[Archived]:
    """The runs of a workflow id, the newest first."""
    from overwinter.runtime import archive  # as above

    for file in reversed(archive.files(folder)):
        runs = [each for each in archive.read(file) if each.workflow_id == workflow_id]
        yield from sorted(runs, key=lambda each: -each.about["started_at_us"])
