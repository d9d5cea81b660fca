"""Running the functions of activities: on the event loop, in threads, in child processes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from .activity import ActivityDefinition, CompleteAsync, Info, current_context, logger
from .activity_contexts import Call, Context, ThreadContext
from .attempt_sealing import AttemptSeal, Unopened, failure_of
from .attempts import LATER, PAUSED, Attempt, CompletesLater, Outcome, not_registered, unknown_activity
from .core.payload import Failure
from .exceptions import ApplicationError, ApplicationErrorCategory, CancelledError
from .interceptors import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)
from .metrics import MetricMeter
from .processes import ProcessCall, ProcessPool
from .sealing import Sealing
from .values import ConvertedValues

if TYPE_CHECKING:
    from .client import Client

T = TypeVar("T")


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
        self.client = client
        """What activities get that ask for it."""
        self._meter = meter

    def knows(self, activity_type: str) -> bool:
        """See `attempts.ActivityRunner`."""
        return activity_type in self._definitions or None in self._definitions

    def require(self, activity_type: str) -> None:
        """There is a function for this type.

        Raises:
            ValueError: there is none; the message lists those that exist.
        """
        if not self.knows(activity_type):
            raise ValueError(unknown_activity(activity_type, self.known()))

    def known(self) -> list[str]:
        """See `attempts.ActivityRunner`."""
        return sorted(name for name in self._definitions if name is not None)

    async def run(self, attempt: Attempt) -> Outcome | CompletesLater:
        """See `attempts.ActivityRunner`."""
        name = attempt.request.command.activity_type
        definition = self._definitions.get(name) or self._definitions.get(None)
        if definition is None:
            return not_registered(name, self.known())
        values = self._values_of(attempt)
        try:
            if self._sealing is not None:
                return await self._run_sealed(definition, attempt, values, self._sealing)
            if attempt.cancel_reason is not None:  # before it had begun
                return _canceled(attempt)
            return await self._running(
                definition, Call(attempt, attempt.request, values, attempt.beat, self._meter)
            )
        finally:
            attempt.on_cancel = None

    async def _run_sealed(
        self, definition: ActivityDefinition, attempt: Attempt, values: ConvertedValues, sealing: Sealing
    ) -> Outcome | CompletesLater:
        seal = AttemptSeal(sealing, attempt, values)
        try:
            call = Call(attempt, await seal.opened(), values, seal.beat, self._meter)
        except Unopened as failed:
            return failed.outcome
        return await seal.sealed(await self._running(definition, call))

    def _running(
        self, definition: ActivityDefinition, call: Call
    ) -> Coroutine[Any, Any, Outcome | CompletesLater]:
        """The function's run. Not a coroutine by itself: each one more would be gone through at every step of it."""
        if self._interceptors:
            return self._run_intercepted(definition, call)
        if definition.is_async:
            context = Context(call, self.shutting_down, self.client)
            return self._awaited(context, lambda: definition.fn(*_arguments(definition, context)))
        if isinstance(self._executor, ProcessPool):
            return self._run_in_process(definition, call, self._executor)
        return self._run_in_thread(definition, call, self._executor)

    async def _run_intercepted(self, definition: ActivityDefinition, call: Call) -> Outcome | CompletesLater:
        context, innermost = self._innermost(definition, call)
        chain: ActivityInboundInterceptor = innermost
        for interceptor in reversed(self._interceptors):
            chain = interceptor.intercept_activity(chain)
        chain.init(_Outbound(context))
        executor = self._executor if isinstance(self._executor, Executor) else None

        async def run() -> Any:
            return await chain.execute_activity(
                ExecuteActivityInput(
                    fn=definition.fn,
                    args=_arguments(definition, context),
                    executor=None if definition.is_async else executor,
                    headers=call.request.command.headers,
                )
            )

        return await self._awaited(context, run)

    def _innermost(self, definition: ActivityDefinition, call: Call) -> tuple[Context, _Function]:
        if definition.is_async:
            context = Context(call, self.shutting_down, self.client)
            return context, _Function(context)
        if isinstance(self._executor, ProcessPool):
            context = Context(call, self.shutting_down)
            return context, _InProcess(context, definition, self._executor)
        thread = ThreadContext(call, self.shutting_down, not definition.no_thread_cancel_exception)
        return thread, _InThread(thread)

    async def _awaited(self, context: Context, run: Callable[[], Awaitable[Any]]) -> Outcome | CompletesLater:
        attempt = context.attempt
        task = attempt.task
        assert task is not None, "an attempt runs in a task of its own"

        def cancel() -> None:
            context.cancel()
            if not isinstance(context, ThreadContext):
                task.cancel("Activity cancelled")

        attempt.on_cancel = cancel
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

        return await _in_thread(context, executor, scope, run)

    async def _run_in_process(self, definition: ActivityDefinition, call: Call, pool: ProcessPool) -> Outcome:
        named = ProcessCall.of(definition.fn, call.request, call.attempt.started_at_us, call.values.converter)
        outcome = await pool.run(named, call.attempt, on_heartbeat=call.beat)
        if not isinstance(outcome, Failure):
            return outcome
        if outcome.kind != "canceled":
            _tell_of(call.values.error_of(outcome))
        return _as_outcome(outcome, call.attempt)

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
    try:
        return context.values.decode(payloads, definition.arg_types)
    except Exception as error:  # whatever a converter raises
        raise ApplicationError("Failed decoding arguments") from error


def _failure(error: BaseException, context: Context) -> Failure:
    attempt = context.attempt
    if attempt.cancel_reason is not None and isinstance(error, asyncio.CancelledError | CancelledError):
        return _canceled(attempt)
    _tell_of(error)
    failure = failure_of(error, context.values, attempt.request.command.activity_type)
    return _as_outcome(failure, attempt)


def _tell_of(error: BaseException) -> None:
    """An activity that fails is logged, one whose failure is nothing special only for who looks closely."""
    benign = isinstance(error, ApplicationError) and error.category is ApplicationErrorCategory.BENIGN
    level = logging.DEBUG if benign else logging.WARNING
    extra = {"__temporal_error_identifier": "ActivityFailure"}  # as Temporal's SDK marks it for filters
    logger.log(level, "Completing activity as failed", exc_info=error, extra=extra)


def _as_outcome(failure: Failure, attempt: Attempt) -> Failure:
    if failure.kind != "canceled":
        return failure
    if attempt.cancel_reason is not None:
        return _canceled(attempt)
    # nobody asked for it
    return Failure(kind="application", message=failure.message, attributes={"type": "CancelledError"})


def _canceled(attempt: Attempt) -> Failure:
    if attempt.cancel_reason != PAUSED:
        return Failure(kind="canceled", message="Cancelled")
    # It ended because of a pause: another attempt follows when the activity goes on.
    return Failure(
        kind="application",
        message="Unhandled activity cancel error produced by activity pause",
        attributes={"type": "ActivityPause"},
    )


async def _in_thread(
    context: ThreadContext, executor: Executor, scope: contextvars.Context, run: Callable[[], T]
) -> T:
    # Shielded: a thread cannot be abandoned half way, its slot is free when it has returned.
    running = asyncio.get_running_loop().run_in_executor(executor, scope.run, run)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        context.cancel()
        raise


# -- behind interceptors -------------------------------------------------------------------------------


class _Function(ActivityInboundInterceptor):
    """The inner end of the chain: the activity's function."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._context.outbound = outbound

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await input.fn(*input.args)


class _InThread(_Function):
    """The same for a function that is not asynchronous."""

    def __init__(self, context: ThreadContext) -> None:
        super().__init__(context)
        self._thread = context

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        context = self._thread
        scope = contextvars.copy_context()
        scope.run(current_context.set, context)

        def call() -> Any:
            with context.in_this_thread():
                return input.fn(*input.args)

        assert input.executor is not None
        return await _in_thread(context, input.executor, scope, call)


class _InProcess(_Function):
    """The same for one that runs in a child process."""

    def __init__(self, context: Context, definition: ActivityDefinition, pool: ProcessPool) -> None:
        super().__init__(context)
        self._definition = definition
        self._pool = pool

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        context, definition = self._context, self._definition
        attempt, values = context.attempt, context.values
        args = input.args[0] if definition.name is None else input.args
        request = context.request
        request = replace(request, command=replace(request.command, args=values.encode(args)))
        named = ProcessCall.of(input.fn, request, attempt.started_at_us, values.converter)
        outcome = await self._pool.run(named, attempt, on_heartbeat=context.beat)
        if isinstance(outcome, Failure):
            raise values.error_of(outcome)
        hints = None if definition.return_type is None else [definition.return_type]
        return values.decode([outcome], hints)[0]


class _Outbound(ActivityOutboundInterceptor):
    """The outer end of the chain: what the attempt's context offers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def info(self) -> Info:
        return self._context.info

    def heartbeat(self, *details: Any) -> None:
        self._context.heartbeat(details)
