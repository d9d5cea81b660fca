"""`make demo` as a new user runs it: a fresh copy, a fresh virtual environment, one kill -9."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.brokers import require

ROOT = Path(__file__).parents[2]
SECONDS = 30
GATEWAY = re.compile(r"gateway (\d+) \(restarts 0\)")


@pytest.mark.timeout(540)
def test_the_demo_runs_from_a_fresh_copy_survives_a_kill_and_loses_nothing(tmp_path: Path) -> None:
    require(shutil.which("make") is not None, "make (apt install make)")
    copy = tmp_path / "overwinter"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", "build"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL", "OVERWINTER"))
    }
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            ["make", "demo", f"SECONDS={SECONDS}"], cwd=copy, stdout=output, stderr=output, env=environment
        )
        try:
            os.kill(_gateway(log, demo), signal.SIGKILL)
            status = demo.wait(180)
        finally:
            demo.terminate()
    text = log.read_text()
    assert status == 0, text
    assert re.search(r"^\s*restarts\s+1\s*$", text, re.MULTILINE), text
    assert re.search(r"^\s*lost\s+0\s*$", text, re.MULTILINE), text
    assert re.search(r"^\s*with effect twice\s+0\s*$", text, re.MULTILINE), text
    for workflow in ("CameraRound", "FieldDiary", "FrostWatch"):
        assert re.search(rf"^\s*{workflow}\s+\d+ started", text, re.MULTILINE), text


def _gateway(log: Path, demo: subprocess.Popen[bytes]) -> int:
    """The gateway's pid, once the demo has shown it twice: the packages are installed, messages flow."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and demo.poll() is None:
        found = GATEWAY.findall(log.read_text())
        if len(found) >= 2:
            return int(found[-1])
        time.sleep(0.2)
    raise AssertionError(f"the demo did not show a gateway: {log.read_text()}")
