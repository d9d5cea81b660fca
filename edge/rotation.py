"""`overwinter rotate`: keys of payloads are added, counted, and retired when nothing needs them."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from overwinter.runtime.contrib.key_ring import Key, KeyRing, KeyRingError
from overwinter.runtime.display.terminal import Terminal, escape

from .command_line import OK, AddCommand, UsageError, load_settings, place_of, print_answer
from .control import ControlClient, GatewayNotRunning
from .ports import Json, OperationRefused
from .settings import GatewaySettings

_SHOWN: Final = 5


def add_commands(add: AddCommand) -> None:
    """Add `rotate` to the command line."""
    command = add("rotate", "make a new key the current one for payloads, look at keys, retire one", _rotate)
    choice = command.add_mutually_exclusive_group()
    choice.add_argument("--show", action="store_true", help="only show what each key protects")
    choice.add_argument(
        "--retire", metavar="KEY", help="remove a key that protects nothing; the gateway has to be stopped"
    )


def _rotate(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments)
    try:
        if arguments.retire is not None:
            answer = asyncio.run(_retire(arguments, settings, arguments.retire))
        else:
            answer = asyncio.run(_add(arguments, settings, only_show=arguments.show))
    except KeyRingError as error:
        raise UsageError(str(error)) from error
    print_answer(arguments, answer, lambda terminal: _text(answer, terminal))
    return OK


async def _add(arguments: argparse.Namespace, settings: GatewaySettings, *, only_show: bool) -> Json:
    said: dict[str, Any] = {}
    if only_show:
        ring = _ring(settings)
    else:
        path = _writable(settings)
        ring = KeyRing.from_file(path).with_new(Key.new()) if path.exists() else KeyRing(Key.new())
        ring.write(path)
        said = {"added": ring.current.id, "file": str(path), "gateway": await _reload(arguments, ring)}
    return said | await _counted(arguments, settings, ring)


async def _retire(arguments: argparse.Namespace, settings: GatewaySettings, key_id: str) -> Json:
    from overwinter.runtime.journal import JournalHeld  # what needs the journal is loaded when it is needed
    from overwinter.runtime.journal.lock import JournalLock

    path, ring = _writable(settings), _ring(settings)
    if key_id not in ring.keys:
        raise UsageError(f"there is no key {key_id!r}, expected one of {', '.join(ring.keys)}")
    if key_id == ring.current.id:
        raise OperationRefused(
            f"{key_id} is the current key", hint="add another with `overwinter rotate` first"
        )
    lock = JournalLock(place_of(arguments).journal)
    try:
        lock.acquire()
    except JournalHeld as error:
        # What is on its way into the journal would not be counted.
        raise OperationRefused(
            f"a key is retired while nobody writes: {error}", hint="stop the gateway"
        ) from error
    try:
        counted = await _counted(arguments, settings, ring)
        used = cast("Json", counted["keys"])[key_id]
        if cast("int", used["payloads"]):
            raise OperationRefused(
                f"the key {key_id} protects {used['payloads']} payloads, of {_places(used)}",
                hint="histories are never written anew: it can go when these are deleted",
            )
        ring = ring.without(key_id)
        ring.write(path)
    finally:
        lock.release()
    return {"retired": key_id, "file": str(path)} | await _counted(arguments, settings, ring)


def _ring(settings: GatewaySettings) -> KeyRing:
    from .payloads import key_ring  # with the converters, which other commands do not need

    ring = key_ring(settings)
    if ring is None:
        raise UsageError("the settings name no keys: set key_file in [payloads]")
    return ring


def _writable(settings: GatewaySettings) -> Path:
    """The file of the keys; what systemd or the environment hands over is changed where it comes from."""
    if settings.payloads.key_file is None:
        _ring(settings)
        raise UsageError(
            "the keys come from a credential or a variable, which is not written from here: add a line with an id and 32 "
            "bytes in base64 at its end where it is kept, and restart the gateway; see docs/how-to/payloads.md"
        )
    return settings.payloads.key_file


async def _reload(arguments: argparse.Namespace, ring: KeyRing) -> str:
    """Whether a running gateway encrypts with the new key from now on."""
    try:
        answer = await ControlClient(place_of(arguments).socket).call("reload_keys")
    except GatewayNotRunning:
        return "stopped"
    return "uses it" if answer.get("current") == ring.current.id else "uses another"


async def _counted(arguments: argparse.Namespace, settings: GatewaySettings, ring: KeyRing) -> Json:
    from overwinter.runtime.journal import JournalError, SqliteJournal

    from .payloads import folder_of

    try:
        from .key_usage import KeyUsage, key_usage
    except ImportError as error:
        raise KeyRingError(f"{error.name} is not installed: pip install 'overwinter[encryption]'") from None

    used: Mapping[str, KeyUsage] = {}
    path = place_of(arguments).journal
    if path.exists():
        try:
            journal = await SqliteJournal.open_read_only(path)
            try:
                used = await key_usage(journal, folder_of(settings))
            finally:
                await journal.close()
        except JournalError as error:
            raise OperationRefused(str(error), hint=str(getattr(error, "hint", ""))) from error
    nothing = KeyUsage(0, ())
    rows = {key_id: used.get(key_id, nothing) for key_id in [*ring.keys, *(set(used) - set(ring.keys))]}
    return {
        "current": ring.current.id,
        "missing": sorted(set(used) - set(ring.keys)),
        "keys": {key_id: _row(found) for key_id, found in rows.items()},
    }


def _row(usage: Any) -> Json:
    return {"payloads": usage.payloads, "places": len(usage.where), "where": list(usage.where[:_SHOWN])}


def _places(row: Json) -> str:
    shown = ", ".join(cast("list[str]", row["where"]))
    more = cast("int", row["places"]) - len(cast("list[str]", row["where"]))
    return f"{shown} and {more} more" if more else shown


_GATEWAY: Final = {
    "stopped": "the gateway is stopped, and uses it when it starts",
    "uses it": "the gateway uses it from now on",
    "uses another": "the gateway goes on with another key: see its log",
}


def _text(answer: Json, terminal: Terminal) -> str:
    lines: list[str] = []
    if "added" in answer:
        lines.append(
            f"the new key {answer['added']} is in {answer['file']}: back it up, apart from the journal"
        )
        lines.append(_GATEWAY[str(answer["gateway"])])
    if "retired" in answer:
        lines.append(f"the key {answer['retired']} is gone from {answer['file']}")
    lines = [escape(line) for line in lines]
    for key_id, row in cast("dict[str, Json]", answer["keys"]).items():
        state = "current" if key_id == answer["current"] else ""
        if key_id in cast("list[str]", answer["missing"]):
            state = "missing"
        text = f"{escape(f'{key_id:<24}')} {cast('int', row['payloads']):>8} payloads  {state:<8} {escape(_places(row))}"
        lines.append(terminal.styled(text.rstrip(), "bold") if state == "current" else text.rstrip())
    return "\n".join(lines) + "\n"
