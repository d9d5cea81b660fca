"""`overwinter archive`, and what `status` says of the disk and of retention."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from overwinter import workflow
from overwinter.edge import cli, listing
from overwinter.edge.histories import exported
from overwinter.runtime.common import Durability
from overwinter.runtime.display.terminal import Terminal
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.retention import DAY_S, Retention, RetentionPolicy
from tests.unit.gateways import QUEUE, Gateway


@workflow.defn(durability=Durability.LAZY)
class Soil:
    @workflow.run
    async def run(self, text: str) -> str:
        return text


@pytest.fixture
async def state_dir(tmp_path: Path) -> Path:
    """The folder of a gateway from which four executions have gone, in two rounds."""
    gateway = Gateway(MemoryJournal())
    async with gateway.on([Soil]) as client:
        policy = RetentionPolicy(closed_for_s=DAY_S, archive=tmp_path / "archive")
        for day in range(2):
            for name in ("again", f"day-{day}"):
                await client.execute_workflow(Soil.run, f"on day {day}", id=name, task_queue=QUEUE)
                gateway.advance(client, 10)
            gateway.advance(client, 2 * DAY_S)
            await Retention(client.engine, policy).once()
    return tmp_path


async def test_what_is_there_is_listed_the_newest_first(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["archive", "--json", "--state-dir", str(state_dir)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["workflow_id"] for row in answer["executions"]] == ["day-1", "again", "day-0", "again"]
    assert answer["counts"] == {"completed": 4}
    assert cli.main(["archive", "--limit", "3", "--state-dir", str(state_dir)]) == 0
    assert "day-0" in capsys.readouterr().out


async def test_one_is_shown_with_its_history_the_newest_run_or_the_one_that_is_asked_for(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["archive", "again", "--json", "--state-dir", str(state_dir)]) == 0
    newest = json.loads(capsys.readouterr().out)
    assert newest["result"] == "on day 1"
    assert newest["execution"]["durability"] == "lazy"
    assert cli.main(["archive", "--json", "--state-dir", str(state_dir)]) == 0
    oldest = json.loads(capsys.readouterr().out)["executions"][-1]["run_id"]
    assert cli.main(["archive", "again", "--run", oldest, "--state-dir", str(state_dir)]) == 0
    shown = capsys.readouterr().out
    assert "on day 0" in shown
    assert "durability lazy" in shown


async def test_one_that_is_not_there_is_refused(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["archive", "other", "--state-dir", str(state_dir)]) == cli.FAILED
    assert "no execution in" in capsys.readouterr().err


async def test_a_damaged_file_is_refused_by_name(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = min((state_dir / "archive").iterdir())
    file.write_bytes(file.read_bytes()[:50])
    assert cli.main(["archive", "--state-dir", str(state_dir)]) == cli.FAILED
    assert file.name in capsys.readouterr().err


async def test_its_files_can_be_replayed(state_dir: Path) -> None:
    found = [history.workflow_id async for history in exported([state_dir / "archive"])]
    assert sorted(found) == ["again", "again", "day-0", "day-1"]


def test_the_status_says_what_has_left_and_what_the_flash_bears() -> None:
    answer = {
        "pid": 1,
        "disk": {
            "free_bytes": 1 << 30,
            "commits": 7,
            "syncs": 5,
            "checkpoints": 1,
            "bytes_written": 1 << 20,
            "bytes_per_day": 1 << 30,
            "flash_life_days": 730,
        },
        "retention": {"closed_for_s": 86_400.0, "archive": "/a", "archive_bytes": 1024, "archived": 12},
    }
    shown = listing.status(answer, Terminal(width=100))
    assert "1.0 GiB free; 7 commits, 5 syncs" in shown
    assert "1.0 GiB a day, new flash would bear that for 2.0 years" in shown
    assert "closed executions go to /a after 1 d" in shown
    assert "12 archived" in shown
