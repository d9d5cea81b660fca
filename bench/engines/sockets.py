"""Ports of servers on this machine."""

from __future__ import annotations

import asyncio
import socket
import time


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def listening(port: int, seconds: float = 60.0) -> None:
    """Wait until somebody listens on a port."""
    until = time.monotonic() + seconds
    while True:
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
