"""Workflow code that does not yield: given up after a while, so that the other executions and the gateway go on.

All workflow code takes turns on one event loop. A turn that does not end (`while True: pass`, a lock that nobody releases)
would stop everything, and a second thread is the only one who can still notice. It looks at `running` a few times within
the time that a turn may take; one that is there at every look is told to end by an exception. Counted are looks and not
seconds, so that a machine that was asleep, or had no time for this process, does not give up code that had no time either.

Code that waits in C is reached in the main thread only, where a signal interrupts the wait: SIGURG, which by default does
nothing, if nobody else has a use for it. In other threads the exception comes when the wait is over. Code of C that keeps
Python's lock is reached nowhere; `guard` refuses the usual waits at once.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Final

from .activity_contexts import raise_into_thread
from .core import running
from .core.loop import WorkflowLoop
from .core.running import GivenUp, Interrupted, PotentialDeadlock
from .lines import awaited
from .live import is_foreign

_log = logging.getLogger(__name__)

YIELD_WITHIN_S: Final = 2.0
"""How long a turn may take where nothing else is said; Temporal's SDK has the same."""
_TIMES_WHILE_ASKING: Final = 5
"""As many times as long may a turn take that goes on asking for more: it has much to ask for, and will end."""
_LOOKS: Final = 4
"""So often it looks within the time that a turn may take."""
_LOOKS_AT_CODE: Final = 100
"""So often it looks where the code is, which runs on meanwhile."""
_sleep = time.sleep  # by name: the guard asks who calls it


def patience(debug_mode: bool, yield_within_s: float | None = YIELD_WITHIN_S) -> float | None:
    """How long a turn may take; None for any time, where a person is debugging."""
    return None if debug_mode or os.environ.get("TEMPORAL_DEBUG") else yield_within_s


def watch(yields_within_s: float | None) -> None:
    """From here on turns in this process that may take so long are watched; once in each process that runs workflows."""
    if yields_within_s is None:
        return
    _watchdog.hurry(yields_within_s / _LOOKS)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGURG) is signal.SIG_DFL:
        signal.signal(signal.SIGURG, _interrupt_main)


class Watchdog:
    """Sees which turns do not end."""

    def __init__(self) -> None:
        self.interval_s = math.inf
        self._looks: dict[int, _Seen] = {}
        self._thread: threading.Thread | None = None
        self._hurried = threading.Event()
        self._starting = threading.Lock()

    def hurry(self, interval_s: float) -> None:
        """Look at least this often."""
        with self._starting:
            self.interval_s = min(self.interval_s, interval_s)
            self._hurried.set()
            if self._thread is None or not self._thread.is_alive():  # A forked process has no threads.
                self._thread = threading.Thread(target=self._run, name="workflow watchdog", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            if self._hurried.wait(self.interval_s):
                self._hurried.clear()
            else:
                self.look()

    def look(self) -> None:
        """Give up what has run too long."""
        before, self._looks = self._looks, {}
        for thread, loop in list(running.running.items()):
            if loop is None:
                continue
            seen = _Seen(loop, loop.turn, _asked(loop))
            if (last := before.get(thread)) is not None and last.loop is loop and last.turn == seen.turn:
                seen.looks = last.looks + 1
                seen.looks_in_vain = last.looks_in_vain + 1 if last.asked == seen.asked else 0
            self._looks[thread] = seen
            limit_s = loop.yields_within_s
            if limit_s is not None and seen.looks and seen.has_had(limit_s / self.interval_s):
                _give_up(thread, loop, seen.turn, limit_s)


@dataclass(slots=True, eq=False)
class _Seen:
    """Whose turn it was in a thread at a look."""

    loop: WorkflowLoop
    turn: int
    asked: int
    """How many commands the turn had given."""
    looks: int = 0
    """At how many looks before it was there."""
    looks_in_vain: int = 0
    """At how many of the last of them it had given no more."""

    def has_had(self, looks: float) -> bool:
        return self.looks_in_vain >= looks or self.looks >= looks * _TIMES_WHILE_ASKING


def _asked(loop: WorkflowLoop) -> int:
    return getattr(loop.owner, "asked_count", 0)


def _give_up(thread: int, loop: WorkflowLoop, turn: int, limit_s: float) -> None:
    """Interrupt it, again if it has gone on since it was told; see `core.running` for the order of these lines."""
    told = running.given_up.get(thread)
    is_news = told is None or told.loop is not loop or told.turn != turn
    error = _deadlock(limit_s, thread, loop) if told is None or is_news else told.error
    recall = _Recall()
    running.given_up[thread] = given_up = GivenUp(loop, turn, error, recall)
    still_runs = running.running.get(thread) is loop and loop.turn == turn
    if still_runs:
        _interrupt(thread)
    elif running.given_up.get(thread) is given_up:
        running.given_up.pop(thread, None)
    recall.may_be_taken_back = True
    if is_news and still_runs:
        _tell(loop, error, limit_s)


class _Recall:
    """Called by the thread that is interrupted, when it has left what was to be interrupted."""

    def __init__(self) -> None:
        self.may_be_taken_back = False

    def __call__(self) -> None:
        while not self.may_be_taken_back:
            _sleep(0)  # The watchdog is between two of its lines.
        raise_into_thread(threading.get_ident(), None)


def _interrupt(thread: int) -> None:
    is_main = thread == threading.main_thread().ident
    if is_main and signal.getsignal(signal.SIGURG) is _interrupt_main:
        signal.pthread_kill(thread, signal.SIGURG)
    else:
        raise_into_thread(thread, Interrupted)


def _interrupt_main(_signal: int, _frame: FrameType | None) -> None:
    """Runs in the main thread, between two of its steps: what runs there now is still what was given up, or nothing happens."""
    thread = threading.get_ident()
    loop, given_up = running.running.get(thread), running.given_up.get(thread)
    if given_up is not None and given_up.loop is loop and given_up.turn == given_up.loop.turn:
        raise Interrupted


# -- telling -----------------------------------------------------------------------------------------


def _deadlock(limit_s: float, thread: int, loop: WorkflowLoop) -> PotentialDeadlock:
    # Temporal's words, by which people find what it means.
    error = PotentialDeadlock(
        f"[TMPRL1101] Potential deadlock detected: workflow didn't yield within {limit_s:g} second(s)."
    )
    return error.with_traceback(_traceback(_frames(thread, loop)))


def _traceback(frames: Sequence[FrameType]) -> TracebackType | None:
    """What the traceback of an exception from the first of these frames, which the others have called, would be."""
    found: TracebackType | None = None
    for frame in frames:
        found = TracebackType(found, frame, frame.f_lasti, frame.f_lineno or 0)
    return found


def _frames(thread: int, loop: WorkflowLoop) -> list[FrameType]:
    """Where the code of a turn is, the innermost call first."""
    calls: list[FrameType] = []
    for _ in range(_LOOKS_AT_CODE):
        calls = list(_calls(thread))
        # Between two steps of a task that never waits for long, the code is where the task waits.
        waiting = [list(awaited(task.get_coro()))[::-1] for task in loop.unfinished_tasks()]
        found = next(filter(_has_users, [calls, *waiting]), None)
        if found is not None:
            return found
        _sleep(0)  # It went on from the one to the other just now.
    return calls


def _calls(thread: int) -> Iterator[FrameType]:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for such uses
    while frame is not None and frame.f_code is not WorkflowLoop.run.__code__:
        yield frame
        frame = frame.f_back


def _has_users(frames: Sequence[FrameType]) -> bool:
    return any(is_foreign(frame.f_code.co_filename) for frame in frames)


def _tell(loop: WorkflowLoop, error: PotentialDeadlock, limit_s: float) -> None:
    """The log has it also when the code cannot be interrupted, and this is the last line."""
    start = getattr(loop.owner, "start", None)
    if start is None:
        return
    _log.error(
        "workflow %s with ID %s and run ID %s has not yielded for %g s and stops all others; it is interrupted at\n%s",
        start.workflow_type,
        start.workflow_id,
        start.run_id,
        limit_s,
        "".join(traceback.format_tb(error.__traceback__)).rstrip(),
    )


_watchdog = Watchdog()
