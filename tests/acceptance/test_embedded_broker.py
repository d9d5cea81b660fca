"""The embedded broker as a child process: it serves, keeps its port, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import free_port
from mqtt_recorder import eventually, publish, running, settings_for
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from overwinter.edge.broker import BrokerError, EmbeddedBroker

PARENT = """
import asyncio, os, sys, time
from pathlib import Path
from overwinter.edge.broker import EmbeddedBroker

async def main():
    broker = EmbeddedBroker(Path(sys.argv[1]), port=int(sys.argv[2]), port_311=int(sys.argv[3]))
    await broker.start()
    if sys.argv[4] == "fork" and os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    print(broker.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("fork", ["plain", "fork"])
async def test_the_broker_ends_when_its_parent_is_killed_and_can_be_started_again_on_its_port(
    tmp_path: Path, fork: str
) -> None:
    """Also when a fork of the parent lives on and holds the pipe open."""
    port, port_311 = free_port(), free_port()
    arguments = [sys.executable, "-c", PARENT, str(tmp_path), str(port), str(port_311), fork]
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert parent.stdout is not None
        broker_pid = int(parent.stdout.readline())
        assert alive(broker_pid)
        parent.kill()
        parent.wait()
        async with EmbeddedBroker(tmp_path, port=port, port_311=port_311) as broker:
            assert not alive(broker_pid)
            assert broker.port == port
            await publish(settings_for(broker, "device"), "t", ["m"])
    finally:
        os.killpg(parent.pid, signal.SIGKILL) if fork == "fork" else parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


async def test_a_port_in_use_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overwinter.edge.broker.STOP_S", 0.1)
    async with EmbeddedBroker(tmp_path / "first") as first:
        second = EmbeddedBroker(tmp_path / "second", port=first.port)
        with pytest.raises(BrokerError, match=f"{first.port} is in use"):
            await second.start()
        assert not second.running


async def test_a_broker_that_cannot_start_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overwinter.edge.broker.CONFIGURATION", "no such configuration")
    broker = EmbeddedBroker(tmp_path)
    with pytest.raises(BrokerError, match=r"broker\.log"):
        await broker.start()
    assert not broker.running
    assert broker.log_file.read_bytes()


async def test_nothing_of_the_broker_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with EmbeddedBroker(tmp_path) as broker:
        await publish(settings_for(broker, "device"), "t", ["m"] * 20)
    assert capfd.readouterr() == ("", "")
    assert broker.log_file.stat().st_size < 2_000


async def test_mqtt_3_devices_and_mqtt_5_sessions_meet(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker, running(settings_for(broker, "gw"), "t/#") as gateway:
        device = Client(CallbackAPIVersion.VERSION2, "old", protocol=MQTTProtocolVersion.MQTTv311)
        device.connect(broker.host, broker.port_311)
        device.loop_start()
        try:
            device.publish("t/a", b"21.5", qos=1).wait_for_publish(5)
        finally:
            device.disconnect()
            device.loop_stop()
        await eventually(lambda: gateway.payloads == ["21.5"], "the old device's message")
