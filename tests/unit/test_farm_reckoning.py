"""The demo's reckoning must see what it is there to see: a lost message, and one with two effects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from examples.farm.logbook import Logbook
from examples.farm.reckoning import read_devices, reckon
from overwinter.devices.commands import ANSWER_SIGNAL

Json = dict[str, Any]


class RecordedGateway:
    """Answers like a gateway's control socket, from given histories."""

    def __init__(self, *histories: tuple[str, str, list[Json]]) -> None:
        self._histories = {
            (identity, str(number)): (kind, events)
            for number, (kind, identity, events) in enumerate(histories)
        }

    async def call(self, op: str, **args: Any) -> Json:
        if op == "status":
            return {"mqtt": {"received": 0, "acknowledged": 0}}
        if op == "quarantine":
            return {"entries": [], "counts": {}}
        if op == "list":
            executions = [
                {"workflow_id": identity, "run_id": run, "type": kind, "status": "running"}
                for (identity, run), (kind, _) in self._histories.items()
                if kind == args["type"]
            ]
            return {"executions": executions, "counts": {}}
        assert op == "show"
        return {"events": self._histories[args["workflow_id"], args["run_id"]][1]}


def signaled(serial: int, name: str = "soil") -> Json:
    return {"type": "Signaled", "attributes": {"name": name, "input": [{"serial": serial, "field": "north"}]}}


def reported(serial: int) -> Json:
    return {"type": "WorkflowStarted", "attributes": {"input": [{"serial": serial, "field": "north"}]}}


def commanded(identity: str) -> Json:
    body = json.dumps({"id": identity, "name": "open"})
    return {"type": "MessagePublished", "attributes": {"topic": "farm/valve-north/command", "body": body}}


def enter(state: Path, kind: str, count: int, acknowledged: int) -> None:
    logbook = Logbook(state / f"{kind}.db")
    for number in range(1, count + 1):
        entry = logbook.enter(f"{kind}-north", f"farm/north/{kind}", {})
        if number <= acknowledged:
            logbook.strike(entry.event_id)
    logbook.close()


async def test_all_is_well_when_every_acknowledged_reading_is_in_a_history_once(tmp_path: Path) -> None:
    enter(tmp_path, "soil", 3, 3)
    enter(tmp_path, "camera", 1, 1)
    diary = ("FieldDiary", "diary-north", [signaled(1), signaled(2), signaled(3)])
    reckoning = await reckon(
        RecordedGateway(diary, ("CameraRound", "camera-north-1", [reported(1)])), tmp_path
    )
    assert reckoning.broken_promises() == []


async def test_an_acknowledged_reading_that_no_history_holds_is_found(tmp_path: Path) -> None:
    enter(tmp_path, "soil", 3, 3)
    reckoning = await reckon(
        RecordedGateway(("FieldDiary", "diary-north", [signaled(1), signaled(3)])), tmp_path
    )
    assert reckoning.lost() == {"soil-north": [2]}
    assert "soil-north" in reckoning.broken_promises()[0]


async def test_a_camera_report_that_started_no_round_is_found(tmp_path: Path) -> None:
    enter(tmp_path, "camera", 2, 2)
    reckoning = await reckon(RecordedGateway(("CameraRound", "camera-north-1", [reported(1)])), tmp_path)
    assert reckoning.lost() == {"camera-north": [2]}


async def test_a_reading_with_two_effects_is_found_also_across_two_runs(tmp_path: Path) -> None:
    enter(tmp_path, "soil", 2, 2)
    first = ("FieldDiary", "diary-north", [signaled(1), signaled(2)])
    second = ("FieldDiary", "diary-north", [signaled(2)])
    reckoning = await reckon(RecordedGateway(first, second), tmp_path)
    assert reckoning.repeated() == {"soil-north": [2]}
    assert len(reckoning.broken_promises()) == 1


async def test_a_reading_that_the_broker_has_not_acknowledged_is_not_lost_but_reported(
    tmp_path: Path,
) -> None:
    enter(tmp_path, "soil", 3, 2)
    reckoning = await reckon(
        RecordedGateway(("FieldDiary", "diary-north", [signaled(1), signaled(2)])), tmp_path
    )
    assert reckoning.lost() == {}
    assert "never acknowledged" in reckoning.broken_promises()[0]


async def test_a_repeated_command_counts_once(tmp_path: Path) -> None:
    alarm = {"type": "MessagePublished", "attributes": {"topic": "farm/alarm", "body": "{}"}}
    answer = {"type": "Signaled", "attributes": {"name": ANSWER_SIGNAL, "input": [{"id": "1"}]}}
    events = [commanded("1"), commanded("1"), alarm, answer, commanded("2"), answer]
    reckoning = await reckon(RecordedGateway(("Irrigate", "irrigate-north", events)), tmp_path)
    assert (reckoning.commands_sent, reckoning.commands_answered) == ({"1", "2"}, {"1"})


def test_the_accounts_of_devices_that_never_ran_are_empty(tmp_path: Path) -> None:
    assert read_devices(tmp_path) == []


def test_a_logbook_hands_out_serials_without_gap_over_restarts(tmp_path: Path) -> None:
    enter(tmp_path, "soil", 2, 1)
    enter(tmp_path, "soil", 2, 0)
    (account,) = read_devices(tmp_path)
    assert (account.last_serial, account.serials()) == (4, {1})
