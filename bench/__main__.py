"""Run the measurements: ``make bench``, or ``python -m bench [--quick]``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import tempfile
from pathlib import Path

from . import dispatch, engine, ingest, memory, raw
from .results import Results, percentile


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument(
        "--folder", type=Path, help="where the journals are written (default: the temporary folder)"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("OVERWINTER_LOG", "ERROR")
    scale = 0.1 if options.quick else 1.0
    results = Results()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        _limit(results, Path(folder), scale)
        print("W1: 10 activities in sequence, 50 workflows at a time")
        (Path(folder) / "50").mkdir()
        asyncio.run(
            engine.throughput(results, Path(folder) / "50", workflows=int(1500 * scale), concurrency=50)
        )
        print("W2: one activity, one workflow at a time")
        asyncio.run(engine.latency(results, Path(folder), workflows=int(1000 * scale)))
        print("MQTT: received, committed and acknowledged; then each starting a one-step workflow")
        asyncio.run(ingest.ingest(results, Path(folder) / "mqtt", messages=int(20_000 * scale)))
    print("dispatch: one of the activities that wait is taken, another one comes")
    dispatch.dispatch(results, scale=scale)
    print("memory: what executions at rest take, beside its bound")
    memory.cached(results, scale=scale)
    _ratios(results)
    print(f"kept in {results.write()}")


def _limit(results: Results, folder: Path, scale: float) -> None:
    print("limit: SQLite alone on this disk, rows of 120 bytes")
    for batch in (1, 50, 500):
        rate, times = raw.group_commit(folder, batch=batch, seconds=max(0.5, 3 * scale))
        results.add("limit", "limit", f"rows_per_second_{batch}", rate, "1/s", engine.FULL)
        if batch == 1:
            results.add("limit", "limit", "commit_p50", percentile(times, 0.50) * 1e3, "ms", engine.FULL)
            results.add("limit", "limit", "commit_p99", percentile(times, 0.99) * 1e3, "ms", engine.FULL)


def _ratios(results: Results) -> None:
    steps = results.find("W1", "overwinter", "steps_per_second")
    rows = results.find("limit", "limit", "rows_per_second_50")
    p50 = results.find("W2", "overwinter", "start_to_result_p50")
    commit = results.find("limit", "limit", "commit_p50")
    print("beside the limit")
    print(
        f"  a step is two rows: {2 * steps / rows:.1%} of the rows a second that SQLite alone commits 50 at a time"
    )
    print(
        f"  a one-step workflow is two commits: its p50 is {p50 / (2 * commit):.1f} times that of two bare commits"
    )


if __name__ == "__main__":
    main()
