"""W5: the worker of 500 workflows of 10 x 50 ms steps is killed by kill -9 and started again."""

from __future__ import annotations

import subprocess
import time

from .. import processes
from ..run import Turn

TITLE = "kill -9 with 500 workflows of 10 x 50 ms steps under way: restart until all are complete"
SECONDS = 150
WORKFLOWS = 500
KILL_AFTER_S = 0.25


async def measure(turn: Turn) -> None:
    assert turn.engine is not None
    count = str(int(turn.scaled(WORKFLOWS, 50)))
    async with turn.engine.servers(turn.folder) as address:
        command = turn.command("bench.worker", address=address)
        began = time.perf_counter()
        with subprocess.Popen([*command, "begin", count], stdout=subprocess.PIPE, text=True) as worker:
            started = processes.line_of(worker, "STARTED")
            turn.add("seconds_until_started", started - began, "s")
            time.sleep(KILL_AFTER_S)
            processes.kill_tree(worker)
        began = time.perf_counter()
        with subprocess.Popen([*command, "finish", count], stdout=subprocess.PIPE, text=True) as worker:
            finished = processes.line_of(worker, "FINISHED")
            turn.add("seconds_to_recover", finished - began, "s")
            processes.kill_tree(worker)
