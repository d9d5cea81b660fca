"""The plots of the curves. The same data gives the same files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Points = Sequence[dict[str, float]]


@dataclass(frozen=True)
class Plot:
    """One picture: some of what was measured on a curve."""

    file: str
    curve: str
    title: str
    x: str
    y: str
    lines: dict[str, str]
    """What was measured -> its name in the legend."""
    log_y: bool = True


PLOTS = (
    Plot(
        "throughput.svg",
        "throughput",
        "Steps a second against concurrency",
        "workflows of ten steps at a time",
        "steps a second",
        {"steps_per_second": "Overwinter"},
        log_y=False,
    ),
    Plot(
        "latency.svg",
        "latency",
        "Start to result of a one-step workflow, against load",
        "workflows started in a second",
        "milliseconds",
        {"p50_ms": "half are faster (p50)", "p99_ms": "99 of 100 are faster (p99)"},
    ),
    Plot(
        "memory.svg",
        "waiting",
        "Memory against executions that wait",
        "open executions, each in a wait of an hour",
        "MB resident, the whole process",
        {"rss_mb": "the process that started them", "restart_rss_mb": "a process that found them"},
        log_y=False,
    ),
    Plot(
        "disk.svg",
        "waiting",
        "Disk against executions that wait",
        "open executions, each in a wait of an hour",
        "MB, journal with its write-ahead log",
        {"disk_mb": "journal"},
    ),
    Plot(
        "restart.svg",
        "waiting",
        "Restart with executions that wait",
        "open executions, each in a wait of an hour",
        "seconds from the start of the process to a first result",
        {"restart_to_first_result_s": "first result"},
        log_y=False,
    ),
    Plot(
        "recovery.svg",
        "recovery",
        "Recovery after kill -9",
        "open executions with an activity under way",
        "seconds from the start of the process until all are complete",
        {"seconds": "all complete"},
    ),
    Plot(
        "replay.svg",
        "replay",
        "Replay",
        "events of the history",
        "seconds from the journal to an answer of the code",
        {"seconds": "answer"},
    ),
)


def draw(curves: dict[str, Points], folder: Path) -> list[Path]:
    """Draw each plot that has data; the files that were written."""
    import matplotlib as mpl  # an extra, and slow to import

    mpl.use("svg")
    # Without a salt and a date of its own a plot would differ each time.
    mpl.rcParams.update({"svg.hashsalt": "overwinter", "svg.fonttype": "none", "font.size": 10})
    written = []
    for plot in PLOTS:
        if curves.get(plot.curve):
            _draw(plot, curves[plot.curve], folder / plot.file)
            written.append(folder / plot.file)
    return written


def _draw(plot: Plot, points: Points, file: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes: Any = figure.subplots()
    xs = [point["x"] for point in points]
    for name, label in plot.lines.items():
        axes.plot(xs, [point[name] for point in points], marker="o", markersize=4, label=label)
    axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.grid(visible=True, which="major", alpha=0.3)
    if len(plot.lines) > 1:
        axes.legend()
    figure.savefig(file, format="svg", metadata={"Date": None})
