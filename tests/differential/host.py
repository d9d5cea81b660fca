"""One engine in a process of its own: `python -m tests.differential.host temporal cases <server>`, or `... overwinter cases`.

The second word is the folder of the cases, and says in which kind of environment they run. It prints an empty object when
it is ready. Then each line of standard input is a request, and is answered by a line, or with `!` and a traceback: to run a
file of cases (the observation of each), for the histories that they have left, or to replay histories against the
workflows of a file (what does not fit).
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

        async def do(request: dict[str, Any]) -> dict[str, Any]:
            match request:
                case {"replay": file, "histories": histories}:
                    return await _replay(file, histories)
                case {"histories": file}:
                    return {"histories": await _histories(environment.client, file)}
            file = request["run"]
            module, cases = _cases("cases", file)
            async with worker(environment.client, file, module.WORKFLOWS, module.ACTIVITIES):
                found = [observe(case, environment.client, file) for case in cases.values()]
                return dict(zip(cases, await asyncio.gather(*found), strict=True))

        await _answer_requests(do, answers)


async def _histories(client: Any, file: str) -> list[dict[str, Any]]:
    """Of all executions on the file's task queue; the server lists them a moment after they were."""
    query, count = f"TaskQueue = '{file}'", -1
    while (now := (await client.count_workflows(query)).count) != count:
        count = now
        await asyncio.sleep(0.5)
    found = client.list_workflows(query).map_histories()
    return [{"workflow_id": h.workflow_id, **h.to_json_dict()} async for h in found]


async def _replay(file: str, histories: list[dict[str, Any]]) -> dict[str, Any]:
    from temporalio.client import WorkflowHistory
    from temporalio.worker import Replayer

    from .observe import worker_options

    options = {name: value for name, value in worker_options.items() if name == "workflow_runner"}
    workflows = _cases("cases", file)[0].WORKFLOWS
    misfits: dict[str, str] = {}
    for found in histories:
        history = WorkflowHistory.from_json(found["workflow_id"], found)
        replayer = Replayer(workflows=workflows, **options)
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        if result.replay_failure is not None:
            misfits[found["workflow_id"]] = f"{type(result.replay_failure).__name__}: {result.replay_failure}"
    return misfits


async def _serve_skipping(arguments: list[str], answers: TextIO) -> None:
    """Each case has an environment of its own, since all that is in one shares its clock."""
    from temporalio.testing import WorkflowEnvironment

    from .observe import observe, worker

    options: dict[str, Any] = {"test_server_existing_path": arguments[0]} if arguments else {}

    async def run(request: dict[str, Any]) -> dict[str, Any]:
        file = request["run"]
        module, cases = _cases("skipping", file)
        seen: dict[str, Any] = {}
        for name, case in cases.items():
            async with (
                await WorkflowEnvironment.start_time_skipping(**options) as environment,
                worker(environment.client, file, module.WORKFLOWS, module.ACTIVITIES),
            ):
                seen[name] = await observe(case, environment, file)
        return seen

    await _answer_requests(run, answers)


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

        async def run(request: dict[str, Any]) -> dict[str, Any]:
            file = request["run"]
            module, cases = _cases("own_clocks", file)
            async with worker(environment.client, file, module.WORKFLOWS, module.ACTIVITIES):
                skippers = [TimeSkipper(environment.client) for _ in cases]
                found = [observe(case, skipper, file) for case, skipper in zip(cases.values(), skippers)]
                return dict(zip(cases, await asyncio.gather(*found), strict=True))

        await _answer_requests(run, answers)


def _cases(folder: str, file: str) -> tuple[Any, dict[str, Any]]:
    module = importlib.import_module(f"{__package__}.{folder}.{file}")
    return module, {name: case for name, case in vars(module).items() if name.startswith("case_")}


async def _answer_requests(
    do: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]], answers: TextIO
) -> None:
    _answer(answers, {})
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            _answer(answers, await do(json.loads(line)))
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
