"""What the commands of the command line have in common: where the gateway is, how it is asked, how answers are printed."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import difflib
import getpass
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, cast

from overwinter.runtime.display.terminal import Terminal, escape

from .control import ControlClient, OperationFailed
from .ports import GatewayReader, Json, UnknownExecution
from .settings import GatewaySettings, load

if TYPE_CHECKING:
    from overwinter.runtime.converter import DataConverter

OK, FAILED, USAGE, NOT_RUNNING = 0, 1, 2, 3
NEAR_IDS_MAX: Final = 5
SOCKET_NAME: Final = "control.sock"
JOURNAL_NAME: Final = "journal.db"


class AddCommand(Protocol):
    """Adds a command with the options that all have, and returns its parser."""

    def __call__(
        self,
        name: str,
        text: str,
        carry_out: Callable[[argparse.Namespace], int],
        aliases: Sequence[str] = (),
    ) -> argparse.ArgumentParser:
        """See above."""
        ...


class UsageError(Exception):
    """The command line does not fit; the message says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gateway of this command keeps its control socket and its journal."""

    socket: Path
    journal: Path


def json_arguments(texts: Sequence[str]) -> list[Any]:
    """Arguments from JSON texts.

    Raises:
        UsageError: one of them is no JSON.
    """
    values: list[Any] = []
    for text in texts:
        try:
            values.append(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"the argument {text[:80]!r} is not JSON ({error}); a text needs its quotes: '\"text\"'"
            ) from None
    return values


def settings_path(arguments: argparse.Namespace) -> Path:
    """The settings file that the command line, the environment or the working directory names."""
    return Path(arguments.settings or os.environ.get("OVERWINTER_SETTINGS") or "overwinter.toml")


def load_settings(arguments: argparse.Namespace) -> GatewaySettings:
    """The settings of the gateway; raises as `settings.load`."""
    return load(settings_path(arguments))


def place_of(arguments: argparse.Namespace) -> Place:
    """Where the gateway of a command line is."""
    state_dir = arguments.state_dir or load_settings(arguments).gateway.state_dir
    return Place(state_dir / SOCKET_NAME, state_dir / JOURNAL_NAME)


def data_converter_of(arguments: argparse.Namespace) -> DataConverter:
    """How the gateway of a command line stores values; the default when no settings are there, or asked for.

    Raises:
        SettingsError: the settings do not fit.
        UsageError: the keys that they name cannot be had.
    """
    # Not loaded to ask a running gateway.
    from overwinter.runtime.contrib.key_ring import KeyRingError
    from overwinter.runtime.converter import DataConverter

    from .payloads import data_converter

    only_state_dir = arguments.state_dir is not None and arguments.settings is None
    if only_state_dir or not settings_path(arguments).exists():
        return DataConverter.default
    settings = load_settings(arguments)
    if arguments.state_dir is not None:
        general = dataclasses.replace(settings.gateway, state_dir=arguments.state_dir)
        settings = dataclasses.replace(settings, gateway=general)
    try:
        return data_converter(settings)
    except KeyRingError as error:
        raise UsageError(str(error)) from error


class Gateway:
    """The gateway of this command line: the running process, or the journal that a stopped one left."""

    def __init__(self, client: ControlClient | None, journal: GatewayReader | None = None) -> None:
        self._client, self._journal = client, journal

    async def call(self, op: str, **args: Any) -> Json:
        """The operation's result; see `ControlClient.call`. An unknown execution comes with near ids."""
        try:
            if self._client is not None:
                return await self._client.call(op, **args)
            given = {name: value for name, value in args.items() if value is not None}
            return cast("Json", await getattr(self._journal, op)(**given))
        except (OperationFailed, UnknownExecution) as error:
            kind = error.kind if isinstance(error, OperationFailed) else type(error).__name__
            if kind != UnknownExecution.__name__ or "workflow_id" not in args:
                raise
            hint = await self._near_ids(str(args["workflow_id"])) or str(error.hint)
            raise OperationFailed(kind, str(error), hint) from None

    async def _near_ids(self, wanted: str) -> str:
        rows = cast("list[Json]", (await self.call("list", limit=1000))["executions"])
        ids = list(dict.fromkeys(str(row["workflow_id"]) for row in rows))
        near = [one for one in ids if wanted.lower() in one.lower()]
        near += [one for one in difflib.get_close_matches(wanted, ids, NEAR_IDS_MAX, 0.5) if one not in near]
        return "near ids: " + ", ".join(near[:NEAR_IDS_MAX]) if near else ""

    async def now(self) -> str | None:
        """What the gateway's clock shows; None when it cannot be known."""
        return cast("str | None", (await self.call("status")).get("now"))


def print_json(value: Any) -> None:
    """Print it as JSON and nothing else."""
    print(json.dumps(value, indent=2, default=str))


def print_answer(arguments: argparse.Namespace, answer: Json, text: Callable[[Terminal], str]) -> None:
    """Print an answer as it is with ``--json``, else as this text."""
    if arguments.json:
        print_json(answer)
    else:
        write_text(sys.stdout, text(Terminal.of(sys.stdout)))


def write_text(stream: TextIO, text: str) -> None:
    """Write what the stream's encoding can hold; the rest as escapes."""
    encoding = stream.encoding or "ascii"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def ask_running(arguments: argparse.Namespace, done: str, op: str, **args: Any) -> int:
    """Ask the running gateway for something, and say that it is `done`."""
    gateway = Gateway(ControlClient(place_of(arguments).socket))
    answer = asyncio.run(gateway.call(op, **args))
    print_answer(
        arguments, answer, lambda _: escape(done.format(**answer)) + "\n" if "{" in done else done + "\n"
    )
    return OK


def who() -> str:
    """Who gives this command, for the record."""
    return f"{getpass.getuser()} on {socket.gethostname()}"
