"""What an attempt that runs offers to its code, here and in threads."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .activity import NO_CLIENT, Info
from .attempts import Attempt, AttemptRequest
from .converter import PayloadConverter
from .core.payload import Payload
from .core.records import record
from .core.standalone import is_activity
from .exceptions import CancelledError
from .interceptors import ActivityOutboundInterceptor
from .metrics import MetricMeter
from .retry_policy import policy_in_effect, priority_of
from .values import ConvertedValues

if TYPE_CHECKING:
    from .client import Client


@record
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
        self.beat = call.beat
        self._meter = call.meter
        self._client = client
        self._info: Info | None = None
        self.outbound: ActivityOutboundInterceptor | None = None
        self._cancelled: threading.Event | None = None
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()

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
            raise RuntimeError(NO_CLIENT)
        return self._client

    def heartbeat(self, details: Sequence[Any]) -> None:
        """See `activity.ActivityContext`."""
        payloads = self.values.encode(details)
        if threading.get_ident() == self._loop_thread:
            self.beat(payloads)
        else:  # A thread that the activity has made, by `asyncio.to_thread` for example, or that it is.
            self._loop.call_soon_threadsafe(self.beat, payloads)

    @contextmanager
    def shielded(self) -> Generator[None]:
        """See `activity.ActivityContext`."""
        yield


class ThreadContext(Context):
    """The context of an attempt in a thread, into which a cancellation can be raised."""

    def __init__(self, call: Call, shutting_down: threading.Event, raise_cancel: bool) -> None:
        super().__init__(call, shutting_down)
        self._cancelled = threading.Event()  # at once: two threads will ask
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._shields = 0
        self._raise_cancel = raise_cancel
        self._raised = False

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
    start = None if is_activity(request.workflow.workflow_id) else request.workflow
    limits = (command.start_to_close_s, command.schedule_to_close_s)
    return Info(
        activity_id=command.activity_id,
        activity_type=command.activity_type,
        attempt=request.attempt,
        current_attempt_scheduled_time=_instant(request.attempt_scheduled_at_us),
        heartbeat_details=[] if command.local else values.decode(request.heartbeat, None),
        heartbeat_timeout=_duration(command.heartbeat_s),
        idempotency_key=request.idempotency_key,
        is_local=command.local,
        namespace="default",
        priority=priority_of(command.priority_key, command.fairness_key, command.fairness_weight),
        retry_policy=policy_in_effect(command.retry),
        schedule_to_close_timeout=_duration(command.schedule_to_close_s),
        scheduled_time=_instant(request.scheduled_at_us),
        start_to_close_timeout=_duration(min((s for s in limits if s is not None), default=None)),
        started_time=_instant(started_at_us),
        task_queue=command.task_queue,
        task_token=request.idempotency_key.encode(),
        workflow_id=start.workflow_id if start else None,
        workflow_namespace="default",
        workflow_run_id=start.run_id if start else None,
        workflow_type=start.workflow_type if start else None,
        activity_run_id=None if start else request.workflow.run_id,
    )


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
