"""The other side of the crew: starts it, orders, kills, and believes only what came through the pipe and what the effects say."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overwinter.runtime.core.events import ActivityCompleted, WorkflowStarted
from overwinter.runtime.journal import SqliteJournal
from tests.faults.crew import SIGNALS, STEPS

CREW = Path(__file__).with_name("crew.py")
ROOT = Path(__file__).parents[2]


def seed() -> int:
    """The seed of this run; printed, so that it can be repeated."""
    number = int(os.environ.get("OVERWINTER_SEED", str(random.SystemRandom().randrange(10**9))))
    print(f"seed {number}: repeat with OVERWINTER_SEED={number}")
    return number


@dataclass
class Checker:
    """What the crew has promised."""

    started: set[str] = field(default_factory=set)
    signaled: dict[str, set[int]] = field(default_factory=dict)
    results: dict[str, dict[str, object]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        match line.split(maxsplit=2):
            case ["started", name]:
                self.started.add(name)
            case ["signaled", name, number]:
                self.signaled.setdefault(name, set()).add(int(number))
            case ["result", name, result]:
                self.results[name] = json.loads(result)
            case ["lost", name, why]:
                self.lost.append(f"{name}: {why}")
            case _:
                pass

    def problems(self) -> list[str]:
        found = [f"acknowledged start lost: {what}" for what in self.lost]
        for name in sorted(self.started - self.results.keys()):
            found.append(f"acknowledged start {name} has no result")
        for name, result in self.results.items():
            expected = {"name": name, "results": [10 * n for n in range(STEPS)], "timers": STEPS}
            for key, value in expected.items():
                if result[key] != value:
                    found.append(f"{name}: {key} is {result[key]}, expected {value}")
            missing = self.signaled.get(name, set()) - set(result["signals"])  # type: ignore[call-overload]
            if missing:
                found.append(f"{name}: acknowledged signals {sorted(missing)} are missing")
        return found


class Crew:
    """One life of the process."""

    def __init__(
        self,
        folder: Path,
        checker: Checker,
        *,
        lie: bool = False,
        files: bool = False,
        under: Sequence[str] = (),
    ) -> None:
        crew = [sys.executable, str(CREW), str(folder / "journal.db"), str(folder / "effects")]
        self._command = [*under, *crew, *(["--lie"] if lie else []), *(["--files"] if files else [])]
        self._checker = checker
        self.process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()

    async def start(self) -> None:
        """It is ready for orders, or has ended before it was."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        }
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment
        )
        self._listener = asyncio.create_task(self._listen())
        await asyncio.wait_for(self.ready.wait(), 60)

    async def _listen(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode().strip()
            if text == "ready":
                self.ready.set()
            self._checker.hear(text)
        self.ready.set()

    async def started(self, names: Iterable[str]) -> None:
        """All of these are known to have started, or the process has ended."""
        assert self._listener is not None
        while not self._checker.started.issuperset(names) and not self._listener.done():
            await asyncio.sleep(0.005)

    def order(self, *words: object) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())

    async def kill(self) -> None:
        assert self.process is not None and self._listener is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        await self._listener
        self._close()

    async def end(self) -> int:
        assert self.process is not None and self.process.stdin is not None and self._listener is not None
        self.process.stdin.close()
        status = await asyncio.wait_for(self.process.wait(), 60)
        await self._listener
        self._close()
        return status

    def _close(self) -> None:
        assert self.process is not None
        self.process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to close its pipes


async def scenario(
    folder: Path,
    checker: Checker,
    names: Iterable[str],
    under: list[str],
    *,
    lie: bool = False,
    files: bool = False,
) -> int:
    """Rounds from their start to their end, or to the end of the process; returns its status."""
    crew = Crew(folder, checker, lie=lie, files=files, under=under)
    await crew.start()
    for name in names:
        crew.order("start", name)
    await crew.started(names)
    for name in sorted(checker.started):
        for number in range(SIGNALS):
            crew.order("signal", name, number)
        crew.order("result", name)
    return await crew.end()


async def finish(folder: Path, checker: Checker, *, lie: bool = False, files: bool = False) -> None:
    """A last life, in which everything that was started comes to its end."""
    last = Crew(folder, checker, lie=lie, files=files)
    await last.start()
    for name in sorted(checker.started):
        for number in range(SIGNALS):
            last.order("signal", name, number)
        last.order("result", name)
    await last.end()


def done_again(folder: Path, recorded: dict[str, int]) -> list[str]:
    """Steps that ran once more although they were recorded."""
    marks = marks_in(folder)
    return [
        f"{key} ran {marks[key]} times, {count} when it was recorded"
        for key, count in recorded.items()
        if marks[key] > count
    ]


def marks_in(folder: Path) -> Counter[str]:
    """How often each activity has had its effect."""
    effects = folder / "effects"
    return Counter(effects.read_text().split()) if effects.exists() else Counter()


async def note_recorded(folder: Path, recorded: dict[str, int]) -> None:
    """Remember how often each activity had run when its completion was in the journal."""
    marks = marks_in(folder)
    journal = await SqliteJournal.open_read_only(folder / "journal.db")
    runs: dict[str, str] = {}
    after = 0
    while page := await journal.changes(after, 5000):
        for change in page:
            body = change.event.body
            if isinstance(body, WorkflowStarted):
                runs[change.execution.workflow_id] = body.run_id
            elif isinstance(body, ActivityCompleted):
                key = f"{change.execution.run_id}:{body.id}"
                recorded.setdefault(key, marks[key])
        after = page[-1].lsn
    await journal.close()
