"""The same for many executions, from the command line: what fits is shown, a person is asked, a job carries it out."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any, Final, cast

from overwinter.runtime.display.terminal import Terminal

from . import listing
from .command_line import FAILED, OK, AddCommand, Gateway, UsageError, place_of, print_answer, who
from .control import ControlClient
from .ports import Json

_LOOK_S: Final = 0.2
_BAR_COLUMNS: Final = 30


def add_commands(add: AddCommand) -> None:
    """Add what is for jobs to the command line."""
    command = add("batch", "look at batch jobs, which `--query` begins, and stop them", _batch)
    command.add_argument("action", choices=("list", "show", "stop"))
    command.add_argument("job_id", nargs="?", metavar="JOB")
    command.add_argument("--wait", action="store_true", help="with show: until the job has ended")
    command.add_argument("--reason", metavar="TEXT", help="with stop: is recorded")


def _asked(arguments: argparse.Namespace, op: str, **args: Any) -> Json:
    return asyncio.run(Gateway(ControlClient(place_of(arguments).socket)).call(op, **args))


def carry_out(arguments: argparse.Namespace, operation: Json, verb: str) -> int:
    """Show what fits, ask, begin the job, and follow it to its end."""
    preview = _asked(arguments, "batch_preview", operation=operation, query=arguments.query)
    count = cast("int", preview["count"])
    if arguments.dry_run or not count:
        print_answer(arguments, preview, lambda terminal: listing.batch_preview(preview, terminal, verb))
        return OK
    if not arguments.yes:
        print(listing.batch_preview(preview, Terminal.of(sys.stderr), verb), end="", file=sys.stderr)
        if not _is_sure(f"{verb} {count} {'execution' if count == 1 else 'executions'}?"):
            print("nothing was done", file=sys.stderr)
            return FAILED
    job = _asked(
        arguments,
        "batch_start",
        operation=operation,
        query=arguments.query,
        reason=getattr(arguments, "reason", None),
        by=who(),
        per_second=arguments.rps,
    )
    return _follow(arguments, job)


def _is_sure(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here: give --yes to begin, or --dry-run to look only")
    print(question + " [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _follow(arguments: argparse.Namespace, job: Json) -> int:
    """Show how far a job has come until it has ended; whoever interrupts this leaves the job alone."""
    shows = sys.stderr.isatty() and not arguments.json
    try:
        while job["state"] == "running":
            if shows:
                print("\r" + _bar(job), end="", file=sys.stderr, flush=True)
            time.sleep(_LOOK_S)
            job = _asked(arguments, "batch_show", job_id=job["id"])
    except KeyboardInterrupt:
        print(
            f"\nthe job goes on: `overwinter batch show {job['id']}`, or `stop` instead of `show`",
            file=sys.stderr,
        )
        return 130
    if shows:
        print("\r" + _bar(job), file=sys.stderr)
    print_answer(arguments, job, lambda terminal: listing.batch_job(job, terminal))
    return OK if job["state"] == "completed" and not job["failed"] else FAILED


def _bar(job: Json) -> str:
    total = max(cast("int", job["total"]), 1)
    done = min(cast("int", job["completed"]) + cast("int", job["failed"]), total)
    filled = done * _BAR_COLUMNS // total
    failed = f", {job['failed']} failed" if job["failed"] else ""
    return f"[{'#' * filled}{'.' * (_BAR_COLUMNS - filled)}] {done} of {total}{failed}"


def _batch(arguments: argparse.Namespace) -> int:
    if (arguments.action == "list") != (arguments.job_id is None):
        raise UsageError("expected `batch list`, or `batch show JOB`, or `batch stop JOB`")
    match arguments.action:
        case "list":
            answer = _asked(arguments, "batch_list")
            print_answer(arguments, answer, lambda terminal: listing.batch_jobs(answer, terminal))
            return OK
        case "stop":
            args = {"job_id": arguments.job_id, "reason": arguments.reason, "by": who()}
            job = _asked(arguments, "batch_stop", **args)
        case _:
            job = _asked(arguments, "batch_show", job_id=arguments.job_id)
            if arguments.wait:
                return _follow(arguments, job)
    print_answer(arguments, job, lambda terminal: listing.batch_job(job, terminal))
    return OK
