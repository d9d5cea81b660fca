"""A run goes on when an engine cannot take its turn."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from bench import run
from bench.__main__ import main, take_turn
from bench.children import MISSING
from bench.results import Results
from bench.screen import PlainScreen


@pytest.mark.timeout(120)
def test_a_quick_run_measures_and_keeps_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept.json"
    wanted = ["--quick", "--only", "W2", "--engines", "overwinter,limit"]
    assert main([*wanted, "--folder", str(tmp_path), "--output", str(file)]) == 0
    rows = json.loads(file.read_text())["results"]
    assert {(row["engine"], row["metric"]) for row in rows} == {
        (engine, f"start_to_result_{share}") for engine in ("overwinter", "limit") for share in ("p50", "p99")
    }
    assert all(row["value"] > 0 and row["durability"] == "WAL, synchronous=FULL" for row in rows)
    assert "W2" in capsys.readouterr().out


@pytest.fixture
def workload(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A workload whose turns are some program."""
    module = ModuleType("planted")
    module.SECONDS = 60
    monkeypatch.setattr(run, "workload_module", lambda _name: module)
    return module


def turn_of(program: str, workload: ModuleType, folder: Path, results: Results) -> str | None:
    workload.command = lambda _plain, _place: ["python3", "-c", program]
    return take_turn(PlainScreen(), results, folder, "W1", "dbos-sqlite", quick=True)


ONE = (
    'import json, sys; print(json.dumps(dict(workload="W1", engine="dbos-sqlite", metric="m", value=1.0, unit="s", '
    'durability="")), flush=True); '
)


def test_an_engine_that_fails_is_named_with_what_it_said_and_its_figures_until_then_are_kept(
    workload: ModuleType, tmp_path: Path
) -> None:
    results = Results()
    reason = turn_of(ONE + 'sys.exit("no room")', workload, tmp_path, results)
    assert reason == "failed (1): no room"
    assert [row.metric for row in results.rows] == ["m"]


def test_an_engine_that_is_not_installed_is_skipped(workload: ModuleType, tmp_path: Path) -> None:
    program = f'import sys; print("No module named dbos", file=sys.stderr); sys.exit({MISSING})'
    assert turn_of(program, workload, tmp_path, Results()) == "skipped: No module named dbos"


def test_an_engine_that_hangs_is_stopped_with_all_its_processes(workload: ModuleType, tmp_path: Path) -> None:
    workload.SECONDS = 2
    # The child holds the pipe: if it lived on, the reading of results would never end.
    program = ONE + 'import subprocess; subprocess.run(["sleep", "1000"])'
    results = Results()
    assert turn_of(program, workload, tmp_path, results) == "stopped after 2 s"
