"""One curve, in a process of its own: `python -m bench.curves.measure NAME --folder PLACE [--quick]`.

Each point is a line of JSON with `x` and what was measured there.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

NAMES = ("throughput", "latency", "waiting", "recovery", "replay")


def point(x: float, **measured: float) -> None:
    """Report a point of the curve."""
    print(json.dumps({"x": x, **{name: round(value, 6) for name, value in measured.items()}}), flush=True)


def some(full: Sequence[int], quick: bool) -> Sequence[int]:
    """All of the places, or the first few."""
    return full[: max(2, len(full) // 3)] if quick else full


def main() -> None:
    """Measure one curve."""
    parser = argparse.ArgumentParser(prog="bench.curves.measure", description=__doc__)
    parser.add_argument("curve", choices=NAMES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("OVERWINTER_LOG", "ERROR")
    module = importlib.import_module(f"bench.curves.{options.curve}")
    asyncio.run(module.measure(options.folder, quick=options.quick))


if __name__ == "__main__":
    main()
