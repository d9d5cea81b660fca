"""Durability classes: which commits wait for the disk, and who is answered only when it has been waited for.

Commits go one after the other into one log, and to flush the log makes all that is in it safe. So a power cut can take away only
the last commits of the log, and none of those before a flushed one. A commit in which everything is lazy, what has come as well
as what is asked for, is written and not flushed, and work goes on after it: with timers, lazy activities, and the commits of
others. Everything else that leaves the engine waits for a flush: answers of any kind, and what has another class itself. The
flush comes with the next commit that is not lazy, and at the latest when the window has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from .core import commands as cmd
from .core.commands import Command
from .core.events import UpdateAccepted
from .live import Incoming, LiveExecution
from .ports import Batch

if TYPE_CHECKING:
    from .engine import Engine

NOW: Final = 1
GROUPED: Final = 2
LAZY: Final = 3
"""The numbers of `common.Durability`, as they are in histories; 0 is the usual class."""

Answer = Callable[[BaseException | None], None]


class Flushing:
    """The part of an engine that knows what is written and not flushed."""

    def __init__(self, engine: Engine, window_s: float) -> None:
        self._engine = engine
        self._window_s = window_s
        self.due = False
        """Whether the log is to be flushed in this turn, with a commit or without one."""
        self.lazy_commits = 0
        """Commits that were written and not flushed at once."""
        self.behind = False
        """Whether something is written and not flushed."""
        self._lazy = 0
        self._touched = 0
        self._answers: list[Answer] = []
        self._alarm: asyncio.TimerHandle | None = None

    # -- what a commit holds -------------------------------------------------------------------------

    def touched(self) -> None:
        """The batch holds something of an execution's history."""
        self._touched += 1

    def weigh(self, live: LiveExecution, incoming: Sequence[Incoming], commands: Sequence[Command]) -> None:
        """An activation was put into the batch, after `touched` was called for it."""
        if (live.durability == LAZY or (incoming and incoming[0].durability == LAZY)) and _is_lazy(
            live, incoming, commands
        ):
            self._lazy += 1

    def decide(self, batch: Batch) -> None:
        """Whether the commit of this batch waits for the disk."""
        lazy, self._lazy, touched, self._touched = self._lazy, 0, self._touched, 0
        batch.flushed = not lazy or lazy < touched or self.due or _holds_more(batch)

    # -- what follows it -----------------------------------------------------------------------------

    def written(self, batch: Batch) -> None:
        """A commit was written: whoever waited for a flush is answered, if it was one."""
        if batch.flushed:
            self.flushed()
            return
        self.lazy_commits += 1
        self.behind = True
        self._look_in(self._window_s)

    def flushed(self) -> None:
        """All that was written is safe."""
        if self.behind:
            self.behind = self.due = False
            self._no_alarm()
            self._release(None)

    def not_flushed(self, wait_s: float) -> None:
        """There was no room for it; try again."""
        self.due = False
        self._no_alarm()
        self._look_in(wait_s)

    def answer(self, settle: Answer) -> None:
        """Call this with None when all that was written by now is safe; with an error if that is never known."""
        if self.behind:
            self._answers.append(settle)
        else:
            settle(None)

    async def wait(self) -> None:
        """What was written by now is safe."""
        if self.behind:
            safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.answer(lambda error: _settle(safe, error))
            await safe

    def abandon(self, error: BaseException) -> None:
        """The engine stops without a flush."""
        self._no_alarm()
        self._release(error)

    async def close(self) -> None:
        """Flush what is left, so that nobody has to be told of a doubt."""
        if self.behind and self._engine.failure is None:
            await self._engine.journal.flush()
            self.flushed()

    def _release(self, error: BaseException | None) -> None:
        answers, self._answers = self._answers, []
        for settle in answers:
            settle(error)

    def _look_in(self, wait_s: float) -> None:
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._passed)

    def _no_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _passed(self) -> None:
        self._alarm = None
        self.due = True
        self._engine.wake()


def _is_lazy(live: LiveExecution, incoming: Sequence[Incoming], commands: Sequence[Command]) -> bool:
    """Whether nothing of an activation has to be safe before it goes on."""
    of_workflow = live.durability
    for item in incoming:
        if (item.durability or of_workflow) != LAZY or isinstance(item.body, UpdateAccepted):
            return False
    for command in commands:
        match command:
            case cmd.ScheduleActivity():
                if (command.durability or of_workflow) != LAZY:
                    return False
            case cmd.PublishMessage() | cmd.CompleteUpdate():
                return False
            case cmd.StartTimer() | cmd.CancelTimer() | cmd.CancelActivity():
                pass
            case _:
                if of_workflow != LAZY:
                    return False
    return True


def _holds_more(batch: Batch) -> bool:
    """Whether a batch holds something that is of no execution's history."""
    return bool(
        batch.outgoing
        or batch.sent
        or batch.parked
        or batch.schedules
        or batch.adopted
        or batch.jobs
        or batch.deleted
        or batch.pauses
        or any(record is not None for record in batch.attempts.values())
    )


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
