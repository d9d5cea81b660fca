"""One engine in a process of its own: `python -m tests.differential.host temporal cases <server>`, or `... overwinter cases`.

The second word is the folder of the cases, and says in which kind of environment they run. It prints an empty object when
it is ready. Then each line of standard input names a file of cases, and is answered by a line with the observation of each
of them, or with `!` and the traceback of a file that cannot be imported.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TextIO


def main() -> None:
    """Serve until standard input ends."""
    engine, folder, *arguments = sys.argv[1:]
    # Whatever a library prints goes to the log: standard output is for answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if engine == "overwinter":
        from . import alias

        alias.install()
    else:
        _prepare_workers()
    asyncio.run(
        {"cases": _serve, "skipping": _serve_skipping, "own_clocks": _serve_own_clocks}[folder](
            arguments, answers
        )
    )


async def _serve(arguments: list[str], answers: TextIO) -> None:
    """The cases of a file run at the same time in one environment."""
    from temporalio.common import SearchAttributeKey
    from temporalio.testing import WorkflowEnvironment

    from .observe import observe, worker

    keys = [
        SearchAttributeKey.for_keyword("Crop"),
        SearchAttributeKey.for_int("Beds"),
        SearchAttributeKey.for_keyword_list("Plots"),
    ]
    options: dict[str, Any] = {"search_attributes": keys}
    if arguments:
        options["dev_server_existing_path"] = arguments[0]
    async with await WorkflowEnvironment.start_local(**options) as environment:

        async def run(file: str) -> dict[str, Any]:
            module, cases = _cases("cases", file)
            async with worker(environment.client, file, module.WORKFLOWS, module.ACTIVITIES):
                found = [observe(case, environment.client, file) for case in cases.values()]
                return dict(zip(cases, await asyncio.gather(*found), strict=True))

        await _answer_files(run, answers)


async def _serve_skipping(arguments: list[str], answers: TextIO) -> None:
    """Each case has an environment of its own, since all that is in one shares its clock."""
    from temporalio.testing import WorkflowEnvironment

    from .observe import observe, worker

    options: dict[str, Any] = {"test_server_existing_path": arguments[0]} if arguments else {}

    async def run(file: str) -> dict[str, Any]:
        module, cases = _cases("skipping", file)
        seen: dict[str, Any] = {}
        for name, case in cases.items():
            async with (
                await WorkflowEnvironment.start_time_skipping(**options) as environment,
                worker(environment.client, file, module.WORKFLOWS, module.ACTIVITIES),
            ):
                seen[name] = await observe(case, environment, file)
        return seen

    await _answer_files(run, answers)


async def _serve_own_clocks(arguments: list[str], answers: TextIO) -> None:
    """The cases of a file run at the same time in one environment, each with a skipper of its own."""
    from temporalio.testing import TimeSkipper, WorkflowEnvironment

    from .observe import observe, worker

    options: dict[str, Any] = {}
    if arguments:
        options["dev_server_existing_path"] = arguments[0]
        switch = "frontend.WorkflowTimeSkippingEnabled=true"
        options["dev_server_extra_args"] = ["--dynamic-config-value", switch]
    async with await WorkflowEnvironment.start_local(**options) as environment:

        async def run(file: str) -> dict[str, Any]:
            module, cases = _cases("own_clocks", file)
            async with worker(environment.client, file, module.WORKFLOWS, module.ACTIVITIES):
                skippers = [TimeSkipper(environment.client) for _ in cases]
                found = [observe(case, skipper, file) for case, skipper in zip(cases.values(), skippers)]
                return dict(zip(cases, await asyncio.gather(*found), strict=True))

        await _answer_files(run, answers)


def _cases(folder: str, file: str) -> tuple[Any, dict[str, Any]]:
    module = importlib.import_module(f"{__package__}.{folder}.{file}")
    return module, {name: case for name, case in vars(module).items() if name.startswith("case_")}


async def _answer_files(run: Callable[[str], Awaitable[dict[str, Any]]], answers: TextIO) -> None:
    _answer(answers, {})
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            _answer(answers, await run(line.strip()))
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


def _answer(answers: TextIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
