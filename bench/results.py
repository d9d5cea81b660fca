"""One run's results, and the file that they are kept in."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = Path(__file__).parent / "results" / "latest.json"
ENGINES = ("overwinter", "limit", "dbos-sqlite", "restate", "temporal-dev")
"""In the order in which they take their turns."""
PEERS = ENGINES[2:]


@dataclass(frozen=True)
class Result:
    """One measured figure."""

    workload: str
    engine: str
    metric: str
    value: float
    unit: str
    durability: str


@dataclass
class Results:
    """The figures of one run, and what was left out of it."""

    rows: list[Result] = field(default_factory=list[Result])
    skipped: list[str] = field(default_factory=list[str])

    def find(self, workload: str, engine: str, metric: str) -> float | None:
        """A figure of this run, if it was taken."""
        for row in self.rows:
            if (row.workload, row.engine, row.metric) == (workload, engine, metric):
                return row.value
        return None

    def of_peers(self, workload: str, metrics: Iterable[str]) -> list[float]:
        """What the peers reached at these metrics of a workload."""
        found = [self.find(workload, peer, metric) for peer in PEERS for metric in metrics]
        return [value for value in found if value is not None]

    def write(self, path: Path, folder: Path) -> None:
        """Keep the run; `folder` is where its journals were."""
        path.parent.mkdir(exist_ok=True)
        kept = {"machine": machine(folder), "results": [asdict(row) for row in self.rows]}
        path.write_text(json.dumps(kept, indent=1) + "\n")


def read(path: Path) -> Results:
    """A run that was kept."""
    return Results([Result(**row) for row in json.loads(path.read_text())["results"]])


def machine(folder: Path) -> dict[str, object]:
    """What the figures were taken on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "kernel": platform.release(),
        "filesystem": filesystem(folder),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "sqlite": sqlite3.sqlite_version,
        "load_at_end": os.getloadavg(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def filesystem(folder: Path) -> str:
    """The kind of file system that a folder is on: on a tmpfs nothing is ever synced."""
    kind, longest = "unknown", -1
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, place, found, *_rest = line.split()
        if folder.resolve().is_relative_to(place) and len(place) >= longest:
            kind, longest = found, len(place)
    return kind


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
