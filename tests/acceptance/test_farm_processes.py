"""The demo's children must not outlive the launcher, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from examples.farm.processes import Child

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
LAUNCH_AND_WAIT = """
import sys, time
from pathlib import Path
from examples.farm.processes import Child
child = Child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]))
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10.0
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_when_the_launcher_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", LAUNCH_AND_WAIT, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        deadline = time.monotonic() + 10.0
        while b"examples.farm.leash" in Path(f"/proc/{pid}/cmdline").read_bytes():  # until the program runs
            assert time.monotonic() < deadline
            time.sleep(0.01)
        launcher.send_signal(number)
        wait_until_gone(pid)


async def test_a_stopped_child_tells_by_which_signal_it_ended(tmp_path: Path) -> None:
    child = Child("sleeper", SLEEP, tmp_path / "log")
    child.start()
    assert child.pid is not None
    assert await child.stop() == -signal.SIGTERM
    assert child.pid is None


def test_a_crashed_child_leaves_its_status_and_last_words(tmp_path: Path) -> None:
    child = Child("crash", [sys.executable, "-c", "raise SystemExit('no valve here')"], tmp_path / "log")
    child.start()
    deadline = time.monotonic() + 10.0
    while child.status is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert child.status == 1
    assert "no valve here" in child.last_words()


def test_killing_a_child_kills_what_it_has_started(tmp_path: Path) -> None:
    text = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    child = Child("parent", [sys.executable, "-c", text], tmp_path / "log")
    child.start()
    deadline = time.monotonic() + 10.0
    while not (tmp_path / "log").read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    grandchild = int((tmp_path / "log").read_text())
    assert is_alive(grandchild)
    child.kill()
    wait_until_gone(grandchild)
