"""Histories replay in processes with other hash seeds; code that follows the order of a set is found out there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEEDED = Path(__file__).with_name("seeded.py")
ROOT = Path(__file__).parents[2]


def _run(what: str, folder: Path, hash_seed: int) -> str:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": str(hash_seed)}
    ended = subprocess.run(
        [sys.executable, str(SEEDED), what, str(folder)],
        env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


@pytest.mark.timeout(100)
def test_a_history_fits_under_every_hash_seed_and_the_order_of_a_set_does_not(tmp_path: Path) -> None:
    _run("record", tmp_path, 1)
    assert _run("replay", tmp_path, 1) == "InOrder fits\nBySet fits\n"
    assert _run("replay", tmp_path, 2) == "InOrder fits\nBySet differs\n"
