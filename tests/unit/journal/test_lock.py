"""One journal has one writer: the second is told who the first is, and a dead one holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.journal.errors import JournalHeld

HOLDER = """
import asyncio, pathlib, sys
from overwinter.runtime.journal import SqliteJournal
async def main():
    await SqliteJournal.open(pathlib.Path(sys.argv[1]))
    print("held", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the journal open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "journal.db")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


async def test_the_second_is_refused_with_the_pid_of_the_first(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(JournalHeld, match=rf"pid {holder.pid}\b"):
        await SqliteJournal.open(tmp_path / "journal.db")


async def test_a_killed_holder_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    await (await SqliteJournal.open(tmp_path / "journal.db")).close()
