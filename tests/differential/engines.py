"""The two engines as processes that run files of cases."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

START_S = 30.0
FILE_S = 60.0
"""Longer than the cases of a file take together, since each has a limit of its own."""

ROOT = Path(__file__).parents[2]


def dev_server() -> str | None:
    """Path of Temporal's dev server: TEMPORAL_DEV_SERVER, or `temporal` on PATH or beside this Python."""
    named = os.environ.get("TEMPORAL_DEV_SERVER")
    return named or shutil.which("temporal") or shutil.which("temporal", path=sysconfig.get_path("scripts"))


def time_skipping_server() -> str | None:
    """Path of Temporal's server whose time skips: TEMPORAL_TEST_SERVER, or `temporal-test-server` as for `dev_server`."""
    named = os.environ.get("TEMPORAL_TEST_SERVER")
    name = "temporal-test-server"
    return named or shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts"))


class EngineProcess:
    """An engine in a process of its own; a file of cases runs once, its observations and histories are kept."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._seen: dict[str, dict[str, Any]] = {}
        self._histories: dict[str, list[dict[str, Any]]] = {}
        self._begun: str | None = None

    def begin(self, file: str) -> None:
        """Run the cases of this file, while the caller does something else."""
        if file not in self._seen and self._begun is None:
            try:
                self._send({"run": file})
            except (OSError, RuntimeError) as error:
                self.close()
                self._seen[file] = {"!": str(error)}
            else:
                self._begun = file

    def observations(self, file: str) -> dict[str, Any]:
        """What each case of the file let us see.

        Raises:
            RuntimeError: the engine does not start, the file cannot be imported, or there is no answer in time.
        """
        self.begin(file)
        self._finish()
        self.begin(file)  # Another one was under way.
        self._finish()
        return self._answered(self._seen[file])

    def _finish(self) -> None:
        if self._begun is not None:
            file, self._begun = self._begun, None
            self._seen[file] = self._answer_or_error()

    def histories(self, file: str) -> list[dict[str, Any]]:
        """The histories that the cases of a file have left, as JSON in Temporal's form, each with its workflow id."""
        if file not in self._histories:
            self.observations(file)
            self._histories[file] = self._answered(self._ask({"histories": file}))["histories"]
        return self._histories[file]

    def replayed(self, file: str, histories: list[dict[str, Any]]) -> dict[str, str]:
        """Which of these histories do not fit the workflows of the file, and why, by workflow id."""
        return self._answered(self._ask({"replay": file, "histories": histories}))

    def _answered(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "!" in answer:
            raise RuntimeError(f"{self._arguments[0]}: {answer['!']}")
        return answer

    def close(self) -> None:
        """End it as it wants to end, or else at once, with whatever it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
            process.wait(15)
        except (OSError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._finish()
        try:
            self._send(request)
        except (OSError, RuntimeError) as error:
            self.close()
            return {"!": str(error)}
        return self._answer_or_error()

    def _send(self, request: dict[str, Any]) -> None:
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()

    def _answer_or_error(self) -> dict[str, Any]:
        try:
            return self._answer(self._started(), FILE_S)
        except (OSError, RuntimeError) as error:
            self.close()
            return {"!": str(error)}

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.differential.host", *self._arguments],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
            self._answer(self._process, START_S)
        return self._process

    def _answer(self, process: subprocess.Popen[str], within_s: float) -> dict[str, Any]:
        assert process.stdout is not None
        end = time.monotonic() + within_s
        line = ""
        if select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"no answer from {' '.join(self._arguments)}\n{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]
