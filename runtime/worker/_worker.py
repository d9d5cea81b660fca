"""Workers: the workflows and activities that serve a task queue."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent import futures
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

from .. import guard, watchdog
from ..client import Client
from ..client._connecting import namespaces_of
from ..common import HeaderCodecBehavior, VersioningBehavior
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
from ..task_queues import ServingWorker
from ..values import ConvertedValues
from ..workflow._describing import describe
from ..workflow._handlers import warn_of_unfinished
from ..workflow._intercepting import inbound_of
from ..workflow._versions import PatchActivationInput, asked_whether_to_take
from ._config import (
    PollerBehavior,
    PollerBehaviorSimpleMaximum,
    WorkerConfig,
    WorkerDeploymentConfig,
    check,
    slots,
)
from ._metrics import own_metrics_of
from ._plugin import Plugin
from ._registration import activities_by_name, workflows_by_name
from ._shared_state import SharedStateManager
from ._tuning import WorkerTuner
from .workflow_sandbox import SandboxedWorkflowRunner, UnsandboxedWorkflowRunner, WorkflowRunner

_log = logging.getLogger(__name__)
_NOTHING: Sequence[Any] = ()


_Code = TypeVar("_Code", bound=Instance)


class Worker:
    """Serves one task queue of a client's engine: within ``async with``, or while `run` runs, until `shutdown`.

    `activity_executor` runs what is not asynchronous: a thread pool by default, a `processes.ProcessPool` to use
    child processes (a `ProcessPoolExecutor` is taken as one of its size). `graceful_shutdown_timeout` is how long running
    activities may take to end when the worker stops; what has not ended by then is cancelled, and one that ends by that is made
    again by whoever serves the queue next. `on_fatal_error` is called when the engine has failed, before `run` raises.
    `patch_activation_callback` decides for each call of `workflow.patched` that is new to its execution whether the new side of the
    change is taken; always, without one. `max_workflow_task_external_storage_concurrency` is how many values of one activation are
    stored or retrieved at a time. What tunes the polling of a server is accepted and does nothing.

    Raises:
        ValueError, TypeError: nothing to serve, what is no workflow or activity, the same name twice, or options that contradict
            one another.
        NotImplementedError: Nexus handlers, or a custom slot supplier.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]] = _NOTHING,
        nexus_service_handlers: Sequence[Any] = _NOTHING,
        workflows: Sequence[type] = _NOTHING,
        activity_executor: Executor | ProcessPool | None = None,
        workflow_task_executor: ThreadPoolExecutor | None = None,
        nexus_task_executor: ThreadPoolExecutor | None = None,
        workflow_runner: WorkflowRunner = SandboxedWorkflowRunner(),  # noqa: B008 - it has no state
        unsandboxed_workflow_runner: WorkflowRunner = UnsandboxedWorkflowRunner(),  # noqa: B008 - as above
        plugins: Sequence[Plugin] = _NOTHING,
        interceptors: Sequence[Interceptor] = _NOTHING,
        build_id: str | None = None,
        identity: str | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_workflow_tasks: int | None = None,
        max_concurrent_activities: int | None = None,
        max_concurrent_local_activities: int | None = None,
        max_concurrent_nexus_tasks: int | None = None,
        tuner: WorkerTuner | None = None,
        max_concurrent_workflow_task_polls: int | None = None,
        nonsticky_to_sticky_poll_ratio: float = 0.2,
        max_concurrent_activity_task_polls: int | None = None,
        no_remote_activities: bool = False,
        sticky_queue_schedule_to_start_timeout: timedelta = timedelta(seconds=10),
        max_heartbeat_throttle_interval: timedelta = timedelta(seconds=60),
        default_heartbeat_throttle_interval: timedelta = timedelta(seconds=30),
        max_activities_per_second: float | None = None,
        max_task_queue_activities_per_second: float | None = None,
        max_eager_activity_reservations_per_workflow_task: int = 3,
        graceful_shutdown_timeout: timedelta = timedelta(),
        plugin_shutdown_timeout: timedelta | None = timedelta(seconds=60),
        workflow_failure_exception_types: Sequence[type[BaseException]] = _NOTHING,
        shared_state_manager: SharedStateManager | None = None,
        debug_mode: bool = False,
        disable_eager_activity_execution: bool = False,
        on_fatal_error: Callable[[BaseException], Awaitable[None]] | None = None,
        use_worker_versioning: bool = False,
        disable_safe_workflow_eviction: bool = False,
        deployment_config: WorkerDeploymentConfig | None = None,
        patch_activation_callback: Callable[[PatchActivationInput], bool] | None = None,
        workflow_task_poller_behavior: PollerBehavior = PollerBehaviorSimpleMaximum(maximum=5),  # noqa: B008 - frozen
        activity_task_poller_behavior: PollerBehavior = PollerBehaviorSimpleMaximum(maximum=5),  # noqa: B008 - frozen
        nexus_task_poller_behavior: PollerBehavior = PollerBehaviorSimpleMaximum(maximum=5),  # noqa: B008 - frozen
        disable_payload_error_limit: bool = False,
        max_workflow_task_external_storage_concurrency: int = STORAGE_CONCURRENCY,
    ) -> None:
        given = dict(locals())
        del given["self"]
        config = cast("WorkerConfig", given)
        self._initial_config = config.copy()
        self._plugins = _plugins(client, plugins)
        for plugin in self._plugins:
            config = plugin.configure_worker(config)
        check(config)
        self._config = config
        self._client = config.get("client", client)
        _ = self._client.engine  # A remote client has none, and says so here.
        self._workflows = workflows_by_name(config.get("workflows", ()))
        self._activities = activities_by_name(config.get("activities", ()))
        self._check_versioning_behaviors()
        self._failure_types = tuple(config.get("workflow_failure_exception_types", ()))
        own = list(config.get("interceptors", ()))
        measures = own_metrics_of(_runtime_of(self._client))
        self._interceptors = [*measures, *self._client.worker_interceptors, *own]
        self._extern_functions: dict[str, Callable[..., Any]] = {}
        class_input = WorkflowInterceptorClassInput(unsafe_extern_functions=self._extern_functions)
        found = [interceptor.workflow_interceptor_class(class_input) for interceptor in self._interceptors]
        self._inbound = inbound_of([cls for cls in found if cls is not None])
        self._executor = self._checked_executor(config.get("activity_executor"))
        self._functions: Functions | None = None
        self._meter: MetricMeter = MetricMeter.noop
        self._serving: ServingWorker | None = None
        self._yields_within_s: float | None = None
        self._started = False
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._run_task: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[None] | None = None
        self._run_error: BaseException | None = None
        self._inside: asyncio.Task[Any] | None = None
        """The task that is within ``async with``."""
        if self._workflows:
            guard.install()
            for definition in self._workflows.values():
                guard.guard_module(definition.cls.__module__)

    def _check_versioning_behaviors(self) -> None:
        deployment = self._config.get("deployment_config")
        if deployment is None or not deployment.use_worker_versioning:
            return
        for definition in self._workflows.values():
            behavior = definition.versioning_behavior or deployment.default_versioning_behavior
            if behavior == VersioningBehavior.UNSPECIFIED and definition.dynamic_config is None:
                raise ValueError(
                    f"Workflow {definition.name} must specify a versioning behavior using "
                    "the `versioning_behavior` argument to `@workflow.defn` or by "
                    "defining a function decorated with `@workflow.dynamic_config`."
                )

    def _checked_executor(self, executor: Executor | ProcessPool | None) -> Executor | ProcessPool | None:
        # The last question loads the standard library's process pools, which takes a tenth of a cold start.
        pooled = not isinstance(executor, ThreadPoolExecutor | ProcessPool | None) and isinstance(
            executor, futures.ProcessPoolExecutor
        )
        self._own_executor = executor is None or pooled
        if pooled:
            # It would pickle functions and arguments. Its size is what its owner chose; ours takes its place.
            executor = ProcessPool(getattr(executor, "_max_workers", None))
        in_processes = [definition.fn for definition in self._activities.values() if not definition.is_async]
        if isinstance(executor, ProcessPool) and in_processes:
            for fn in in_processes:
                check_callable_by_name("Activity", fn)
            converter = self._client.data_converter
            check_callable_by_name("payload converter", converter.payload_converter_class)
            check_callable_by_name("failure converter", converter.failure_converter_class)
        return executor

    # -- what it is ------------------------------------------------------------------------------------

    def config(self, *, active_config: bool = False) -> WorkerConfig:
        """The options that this worker was made with; with `active_config`, what plugins have made of them."""
        config = (self._config if active_config else self._initial_config).copy()
        config["activities"] = list(config.get("activities", ()))
        config["workflows"] = list(config.get("workflows", ()))
        return config

    @property
    def task_queue(self) -> str:
        """The task queue that it serves."""
        return self._config.get("task_queue", "")

    @property
    def client(self) -> Client:
        """The client that activities get."""
        return self._client

    @client.setter
    def client(self, client: Client) -> None:
        if client.engine is not self._client.engine:
            raise ValueError(
                "New client is not on the same runtime as the existing client: it has another engine"
            )
        if _runtime_of(client) is not _runtime_of(self._client):
            raise ValueError("New client is not on the same runtime as the existing client")
        self._client = self._config["client"] = client
        if self._functions is not None:
            self._functions.client = client

    @property
    def is_running(self) -> bool:
        """Whether it has started and not shut down."""
        return self._started and not self.is_shutdown

    @property
    def is_shutdown(self) -> bool:
        """Whether it has run, and nothing of it runs any more."""
        return self._stopped.is_set()

    # -- its life --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the queue until `shutdown` is called; returns when its activities have ended.

        Cancelling this shuts down too.

        Raises:
            RuntimeError: it has run before, its namespace does not exist in a test environment, or the engine has failed;
                the cause says how.
        """
        run: Callable[[Worker], Awaitable[None]] = Worker._serve
        for plugin in reversed(self._plugins):
            run = partial(_run_by, plugin, run)
        try:
            await run(self)
        finally:
            if not self._started:  # A plugin did not let it: nobody shall wait for its end.
                self._stopped.set()

    async def _serve(self) -> None:
        if self._started:
            raise RuntimeError("Already started")
        self._started = True
        failure: BaseException | None = None
        kept_clean = AsyncExitStack()  # The folders of payload files are, until its activities have ended.
        try:
            self._require_namespace()
            if self._client.values.converter.external_storage is not None:
                self._opening = asyncio.ensure_future(
                    kept_clean.enter_async_context(
                        collecting(self._client.values.converter, self._client.engine)
                    )
                )
                await self._opening
            self._attach()
            await self._until_told()
        except asyncio.CancelledError as error:
            _log.info("Worker cancelled, shutting down")
            failure = error
        except Exception as error:
            _log.exception("Worker failed, shutting down")
            failure = error
            await self._tell_of(error)
        try:
            async with kept_clean:
                await self._shut_down()
        finally:
            self._stopped.set()
        if failure is not None:
            raise failure

    def _require_namespace(self) -> None:
        namespace, known = self._client.namespace, namespaces_of(self._client.engine)
        if known is not None and namespace not in known:
            raise RuntimeError(
                f"Worker validation failed: namespace {namespace!r} is not found, there are: {', '.join(sorted(known))}"
            )

    async def _until_told(self) -> None:
        engine = self._client.engine
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stop, engine.failed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if engine.failed.is_set():
            kind = "Workflow" if self._workflows else "Activity"
            raise RuntimeError(f"{kind} worker failed") from engine.failure

    async def _tell_of(self, error: Exception) -> None:
        on_fatal_error = self._config.get("on_fatal_error")
        if on_fatal_error is None:
            return
        try:
            await on_fatal_error(error)
        except Exception:
            _log.warning("Fatal error handler failed", exc_info=True)

    def _attach(self) -> None:
        engine = self._client.engine
        activities, local_activities = slots(self._config)
        if self._executor is None:
            threads = (activities or engine.limits.activities_max) + (
                local_activities or engine.limits.activities_max
            )
            self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"activity {self.task_queue}")
        values = self._client.values
        self._meter = _runtime_of(self._client).metric_meter
        codec = self._client.header_codec_behavior
        self._functions = Functions(
            self._activities,
            values,
            self._executor,
            self._client,
            self._interceptors,
            sealing=Sealing.of(
                values.converter, headers=codec == HeaderCodecBehavior.CODEC, namespace=values.namespace
            ),
            meter=self._meter,
        )
        engine.unfinished_handlers = warn_of_unfinished
        if self._workflows:
            self._yields_within_s = watchdog.patience(
                self._config.get("debug_mode", False), engine.limits.yield_within_s
            )
            watchdog.watch(self._yields_within_s)
        self._serving = engine.attach(
            self.task_queue,
            self._workflows,
            self._functions,
            partial(self._instance, values),
            sealing=Sealing.of(
                values.converter,
                storage_concurrency=self._config.get(
                    "max_workflow_task_external_storage_concurrency", STORAGE_CONCURRENCY
                ),
                headers=codec != HeaderCodecBehavior.NO_CODEC,
                namespace=values.namespace,
            ),
            activities_max=activities,
            local_activities_max=local_activities,
            activities_per_second=self._config.get("max_activities_per_second"),
            queue_activities_per_second=self._config.get("max_task_queue_activities_per_second"),
            local_only=self._config.get("no_remote_activities", False),
            meter=self._meter,
            cached_executions_max=self._config.get("max_cached_workflows"),
        )

    def _instance(
        self,
        values: ConvertedValues,
        definition: WorkflowDefinition,
        start: WorkflowStarted,
        kind: type[_Code],
    ) -> _Code:
        instance = kind(definition, start, values, inbound=self._inbound, failure_types=self._failure_types)
        assert self._functions is not None
        instance.loop.yields_within_s = self._yields_within_s
        instance.extras["build_id"] = self._config.get("build_id") or ""
        instance.extras["deployment"] = self._config.get("deployment_config")
        instance.extras["require_activity"] = self._functions.require
        instance.extras["describe"] = describe
        if self._extern_functions:
            instance.extras["extern_functions"] = self._extern_functions
        if isinstance(self._meter, RecordingMeter):
            instance.extras["make_metric_meter"] = partial(_metered, self._meter, values.namespace)
        callback = self._config.get("patch_activation_callback")
        if callback is not None:
            instance.patches.ask = partial(asked_whether_to_take, callback)
        return instance

    async def _shut_down(self) -> None:
        if self._serving is not None and self._functions is not None:
            grace = self._config.get("graceful_shutdown_timeout", timedelta())
            _log.info("Beginning worker shutdown, will wait %s before cancelling activities", grace)
            self._functions.shutting_down.set()
            try:
                await self._serving.activities.close(grace.total_seconds())
            finally:
                self._client.engine.detach(self.task_queue, self._serving)
        if self._own_executor and isinstance(self._executor, ProcessPool):
            await self._executor.close()
        elif self._own_executor and isinstance(self._executor, Executor):
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def shutdown(self) -> None:
        """Begin nothing more, give running activities their grace, and wait until all have ended.

        It may be called before the worker runs, which then ends at once, and more than once.
        """
        self._stop.set()
        await self._stopped.wait()

    async def __aenter__(self) -> Worker:
        """Run the worker until the block is left. When it fails, the block is cancelled, and its error comes out of it."""
        inside = asyncio.current_task()
        if self._run_task is not None:
            raise RuntimeError("Already started")
        if inside is None:
            raise RuntimeError("Can only use async with inside a task")
        self._run_task = asyncio.get_running_loop().create_task(self._run_beside())
        await asyncio.sleep(0)  # Without plugins that wait, it serves when this returns.
        if self._opening is not None:
            await asyncio.wait([self._opening])
            if self._opening.exception() is None:
                await asyncio.sleep(0)
            else:
                await asyncio.wait([self._run_task])
        if self._run_error is not None:
            raise self._run_error
        self._inside = inside
        return self

    async def _run_beside(self) -> None:
        try:
            await self.run()
        except BaseException as error:
            self._run_error = error
            if self._inside is not None:
                self._inside.cancel()

    async def __aexit__(self, exc_type: type[BaseException] | None = None, *exc: object) -> None:
        """Shut down as `shutdown` does, and let plugins clean up."""
        if self._run_task is None:
            raise RuntimeError("Never started")
        self._inside = None
        await self.shutdown()
        patience = self._config.get("plugin_shutdown_timeout", timedelta(seconds=60))
        try:
            await asyncio.wait([self._run_task], timeout=patience.total_seconds() if patience else None)
        finally:
            if not self._run_task.done():
                self._run_task.cancel()
        if exc_type is asyncio.CancelledError and self._run_error is not None:
            raise self._run_error


def _runtime_of(client: Client) -> Runtime:
    return client.service_client.config.runtime or Runtime.default()


def _metered(meter: RecordingMeter, namespace: str, instance: Instance) -> RecordingMeter:
    """The meter of one execution, which says nothing of what an earlier life of it has said."""
    start = instance.start
    labels = {"namespace": namespace, "task_queue": start.task_queue, "workflow_type": start.workflow_type}
    return meter.speaking(lambda: instance.read_only or not instance.replaying).with_additional_attributes(
        labels
    )


async def _run_by(plugin: Plugin, next: Callable[[Worker], Awaitable[None]], worker: Worker) -> None:
    await plugin.run_worker(worker, next)


def _plugins(client: Client, given: Sequence[Plugin]) -> list[Plugin]:
    """Those of the client that are for workers too, then the worker's own."""
    of_client = [plugin for plugin in client.worker_plugins if isinstance(plugin, Plugin)]
    kinds = [type(plugin) for plugin in given]
    for plugin in of_client:
        if type(plugin) in kinds:
            warnings.warn(
                f"The same plugin type {type(plugin)} is present from both client and worker. It may run twice and may not be "
                "the intended behavior.",
                stacklevel=3,
            )
    return [*of_client, *given]
