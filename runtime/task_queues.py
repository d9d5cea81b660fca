"""Who serves which task queue: the workers of a process, what waits for them, and which of them takes what."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar, cast

from .activity_keys import ActivityKeys
from .activity_slots import ActivitySlots
from .attempts import ActivityRunner, Attempt, AttemptRequest, Place
from .core.code import Code
from .core.definition import WorkflowDefinition
from .core.events import WorkflowStarted
from .core.instance import Instance
from .core.replay import HistoryDiverged
from .core.standalone import ActivityCode
from .fairness import Claim, FairLine
from .lines import TracedInstance, with_lines
from .pace import Pace
from .sealing import Sealing

if TYPE_CHECKING:
    from .live import LiveExecution

_log = logging.getLogger(__name__)


class _Kind(NamedTuple):
    """What a worker must have to take an attempt."""

    activity_type: str
    local: bool


def _kind_of(request: AttemptRequest) -> _Kind:
    return _Kind(request.command.activity_type, request.command.local)


_Code = TypeVar("_Code", bound=Instance)


class MakeInstance(Protocol):
    """How a worker makes the code of an execution."""

    def __call__(self, definition: WorkflowDefinition, start: WorkflowStarted, kind: type[_Code]) -> _Code:
        """An instance of this class."""
        ...


class CodeSource(Protocol):
    """Who has the code of executions."""

    sealing: Sealing | None
    """What it does to payloads between its workflows and the journal; None when they are stored as they are."""

    def code_of(self, workflow_type: str) -> Callable[[WorkflowStarted], Code]:
        """What makes the code of an execution of this type, which it has."""
        ...

    def explained(self, error: HistoryDiverged, live: LiveExecution) -> HistoryDiverged:
        """The error of code that does not fit its history, with all that can be said of it."""
        ...


class _OfActivities:
    """Who has what drives activities without a workflow. Nothing is sealed here: the client and the attempts have done it."""

    sealing: Sealing | None = None

    def code_of(self, workflow_type: str) -> Callable[[WorkflowStarted], Code]:
        """See `CodeSource`."""
        return ActivityCode

    def explained(self, error: HistoryDiverged, live: LiveExecution) -> HistoryDiverged:
        """See `CodeSource`."""
        return error


OF_ACTIVITIES: Final = _OfActivities()


@dataclass(slots=True, eq=False)
class ServingWorker:
    """A worker as the engine knows it."""

    workflows: Mapping[str | None, WorkflowDefinition]
    activities: ActivitySlots
    runner: ActivityRunner
    make_instance: MakeInstance
    queue_per_second: float | None = None
    """The rate that it asks for on behalf of all workers of its queue."""
    sealing: Sealing | None = None
    """What it does to payloads between its workflows and the journal; None when they are stored as they are."""
    local_only: bool = False
    """Whether it runs no activities but local ones."""
    loaded_max: int = sys.maxsize
    """Executions whose code it keeps in memory."""
    loaded: OrderedDict[int, LiveExecution] = field(default_factory=OrderedDict[int, "LiveExecution"])
    """Those whose code is in memory; the cache keeps this."""

    def definition(self, workflow_type: str) -> WorkflowDefinition | None:
        """The workflow of this type, or the dynamic one; None when there is neither."""
        return self.workflows.get(workflow_type) or self.workflows.get(None)

    def knows(self, activity_type: str, *, local: bool) -> bool:
        """Whether it has a function for this type."""
        return (local or not self.local_only) and self.runner.knows(activity_type)

    def code_of(self, workflow_type: str) -> Callable[[WorkflowStarted], Code]:
        """See `CodeSource`."""
        definition = self.definition(workflow_type)
        assert definition is not None
        return partial(self.make_instance, definition, kind=Instance)

    def explained(self, error: HistoryDiverged, live: LiveExecution) -> HistoryDiverged:
        """See `CodeSource`: with the lines of its two sides."""
        definition = self.definition(live.record.workflow_type)
        assert definition is not None
        opened = live.as_opened if live.opened else None
        traced = self.make_instance(definition, live.as_opened(live.first_event()), TracedInstance)
        return with_lines(error, traced, live.history or (), opened)

    def can_start(self, activity_type: str, *, local: bool) -> bool:
        """Whether it takes an attempt of this type now."""
        slots = self.activities
        return (
            slots.has_room(local=local)
            and (local or slots.pace.per_second is None or slots.pace.wait_s() <= 0)
            and (local or not self.local_only)
            and self.runner.knows(activity_type)
        )


class TaskQueue:
    """One task queue: its workers, those that came first in front, and the activities that wait for them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.workers: list[ServingWorker] = []
        self._line: FairLine[AttemptRequest] = FairLine()
        self._pace = Pace()
        self._later: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many attempts wait."""
        return len(self._line)

    @property
    def held_up(self) -> bool:
        """Whether something waits for nothing but a rate."""
        return self._later is not None

    def add(self, worker: ServingWorker) -> None:
        """The worker serves this queue, beside those that do already."""
        self.workers.append(worker)
        worker.activities.freed = self.start_some
        self._agree_on_rate()

    def remove(self, worker: ServingWorker) -> None:
        """The worker serves it no more."""
        self.workers.remove(worker)
        self._agree_on_rate()
        if not self.workers and self._later is not None:
            self._later.cancel()
            self._later = None

    def _agree_on_rate(self) -> None:
        asked = [w.queue_per_second for w in self.workers if w.queue_per_second is not None]
        self._pace.per_second = min(asked, default=None)

    def holds(self, place: Place) -> bool:
        """Whether an attempt of this activity waits here, or runs."""
        if place in self._line:
            return True
        attempt = self.attempt(place)
        return attempt is not None and not attempt.reported

    def attempt(self, place: Place) -> Attempt | None:
        """The attempt of an activity that runs now, or None."""
        for worker in self.workers:
            attempt = worker.activities.attempt(place)
            if attempt is not None:
                return attempt
        return None

    def knows(self, activity_type: str, *, local: bool) -> bool:
        """Whether somebody has its function, or might come who has: there is nobody with activities at all."""
        return any(worker.knows(activity_type, local=local) for worker in self.workers) or not self.known()

    def known(self) -> list[str]:
        """The types that its workers have."""
        serving = (worker for worker in self.workers if not worker.local_only)
        return sorted({name for worker in serving for name in worker.runner.known()})

    def begin(self, request: AttemptRequest) -> bool:
        """Start it if it need not wait; returns whether it has started."""
        command = request.command
        worker = None if self._line else self._free(command.activity_type, local=command.local)
        if worker is not None:
            self._start(request, worker)
        return worker is not None

    def wait(self, request: AttemptRequest) -> None:
        """Start it as soon as a slot is free and the rates allow, in its turn."""
        command = request.command
        if self.workers and not self.known():
            _log.warning(
                "activity %s waits: no worker of task queue %r has activities",
                command.activity_type,
                self.name,
            )
        claim = Claim(command.priority_key, command.fairness_key, command.fairness_weight)
        self._line.put(request.place, request, _Kind(command.activity_type, command.local), claim)
        self.start_some()

    def start_some(self) -> None:
        """Start what waits, as far as there are slots and the rates allow."""
        while self._line:
            request = self._line.take(self._can_start)
            if request is None:
                self._come_back()
                return
            worker = self._free(request.command.activity_type, local=request.command.local)
            assert worker is not None, "it was taken because a worker is free for its kind"
            self._start(request, worker)

    def _can_start(self, kind: Any) -> bool:
        return self._free(kind.activity_type, local=kind.local) is not None

    def _free(self, activity_type: str, *, local: bool) -> ServingWorker | None:
        """Of the workers that take such an attempt now the one with the most room."""
        if not local and self._pace.per_second is not None and self._pace.wait_s() > 0:
            return None
        free: ServingWorker | None = None
        for worker in self.workers:
            if worker.can_start(activity_type, local=local) and (
                free is None or worker.activities.load(local=local) < free.activities.load(local=local)
            ):
                free = worker
        return free

    def _start(self, request: AttemptRequest, worker: ServingWorker) -> None:
        if not request.command.local:
            self._pace.took_one()
        worker.activities.start(request)

    def _come_back(self) -> None:
        """Where a rate is in the way, try again when it allows."""
        waits = [worker.activities.pace.wait_s() for worker in self.workers]
        wait_s = max(self._pace.wait_s(), min(waits, default=0.0))
        if wait_s > 0 and self._later is None:
            self._later = asyncio.get_running_loop().call_later(wait_s, self._go_on)

    def _go_on(self) -> None:
        self._later = None
        self.start_some()

    def withdraw(self, place: Place) -> AttemptRequest | None:
        """Take back an attempt that has not started; None when there is none."""
        return self._line.remove(place)

    def withdraw_unknown(self) -> list[AttemptRequest]:
        """Take back what waits and is of a type that none of the workers has."""
        kinds = [cast("_Kind", kind) for kind in self._line.kinds()]
        unknown = {kind for kind in kinds if not self.knows(kind.activity_type, local=kind.local)}
        return self._line.remove_all(lambda request: _kind_of(request) in unknown) if unknown else []

    def withdraw_keyed(self) -> list[AttemptRequest]:
        """Take back what waits and has a concurrency key."""
        return self._line.remove_all(lambda request: bool(request.command.concurrency_key))


class TaskQueues:
    """Every task queue that is served, or that something waits for."""

    def __init__(self) -> None:
        self._queues: dict[str, TaskQueue] = {}
        self._keys = ActivityKeys(self._admit)

    def __iter__(self) -> Iterator[ServingWorker]:
        return (worker for queue in self._queues.values() for worker in queue.workers)

    @property
    def names(self) -> list[str]:
        """The queues that are served."""
        return [name for name, queue in self._queues.items() if queue.workers]

    @property
    def waiting(self) -> int:
        """How many attempts wait, over all queues."""
        return sum(queue.waiting for queue in self._queues.values()) + len(self._keys)

    @property
    def held_up(self) -> bool:
        """Whether something waits for nothing but a rate."""
        return any(queue.held_up for queue in self._queues.values())

    def queue(self, name: str) -> TaskQueue:
        """The queue of this name."""
        found = self._queues.get(name)
        if found is None:
            found = self._queues[name] = TaskQueue(name)
        return found

    def add(self, task_queue: str, worker: ServingWorker) -> None:
        """The worker serves the queue, beside those that do already."""
        worker.activities.over = self._keys.leave
        self.queue(task_queue).add(worker)

    def submit(self, request: AttemptRequest) -> bool:
        """Start it in its turn, as soon as its concurrency key, a slot and the rates allow.

        False when it never will: its queue is served, and nobody there has its function.
        """
        command = request.command
        queue = self.queue(command.task_queue)
        if not command.concurrency_key and queue.begin(request):
            return True
        if not queue.knows(command.activity_type, local=command.local):
            return False
        # What nobody serves must not keep its key from others; `start_some` has it submitted again.
        if not queue.workers or self._keys.enter(request):
            self._admit(request)
        return True

    def _admit(self, request: AttemptRequest) -> None:
        queue = self.queue(request.command.task_queue)
        if not queue.begin(request):
            queue.wait(request)

    def remove(self, task_queue: str, worker: ServingWorker) -> None:
        """The worker serves it no more."""
        queue = self.queue(task_queue)
        queue.remove(worker)
        self._drop_if_unused(queue)

    def start_some(self, task_queue: str) -> list[AttemptRequest]:
        """Its workers are others now: start what they can take; returns what is to be submitted again.

        That is what none of them will ever take, and what has a concurrency key, which it may have waited for without
        holding it, or holds without anybody who could run it.
        """
        queue = self._queues.get(task_queue)
        if queue is None:
            return []
        again = queue.withdraw_unknown()
        if len(queue.workers) <= 1:  # the first has come, or the last has gone
            again += queue.withdraw_keyed()
        for request in again:
            self._keys.leave(request)
        queue.start_some()
        return again

    def _drop_if_unused(self, queue: TaskQueue) -> None:
        if not queue.workers and not queue.waiting:
            self._queues.pop(queue.name, None)

    def for_workflow(self, task_queue: str, workflow_type: str) -> ServingWorker | None:
        """Who runs workflows of this type: by its name, or else by a dynamic workflow."""
        queue = self._queues.get(task_queue)
        if queue is None:
            return None
        dynamic: ServingWorker | None = None
        for worker in queue.workers:  # in every turn of every execution, so a plain loop
            if workflow_type in worker.workflows:
                return worker
            if dynamic is None and None in worker.workflows:
                dynamic = worker
        return dynamic

    def attempt(self, place: Place) -> Attempt | None:
        """The attempt of an activity that runs now, or None."""
        for queue in self._queues.values():
            attempt = queue.attempt(place)
            if attempt is not None:
                return attempt
        return None

    def holds(self, place: Place) -> bool:
        """Whether an attempt of this activity runs or waits."""
        return place in self._keys or any(queue.holds(place) for queue in self._queues.values())

    def forget(self, place: Place, reason: str) -> None:
        """Nobody wants the outcome any more: withdraw the attempt, or stop it and hear nothing of it."""
        attempt = self.attempt(place)
        if attempt is None:
            self.withdraw(place)
        else:
            attempt.silence()
            attempt.cancel(reason)

    def withdraw(self, place: Place) -> None:
        """Take back an attempt that has not started."""
        if self._keys.withdraw(place):
            return
        for queue in list(self._queues.values()):
            request = queue.withdraw(place)
            if request is not None:
                self._keys.leave(request)
                self._drop_if_unused(queue)
