"""The event loop that workflow code runs on: stock asyncio, made deterministic.

Rule 1. The loop is a FIFO of callbacks and nothing else. It never waits, polls or reads a clock:
        `drain` runs until the FIFO is empty and returns.
Rule 2. Time stands still within an activation (`now_s`), and is the recorded time in replay.
Rule 3. `call_later` asks for a durable timer; the owner of the loop fires it in a later activation.
Rule 4. Tasks hash by the order in which they were made, mixed with a salt of their execution. asyncio keeps
        tasks in sets (`wait`, `as_completed`, `TaskGroup`), and the order of a set follows its hashes:
        with addresses it would differ on every run, with these it is the same in every replay.
Rule 5. What would leave the process or need a thread is refused.

The loop runs inside a callback of the host's loop. asyncio keeps the running loop, and from Python 3.14
also the current task, per thread: `drain` puts both aside and gives them back.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from _thread import get_ident
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol, Self, TypeVar, cast

from .running import Interrupted, PotentialDeadlock, given_up, running

T = TypeVar("T")
Ts = tuple[Any, ...]

# The type stubs call every method abstract that a loop may leave out, and fix signatures that are refused here.
_Loop = cast("Any", asyncio.AbstractEventLoop)

_CURRENT_TASK_IS_PER_THREAD = sys.version_info >= (3, 14)


class DeterminismViolation(RuntimeError):
    """Workflow code reached for something that would not repeat in replay.

    The activation fails and the execution is blocked, also when the code catches this error.
    """


class Timers(Protocol):
    """What the loop asks of its owner when asyncio wants to be called later."""

    def start_timer(self, handle: TimerHandle, delay_s: float) -> None:
        """Ask for a timer; `handle` is run when it has fired."""
        ...

    def cancel_timer(self, handle: TimerHandle) -> None:
        """Withdraw the timer of `handle`, which has not fired."""
        ...


class Handle(asyncio.Handle):
    """A callback in the FIFO; `WorkflowLoop.call_soon` makes them."""

    __slots__ = ()
    _callback: Callable[..., object]  # as asyncio has them; its stubs leave them out
    _context: contextvars.Context
    _loop: WorkflowLoop
    _args: Sequence[Any]
    _repr: str | None
    _source_traceback: object


class TimerHandle(asyncio.TimerHandle):
    """A callback that waits for a durable timer."""

    timer_id: int = 0
    _callback: Callable[..., object]
    _context: contextvars.Context


class WorkflowTask(asyncio.Task[T]):
    """A task whose hash, and so its place in a set, repeats in replay."""

    _hash: int

    def __init__(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        loop: WorkflowLoop,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> None:
        # Before super(): asyncio puts the new task into a set at once.
        self._hash = loop.next_hash()
        super().__init__(coro, loop=loop, name=name, context=context)
        loop.remember(self)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other


class WorkflowFuture(asyncio.Future[T]):
    """A future whose hash repeats in replay; see `WorkflowTask`."""

    _hash: int

    def __init__(self, *, loop: WorkflowLoop) -> None:
        self._hash = loop.next_hash()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other


class Mark(NamedTuple):
    """See `WorkflowLoop.mark`."""

    hash_count: int
    violation: BaseException | None


class WorkflowLoop(_Loop):  # type: ignore[misc,valid-type]  # see _Loop
    """A deterministic loop for one execution.

    `salt` is any number that belongs to the execution (it keeps the hashes of many executions apart in
    asyncio's own registry of tasks); the same execution must always give the same one.
    """

    def __init__(self, timers: Timers, owner: object, salt: int = 0) -> None:
        self.owner = owner
        self.now_s = 0.0
        self.unrestricted = 0
        self.yields_within_s: float | None = None
        """After how long a watchdog gives up a turn; None for never."""
        self.turn = 0
        """The number of the last turn."""
        self.violation: BaseException | None = None
        self._timers = timers
        self._ready: deque[Handle | TimerHandle] = deque()
        self._hash_base = (salt & 0x3FFFFFF) << 32
        self._hash_count = 0
        self._tasks: list[WorkflowTask[Any]] = []
        self._tasks_max = 16
        self._plain = contextvars.Context()
        self._host: asyncio.AbstractEventLoop | None = None
        self._host_task: asyncio.Task[Any] | None = None
        self._asyncgen_hooks: tuple[Any, Any] = (None, None)

    def remember(self, task: WorkflowTask[Any]) -> None:
        """Keep a task until it has ended.

        asyncio does not: one that waits for something which only itself knows of would end when the collector comes by.
        """
        if len(self._tasks) >= self._tasks_max:
            self._tasks = self.unfinished_tasks()
            self._tasks_max = 16 + 2 * len(self._tasks)
        self._tasks.append(task)

    def unfinished_tasks(self) -> list[WorkflowTask[Any]]:
        """The tasks of this loop that have not ended, in the order in which they were made."""
        return [task for task in self._tasks if not task.done()]

    def next_hash(self) -> int:
        """A number that follows the order of creation."""
        self._hash_count += 1
        return self._hash_base + self._hash_count

    # -- being the running loop ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Within this block it is the running loop, inside a callback of another one."""
        self._host = host = events._get_running_loop()
        self._host_task = _swap_current_task(host, None) if _CURRENT_TASK_IS_PER_THREAD and host else None
        self._asyncgen_hooks = sys.get_asyncgen_hooks()
        # The host would close abandoned generators on its own loop, at a moment that the collector chooses.
        sys.set_asyncgen_hooks(firstiter=None, finalizer=None)
        events._set_running_loop(self)
        return self

    def __exit__(self, *_exc: object) -> None:
        events._set_running_loop(self._host)
        sys.set_asyncgen_hooks(*self._asyncgen_hooks)
        if self._host_task is not None:
            _swap_current_task(self._host, self._host_task)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in a turn of this loop's code, in sight of a watchdog; see `running`.

        Raises:
            PotentialDeadlock: it was given up, whatever it has come to meanwhile.
        """
        self.__enter__()
        turn = self.turn = self.turn + 1
        thread = get_ident()
        error: PotentialDeadlock | None = None
        running[thread] = self
        try:
            return function(*args)
        finally:
            running[thread] = None
            while True:
                try:
                    if given_up:
                        error = self._recalled(thread, turn) or error
                    self.__exit__()
                    break
                except Interrupted:
                    pass  # It was on its way when the function ended.
            self._host = self._host_task = None
            if error is not None:
                raise error from None

    def _recalled(self, thread: int, turn: int) -> PotentialDeadlock | None:
        """Why this turn was given up, once that can have no more effect; None when it was not."""
        found = given_up.get(thread)
        if found is None or found.loop is not self or found.turn != turn:
            return None
        found.recall()
        given_up.pop(thread, None)
        return found.error

    # -- driving ---------------------------------------------------------------------------------

    def has_ready(self) -> bool:
        """Whether a callback waits in the FIFO."""
        return bool(self._ready)

    def drain(self) -> None:
        """Run callbacks until none is left, each in its context; what one raises travels."""
        ready = self._ready
        while ready:
            handle = ready.popleft()
            if not handle._cancelled:
                handle._context.run(handle._callback, *handle._args)

    @property
    def ready_count(self) -> int:
        """How many callbacks wait for their turn."""
        return len(self._ready)

    def mark(self) -> Mark:
        """Where the loop stands, between two activations; see `restore`."""
        return Mark(self._hash_count, self.violation)

    def restore(self, mark: Mark) -> None:
        """Undo what a query did to the loop: it is in no history, so what follows must be as without it."""
        self._hash_count, self.violation = mark.hash_count, mark.violation
        self.close_tasks(self._hash_base + mark.hash_count)
        self._ready.clear()

    def close_tasks(self, after_hash: int = 0) -> None:
        """Unwind every unfinished task that was made after the one with this hash.

        All of them, and here: one that is left to the collector would run its `finally` blocks at a moment
        when another execution may be the running one.
        """
        for task in self.unfinished_tasks():
            coro = task.get_coro()
            if task.done() or coro is None or hash(task) <= after_hash:  # pyright: ignore[reportUnnecessaryComparison] - None from Python 3.12
                continue
            try:
                coro.close()
            except Interrupted:
                continue  # The next one has its turn.
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: S110 - user code may swallow and go on; it has no effect any more
                pass
            _cut_apart(task)
        self._tasks = [task for task in self._tasks if hash(task) <= after_hash]

    def create_task_first(
        self, coro: Coroutine[Any, Any, T], *, name: str, context: contextvars.Context
    ) -> WorkflowTask[T]:
        """A task whose first step comes before whatever waits in the FIFO."""
        task = self.create_task(coro, name=name, context=context)
        self._ready.appendleft(self._ready.pop())
        return task

    def fire(self, handle: TimerHandle) -> None:
        """Queue the callback of a timer that has fired."""
        self._ready.append(handle)

    # -- what asyncio calls ------------------------------------------------------------------------

    def time(self) -> float:
        """The activation's time, in seconds."""
        return self.now_s

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Append to the FIFO."""
        # What the constructor of asyncio's own does, but for its call of `get_debug`: each step has several of these.
        handle = Handle.__new__(Handle)
        handle._context = contextvars.copy_context() if context is None else context
        handle._loop = self
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = handle._source_traceback = None
        self._ready.append(handle)
        return handle

    def call_plainly(self, callback: Callable[[], object]) -> None:
        """Append to the FIFO what needs no context of its own, because no code of an author runs in it."""
        self.call_soon(callback, context=self._plain)

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Ask for a durable timer of `delay` seconds, which is run in a later activation also if that is none."""
        handle = TimerHandle(self.now_s + delay, callback, args, self, context)
        self._timers.start_timer(handle, delay)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Ask for a durable timer that is due at `when` on this loop's clock."""
        # To the millisecond, since a sum with the time of day has lost what is smaller.
        return self.call_later(round(when - self.now_s, 3), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        if handle.timer_id:
            self._timers.cancel_timer(handle)

    def create_future(self) -> WorkflowFuture[Any]:
        """A future of this loop."""
        return WorkflowFuture(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **_eager: Any,
    ) -> WorkflowTask[T]:
        """A task of this loop; its first step is queued (`eager_start` is not offered)."""
        return WorkflowTask(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        """Asyncio's debug mode measures time, so it is off."""
        return False

    def is_running(self) -> bool:
        """True: workflow code only ever sees this loop from inside."""
        return True

    def is_closed(self) -> bool:
        """False: the loop goes away with its execution."""
        return False

    def get_task_factory(self) -> None:
        """No factory: tasks must be this loop's own."""
        return

    def get_exception_handler(self) -> None:
        """No handler: see `call_exception_handler`."""
        return

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Asyncio reports exceptions that nobody retrieved when a task is collected.

        When that happens depends on the garbage collector, so it must have no effect on a workflow.
        """

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """See `call_exception_handler`."""

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: asynchronous generators are left to the collector."""

    # -- refused -----------------------------------------------------------------------------------

    def _refuse(self, what: str, instead: str) -> NoReturn:
        self.violation = DeterminismViolation(
            f"{what} was called from workflow code, where it would not repeat in replay: {instead}"
        )
        raise self.violation

    def run_in_executor(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: workflow code has one thread."""
        self._refuse("loop.run_in_executor (or asyncio.to_thread)", "call an activity instead")

    def call_soon_threadsafe(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: workflow code has one thread."""
        self._refuse("loop.call_soon_threadsafe", "signal the workflow instead")

    def _refuse_network(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self._refuse("a network, pipe or process function of the event loop", "call an activity instead")

    create_connection = create_server = create_datagram_endpoint = _refuse_network
    create_unix_connection = create_unix_server = getaddrinfo = getnameinfo = _refuse_network
    subprocess_exec = subprocess_shell = connect_read_pipe = connect_write_pipe = _refuse_network
    sock_recv = sock_sendall = sock_connect = sock_accept = _refuse_network
    add_reader = add_writer = add_signal_handler = _refuse_network


def _cut_apart(task: WorkflowTask[Any]) -> None:
    """Nothing keeps a task whose code is closed but whoever refers to it.

    It and what it waited for refer to each other, as do a task and what gathers it: only a collection would free them.
    """
    waiter = cast("Any", task)._fut_waiter
    for callback, _context in getattr(waiter, "_callbacks", None) or ():
        if getattr(callback, "__self__", None) is task:
            waiter.remove_done_callback(callback)
    for callback, _context in cast("Any", task)._callbacks or ():
        task.remove_done_callback(callback)


def _swap_current_task(loop: Any, task: Any) -> Any:
    return asyncio.tasks._swap_current_task(loop, task)  # type: ignore[attr-defined]  # Python 3.12 and later


def running_workflow_loop() -> WorkflowLoop | None:
    """The workflow loop that is running in this thread, or None outside workflow code."""
    loop = events._get_running_loop()
    return loop if isinstance(loop, WorkflowLoop) else None
