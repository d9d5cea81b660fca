"""The file of figures, and the verdicts on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.results import ENGINES, Result, Results, filesystem, percentile
from bench.screen import PlainScreen, number, show_results
from bench.targets import TARGETS, Target, beside_best, figure, growth, ratio


def results(*figures: tuple[str, str, str, float]) -> Results:
    return Results(
        [Result(workload, engine, metric, value, "s", "FULL") for workload, engine, metric, value in figures]
    )


def test_the_file_has_the_machine_and_one_record_for_each_figure(tmp_path: Path) -> None:
    file = tmp_path / "results" / "latest.json"
    results(("W3", "overwinter", "seconds", 0.1)).write(file, tmp_path)
    kept = json.loads(file.read_text())
    assert set(kept) == {"machine", "results"}
    assert {"cpu", "cores", "kernel", "filesystem", "python", "sqlite"} <= set(kept["machine"])
    assert kept["results"] == [
        {
            "workload": "W3",
            "engine": "overwinter",
            "metric": "seconds",
            "value": 0.1,
            "unit": "s",
            "durability": "FULL",
        }
    ]


def test_the_engines_have_the_names_that_readers_of_the_file_know() -> None:
    assert set(ENGINES) == {"overwinter", "dbos-sqlite", "restate", "temporal-dev", "limit"}


def test_ratios_are_of_the_same_run_and_the_best_peer_counts_whichever_way_it_was_written() -> None:
    run = results(
        ("W1", "overwinter", "steps", 600.0),
        ("W1", "dbos-sqlite", "steps", 10.0),
        ("W1", "temporal-dev", "steps", 2.0),
        ("W1", "temporal-dev", "steps_local", 30.0),
        ("W1", "limit", "steps", 1000.0),
    )
    assert beside_best("W1", "steps", "steps_local", best=max)(run) == 20
    assert beside_best("W1", "steps", best=min)(run) == 300
    assert ratio("W1", "steps", "limit")(run) == 0.6
    assert ratio("W1", "steps", "restate")(run) is None
    assert figure("W1", "steps")(run) == 600
    assert growth("W1", "steps", "other")(run) is None


@pytest.mark.parametrize(
    ("value", "more", "verdict"), [(0.9, False, True), (1.1, False, False), (1.1, True, True)]
)
def test_a_target_is_reached_from_its_better_side(value: float, more: bool, verdict: bool) -> None:
    target = Target("W1", "", 1.0, "x", lambda _results: None, more_is_better=more)
    assert target.reached(value) is verdict


def test_every_target_is_shown_even_if_nothing_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    run = results(("W3", "overwinter", "seconds", 0.1), ("W3", "restate", "seconds", 1.0))
    run.skipped.append("W3 dbos-sqlite: stopped after 120 s")
    show_results(PlainScreen(), run)
    shown = capsys.readouterr().out
    assert shown.count("not measured") == len(TARGETS) - 1
    assert shown.count("reached") == 1
    assert "W3 dbos-sqlite: stopped after 120 s" in shown


def test_numbers_keep_three_digits_that_count() -> None:
    assert [number(value) for value in (None, 0.0, 0.01234, 1.234, 12.34, 12345.6)] == [
        "",
        "0",
        "0.012",
        "1.23",
        "12.3",
        "12,346",
    ]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(value) for value in range(100)], 0.99) == 99.0


def test_the_file_system_of_a_folder_is_told() -> None:
    assert filesystem(Path("/proc")) == "proc"


def test_a_kept_run_is_shown_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results" / "latest.json"
    results(("W3", "overwinter", "seconds", 0.1), ("W3", "restate", "seconds", 1.0)).write(file, tmp_path)
    assert main(["--show", str(file)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "| W3 | seconds [s] | 0.100 | 1.00 |" in shown
    assert "| W3 | seconds, beside the best peer | ≤ 0.125 x | 0.100 x | reached |" in shown
