"""Activities in child processes: the same as anywhere, and nothing that happens to a child happens to the gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity
from overwinter.runtime import process_child
from overwinter.runtime import process_frames as frames
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.exceptions import ActivityError, ApplicationError, CancelledError
from overwinter.runtime.interceptors import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from overwinter.runtime.processes import NotCallableByName, ProcessPool
from overwinter.runtime.worker import Worker
from tests.unit.process_work import ALL, Call, Reversing, ShoutingConverter

GRACE_S = 0.3
ROOT = Path(__file__).parents[2]


class Crew:
    def __init__(self, client: Client, pool: ProcessPool) -> None:
        self._client = client
        self.pool = pool
        self._count = 0

    async def call(self, name: str, argument: Any = None, cancel_after_s: float = 0.0) -> Any:
        self._count += 1
        args = [name, argument, cancel_after_s]
        return await self._client.execute_workflow(
            Call.run, args=args, id=f"{name}-{self._count}", task_queue="q"
        )

    async def failure(self, name: str, cancel_after_s: float = 0.0) -> BaseException | None:
        with pytest.raises(WorkflowFailureError) as failed:
            await self.call(name, cancel_after_s=cancel_after_s)
        assert isinstance(failed.value.cause, ActivityError)
        return failed.value.cause.cause


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    pool = ProcessPool(2, cancel_grace_s=GRACE_S)
    async with (
        Client.open(tmp_path / "journal.db") as client,
        Worker(client, task_queue="q", workflows=[Call], activities=ALL, activity_executor=pool),
    ):
        yield Crew(client, pool)
    await pool.close()


async def test_a_function_runs_in_another_process_with_typed_arguments(crew: Crew) -> None:
    result = await crew.call("where", {"name": "a", "pixels": 9})
    assert result["pid"] != os.getpid()
    assert result["pixels"] == 9
    assert result["key"].endswith(":1")


async def test_a_child_is_kept_for_the_next_call(crew: Crew) -> None:
    pids = {(await crew.call("where", {"name": "a", "pixels": 1}))["pid"] for _ in range(3)}
    assert len(pids) == 1


async def test_no_more_children_than_slots(crew: Crew) -> None:
    results = await asyncio.gather(*[crew.call("where", {"name": "a", "pixels": 1}) for _ in range(8)])
    assert len({result["pid"] for result in results}) <= 2
    assert crew.pool.children <= 2


async def test_an_exception_comes_back_with_its_type_and_cause(crew: Crew) -> None:
    error = await crew.failure("fails")
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == ("ValueError", "the lens is dirty")
    assert isinstance(error.cause, ApplicationError)
    assert error.cause.type == "KeyError"


async def test_a_child_that_dies_is_named_by_its_signal_and_replaced(crew: Crew) -> None:
    error = await crew.failure("dies")
    assert isinstance(error, ApplicationError)
    assert error.type == "BrokenProcessPool"
    assert "SIGSEGV" in error.message
    assert (await crew.call("where", {"name": "a", "pixels": 1}))["pixels"] == 1


async def test_heartbeats_reach_the_next_attempt(crew: Crew) -> None:
    assert await crew.call("beats") == [2]


async def test_a_function_that_is_cancelled_stops_and_its_child_lives(crew: Crew) -> None:
    await crew.call("where", {"name": "a", "pixels": 1})  # so that there is a child, however slow the machine
    assert isinstance(await crew.failure("listens", cancel_after_s=0.5), CancelledError)
    assert crew.pool.children == 1


def test_what_is_said_of_a_call_before_it_runs_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def exit(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(process_child.os, "_exit", exit)
    gateways, childs = socket.socketpair()
    with gateways, childs:
        for frame in (frames.pack(frames.RUN, [], []), frames.pack(frames.SHUTDOWN)):
            gateways.sendall(frame)
        gateways.shutdown(socket.SHUT_WR)
        child = process_child.Child(childs)
        with pytest.raises(SystemExit):
            child._listen()
        child._run(*child._calls.get())  # It fails: nothing was asked for.
        assert child.shutting_down.is_set()


async def test_what_a_cancelled_function_returns_is_its_result(crew: Crew) -> None:
    await crew.call("where", {"name": "a", "pixels": 1})
    result = await crew.call("obeys", cancel_after_s=0.5)
    assert "cancelled: " in result
    assert "cancel_requested=True" in result


async def test_a_dynamic_activity_is_called_with_the_values_as_they_came(crew: Crew) -> None:
    assert await crew.call("whatever", "leaf") == "whatever ['leaf']"


async def test_a_function_learns_that_its_worker_stops(tmp_path: Path) -> None:
    pool = ProcessPool(1)
    async with Client.open(tmp_path / "journal.db") as client:
        async with Worker(
            client,
            task_queue="q",
            workflows=[Call],
            activities=ALL,
            activity_executor=pool,
            graceful_shutdown_timeout=timedelta(seconds=10),
        ):
            handle = await client.start_workflow(
                Call.run, args=["packs_up", None, 0.0], id="w", task_queue="q"
            )
            while not any(attempt.heartbeat for attempt in await client.engine.journal.attempts(1)):
                await asyncio.sleep(0.05)
        async with Worker(client, task_queue="q", workflows=[Call], activities=[], activity_executor=pool):
            assert await handle.result() == "packed up: True"
    await pool.close()


class Notes(Interceptor):
    """Writes down what each call was and what came of it."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return Noting(next, self.notes)


class Noting(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, notes: list[str]) -> None:
        super().__init__(next)
        self.notes = notes

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        self.notes.append(f"{input.fn.__name__}{tuple(input.args)}")
        input.args = ["from the interceptor"]
        try:
            result = await super().execute_activity(input)
        except Exception as error:
            self.notes.append(f"raised {error}")
            raise
        self.notes.append(f"returned {result}")
        return result


async def test_codec_converter_and_interceptors_are_the_same_as_for_any_activity(tmp_path: Path) -> None:
    pool, notes = ProcessPool(1), Notes()
    converter = DataConverter(payload_converter_class=ShoutingConverter, payload_codec=Reversing())
    async with (
        Client.open(tmp_path / "journal.db", data_converter=converter) as client,
        Worker(
            client,
            task_queue="q",
            workflows=[Call],
            activities=ALL,
            activity_executor=pool,
            interceptors=[notes],
        ),
    ):
        crew = Crew(client, pool)
        assert await crew.call("converts", "leaf") == "ShoutingConverter from the interceptor"
        error = await crew.failure("fails")
    await pool.close()
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == (
        "TypeError",
        "fails() takes 0 positional arguments but 1 was given",
    )
    assert notes.notes[:2] == [
        "converts('leaf',)",
        "returned ShoutingConverter from the interceptor",
    ]


async def test_a_function_that_does_not_stop_is_killed_after_the_grace_and_its_slot_comes_back(
    crew: Crew,
) -> None:
    assert isinstance(await crew.failure("stubborn", cancel_after_s=0.5), CancelledError)
    assert crew.pool.children == 0
    assert (await crew.call("where", {"name": "a", "pixels": 1}))["pixels"] == 1


async def test_a_result_that_is_too_large_is_refused_and_not_tried_again(crew: Crew) -> None:
    error = await crew.failure("too_large")
    assert isinstance(error, ApplicationError)
    assert error.non_retryable
    assert error.type == "PayloadLimitError"


async def test_a_function_that_a_child_could_not_find_is_refused_when_the_worker_is_made(
    tmp_path: Path,
) -> None:
    @activity.defn
    def local() -> None: ...

    async with Client.open(tmp_path / "journal.db") as client:
        with pytest.raises(NotCallableByName, match="top of an importable module"):
            Worker(client, task_queue="q", activities=[local], activity_executor=ProcessPool(1))


_PARENT = """
import asyncio, sys
sys.path[:0] = [{root!r}]
from overwinter.runtime.interceptors import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from overwinter.runtime.processes import _Child
async def main():
    child = await _Child.start()
    print(child._process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_children_end_with_a_gateway_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT.format(root=str(ROOT))], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the child outlives its gateway"
        time.sleep(0.02)


async def test_a_standard_process_pool_is_taken_as_one_of_its_size(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as executor:
        async with (
            Client.open(tmp_path / "journal.db") as client,
            Worker(client, task_queue="q", workflows=[Call], activities=ALL, activity_executor=executor),
        ):
            args = ["where", {"name": "a", "pixels": 9}, 0.0]
            result = await client.execute_workflow(Call.run, args=args, id="w", task_queue="q")
    assert result["pid"] != os.getpid()


PROGRAM = """
import asyncio, os
from datetime import timedelta
from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.interceptors import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from overwinter.runtime.processes import ProcessPool
from overwinter.runtime.worker import Worker

@activity.defn
def where() -> int:
    return os.getpid()

@workflow.defn
class Asks:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(where, start_to_close_timeout=timedelta(seconds=20))

async def main():
    pool = ProcessPool(1)
    async with (
        Client.open("journal.db") as client,
        Worker(client, task_queue="q", workflows=[Asks], activities=[where], activity_executor=pool),
    ):
        print(await client.execute_workflow(Asks.run, id="w", task_queue="q") != os.getpid())
    await pool.close()

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_an_activity_of_the_main_program_is_found_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert run.stdout == "True\n", run.stderr


SHIM = """
import sys
import overwinter.runtime.activity
sys.modules["theirs"] = overwinter.runtime
sys.modules["theirs.activity"] = overwinter.runtime.activity
"""
WORK = """
import os
from theirs import activity

@activity.defn
def where() -> int:
    return os.getpid()
"""


def test_a_child_knows_the_other_names_by_which_its_gateway_imports_the_runtime(tmp_path: Path) -> None:
    own = PROGRAM[PROGRAM.index("@activity.defn") : PROGRAM.index("@workflow.defn")]
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "program.py").write_text(SHIM + PROGRAM.replace(own, "from work import where\n\n"))
    run = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert run.stdout == "True\n", run.stderr
