"""A whole gateway process on each broker: message in, activity, device command and its answer, kill -9, and on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from brokers import Broker
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from overwinter.edge.control import ControlClient, GatewayNotRunning

ROOT = Path(__file__).resolve().parents[2]
AUTOMATION = """
from dataclasses import dataclass
from datetime import timedelta
from overwinter import activity, workflow
from overwinter.devices.commands import command

@dataclass
class Reading:
    field: str
    moisture: float

@activity.defn
async def need(reading: Reading) -> int:
    return round(100 * (0.3 - reading.moisture))

@workflow.defn
class Irrigate:
    def __init__(self):
        self.go = False
    @workflow.run
    async def run(self, reading: Reading) -> dict:
        litres = await workflow.execute_activity(need, reading, start_to_close_timeout=timedelta(seconds=10))
        await workflow.wait_condition(lambda: self.go)
        answer = await command(f"farm/{reading.field}/valve", "open", {"litres": litres}, timeout=timedelta(seconds=60))
        return {"litres": litres, "answer": answer}
    @workflow.signal
    def allow(self, message: dict) -> None:
        self.go = True
"""
SETTINGS = """
[gateway]
state_dir = "state"
modules = ["automation"]
python_path = ["."]
[mqtt]
broker = "mqtt://127.0.0.1:{port}"
[devices]
answers = ["farm/{{field}}/valve/answer"]
[page]
enabled = false
[[trigger]]
topic = "farm/{{field}}/soil"
workflow = "Irrigate"
id = "irrigate-{{field}}"
where = {{ moisture = {{ below = 0.25 }} }}
[[trigger]]
action = "signal"
topic = "farm/{{field}}/allow"
workflow = "Irrigate"
id = "irrigate-{{field}}"
signal = "allow"
"""


class Farm:
    """A soil sensor, a person, and a valve that answers each command id once and remembers it."""

    def __init__(self, port: int) -> None:
        self.opened: dict[str, int] = {}
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="farm", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("farm/+/valve/command", 1)
        self._client.loop_start()

    def publish(self, topic: str, payload: Any) -> None:
        self._client.publish(topic, json.dumps(payload), 1).wait_for_publish(10)

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        command = json.loads(message.payload)
        self.opened.setdefault(command["id"], command["payload"]["litres"])
        answer = {"id": command["id"], "ok": True, "result": {"seen": True}}
        self._client.publish(message.topic.replace("command", "answer"), json.dumps(answer), 1)

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Gateway:
    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        (folder / "automation.py").write_text(AUTOMATION)
        (folder / "gateway.toml").write_text(SETTINGS.format(port=port))
        self._folder = folder
        self._client = ControlClient(folder / "state" / "control.sock")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "overwinter", "run", "--settings", "gateway.toml",
                cwd=self._folder, stdout=log, stderr=log,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        await self.until(lambda status: status["mqtt"]["subscribed"])

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    if holds(await self._client.call("status")):
                        return
                except GatewayNotRunning:
                    assert self._process is not None
                    assert self._process.returncode is None, (self._folder / "log").read_text()
                await asyncio.sleep(0.02)

    async def execution(self, workflow_id: str, status: str) -> Any:
        async with asyncio.timeout(20):
            while True:
                shown = await self._client.call("show", workflow_id=workflow_id)
                if shown["execution"]["status"] == status:
                    return shown
                await asyncio.sleep(0.02)

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), 10)


async def test_a_reading_becomes_a_watered_field_across_a_kill(broker: Broker, tmp_path: Path) -> None:
    gateway, farm = Gateway(tmp_path / "gateway", broker.port), Farm(broker.port)
    try:
        await gateway.start()
        farm.publish("farm/south/soil", {"moisture": 0.4})
        farm.publish("farm/north/soil", {"moisture": "dry"})
        farm.publish("farm/north/soil", {"moisture": 0.1})
        await gateway.until(lambda status: status["mqtt"].get("started") == 1)
        assert await gateway.end(signal.SIGKILL) == -signal.SIGKILL
        await gateway.start()
        farm.publish("farm/north/allow", {})
        shown = await gateway.execution("irrigate-north", "completed")
        assert list(farm.opened.values()) == [20]
        names = [event["type"] for event in shown["events"]]
        assert names.count("ActivityCompleted") == 1
        assert names[-1] == "WorkflowCompleted"
        quarantine = await ControlClient(tmp_path / "gateway" / "state" / "control.sock").call("quarantine")
        assert quarantine["counts"] == {"wrong_type": 1}
        assert await gateway.end(signal.SIGTERM) == 0
    finally:
        farm.end()
