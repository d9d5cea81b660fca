"""The engine that `Client.connect` is given: behind a socket, or of this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clock import SystemClock, SystemEntropy
from ..engine import Engine
from ..journal import SqliteJournal
from ..service import ConnectConfig
from ._plugin import Plugin

if TYPE_CHECKING:
    from ..remote import RemoteEngine

SERVER_OPTIONS = frozenset(
    {
        "api_key", "tls", "retry_config", "keep_alive_config", "connect_timeout", "rpc_metadata", "identity", "lazy",
        "runtime", "http_connect_proxy_config", "dns_load_balancing_config", "grpc_compression", "payload_limits",
    }
)  # fmt: skip


async def engine_at(
    target: str | os.PathLike[str], plugins: Sequence[Plugin], options: Mapping[str, Any]
) -> Engine | RemoteEngine:
    """The engine at an address; see `Client.connect`.

    Raises:
        TypeError: an option that `temporalio` does not have either.
    """
    unknown = sorted(options.keys() - SERVER_OPTIONS)
    if unknown:
        raise TypeError(f"Client.connect() got an unexpected keyword argument {unknown[0]!r}")
    path = socket_path(target)
    if path is None:
        return await _engine_of_this_process()
    return await _engine_behind(path, plugins, lazy=bool(options.get("lazy", False)))


def socket_path(target: str | os.PathLike[str]) -> Path | None:
    """The socket that an address names, ``unix:/run/x.sock`` or a path such as ``/run/x.sock``; None when it is none."""
    text = os.fspath(target)
    if text.startswith("unix:"):
        rest = text.removeprefix("unix:")
        return Path(rest.removeprefix("//") if rest.startswith("///") else rest)
    return Path(text) if text.startswith(("/", "./", "../")) or not isinstance(target, str) else None


async def _engine_behind(path: Path, plugins: Sequence[Plugin], *, lazy: bool) -> RemoteEngine:
    from ..remote import RemoteEngine  # Only who connects to a gateway needs it.

    async def connect(_config: Any) -> RemoteEngine:
        engine = RemoteEngine(path)
        if not lazy:
            await engine.connect()
        return engine

    call: Callable[[Any], Awaitable[RemoteEngine]] = connect
    for plugin in reversed(plugins):
        call = partial(plugin.connect_service_client, next=call)
    return await call(ConnectConfig(target_host=str(path), lazy=lazy))


_engines: dict[asyncio.AbstractEventLoop, tuple[Path, Engine]] = {}
"""The engines that `Client.connect` has started, by the event loop on which they run."""


async def _engine_of_this_process() -> Engine:
    loop = asyncio.get_running_loop()
    path = Path(os.environ.get("OVERWINTER_JOURNAL", "overwinter.db")).resolve()
    for other, (_, engine) in list(_engines.items()):
        if other.is_closed():
            del _engines[other]
            await engine.journal.close()  # Its loop is gone; the file and its lock are free for this one.
    if loop not in _engines:
        engine = Engine(await SqliteJournal.open(path), SystemClock(), SystemEntropy())
        await engine.__aenter__()
        _engines[loop] = (path, engine)
    return _engines[loop][1]
