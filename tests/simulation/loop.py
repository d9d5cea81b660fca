"""An event loop whose order of things follows from a seed, and whose time passes only when nothing is left to do.

What belongs to one life of a process is told by its context: callbacks and tasks inherit the context in which they were
made. When the process is killed its callbacks are never run again, in the middle of whatever it did.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
import weakref
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

_Loop: Any = asyncio.AbstractEventLoop  # The type stubs call every method abstract that a loop may leave out.


class Process:
    """One life of a process: what runs in its context ends when it is killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed = False
        self.context = contextvars.copy_context()
        self.context.run(_PROCESS.set, self)

    def __repr__(self) -> str:
        return self.name


_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class SeededTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address."""

    _hash: int
    process: Process | None

    def __init__(self, coro: Any, *, loop: SeededLoop, name: str | None, context: Any) -> None:
        self._hash = loop.next_hash()  # Before super(): asyncio puts the new task into a set at once.
        self.process = (contextvars.copy_context() if context is None else context).get(_PROCESS)
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other


class SeededLoop(_Loop):
    """Runs callbacks first in, first out, as asyncio promises; with `shuffle` it takes another one that often.

    Each callback takes `step_s` seconds of its time. What asyncio reports as wrong is in `complaints`.
    """

    def __init__(self, seed: str, *, shuffle: float = 0.0, step_s: float = 0.0) -> None:
        self.steps = 0
        self.complaints: list[str] = []
        self.network: Any = None
        """Where connections to sockets go."""
        self._random = random.Random(seed)
        self._shuffle = shuffle
        self._step_s = step_s
        self._now_s = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._tasks: weakref.WeakSet[SeededTask] = weakref.WeakSet()
        self._killed: list[SeededTask] = []
        self._dropped: list[asyncio.Handle] = []
        """What killed processes have left: kept until the end, so that none of it is unwound when the collector chooses."""
        self._over = False

    # -- driving -------------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, Any], each: Callable[[], bool]) -> None:
        """Run until `main` has ended, or `each`, which is asked after every step, says so."""
        with self._running():
            task = self.create_task(main)
            while not task.done() and not each():
                self._step()
            if task.done():
                task.result()

    def _step(self) -> None:
        if not self._ready:
            self._let_time_pass()
        ready = self._ready
        if len(ready) > 1 and self._shuffle and self._random.random() < self._shuffle:
            ready.rotate(-self._random.randrange(len(ready)))
        handle = ready.popleft()
        if handle._cancelled:
            return
        process = handle._context.get(_PROCESS)
        if process is not None and process.killed:
            self._dropped.append(handle)
            return
        self.steps += 1
        self._now_s += self._step_s
        handle._run()
        if self._timers and self._timers[0][0] <= self._now_s:
            self._take_due()

    def _let_time_pass(self) -> None:
        while self._timers and self._timers[0][2]._cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            raise RuntimeError("nothing is left to do, and something is waited for: a deadlock")
        self._now_s = max(self._now_s, self._timers[0][0])
        self._take_due()

    def _take_due(self) -> None:
        while self._timers and self._timers[0][0] <= self._now_s:
            handle = heapq.heappop(self._timers)[2]
            if not handle._cancelled:
                self._ready.append(handle)

    def kill(self, process: Process) -> None:
        """Nothing of it runs any more."""
        process.killed = True
        self._killed += [task for task in self._tasks if task.process is process]

    @contextmanager
    def _running(self) -> Iterator[None]:
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(before)

    def close(self) -> None:
        """Unwind what is unfinished; none of it has an effect."""
        self._over = True
        with self._running():
            while left := [task for task in {*self._killed, *self._tasks} if not task.done()]:
                self._killed.clear()
                for task in sorted(left, key=hash):
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    self._tasks.discard(task)
                    coro: Any = task.get_coro()
                    try:
                        coro.close()
                    except BaseException:
                        continue
        self._ready.clear()
        self._timers.clear()
        self._dropped.clear()

    def next_hash(self) -> int:
        """A number that follows the order of creation."""
        self._count += 1
        return self._count

    # -- what asyncio calls --------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now_s

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Run this after what is ready."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Run this so many seconds from now."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Run this at that time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # It is left out when its time comes.

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Any = None, **_eager: Any
    ) -> SeededTask:
        """A task of this loop."""
        task = SeededTask(coro, loop=self, name=name, context=context)
        self._tasks.add(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Something went wrong that nobody was told of."""
        if not self._over:
            self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        """Asyncio's debug mode measures time, so it is off."""
        return False

    def is_running(self) -> bool:
        """Whoever sees it is inside it."""
        return True

    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._over

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do."""

    async def create_unix_connection(self, factory: Any, path: Any) -> tuple[Any, Any]:
        """A connection to whoever listens at this path; `listen` says who does."""
        return await self.network.connect(factory, str(path))
