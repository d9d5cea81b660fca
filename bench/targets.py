"""What was aimed at, and whether one run reached it. Ratios compare figures of the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .results import Results

OURS = "overwinter"
Reading = Callable[[Results], float | None]


@dataclass(frozen=True)
class Target:
    """One goal; `reading` finds what the run has, None when a figure that it needs was not taken."""

    workload: str
    text: str
    goal: float
    unit: str
    reading: Reading
    more_is_better: bool = False

    def reached(self, value: float) -> bool:
        return value >= self.goal if self.more_is_better else value <= self.goal


def figure(workload: str, metric: str) -> Reading:
    """A figure of ours."""
    return lambda results: results.find(workload, OURS, metric)


def ratio(workload: str, metric: str, engine: str) -> Reading:
    """A figure of ours divided by that of another engine."""

    def read(results: Results) -> float | None:
        ours, theirs = results.find(workload, OURS, metric), results.find(workload, engine, metric)
        return None if ours is None or not theirs else ours / theirs

    return read


def beside_best(
    workload: str, metric: str, *alternatives: str, best: Callable[[list[float]], float]
) -> Reading:
    """A figure of ours divided by the best of the peers, whichever way of writing it they have."""

    def read(results: Results) -> float | None:
        ours, peers = (
            results.find(workload, OURS, metric),
            results.of_peers(workload, [metric, *alternatives]),
        )
        return None if ours is None or not peers else ours / best(peers)

    return read


def growth(workload: str, large: str, small: str) -> Reading:
    """How much more one figure of ours is than another."""

    def read(results: Results) -> float | None:
        much, little = results.find(workload, OURS, large), results.find(workload, OURS, small)
        return None if much is None or not little else much / little

    return read


DBOS = "dbos-sqlite"
TARGETS = (
    Target(
        "W1",
        "steps/s, times the best peer",
        20,
        "x",
        beside_best("W1", "steps_per_second", "steps_per_second_local", best=max),
        more_is_better=True,
    ),
    Target("W1", "steps/s, times DBOS", 60, "x", ratio("W1", "steps_per_second", DBOS), more_is_better=True),
    Target(
        "W1",
        "steps/s, share of the limit",
        0.30,
        "x",
        ratio("W1", "steps_per_second", "limit"),
        more_is_better=True,
    ),
    Target("W1", "CPU a step", 0.08, "ms", figure("W1", "cpu_per_step")),
    Target("W2", "p50, beside DBOS", 0.2, "x", ratio("W2", "start_to_result_p50", DBOS)),
    Target("W2", "p99, beside DBOS", 0.2, "x", ratio("W2", "start_to_result_p99", DBOS)),
    Target("W2", "p50", 0.8, "ms", figure("W2", "start_to_result_p50")),
    Target("W2", "p99", 2.5, "ms", figure("W2", "start_to_result_p99")),
    Target("W3", "seconds, beside the best peer", 0.125, "x", beside_best("W3", "seconds", best=min)),
    Target(
        "W3",
        "cost of an activity among 100,000 beside one among 1,000",
        1.5,
        "x",
        growth("W3", "per_activity_of_100000", "per_activity_of_1000"),
    ),
    Target("W4", "extra memory of 10,000 waits", 15, "MB", figure("W4", "extra_memory")),
    Target("W4", "10,000 waits durable", 2, "s", figure("W4", "seconds_until_durable")),
    Target("W4", "extra memory of 100,000 waits", 30, "MB", figure("W4", "extra_memory_100000")),
    Target("W4", "disk for each further wait", 600, "B", figure("W4", "disk_per_further_wait_100000")),
    Target("W5", "restart until all are complete", 1.5, "s", figure("W5", "seconds_to_recover")),
    Target("W6", "cold start to first result", 0.3, "s", figure("W6", "first_result_new")),
    Target("W6", "idle RSS", 45, "MB", figure("W6", "idle_rss")),
    Target("W7", "fsyncs a step", 0.05, "", figure("W7", "fsyncs_per_step")),
    Target("W7", "bytes written a step", 1200, "B", figure("W7", "written_per_step")),
    Target(
        "replay",
        "events/s, from the journal",
        100_000,
        "1/s",
        figure("replay", "events_per_second"),
        more_is_better=True,
    ),
    Target("replay", "resume of 50,000 events", 1, "s", figure("replay", "seconds_to_resume")),
    Target(
        "long", "cost of a step at 1,000,000 events, beside the first", 1.2, "x", figure("long", "growth")
    ),
)
