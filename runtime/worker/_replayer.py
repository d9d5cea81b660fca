"""Replaying histories against workflow code, without any effect: the check before new code is deployed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from .. import guard, watchdog
from ..client import WorkflowHistory
from ..common import HeaderCodecBehavior
from ..converter import DataConverter
from ..core import replay
from ..core.commands import FailWorkflow
from ..core.events import COMMANDS, HAPPENINGS, Event, Happening, WorkflowStarted
from ..core.instance import ActivationFailed, Instance
from ..core.payload import Failure
from ..core.records import dataclass
from ..core.replay import HistoryDiverged, Matcher
from ..exceptions import ApplicationError
from ..interceptors import Interceptor, WorkflowInterceptorClassInput
from ..lines import TracedInstance
from ..sealing import Scope, Sealing
from ..transit import asked_in
from ..values import ConvertedValues
from ..workflow._intercepting import inbound_of
from ._registration import workflows_by_name
from .workflow_sandbox import SandboxedWorkflowRunner, UnsandboxedWorkflowRunner, WorkflowRunner

if TYPE_CHECKING:
    from ._plugin import Plugin

_SANDBOXED = SandboxedWorkflowRunner()
_UNSANDBOXED = UnsandboxedWorkflowRunner()


@dataclass(frozen=True)
class WorkflowReplayResult:
    """What became of one history. `replay_failure` is None when code and history fit."""

    history: WorkflowHistory
    replay_failure: Exception | None


@dataclass(frozen=True)
class WorkflowReplayResults:
    """What became of several histories. `replay_failures` has those that do not fit, by run id."""

    replay_failures: Mapping[str, Exception]


class ReplayerConfig(TypedDict, total=False):
    """The options of a replayer, as plugins see and change them."""

    workflows: Sequence[type]
    workflow_task_executor: Executor | None
    workflow_runner: WorkflowRunner
    unsandboxed_workflow_runner: WorkflowRunner
    namespace: str
    data_converter: DataConverter
    interceptors: Sequence[Interceptor]
    build_id: str | None
    identity: str | None
    workflow_failure_exception_types: Sequence[type[BaseException]]
    debug_mode: bool
    runtime: Any
    disable_safe_workflow_eviction: bool
    header_codec_behavior: HeaderCodecBehavior


class Replayer:
    """Replays histories against these workflows.

    Options that tune a worker of the Temporal SDK are accepted and do nothing.

    Raises:
        ValueError: no workflow, or the same name twice.
    """

    def __init__(
        self,
        *,
        workflows: Sequence[type],
        workflow_task_executor: Executor | None = None,
        workflow_runner: WorkflowRunner = _SANDBOXED,
        unsandboxed_workflow_runner: WorkflowRunner = _UNSANDBOXED,
        namespace: str = "ReplayNamespace",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        build_id: str | None = None,
        identity: str | None = None,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        debug_mode: bool = False,
        runtime: Any = None,
        disable_safe_workflow_eviction: bool = False,
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> None:
        self._config = ReplayerConfig(
            workflows=list(workflows),
            workflow_task_executor=workflow_task_executor,
            workflow_runner=workflow_runner,
            unsandboxed_workflow_runner=unsandboxed_workflow_runner,
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
            build_id=build_id,
            identity=identity,
            workflow_failure_exception_types=workflow_failure_exception_types,
            debug_mode=debug_mode,
            runtime=runtime,
            disable_safe_workflow_eviction=disable_safe_workflow_eviction,
            header_codec_behavior=header_codec_behavior,
        )
        self._initial_config = self._config.copy()
        self.plugins = plugins
        for plugin in plugins:
            self._config = plugin.configure_replayer(self._config)
        workflows = self._config.get("workflows", ())
        if not workflows:
            raise ValueError("At least one workflow must be specified")
        self._workflows = workflows_by_name(workflows)
        converter = self._config.get("data_converter", DataConverter.default)
        namespace = self._config.get("namespace", namespace)
        headers = self._config.get("header_codec_behavior", header_codec_behavior)
        self._values = ConvertedValues(converter, namespace)
        self._sealing = Sealing.of(
            converter, headers=headers != HeaderCodecBehavior.NO_CODEC, namespace=namespace
        )
        self._failure_types = tuple(self._config.get("workflow_failure_exception_types", ()))
        functions: dict[str, Callable[..., Any]] = {}
        class_input = WorkflowInterceptorClassInput(unsafe_extern_functions=functions)
        given = self._config.get("interceptors", ())
        classes = [interceptor.workflow_interceptor_class(class_input) for interceptor in given]
        self._inbound = inbound_of([cls for cls in classes if cls is not None])
        self._yields_within_s = watchdog.patience(self._config.get("debug_mode", False))
        watchdog.watch(self._yields_within_s)
        guard.install()
        for definition in self._workflows.values():
            guard.guard_module(definition.cls.__module__)

    def config(self, *, active_config: bool = False) -> ReplayerConfig:
        """The options that this replayer was made with; with `active_config`, those that its plugins made of them."""
        config = self._config.copy() if active_config else self._initial_config.copy()
        config["workflows"] = list(config.get("workflows", ()))
        return config

    async def replay_workflow(
        self, history: WorkflowHistory, *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResult:
        """Replay one history; one that has not come to its end is fine.

        Raises:
            NondeterminismError: the code asks for something else than the history recorded.
            RuntimeError: the workflow is not known, or the code raised where it had not; the cause says what.
            ValueError: the history cannot be read.
        """

        async def one() -> AsyncIterator[WorkflowHistory]:
            yield history

        async with self.workflow_replay_iterator(one()) as results:
            async for result in results:
                if result.replay_failure is not None and raise_on_replay_failure:
                    raise result.replay_failure
                return result
        raise RuntimeError("No histories: a plugin has taken the one that was given")

    async def _opened(
        self, events: Sequence[Event], start: WorkflowStarted
    ) -> Callable[[Happening], Happening]:
        """What the code is handed in the place of what is recorded."""
        if self._sealing is None:
            return lambda body: body
        bodies = [event.body for event in events if isinstance(event.body, HAPPENINGS)]
        opened = await self._sealing.opened(bodies, Scope(start, asked_in(events)))
        found = {id(body): after for body, after in zip(bodies, opened, strict=True)}
        return lambda body: found[id(body)]

    async def replay_workflows(
        self, histories: AsyncIterator[WorkflowHistory], *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResults:
        """Replay each history; raises at the first that does not fit, unless told to collect them."""
        failures: dict[str, Exception] = {}
        async with self.workflow_replay_iterator(histories) as results:
            async for result in results:
                if result.replay_failure is None:
                    continue
                if raise_on_replay_failure:
                    raise result.replay_failure
                failures[result.history.run_id] = result.replay_failure
        return WorkflowReplayResults(failures)

    def workflow_replay_iterator(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
        """Within this block, an iterator over what becomes of each history."""
        run: _Run = Replayer._replay_iterator
        for plugin in reversed(self.plugins):
            run = partial(_run_with, plugin, run)
        return run(self, histories)

    @asynccontextmanager
    async def _replay_iterator(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult]]:
        async def replay_each() -> AsyncIterator[WorkflowReplayResult]:
            async for history in histories:
                yield WorkflowReplayResult(history, await self._failure(history))

        yield replay_each()

    async def _failure(self, history: WorkflowHistory) -> Exception | None:
        try:
            records, matcher = _recorded(history)
        except ValueError as error:
            return error
        start = records[0].body if records else None
        if not isinstance(start, WorkflowStarted):
            return ValueError("no history: it does not begin with the start of a workflow")
        definition = self._workflows.get(start.workflow_type) or self._workflows.get(None)
        if definition is None:
            return RuntimeError(
                f"Workflow class {start.workflow_type} is not registered on this replayer: give it in workflows=[...]"
            )
        try:
            opened = await self._opened(records, start)
        except Exception as error:  # whatever a codec or a driver raises
            return _as_a_worker_would(error, records)
        first = opened(start)
        assert isinstance(first, WorkflowStarted)
        instance = TracedInstance(
            definition, first, self._values, inbound=self._inbound, failure_types=self._failure_types
        )
        instance.loop.yields_within_s = self._yields_within_s
        try:
            replay.replay(instance, records, opened, matcher)
        except HistoryDiverged as error:
            instance.explain(error)
            return error
        except ActivationFailed as error:
            failure = RuntimeError(str(error))
            failure.__cause__ = error.__cause__
            return failure
        finally:
            instance.evict()
        return None


_Run = Callable[
    [Replayer, AsyncIterator[WorkflowHistory]],
    AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
]


def _run_with(
    plugin: Plugin, run: _Run, replayer: Replayer, histories: AsyncIterator[WorkflowHistory]
) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
    return plugin.run_replayer(replayer, histories, run)


def _recorded(history: WorkflowHistory) -> tuple[Sequence[Event], Matcher[Instance] | None]:
    """Our records of a history, and how they are compared where they were read from Temporal's form.

    Raises:
        ValueError: an event cannot be read.
    """
    if history.records is not None:
        return history.records, None
    from ..temporal.matching import Renaming  # here: few histories come from elsewhere
    from ..temporal.reading import read

    reading = read(history.workflow_id, history.events)
    return reading.records, Renaming(reading)


def _as_a_worker_would(error: Exception, events: Sequence[Event]) -> Exception:
    """What replay comes to when payloads cannot be had: a worker fails the workflow when the error says that it is final."""
    if not (isinstance(error, ApplicationError) and error.non_retryable):
        failure = RuntimeError(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        return failure
    first = next((event for event in events if isinstance(event.body, COMMANDS)), None)
    attributes = {"type": error.type, "non_retryable": True}
    command = FailWorkflow(Failure(kind="application", message=error.message, attributes=attributes))
    return HistoryDiverged(1, first, command)
