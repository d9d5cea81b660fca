"""An activity's function, run on its own."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..activity import NO_CLIENT, ActivityCancellationDetails, Info, current_context
from ..activity_contexts import raise_into_thread
from ..client import Client
from ..common import Priority, RetryPolicy
from ..converter import DataConverter, PayloadConverter
from ..exceptions import CancelledError
from ..interceptors import ActivityOutboundInterceptor
from ..metrics import MetricMeter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CANCEL_REQUESTED = ActivityCancellationDetails(cancel_requested=True)
_REASONS = {
    "cancel_requested": "the workflow asked for it",
    "not_found": "the workflow has closed",
    "timed_out": "timed out",
    "worker_shutdown": "the worker shuts down",
}


class ActivityEnvironment:
    """Runs activity functions as a worker would, with an `info` of the test's choice.

    `on_heartbeat` gets the details of each heartbeat.
    """

    def __init__(self, client: Client | None = None) -> None:
        self.info = ActivityEnvironment.default_info()
        self.on_heartbeat: Callable[..., None] = lambda *_details: None
        self.payload_converter: PayloadConverter = DataConverter.default.payload_converter
        self.metric_meter: MetricMeter = MetricMeter.noop
        self._client = client
        self._contexts: list[_Context] = []
        self._cancelled = False
        self._reason: str | None = None
        self._shutting_down = threading.Event()

    @staticmethod
    def default_info() -> Info:
        """What an attempt is when the test says nothing else."""
        return Info(
            activity_id="test",
            activity_type="unknown",
            attempt=1,
            current_attempt_scheduled_time=_EPOCH,
            heartbeat_details=[],
            heartbeat_timeout=None,
            idempotency_key="test-run:1",
            is_local=False,
            namespace="default",
            priority=Priority.default,
            retry_policy=RetryPolicy(),
            schedule_to_close_timeout=timedelta(seconds=1),
            scheduled_time=_EPOCH,
            start_to_close_timeout=timedelta(seconds=1),
            started_time=_EPOCH,
            task_queue="test",
            task_token=b"test",
            workflow_id="test",
            workflow_namespace="default",
            workflow_run_id="test-run",
            workflow_type="test",
        )

    def cancel(
        self,
        cancellation_details: ActivityCancellationDetails = _CANCEL_REQUESTED,
    ) -> None:
        """Ask what runs here to stop. Only the first call has an effect."""
        if self._cancelled:
            return
        self._cancelled = True
        self._reason = next(
            (text for name, text in _REASONS.items() if getattr(cancellation_details, name)),
            "the workflow asked for it",
        )
        for context in list(self._contexts):
            context.cancel(self._reason)

    def worker_shutdown(self) -> None:
        """Tell what runs here that its worker begins to stop."""
        self._shutting_down.set()

    def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run an activity's function; an asynchronous one gives an awaitable."""
        context = _Context(self, replace(self.info))
        scope = contextvars.copy_context()
        scope.run(current_context.set, context)
        if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004 - the method is wanted
            return self._run_async(context, fn, args, kwargs)
        return scope.run(self._run_sync, context, fn, args, kwargs)

    async def _run_async(self, context: _Context, fn: Any, args: Sequence[Any], kwargs: Any) -> Any:
        context.task = asyncio.current_task()
        token = current_context.set(context)
        self._contexts.append(context)
        try:
            if self._cancelled:
                context.cancel(self._reason or "")
            return await fn(*args, **kwargs)
        finally:
            self._contexts.remove(context)
            current_context.reset(token)

    def _run_sync(self, context: _Context, fn: Any, args: Sequence[Any], kwargs: Any) -> Any:
        context.thread = threading.get_ident()
        self._contexts.append(context)
        try:
            return fn(*args, **kwargs)
        finally:
            context.thread = None
            self._contexts.remove(context)


class _Context:
    """See `activity.ActivityContext`."""

    def __init__(self, environment: ActivityEnvironment, info: Info) -> None:
        self.info = info
        self.cancelled = threading.Event()
        self.shutting_down = environment._shutting_down  # noqa: SLF001 - of this module
        self.cancel_reason: str | None = None
        self.outbound: ActivityOutboundInterceptor | None = None
        self.payload_converter = environment.payload_converter
        self.metric_meter = environment.metric_meter
        self.task: asyncio.Task[Any] | None = None
        self.thread: int | None = None
        self._environment = environment
        self._shields = 0
        self._raise_later = False

    @property
    def client(self) -> Client:
        client = self._environment._client  # noqa: SLF001 - of this module
        if client is None or self.task is None:  # That of a function in a thread has no event loop for it.
            raise RuntimeError(NO_CLIENT)
        return client

    def heartbeat(self, details: Sequence[Any]) -> None:
        self._environment.on_heartbeat(*details)

    def cancel(self, reason: str) -> None:
        self.cancel_reason = reason
        self.cancelled.set()
        if self.task is not None:
            self.task.cancel()
        elif self._shields:
            self._raise_later = True
        elif self.thread is not None:
            raise_into_thread(self.thread, CancelledError)

    @contextmanager
    def shielded(self) -> Generator[None]:
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
            if self._raise_later and not self._shields:
                self._raise_later = False
                raise CancelledError("Cancelled")
