"""The simulator, on a sample of seeds; and whether it sees what it is for.

``make faults`` runs thousands (`python -m tests.simulation`). A seed that fails is printed with the command that runs it again.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import store
from overwinter.runtime.pending_activities import PendingActivities

from .disk import HastyDisk, LyingDisk
from .programs import Program
from .world import SimulatedClock, World, simulate

SEEDS = 120


@pytest.mark.timeout(120)
def test_nothing_is_lost_and_nothing_is_done_twice_whatever_fails_and_whenever() -> None:
    counts: Counter[str] = Counter()
    for seed in range(
        SEEDS
    ):  # Always the same, so that who changes something else is not stopped by what is new here.
        report = simulate(seed)
        assert not report.violations, str(report)
        counts.update(report.counts)
    assert all(counts[each] for each in ("crashes", "attempts", "acked", "refused", "executions")), counts


def test_a_seed_does_the_same_again() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    assert simulate(seed).fingerprint == simulate(seed).fingerprint
    assert simulate(seed).fingerprint != simulate(seed + 1).fingerprint


def test_a_seed_does_the_same_in_processes_whose_hashes_differ() -> None:
    seeds = [random.randrange(1 << 30) for _ in range(5)]
    print(f"seeds {seeds}")
    program = (
        f"from tests.simulation.world import simulate\nfor seed in {seeds}: print(simulate(seed).fingerprint)"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert len(set(found[0].split())) == len(seeds)


# -- what it must see ----------------------------------------------------------------------------------


def _forgetful_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that is asked for again is made again."""
    monkeypatch.setattr(store, "read_request", lambda _connection, _request_id: None)


def _early_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activities begin when they are asked for, and not when that is recorded."""
    carry_out = Engine._carry_out

    def and_let_go(self: Engine, *args: Any) -> None:
        carry_out(self, *args)
        effects, self._effects = self._effects, []
        for effect in effects:
            effect()

    monkeypatch.setattr(Engine, "_carry_out", and_let_go)


def _fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway takes a second for a little more: timers fire early."""
    now_us = SimulatedClock.now_us

    def fast(self: SimulatedClock) -> int:
        return round(now_us(self) * 1.3)

    monkeypatch.setattr(SimulatedClock, "now_us", fast)


def _lost_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was under way when the gateway was killed is not gone on with."""
    monkeypatch.setattr(PendingActivities, "resume", lambda self, live, ended: None)


def _early_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries, and changes that are asked for again, are answered from what is not written yet."""
    monkeypatch.setattr(Engine, "is_written", lambda self, live: True)
    monkeypatch.setattr(Engine, "when_written", lambda self, live, settle: settle(None))


def _unstable_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that is rebuilt does something else than it did."""
    calls = 0

    async def sleep(self: Program, path: str, seconds: float) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls % 2:
            await asyncio.sleep(1)
        await asyncio.sleep(seconds)
        return ["slept"]

    monkeypatch.setattr(Program, "_sleep", sleep)


def _disk(kind: type) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(World, "disk_type", kind)


MUTATIONS = {
    "a device that lies": _disk(LyingDisk),
    "a journal that answers before it writes": _disk(HastyDisk),
    "effects before their commit": _early_effects,
    "requests that are not remembered": _forgetful_requests,
    "timers that fire early": _fast_clock,
    "answers before their commit": _early_answers,
    "attempts that are not made again": _lost_attempts,
    "code that does not repeat": _unstable_code,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_simulator_sees(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[mutation](monkeypatch)
    assert any(simulate(seed).violations for seed in range(500))
