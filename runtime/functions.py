"""Running the functions of activities: on the event loop, in threads, in child processes."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .activity import ActivityDefinition, CompleteAsync, Info, current_context
from .attempt_sealing import AttemptSeal, Unopened, failure_of
from .attempts import LATER, Attempt, AttemptRequest, CompletesLater, Outcome, not_registered
from .converter import PayloadConverter
from .core.payload import Failure, Payload
from .exceptions import CancelledError
from .interceptors import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)
from .metrics import MetricMeter
from .processes import ProcessCall, ProcessPool
from .retry_policy import policy_of, priority_of
from .sealing import Sealing
from .values import ConvertedValues

if TYPE_CHECKING:
    from .client import Client


class Functions:
    """The activities of one worker, by name. An `attempts.ActivityRunner`."""

    def __init__(
        self,
        definitions: Mapping[str | None, ActivityDefinition],
        values: ConvertedValues,
        executor: Executor | ProcessPool,
        client: Client,
        interceptors: Sequence[Interceptor] = (),
        *,
        sealing: Sealing | None = None,
        meter: MetricMeter = MetricMeter.noop,
    ) -> None:
        self._sealing = sealing
        self._interceptors = interceptors
        self.shutting_down = threading.Event()
        self._definitions = definitions
        self._values = values
        self._executor = executor
        self._client = client
        self._meter = meter

    def knows(self, activity_type: str) -> bool:
        """See `attempts.ActivityRunner`."""
        return activity_type in self._definitions or None in self._definitions

    def known(self) -> list[str]:
        """See `attempts.ActivityRunner`."""
        return sorted(name for name in self._definitions if name is not None)

    async def run(self, attempt: Attempt) -> Outcome | CompletesLater:
        """See `attempts.ActivityRunner`."""
        name = attempt.request.command.activity_type
        definition = self._definitions.get(name) or self._definitions.get(None)
        if definition is None:
            return not_registered("Activity", name, self.known())
        values = self._values_of(attempt)
        seal = None if self._sealing is None else AttemptSeal(self._sealing, attempt, values)
        try:
            if seal is None:
                return await self._run(
                    definition, Call(attempt, attempt.request, values, attempt.beat, self._meter)
                )
            try:
                call = Call(attempt, await seal.opened(), values, seal.beat, self._meter)
            except Unopened as failed:
                return failed.outcome
            return await seal.sealed(await self._run(definition, call))
        finally:
            attempt.on_cancel = None

    async def _run(self, definition: ActivityDefinition, call: Call) -> Outcome | CompletesLater:
        if self._interceptors and not isinstance(self._executor, ProcessPool):
            return await self._run_intercepted(definition, call)
        if definition.is_async:
            return await self._run_here(definition, call)
        if isinstance(self._executor, ProcessPool):
            return await self._run_in_process(definition, call, self._executor)
        return await self._run_in_thread(definition, call, self._executor)

    async def _run_here(self, definition: ActivityDefinition, call: Call) -> Outcome | CompletesLater:
        context = Context(call, self.shutting_down, self._client)
        return await self._awaited(context, lambda: definition.fn(*_arguments(definition, context)))

    async def _run_intercepted(self, definition: ActivityDefinition, call: Call) -> Outcome | CompletesLater:
        context = (
            Context(call, self.shutting_down, self._client)
            if definition.is_async
            else ThreadContext(call, self.shutting_down, not definition.no_thread_cancel_exception)
        )
        chain: ActivityInboundInterceptor = _Function(context)
        for interceptor in reversed(self._interceptors):
            chain = interceptor.intercept_activity(chain)
        chain.init(_Outbound(context))

        async def run() -> Any:
            return await chain.execute_activity(
                ExecuteActivityInput(
                    fn=definition.fn,
                    args=_arguments(definition, context),
                    executor=None if definition.is_async else self._thread_executor(),
                    headers=call.request.command.headers,
                )
            )

        return await self._awaited(context, run)

    def _thread_executor(self) -> Executor:
        assert isinstance(self._executor, Executor)
        return self._executor

    async def _awaited(self, context: Context, run: Callable[[], Awaitable[Any]]) -> Outcome | CompletesLater:
        attempt = context.attempt
        task = attempt.task
        assert task is not None, "an attempt runs in a task of its own"

        def cancel() -> None:
            context.cancel()
            if not isinstance(context, ThreadContext):
                task.cancel()

        attempt.on_cancel = cancel
        if attempt.cancel_reason is not None:  # before it had begun
            return _canceled(attempt)
        current_context.set(context)
        try:
            return context.values.encode((await run(),))[0]
        except CompleteAsync:
            return LATER
        except asyncio.CancelledError as error:
            if attempt.cancel_reason is None:
                if not task.cancelling():  # the function raised it by itself: a failure like any other
                    return _failure(error, context)
                raise
            task.uncancel()
            return _canceled(attempt)
        except BaseException as error:
            return _failure(error, context)

    async def _run_in_thread(
        self, definition: ActivityDefinition, call: Call, executor: Executor
    ) -> Outcome | CompletesLater:
        context = ThreadContext(call, self.shutting_down, not definition.no_thread_cancel_exception)
        call.attempt.on_cancel = context.cancel
        scope = contextvars.copy_context()
        scope.run(current_context.set, context)

        def run() -> Outcome | CompletesLater:
            try:
                with context.in_this_thread():
                    return context.values.encode((definition.fn(*_arguments(definition, context)),))[0]
            except CompleteAsync:
                return LATER
            except BaseException as error:
                return _failure(error, context)

        # Shielded: a thread cannot be abandoned half way, its slot is free when it has returned.
        running = asyncio.get_running_loop().run_in_executor(executor, scope.run, run)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            context.cancel()
            raise

    async def _run_in_process(self, definition: ActivityDefinition, call: Call, pool: ProcessPool) -> Outcome:
        attempt = call.attempt
        task = asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            task.cancel()

        attempt.on_cancel = cancel
        try:
            named = ProcessCall.of(definition.fn, call.request, attempt.started_at_us)
            return await pool.run(named, on_heartbeat=call.beat)
        except asyncio.CancelledError:
            if attempt.cancel_reason is None:
                raise
            task.uncancel()
            return _canceled(attempt)

    def _values_of(self, attempt: Attempt) -> ConvertedValues:
        command = attempt.request.command
        return self._values.for_activity(
            attempt.request.workflow,
            command.activity_id,
            command.activity_type,
            command.task_queue,
            local=command.local,
        )


def _arguments(definition: ActivityDefinition, context: Context) -> list[Any]:
    payloads = context.request.command.args
    if definition.name is None:
        return [context.values.raw(payloads)]
    return context.values.decode(payloads, definition.arg_types)


def _failure(error: BaseException, context: Context) -> Failure:
    attempt = context.attempt
    if attempt.cancel_reason is not None and isinstance(error, asyncio.CancelledError | CancelledError):
        return _canceled(attempt)
    failure = failure_of(error, context.values, attempt.request.command.activity_type)
    if failure.kind == "canceled":  # nobody asked for it
        return Failure(kind="application", message=failure.message, attributes={"type": "CancelledError"})
    return failure


def _canceled(attempt: Attempt) -> Failure:
    return Failure(kind="canceled", message="Cancelled", details=attempt.heartbeat)


@dataclass(frozen=True, slots=True)
class Call:
    """An attempt that is about to run its function."""

    attempt: Attempt
    request: AttemptRequest
    """What is asked for, with payloads as the converter of `values` wrote them."""
    values: ConvertedValues
    beat: Callable[[tuple[Payload, ...]], None]
    """Notes a heartbeat, on the event loop."""
    meter: MetricMeter


class Context:
    """What a running attempt offers to its code: an `activity.ActivityContext`."""

    def __init__(self, call: Call, shutting_down: threading.Event, client: Client | None = None) -> None:
        self.shutting_down = shutting_down
        self.attempt = call.attempt
        self.request = call.request
        self.values = call.values
        self._beat = call.beat
        self._meter = call.meter
        self._client = client
        self._info: Info | None = None
        self.outbound: ActivityOutboundInterceptor | None = None
        self._cancelled: threading.Event | None = None

    @property
    def cancelled(self) -> threading.Event:
        """See `activity.ActivityContext`. Made when it is asked for: few activities do."""
        if self._cancelled is None:
            self._cancelled = threading.Event()
        return self._cancelled

    @property
    def cancel_reason(self) -> str | None:
        """See `activity.ActivityContext`."""
        return self.attempt.cancel_reason

    @property
    def payload_converter(self) -> PayloadConverter:
        """See `activity.ActivityContext`."""
        return self.values.payloads

    @property
    def metric_meter(self) -> MetricMeter:
        """See `activity.ActivityContext`."""
        command = self.request.command
        labels = {
            "namespace": self.values.namespace,
            "task_queue": command.task_queue,
            "activity_type": command.activity_type,
        }
        return self._meter.with_additional_attributes(labels)

    def cancel(self) -> None:
        """Tell the code that it should stop."""
        self.cancelled.set()

    @property
    def info(self) -> Info:
        """See `activity.ActivityContext`."""
        if self._info is None:
            self._info = info_of(self.request, self.attempt.started_at_us, self.values)
        return self._info

    @property
    def client(self) -> Client:
        """See `activity.ActivityContext`."""
        if self._client is None:
            raise RuntimeError(
                "No client available: only an asynchronous activity can call the engine, make it `async def`"
            )
        return self._client

    def heartbeat(self, details: Sequence[Any]) -> None:
        """See `activity.ActivityContext`."""
        self._beat(self.values.encode(details))

    @contextmanager
    def shielded(self) -> Generator[None]:
        """See `activity.ActivityContext`."""
        yield


class _Function(ActivityInboundInterceptor):
    """The inner end of the chain: the activity's function."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._context.outbound = outbound

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        context = self._context
        if not isinstance(context, ThreadContext):
            return await input.fn(*input.args)
        scope = contextvars.copy_context()
        scope.run(current_context.set, context)

        def call() -> Any:
            with context.in_this_thread():
                return input.fn(*input.args)

        running = asyncio.get_running_loop().run_in_executor(input.executor, scope.run, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            context.cancel()
            raise


class _Outbound(ActivityOutboundInterceptor):
    """The outer end of the chain: what the attempt's context offers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def info(self) -> Info:
        return self._context.info

    def heartbeat(self, *details: Any) -> None:
        self._context.heartbeat(details)


class ThreadContext(Context):
    """The context of an attempt in a thread, into which a cancellation can be raised."""

    def __init__(self, call: Call, shutting_down: threading.Event, raise_cancel: bool) -> None:
        super().__init__(call, shutting_down)
        self._cancelled = threading.Event()  # at once: two threads will ask
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._shields = 0
        self._raise_cancel = raise_cancel
        self._raised = False

    def heartbeat(self, details: Sequence[Any]) -> None:
        """See `activity.ActivityContext`."""
        payloads = self.values.encode(details)
        self._loop.call_soon_threadsafe(self._beat, payloads)

    def cancel(self) -> None:
        """Tell the code that it should stop, by the event and, if it lets us, by an exception."""
        self.cancelled.set()
        self._raise_if_possible()

    @contextmanager
    def in_this_thread(self) -> Generator[None]:
        """The function runs here; after this block nothing is raised into the thread any more."""
        with self._lock:
            self._thread = threading.get_ident()
            if self.cancelled.is_set() and self._raise_cancel:  # before it had begun
                self._raised = True
        try:
            if self._raised:
                raise CancelledError
            yield
        finally:
            with self._lock:
                self._thread = None
                if self._raised:
                    # It may be on its way still, and would end what this thread does next.
                    raise_into_thread(threading.get_ident(), None)

    @contextmanager
    def shielded(self) -> Generator[None]:
        """See `activity.ActivityContext`."""
        with self._lock:
            self._shields += 1
        try:
            yield
        finally:
            with self._lock:
                self._shields -= 1
            if self.cancelled.is_set() and not self._shields:
                self._raise_if_possible()

    def _raise_if_possible(self) -> None:
        with self._lock:
            if self._thread is None or self._shields or self._raised or not self._raise_cancel:
                return
            self._raised = True
            raise_into_thread(self._thread, CancelledError)


def raise_into_thread(thread: int, error: type[BaseException] | None) -> None:
    """Raise an exception in another thread of this process, at its next line of Python; None takes back one to come."""
    exception = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)


def info_of(request: AttemptRequest, started_at_us: int, values: ConvertedValues) -> Info:
    """What an attempt is, as its code sees it."""
    command = request.command
    start = request.workflow
    return Info(
        activity_id=command.activity_id,
        activity_type=command.activity_type,
        attempt=request.attempt,
        current_attempt_scheduled_time=_instant(request.attempt_scheduled_at_us),
        heartbeat_details=values.decode(request.heartbeat, None),
        heartbeat_timeout=_duration(command.heartbeat_s),
        idempotency_key=request.idempotency_key,
        is_local=command.local,
        namespace="default",
        priority=priority_of(command.priority_key, command.fairness_key, command.fairness_weight),
        retry_policy=policy_of(command.retry),
        schedule_to_close_timeout=_duration(command.schedule_to_close_s),
        scheduled_time=_instant(request.scheduled_at_us),
        start_to_close_timeout=_duration(command.start_to_close_s),
        started_time=_instant(started_at_us),
        task_queue=command.task_queue,
        task_token=request.idempotency_key.encode(),
        workflow_id=start.workflow_id,
        workflow_namespace="default",
        workflow_run_id=start.run_id,
        workflow_type=start.workflow_type,
    )


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
