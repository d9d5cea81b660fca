"""What processes take, read from /proc: memory, processor time, bytes written."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that these processes have used."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes; what they share is counted once (PSS)."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes (RSS), summed."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")


def written_bytes(pids: Iterable[int]) -> int:
    """Bytes that the kernel was made to send to the disk."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("write_bytes:"):
                    total += int(line.split()[1])
    return total


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            if file.is_file():
                total += file.stat().st_size
    return total


def kill_tree(process: subprocess.Popen[str]) -> None:
    """Kill a process and all below it at once, as a power cut would; then it is gone."""
    for pid in tree(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def line_of(process: subprocess.Popen[str], word: str) -> float:
    """Wait until a process has printed a line that begins with this word; the instant when it had (monotonic)."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return time.perf_counter()
    raise RuntimeError(f"{process.args!r} ended with {process.wait()} before it printed {word}")
