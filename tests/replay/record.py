"""Records histories of the programs: `python -m tests.replay.record temporal`, or `... overwinter`.

Only for programs that have none yet: recorded histories are kept.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).with_name("recorded")
PROGRAMS = Path(__file__).with_name("programs.py")
QUEUE = "recorded"


def programs(side: str) -> ModuleType:
    """The programs, with the imports of either side; their file has a name that says nothing of this machine."""
    module = ModuleType(f"tests.replay.programs_of_{side}")
    sys.modules[module.__name__] = module
    source = PROGRAMS.read_text(encoding="utf-8")
    if side == "temporal":
        source = source.replace("overwinter.runtime", "temporalio")
    exec(compile(source, "tests/replay/programs.py", "exec"), vars(module))
    return module


async def record(side: str) -> None:
    """Write a file for each run that has none."""
    theirs = side == "temporal"
    module = programs(side)
    options: dict[str, Any] = {"search_attributes": [module.CROP], "identity": "recorder"}
    workers: dict[str, Any] = {
        "workflows": module.WORKFLOWS,
        "activities": module.ACTIVITIES,
        "identity": "recorder",
    }
    if theirs:
        from temporalio.testing import WorkflowEnvironment
        from temporalio.worker import UnsandboxedWorkflowRunner, Worker

        from tests.differential.engines import dev_server

        options["dev_server_existing_path"] = dev_server()
        workers["workflow_runner"] = UnsandboxedWorkflowRunner()
    else:
        from overwinter.runtime.testing import WorkflowEnvironment
        from overwinter.runtime.worker import Worker
    async with await WorkflowEnvironment.start_local(**options) as environment:
        client = environment.client
        async with Worker(client, task_queue=QUEUE, **workers):
            await module.play(client, QUEUE)
        await asyncio.sleep(2 if theirs else 0)  # The server lists them a moment after they were.
        async for history in client.list_workflows(f"TaskQueue = '{QUEUE}'").map_histories():
            _write(history, theirs)


def _write(history: Any, theirs: bool) -> None:
    started = history.events[0].workflow_execution_started_event_attributes
    again = "-again" if started.continued_execution_run_id else ""
    name = (
        history.workflow_id.removeprefix("recorded-") + again
        if "recorded-" in history.workflow_id
        else "valve"
    )
    file = FOLDER / ("temporal" if theirs else "overwinter") / f"{name}.json"
    if not file.exists():
        file.write_text(history.to_json().replace(sys.prefix, "") + "\n", encoding="utf-8")
    if not theirs:
        from overwinter.runtime.histories import to_lines

        lines = file.with_suffix(".history.jsonl")
        if not lines.exists():
            lines.write_text("".join(to_lines(history.workflow_id, history.records)), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
