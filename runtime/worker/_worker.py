"""Workers: the workflows and activities that serve a task queue."""

from __future__ import annotations

import asyncio
import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import Any, Required, TypedDict

from .. import guard
from ..activity import ActivityDefinition, activity_definition
from ..activity_slots import ActivitySlots
from ..client import Client
from ..common import HeaderCodecBehavior
from ..core.definition import WorkflowDefinition
from ..core.events import WorkflowStarted
from ..core.instance import Instance
from ..external_storage.collecting import collecting
from ..functions import Functions
from ..interceptors import Interceptor, WorkflowInterceptorClassInput
from ..measuring import RecordingMeter
from ..metrics import MetricMeter
from ..processes import ProcessPool, check_callable_by_name
from ..runtime import Runtime
from ..sealing import STORAGE_CONCURRENCY, Sealing
from ..values import ConvertedValues
from ..workflow._definition import workflow_definition
from ..workflow._handlers import warn_of_unfinished
from ..workflow._intercepting import inbound_of
from ..workflow._versions import PatchActivationInput, asked_whether_to_take

_WITHOUT_EFFECT = frozenset(
    {
        "workflow_task_executor", "nexus_task_executor", "workflow_runner", "unsandboxed_workflow_runner",
        "max_concurrent_workflow_tasks", "max_concurrent_nexus_tasks", "tuner",
        "max_concurrent_workflow_task_polls", "nonsticky_to_sticky_poll_ratio", "max_concurrent_activity_task_polls",
        "no_remote_activities", "sticky_queue_schedule_to_start_timeout", "max_heartbeat_throttle_interval",
        "default_heartbeat_throttle_interval",
        "max_eager_activity_reservations_per_workflow_task", "plugin_shutdown_timeout", "shared_state_manager",
        "disable_eager_activity_execution", "use_worker_versioning", "disable_safe_workflow_eviction",
        "deployment_config", "workflow_task_poller_behavior",
        "activity_task_poller_behavior", "nexus_task_poller_behavior", "disable_payload_error_limit",
    }
)  # fmt: skip
"""Options that tune the Temporal SDK's polling of a server; there is none here, so they are accepted and do nothing."""


_LIMITS = {
    "max_concurrent_activities": "activities_max",
    "max_concurrent_local_activities": "local_activities_max",
    "max_activities_per_second": "activities_per_second",
    "max_task_queue_activities_per_second": "queue_activities_per_second",
}


class WorkerConfig(TypedDict, total=False):
    """The options of a worker, as plugins see and change them."""

    client: Required[Client]
    task_queue: Required[str]
    activities: Sequence[Callable[..., Any]]
    workflows: Sequence[type]
    activity_executor: Executor | ProcessPool | None
    interceptors: Sequence[Interceptor]
    plugins: Sequence[Plugin]
    build_id: str | None
    identity: str | None
    max_cached_workflows: int
    max_concurrent_activities: int | None
    max_concurrent_local_activities: int | None
    max_activities_per_second: float | None
    max_task_queue_activities_per_second: float | None
    max_workflow_task_external_storage_concurrency: int
    graceful_shutdown_timeout: timedelta
    workflow_failure_exception_types: Sequence[type[BaseException]]
    debug_mode: bool
    on_fatal_error: Callable[[BaseException], Awaitable[None]] | None
    patch_activation_callback: Callable[[PatchActivationInput], bool] | None


class Plugin(ABC):
    """Changes how workers are made and run."""

    def name(self) -> str:
        """The plugin's name."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @abstractmethod
    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """The options that the worker shall have."""

    @abstractmethod
    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        """Run the worker, by calling `next`."""

    def configure_replayer(self, config: Any) -> Any:
        """The options that a replayer shall have."""
        return config


class Worker:
    """Serves one task queue of a client's engine, from entering its context (or `run`) until it is left (or `shutdown`).

    `activity_executor` runs what is not asynchronous: a thread pool by default, a `processes.ProcessPool` to use
    child processes (a `ProcessPoolExecutor` is taken as one of its size). `graceful_shutdown_timeout` is how long running activities may take to end; what has not ended by
    then is cancelled, and made again at the next start. `patch_activation_callback` decides for each call of
    `workflow.patched` that is new to its execution whether the new side of the change is taken; always, without one.
    `max_workflow_task_external_storage_concurrency` is how many values of one activation are stored or retrieved at a time.

    Raises:
        ValueError: neither workflows nor activities, a class or function without its decorator, the same name twice.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]] = (),
        nexus_service_handlers: Sequence[Any] = (),
        workflows: Sequence[type] = (),
        activity_executor: Executor | ProcessPool | None = None,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        build_id: str | None = None,
        identity: str | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_activities: int | None = None,
        max_concurrent_local_activities: int | None = None,
        max_activities_per_second: float | None = None,
        max_task_queue_activities_per_second: float | None = None,
        max_workflow_task_external_storage_concurrency: int = STORAGE_CONCURRENCY,
        graceful_shutdown_timeout: timedelta = timedelta(),
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        debug_mode: bool = False,
        on_fatal_error: Callable[[BaseException], Awaitable[None]] | None = None,
        patch_activation_callback: Callable[[PatchActivationInput], bool] | None = None,
        **ignored: Any,
    ) -> None:
        unknown = ignored.keys() - _WITHOUT_EFFECT
        if unknown:
            raise TypeError(f"Worker() got an unexpected keyword argument {min(unknown)!r}")
        if nexus_service_handlers:
            raise NotImplementedError(
                "Nexus is not offered: call the other workflow as a child, or signal it"
            )
        if not activities and not workflows and not plugins:
            raise ValueError("At least one activity, Nexus service, or workflow must be specified")
        config = WorkerConfig(
            client=client,
            task_queue=task_queue,
            activities=activities,
            workflows=workflows,
            activity_executor=activity_executor,
            interceptors=interceptors,
            plugins=plugins,
            build_id=build_id,
            identity=identity,
            max_cached_workflows=max_cached_workflows,
            max_concurrent_activities=max_concurrent_activities,
            max_concurrent_local_activities=max_concurrent_local_activities,
            max_activities_per_second=max_activities_per_second,
            max_task_queue_activities_per_second=max_task_queue_activities_per_second,
            max_workflow_task_external_storage_concurrency=max_workflow_task_external_storage_concurrency,
            graceful_shutdown_timeout=graceful_shutdown_timeout,
            workflow_failure_exception_types=workflow_failure_exception_types,
            debug_mode=debug_mode,
            on_fatal_error=on_fatal_error,
            patch_activation_callback=patch_activation_callback,
        )
        self._plugins: list[Plugin] = [*(p for p in client.worker_plugins if isinstance(p, Plugin)), *plugins]
        for plugin in self._plugins:
            config = plugin.configure_worker(config)
        self._configure(config)

    def _configure(self, config: WorkerConfig) -> None:
        self._config = config
        self.client = config["client"]
        self.task_queue = config["task_queue"]
        workflows = config.get("workflows", ())
        activities = config.get("activities", ())
        self._workflows = _by_name([workflow_definition(cls) for cls in workflows])
        self._activities = _activities_by_name(activities)
        self._grace = config.get("graceful_shutdown_timeout", timedelta())
        self._limits: dict[str, Any] = {}
        """What is given to the engine, by the names that it has there."""
        for option, limit in _LIMITS.items():
            value: Any = config.get(option)
            if value is not None and value <= 0:
                raise ValueError(f"{option} is {value}, expected more than 0")
            self._limits[limit] = value
        self._takes_patch = config.get("patch_activation_callback")
        self._storage_concurrency = config.get(
            "max_workflow_task_external_storage_concurrency", STORAGE_CONCURRENCY
        )
        if self._storage_concurrency < 1:
            raise ValueError("max_workflow_task_external_storage_concurrency must be positive")
        self._failure_types = tuple(config.get("workflow_failure_exception_types", ()))
        self._interceptors = [*self.client.worker_interceptors, *config.get("interceptors", ())]
        self._extern_functions: dict[str, Callable[..., Any]] = {}
        class_input = WorkflowInterceptorClassInput(unsafe_extern_functions=self._extern_functions)
        found = [interceptor.workflow_interceptor_class(class_input) for interceptor in self._interceptors]
        self._inbound = inbound_of([cls for cls in found if cls is not None])
        executor = config.get("activity_executor")
        _warn_of_few_threads(executor, config.get("max_concurrent_activities"))
        self._own_executor = executor is None or isinstance(executor, ProcessPoolExecutor)
        if isinstance(executor, ProcessPoolExecutor):
            # It would pickle functions and arguments. Its size is what its owner chose; ours takes its place.
            executor = ProcessPool(getattr(executor, "_max_workers", None))
        self._check_executor(executor)
        self._executor = executor
        self._functions: Functions | None = None
        self._meter: MetricMeter = MetricMeter.noop
        self._queue: ActivitySlots | None = None
        self._collecting: AbstractAsyncContextManager[None] | None = None
        """Keeps the folders of payload files clean."""
        self._stop = asyncio.Event()
        if self._workflows:
            guard.install()
            for cls in workflows:
                guard.guard_module(cls.__module__)

    def _check_executor(self, executor: Executor | ProcessPool | None) -> None:
        in_processes = [definition.fn for definition in self._activities.values() if not definition.is_async]
        if not isinstance(executor, ProcessPool) or not in_processes:
            return
        for fn in in_processes:
            check_callable_by_name("Activity", fn)
        converter = self.client.data_converter
        check_callable_by_name("payload converter", converter.payload_converter_class)
        check_callable_by_name("failure converter", converter.failure_converter_class)

    def config(self, *, active_config: bool = False) -> WorkerConfig:
        """The options that this worker was made with."""
        del active_config
        return self._config

    @property
    def is_running(self) -> bool:
        """Whether it serves its queue."""
        return self._queue is not None

    @property
    def is_shutdown(self) -> bool:
        """Whether it was asked to stop and has."""
        return self._queue is None and self._stop.is_set()

    async def __aenter__(self) -> Worker:
        engine = self.client.engine
        if self._executor is None:
            threads = sum(
                self._limits[kind] or engine.limits.activities_max
                for kind in ("activities_max", "local_activities_max")
            )
            self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"activity {self.task_queue}")
        values = self.client.values
        self._meter = (self.client.runtime or Runtime.default()).metric_meter
        self._collecting = collecting(values.converter, engine)
        await self._collecting.__aenter__()
        codec = self.client.header_codec_behavior
        self._functions = Functions(
            self._activities,
            values,
            self._executor,
            self.client,
            self._interceptors,
            sealing=Sealing.of(
                values.converter, headers=codec == HeaderCodecBehavior.CODEC, namespace=values.namespace
            ),
            meter=self._meter,
        )
        engine.unfinished_handlers = warn_of_unfinished
        self._queue = engine.attach(
            self.task_queue,
            self._workflows,
            self._functions,
            partial(self._instance, values),
            sealing=Sealing.of(
                values.converter,
                storage_concurrency=self._storage_concurrency,
                headers=codec != HeaderCodecBehavior.NO_CODEC,
                namespace=values.namespace,
            ),
            **self._limits,
        )
        return self

    def _instance(
        self, values: ConvertedValues, definition: WorkflowDefinition, start: WorkflowStarted
    ) -> Instance:
        instance = Instance(
            definition, start, values, inbound=self._inbound, failure_types=self._failure_types
        )
        assert self._functions is not None
        instance.extras["knows_activity"] = self._functions.knows
        if self._extern_functions:
            instance.extras["extern_functions"] = self._extern_functions
        if isinstance(self._meter, RecordingMeter):
            instance.extras["make_metric_meter"] = partial(_metered, self._meter, values.namespace)
        if self._takes_patch is not None:
            instance.patches.ask = partial(asked_whether_to_take, self._takes_patch)
        return instance

    async def __aexit__(self, *exc: object) -> None:
        queue, self._queue = self._queue, None
        if queue is not None and self._functions is not None:
            self._functions.shutting_down.set()
            await queue.close(self._grace.total_seconds())
            self.client.engine.detach(self.task_queue, queue)
        if self._own_executor and isinstance(self._executor, ProcessPool):
            await self._executor.close()
        elif self._own_executor and isinstance(self._executor, Executor):
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        if self._collecting is not None:
            await self._collecting.__aexit__(None, None, None)
            self._collecting = None
        self._stop.set()

    async def run(self) -> None:
        """Serve the queue until `shutdown` is called or this is cancelled."""
        run: Callable[[Worker], Awaitable[None]] = Worker._run_until_stopped
        for plugin in reversed(self._plugins):
            run = partial(plugin.run_worker, next=run)
        await run(self)

    async def _run_until_stopped(self) -> None:
        async with self:
            await self._stop.wait()

    async def shutdown(self) -> None:
        """Stop serving: nothing new is begun, running activities get their grace."""
        self._stop.set()
        while self._queue is not None:
            await asyncio.sleep(0.01)


def _metered(meter: RecordingMeter, namespace: str, instance: Instance) -> RecordingMeter:
    """The meter of one execution, which says nothing of what an earlier life of it has said."""
    start = instance.start
    labels = {"namespace": namespace, "task_queue": start.task_queue, "workflow_type": start.workflow_type}
    return meter.speaking(lambda: instance.read_only or not instance.replaying).with_additional_attributes(
        labels
    )


def _warn_of_few_threads(executor: Executor | ProcessPool | None, activities_max: int | None) -> None:
    size = getattr(executor, "_max_workers", None)
    if size is not None and activities_max is not None and size < activities_max:
        warnings.warn(
            f"Worker max_concurrent_activities is {activities_max} "
            f"but activity_executor's max_workers is only {size}",
            stacklevel=4,
        )


def _by_name(definitions: Sequence[WorkflowDefinition]) -> dict[str | None, WorkflowDefinition]:
    found: dict[str | None, WorkflowDefinition] = {}
    for definition in definitions:
        _check_new("workflow", definition.name, found)
        found[definition.name] = definition
    return found


def _check_new(kind: str, name: str | None, found: Mapping[str | None, object]) -> None:
    if name not in found:
        return
    if name is None:
        raise TypeError(f"More than one dynamic {kind}: there is one that takes what no other does")
    raise ValueError(f"More than one {kind} named {name}: give each a name of its own")


def _activities_by_name(activities: Sequence[Callable[..., Any]]) -> dict[str | None, ActivityDefinition]:
    found: dict[str | None, ActivityDefinition] = {}
    for activity in activities:
        if isinstance(activity, type):
            raise TypeError(
                f"Activity named {activity_definition(activity).name} is a class instead of an instance: register an instance"
            )
        definition = activity_definition(activity)
        _check_new("activity", definition.name, found)
        found[definition.name] = ActivityDefinition(
            name=definition.name,
            fn=activity,  # a method is bound here, the definition was made from its function
            is_async=definition.is_async,
            arg_types=definition.arg_types,
            return_type=definition.return_type,
            no_thread_cancel_exception=definition.no_thread_cancel_exception,
        )
    return found
