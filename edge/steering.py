"""Commands that steer executions: one by its id, or all that fit a filter, as a batch job."""

from __future__ import annotations

import argparse
from typing import Any, Final

from . import batch_commands
from .command_line import AddCommand, UsageError, ask_running, json_arguments, who
from .ports import RESET_TYPES, Json

_DONE: Final = {
    "cancel": "the request to cancel is recorded",
    "terminate": "the execution is terminated",
    "pause": "it is paused",
    "resume": "it goes on",
    "delete": "it is deleted, with its history",
}


def add_commands(add: AddCommand) -> None:
    """Add what steers executions to the command line."""
    command = add("signal", "send a signal to an execution", _signal)
    command.add_argument(
        "words",
        nargs="+",
        metavar=("ID NAME", "JSON"),
        help="""the signal's name and arguments, for example 3 '"text"' '{"a": 1}'; with --query without an ID""",
    )
    _add_many(command)
    for name, text in (
        ("cancel", "ask an execution to end by itself"),
        ("terminate", "end an execution at once"),
    ):
        _add_one(add, name, text)
    _add_one(add, "delete", "delete a closed execution, with its history", reason=False)
    _add_reset(add)
    _add_pause(add)
    batch_commands.add_commands(add)


def _add_one(add: AddCommand, name: str, text: str, *, reason: bool = True) -> None:
    command = add(name, text, _change)
    command.add_argument("workflow_id", nargs="?", metavar="ID")
    _add_many(command)
    if reason:
        command.add_argument("--reason", metavar="TEXT", help="is recorded in the history")
    command.set_defaults(op=name, reason=None)


def _add_many(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", dest="run_id", metavar="RUN", help="this run instead of the newest")
    command.add_argument("--query", metavar="Q", help="all executions that fit this filter, instead of one")
    command.add_argument(
        "--dry-run", action="store_true", help="with --query: show how many fit, and do nothing"
    )
    command.add_argument("--yes", action="store_true", help="with --query: do not ask before it begins")
    command.add_argument(
        "--rps", type=float, metavar="N", help="with --query: at most so many executions in a second"
    )


def _add_reset(add: AddCommand) -> None:
    command = add("reset", "begin a new run of an execution from a point of its history", _reset)
    command.add_argument("workflow_id", nargs="?", metavar="ID")
    _add_many(command)
    command.add_argument(
        "--event",
        "--event-id",
        type=int,
        metavar="N",
        help="what the code asked for with this event is done anew",
    )
    command.add_argument("--type", dest="to", choices=RESET_TYPES, help="instead of an event")
    command.add_argument(
        "--activity", metavar="NAME", help="the type or id for FailedActivity; else the first"
    )
    command.add_argument(
        "--reapply-exclude",
        choices=("All", "Signal", "Update"),
        help="what came later and is not handed to the new run",
    )
    command.add_argument("--reason", metavar="TEXT", help="is recorded in both histories")


def _add_pause(add: AddCommand) -> None:
    for name, text, aliases in (
        ("pause", "hold an execution, or many: no code runs, no activity begins an attempt", ()),
        ("resume", "let go on what was paused", ("unpause",)),
    ):
        command = add(name, text, _pause, aliases=aliases)
        command.add_argument("workflow_id", nargs="?", metavar="ID")
        command.add_argument("--type", metavar="T", help="every execution of this type, instead of one")
        command.add_argument(
            "--task-queue", metavar="QUEUE", help="whatever is of this task queue, instead of one"
        )
        command.add_argument(
            "--all", action="store_true", dest="everything", help="everything, instead of one"
        )
        _add_many(command)
        command.add_argument("--reason", metavar="TEXT", help="is recorded and shown")
        command.set_defaults(op=name)


# -- carrying them out ---------------------------------------------------------------------------------


def _means_many(arguments: argparse.Namespace, workflow_id: str | None) -> bool:
    """Whether a filter says which executions are meant.

    Raises:
        UsageError: neither a filter nor an id does, or both do, or an option has no use without a filter.
    """
    if (workflow_id is None) == (arguments.query is None):
        raise UsageError("expected either the ID of an execution, or --query with a filter")
    if arguments.query is not None and arguments.run_id is not None:
        raise UsageError("--run goes with the ID of an execution, not with --query")
    if arguments.query is None:
        given = [name for name in ("dry_run", "yes", "rps") if getattr(arguments, name)]
        if given:
            raise UsageError(f"--{given[0].replace('_', '-')} goes with --query")
    return arguments.query is not None


def _signal(arguments: argparse.Namespace) -> int:
    words: list[str] = arguments.words
    workflow_id = None if arguments.query is not None else words.pop(0)
    many = _means_many(arguments, workflow_id)
    if not words:
        raise UsageError("expected the name of the signal after the ID of the execution")
    name, args = words[0], json_arguments(words[1:])
    if many:
        operation: Json = {"kind": "signal", "name": name, "args": args}
        return batch_commands.carry_out(arguments, operation, "signal")
    return ask_running(
        arguments,
        "the signal is recorded",
        "signal",
        workflow_id=workflow_id,
        run_id=arguments.run_id,
        name=name,
        args=args,
    )


def _change(arguments: argparse.Namespace) -> int:
    if _means_many(arguments, arguments.workflow_id):
        return batch_commands.carry_out(arguments, {"kind": arguments.op}, arguments.op)
    given = {} if arguments.op == "delete" else {"reason": arguments.reason}
    return ask_running(
        arguments,
        _DONE[arguments.op],
        arguments.op,
        workflow_id=arguments.workflow_id,
        run_id=arguments.run_id,
        **given,
    )


def _reset(arguments: argparse.Namespace) -> int:
    many = _means_many(arguments, arguments.workflow_id)
    if (arguments.event is None) == (arguments.to is None):
        raise UsageError(f"expected either --event N or --type, one of {', '.join(RESET_TYPES)}")
    if arguments.activity is not None and arguments.to != "FailedActivity":
        raise UsageError("--activity goes with --type FailedActivity")
    if many and arguments.event is not None:
        raise UsageError("--event means something else in each history: use --type with --query")
    excluded = arguments.reapply_exclude
    how: dict[str, Any] = {
        "to": arguments.to,
        "activity": arguments.activity,
        "signals": "exclude" if excluded in ("All", "Signal") else None,
        "updates": "exclude" if excluded in ("All", "Update") else None,
    }
    if many:
        given = {name: value for name, value in how.items() if value is not None}
        return batch_commands.carry_out(arguments, {"kind": "reset", **given}, "reset")
    return ask_running(
        arguments,
        "reset, run {run_id}",
        "reset",
        workflow_id=arguments.workflow_id,
        run_id=arguments.run_id,
        event=arguments.event,
        reason=arguments.reason,
        by=who(),
        **how,
    )


def _pause(arguments: argparse.Namespace) -> int:
    wide = [
        ("workflow_type", arguments.type),
        ("task_queue", arguments.task_queue),
        ("everything", arguments.everything or None),
    ]
    chosen = [(scope, name) for scope, name in wide if name is not None]
    if len(chosen) + (arguments.workflow_id is not None) + (arguments.query is not None) != 1:
        raise UsageError("expected one of: an execution's ID, --query Q, --type T, --task-queue QUEUE, --all")
    if not chosen and _means_many(arguments, arguments.workflow_id):
        kind = {"pause": "pause", "resume": "unpause"}[arguments.op]
        return batch_commands.carry_out(arguments, {"kind": kind}, arguments.op)
    if not chosen:
        return ask_running(
            arguments,
            _DONE[arguments.op],
            arguments.op,
            workflow_id=arguments.workflow_id,
            run_id=arguments.run_id,
            reason=arguments.reason,
            by=who(),
        )
    ((scope, name),) = chosen
    given: dict[str, Any] = {"scope": scope, "name": None if scope == "everything" else name}
    if arguments.op == "pause":
        given |= {"reason": arguments.reason, "by": who()}
    return ask_running(arguments, _DONE[arguments.op], f"{arguments.op}_all", **given)
