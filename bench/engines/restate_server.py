"""Restate: its server, a worker of the Python SDK on hypercorn, and this process as the caller over HTTP.

The server's binary is `$RESTATE_BIN`, or `restate-server` on the path (npm: @restatedev/restate-server-linux-x64).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config

from .port import NAP_S, WAIT_S, Address, NotInstalled
from .sockets import free_port, listening

CALLS_MAX = 1000
programs = restate.Service("Bench")


async def noop(value: dict[str, int]) -> dict[str, int]:
    return value


async def nap(value: dict[str, int]) -> dict[str, int]:
    await asyncio.sleep(NAP_S)
    return value


@programs.handler()
async def ten(context: restate.Context, number: int) -> int:
    for step in range(10):
        await context.run_typed("noop", noop, value={"number": number, "step": step})
    return number


@programs.handler()
async def one(context: restate.Context, number: int) -> int:
    await context.run_typed("noop", noop, value={"number": number})
    return number


@programs.handler()
async def fan(context: restate.Context, width: int) -> int:
    steps = [context.run_typed("noop", noop, value={"step": step}) for step in range(width)]
    return len(await restate.gather(*steps))


@programs.handler()
async def wait(context: restate.Context, number: int) -> int:
    await context.sleep(timedelta(seconds=WAIT_S))
    return number


@programs.handler()
async def naps(context: restate.Context, number: int) -> int:
    for step in range(10):
        await context.run_typed("nap", nap, value={"number": number, "step": step})
    return number


class RestateSession:
    """See `Session`. An invocation's key is the idempotency key of the call."""

    def __init__(self, ingress: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        self.ingress = ingress
        self.admin = admin

    async def run(self, program: str, argument: int, workflow_id: str) -> Any:
        return await _json(self.ingress.post(f"/Bench/{program}", json=argument))

    async def start(self, program: str, argument: int, workflow_id: str) -> None:
        headers = {"idempotency-key": workflow_id}
        await _json(self.ingress.post(f"/Bench/{program}/send", json=argument, headers=headers))

    async def result(self, program: str, workflow_id: str) -> Any:
        return await _json(self.ingress.get(f"/restate/invocation/Bench/{program}/{workflow_id}/attach"))

    async def waiting(self) -> int:
        query = "select count(*) as n from sys_journal where entry_type like '%Sleep%'"
        headers = {"accept": "application/json"}
        found = await _json(self.admin.post("/query", json={"query": query}, headers=headers))
        return int(found["rows"][0]["n"])


class RestateServer:
    """See `Engine`."""

    name = "restate"
    durability = "RocksDB log, WAL fsync, group commit (its default)"
    alternatives: ClassVar[dict[str, dict[str, str]]] = {}

    @asynccontextmanager
    async def servers(self, folder: Path) -> AsyncIterator[Address]:
        binary = os.environ.get("RESTATE_BIN") or shutil.which("restate-server")
        if binary is None:
            raise NotInstalled("restate-server is neither on the path nor named by RESTATE_BIN")
        address = {name: free_port() for name in ("ingress", "admin", "fabric", "worker")}
        environment = {
            **os.environ,
            "RESTATE_INGRESS__BIND_PORT": str(address["ingress"]),
            "RESTATE_ADMIN__BIND_PORT": str(address["admin"]),
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_FILTER": "warn",
        }
        command = [binary, "--no-logo", "--node-name", "n1", "--bind-ip", "127.0.0.1", "--listen-mode", "tcp"]
        command += ["--bind-port", str(address["fabric"]), "--base-dir", str(folder / "store")]
        with (folder / "server.log").open("a") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield address
        finally:
            server.kill()
            server.wait()

    @asynccontextmanager
    async def open(self, folder: Path, address: Address) -> AsyncIterator[RestateSession]:
        worker = subprocess.Popen([sys.executable, "-m", __name__, str(address["worker"])])
        try:
            await listening(address["worker"])
            async with _http(address["ingress"]) as ingress, _http(address["admin"]) as admin:
                await _register(admin, address["worker"])
                yield RestateSession(ingress, admin)
        finally:
            worker.kill()
            worker.wait()


def _http(port: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CALLS_MAX, max_keepalive_connections=CALLS_MAX)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits)


async def _register(admin: httpx.AsyncClient, worker: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            await _json(admin.post("/deployments", json={"uri": f"http://127.0.0.1:{worker}", "force": True}))
            return
        except httpx.HTTPError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)


async def _json(request: Any) -> Any:
    response = await request
    response.raise_for_status()
    return response.json()


ENGINE = RestateServer()

if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.loglevel = "ERROR"
    asyncio.run(serve(restate.app([programs]), config))  # type: ignore[arg-type]  # an ASGI application, by another name
