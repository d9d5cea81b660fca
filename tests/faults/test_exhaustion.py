"""A process that has no memory or no descriptors left: what asked for them fails, the rest goes on, and the journal is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from overwinter.runtime.journal import SqliteJournal

HUNGRY = Path(__file__).with_name("hungry.py")
ROOT = Path(__file__).parents[2]


def _starved(journal: Path, what: str) -> dict[str, str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run(
        [sys.executable, str(HUNGRY), str(journal), what],
        env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    lines = [line.split(" ", 1) for line in ended.stdout.splitlines()]
    return {words[0]: words[1] for words in lines}


async def _check(path: Path, expected: dict[str, str]) -> None:
    journal = await SqliteJournal.open(path)
    try:
        records = await journal.executions()
        assert {record.workflow_id: record.status for record in records} == expected
        for record in records:
            await journal.history(record)
    finally:
        await journal.close()


@pytest.mark.timeout(60)
async def test_without_memory_what_asks_for_it_fails_and_the_others_go_on(tmp_path: Path) -> None:
    told = _starved(tmp_path / "journal.db", "memory")
    assert "MemoryError" in told["activity"]
    assert told["blocked"].startswith("in its code MemoryError")
    assert told["modest"] == str(sum(range(30)))
    await _check(
        tmp_path / "journal.db",
        {"modest": "completed", "takes_all_memory": "failed", "in its code": "running"},
    )


@pytest.mark.timeout(60)
async def test_without_descriptors_what_asks_for_them_fails_and_the_journal_goes_on(tmp_path: Path) -> None:
    told = _starved(tmp_path / "journal.db", "files")
    assert "Too many open files" in told["activity"]
    assert "unable to open" in told["second"]
    assert told["new"] == "work 3"
    assert told["third"] == "opening 4"
    assert told["modest"] == str(sum(range(30)))
    completed = dict.fromkeys(("modest", "meanwhile", "gives_files_back"), "completed")
    await _check(tmp_path / "journal.db", completed | {"takes_all_files": "failed"})


@pytest.mark.timeout(60)
async def test_over_a_quota_work_is_refused_and_what_was_taken_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    told = _starved(tmp_path / "journal.db", "size")
    assert told["refused"].startswith(
        "RESOURCE_EXHAUSTED the journal could not be written, its volume or quota is full"
    )
    assert told["found"] == "True"
    assert told["modest"] == str(sum(range(30)))
    names = [f"m{number}" for number in range(int(told["done"]))]
    await _check(tmp_path / "journal.db", dict.fromkeys(["modest", *names], "completed"))
