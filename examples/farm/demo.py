"""The farm demo: `python -m examples.farm.demo [--seconds N] [--speed 600] [--state DIR] [--broker ...]`.

Starts a broker, a gateway and the field's devices, each in a process of its own, and shows what happens. The
broker is not the gateway's child here: a `kill -9` of the gateway must leave the broker alone, as it would on
a real farm. A gateway that was killed is started again. At the end the devices' own books are held against
the gateway's histories; the exit status says whether every promise was kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from overwinter.edge.broker import EmbeddedBroker
from overwinter.edge.control import ControlClient, GatewayNotRunning, OperationFailed

from .processes import Child
from .reckoning import KINDS, Reckoning, read_devices, reckon
from .view import Scene, plain_line, render, summary

SETTINGS = Path(__file__).with_name("farm.toml")
RESTART_AFTER_S = 2.0
REFRESH_S = 0.5
PLAIN_LINE_S = 5.0
SETTLE_S, SETTLE_S_MAX = 1.5, 20.0
START_S_MAX = 30.0
PAGE_PORT = 8080

OK, PROMISE_BROKEN, FAILED = 0, 1, 2


class DemoFailed(Exception):
    """The demo cannot go on; the text says which part ended and why."""


class Demo:
    """One run of the farm."""

    def __init__(self, options: argparse.Namespace, state: Path) -> None:
        self._options = options
        self._state = state
        self._gateway_state = state / "gateway"
        self._devices_state = state / "devices"
        self._client = ControlClient(self._gateway_state / "control.sock", timeout_s=10.0)
        self._origin = _origin(state)
        # Chosen once, so that the address stays the same when the gateway starts again.
        self._page_port = options.page_port or _free_port(PAGE_PORT)
        self._gateway: Child | None = None
        self._devices: dict[str, Child] = {}
        self._stopping: set[str] = set()
        self._down_since: float | None = None
        self.scene = Scene(
            speed=options.speed,
            command_line=_relative(Path(sys.executable).with_name("overwinter")),
            state_dir=_relative(self._gateway_state),
        )

    async def run(self, stop: asyncio.Event, show: Coroutine[Any, Any, None]) -> Reckoning:
        """The farm lives until `stop`; then everything is stopped in order and reckoned up.

        Raises:
            DemoFailed: a process ended by itself, or the gateway cannot be asked.
        """
        for folder in (self._gateway_state, self._devices_state, self._state / "log", self._state / "spool"):
            folder.mkdir(parents=True, exist_ok=True)
        async with self._broker() as address:
            self._start_gateway(address)
            await self._until_subscribed()
            self._start_devices(address)
            tasks = [
                asyncio.create_task(work) for work in (self._watch(), self._look(), self._follow(), show)
            ]
            try:
                ended = asyncio.create_task(stop.wait())
                await asyncio.wait({*tasks, ended}, return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
                for task in tasks:
                    if task.done():
                        task.result()
                return await self._close(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._kill_all()

    @contextlib.asynccontextmanager
    async def _broker(self) -> AsyncIterator[tuple[str, int]]:
        given: str = self._options.broker
        if given != "embedded":
            host, _, port = given.removeprefix("mqtt://").rpartition(":")
            yield host or "127.0.0.1", int(port)
            return
        async with EmbeddedBroker(self._state) as broker:
            yield broker.host, broker.port

    def _start_gateway(self, address: tuple[str, int]) -> None:
        spool = {"FARM_SPOOL": str(self._state / "spool")}
        log = self._state / "log" / "gateway.log"
        self._gateway = Child("gateway", self._gateway_command(*address), log, spool)
        self._gateway.start()

    async def _until_subscribed(self) -> None:
        """A broker keeps messages for subscribers only: what is published before the first of them is gone."""
        assert self._gateway is not None
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline and self._gateway.status is None:
            with contextlib.suppress(GatewayNotRunning, OperationFailed, TimeoutError, OSError):
                if (await self._client.call("status"))["mqtt"]["subscribed"]:
                    return
            await asyncio.sleep(0.05)
        raise DemoFailed(f"the gateway has not connected to the broker:\n{self._gateway.last_words()}")

    def _start_devices(self, address: tuple[str, int]) -> None:
        host, port = address
        log = self._state / "log"
        for kind in KINDS:
            command = [sys.executable, "-m", "examples.farm.devices", kind]
            command += ["--broker", f"{host}:{port}", "--speed", str(self._options.speed)]
            command += ["--origin", str(self._origin), "--seed", str(self._options.seed)]
            command += ["--fields", self._options.fields, "--state", str(self._devices_state)]
            command += ["--spool", str(self._state / "spool")]
            self._devices[kind] = Child(kind, command, log / f"{kind}.log")
            self._devices[kind].start()

    def _gateway_command(self, host: str, port: int) -> list[str]:
        settings = {
            "gateway.state_dir": str(self._gateway_state),
            "clock.speed": str(self._options.speed),
            "mqtt.broker": f"mqtt://{host}:{port}",
            "page.port": str(self._page_port),
        }
        command = [sys.executable, "-m", "overwinter", "run", "--settings", str(SETTINGS)]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        return command

    async def _watch(self) -> None:
        """Start again what was killed; anything that ended by itself ends the demo."""
        while True:
            for child in (self._gateway, *self._devices.values()):
                assert child is not None
                if child.status is not None and child.name not in self._stopping:
                    await self._revive(child)
            await asyncio.sleep(0.1)

    async def _revive(self, child: Child) -> None:
        status = child.status
        assert status is not None
        if status >= 0:
            raise DemoFailed(f"{child.name} ended by itself with status {status}:\n{child.last_words()}")
        name = signal.Signals(-status).name
        self.scene.notice = f"{child.name} was killed ({name}); it starts again in {RESTART_AFTER_S:g} s"
        self.scene.gateway_pid = self._gateway.pid if self._gateway else None
        await asyncio.sleep(RESTART_AFTER_S)
        child.start()
        if child is self._gateway:
            self.scene.restarts += 1
        self.scene.notice = f"{child.name} was killed ({name}) and runs again as pid {child.pid}"

    async def _look(self) -> None:
        """Keep the scene up to date."""
        while True:
            scene, gateway = self.scene, self._gateway
            assert gateway is not None
            scene.gateway_pid = gateway.pid
            scene.gateway_up_s = time.monotonic() - gateway.started_at
            accounts = read_devices(self._devices_state)
            scene.devices = [
                (kind, child.pid, [a for a in accounts if a.device.startswith(_DEVICES_OF[kind])])
                for kind, child in self._devices.items()
            ]
            with contextlib.suppress(GatewayNotRunning, OperationFailed, TimeoutError, OSError):
                scene.status = await self._client.call("status")
                scene.page = scene.status.get("page")
                running = await self._client.call("list", status="running", limit=20)
                scene.counts, scene.executions = running["counts"], running["executions"]
            await asyncio.sleep(REFRESH_S)

    async def _follow(self) -> None:
        """Keep the last events, over restarts of the gateway."""
        last: int | None = None
        while True:
            try:
                async for event in self._client.tail(after_lsn=last):
                    last = event["lsn"]
                    self.scene.events.append(event)
            except (GatewayNotRunning, OperationFailed, TimeoutError, OSError):
                await asyncio.sleep(REFRESH_S)

    async def _close(self, tasks: list[asyncio.Task[None]]) -> Reckoning:
        """Stop the sensors, let the gateway finish what it was sent, reckon, stop the rest."""
        self.scene.notice = "stopping: the devices send what they still have"
        self._stopping.update(("soil", "weather", "camera"))
        await asyncio.gather(*(self._stop(self._devices[kind]) for kind in ("soil", "weather", "camera")))
        await self._settle(tasks)
        self.scene.notice = "stopping: reading the histories"
        try:
            reckoning = await reckon(self._client, self._devices_state)
        except (GatewayNotRunning, OperationFailed, TimeoutError) as error:
            raise DemoFailed(f"the gateway does not answer: {error}") from error
        self._stopping.update(("gateway", "valve"))
        assert self._gateway is not None
        await self._stop(self._gateway)
        await self._stop(self._devices["valve"])
        reckoning.accounts = read_devices(self._devices_state)
        return reckoning

    async def _settle(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait until nothing has come in for a while; a gateway that was just killed starts again first."""
        deadline = time.monotonic() + SETTLE_S_MAX
        seen, since = None, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < SETTLE_S:
            for task in tasks:
                if task.done():
                    task.result()
            mqtt = self.scene.status.get("mqtt", {})
            now = (self.scene.gateway_pid, mqtt.get("received"), mqtt.get("acknowledged"))
            if now != seen or not mqtt.get("connected"):
                seen, since = now, time.monotonic()
            await asyncio.sleep(REFRESH_S / 2)

    async def _stop(self, child: Child) -> None:
        status = await child.stop()
        if status not in (0, None):
            raise DemoFailed(
                f"{child.name} ended with status {status} when it was stopped:\n{child.last_words()}"
            )

    def _kill_all(self) -> None:
        for child in (self._gateway, *self._devices.values()):
            if child is not None:
                child.kill()


_DEVICES_OF = {
    "soil": ("soil-",),
    "weather": ("weather-",),
    "valve": ("valve-", "sprinkler-"),
    "camera": ("camera-",),
}


def _origin(state: Path) -> float:
    """When this farm began, in seconds since 1970; it stays the same for one state folder."""
    kept = state / "origin"
    if not kept.exists():
        kept.write_text(repr(time.time()))
    return float(kept.read_text())


def _free_port(wanted: int) -> int:
    """This port of the loopback address when it is free, else any that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("no port of the loopback address is free")


def _relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


async def _show_live(demo: Demo, console: Console) -> None:
    with Live(render(demo.scene), console=console, auto_refresh=False, screen=False) as live:
        while True:
            live.update(render(demo.scene), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _show_lines(demo: Demo) -> None:
    begin = time.monotonic()
    while True:
        await asyncio.sleep(PLAIN_LINE_S)
        print(plain_line(demo.scene, time.monotonic() - begin), flush=True)


def _report(demo: Demo, reckoning: Reckoning) -> list[tuple[str, str]]:
    """The summary, line by line."""
    lines: list[tuple[str, str]] = []
    for kind in KINDS:
        accounts = [a for a in reckoning.accounts if a.device.startswith(_DEVICES_OF[kind])]
        measured, acknowledged = sum(a.last_serial for a in accounts), sum(a.acknowledged for a in accounts)
        lines.append((f"{kind} devices", f"{measured} messages, {acknowledged} acknowledged by the broker"))
    mqtt = reckoning.status.get("mqtt", {})
    refused = ", ".join(f"{reason} {count}" for reason, count in reckoning.quarantined.items()) or "none"
    recorded = sum(len(serials) for serials in reckoning.recorded.values())
    lines.append(("gateway", f"{recorded} readings in histories; quarantine: {refused}"))
    since = "since its last start" if demo.scene.restarts else "messages"
    lines.append(("", f"received {mqtt.get('received')}, acknowledged {mqtt.get('acknowledged')} {since}"))
    for kind, statuses in sorted(reckoning.by_type.items()):
        started = sum(statuses.values())
        ended = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        lines.append((kind, f"{started} started: {ended}"))
    lines.append(
        ("commands", f"{len(reckoning.commands_sent)} sent, {len(reckoning.commands_answered)} answered")
    )
    lines.append(("restarts", str(demo.scene.restarts)))
    lines.append(("lost", str(sum(len(serials) for serials in reckoning.lost().values()))))
    lines.append(("with effect twice", str(sum(len(serials) for serials in reckoning.repeated().values()))))
    return lines


async def _main(options: argparse.Namespace) -> int:
    console = Console()
    state = options.state or Path(tempfile.mkdtemp(prefix="overwinter-farm-"))
    state.mkdir(parents=True, exist_ok=True)
    demo = Demo(options, state.resolve())
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.seconds is not None:
        loop.call_later(options.seconds, stop.set)
    print(f"state and logs: {state}", flush=True)
    show = _show_live(demo, console) if console.is_terminal and not options.plain else _show_lines(demo)
    try:
        reckoning = await demo.run(stop, show)
    except DemoFailed as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return FAILED
    console.print(summary(_report(demo, reckoning)))
    broken = reckoning.broken_promises()
    for sentence in broken:
        print(f"broken promise: {sentence}", file=sys.stderr)
    return PROMISE_BROKEN if broken else OK


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 when every promise was kept, 1 when one was broken, 2 when it could not go on."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.farm.demo", description="A farm through one night."
    )
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds (default: Ctrl-C)")
    parser.add_argument("--speed", type=float, default=600.0, help="farm seconds in one second (default 600)")
    parser.add_argument(
        "--state", type=Path, help="folder to keep everything in (default: a new temporary one)"
    )
    parser.add_argument("--broker", default="embedded", metavar="embedded|mqtt://HOST:PORT")
    parser.add_argument("--fields", default="north,south,orchard", help="comma separated")
    parser.add_argument("--seed", type=int, default=315, help="decides weather, soil and faults")
    parser.add_argument(
        "--page-port", type=int, help=f"where the page is (default {PAGE_PORT}, or any that is free)"
    )
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the live view")
    return asyncio.run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
