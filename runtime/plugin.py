"""A plugin for clients, workers and replayers that is made of its parts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeAlias, TypeVar, cast

from . import client, worker
from .client import ClientConfig, WorkflowHistory
from .converter import DataConverter
from .worker import Replayer, Worker, WorkerConfig, WorkflowReplayResult, WorkflowRunner

T = TypeVar("T")
PluginParameter: TypeAlias = T | Callable[[T | None], T] | None
"""A value, or a function that makes it of the one that was there; None leaves that."""
_Interceptor = client.Interceptor | worker.Interceptor


class SimplePlugin(client.Plugin, worker.Plugin):
    """Adds to clients, workers and replayers what it is given.

    Sequences are added behind what is there; a function is given what is there and returns what shall be. Interceptors go
    wherever they fit, once. `run_context` makes a context in which a worker or replayer runs.
    """

    def __init__(
        self,
        name: str,
        *,
        data_converter: PluginParameter[DataConverter] = None,
        interceptors: Sequence[_Interceptor] | None = None,
        activities: PluginParameter[Sequence[Callable[..., Any]]] = None,
        nexus_service_handlers: PluginParameter[Sequence[Any]] = None,
        workflows: PluginParameter[Sequence[type]] = None,
        workflow_runner: PluginParameter[WorkflowRunner] = None,
        workflow_failure_exception_types: PluginParameter[Sequence[type[BaseException]]] = None,
        run_context: Callable[[], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self._name = name
        self.data_converter = data_converter
        self.interceptors = interceptors
        self.activities = activities
        self.nexus_service_handlers = nexus_service_handlers
        self.workflows = workflows
        self.workflow_runner = workflow_runner
        self.workflow_failure_exception_types = workflow_failure_exception_types
        self.run_context = run_context

    def name(self) -> str:
        """The name that it was given."""
        return self._name

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """See `client.Plugin`."""
        self._replace(config, "data_converter")
        if self.interceptors is not None:
            every: list[_Interceptor] = [*config.get("interceptors", ()), *self.interceptors]
            config["interceptors"] = [each for each in every if isinstance(each, client.Interceptor)]
        return config

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """See `worker.Plugin`."""
        for option in ("activities", "nexus_service_handlers", "workflows"):
            self._append(config, option)
        self._replace(config, "workflow_runner")
        self._append(config, "workflow_failure_exception_types")
        if self.interceptors is not None:
            served = config.get("client")
            # Those that its client has reach the worker by it.
            known: Sequence[Any] = (
                () if served is None else served.config(active_config=True).get("interceptors", ())
            )
            own = [
                each
                for each in self.interceptors
                if isinstance(each, worker.Interceptor) and each not in known
            ]
            config["interceptors"] = [*config.get("interceptors", ()), *own]
        return config

    def configure_replayer(self, config: Any) -> Any:
        """See `worker.Plugin`."""
        self._replace(config, "data_converter")
        self._append(config, "workflows")
        self._replace(config, "workflow_runner")
        self._append(config, "workflow_failure_exception_types")
        if self.interceptors is not None:
            every = [*(config.get("interceptors") or ()), *self.interceptors]
            config["interceptors"] = [each for each in every if isinstance(each, worker.Interceptor)]
        return config

    def _replace(self, config: Any, option: str) -> None:
        wanted = getattr(self, option)
        if wanted is not None:
            config[option] = wanted(config.get(option)) if callable(wanted) else wanted

    def _append(self, config: Any, option: str) -> None:
        wanted = getattr(self, option)
        if callable(wanted):
            config[option] = wanted(config.get(option))
        elif wanted is not None:
            config[option] = [*(config.get(option) or ()), *cast("Sequence[Any]", wanted)]

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        """See `worker.Plugin`."""
        async with self._context():
            await next(worker)

    @asynccontextmanager
    async def run_replayer(
        self,
        replayer: Replayer,
        histories: AsyncIterator[WorkflowHistory],
        next: Callable[
            [Replayer, AsyncIterator[WorkflowHistory]],
            AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
        ],
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult]]:
        """See `worker.Plugin`."""
        async with self._context(), next(replayer, histories) as results:
            yield results

    def _context(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self.run_context is None else self.run_context()
