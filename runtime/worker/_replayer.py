"""Replaying histories against workflow code, without any effect: the check before new code is deployed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .. import guard
from ..client import WorkflowHistory
from ..common import HeaderCodecBehavior
from ..converter import DataConverter
from ..core import replay
from ..core.commands import FailWorkflow
from ..core.definition import WorkflowDefinition
from ..core.events import COMMANDS, HAPPENINGS, Event, Happening, WorkflowStarted
from ..core.instance import ActivationFailed, Instance
from ..core.payload import Failure
from ..core.replay import HistoryDiverged
from ..exceptions import ApplicationError
from ..interceptors import Interceptor, WorkflowInterceptorClassInput
from ..sealing import Scope, Sealing
from ..transit import asked_in
from ..values import ConvertedValues
from ..workflow._definition import workflow_definition
from ..workflow._intercepting import inbound_of
from .workflow_sandbox import SandboxedWorkflowRunner, UnsandboxedWorkflowRunner, WorkflowRunner

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
        namespace: str = "ReplayNamespace",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Any] = (),
        build_id: str | None = None,
        identity: str | None = None,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        debug_mode: bool = False,
        workflow_task_executor: Any = None,
        workflow_runner: WorkflowRunner = _SANDBOXED,
        unsandboxed_workflow_runner: WorkflowRunner = _UNSANDBOXED,
        runtime: Any = None,
        disable_safe_workflow_eviction: bool = False,
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> None:
        del build_id, identity, debug_mode, workflow_task_executor, workflow_runner
        del unsandboxed_workflow_runner, runtime, disable_safe_workflow_eviction
        self._config: dict[str, Any] = {
            "workflows": workflows,
            "namespace": namespace,
            "data_converter": data_converter,
            "interceptors": interceptors,
            "plugins": plugins,
            "workflow_failure_exception_types": workflow_failure_exception_types,
            "header_codec_behavior": header_codec_behavior,
        }
        for plugin in plugins:
            self._config = plugin.configure_replayer(self._config)
        found = [workflow_definition(cls) for cls in self._config["workflows"]]
        if not found:
            raise ValueError("At least one workflow must be specified")
        self._workflows: dict[str | None, WorkflowDefinition] = {d.name: d for d in found}
        self._values = ConvertedValues(self._config["data_converter"], self._config["namespace"])
        self._sealing = Sealing.of(
            self._values.converter,
            headers=self._config.get("header_codec_behavior") != HeaderCodecBehavior.NO_CODEC,
            namespace=self._config["namespace"],
        )
        self._failure_types = tuple(self._config["workflow_failure_exception_types"])
        functions: dict[str, Callable[..., Any]] = {}
        class_input = WorkflowInterceptorClassInput(unsafe_extern_functions=functions)
        classes = [i.workflow_interceptor_class(class_input) for i in self._config["interceptors"]]
        self._inbound = inbound_of([cls for cls in classes if cls is not None])
        guard.install()
        for definition in found:
            guard.guard_module(definition.cls.__module__)

    def config(self, *, active_config: bool = False) -> dict[str, Any]:
        """The options that this replayer was made with."""
        del active_config
        return dict(self._config)

    async def replay_workflow(
        self, history: WorkflowHistory, *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResult:
        """Replay one history; one that has not come to its end is fine.

        Raises:
            NondeterminismError: the code asks for something else than the history recorded.
            RuntimeError: the code raised where it had not; the cause says what.
        """
        failure = await self._failure(history)
        if failure is not None and raise_on_replay_failure:
            raise failure
        return WorkflowReplayResult(history, failure)

    async def _failure(self, history: WorkflowHistory) -> Exception | None:
        start = history.events[0].body if history.events else None
        if not isinstance(start, WorkflowStarted):
            return ValueError("no history: it does not begin with WorkflowStarted")
        definition = self._workflows.get(start.workflow_type) or self._workflows.get(None)
        if definition is None:
            return ValueError(f"Workflow {start.workflow_type} is not registered: give it in workflows=[...]")
        try:
            opened = await self._opened(history.events, start)
        except Exception as error:  # whatever a codec or a driver raises
            return _as_a_worker_would(error, history.events)
        first = opened(start)
        assert isinstance(first, WorkflowStarted)
        instance = Instance(
            definition, first, self._values, inbound=self._inbound, failure_types=self._failure_types
        )
        try:
            replay.replay(instance, history.events, opened)
        except HistoryDiverged as error:
            return error
        except ActivationFailed as error:
            failure = RuntimeError(str(error))
            failure.__cause__ = error.__cause__
            return failure
        finally:
            instance.evict()
        return None

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

    @asynccontextmanager
    async def workflow_replay_iterator(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult]]:
        """Within this block, an iterator over what becomes of each history."""

        async def replay_each() -> AsyncIterator[WorkflowReplayResult]:
            async for history in histories:
                yield await self.replay_workflow(history, raise_on_replay_failure=False)

        yield replay_each()


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
