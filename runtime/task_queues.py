"""Who serves which task queue: the workers of a process, and which of them takes what."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .attempts import ActivityQueue, ActivityRunner, Attempt, AttemptRequest
from .core.definition import WorkflowDefinition
from .core.events import WorkflowStarted
from .core.instance import Instance

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class ServingWorker:
    """A worker as the engine knows it."""

    workflows: Mapping[str | None, WorkflowDefinition]
    activities: ActivityQueue
    runner: ActivityRunner
    make_instance: Callable[[WorkflowDefinition, WorkflowStarted], Instance]

    def definition(self, workflow_type: str) -> WorkflowDefinition | None:
        """The workflow of this type, or the dynamic one; None when there is neither."""
        return self.workflows.get(workflow_type) or self.workflows.get(None)


class TaskQueues:
    """The workers of every queue, those that came first in front."""

    def __init__(self) -> None:
        self._workers: dict[str, list[ServingWorker]] = {}

    def __iter__(self) -> Iterator[ServingWorker]:
        return (worker for workers in self._workers.values() for worker in workers)

    @property
    def names(self) -> list[str]:
        """The queues that are served."""
        return list(self._workers)

    def add(self, task_queue: str, worker: ServingWorker) -> None:
        """The worker serves the queue, beside those that do already."""
        self._workers.setdefault(task_queue, []).append(worker)

    def remove(self, task_queue: str, activities: ActivityQueue) -> ServingWorker | None:
        """The worker with these activities serves it no more; None when it did not."""
        workers = self._workers.get(task_queue, [])
        found = next((worker for worker in workers if worker.activities is activities), None)
        if found is not None:
            workers.remove(found)
            if not workers:
                del self._workers[task_queue]
        return found

    def for_workflow(self, task_queue: str, workflow_type: str) -> ServingWorker | None:
        """Who runs workflows of this type: by its name, or else by a dynamic workflow."""
        dynamic: ServingWorker | None = None
        for worker in self._workers.get(task_queue, ()):  # in every turn of every execution, so a plain loop
            if workflow_type in worker.workflows:
                return worker
            if dynamic is None and None in worker.workflows:
                dynamic = worker
        return dynamic

    def for_activity(self, task_queue: str, activity_type: str) -> ServingWorker | None:
        """Who makes the next attempt of an activity of this type: the one with the least to do that knows it.

        One that does not know it, and will say so, when none does. None when nobody here has activities at all: then
        it waits for a worker that has.
        """
        workers = self._workers.get(task_queue, ())
        able = [worker for worker in workers if worker.runner.knows(activity_type)]
        able = able or [worker for worker in workers if worker.runner.known()]
        if not able:
            if task_queue in self._workers:
                _log.warning(
                    "activity %s waits: no worker of task queue %r has activities", activity_type, task_queue
                )
            return None
        return min(able, key=lambda worker: (worker.activities.closing, worker.activities.load))

    def attempt(self, execution: int, activity: int) -> Attempt | None:
        """The attempt of an activity that runs now, or None."""
        found = (worker.activities.attempt(execution, activity) for worker in self)
        return next((attempt for attempt in found if attempt is not None), None)

    def holds(self, request: AttemptRequest) -> bool:
        """Whether an attempt of this activity runs or waits with a worker."""
        return any(worker.activities.holds(request) for worker in self)

    def forget(self, execution: int, activity: int, reason: str) -> None:
        """Nobody wants the outcome of this activity any more."""
        for worker in self:
            worker.activities.forget(execution, activity, reason)

    def withdraw(self, execution: int, activity: int) -> None:
        """Take back an attempt that has not started."""
        for worker in self:
            worker.activities.withdraw(execution, activity)
