"""Run the measurements: ``make bench``, or ``python -m bench [--quick] [--only W1,W3] [--engines overwinter,dbos-sqlite]``.

Each engine takes its turn at each workload in a process of its own with an empty store and a time limit; one that is not
installed, fails or takes too long is named at the end, and the others go on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import run
from .children import follow
from .results import ENGINES, FILE, Result, Results, read
from .screen import MarkdownScreen, Screen, screen, show_result, show_results
from .workloads import NAMES


def main(arguments: list[str] | None = None) -> int:
    """Measure, show, keep; 1 when our own engine failed at a workload."""
    options = _options(arguments)
    if options.show is not None:
        show_results(MarkdownScreen(), read(options.show))
        return 0
    shown, results = screen(), Results()
    began = time.perf_counter()
    failed = False
    with tempfile.TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as folder:
        for workload in options.only:
            shown.line(f"{workload}: {run.workload_module(workload).TITLE}", "bold")
            for engine in _engines(workload, options.engines):
                reason = take_turn(shown, results, Path(folder), workload, engine, quick=options.quick)
                if reason is not None:
                    results.skipped.append(f"{workload} {engine}: {reason}")
                    shown.line(f"  {engine:<13} {reason}", "yellow")
                    failed = failed or engine == "overwinter"
        results.write(options.output, Path(folder))
    show_results(shown, results)
    shown.line(f"{time.perf_counter() - began:.0f} s, kept in {options.output}")
    return int(failed)


def take_turn(
    shown: Screen, results: Results, folder: Path, workload: str, engine: str, *, quick: bool
) -> str | None:
    """One engine at one workload; why there are no figures, or not all."""
    place = folder / f"{workload}-{engine}"
    place.mkdir()
    command = [sys.executable, "-m", "bench.run", workload, engine, "--folder", str(place)]
    if quick:
        command.append("--quick")
    before = getattr(run.workload_module(workload), "command", None)
    if before is not None:
        command = before(command, place)

    def keep(line: dict[str, Any]) -> None:
        result = Result(**line)
        results.rows.append(result)
        show_result(shown, result)

    with shown.working(f"  {engine} …"):
        return follow(command, seconds=run.workload_module(workload).SECONDS, each=keep)


def _engines(workload: str, wanted: list[str]) -> list[str]:
    module = run.workload_module(workload)
    able = getattr(
        module, "ENGINES", [name for name in ENGINES if name != "limit" or hasattr(module, "limit")]
    )
    return [engine for engine in ENGINES if engine in wanted and engine in able]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a little of the work, to see that it runs")
    parser.add_argument("--only", type=_names(NAMES), default=list(NAMES), help="W1,W3: these workloads")
    parser.add_argument("--engines", type=_names(ENGINES), default=list(ENGINES), help="these engines")
    parser.add_argument(
        "--folder", type=Path, help="where the journals are written (default: the temporary folder)"
    )
    parser.add_argument("--show", type=Path, help="measure nothing, show this file of figures as Markdown")
    parser.add_argument("--output", type=Path, default=FILE, help="where the figures are kept")
    return parser.parse_args(arguments)


def _names(known: tuple[str, ...]):  # noqa: ANN202 - argparse takes any callable
    def parse(text: str) -> list[str]:
        wanted = text.split(",")
        unknown = set(wanted) - set(known)
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}"
            )
        return wanted

    return parse


if __name__ == "__main__":
    sys.exit(main())
