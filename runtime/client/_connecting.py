"""The engine that `Client.connect` is given: behind a socket, of a test environment, or of this process."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..clock import SystemClock, SystemEntropy
from ..engine import Engine
from ..journal import JournalHeld, SqliteJournal
from ..service import ConnectConfig, RPCError, RPCStatusCode, TLSConfig

if TYPE_CHECKING:
    from ..remote import RemoteEngine


_log = logging.getLogger(__name__)


async def engine_at(config: ConnectConfig) -> Engine | RemoteEngine:
    """The engine at an address; see `Client.connect`.

    Raises:
        RPCError: no gateway answers at the socket, or it refuses.
        ValueError: half of a client's certificate is given.
        JournalHeld: another process runs an engine on this process's journal.
    """
    if isinstance(config.tls, TLSConfig):
        tls = config.tls
        if (tls.client_cert is None) != (tls.client_private_key is None):
            raise ValueError("Must have both client cert and private key or neither")
    path = socket_path(config.target_host)
    if path is not None:
        return await _engine_behind(path, lazy=config.lazy)
    known = _known.get(_plain(config.target_host))
    if known is not None and not known.closing:
        return known
    return await _engine_of_this_process()


async def is_healthy(engine: Engine | RemoteEngine, timeout: timedelta | None) -> bool:
    """Whether an engine takes calls.

    Raises:
        RPCError: no gateway answers.
    """
    if isinstance(engine, Engine):
        return engine.failure is None and not engine.closing
    try:
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            await engine.connect()
    except TimeoutError as error:
        raise RPCError(
            f"no gateway answers at {engine.path} in time", RPCStatusCode.DEADLINE_EXCEEDED
        ) from error
    return True


def socket_path(target: str | os.PathLike[str]) -> Path | None:
    """The socket that an address names, ``unix:/run/x.sock`` or a path such as ``/run/x.sock``; None when it is none."""
    text = os.fspath(target)
    if text.startswith("unix:"):
        rest = text.removeprefix("unix:")
        return Path(rest.removeprefix("//") if rest.startswith("///") else rest)
    return Path(text) if text.startswith(("/", "./", "../")) or not isinstance(target, str) else None


async def _engine_behind(path: Path, *, lazy: bool) -> RemoteEngine:
    from ..remote import RemoteEngine  # Only who connects to a gateway needs it.

    engine = RemoteEngine(path)
    if not lazy:
        await engine.connect()
    return engine


# -- engines of this process by their addresses ----------------------------------------------------------------

_known: WeakValueDictionary[str, Engine] = WeakValueDictionary()
_addresses: WeakKeyDictionary[Engine | RemoteEngine, str] = WeakKeyDictionary()
_namespaces: WeakKeyDictionary[Engine, Collection[str]] = WeakKeyDictionary()
_ports = itertools.count(49152)


def address_of(engine: Engine | RemoteEngine, host: str = "127.0.0.1", port: int | None = None) -> str:
    """The address at which `Client.connect` finds an engine. Nothing listens there when it is of this process."""
    if not isinstance(engine, Engine):
        return f"unix:{engine.path}"
    if engine not in _addresses:
        address = f"{host}:{port or next(_ports)}"
        _addresses[engine], _known[_plain(address)] = address, engine
    return _addresses[engine]


def namespaces_of(engine: Engine) -> Collection[str] | None:
    """Those for which a worker may run, as in a test environment; None for any."""
    return _namespaces.get(engine)


def limit_namespaces(engine: Engine, namespaces: Collection[str]) -> None:
    """From here on workers of this engine run for these namespaces only."""
    _namespaces[engine] = namespaces


def _plain(address: str) -> str:
    return address.replace("localhost", "127.0.0.1", 1)


# -- the engine of this process, which other processes share ---------------------------------------------------

_engines: dict[asyncio.AbstractEventLoop, tuple[Engine, asyncio.Task[None]]] = {}
"""The engines that `Client.connect` has started, by the event loop on which they run, and what serves them to others."""
_PATIENCE_S = 1.0
"""How long the socket of a process that has just taken the journal is waited for."""


async def _engine_of_this_process() -> Engine | RemoteEngine:
    loop = asyncio.get_running_loop()
    for other, (engine, _) in list(_engines.items()):
        if other.is_closed():
            del _engines[other]
            await engine.journal.close()  # Its loop is gone; the file and its lock are free for this one.
    if loop in _engines:
        return _engines[loop][0]
    path = Path(os.environ.get("OVERWINTER_JOURNAL", "overwinter.db")).resolve()
    try:
        journal = await SqliteJournal.open(path)
    except JournalHeld as held:
        return await _engine_of_the_holder(_socket_beside(path), held)
    engine = Engine(journal, SystemClock(), SystemEntropy())
    await engine.__aenter__()
    ready = asyncio.Event()
    _engines[loop] = engine, loop.create_task(_serve_others(engine, _socket_beside(path), ready))
    await ready.wait()
    return engine


def _socket_beside(journal: Path) -> Path:
    return journal.with_name(journal.name + ".sock")


async def _serve_others(engine: Engine, path: Path, ready: asyncio.Event) -> None:
    """Until the loop ends, programs in other processes reach the engine as they would reach a server."""
    from ..remote import SocketUnusable, serve  # Only here, and who connects to a gateway, needs it.

    try:
        async with serve(engine, path):
            ready.set()
            await asyncio.Event().wait()
    except SocketUnusable as error:
        _log.warning("programs in other processes cannot connect to the engine of this one: %s", error)
    finally:
        ready.set()


async def _engine_of_the_holder(path: Path, held: JournalHeld) -> RemoteEngine:
    for _ in range(20):
        try:
            return await _engine_behind(path, lazy=False)
        except RPCError:
            await asyncio.sleep(_PATIENCE_S / 20)
    raise held
