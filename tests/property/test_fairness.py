"""The order in which waiting activities are taken, on drawn sequences of puts, takes and removals.

Every rule is checked against a plain list of what waits, which knows nothing of virtual time.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overwinter.runtime.fairness import KEYS_MAX, WEIGHT_MAX, WEIGHT_MIN, Claim, FairLine


@dataclass(frozen=True)
class Item:
    number: int
    kind: str
    claim: Claim


CLAIMS = st.builds(
    Claim,
    st.sampled_from([0, 1, 3, 5, 9]),
    st.sampled_from(["", "a", "b", "c"]),
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 5000.0]),
)
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("xyz"), CLAIMS),
    st.tuples(st.just("take"), st.sets(st.sampled_from("xyz"), min_size=1)),
    st.tuples(st.just("remove"), st.integers(0, 30)),
)


@given(st.lists(STEPS, max_size=120))
def test_what_is_taken_is_the_first_of_its_key_at_the_first_level_that_fits(steps: list[tuple]) -> None:
    line: FairLine[Item] = FairLine()
    waiting: dict[int, Item] = {}
    numbers = itertools.count()
    for step in steps:
        if step[0] == "put":
            item = Item(next(numbers), step[1], step[2])
            waiting[item.number] = item
            line.put(item.number, item, item.kind, item.claim)
        elif step[0] == "remove":
            assert line.remove(step[1]) == waiting.pop(step[1], None)
        else:
            kinds: set[Hashable] = step[1]
            fitting = [item for item in waiting.values() if item.kind in kinds]
            taken = line.take(kinds.__contains__)
            if not fitting:
                assert taken is None
                continue
            assert taken is not None
            assert taken in fitting
            assert taken.claim.level == min(item.claim.level for item in fitting)
            before = [
                item
                for item in fitting
                if item.claim.level == taken.claim.level
                and item.claim.fairness_key == taken.claim.fairness_key
                and item.kind == taken.kind
            ]
            assert taken == before[0]
            del waiting[taken.number]
        assert len(line) == len(waiting)
        assert line.kinds() == {item.kind for item in waiting.values()}
    while len(line):
        assert line.take(lambda _kind: True) is not None


def worst_unfairness(
    weights: dict[str, float], kinds: int, seed: int, take: Callable[[FairLine[str], str], str]
) -> float:
    """How far apart two keys ever are that always wait, each measured by its own weight, in turns of the lighter one."""
    draw = random.Random(seed)
    line: FairLine[str] = FairLine()
    served: Counter[str] = Counter()
    numbers = itertools.count()

    def put(key: str) -> None:
        line.put(next(numbers), key, draw.randrange(kinds), Claim(0, key, weights[key]))

    for key in weights:
        for _ in range(20 * kinds):
            put(key)
    worst = 0.0
    for _ in range(3000):
        key = take(line, "")
        served[key] += 1
        put(key)
        for one, other in itertools.combinations(weights, 2):
            apart = abs(served[one] / weights[one] - served[other] / weights[other])
            worst = max(worst, apart / (1 / weights[one] + 1 / weights[other]))
    return worst


def _fairly(line: FairLine[str], _: str) -> str:
    taken = line.take(lambda _kind: True)
    assert taken is not None
    return taken


@pytest.mark.parametrize("kinds", [1, 3])
def test_keys_that_wait_are_served_in_proportion_to_their_weights_at_every_moment(kinds: int) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    weights = {"north": 1.0, "south": 3.0, "east": 0.25, "west": 10.0}
    assert worst_unfairness(weights, kinds, seed, _fairly) <= 1.0 + 1e-9


def test_the_measure_sees_an_order_that_ignores_weights() -> None:
    turns = itertools.cycle(["north", "west"])

    def in_turn(line: FairLine[str], _: str) -> str:
        line.take(lambda _kind: True)
        return next(turns)

    assert worst_unfairness({"north": 1.0, "west": 10.0}, 1, 1, in_turn) > 100


def test_a_key_that_comes_late_or_withdrew_what_it_had_is_served_like_the_others() -> None:
    line: FairLine[str] = FairLine()
    for number in range(1000):
        line.put(("busy", number), "busy", "x", Claim(0, "busy"))
        line.put(("gone", number), "gone", "x", Claim(0, "gone"))
    for _ in range(200):
        line.take(lambda _kind: True)
    for number in range(1000):
        line.remove(("gone", number))
    for _ in range(100):
        assert line.take(lambda _kind: True) == "busy"
    for number in range(10):
        line.put(("gone again", number), "gone", "x", Claim(0, "gone"))
    taken = Counter(line.take(lambda _kind: True) for _ in range(20))
    assert taken == {"busy": 10, "gone": 10}


def test_the_lightest_key_beside_a_heavy_one_has_its_turn() -> None:
    line: FairLine[str] = FairLine()
    line.put("light", "light", "x", Claim(0, "light", WEIGHT_MIN / 2))
    for number in range(11_000):
        line.put(number, "heavy", "x", Claim(0, "heavy", 10.0))
    taken = [line.take(lambda _kind: True) for _ in range(11_000)]
    assert taken.index("light") == pytest.approx(10 / WEIGHT_MIN, abs=2)


def test_keys_that_come_and_go_are_forgotten() -> None:
    line: FairLine[int] = FairLine()
    line.put("last", -1, "x", Claim(0, "always", 1.0))
    for number in range(3 * KEYS_MAX):
        line.put(number, number, "x", Claim(0, f"key {number}", WEIGHT_MAX))
        assert line.take(lambda _kind: True) is not None
        line.put(number, number, "x", Claim(0, f"key {number}", WEIGHT_MIN))
        line.remove(number)
    (level,) = line._levels.values()
    assert len(level._ends) <= KEYS_MAX
    (lane,) = level.lanes.values()
    assert len(lane.turns) <= 100
