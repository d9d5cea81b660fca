"""The control socket: what it refuses, what it survives, and that it answers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.abc import TaskStatus

from overwinter.edge import control
from overwinter.edge.control import (
    ControlClient,
    GatewayNotRunning,
    OperationFailed,
    serve,
)
from overwinter.runtime.remote import SocketInUse, SocketUnusable

Json = dict[str, Any]


class Opened(TaskStatus[None]):
    """Known once the server has called `started`."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def started(self, value: None = None) -> None:
        self.event.set()


@asynccontextmanager
async def serving(path: Path, gateway: Any, **bounds: int) -> AsyncIterator[ControlClient]:
    opened = Opened()
    server = asyncio.create_task(serve(path, gateway, task_status=opened, **bounds))
    try:
        await asyncio.wait_for(opened.event.wait(), 5)
        yield ControlClient(path, timeout_s=5)
    finally:
        server.cancel()
        await asyncio.wait([server])


@pytest.fixture
async def client(tmp_path: Path, gateway: Any) -> AsyncIterator[ControlClient]:
    async with serving(tmp_path / "control.sock", gateway) as client:
        yield client


async def exchange(path: Path, *lines: bytes) -> list[Json]:
    """Send each line on one connection, and read one answer for each."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
    answers: list[Json] = []
    for line in lines:
        writer.write(line)
        answers.append(json.loads(await asyncio.wait_for(reader.readline(), 5)))
    writer.close()
    return answers


async def test_an_operation_is_answered(client: ControlClient) -> None:
    answer = await client.call("show", workflow_id="irrigation/north-3")
    assert answer["execution"]["type"] == "Irrigate"


async def test_a_change_reaches_the_gateway_with_its_arguments(client: ControlClient, gateway: Any) -> None:
    await client.call("signal", workflow_id="irrigation/north-3", name="rain", args=[{"mm": 4}])
    expected = {"workflow_id": "irrigation/north-3", "name": "rain", "args": [{"mm": 4}]}
    assert gateway.calls == [("signal", expected)]


async def test_only_the_owner_can_open_the_socket(tmp_path: Path, client: ControlClient) -> None:
    assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


async def test_the_socket_file_is_gone_after_the_end(tmp_path: Path, gateway: Any) -> None:
    async with serving(tmp_path / "s", gateway):
        assert (tmp_path / "s").exists()
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (b"{not json\n", "BadRequest", "not JSON"),
        (b"[" * 100_000 + b"\n", "BadRequest", "not JSON"),
        (b"\xff\xfe\n", "BadRequest", "not JSON"),
        (b"[1]\n", "BadRequest", "expected an object"),
        (b"{}\n", "BadRequest", "names no operation"),
        (b'{"op":"lst"}\n', "BadRequest", "unknown operation 'lst'"),
        (b'{"op":"__init__"}\n', "BadRequest", "unknown operation"),
        (b'{"op":"list","args":[]}\n', "BadRequest", "args is of type list"),
        (b'{"op":"list","args":{"limit":0}}\n', "BadRequest", "limit is 0, expected 1 to"),
        (b'{"op":"list","args":{"limit":true}}\n', "BadRequest", "expected an integer"),
        (b'{"op":"list","args":{"colour":1}}\n', "BadRequest", "no argument 'colour'"),
        (b'{"op":"show"}\n', "BadRequest", "needs the argument 'workflow_id'"),
        (b'{"op":"show","args":{"workflow_id":7}}\n', "BadRequest", "expected a string"),
        (b'{"op":"show","args":{"workflow_id":""}}\n', "BadRequest", "0 characters"),
        (b'{"op":"show","args":{"workflow_id":"none"}}\n', "UnknownExecution", "no execution 'none'"),
    ],
)
async def test_a_bad_request_is_answered_and_the_connection_goes_on(
    tmp_path: Path, client: ControlClient, line: bytes, kind: str, words: str
) -> None:
    refusal, answer = await exchange(tmp_path / "control.sock", line, b'{"id":9,"op":"status"}\n')
    assert refusal["ok"] is False
    assert refusal["error"]["type"] == kind
    assert words in refusal["error"]["message"]
    assert answer["id"] == 9
    assert answer["result"]["gateway"] == "farm-gate-1"


async def test_a_refused_request_keeps_its_id(tmp_path: Path, client: ControlClient) -> None:
    (refusal,) = await exchange(tmp_path / "control.sock", b'{"id":"a7","op":"show"}\n')
    assert refusal["id"] == "a7"


async def test_an_unknown_operation_names_the_known_ones(tmp_path: Path, client: ControlClient) -> None:
    (refusal,) = await exchange(tmp_path / "control.sock", b'{"op":"lst"}\n')
    assert "list, show, signal" in refusal["error"]["hint"]


async def test_a_line_over_the_bound_is_refused(tmp_path: Path, client: ControlClient) -> None:
    reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
    writer.write(b"x" * (control.REQUEST_BYTES_MAX * 2))
    answer = json.loads(await asyncio.wait_for(reader.readline(), 5))
    assert "longer than" in answer["error"]["message"]
    writer.close()
    assert (await client.call("status"))["pid"] == 4242


async def test_a_bug_in_an_operation_is_an_error_answer(gateway: Any, client: ControlClient) -> None:
    async def status() -> Json:
        raise ZeroDivisionError("division by zero")

    gateway.status = status
    with pytest.raises(OperationFailed, match="division by zero") as caught:
        await client.call("status")
    assert caught.value.kind == "ZeroDivisionError"


async def test_an_error_carries_its_hint(client: ControlClient) -> None:
    with pytest.raises(OperationFailed, match="has ended") as caught:
        await client.call("cancel", workflow_id="valve/9")
    assert caught.value.hint == "start it again under another id"


async def test_connections_over_the_bound_are_told_so(tmp_path: Path, gateway: Any) -> None:
    async with serving(tmp_path / "s", gateway, connections_max=2) as client:
        held = [await asyncio.open_unix_connection(tmp_path / "s") for _ in range(2)]
        for reader, writer in held:
            writer.write(b'{"op":"status"}\n')
            await reader.readline()
        with pytest.raises(OperationFailed, match="2 connections are open"):
            await client.call("status")
        for _, writer in held:
            writer.close()


async def test_a_socket_file_of_a_dead_process_is_replaced(tmp_path: Path, gateway: Any) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(os.fspath(tmp_path / "s"))
    dead.listen()
    dead.close()
    async with serving(tmp_path / "s", gateway) as client:
        assert (await client.call("status"))["pid"] == 4242


async def test_a_socket_that_someone_answers_on_is_refused(tmp_path: Path, gateway: Any) -> None:
    async with serving(tmp_path / "s", gateway) as client:
        with pytest.raises(SocketInUse, match="another process answers"):
            await serve(tmp_path / "s", gateway)
        assert (await client.call("status"))["pid"] == 4242


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path, gateway: Any) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(SocketInUse, match="not a socket"):
        await serve(tmp_path / "s", gateway)
    assert (tmp_path / "s").read_text() == "precious"


async def test_a_path_that_is_too_long_says_what_to_do(tmp_path: Path, gateway: Any) -> None:
    with pytest.raises(SocketUnusable, match="choose a shorter directory"):
        await serve(tmp_path / ("x" * 120), gateway)


async def test_without_a_gateway_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(GatewayNotRunning, match="no gateway answers"):
        await ControlClient(tmp_path / "none").call("status")


async def test_tail_streams_events_as_they_come(client: ControlClient, gateway: Any) -> None:
    events = client.tail()
    for lsn in (1, 2, 3):
        gateway.feed.put_nowait({"lsn": lsn})
    assert [(await anext(events))["lsn"] for _ in range(3)] == [1, 2, 3]
    await events.aclose()


async def test_a_slow_reader_of_tail_is_dropped_with_the_reason(tmp_path: Path, gateway: Any) -> None:
    async with serving(tmp_path / "s", gateway, tail_events_max=5):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s", limit=1 << 16)
        writer.write(b'{"id":1,"op":"tail"}\n')
        for lsn in range(100):
            gateway.feed.put_nowait({"lsn": lsn, "text": "x" * 20_000})
        await asyncio.sleep(0.2)
        lines: list[Json] = []
        while line := await asyncio.wait_for(reader.readline(), 5):
            lines.append(json.loads(line))
        assert lines[-1]["error"]["type"] == "SlowReader"
        assert len(lines) < 100
        writer.close()


async def test_a_reader_that_hangs_up_ends_its_stream(client: ControlClient, gateway: Any) -> None:
    ended = asyncio.Event()

    async def tail(*, after_lsn: int | None = None) -> AsyncIterator[Json]:
        try:
            while True:
                yield await gateway.feed.get()
        finally:
            ended.set()

    gateway.tail = tail
    gateway.feed.put_nowait({"lsn": 1})
    events = client.tail()
    await anext(events)
    await events.aclose()
    await asyncio.wait_for(ended.wait(), 5)


async def test_the_server_ends_at_once_with_connections_open(tmp_path: Path, gateway: Any) -> None:
    async with serving(tmp_path / "s", gateway):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"op":"tail"}\n')
        await reader.readline()
    assert await asyncio.wait_for(reader.readline(), 5) == b""
    writer.close()
