"""Measure the curves and draw them: ``make curves``, or ``python -m bench.curves [--quick] [--only throughput,replay]``.

``--draw`` only draws again what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..children import follow
from ..results import machine
from ..screen import Screen, number, screen
from .measure import NAMES

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "curves"
SECONDS = 900
"""How long one curve may take."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, keep, draw; 1 when a curve failed."""
    options = _options(arguments)
    shown = screen()
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "curves.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"curves": {}}
    failed = False
    if not options.draw:
        for name in options.only:
            points, reason = measured(shown, name, options)
            if reason is not None:
                shown.line(f"  {name}: {reason}", "yellow")
            failed = failed or reason is not None
            kept["curves"][name] = points
        kept["machine"] = machine(options.folder or Path(tempfile.gettempdir()))
        file.write_text(json.dumps(kept, indent=1) + "\n")
    from .plots import draw  # what it needs is an extra

    for written in draw(kept["curves"], options.output):
        shown.line(f"drawn: {written}")
    return int(failed)


def measured(
    shown: Screen, name: str, options: argparse.Namespace
) -> tuple[list[dict[str, float]], str | None]:
    """The points of one curve, and why there are not all of them."""
    points: list[dict[str, float]] = []
    shown.line(name, "bold")
    began = time.perf_counter()

    def keep(point: dict[str, float]) -> None:
        points.append(point)
        rest = "  ".join(f"{key} {number(value)}" for key, value in point.items() if key != "x")
        shown.line(f"  {number(point['x']):>10}  {rest}  ({time.perf_counter() - began:.0f} s)")

    with tempfile.TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "bench.curves.measure", name, "--folder", folder]
        if options.quick:
            command.append("--quick")
        with shown.working(f"  {name} …"):
            reason = follow(command, seconds=SECONDS, each=keep)
    return points, reason


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.curves", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first points only, to see that it runs")
    parser.add_argument("--only", type=_names, default=list(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw what was kept")
    parser.add_argument(
        "--folder", type=Path, help="where the journals are written (default: the temporary folder)"
    )
    parser.add_argument("--output", type=Path, default=FOLDER, help="where data and plots are kept")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    wanted = text.split(",")
    unknown = set(wanted) - set(NAMES)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}"
        )
    return wanted


if __name__ == "__main__":
    sys.exit(main())
