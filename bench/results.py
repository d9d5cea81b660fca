"""One run's results: printed as they come, and kept with the machine's description."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


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
    """The figures of one run."""

    rows: list[Result] = field(default_factory=list[Result])

    def add(self, workload: str, engine: str, metric: str, value: float, unit: str, durability: str) -> None:
        """Note a figure and show it."""
        self.rows.append(Result(workload, engine, metric, value, unit, durability))
        print(f"  {engine:<12} {metric:<34} {value:>12,.2f} {unit:<8} {durability}", flush=True)

    def find(self, workload: str, engine: str, metric: str) -> float:
        """A figure of this run."""
        return next(
            r.value for r in self.rows if (r.workload, r.engine, r.metric) == (workload, engine, metric)
        )

    def write(self) -> Path:
        """Keep the run as `bench/results/latest.json`."""
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / "latest.json"
        path.write_text(
            json.dumps({"machine": machine(), "results": [asdict(row) for row in self.rows]}, indent=1) + "\n"
        )
        return path


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": model or platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "load_at_end": os.getloadavg(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
