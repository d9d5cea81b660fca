"""A failed fsync: the kernel may have dropped what was written, so the process must not go on from memory."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overwinter.runtime.journal import SqliteJournal
from tests.brokers import require

ROOT = Path(__file__).parents[3]
SYNCS = "fsync,fdatasync"
"""SQLite's builds use one or the other."""
AFTER = 40
"""Calls that succeed: opening the journal takes some."""
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
START_UNTIL_IT_ENDS = """
import asyncio, sys
from pathlib import Path
from overwinter.edge.control import ControlClient, GatewayNotRunning, OperationFailed

async def main():
    client = ControlClient(Path(sys.argv[1]) / "control.sock")
    accepted = 0
    while True:
        try:
            note = {"number": "1", "text": "dry"}
            await client.call("start", type="Note", workflow_id=f"note-{accepted}", args=[note])
            accepted += 1
        except GatewayNotRunning:
            if accepted:
                break
            await asyncio.sleep(0.05)
        except OperationFailed:
            break
    print(accepted)

asyncio.run(main())
"""


@pytest.mark.timeout(60)
def test_a_failed_sync_ends_the_gateway_with_status_74_and_nothing_accepted_is_lost(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    require(strace is not None, "strace")
    assert strace is not None
    state = tmp_path / "state"
    settings = tmp_path / "gateway.toml"
    settings.write_text(SETTINGS.format(state=state, path=ROOT / "tests" / "faults"))
    fault = ["-f", "-qq", "-o", str(tmp_path / "strace"), "-e", f"trace={SYNCS}"]
    gateway = [sys.executable, "-m", "overwinter", "run", "--settings", str(settings)]
    with (tmp_path / "log").open("w") as log:
        injecting = [strace, *fault, "-e", f"inject={SYNCS}:error=EIO:when={AFTER}+", *gateway]
        with subprocess.Popen(injecting, cwd=ROOT, stdout=log, stderr=log) as process:
            try:
                client = subprocess.run(
                    [sys.executable, "-c", START_UNTIL_IT_ENDS, str(state)],
                    cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
                )  # fmt: skip
                status = process.wait(10)
            finally:
                process.kill()
    told = (tmp_path / "log").read_text()
    assert "EIO" in (tmp_path / "strace").read_text()
    assert status == 74, told[-2000:]
    accepted = int(client.stdout)
    assert accepted > 0
    assert _executions(state / "journal.db") >= accepted


def _executions(path: Path) -> int:
    async def count() -> int:
        journal = await SqliteJournal.open_read_only(path)
        found = len(await journal.executions(limit=10_000))
        await journal.close()
        return found

    return asyncio.run(count())
