"""What activity code imports: ``from overwinter import activity``.

An activity is an ordinary function, asynchronous or not, that may do anything. It runs at least once; its
`info().idempotency_key` is the same on every attempt, so that what it asks of others can be recognised as a repeat.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast, overload

from .common import Durability, Priority, RetryPolicy
from .core.records import dataclass
from .metrics import MetricMeter
from .signatures import takes_raw_values, types_of

if TYPE_CHECKING:
    from .client import Client
    from .converter import PayloadConverter
    from .interceptors import ActivityOutboundInterceptor

F = TypeVar("F", bound=Callable[..., Any])

_DEFINITION = "__overwinter_activity__"

NO_CLIENT = (
    "No client available. The client is only available in `async def` activities; not in `def` activities. "
    "In tests you can pass a client when creating ActivityEnvironment."
)
"""What an activity is told that asks for a client where the engine cannot be called."""


@dataclass(frozen=True, slots=True)
class ActivityDefinition:
    """A function that workers can run. `name` None means that it takes every type without one of its own."""

    name: str | None
    fn: Callable[..., Any]
    is_async: bool
    arg_types: Sequence[Any] | None
    return_type: Any
    no_thread_cancel_exception: bool = False
    durability: int = 0
    """The number of a `common.Durability`; 0 for that of the workflow which asks for it."""


@overload
def defn(fn: F, /) -> F: ...
@overload
def defn(
    *,
    name: str | None = None,
    no_thread_cancel_exception: bool = False,
    dynamic: bool = False,
    durability: Durability | None = None,
) -> Callable[[F], F]: ...
def defn(
    fn: F | None = None,
    *,
    name: str | None = None,
    no_thread_cancel_exception: bool = False,
    dynamic: bool = False,
    durability: Durability | None = None,
) -> F | Callable[[F], F]:
    """Make a function, a method, or an object with `__call__` an activity.

    An asynchronous one runs on the gateway's event loop and must not block it; any other runs in a thread, or in a
    process where the worker is given a process pool. `no_thread_cancel_exception` leaves a thread alone when its
    activity is cancelled. A `dynamic` one takes every type that has none of its own. `durability` is for how it ended; without
    one it is that of the workflow. It counts where a workflow asks for the function, and not for its name.

    Raises:
        ValueError: it is an activity already.
        TypeError: it has keyword-only parameters (arguments are passed by position), or is dynamic and takes
            something else than a sequence of raw values.
    """

    def decorate(fn: F) -> F:
        _check_callable(fn)
        target = fn if hasattr(fn, "__name__") else type(fn)
        is_routine: bool = inspect.isroutine(cast("object", fn))
        owner: Any = cast("Any", fn) if inspect.isclass(cast("object", fn)) else type(fn)
        call: Callable[..., Any] = fn if is_routine else owner.__call__
        is_method = not is_routine or _looks_like_method(fn)
        arg_types, return_type = types_of(call, is_method=is_method)
        if dynamic and not takes_raw_values(arg_types):
            raise TypeError(
                f"Dynamic activity must accept a single Sequence[temporalio.common.RawValue]: {target.__qualname__}"
            )
        definition = ActivityDefinition(
            name=None if dynamic else name or target.__name__,
            fn=fn,
            is_async=inspect.iscoroutinefunction(call),
            arg_types=arg_types,
            return_type=return_type,
            no_thread_cancel_exception=no_thread_cancel_exception,
            durability=0 if durability is None else int(Durability(durability)),
        )
        setattr(fn, _DEFINITION, definition)
        return fn

    return decorate if fn is None else decorate(fn)


def _check_callable(fn: Any) -> None:
    if not callable(fn):
        raise TypeError(f"Activity is not callable: {fn!r}")
    if _DEFINITION in getattr(fn, "__dict__", ()):
        raise ValueError(f"Function already contains activity definition: {fn!r} is decorated twice")
    parameters = inspect.signature(fn).parameters.values()
    if any(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters):
        raise TypeError(
            f"{getattr(fn, '__qualname__', fn)}: arguments are passed by position, "
            "Activity cannot have keyword-only arguments"
        )


def _looks_like_method(fn: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(fn).parameters)
    return bool(parameters) and parameters[0] == "self" and "." in getattr(fn, "__qualname__", "")


def activity_definition(activity: Any) -> ActivityDefinition:
    """The definition of a decorated activity, of a method bound to its object, or of a decorated callable's class.

    Raises:
        TypeError: it is no activity.
    """
    definition: ActivityDefinition | None = getattr(activity, _DEFINITION, None)
    if definition is None and callable(activity):
        definition = getattr(getattr(activity, "__call__", None), _DEFINITION, None)  # noqa: B004 - the decorated method is wanted
    if definition is None:
        name = getattr(activity, "__name__", repr(activity))
        raise TypeError(
            f"Activity {name} missing attributes, was it decorated with @activity.defn? Else give its name as a string"
        )
    return definition


# -- inside a running activity -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a running attempt is."""

    activity_id: str
    activity_type: str
    attempt: int
    current_attempt_scheduled_time: datetime
    heartbeat_details: Sequence[Any]
    heartbeat_timeout: timedelta | None
    idempotency_key: str
    """The same on every attempt of this activity, and of no other."""
    is_local: bool
    namespace: str
    priority: Priority
    retry_policy: RetryPolicy | None
    schedule_to_close_timeout: timedelta | None
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    task_token: bytes
    workflow_id: str | None
    """None for an activity that no workflow asked for; so are the run id and the type."""
    workflow_namespace: str | None
    workflow_run_id: str | None
    workflow_type: str | None
    activity_run_id: str | None = None
    """The run of an activity that no workflow asked for."""

    @property
    def in_workflow(self) -> bool:
        """Whether a workflow asked for it."""
        return self.workflow_id is not None

    def _logger_details(self) -> Mapping[str, Any]:
        return {
            "activity_id": self.activity_id,
            "activity_type": self.activity_type,
            "attempt": self.attempt,
            "namespace": self.namespace,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            "workflow_type": self.workflow_type,
        }


class ActivityContext(Protocol):
    """What runs an activity offers to its code, in the gateway's process or in a child of it."""

    @property
    def info(self) -> Info:
        """What the attempt is."""
        ...

    @property
    def cancelled(self) -> threading.Event:
        """Set when the attempt was asked to stop."""
        ...

    @property
    def shutting_down(self) -> threading.Event:
        """Set when the worker begins to stop."""
        ...

    @property
    def client(self) -> Client:
        """The client of the worker that runs the attempt."""
        ...

    @property
    def cancel_reason(self) -> str | None:
        """Why the attempt was asked to stop."""
        ...

    @property
    def payload_converter(self) -> PayloadConverter:
        """The converter of the attempt's values."""
        ...

    @property
    def metric_meter(self) -> MetricMeter:
        """Metrics of the activity."""
        ...

    def heartbeat(self, details: Sequence[Any]) -> None:
        """Note these details for the next attempt."""
        ...

    @property
    def outbound(self) -> ActivityOutboundInterceptor | None:
        """What stands behind the calls of the code; None when no interceptor does."""
        ...

    def shielded(self) -> Any:
        """A context manager in which no cancellation is raised into this thread."""
        ...


current_context: ContextVar[ActivityContext] = ContextVar("overwinter_activity")


def _context() -> ActivityContext:
    context = current_context.get(None)
    if context is None:
        raise RuntimeError("Not in activity context")
    return context


def in_activity() -> bool:
    """Whether the caller is activity code."""
    return current_context.get(None) is not None


def info() -> Info:
    """What the running attempt is."""
    context = _context()
    return context.info if context.outbound is None else context.outbound.info()


class CompleteAsync(BaseException):
    """Raised by `raise_complete_async` through the activity's code; not an `Exception`, so that nothing catches it."""


def raise_complete_async() -> NoReturn:
    """End this function without ending the activity: someone else completes it, through `Client.get_async_activity_handle`.

    The attempt's timeouts go on; after a restart of the gateway the function runs again.
    """
    _context()
    raise CompleteAsync


@dataclass(frozen=True)
class ActivityCancellationDetails:
    """Why an attempt was asked to stop."""

    not_found: bool = False
    cancel_requested: bool = False
    paused: bool = False
    reset: bool = False
    timed_out: bool = False
    worker_shutdown: bool = False


def cancellation_details() -> ActivityCancellationDetails | None:
    """Why the attempt was asked to stop; None while it was not."""
    reason = _context().cancel_reason
    if reason is None:
        return None
    return ActivityCancellationDetails(
        not_found=reason == "the workflow has closed",
        cancel_requested=reason == "the workflow asked for it",
        paused=reason == "the activity is paused",
        timed_out=reason == "timed out",
        worker_shutdown=reason == "the worker shuts down",
    )


def payload_converter() -> PayloadConverter:
    """The converter of this activity's values."""
    return _context().payload_converter


def metric_meter() -> MetricMeter:
    """Metrics of this activity, with its type, task queue and namespace as labels; see `runtime.Runtime`.

    Raises:
        RuntimeError: the activity runs in a process of its own.
    """
    return _context().metric_meter


def client() -> Client:
    """The client of the worker, for an asynchronous activity that talks to other workflows.

    Raises:
        RuntimeError: the activity runs in a thread or a process, from where the engine cannot be called.
    """
    return _context().client


def heartbeat(*details: Any) -> None:
    """Say that the attempt is alive, and what the next one should know should this one fail.

    The last details are in the next attempt's `info().heartbeat_details`. The journal gets them at once when none was
    written for a while, else a little later: after a power cut a few seconds of them may be lost.
    """
    context = _context()
    if context.outbound is None:
        context.heartbeat(details)
    else:
        context.outbound.heartbeat(*details)


def is_cancelled() -> bool:
    """Whether the attempt was asked to stop."""
    return _context().cancelled.is_set()


def is_worker_shutdown() -> bool:
    """Whether the worker begins to stop; the attempt will be made again."""
    return _context().shutting_down.is_set()


async def wait_for_cancelled() -> None:
    """Wait until the attempt is asked to stop."""
    await _wait_for(_context().cancelled)


def wait_for_cancelled_sync(timeout: timedelta | float | None = None) -> None:
    """Wait until the attempt is asked to stop, at most this long."""
    _context().cancelled.wait(timeout.total_seconds() if isinstance(timeout, timedelta) else timeout)


async def wait_for_worker_shutdown() -> None:
    """Wait until the worker begins to stop."""
    await _wait_for(_context().shutting_down)


def wait_for_worker_shutdown_sync(timeout: timedelta | float | None = None) -> None:
    """Wait until the worker begins to stop, at most this long."""
    _context().shutting_down.wait(timeout.total_seconds() if isinstance(timeout, timedelta) else timeout)


async def _wait_for(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.05)


@contextmanager
def shield_thread_cancel_exception() -> Generator[None]:
    """Within this block no cancellation is raised into the thread of a synchronous activity."""
    with _context().shielded():
        yield


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Logs from activity code, saying which attempt speaks."""

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.activity_info_on_message = True
        self.activity_info_on_extra = True
        self.full_activity_info_on_extra = False

    @property
    def base_logger(self) -> logging.Logger:
        """The logger that this one adds to."""
        return self.logger

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the attempt's identity."""
        context = current_context.get(None)
        if context is None:
            return msg, kwargs
        details = context.info._logger_details()  # noqa: SLF001 - of this module
        extra: dict[str, Any] = dict(kwargs.get("extra") or {}) | dict(self.extra or {})
        if self.activity_info_on_extra:
            extra["temporal_activity"] = details
        if self.full_activity_info_on_extra:
            extra["activity_info"] = context.info
        kwargs["extra"] = extra
        return (f"{msg} ({details})" if self.activity_info_on_message else msg), kwargs


logger = LoggerAdapter(logging.getLogger("overwinter.activity"), None)
"""The logger of activity code."""
