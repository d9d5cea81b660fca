"""What a person sees of a run: what is under way, each figure as it comes, and the tables at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from .results import ENGINES, Result, Results
from .targets import TARGETS

Row = Sequence[str]


class Screen(Protocol):
    """Where a run is shown."""

    def working(self, text: str) -> AbstractContextManager[Any]:
        """Show what is under way until the block is left."""
        ...

    def line(self, text: str, style: str = "") -> None:
        """One line that stays."""
        ...

    def table(self, title: str, head: Row, rows: Sequence[Row]) -> None:
        """A table; the first columns are text, those of figures are to the right."""
        ...


class PlainScreen:
    """For pipes, and where rich is not installed."""

    def working(self, text: str) -> AbstractContextManager[Any]:
        print(text, flush=True)
        return nullcontext()

    def line(self, text: str, style: str = "") -> None:
        print(text, flush=True)

    def table(self, title: str, head: Row, rows: Sequence[Row]) -> None:
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        print(f"\n{title}")
        for row in [head, *rows]:
            cells = [
                f"{cell:<{width}}" if column < 2 else f"{cell:>{width}}"
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  " + "  ".join(cells).rstrip())


class MarkdownScreen(PlainScreen):
    """For a page of documentation."""

    def table(self, title: str, head: Row, rows: Sequence[Row]) -> None:
        print(f"\n## {title}\n")
        for row in [head, ["---"] * len(head), *rows]:
            print(f"| {' | '.join(row)} |")


class RichScreen:
    """For terminals."""

    def __init__(self) -> None:
        from rich.console import Console  # an extra: the plain screen does without

        self._console = Console()

    def working(self, text: str) -> AbstractContextManager[Any]:
        return self._console.status(text)

    def line(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style or None, highlight=False, markup=False)

    def table(self, title: str, head: Row, rows: Sequence[Row]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left")
        for column, name in enumerate(head):
            table.add_column(name, justify="left" if column < 2 else "right")
        for row in rows:
            table.add_row(*[Text(cell, style=_STYLES.get(cell, "")) for cell in row])
        self._console.print(table)


_STYLES = {"reached": "green", "missed": "red", "not measured": "dim"}


def screen() -> Screen:
    """The best that this terminal and this installation can show."""
    if not sys.stdout.isatty():
        return PlainScreen()
    try:
        return RichScreen()
    except ImportError:
        return PlainScreen()


def show_result(shown: Screen, result: Result) -> None:
    """One figure, as soon as it is there."""
    shown.line(f"  {result.engine:<13} {result.metric:<36} {number(result.value):>12} {result.unit}")


def show_results(shown: Screen, results: Results) -> None:
    """All figures of the run, one column for each engine, and the targets."""
    engines = [engine for engine in ENGINES if any(row.engine == engine for row in results.rows)]
    kinds = dict.fromkeys((row.workload, row.metric, row.unit) for row in results.rows)
    rows: list[Row] = []
    for workload, metric, unit in kinds:
        found = [results.find(workload, engine, metric) for engine in engines]
        rows.append((workload, f"{metric} [{unit}]" if unit else metric, *map(number, found)))
    shown.table("Figures", ("", "metric", *engines), rows)
    shown.table(
        "Targets",
        ("", "target", "goal", "found", ""),
        [_target(results, index) for index in range(len(TARGETS))],
    )
    for text in dict.fromkeys(f"{row.engine}: {row.durability}" for row in results.rows if row.durability):
        shown.line(f"  {text}")
    for text in results.skipped:
        shown.line(f"  {text}", "yellow")


def _target(results: Results, index: int) -> Row:
    target = TARGETS[index]
    value = target.reading(results)
    goal = f"{'≥' if target.more_is_better else '≤'} {number(target.goal)} {target.unit}"
    if value is None:
        return (target.workload, target.text, goal, "", "not measured")
    verdict = "reached" if target.reached(value) else "missed"
    return (target.workload, target.text, goal, f"{number(value)} {target.unit}", verdict)


def number(value: float | None) -> str:
    """Three digits that count, and no exponent."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"
