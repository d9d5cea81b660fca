"""An execution whose code ends the process at every start is set aside, and the others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from overwinter.runtime import crash_watch
from overwinter.runtime.core.instance import ActivationFailed
from overwinter.runtime.crash_watch import CRASHES_MAX, CrashWatch

FRAGILE = Path(__file__).with_name("fragile.py")
ROOT = Path(__file__).parents[2]


def _live(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [sys.executable, str(FRAGILE), str(folder)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.timeout(120)
def test_an_execution_that_ends_the_process_at_every_start_is_set_aside_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    crashes = 0
    while (life := _live(tmp_path)).returncode == -signal.SIGSEGV:
        crashes += 1
        assert crashes < 10, "it is a crash loop"
    assert life.returncode == 0, life.stderr[-3000:]
    # At the first one nobody had reason to look.
    assert crashes == 1 + CRASHES_MAX
    for name in ("w1", "w2", "w3"):
        assert f"{name} {sum(range(20))}" in life.stdout
    assert "blocked deadly" in life.stdout
    assert f"the process has ended {CRASHES_MAX} times in a row while this code ran" in life.stdout
    assert not (tmp_path / "running.json").exists()


def _ended_while(file: Path, run_id: str) -> None:
    """A process that ends without a word while this code runs."""
    watch = CrashWatch(file)
    watch.begin()
    with watch.running(run_id):
        noted = file.read_bytes()
    file.write_bytes(noted)


def test_who_did_not_run_is_not_to_blame(tmp_path: Path) -> None:
    file = tmp_path / "running.json"
    for _ in range(5):
        watch = CrashWatch(file)
        watch.begin()
        with watch.running("a"):
            pass
    watch.refuse("a")


def test_it_is_tried_again_after_a_proper_end(tmp_path: Path) -> None:
    file = tmp_path / "running.json"
    for _ in range(CRASHES_MAX):
        _ended_while(file, "a")
    watch = CrashWatch(file)
    watch.begin()
    with pytest.raises(ActivationFailed):
        watch.refuse("a")
    watch.refuse("b")
    watch.end()
    watch = CrashWatch(file)
    watch.begin()
    assert not watch.careful
    watch.refuse("a")


def test_nobody_is_to_blame_for_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "running.json"
    for boot in range(CRASHES_MAX + 1):
        monkeypatch.setattr(crash_watch, "_boot_id", lambda boot=boot: f"boot {boot}")
        _ended_while(file, "a")
    watch = CrashWatch(file)
    watch.begin()
    watch.refuse("a")


def test_care_ends_after_a_while_and_what_was_set_aside_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "running.json"
    for _ in range(CRASHES_MAX):
        _ended_while(file, "a")
    _ended_while(file, "b")
    watch = CrashWatch(file)
    watch.begin()
    assert watch.careful
    monkeypatch.setattr(crash_watch.time, "monotonic", lambda: 1e12)
    assert not watch.careful
    with pytest.raises(ActivationFailed):
        watch.refuse("a")
    assert '"b"' not in file.read_text()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot": 1}', "\0" * 100])
def test_a_file_that_says_nothing_is_nobodys_fault(tmp_path: Path, content: str) -> None:
    file = tmp_path / "running.json"
    file.write_text(content)
    watch = CrashWatch(file)
    watch.begin()
    assert not watch.careful
