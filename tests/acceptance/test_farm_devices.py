"""The simulated devices as their users run them: processes that talk to a real Mosquitto."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from brokers import MosquittoBroker
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from examples.farm.logbook import read_accounts

ROOT = Path(__file__).resolve().parents[2]


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 12.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        time.sleep(0.02)


class Listener:
    """Keeps every message of the farm as (topic, event id, content)."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, str | None, Any]] = []
        self._subscribed = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._received
        self._client.on_subscribe = self._granted
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("farm/#", qos=1)
        wait_until(lambda: self._subscribed, "the subscription is granted")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def on(self, topic: str) -> list[tuple[str | None, Any]]:
        return [(event_id, content) for name, event_id, content in self.messages if name == topic]

    def publish(self, topic: str, payload: bytes) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        self._client.publish(topic, payload, qos=1, properties=properties).wait_for_publish(5.0)

    def command(self, device: str, identity: str, name: str) -> None:
        command = {"id": identity, "name": name, "payload": {}}
        self.publish(f"farm/{device}/command", json.dumps(command).encode())

    def _granted(self, *_: Any) -> None:
        self._subscribed = True

    def _received(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        given = dict(getattr(message.properties, "UserProperty", []))
        try:
            content = json.loads(message.payload)
        except ValueError:
            content = message.payload
        self.messages.append((message.topic, given.get("event-id"), content))


class Devices:
    """Starts device processes against one broker; none outlives the test."""

    def __init__(self, port: int, state: Path) -> None:
        self._port, self.state, self._origin = port, state, time.time()
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "examples.farm.devices", kind, "--fields", "north"]
        command += ["--broker", f"127.0.0.1:{self._port}", "--state", str(self.state)]
        command += ["--origin", str(self._origin), "--speed", "6000", "--garbage-rate", "0", *options]
        process = subprocess.Popen(command, cwd=ROOT)
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=12.0)

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[MosquittoBroker]:
    running = MosquittoBroker(tmp_path / "broker")
    asyncio.run(running.start())
    yield running
    running.kill()


@pytest.fixture
def listener(broker: MosquittoBroker) -> Iterator[Listener]:
    ear = Listener(broker.port)
    yield ear
    ear.close()


@pytest.fixture
def devices(broker: MosquittoBroker, tmp_path: Path) -> Iterator[Devices]:
    simulated = Devices(broker.port, tmp_path / "devices")
    yield simulated
    simulated.close()


def test_each_serial_is_published_once_or_repeated_with_the_same_event_id(
    listener: Listener, devices: Devices
) -> None:
    probe = devices.start("soil", "--repeat-rate", "0.5")
    wait_until(lambda: len(listener.on("farm/north/soil")) >= 25, "25 readings have come")
    assert devices.end(probe) == 0
    (account,) = read_accounts(devices.state / "soil.db")
    wait_until(
        lambda: listener.on("farm/north/soil")[-1][1]["serial"] >= account.last_serial, "the last has come"
    )
    readings = listener.on("farm/north/soil")
    contents: dict[int, Any] = {}
    for event_id, reading in readings:
        assert event_id == f"soil-north-{reading['serial']}"
        assert contents.setdefault(reading["serial"], reading) == reading
    assert sorted(contents) == list(range(1, account.last_serial + 1))
    assert len(readings) > len(contents), "half of the messages are repeated, none was seen"


def test_readings_made_while_the_broker_was_away_are_acknowledged_afterwards(
    broker: MosquittoBroker, listener: Listener, devices: Devices
) -> None:
    probe = devices.start("soil", "--repeat-rate", "0")
    wait_until(lambda: len(listener.on("farm/north/soil")) >= 2, "the probe reports")
    broker.kill()
    wait_until(lambda: len(read_accounts(devices.state / "soil.db")[0].waiting) >= 5, "five readings wait")
    (left,) = read_accounts(devices.state / "soil.db")
    asyncio.run(broker.start())
    wait_until(
        lambda: left.waiting <= read_accounts(devices.state / "soil.db")[0].serials(),
        "all that waited has gone out",
    )
    assert devices.end(probe) == 0


def test_a_killed_device_sends_what_waited_and_goes_on_with_the_next_serial(
    broker: MosquittoBroker, listener: Listener, devices: Devices
) -> None:
    probe = devices.start("soil", "--repeat-rate", "0")
    wait_until(lambda: len(listener.on("farm/north/soil")) >= 2, "the probe reports")
    broker.kill()
    wait_until(lambda: len(read_accounts(devices.state / "soil.db")[0].waiting) >= 5, "five readings wait")
    probe.kill()
    probe.wait()
    (left,) = read_accounts(devices.state / "soil.db")
    asyncio.run(broker.start())
    again = Listener(broker.port)
    try:
        probe = devices.start("soil", "--repeat-rate", "0")
        wait_until(
            lambda: len(again.on("farm/north/soil")) > len(left.waiting), "what waited has come, and more"
        )
        assert devices.end(probe) == 0
        (account,) = read_accounts(devices.state / "soil.db")
        assert account.acknowledged == account.last_serial > left.last_serial
        come = {reading["serial"] for _, reading in again.on("farm/north/soil")}
        assert left.waiting <= come
    finally:
        again.close()


def test_a_repeated_command_moves_the_valve_once_and_gets_the_same_answer(
    listener: Listener, devices: Devices
) -> None:
    valve = devices.start("valve", "--fault-rate", "0", "--repeat-rate", "0")
    answers = "farm/valve-north/answer"
    time.sleep(1.0)  # the valve's first subscription; without it nobody keeps the command
    listener.command("valve-north", "open-1", "open")
    wait_until(lambda: len(listener.on(answers)) == 1, "the valve has answered")
    listener.command("valve-north", "close-1", "close")
    wait_until(lambda: len(listener.on(answers)) == 2, "the valve has answered the second command")
    listener.command("valve-north", "open-1", "open")
    wait_until(lambda: len(listener.on(answers)) == 3, "the valve has answered the repeat")
    first, closed, repeat = listener.on(answers)
    assert repeat == first
    assert first[1]["result"]["open"] is True
    assert closed[1]["result"]["open"] is False
    flow_before = listener.on("farm/valve-north/flow")
    time.sleep(0.5)  # five flow reports, were it open
    assert listener.on("farm/valve-north/flow") == flow_before
    assert devices.end(valve) == 0


def test_a_valve_remembers_its_answers_and_its_meter_over_a_kill(
    listener: Listener, devices: Devices
) -> None:
    valve = devices.start("valve", "--fault-rate", "0", "--repeat-rate", "0")
    answers, flow = "farm/valve-north/answer", "farm/valve-north/flow"
    time.sleep(1.0)  # the valve's first subscription
    listener.command("valve-north", "open-1", "open")
    wait_until(lambda: len(listener.on(flow)) >= 2, "water flows")
    valve.kill()
    valve.wait()
    litres = listener.on(flow)[-1][1]["total_litres"]
    listener.command("valve-north", "open-1", "open")
    devices.start("valve", "--fault-rate", "0", "--repeat-rate", "0")
    wait_until(lambda: len(listener.on(answers)) >= 2, "the repeat is answered")
    assert listener.on(answers)[-1] == listener.on(answers)[0]
    wait_until(lambda: listener.on(flow)[-1][1]["total_litres"] > litres, "the meter goes on")


def test_a_valve_refuses_a_command_it_does_not_know_and_ignores_rubbish(
    listener: Listener, devices: Devices
) -> None:
    valve = devices.start("valve", "--repeat-rate", "0")
    time.sleep(1.0)  # the valve's first subscription
    listener.publish("farm/valve-north/command", b"{not json")
    listener.command("valve-north", "dance-1", "dance")
    wait_until(lambda: len(listener.on("farm/valve-north/answer")) == 1, "the valve has answered")
    ((_, answer),) = listener.on("farm/valve-north/answer")
    assert answer["ok"] is False
    assert "open and close" in answer["error"]
    assert devices.end(valve) == 0


def test_a_stuck_valve_reports_that_nothing_flows(listener: Listener, devices: Devices) -> None:
    devices.start("valve", "--fault-rate", "1", "--repeat-rate", "0")
    time.sleep(1.0)  # the valve's first subscription
    listener.command("valve-north", "open-1", "open")
    wait_until(lambda: len(listener.on("farm/valve-north/flow")) >= 2, "the flow meter reports")
    assert listener.on("farm/valve-north/answer")[0][1]["ok"] is True
    assert all(reading["litres_per_minute"] == 0.0 for _, reading in listener.on("farm/valve-north/flow"))
    assert all(reading["command_id"] == "open-1" for _, reading in listener.on("farm/valve-north/flow"))
