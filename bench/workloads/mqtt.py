"""MQTT messages received, committed and acknowledged, from a real broker."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

from overwinter.edge.control import ControlClient
from overwinter.edge.gateway import run
from overwinter.edge.settings import load
from tests.brokers import MosquittoBroker

from ..engines.port import NotInstalled
from ..run import Turn

TITLE = "MQTT messages received, committed and acknowledged, from a real broker"
SECONDS = 90
ENGINES = ("overwinter",)
FULL = "PUBACK after commit, WAL, synchronous=FULL"
_SETTINGS = """
[gateway]
name = "bench"
state_dir = "state"
modules = ["bench.workflows"]

[mqtt]
broker = "mqtt://127.0.0.1:{port}"
receive_maximum = 500

[page]
enabled = false

[[trigger]]
topic = "bench/signal/{{serial}}"
action = "signal"
workflow = "Collector"
id = "collector"
signal = "reading"

[[trigger]]
topic = "bench/start/{{serial}}"
action = "start"
workflow = "OneStep"
id = "step-{{serial}}"
"""


async def measure(turn: Turn) -> None:
    """Signals to one execution, then messages that each start a one-step workflow."""
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        raise NotInstalled("there is no Mosquitto on this machine")
    turn.durability = FULL
    broker = MosquittoBroker(turn.folder, persistence=False)  # its own disk is not what is measured
    await broker.start()
    try:
        settings_file = turn.folder / "gateway.toml"
        settings_file.write_text(_SETTINGS.format(port=broker.port))
        gateway = asyncio.create_task(run(load(settings_file)))
        control = ControlClient(turn.folder / "state" / "control.sock")
        await _until_connected(control)
        messages = int(turn.scaled(20_000, 500))
        await control.call("start", type="Collector", workflow_id="collector", args=[messages])
        await _publish(turn, control, broker.port, "signal", messages)
        await _publish(turn, control, broker.port, "start", messages // 4)
        gateway.cancel()
        await asyncio.gather(gateway, return_exceptions=True)
    finally:
        await broker.stop()


async def _publish(turn: Turn, control: ControlClient, port: int, kind: str, messages: int) -> None:
    before = (await control.call("status"))["mqtt"]["acknowledged"]
    began = time.perf_counter()
    publisher = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.workloads.mqtt_publisher", str(port), f"bench/{kind}", str(messages)
    )
    while (await control.call("status"))["mqtt"]["acknowledged"] - before < messages:
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - began
    await publisher.wait()
    refused = (await control.call("status"))["mqtt"]["refused"]
    if refused:
        raise AssertionError(f"messages were refused, so this measures nothing: {refused}")
    turn.add(f"{kind}s_per_second", messages / seconds, "1/s")


async def _until_connected(control: ControlClient) -> None:
    for _ in range(200):
        try:
            if (await control.call("status"))["mqtt"]["connected"]:
                return
        except Exception:  # noqa: S110 - the gateway is still starting
            pass
        await asyncio.sleep(0.05)
    raise TimeoutError("the gateway has not connected to the broker within 10 s")
