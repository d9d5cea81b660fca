"""A gateway is stopped in the middle of its work: it ends by itself and properly, and the next one goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from overwinter.edge.control import ControlClient, GatewayNotRunning, OperationFailed
from overwinter.runtime.core.events import ActivityCompleted
from overwinter.runtime.journal import SqliteJournal
from tests.faults.crews import ROOT

NOTES = 60
SETTINGS = """
[gateway]
state_dir = "{state}"
modules = ["notes"]
python_path = ["{path}"]
[mqtt]
broker = "none"
[page]
enabled = false
"""


def _gateway(folder: Path) -> subprocess.Popen[bytes]:
    settings = folder / "gateway.toml"
    settings.write_text(SETTINGS.format(state=folder / "state", path=ROOT / "tests" / "faults"))
    log = (folder / "log").open("ab")
    command = [sys.executable, "-m", "overwinter", "run", "--settings", str(settings)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)


async def _start_notes(folder: Path, gateway: subprocess.Popen[bytes]) -> list[str]:
    """Start workflows until the gateway no longer takes any; it is told to stop while it has much to do."""
    client = ControlClient(folder / "state" / "control.sock")
    accepted: list[str] = []
    async with asyncio.timeout(50):
        while len(accepted) < 10 * NOTES:
            name = f"note-{len(accepted)}"
            try:
                await client.call(
                    "start", type="Note", workflow_id=name, args=[{"number": "1", "text": "dry"}]
                )
            except (GatewayNotRunning, OperationFailed):
                if accepted:
                    break
                await asyncio.sleep(0.05)
                continue
            accepted.append(name)
            if len(accepted) == NOTES:
                gateway.send_signal(signal.SIGTERM)
    return accepted


async def _statuses(folder: Path) -> dict[str, str]:
    journal = await SqliteJournal.open_read_only(folder / "state" / "journal.db")
    try:
        return {record.workflow_id: record.status for record in await journal.executions(limit=10_000)}
    finally:
        await journal.close()


async def _steps(folder: Path) -> list[int]:
    """How often the activity of each execution has a result."""
    journal = await SqliteJournal.open_read_only(folder / "state" / "journal.db")
    try:
        found: list[int] = []
        for record in await journal.executions(limit=10_000):
            events = (await journal.history(record)).events
            found.append(sum(isinstance(event.body, ActivityCompleted) for event in events))
        return found
    finally:
        await journal.close()


@pytest.mark.timeout(120)
async def test_a_gateway_that_is_told_to_stop_ends_properly_and_the_next_one_goes_on(tmp_path: Path) -> None:
    gateway = _gateway(tmp_path)
    try:
        accepted = await _start_notes(tmp_path, gateway)
        status = await asyncio.to_thread(gateway.wait, 30)
    finally:
        gateway.kill()
    told = (tmp_path / "log").read_text()
    assert status == 0, told[-2000:]
    assert len(accepted) >= NOTES
    assert not (tmp_path / "state" / "running.json").exists()
    assert not (tmp_path / "state" / "journal.db-wal").exists()  # all of it is in the journal
    assert set(accepted) <= (await _statuses(tmp_path)).keys()
    gateway = _gateway(tmp_path)
    try:
        async with asyncio.timeout(50):
            while set((await _statuses(tmp_path)).values()) != {"completed"}:
                await asyncio.sleep(0.1)
        gateway.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.wait, 30) == 0
    finally:
        gateway.kill()
        await asyncio.to_thread(gateway.wait, 10)
    assert set(await _steps(tmp_path)) == {1}
