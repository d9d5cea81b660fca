"""kill -9 of a gateway at random moments, judged by clients of another process: nothing is lost, and nothing done twice.

Each client starts a workflow, signals and updates it, and waits for its result, whatever becomes of the gateway meanwhile.
``OVERWINTER_KILLS=1000`` for a long run; the seed is printed and can be given with ``OVERWINTER_SEED``.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from overwinter.runtime.client import Client
from overwinter.runtime.common import WorkflowIDReusePolicy
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.remote import RemoteEngine
from tests.faults.remote_crew import QUEUE, Tally

CREW = Path(__file__).with_name("remote_crew.py")
ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("OVERWINTER_KILLS", "12"))
CLIENTS = 6
SIGNALS, UPDATES = 3, 2


class Crew:
    """A gateway that is started again as often as it is killed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._command = [
            sys.executable,
            str(CREW),
            str(folder / "journal.db"),
            str(folder / "client.sock"),
            *options,
        ]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        }
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, env=environment
        )
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), 20) == b"ready\n"

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]  # no public way to close its pipes


class Callers:
    """Clients that go on calling, and what they found wrong."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self.rounds = 0
        self.enough = False
        self._answered = asyncio.Event()
        self._engines = [RemoteEngine(folder / "client.sock", patience_s=60) for _ in range(2)]

    async def hear(self) -> None:
        """They have an answer from a gateway that lives now."""
        self._answered.clear()
        await asyncio.wait_for(self._answered.wait(), 60)

    async def call(self, number: int) -> None:
        client = Client(self._engines[number % len(self._engines)])
        while not self.enough:
            self.rounds += 1
            name = f"tally-{self.rounds}"
            try:
                await self._round(client, name)
            except Exception as error:
                self.problems.append(f"{name}: {error!r}")

    async def _round(self, client: Client, name: str) -> None:
        handle = await client.start_workflow(
            Tally.run,
            id=name,
            task_queue=QUEUE,
            # So that a second start is not refused: it is to be seen.
            id_reuse_policy=WorkflowIDReusePolicy.TERMINATE_IF_RUNNING,
        )
        self._answered.set()
        result = asyncio.create_task(client.get_workflow_handle(name).result())
        said = await asyncio.gather(
            *(handle.signal(Tally.note, number) for number in range(SIGNALS)),
            *(client.get_workflow_handle(name).execute_update(Tally.count, n) for n in range(UPDATES)),
            return_exceptions=True,
        )
        self._answered.set()
        self.problems += [f"{name}: {error!r}" for error in said if isinstance(error, Exception)]
        await handle.signal(Tally.end)
        try:
            counted = await asyncio.wait_for(result, 60)
        except Exception as error:
            self.problems.append(f"{name} has no result: {error!r}")
            return
        if sorted(counted["signals"]) != list(range(SIGNALS)):
            self.problems.append(f"{name}: signals {counted['signals']}")
        if sorted(counted["updates"]) != list(range(UPDATES)):
            self.problems.append(f"{name}: updates {counted['updates']}")

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()


async def torment(folder: Path, kills: int, *options: str, stop_at_problem: bool = False) -> list[str]:
    """What is wrong after so many kills."""
    seed = int(os.environ.get("OVERWINTER_SEED", random.randrange(1 << 32)))
    print(f"OVERWINTER_SEED={seed}")
    dice = random.Random(seed)
    crew, callers = Crew(folder, *options), Callers(folder)
    await crew.start()
    calling = [asyncio.create_task(callers.call(number)) for number in range(CLIENTS)]
    for number in range(kills):
        if number % 2:
            await callers.hear()  # However slow the machine is, half of the kills find work that was begun.
        await asyncio.sleep(dice.uniform(0.02, 0.4))
        await crew.kill()
        if callers.problems and stop_at_problem:
            break
        await crew.start()
    else:
        callers.enough = True
        await asyncio.wait_for(asyncio.gather(*calling), 60)
        await crew.kill()
    for task in calling:
        task.cancel()
    await asyncio.gather(*calling, return_exceptions=True)
    await callers.close()
    print(f"{callers.rounds} rounds")
    return callers.problems + await doubled(folder)


async def doubled(folder: Path) -> list[str]:
    """Workflow ids that have more than one run."""
    journal = await SqliteJournal.open_read_only(folder / "journal.db")
    try:
        runs = Counter(record.workflow_id for record in await journal.executions(limit=100_000))
    finally:
        await journal.close()
    return [f"{name} has {count} runs" for name, count in runs.items() if count > 1]


@pytest.mark.timeout(60 + 6 * KILLS)
async def test_changes_asked_for_from_another_process_are_made_once_over_kills(tmp_path: Path) -> None:
    assert await torment(tmp_path, KILLS) == []


@pytest.mark.timeout(300)
async def test_the_checker_sees_what_a_gateway_that_forgets_requests_does_twice(tmp_path: Path) -> None:
    assert await torment(tmp_path, 40, "--forgetful", stop_at_problem=True)
