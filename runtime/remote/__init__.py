"""Clients and engines in different processes of one machine: a unix socket between them.

    async with serve(engine, "/run/farm/client.sock"):       # where the engine is; a gateway does it by itself
        ...
    client = await Client.connect("unix:/run/farm/client.sock")

The protocol is in docs/reference/remote.md.
"""

from .client import RemoteEngine
from .server import RemoteLimits, RemoteService, serve
from .sockets import SocketInUse, SocketUnusable

__all__ = ["RemoteEngine", "RemoteLimits", "RemoteService", "SocketInUse", "SocketUnusable", "serve"]
