"""One engine in a process of its own: `python -m tests.differential.host temporal <dev server>`, or `... overwinter`.

It prints an empty object when it is ready. Then each line of standard input names a file of cases, and is answered by
a line with the observation of each of them, or with `!` and the traceback of a file that cannot be imported.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import traceback
from datetime import timedelta
from typing import Any, TextIO


def main() -> None:
    """Serve until standard input ends."""
    engine, *arguments = sys.argv[1:]
    # Whatever a library prints goes to the log: standard output is for answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if engine == "overwinter":
        from . import alias

        alias.install()
    asyncio.run(_serve(engine, arguments, answers))


async def _serve(engine: str, arguments: list[str], answers: TextIO) -> None:
    from temporalio.common import SearchAttributeKey
    from temporalio.testing import WorkflowEnvironment

    keys = [
        SearchAttributeKey.for_keyword("Crop"),
        SearchAttributeKey.for_int("Beds"),
        SearchAttributeKey.for_keyword_list("Plots"),
    ]
    options: dict[str, Any] = {"search_attributes": keys}
    if engine == "temporal":
        options["dev_server_existing_path"] = arguments[0]
        _prepare_workers()
    async with await WorkflowEnvironment.start_local(**options) as environment:
        _answer(answers, {})
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                _answer(answers, await _run(environment.client, line.strip()))
            except Exception:
                _answer(answers, {"!": traceback.format_exc()})


def _prepare_workers() -> None:
    """Without a sandbox, which Overwinter does not have; beats are sent when they are made, as there."""
    from temporalio.worker import UnsandboxedWorkflowRunner

    from .observe import worker_options

    often = timedelta(milliseconds=50)
    worker_options["workflow_runner"] = UnsandboxedWorkflowRunner()
    worker_options["max_heartbeat_throttle_interval"] = often
    worker_options["default_heartbeat_throttle_interval"] = often


async def _run(client: Any, file: str) -> dict[str, Any]:
    from .observe import observe, worker

    module = importlib.import_module(f"{__package__}.cases.{file}")
    cases = {name: case for name, case in vars(module).items() if name.startswith("case_")}
    async with worker(client, file, module.WORKFLOWS, module.ACTIVITIES):
        seen = await asyncio.gather(*(observe(case, client, file) for case in cases.values()))
    return dict(zip(cases, seen, strict=True))


def _answer(answers: TextIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
