"""Curves are measured, kept as data, and drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.curves.__main__ import FOLDER, main
from bench.curves.plots import PLOTS

FIGURES = FOLDER.parent / "figures.md"


@pytest.mark.timeout(120)
def test_a_curve_is_measured_kept_and_drawn_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plots need the bench extra")
    wanted = ["--only", "replay", "--folder", str(tmp_path), "--output", str(tmp_path / "curves")]
    assert main([*wanted, "--quick"]) == 0
    points = json.loads((tmp_path / "curves" / "curves.json").read_text())["curves"]["replay"]
    assert [point["x"] for point in points] == [11, 101]
    assert all(point["seconds"] > 0 for point in points)
    drawn = (tmp_path / "curves" / "replay.svg").read_bytes()
    assert b"events of the history" in drawn
    assert main([*wanted, "--draw"]) == 0
    assert (tmp_path / "curves" / "replay.svg").read_bytes() == drawn


def test_every_plot_is_on_the_page_of_figures_and_has_what_it_draws() -> None:
    shown = re.findall(r"\(curves/([a-z]+\.svg)\)", FIGURES.read_text())
    assert sorted(shown) == sorted(plot.file for plot in PLOTS)
    curves = json.loads((FOLDER / "curves.json").read_text())["curves"]
    for plot in PLOTS:
        assert (FOLDER / plot.file).exists()
        for point in curves[plot.curve]:
            assert {"x", *plot.lines} <= set(point)
