"""The process is killed as it enters its n-th sync, write or message, for every n of a scripted scenario.

strace delivers the signal, so that what is killed is the process as it is deployed. A write to a pipe is an acknowledgement, one
to the effects file is what cannot be taken back, and the rest is SQLite's; the call that the kill hits is not carried out.
``OVERWINTER_CALLS=all`` tries every place, a number so many of them.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from overwinter.runtime.journal import JournalError
from tests.brokers import require
from tests.faults.crews import Checker, done_again, finish, note_recorded, scenario, seed

CALLS = os.environ.get("OVERWINTER_CALLS", "3")
KINDS = ("fsync,fdatasync", "pwrite64", "write", "ftruncate,unlink")
"""Calls that are counted together; each thread counts its own."""
NAMES = (("a", "b", "c"), ("d", "e"))
"""What is started in each life."""

Place = tuple[str, int]


@pytest.fixture(autouse=True)
def _needs_strace() -> None:
    require(shutil.which("strace") is not None, "strace")


def strace(log: Path, kinds: Iterable[str], *options: str) -> list[str]:
    return ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(kinds)}", *options]


def killed_at(place: Place, log: Path) -> list[str]:
    kinds, number = place
    return strace(log, [kinds], "-e", f"inject={kinds}:signal=KILL:when={number}")


async def places(folder: Path) -> list[Place]:
    """Every place of the scenario at which it can be killed, as a run without a kill has them."""
    folder.mkdir()
    log = folder / "strace"
    assert await scenario(folder, Checker(), NAMES[0], strace(log, KINDS)) == 0
    calls: Counter[tuple[str, str]] = Counter()
    for thread, call in re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE):
        calls[next(kind for kind in KINDS if call in kind.split(",")), thread] += 1
    most = {kind: max(n for (k, _), n in calls.items() if k == kind) for kind in KINDS}
    return [(kind, number) for kind, count in most.items() for number in range(1, count + 1)]


async def problems_after(folder: Path, kills: Iterable[Place], *, lie: bool = False) -> list[str]:
    """What is wrong after these kills, one in each life of the process."""
    folder.mkdir()
    checker = Checker()
    recorded: dict[str, int] = {}
    for place, names in zip(kills, NAMES, strict=False):
        await scenario(folder, checker, names, killed_at(place, folder / "strace"), lie=lie)
        if not lie:
            with suppress(JournalError):  # It was killed before there was one.
                await note_recorded(folder, recorded)
    await finish(folder, checker, lie=lie)
    found = checker.problems() + done_again(folder, recorded)
    shutil.rmtree(folder)
    return found


@pytest.mark.timeout(60 if CALLS != "all" else 3000)
async def test_nothing_is_lost_or_done_twice_wherever_the_process_is_killed(tmp_path: Path) -> None:
    """The next life, which recovers the journal, is killed at an early place, too."""
    chance = random.Random(seed())
    all_places = await places(tmp_path / "whole")
    tried = all_places if CALLS == "all" else chance.sample(all_places, int(CALLS))
    problems: list[str] = []
    for place in tried:
        recovering = (place[0], chance.randint(1, 12))
        kills = [place, recovering][: chance.randint(1, 2)]
        found = await problems_after(tmp_path / "killed", kills)
        problems += [f"killed at {kills}: {each}" for each in found]
    print(f"killed at {len(tried)} of {len(all_places)} places")
    assert problems == []


@pytest.mark.timeout(60)
async def test_this_harness_sees_the_loss_when_commits_are_acknowledged_before_they_are_written(
    tmp_path: Path,
) -> None:
    """The process dies as it says that the third start is done: the first two were acknowledged."""
    for number in (6, 7):
        if await problems_after(tmp_path / "killed", [("write", number)], lie=True):
            return
    pytest.fail("nothing was lost")
