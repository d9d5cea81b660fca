"""The command line: `overwinter`, for the gateway on this machine.

Exit status: 0 it worked; 1 the operation failed, or `doctor` found a problem; 2 the command line or the
settings are wrong; 3 no gateway is running and there is no journal that could be read instead; 74 the disk
of the journal failed while `run` was running.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from overwinter.runtime.display import timeline
from overwinter.runtime.display.terminal import Terminal, escape

from . import archives, listing, rotation, steering
from .command_line import (
    FAILED,
    NOT_RUNNING,
    OK,
    USAGE,
    Gateway,
    UsageError,
    ask_running,
    data_converter_of,
    json_arguments,
    load_settings,
    place_of,
    print_answer,
    print_json,
    settings_path,
    write_text,
)
from .control import ControlClient, GatewayNotRunning, OperationFailed
from .ports import GatewayReader, Json, OperationRefused
from .settings import SettingsError, load

if TYPE_CHECKING:
    from overwinter.runtime.converter import DataConverter
    from overwinter.runtime.ports import Journal

READABLE_WHEN_STOPPED: Final = ("list", "show", "quarantine", "status")
STATUSES: Final = (
    "running",
    "paused",
    "blocked",
    "completed",
    "failed",
    "canceled",
    "terminated",
    "timed_out",
    "continued_as_new",
)
_EPILOG: Final = """exit status:
  0  it worked
  1  the operation failed, or doctor found a problem
  2  the command line or the settings are wrong
  3  no gateway is running (list, show, quarantine and status then read the journal, if there is one)
  74 the journal's disk failed while `run` was running"""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line, and return its exit status."""
    arguments = _parser().parse_args(argv)
    command = cast("Callable[[argparse.Namespace], int]", arguments.carry_out)
    try:
        return command(arguments)
    except (SettingsError, UsageError) as error:
        return _complain(arguments, error, USAGE)
    except GatewayNotRunning as error:
        hint = "start it with `overwinter run`"
        return _complain(arguments, error, NOT_RUNNING, hint)
    except BrokenPipeError:
        # Whoever read our output has closed it (`| head`); the flush at exit must not fail over it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (OperationFailed, OperationRefused, TimeoutError, OSError) as error:
        return _complain(arguments, error, FAILED)
    except KeyboardInterrupt:
        return 130


def _complain(arguments: argparse.Namespace, error: Exception, status: int, hint: str = "") -> int:
    kind = error.kind if isinstance(error, OperationFailed) else type(error).__name__
    hint = hint or str(getattr(error, "hint", ""))
    message = str(error) or kind
    if arguments.json:
        print_json({"error": {"type": kind, "message": message, "hint": hint}})
        return status
    terminal = Terminal.of(sys.stderr)
    text = "\n".join(escape(line) for line in message.splitlines())
    print(terminal.styled("overwinter: ", "red", "bold") + text, file=sys.stderr)
    if hint and hint not in message:  # Errors of the journal say it themselves.
        print("  " + escape(hint), file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="overwinter",
        description="Durable workflows on this gateway: run it, look at it, steer it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str, text: str, carry_out: Callable[[argparse.Namespace], int], aliases: Sequence[str] = ()
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, aliases=aliases)
        command.add_argument("--settings", type=Path, metavar="FILE", help="the gateway's TOML file")
        command.add_argument(
            "--state-dir", type=Path, metavar="DIR", help="instead of the settings' state_dir"
        )
        command.add_argument("--json", action="store_true", help="print JSON and nothing else")
        command.set_defaults(carry_out=carry_out)
        return command

    command = add("run", "run a gateway until it is told to stop", _run)
    command.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="use this value instead of the file's; may be given again",
    )
    command = add("list", "list executions, the newest first", _list)
    command.add_argument("--status", choices=STATUSES)
    command.add_argument("--type", metavar="T", help="only this workflow type")
    command.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
    command = add("show", "show an execution: why it is where it is, and its history", _show)
    command.add_argument("workflow_id", metavar="ID")
    command.add_argument("--run", dest="run_id", metavar="RUN", help="this run instead of the newest")
    steering.add_commands(add)
    rotation.add_commands(add)
    archives.add_commands(add)
    command = add("start", "start an execution", _start)
    command.add_argument("type", metavar="TYPE")
    command.add_argument("args", nargs="*", metavar="JSON")
    command.add_argument("--id", required=True, dest="workflow_id", metavar="ID", help="its workflow id")
    command.add_argument("--task-queue", metavar="QUEUE")
    command = add("quarantine", "list messages that were refused, and why", _quarantine)
    command.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
    add("status", "show how the gateway is", _status)
    command = add("tail", "print events as they are committed, until interrupted", _tail)
    command.add_argument("--after", type=int, metavar="LSN", help="begin after this position instead of now")
    command = add(
        "export", "write histories as files, for `overwinter replay` and for Temporal's tools", _export
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="where; it is made if need be")
    command.add_argument("--status", choices=STATUSES)
    command.add_argument("--type", metavar="T", help="only this workflow type")
    command.add_argument("--limit", type=_count, default=1000, metavar="N", help="at most so many (1000)")
    command.add_argument(
        "--format",
        choices=("lines", "temporal"),
        default="lines",
        help="JSON lines, which hold everything (the default), or JSON that Temporal's SDKs replay",
    )
    command = add("replay", "check that histories fit the code as it is now; nothing is carried out", _replay)
    command.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="exported files or JSON of Temporal's tools, or folders of them; without any, the open executions",
    )
    command.add_argument(
        "--module",
        dest="modules",
        action="append",
        default=[],
        metavar="M",
        help="a module with workflows, instead of those of the settings; may be given again",
    )
    add("doctor", "check settings, disk, clock, journal, broker and GPU", _doctor)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 10000")
    return int(text)


@asynccontextmanager
async def open_journal(path: Path, converter: DataConverter) -> AsyncGenerator[GatewayReader]:
    """The read operations over the journal of a gateway that is not running.

    Raises:
        OperationRefused: the journal cannot be read; the message says why.
    """
    # The engine and its parts are not needed, and so not loaded, to ask a running gateway.
    from overwinter.runtime.journal import JournalError

    from .operations import read_journal

    try:
        async with read_journal(path, converter) as journal:
            yield journal
    except JournalError as error:
        raise OperationRefused(str(error), hint=str(getattr(error, "hint", ""))) from error


@asynccontextmanager
async def _reading(arguments: argparse.Namespace) -> AsyncGenerator[Gateway]:
    """The running gateway, or its journal when it is stopped."""
    place = place_of(arguments)
    client = ControlClient(place.socket)
    try:
        await client.call("status")
    except GatewayNotRunning:
        if not place.journal.exists():
            raise GatewayNotRunning(
                f"no gateway answers on {place.socket}, and there is no journal {place.journal}"
            ) from None
        print(f"the gateway is stopped; this is from its journal {place.journal}", file=sys.stderr)
        async with open_journal(place.journal, data_converter_of(arguments)) as journal:
            yield Gateway(None, journal)
        return
    yield Gateway(client)


def _run(arguments: argparse.Namespace) -> int:
    from . import gateway

    return asyncio.run(gateway.run(load(settings_path(arguments), arguments.overrides)))


def _list(arguments: argparse.Namespace) -> int:
    async def ask() -> None:
        async with _reading(arguments) as gateway:
            answer = await gateway.call(
                "list", status=arguments.status, type=arguments.type, limit=arguments.limit
            )
            now = await gateway.now()
        print_answer(arguments, answer, lambda terminal: listing.executions(answer, terminal, now))

    asyncio.run(ask())
    return OK


def _show(arguments: argparse.Namespace) -> int:
    async def ask() -> None:
        async with _reading(arguments) as gateway:
            answer = await gateway.call("show", workflow_id=arguments.workflow_id, run_id=arguments.run_id)
            now = await gateway.now()
        print_answer(arguments, answer, lambda terminal: timeline.render(answer, terminal, now))

    asyncio.run(ask())
    return OK


def _quarantine(arguments: argparse.Namespace) -> int:
    async def ask() -> None:
        async with _reading(arguments) as gateway:
            answer = await gateway.call("quarantine", limit=arguments.limit)
        print_answer(arguments, answer, lambda terminal: listing.quarantine(answer, terminal))

    asyncio.run(ask())
    return OK


def _status(arguments: argparse.Namespace) -> int:
    async def ask() -> None:
        async with _reading(arguments) as gateway:
            answer = await gateway.call("status")
        print_answer(arguments, answer, lambda terminal: listing.status(answer, terminal))

    asyncio.run(ask())
    return OK


def _start(arguments: argparse.Namespace) -> int:
    return ask_running(
        arguments,
        "started, run {run_id}",
        "start",
        type=arguments.type,
        workflow_id=arguments.workflow_id,
        args=json_arguments(arguments.args),
        task_queue=arguments.task_queue,
    )


def _tail(arguments: argparse.Namespace) -> int:
    async def follow() -> None:
        terminal = Terminal.of(sys.stdout)
        async for event in ControlClient(place_of(arguments).socket).tail(arguments.after):
            if arguments.json:
                print(json.dumps(event, default=str), flush=True)
            else:
                write_text(sys.stdout, listing.tail_line(event, terminal) + "\n")
                sys.stdout.flush()

    asyncio.run(follow())
    return OK


def _export(arguments: argparse.Namespace) -> int:
    from .histories import export

    async def write() -> Json:
        async with _journal_of(arguments) as journal:
            return await export(
                journal,
                arguments.folder,
                _progress("exported"),
                status=arguments.status,
                workflow_type=arguments.type,
                limit=arguments.limit,
                form=arguments.format,
            )

    answer = asyncio.run(write())
    print_answer(arguments, answer, lambda _terminal: listing.exported(answer))
    return OK


def _replay(arguments: argparse.Namespace) -> int:
    from . import catalog
    from .histories import exported, open_histories, replay

    try:
        if arguments.modules:
            found = catalog.load(arguments.modules, [Path.cwd()])
        else:
            gateway = load_settings(arguments).gateway
            found = catalog.load(gateway.modules, gateway.python_path)
    except catalog.CatalogError as error:
        raise UsageError(str(error)) from error

    converter = data_converter_of(arguments)

    async def check() -> Json:
        if arguments.paths:
            return await replay(found, exported(arguments.paths), _progress("replayed"), converter)
        async with _journal_of(arguments) as journal:
            return await replay(found, open_histories(journal), _progress("replayed"), converter)

    try:
        answer = asyncio.run(check())
    except ValueError as error:
        raise UsageError(str(error)) from error
    print_answer(arguments, answer, lambda terminal: listing.replayed(answer, terminal))
    return OK if answer["fits"] == answer["histories"] else FAILED


@asynccontextmanager
async def _journal_of(arguments: argparse.Namespace) -> AsyncGenerator[Journal]:
    """The gateway's journal, for reading; the gateway may run."""
    from overwinter.runtime.journal import JournalError, SqliteJournal

    try:
        journal = await SqliteJournal.open_read_only(place_of(arguments).journal)
    except JournalError as error:
        raise OperationRefused(str(error), hint=str(getattr(error, "hint", ""))) from error
    try:
        yield journal
    finally:
        await journal.close()


def _progress(done: str) -> Callable[[int], None]:
    """Shows how far it is, where a person looks."""
    if not sys.stderr.isatty():
        return lambda _count: None

    def show(count: int) -> None:
        if count % 20 == 0:
            print(f"\r{done} {count}", end="\r", file=sys.stderr, flush=True)

    return show


def _doctor(arguments: argparse.Namespace) -> int:
    from . import doctor

    findings = doctor.examine(settings_path(arguments), arguments.state_dir)
    if arguments.json:
        print_json({"findings": [finding.as_json() for finding in findings]})
    else:
        write_text(sys.stdout, doctor.render(findings, Terminal.of(sys.stdout)))
    return FAILED if any(finding.level == "problem" for finding in findings) else OK
