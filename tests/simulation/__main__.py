"""Run seeds: ``python -m tests.simulation --seed 7`` shows one, ``--seeds 1000`` as many, on all processors."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from .world import Report, simulate


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Simulate gateways, by their seeds."
    )
    parser.add_argument("--seed", type=int, help="run this one, and print what happens")
    parser.add_argument("--seeds", type=int, default=1000, help="run so many")
    parser.add_argument("--first", type=int, help="the first of them; others each time without it")
    parser.add_argument("--quiet", action="store_true", help="of one seed print its end only")
    found = parser.parse_args()
    if found.seed is not None:
        report = simulate(found.seed, tracing=not found.quiet)
        print(report)
        return 1 if report.violations else 0
    first = random.randrange(1 << 30) if found.first is None else found.first
    print(f"seeds {first} to {first + found.seeds - 1}")
    began = time.monotonic()
    failed, counts = run_many(first, found.seeds)
    took_s = time.monotonic() - began
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    print(
        f"{found.seeds} seeds in {took_s:.0f} s, {found.seeds / took_s * 60:.0f} a minute, {len(failed)} show what must not be"
    )
    for report in failed:
        print(report)
    return 1 if failed else 0


def run_many(first: int, count: int) -> tuple[list[Report], Counter[str]]:
    """The reports of the seeds that failed, and what happened in all of them."""
    counts: Counter[str] = Counter()
    failed: list[Report] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for report in pool.map(simulate, range(first, first + count), chunksize=20):
            counts.update(report.counts)
            if report.violations:
                failed.append(report)
    return failed, counts


if __name__ == "__main__":
    sys.exit(main())
