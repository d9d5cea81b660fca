"""The executions that are in memory, and which of them leave it when it gets tight.

What takes room is an execution's code with all that it holds, and a history that was read to rebuild it. How much a
coroutine holds nobody can tell, so it is estimated from the history, high enough that the process stays below the bound:
`docs/reference/figures.md` has estimates beside what the process took. Both can be dropped at any time between two
activations, and are read again when something happens. An execution of which something runs on, an activity say, stays
without them: a few kilobytes that say what it waits for.

Those used least recently go first. One execution counts for half of the bound at most: a single huge one neither drives
out all others each time that it goes on, nor is it read again for each of its steps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from .live import LiveExecution

if TYPE_CHECKING:
    from .task_queues import ServingWorker

_CODE_BYTES = 14_000
_CODE_BYTES_PER_EVENT = 100
_HELD_PER_HISTORY_BYTE = 2
"""A value that the code keeps is there as an object and as the payload that it came from."""
_HISTORY_BYTES = 4_000
_HISTORY_BYTES_PER_EVENT = 700
_LOOKS_MAX = 64
"""Executions that are passed over in one go because they cannot leave just now."""


class Cache:
    """The open executions in memory, by key and by workflow id."""

    def __init__(self, executions_max: int, bytes_max: int) -> None:
        self.executions_max = executions_max
        self.bytes_max = bytes_max
        self.bytes = 0
        """What code and histories take, by estimate."""
        self._counted = 0
        """The same, with no execution at more than half of the bound."""
        self._lives: OrderedDict[int, LiveExecution] = OrderedDict()
        self.get: Callable[[int], LiveExecution | None] = self._lives.get
        """The execution with this key, when it is in memory."""
        self._open: dict[str, LiveExecution] = {}
        self._loaded: OrderedDict[int, LiveExecution] = OrderedDict()
        """Those with code or a history; in both, those used last come last."""
        self._crowded: set[ServingWorker] = set()
        """Workers that have more code in memory than they want."""

    def __len__(self) -> int:
        return len(self._lives)

    def __iter__(self) -> Iterator[LiveExecution]:
        return iter(list(self._lives.values()))

    def open_run(self, workflow_id: str) -> LiveExecution | None:
        """The open run of this workflow id, when it is in memory."""
        return self._open.get(workflow_id)

    @property
    def loaded(self) -> int:
        """How many have code or a history in memory."""
        return len(self._loaded)

    def hold(self, live: LiveExecution) -> None:
        """It is in memory, as the open run of its workflow id."""
        self._lives[live.record.key] = live
        self._open[live.record.workflow_id] = live
        self._weigh(live)

    def used(self, live: LiveExecution) -> None:
        """Something happened to it: it leaves later than the others, and counts for what it takes now."""
        key = live.record.key
        if self._lives.get(key) is live:
            self._lives.move_to_end(key)
            self._weigh(live)

    def runs(self, live: LiveExecution, worker: ServingWorker) -> None:
        """Its code is this worker's."""
        if live.worker is not worker:
            if live.worker is not None:
                live.worker.loaded.pop(live.record.key, None)
            live.worker = worker

    def drop(self, live: LiveExecution) -> None:
        """It is not in memory any more."""
        key = live.record.key
        if self._lives.get(key) is not live:
            live.drop_instance()
            return
        self.unload(live)
        del self._lives[key]
        if self._open.get(live.record.workflow_id) is live:
            del self._open[live.record.workflow_id]

    def unload(self, live: LiveExecution) -> None:
        """Of what it has in memory only its state stays."""
        live.drop_instance()
        live.history = None
        self._weigh(live)

    def _weigh(self, live: LiveExecution) -> None:
        key, before = live.record.key, live.weight
        live.weight = now = weight_of(live)
        self.bytes += now - before
        most = self.bytes_max // 2
        self._counted += min(now, most) - min(before, most)
        if now:
            self._loaded[key] = live
            self._loaded.move_to_end(key)
        else:
            self._loaded.pop(key, None)
        if (worker := live.worker) is not None:
            if live.instance is None:
                worker.loaded.pop(key, None)
                live.worker = None
            else:
                worker.loaded[key] = live
                worker.loaded.move_to_end(key)
                if len(worker.loaded) > worker.loaded_max:
                    self._crowded.add(worker)

    # -- leaving ------------------------------------------------------------------------------------

    def evict(self, busy: Callable[[LiveExecution], bool], idle: Callable[[LiveExecution], bool]) -> int:
        """As little stays in memory as the bounds ask for; returns how many executions left or lost their code.

        One that is `busy` keeps all that it has. One that is `idle` can be forgotten until something happens to it.
        """
        evicted = 0
        crowded, self._crowded = self._crowded, set()
        for worker in crowded:
            evicted += self._free(worker.loaded, partial(_is_crowded, worker), busy, idle)
            if _is_crowded(worker):
                self._crowded.add(worker)
        evicted += self._free(self._loaded, lambda: self.full, busy, idle)
        return evicted + self._forget_some(busy, idle)

    @property
    def full(self) -> bool:
        """Whether more code and histories are in memory than should be."""
        return len(self._loaded) > self.executions_max or self._counted > self.bytes_max

    def _free(
        self,
        line: OrderedDict[int, LiveExecution],
        tight: Callable[[], bool],
        busy: Callable[[LiveExecution], bool],
        idle: Callable[[LiveExecution], bool],
    ) -> int:
        freed = passed_over = 0
        while line and passed_over < _LOOKS_MAX and tight():
            key, live = line.popitem(last=False)
            if not live.rebuildable:
                self._weigh(live)  # Its code was dropped elsewhere.
            elif busy(live):
                line[key] = live
                passed_over += 1
            else:
                freed += 1
                if idle(live):
                    self.drop(live)
                else:
                    self.unload(live)
        return freed

    def _forget_some(
        self, busy: Callable[[LiveExecution], bool], idle: Callable[[LiveExecution], bool]
    ) -> int:
        """Few enough stay that have nothing in memory but their state. Not all are looked at each time: there may be many."""
        forgotten = 0
        for _ in range(_LOOKS_MAX):
            if len(self._lives) - len(self._loaded) <= self.executions_max:
                break
            live = next(iter(self._lives.values()))
            if live.weight or busy(live) or not idle(live):
                self._lives.move_to_end(live.record.key)
            else:
                self.drop(live)
                forgotten += 1
        return forgotten


def _is_crowded(worker: ServingWorker) -> bool:
    return len(worker.loaded) > worker.loaded_max


def weight_of(live: LiveExecution) -> int:
    """How many bytes an execution's code and history take, by estimate; 0 when neither is in memory."""
    events = live.state.sequence
    if live.instance is not None:
        return _CODE_BYTES + events * _CODE_BYTES_PER_EVENT + live.size * _HELD_PER_HISTORY_BYTE
    if live.history:
        return _HISTORY_BYTES + events * _HISTORY_BYTES_PER_EVENT + live.size
    return 0
