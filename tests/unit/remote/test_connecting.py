"""Which gateway a client is of, what stands around its calls, and what a remote one cannot be."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter.runtime.client import (
    Client,
    ClientConfig,
    Interceptor,
    OutboundInterceptor,
    Plugin,
    RPCTimeoutOrCancelledError,
    SignalWorkflowInput,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from overwinter.runtime.client._connecting import socket_path
from overwinter.runtime.converter import DataConverter, PayloadCodec
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.exceptions import ApplicationError, WorkflowAlreadyStartedError
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.remote import RemoteLimits
from overwinter.runtime.service import RPCError, RPCStatusCode
from overwinter.runtime.worker import Worker
from tests.unit.gateways import until

from .peers import QUEUE, Collect, serving


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("unix:/run/farm/client.sock", "/run/farm/client.sock"),
        ("unix:///run/farm/client.sock", "/run/farm/client.sock"),
        ("unix:client.sock", "client.sock"),
        ("/run/farm/client.sock", "/run/farm/client.sock"),
        ("./client.sock", "client.sock"),
        ("../client.sock", "../client.sock"),
        (Path("client.sock"), "client.sock"),
        ("localhost:7233", None),
        ("", None),
        ("farm.tmprl.cloud:7233", None),
    ],
)
def test_an_address_is_a_socket_or_of_a_server_that_there_is_not(
    address: str | Path, path: str | None
) -> None:
    assert socket_path(address) == (None if path is None else Path(path))


async def test_a_client_connects_by_the_address_of_the_socket(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _):
        client = await Client.connect(f"unix:{tmp_path}/client.sock", namespace="farm", identity="me")
        assert await client.execute_workflow(Collect.run, 0, id="w", task_queue=QUEUE) == []
        assert service.connections == 1
        await client.close()
        await until(lambda: service.connections == 0)
        with pytest.raises(RPCError, match="was closed"):
            await client.get_workflow_handle("w").describe()


async def test_connecting_to_no_gateway_says_so_at_once_and_lazily_when_it_is_used(tmp_path: Path) -> None:
    with pytest.raises(RPCError, match="no gateway answers") as away:
        await Client.connect(tmp_path / "client.sock")
    assert away.value.status == RPCStatusCode.UNAVAILABLE
    client = await Client.connect(tmp_path / "client.sock", lazy=True)
    async with serving(tmp_path):
        assert await client.execute_workflow(Collect.run, 0, id="w", task_queue=QUEUE) == []
        await client.close()


async def test_something_else_behind_the_socket_is_no_gateway(tmp_path: Path) -> None:
    async def chat(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_unix_server(chat, tmp_path / "client.sock")
    with pytest.raises(RPCError, match="no gateway answers") as away:
        await Client.connect(tmp_path / "client.sock")
    assert away.value.status == RPCStatusCode.UNAVAILABLE
    server.close()


async def test_a_worker_of_a_remote_client_is_refused_and_told_where_workflows_run(tmp_path: Path) -> None:
    async with serving(tmp_path):
        client = await Client.connect(tmp_path / "client.sock")
        with pytest.raises(RuntimeError, match=r"another process .*\[gateway\] modules"):
            Worker(client, task_queue="other", workflows=[Collect])
        await client.close()


async def test_many_tasks_share_one_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, RemoteLimits(connections_max=1)) as (service, _):
        client = await Client.connect(tmp_path / "client.sock", lazy=True)
        results = await asyncio.gather(
            *(
                client.execute_workflow(Collect.run, 0, id=f"w{number}", task_queue=QUEUE)
                for number in range(200)
            )
        )
        assert results == [[]] * 200
        assert service.counters["connections"] == 1
        await client.close()


# -- around the calls --------------------------------------------------------------------------------------


class Counting(Interceptor):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        counting = self

        class Outbound(OutboundInterceptor):
            async def signal_workflow(self, input: SignalWorkflowInput) -> None:
                counting.seen.append(input.signal)
                input.args = ["changed"]
                await super().signal_workflow(input)

        return Outbound(next)


class Around(Plugin):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        config["interceptors"] = [*config.get("interceptors", ()), Counting()]
        return config

    async def connect_service_client(self, config: Any, next: Callable[[Any], Awaitable[Any]]) -> Any:
        self.seen.append(config.target_host)
        return await next(config)


async def test_interceptors_and_plugins_stand_around_the_calls(tmp_path: Path) -> None:
    async with serving(tmp_path):
        plugin = Around()
        client = await Client.connect(f"unix:{tmp_path}/client.sock", plugins=[plugin])
        assert plugin.seen == [f"unix:{tmp_path}/client.sock"]
        handle = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        await handle.signal(Collect.put, "a")
        assert await handle.result() == ["changed"]
        again = Client(**client.config())
        assert await again.get_workflow_handle("w").result() == ["changed"]
        await client.close()


class Sealed(PayloadCodec):
    """Values that a gateway cannot read."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload({"encoding": b"sealed"}, bytes(255 - byte for byte in each.SerializeToString()))
            for each in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload.FromString(bytes(255 - byte for byte in each.data)) for each in payloads]


async def test_values_are_sealed_and_opened_by_the_caller(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, here):
        converter = DataConverter(payload_codec=Sealed())
        sealed_here = Client(here.engine, data_converter=converter)
        async with Worker(sealed_here, task_queue="sealed", workflows=[Collect]):
            client = await Client.connect(tmp_path / "client.sock", data_converter=converter)
            handle = await client.start_workflow(
                Collect.run, 2, id="w", task_queue="sealed", memo={"field": "north"}
            )
            await handle.signal(Collect.put, "secret")
            assert await handle.execute_update(Collect.add, "secret") == 2
            assert await handle.query(Collect.seen) == ["secret", "secret"]
            assert await handle.result() == ["secret", "secret"]
            assert await (await handle.describe()).memo() == {"field": "north"}
            await client.close()
        stored = (tmp_path / "journal.db").read_bytes() + (tmp_path / "journal.db-wal").read_bytes()
        assert b"secret" not in stored
        assert b"north" not in stored


async def test_errors_are_those_of_a_client_in_the_process(tmp_path: Path) -> None:
    async with serving(tmp_path):
        client = await Client.connect(tmp_path / "client.sock")
        handle = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowAlreadyStartedError) as taken:
            await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        assert (taken.value.workflow_id, taken.value.workflow_type) == ("w", "Collect")
        assert taken.value.run_id == handle.result_run_id
        with pytest.raises(WorkflowUpdateFailedError) as rejected:
            await handle.execute_update(Collect.add, "")
        assert isinstance(rejected.value.cause, ApplicationError)
        assert rejected.value.cause.type == "ValueError"
        await handle.terminate(reason="rain")
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert "rain" in str(ended.value.cause)
        with pytest.raises(ValueError, match="cron"):
            await client.start_workflow(Collect.run, 1, id="c", task_queue=QUEUE, cron_schedule="no cron")
        await client.close()


# -- deadlines and cancellation ------------------------------------------------------------------------------

SHORT = timedelta(seconds=0.1)


async def test_a_wait_has_a_deadline_and_is_over_at_the_gateway_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _):
        client = await Client.connect(tmp_path / "client.sock")
        handle = await client.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
        with pytest.raises(RPCTimeoutOrCancelledError):
            await handle.result(rpc_timeout=SHORT)
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await handle.execute_update(Collect.add_slowly, "a", rpc_timeout=SHORT)
        events = handle.fetch_history_events(wait_new_event=True, rpc_timeout=SHORT)
        with pytest.raises(RPCError, match="Timeout expired") as late:
            async for _ in events:
                pass
        assert late.value.status == RPCStatusCode.DEADLINE_EXCEEDED
        (conversation,) = service._open.values()
        await until(lambda: not conversation._tasks, what="the gateway waits no longer")
        await client.close()


async def test_who_is_cancelled_while_it_waits_leaves_nothing_at_the_gateway(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _):
        client = await Client.connect(tmp_path / "client.sock")
        handle = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        waiting = [asyncio.create_task(handle.result()) for _ in range(50)]
        await asyncio.sleep(0.05)
        (conversation,) = service._open.values()
        assert len(conversation._tasks) == 50
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await until(lambda: not conversation._tasks)
        await handle.signal(Collect.put, "a")
        assert await handle.result() == ["a"]
        await client.close()


async def test_a_change_has_a_deadline_and_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, gate = SqliteJournal.commit, asyncio.Event()

    async def slow(self: SqliteJournal, batch: Any) -> Any:
        await gate.wait()
        return await commit(self, batch)

    async with serving(tmp_path) as (_, here):
        client = await Client.connect(tmp_path / "client.sock")
        handle = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        monkeypatch.setattr(SqliteJournal, "commit", slow)
        with pytest.raises(RPCError, match="Timeout expired") as late:
            await handle.signal(Collect.put, "a", rpc_timeout=SHORT)
        assert late.value.status == RPCStatusCode.DEADLINE_EXCEEDED
        gate.set()
        assert await here.get_workflow_handle("w").result() == ["a"]
        await client.close()


async def test_a_program_that_ends_without_closing_its_client_leaves_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As one does that was written for a server."""
    async with serving(tmp_path) as (service, here):
        code = (
            "import asyncio, sys\n"
            "from overwinter.runtime.client import Client\n"
            "async def main():\n"
            "    client = await Client.connect(sys.argv[1])\n"
            "    print(await client.count_workflows())\n"
            "    asyncio.create_task(client.get_workflow_handle('w').result())\n"
            "    await asyncio.sleep(0.05)\n"
            "asyncio.run(main(), debug=True)\n"
        )
        await here.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-W", "error", "-c", code, str(tmp_path / "client.sock"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 15)
        assert process.returncode == 0, err.decode()
        assert b"count=1" in out
        warned = [line for line in err.decode().splitlines() if "Warning" in line or "Error" in line]
        assert warned == []
        await until(lambda: service.connections == 0)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
