"""kill -9 at random moments under load, judged from outside.

The checker believes only what came through the pipe before the kill, and what the effects file says: never the
system's own view of itself. ``OVERWINTER_KILLS=1000`` for a long run; the seed is printed and can be given with
``OVERWINTER_SEED``.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.faults.crew import SIGNALS
from tests.faults.crews import Checker, Crew, done_again, finish, note_recorded, seed

KILLS = int(os.environ.get("OVERWINTER_KILLS", "12"))


async def work_and_kill(
    folder: Path, kills: int, *, lie: bool, source: random.Random
) -> tuple[Checker, list[str]]:
    """Load and kill so many times, then let everything end; returns what was promised, and steps that ran again."""
    checker = Checker()
    recorded: dict[str, int] = {}
    names: list[str] = []
    for life in range(kills):
        crew = Crew(folder, checker, lie=lie)
        await crew.start()
        for number in range(source.randrange(3, 8)):
            name = f"round-{life}-{number}"
            names.append(name)
            crew.order("start", name)
        for name in source.sample(sorted(checker.started), min(6, len(checker.started))):
            crew.order("signal", name, source.randrange(SIGNALS))
        await asyncio.sleep(source.uniform(0.0, 0.25))
        await crew.kill()
        if not lie:
            await note_recorded(folder, recorded)
    await finish(folder, checker, lie=lie)
    return checker, done_again(folder, recorded)


@pytest.mark.timeout(60 + 6 * KILLS)
async def test_nothing_acknowledged_is_lost_and_no_recorded_step_runs_again(tmp_path: Path) -> None:
    checker, again = await work_and_kill(tmp_path, KILLS, lie=False, source=random.Random(seed()))
    print(f"{KILLS} kills, {len(checker.started)} starts acknowledged, {len(checker.results)} results")
    assert checker.started
    assert checker.problems() == []
    assert again == []


@pytest.mark.timeout(60)
async def test_the_checker_sees_the_loss_when_commits_are_acknowledged_before_they_are_written(
    tmp_path: Path,
) -> None:
    """The test of the test: with the protection switched off it must fail."""
    checker, _ = await work_and_kill(tmp_path, 4, lie=True, source=random.Random(seed()))
    assert checker.problems() != []
