"""The demo's reckoning: what the broker has acknowledged to the devices, against the gateway's histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .logbook import Account, read_accounts

Json = dict[str, Any]
KINDS = ("soil", "weather", "valve", "camera")
EXECUTIONS_MAX = 10_000


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
    commands_sent: int = 0
    commands_answered: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict[str, int])
    status: Json = field(default_factory=dict[str, Any])

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
        for account in self.accounts:
            if account.device.partition("-")[0] in ("soil", "weather", "camera"):
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
    executions = (await gateway.call("list", limit=EXECUTIONS_MAX))["executions"]
    for execution in executions:
        kind, status = execution["type"], execution["status"]
        reckoning.by_type.setdefault(kind, Counter())[status] += 1
        history = await gateway.call("show", workflow_id=execution["workflow_id"], run_id=execution["run_id"])
        _note_commands(reckoning, history["events"])
        if kind == "FieldDiary":
            _note_diary(reckoning.recorded, history["events"])
        elif kind == "CameraRound":
            _note_round(reckoning.recorded, history["events"])
    return reckoning


def _note_diary(recorded: dict[str, Counter[int]], events: Iterable[Json]) -> None:
    for event in events:
        if event["type"] == "Signaled":
            name, reading = event["attributes"]["name"], _first(event["attributes"]["input"])
            recorded.setdefault(f"{name}-{reading['field']}", Counter())[reading["serial"]] += 1


def _note_round(recorded: dict[str, Counter[int]], events: Iterable[Json]) -> None:
    for event in events:
        if event["type"] == "WorkflowStarted":
            report = _first(event["attributes"]["input"])
            recorded.setdefault(f"camera-{report['field']}", Counter())[report["serial"]] += 1


def _note_commands(reckoning: Reckoning, events: Iterable[Json]) -> None:
    for event in events:
        topic = str(event["attributes"].get("topic", ""))
        if event["type"] == "MessagePublished" and topic.endswith("/command"):
            reckoning.commands_sent += 1


def _first(arguments: list[Any]) -> Json:
    reading: Json = arguments[0]
    return reading


def _short(serials: list[int]) -> str:
    shown = ", ".join(str(serial) for serial in serials[:8])
    return shown if len(serials) <= 8 else f"{shown}, ..."
