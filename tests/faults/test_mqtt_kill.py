"""kill -9 of a gateway on real MQTT, judged from the broker's side.

The publisher believes the broker's acknowledgements only; a subscriber of its own counts the receipts; the journal is
read when the gateway is dead. ``OVERWINTER_KILLS`` and ``OVERWINTER_SEED`` as in `test_kill.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from overwinter.edge.control import ControlClient, GatewayNotRunning
from overwinter.runtime.journal import SqliteJournal
from tests.brokers import MosquittoBroker
from tests.faults.crews import ROOT, seed

KILLS = int(os.environ.get("OVERWINTER_KILLS", "8"))
LYING = Path(__file__).with_name("lying_gateway.py")


class Farm:
    """Publishes notes at QoS 1 and collects receipts."""

    def __init__(self, port: int) -> None:
        self.accepted: set[str] = set()
        self.receipts: dict[str, set[str]] = {}
        self._under_way: dict[int, str] = {}
        self._count = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="test-farm", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("farm/+/receipt", 1)
        self._client.loop_start()

    def publish(self) -> None:
        self._count += 1
        number = str(self._count)
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("event-id", f"note-{number}")
        sent = self._client.publish(f"farm/{number}/note", '{"text": "dry"}', 1, properties=properties)
        self._under_way[sent.mid] = number

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        assert not reason.is_failure, reason
        self.accepted.add(self._under_way[mid])

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        properties = dict(message.properties.UserProperty)  # type: ignore[union-attr]
        self.receipts.setdefault(message.topic.split("/")[1], set()).add(properties["event-id"])

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Gateway:
    """A gateway process that is killed and started again."""

    def __init__(self, folder: Path, port: int, *, lie: bool) -> None:
        self.state = folder / "state"
        self._file = folder / "gateway.toml"
        self._file.write_text(f"""
[gateway]
state_dir = "{self.state}"
modules = ["notes"]
python_path = ["{Path(__file__).parent}"]
[mqtt]
broker = "mqtt://127.0.0.1:{port}"
[page]
enabled = false
[[trigger]]
topic = "farm/{{number}}/note"
workflow = "Note"
id = "note-{{number}}"
""")
        self._program = [str(LYING)] if lie else ["-m", "overwinter"]
        self._log = folder / "gateway.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._program, "run", "--settings", str(self._file),
                env=os.environ | {"PYTHONPATH": path}, stdout=log, stderr=log,
            )  # fmt: skip

    async def is_subscribed(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()[-3000:]
        try:
            status = await ControlClient(self.state / "control.sock").call("status")
        except GatewayNotRunning:
            return False
        return bool(status["mqtt"]["subscribed"])

    async def end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        await asyncio.wait_for(self._process.wait(), 15)


@asynccontextmanager
async def farm_with_gateway(folder: Path, *, lie: bool) -> AsyncIterator[tuple[Farm, Gateway]]:
    broker = MosquittoBroker(folder / "broker")
    await broker.start()
    farm = Farm(broker.port)
    try:
        yield farm, Gateway(folder, broker.port, lie=lie)
    finally:
        farm.end()
        await broker.stop()


async def publish_and_kill(folder: Path, kills: int, *, lie: bool, source: random.Random) -> list[str]:
    """Load and kill so many times, let everything end, and tell what is lost or doubled."""
    async with farm_with_gateway(folder, lie=lie) as (farm, gateway):
        await gateway.start()
        async with asyncio.timeout(15):
            while not await gateway.is_subscribed():  # from now on the broker keeps what it is given for us
                await asyncio.sleep(0.05)
        for _ in range(kills):
            for _ in range(source.randrange(3, 12)):
                farm.publish()
                await asyncio.sleep(source.uniform(0.0, 0.06))
            await gateway.end(signal.SIGKILL)
            await gateway.start()
            await asyncio.sleep(source.uniform(0.0, 1.0))  # also into its start
        deadline = asyncio.get_running_loop().time() + (4 if lie else 20)
        while farm.accepted - farm.receipts.keys() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # a doubled receipt would come now
        await gateway.end(signal.SIGTERM)
        print(f"{kills} kills, {len(farm.accepted)} messages accepted, {len(farm.receipts)} receipts")
        assert farm.accepted
        return [*await problems(farm, gateway.state / "journal.db")]


async def problems(farm: Farm, path: Path) -> list[str]:
    journal = await SqliteJournal.open_read_only(path)
    executions = await journal.executions(limit=10_000)
    waiting = await journal.outbox_count()
    await journal.close()
    runs = Counter(execution.workflow_id for execution in executions)
    found = [
        f"note {number} has {runs[f'note-{number}']} executions, expected 1"
        for number in farm.accepted
        if runs[f"note-{number}"] != 1
    ]
    found += [f"{e.workflow_id} is {e.status}" for e in executions if e.status != "completed"]
    found += [f"note {number} has no receipt" for number in farm.accepted - farm.receipts.keys()]
    found += [f"note {number} has receipts {ids}" for number, ids in farm.receipts.items() if len(ids) != 1]
    return found + ([f"{waiting} messages were left in the outbox"] if waiting else [])


@pytest.mark.timeout(60 + 3 * KILLS)
async def test_every_message_that_the_broker_took_has_one_execution_and_its_receipt(tmp_path: Path) -> None:
    assert await publish_and_kill(tmp_path, KILLS, lie=False, source=random.Random(seed())) == []


@pytest.mark.timeout(60)
async def test_the_checker_sees_the_loss_when_messages_are_acknowledged_before_they_are_written(
    tmp_path: Path,
) -> None:
    """The test of the test: with the protection switched off it must fail."""
    found = await publish_and_kill(tmp_path, 3, lie=True, source=random.Random(seed()))
    assert any("0 executions" in problem for problem in found), found
