"""Workers: the workflows and activities that serve a task queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from . import guard
from .activity import ActivityDefinition, activity_definition
from .attempts import ActivityQueue
from .client import Client
from .core.definition import WorkflowDefinition
from .functions import Functions
from .processes import ProcessPool, check_callable_by_name
from .values import ConvertedValues
from .workflow._definition import workflow_definition


class Worker:
    """Serves one task queue of a client's engine, from entering its context (or `run`) until it is left (or `shutdown`).

    `activity_executor` runs what is not asynchronous: a thread pool by default, a `processes.ProcessPool` to use
    child processes. `graceful_shutdown_timeout` is how long running activities may take to end; what has not ended by
    then is cancelled, and made again at the next start.

    Raises:
        ValueError: neither workflows nor activities, a class or function without its decorator, the same name twice.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]] = (),
        workflows: Sequence[type] = (),
        activity_executor: Executor | ProcessPool | None = None,
        max_concurrent_activities: int | None = None,
        graceful_shutdown_timeout: timedelta = timedelta(),
    ) -> None:
        if not activities and not workflows:
            raise ValueError("At least one activity or workflow must be specified")
        self.client = client
        self.task_queue = task_queue
        self._workflows = _by_name("workflow", [workflow_definition(cls) for cls in workflows])
        self._activities = _activities_by_name(activities)
        self._grace = graceful_shutdown_timeout
        self._max = max_concurrent_activities
        if isinstance(activity_executor, ProcessPool):
            for definition in self._activities.values():
                if not definition.is_async:
                    check_callable_by_name(definition.fn)
        self._own_executor = activity_executor is None
        self._executor = activity_executor
        self._functions: Functions | None = None
        self._queue: ActivityQueue | None = None
        self._stop = asyncio.Event()
        if self._workflows:
            guard.install()
            for cls in workflows:
                guard.guard_module(cls.__module__)

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
        slots = self._max or engine.limits.activities_max
        if self._executor is None:
            self._executor = ThreadPoolExecutor(slots, thread_name_prefix=f"activity {self.task_queue}")
        values = ConvertedValues(self.client.data_converter)
        self._functions = Functions(self._activities, values, self._executor, self.client)
        self._queue = engine.attach(
            self.task_queue, self._workflows, self._functions, values, activities_max=slots
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        queue, self._queue = self._queue, None
        if queue is not None and self._functions is not None:
            self._functions.shutting_down.set()
            await queue.close(self._grace.total_seconds())
            self.client.engine.detach(self.task_queue)
        if self._own_executor and isinstance(self._executor, Executor):
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        self._stop.set()

    async def run(self) -> None:
        """Serve the queue until `shutdown` is called or this is cancelled."""
        async with self:
            await self._stop.wait()

    async def shutdown(self) -> None:
        """Stop serving: nothing new is begun, running activities get their grace."""
        self._stop.set()
        while self._queue is not None:
            await asyncio.sleep(0.01)


def _by_name(kind: str, definitions: Sequence[WorkflowDefinition]) -> dict[str | None, WorkflowDefinition]:
    found: dict[str | None, WorkflowDefinition] = {}
    for definition in definitions:
        if definition.name in found:
            raise ValueError(f"More than one {kind} named {definition.name}: give each a name of its own")
        found[definition.name] = definition
    return found


def _activities_by_name(activities: Sequence[Callable[..., Any]]) -> dict[str | None, ActivityDefinition]:
    found: dict[str | None, ActivityDefinition] = {}
    for activity in activities:
        definition = activity_definition(activity)
        if definition.name in found:
            raise ValueError(f"More than one activity named {definition.name}: give each a name of its own")
        found[definition.name] = ActivityDefinition(
            name=definition.name,
            fn=activity,  # a method is bound here, the definition was made from its function
            is_async=definition.is_async,
            arg_types=definition.arg_types,
            return_type=definition.return_type,
            no_thread_cancel_exception=definition.no_thread_cancel_exception,
        )
    return found
