"""The demo's reckoning: what the broker has acknowledged to the devices, against the gateway's histories."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from overwinter.devices.commands import ANSWER_SIGNAL

from .logbook import Account, read_accounts

Json = dict[str, Any]
KINDS = ("soil", "weather", "valve", "camera")
EXECUTIONS_MAX = 1000  # of each type; what a gateway lists at most
TYPES = ("FieldDiary", "CameraRound", "Irrigate", "FrostWatch")


class Gateway(Protocol):
    """The gateway's control socket, as `overwinter.edge.control.ControlClient` speaks it."""

    async def call(self, op: str, **args: Any) -> Json:
        """The operation's result."""
        ...


@dataclass
class Reckoning:
    """What a run of the demo has come to."""

    accounts: list[Account]
    recorded: dict[str, Counter[int]] = field(default_factory=dict[str, "Counter[int]"])
    by_type: dict[str, Counter[str]] = field(default_factory=dict[str, "Counter[str]"])
    commands_sent: set[str] = field(default_factory=set[str])  # by id: a repeat is no new command
    commands_answered: set[str] = field(default_factory=set[str])
    quarantined: Mapping[str, int] = field(default_factory=dict[str, int])
    status: Json = field(default_factory=dict[str, Any])
    too_many: set[str] = field(default_factory=set[str])
    """Types with more executions than the gateway lists: only the newest of them were read."""

    def lost(self) -> dict[str, list[int]]:
        """Serials that the broker acknowledged and no history holds, by device."""
        found = {
            account.device: sorted(account.serials() - set(self.recorded.get(account.device, ())))
            for account in self._accounted()
        }
        return {device: serials for device, serials in found.items() if serials}

    def repeated(self) -> dict[str, list[int]]:
        """Serials that had an effect more than once, by device."""
        found = {
            device: sorted(serial for serial, times in serials.items() if times > 1)
            for device, serials in self.recorded.items()
        }
        return {device: serials for device, serials in found.items() if serials}

    def _accounted(self) -> Iterator[Account]:
        """Devices whose every reading enters a history; the flow of valves matters only while irrigating."""
        read_whole = {
            "soil": "FieldDiary" not in self.too_many,
            "weather": "FieldDiary" not in self.too_many,
            "camera": "CameraRound" not in self.too_many,
        }
        for account in self.accounts:
            if read_whole.get(account.device.partition("-")[0], False):
                yield account

    def broken_promises(self) -> list[str]:
        """One sentence for each invariant that does not hold; empty when all is well."""
        sentences = [
            f"{device}: {len(serials)} acknowledged messages are in no history: {_short(serials)}"
            for device, serials in self.lost().items()
        ]
        sentences += [
            f"{device}: {len(serials)} messages had an effect more than once: {_short(serials)}"
            for device, serials in self.repeated().items()
        ]
        sentences += [
            f"{account.device}: {len(account.waiting)} messages were never acknowledged by the broker"
            for account in self.accounts
            if account.waiting
        ]
        return sentences


def read_devices(state: Path) -> list[Account]:
    """The accounts of all devices whose logbooks are in `state`."""
    return [account for kind in KINDS for account in read_accounts(state / f"{kind}.db")]


async def reckon(gateway: Gateway, devices: Path) -> Reckoning:
    """Read every history that the farm's readings went to, and hold it against the devices' logbooks."""
    reckoning = Reckoning(accounts=read_devices(devices))
    reckoning.status = await gateway.call("status")
    reckoning.quarantined = (await gateway.call("quarantine", limit=1))["counts"]
    for kind in TYPES:
        executions = (await gateway.call("list", type=kind, limit=EXECUTIONS_MAX))["executions"]
        if len(executions) >= EXECUTIONS_MAX:
            reckoning.too_many.add(kind)
        for execution in executions:
            reckoning.by_type.setdefault(kind, Counter())[execution["status"]] += 1
            history = await gateway.call(
                "show", workflow_id=execution["workflow_id"], run_id=execution["run_id"]
            )
            _note(reckoning, kind, history["events"])
    return reckoning


def _note(reckoning: Reckoning, kind: str, events: Iterable[Json]) -> None:
    for event in events:
        attributes = event["attributes"]
        match event["type"]:
            case "WorkflowStarted" if kind == "CameraRound":
                _note_reading(reckoning.recorded, "camera", attributes["input"])
            case "Signaled" if attributes["name"] == ANSWER_SIGNAL:
                reckoning.commands_answered.add(attributes["input"][0]["id"])
            case "Signaled" if kind == "FieldDiary":
                _note_reading(reckoning.recorded, attributes["name"], attributes["input"])
            case "MessagePublished" if str(attributes["topic"]).endswith("/command"):
                reckoning.commands_sent.add(json.loads(attributes["body"])["id"])
            case _:
                pass


def _note_reading(recorded: dict[str, Counter[int]], device: str, arguments: list[Json]) -> None:
    (reading,) = arguments
    recorded.setdefault(f"{device}-{reading['field']}", Counter())[reading["serial"]] += 1


def _short(serials: list[int]) -> str:
    shown = ", ".join(str(serial) for serial in serials[:8])
    return shown if len(serials) <= 8 else f"{shown}, ..."
