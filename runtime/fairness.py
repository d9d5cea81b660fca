"""The order in which what waits is taken: by priority, then in turns of keys by their weights, then first come first served.

Each level of priority has a virtual time. Taking something for a key of weight w ends that key's turn 1/w later than the
one before ended, or than now when it was away; the turn that ends first is taken first, and is then what the time shows.
So keys that wait are served in proportion to their weights, a key that comes back is neither owed nor charged for
the time it was away, and each has its turn sooner or later (self-clocked fair queueing; Golestani, INFOCOM 1994).

What waits is also of a kind, and whoever takes says which kinds it can take. The kinds of a level share its time and its
keys, so that the proportions hold over all of them.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import field
from typing import Final, Generic, TypeVar

from .core.records import dataclass, record

T = TypeVar("T")

PRIORITY_USUAL: Final = 3
"""Of what has no priority key."""
PRIORITY_LAST: Final = 5
"""Keys go from 1, the first, to this; larger ones count as this."""
WEIGHT_MIN: Final = 0.001
WEIGHT_MAX: Final = 1000.0
KEYS_MAX: Final = 10_000
"""Keys of a level that are remembered while they have nothing waiting; of more, those that took least are forgotten."""


@record
class Claim:
    """What something has to say for being taken soon."""

    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0

    @property
    def level(self) -> int:
        """The level of priority, 1 is taken first."""
        return min(self.priority_key or PRIORITY_USUAL, PRIORITY_LAST)

    @property
    def turn(self) -> float:
        """How long one turn of its key takes."""
        return 1 / min(max(self.fairness_weight or 1.0, WEIGHT_MIN), WEIGHT_MAX)


@dataclass(slots=True)
class _Entry(Generic[T]):
    item: T
    kind: Hashable
    claim: Claim
    number: int


@dataclass(slots=True)
class _Key(Generic[T]):
    """What waits of one kind for one fairness key, in order."""

    name: str
    entries: OrderedDict[Hashable, _Entry[T]] = field(default_factory=OrderedDict[Hashable, "_Entry[T]"])


@dataclass(slots=True)
class _Lane(Generic[T]):
    """What waits of one kind at one level."""

    keys: dict[str, _Key[T]] = field(default_factory=dict[str, "_Key[T]"])
    turns: list[tuple[float, int, _Key[T]]] = field(default_factory=list[tuple[float, int, "_Key[T]"]])
    """A heap with one entry for each key: when its next turn ends, and the number of what it is for."""
    waiting: int = 0


class _Level(Generic[T]):
    """One level of priority: its lanes, and the time that they share."""

    __slots__ = ("_ends", "lanes", "now")

    def __init__(self) -> None:
        self.lanes: dict[Hashable, _Lane[T]] = {}
        self.now = 0.0
        self._ends: dict[str, float] = {}
        """When the last turn of a key ended, where that lies ahead of now."""

    def put(self, name: Hashable, entry: _Entry[T]) -> None:
        lane = self.lanes.get(entry.kind)
        if lane is None:
            lane = self.lanes[entry.kind] = _Lane()
        key = lane.keys.get(entry.claim.fairness_key)
        if key is None or not key.entries:
            key = lane.keys[entry.claim.fairness_key] = _Key(entry.claim.fairness_key)
            ends = self._next_end(key.name, entry.claim.turn)
            heapq.heappush(lane.turns, (ends, entry.number, key))
        key.entries[name] = entry
        lane.waiting += 1

    def _next_end(self, key: str, turn: float) -> float:
        return max(self.now, self._ends.get(key, 0.0)) + turn

    def head(self, lane: _Lane[T]) -> tuple[float, int, _Key[T]]:
        """The turn of a lane that ends first; the lane is not empty."""
        while True:
            ends, number, key = lane.turns[0]
            if not key.entries:  # all of it was withdrawn
                heapq.heappop(lane.turns)
                if lane.keys.get(key.name) is key:
                    del lane.keys[key.name]
                continue
            first = next(iter(key.entries.values()))
            # Meanwhile its key may have been served from another lane.
            owed = self._ends.get(key.name, 0.0) + first.claim.turn
            if ends < owed or number < first.number:
                heapq.heapreplace(lane.turns, (max(ends, owed), first.number, key))
                continue
            return lane.turns[0]

    def take(self, lane: _Lane[T]) -> tuple[Hashable, T]:
        """Remove what the head of a lane stands for."""
        ends, _, key = self.head(lane)
        name, entry = key.entries.popitem(last=False)
        self.now = max(self.now, ends)
        self._ends[key.name] = ends
        self._removed(entry.kind, lane)
        if key.entries:
            after = next(iter(key.entries.values()))
            heapq.heapreplace(lane.turns, (ends + after.claim.turn, after.number, key))
        else:
            heapq.heappop(lane.turns)
            del lane.keys[key.name]
        if len(self._ends) > KEYS_MAX:
            self._forget_some()
        return name, entry.item

    def remove(self, name: Hashable, entry: _Entry[T]) -> None:
        lane = self.lanes[entry.kind]
        del lane.keys[entry.claim.fairness_key].entries[name]
        self._removed(entry.kind, lane)
        if len(lane.turns) > 2 * lane.waiting + 64:  # most of its keys have nothing left
            lane.keys = {key.name: key for key in lane.keys.values() if key.entries}
            lane.turns = [turn for turn in lane.turns if turn[2].entries]
            heapq.heapify(lane.turns)

    def _removed(self, kind: Hashable, lane: _Lane[T]) -> None:
        lane.waiting -= 1
        if not lane.waiting:
            self.lanes.pop(kind, None)

    def _forget_some(self) -> None:
        ahead = sorted((end, key) for key, end in self._ends.items() if end > self.now)
        self._ends = {key: end for end, key in ahead[-KEYS_MAX // 2 :]}


class FairLine(Generic[T]):
    """What waits, each under a name of its own. Putting, taking and removing cost the logarithm of the keys that wait."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level[T]] = {}
        self._entries: dict[Hashable, _Entry[T]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._entries

    def put(self, name: Hashable, item: T, kind: Hashable, claim: Claim) -> None:
        """It waits from now on."""
        self._number += 1
        entry = self._entries[name] = _Entry(item, kind, claim, self._number)
        level = self._levels.get(claim.level)
        if level is None:
            level = self._levels[claim.level] = _Level()
        level.put(name, entry)

    def take(self, fits: Callable[[Hashable], bool]) -> T | None:
        """Remove and return what is next of the kinds that fit; None when none of them waits."""
        for number in sorted(self._levels):
            level = self._levels[number]
            lanes = [lane for kind, lane in level.lanes.items() if fits(kind)]
            if not lanes:
                continue
            lane = lanes[0] if len(lanes) == 1 else min(lanes, key=lambda lane: level.head(lane)[:2])
            name, item = level.take(lane)
            del self._entries[name]
            self._drop_if_empty(number)
            return item
        return None

    def remove(self, name: Hashable) -> T | None:
        """Remove and return what waits under this name; None when nothing does."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return None
        number = entry.claim.level
        self._levels[number].remove(name, entry)
        self._drop_if_empty(number)
        return entry.item

    def remove_all(self, wanted: Callable[[T], bool]) -> list[T]:
        """Remove and return, in the order in which they came, all that are wanted."""
        found = [(name, entry) for name, entry in self._entries.items() if wanted(entry.item)]
        for name, _ in found:
            self.remove(name)
        return [entry.item for _, entry in found]

    def kinds(self) -> set[Hashable]:
        """Of which kinds something waits."""
        return {kind for level in self._levels.values() for kind in level.lanes}

    def _drop_if_empty(self, number: int) -> None:
        # With it go its time and its keys: when nothing waits there is nothing to share out.
        if not self._levels[number].lanes:
            del self._levels[number]
