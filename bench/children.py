"""A process that reports lines of JSON, and must end in time."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from . import processes

MISSING = 3
"""The exit code that says that what an engine needs is not installed."""


def follow(command: list[str], *, seconds: float, each: Callable[[dict[str, Any]], None]) -> str | None:
    """Hand over each line of JSON as it comes; why the process did not end well, when it did not.

    Whatever it started is gone when this returns.
    """
    with tempfile.TemporaryFile("w+") as errors:
        overdue = threading.Event()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            timer = threading.Timer(seconds, lambda: (overdue.set(), processes.kill_tree(process)))
            timer.start()
            try:
                _read(process, each)
                code = process.wait()
            finally:
                timer.cancel()
                timer.join()
                processes.kill_tree(process)
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if overdue.is_set():
        return f"stopped after {seconds:.0f} s"
    if code == MISSING:
        return f"skipped: {said[-1] if said else 'not installed'}"
    return None if code == 0 else f"failed ({code}): {said[-1] if said else 'it said nothing'}"


def _read(process: subprocess.Popen[str], each: Callable[[dict[str, Any]], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            each(json.loads(line))
