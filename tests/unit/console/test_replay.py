"""Histories in files, and checking them against code that has changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overwinter.edge.cli import FAILED, OK, USAGE, main
from overwinter.runtime.histories import from_lines, to_lines
from tests.unit.gateways import SqliteGateway

CODE = """
from datetime import timedelta
from overwinter import activity, workflow

@activity.defn
async def read(field: str) -> str:
    return field

@workflow.defn
class Irrigate:
    @workflow.run
    async def run(self, field: str) -> str:
        BODY
"""
THEN = 'return await workflow.execute_activity("read", field, start_to_close_timeout=timedelta(seconds=9))'
FIRST = f"await workflow.sleep(3600)\n        {THEN}"


@pytest.fixture
async def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway's state folder with an execution that sleeps, and its code in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write_code(tmp_path, FIRST)
    module = load()
    gateway = SqliteGateway(tmp_path / "journal.db")
    async with gateway.on([module.Irrigate], [module.read]) as client:
        await client.start_workflow("Irrigate", "north", id="north/1", task_queue="tests")
    return tmp_path


@pytest.fixture(autouse=True)
def unloaded() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.modules.pop("farm_code", None)
    sys.path[:] = path


def write_code(folder: Path, body: str) -> None:
    sys.modules.pop("farm_code", None)
    (folder / "farm_code.py").write_text(CODE.replace("BODY", body), encoding="utf-8")


def load() -> Any:
    import importlib

    sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    return importlib.import_module("farm_code")


def run(farm: Path, *arguments: str) -> int:
    command, *rest = arguments
    return main([command, "--state-dir", str(farm), "--json", *rest])


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


async def in_a_thread(*arguments: Any) -> int:
    import asyncio

    return await asyncio.to_thread(run, *arguments)


async def test_what_fits_what_needs_a_patch_and_what_is_blocked(
    farm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await in_a_thread(farm, "export", "histories") == OK
    assert answer(capsys)["histories"] == 1
    for source in (["histories"], []):  # exported, and the open executions of the journal
        write_code(farm, FIRST)
        assert await in_a_thread(farm, "replay", "--module", "farm_code", *source) == OK
        assert answer(capsys) == {"histories": 1, "fits": 1, "misfits": []}

        write_code(farm, THEN)
        assert await in_a_thread(farm, "replay", "--module", "farm_code", *source) == FAILED
        (row,) = answer(capsys)["misfits"]
        assert row["verdict"] == "needs a patch"
        assert row["recorded"].startswith("TimerStarted")
        assert "read" in row["replayed"]

        write_code(farm, "raise KeyError('field')")
        assert await in_a_thread(farm, "replay", "--module", "farm_code", *source) == FAILED
        (row,) = answer(capsys)["misfits"]
        assert row["verdict"] == "blocked"
        assert "farm_code.py:13" in row["where"]


async def test_the_report_is_readable(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    write_code(farm, THEN)
    status = await asyncio.to_thread(main, ["replay", "--state-dir", str(farm), "--module", "farm_code"])
    assert status == FAILED
    text = capsys.readouterr().out
    assert "needs a patch" in text
    assert "north/1" in text
    assert "0 of 1 histories fit the code" in text


async def test_bad_files_are_named_with_their_line(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await in_a_thread(farm, "export", "histories") == OK
    capsys.readouterr()
    (file,) = (farm / "histories").iterdir()
    whole = file.read_text(encoding="utf-8").splitlines(keepends=True)
    for lines, words in [
        (["{}\n"], "line 1: no history"),
        (whole[:1], "there is no event"),
        ([whole[0], *whole[2:], whole[1]], "line 2: expected event 1, found event 2"),
        ([whole[0], "[]\n"], "line 2: expected an event"),
        ([whole[0], whole[1].replace('"data":"', '"data":"!')], "line 2: event 1 cannot be read"),
        ([whole[0], "[" * 100_000], "line 2"),
    ]:
        file.write_text("".join(lines), encoding="utf-8")
        assert await in_a_thread(farm, "replay", "--module", "farm_code", str(file)) == USAGE
        message = json.loads(capsys.readouterr().out)["error"]["message"]
        assert str(file) in message
        assert words in message


async def test_a_history_comes_back_from_its_lines(farm: Path) -> None:
    assert await in_a_thread(farm, "export", "histories") == OK
    (file,) = (farm / "histories").iterdir()
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    workflow_id, events = from_lines(lines)
    assert workflow_id == "north/1"
    assert list(to_lines(workflow_id, events)) == lines


async def test_a_module_that_is_not_there(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await in_a_thread(farm, "replay", "--module", "no_such_farm") == USAGE
    assert "no_such_farm" in capsys.readouterr().out
