"""What a gateway refuses of its clients, and that nothing of it reaches the engine or other clients."""

from __future__ import annotations

import asyncio
import os
import random
import stat
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest

from overwinter.runtime.client import Client
from overwinter.runtime.remote import RemoteEngine, RemoteLimits, SocketInUse, serve
from overwinter.runtime.remote import server as server_module
from overwinter.runtime.remote.calls import CALLS
from overwinter.runtime.remote.frames import Kind
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.unit.gateways import until

from .peers import QUEUE, Collect, Peer, serving

NESTED = b"\x91" * 100_000 + b"\x00"


async def works(folder: Path) -> None:
    """A client of good manners is served."""
    client = Client(RemoteEngine(folder / "client.sock"))
    id = f"good-{random.random()}"
    handle = await client.start_workflow(Collect.run, 1, id=id, task_queue=QUEUE)
    await handle.signal(Collect.put, "a")
    assert await handle.result() == ["a"]
    await client.close()


async def test_only_the_owner_can_open_the_socket_and_it_is_gone_after_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert stat.S_IMODE((tmp_path / "client.sock").stat().st_mode) == 0o600
    assert not (tmp_path / "client.sock").exists()


async def test_a_second_gateway_does_not_take_the_socket_of_the_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, here):
        with pytest.raises(SocketInUse, match="another process answers"):
            async with serve(here.engine, tmp_path / "client.sock"):
                pass
        await works(tmp_path)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "does not decode"),
        (b"\xc1", "does not decode"),
        (b"{}", "extra data"),
        (msgpack.packb([]), "begins with its kind"),
        (msgpack.packb(["x"]), "begins with its kind"),
        (msgpack.packb([True]), "begins with its kind"),
        (msgpack.packb([99]), "kind 99"),
        (NESTED, "does not decode"),
        (b"\xdd\xff\xff\xff\xff", "does not decode"),  # a list of four thousand million entries
        (b"\xdf\xff\xff\xff\xff", "does not decode"),
        (b"\xc7\x01\x05\x00", "extension type 5"),
        (msgpack.packb([int(Kind.ANSWER), 1, None]), "no place here"),
        (msgpack.packb([int(Kind.CALL)]), "a call has"),
        (msgpack.packb([int(Kind.CALL), "1", "find_workflow", [], None, False]), "number is a whole number"),
        (msgpack.packb([int(Kind.CALL), 1, "find_workflow", [], b"short", False]), "request id has 16 bytes"),
        (b"\x92\x01" + b"\x81\x92\x01\x02\x03", "does not decode"),  # a list as a key
    ],
)
async def test_what_is_no_frame_ends_its_connection_with_a_reason(
    tmp_path: Path, body: bytes, why: str
) -> None:
    async with serving(tmp_path) as (service, _):
        peer = await Peer.greeted(tmp_path)
        peer.raw(body)
        kind, (name, text, status) = await peer.answer()
        assert (kind, name, status) == (Kind.REFUSED, "rpc", RPCStatusCode.INVALID_ARGUMENT)
        assert why in text
        assert await peer.is_hung_up()
        assert service.counters["refused_frames"] == 1
        await works(tmp_path)


async def test_a_frame_that_announces_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _):
        peer = await Peer.greeted(tmp_path)
        peer.writer.write(struct.pack(">I", 0xFFFFFFFF) + b"x" * 100)
        _, (_, text, _) = await peer.answer()
        assert "announces 4294967295 bytes, at most 16777216" in text
        assert await peer.is_hung_up()
        assert service.counters["refused_frames"] == 1


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        ((Kind.HELLO,), "expected a greeting of protocol version 1"),
        ((Kind.HELLO, 2, "future"), "expected a greeting of protocol version 1"),
        ((Kind.CALL, 1, "find_workflow", ["w", None], None, False), "expected a greeting"),
    ],
)
async def test_a_client_of_another_protocol_is_told_so(
    tmp_path: Path, greeting: tuple[Any, ...], why: str
) -> None:
    async with serving(tmp_path):
        peer = await Peer.connected(tmp_path)
        peer.send(*greeting)
        _, (_, text, _) = await peer.answer()
        assert why in text
        assert await peer.is_hung_up()


async def test_who_speaks_http_to_it_is_hung_up_on(tmp_path: Path) -> None:
    async with serving(tmp_path):
        peer = await Peer.connected(tmp_path)
        peer.writer.write(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert await peer.is_hung_up()


@pytest.mark.parametrize("half", [b"", b"\x00\x00", struct.pack(">I", 100) + b"\x93"])
async def test_who_stops_in_the_middle_does_not_keep_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    monkeypatch.setattr(server_module, "_GREETING_S", 0.1)
    async with serving(tmp_path, RemoteLimits(connections_max=1, patience_s=0.1)):
        peer = await Peer.connected(tmp_path)
        peer.writer.write(half)
        assert await peer.is_hung_up()
        await works(tmp_path)


async def test_who_hangs_up_in_the_middle_of_a_frame_is_forgotten(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _):
        peer = await Peer.greeted(tmp_path)
        peer.writer.write(struct.pack(">I", 100) + b"\x93")
        await peer.writer.drain()
        peer.close()
        await until(lambda: service.connections == 0)


async def test_one_connection_too_many_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _):
        peers = [await Peer.greeted(tmp_path) for _ in range(32)]
        with pytest.raises(RPCError, match="32 connections are open") as refused:
            await Client.connect(f"unix:{tmp_path}/client.sock")
        assert refused.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        assert service.counters["refused_connections"] == 1
        peers[0].call(1, "list_workflows", "", None, 10)
        assert (await peers[0].answer())[:2] == [Kind.ANSWER, 1]
        peers[1].close()
        await until(lambda: service.connections < 32)
        await works(tmp_path)


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("no_such_call", [], "has no call 'no_such_call'"),
        ("__init__", [], "has no call '__init__'"),
        ("find_workflow", ["w"], "takes a list of 2 arguments"),
        ("find_workflow", [7, None], "find_workflow.workflow_id: expected text, found int"),
        ("find_workflow", [b"w", None], "expected text, found bytes"),
        ("list_workflows", ["", None, True], "list_workflows.limit: expected a whole number, found bool"),
        ("list_workflows", ["", 1 << 63, 1], "expected a number of 64 bits"),
        ("query_workflow", ["w", None, "q", [], {}, None, float("nan")], "expected a finite number"),
        ("query_workflow", ["w", None, "q", [[{}, "text", []]], {}, None, 1.0], "args.data: expected bytes"),
        ("query_workflow", ["w", None, "q", [], {1: []}, None, 1.0], "does not decode"),
    ],
)
async def test_a_call_that_does_not_fit_is_answered_with_the_place_and_what_was_expected(
    tmp_path: Path, name: str, args: list[Any], why: str
) -> None:
    async with serving(tmp_path):
        peer = await Peer.greeted(tmp_path)
        peer.call(1, name, *args)
        answer = await peer.answer()
        assert why in str(answer)
        if answer[0] == Kind.ERROR:  # The connection goes on.
            peer.call(2, "find_workflow", "w", None)
            assert (await peer.answer())[:2] == [Kind.ERROR, 2]


async def test_a_change_without_a_request_id_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path):
        peer = await Peer.greeted(tmp_path)
        peer.call(1, "delete_schedule", "s")
        peer.call(2, "describe_schedule", "s", request=bytes(16))
        assert "needs request id" in str(await peer.answer())
        assert "takes no request id" in str(await peer.answer())


async def test_a_start_cannot_bring_what_only_an_engine_makes(tmp_path: Path) -> None:
    """Neither the links of a child nor an attempt number: more fields than a request has are refused."""
    async with serving(tmp_path) as (_, here):
        call = CALLS["start_workflow"]
        peer = await Peer.greeted(tmp_path)
        request = ["w", "Collect", QUEUE, []] + [None] * 40
        peer.call(1, call.name, request, 1, "fail", request=bytes(16))
        assert "start_workflow.request" in str(await peer.answer())
        assert [run async for run in here.list_workflows()] == []


async def test_numbers_that_would_break_an_engine_do_not_reach_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, here):
        peer = await Peer.greeted(tmp_path)
        for number, bad in enumerate([float("nan"), float("inf"), -float("inf")], 1):
            peer.call(
                number, "start_workflow", ["w", "Collect", QUEUE, [], None, bad], 1, "fail", request=bytes(16)
            )
            assert "execution_timeout_s: expected a finite number" in str(await peer.answer())
        assert here.engine.failure is None


async def test_a_failure_with_too_many_causes_is_refused(tmp_path: Path) -> None:
    """One that the journal could not read back."""
    async with serving(tmp_path):
        failure: list[Any] = ["application", "m", "", None, [], {}]
        for _ in range(80):
            failure = ["application", "m", "", failure, [], {}]
        peer = await Peer.greeted(tmp_path)
        peer.call(1, "end_activity", [1, b"run:1"], [1, failure], [], request=bytes(16))
        assert "records within each other" in str(await peer.answer())


async def test_who_does_not_read_is_hung_up_on_and_others_are_served(tmp_path: Path) -> None:
    async with serving(tmp_path, RemoteLimits(patience_s=0.3)) as (service, here):
        handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
        await handle.signal(Collect.put, "x" * 1_000_000)
        peer = await Peer.greeted(tmp_path)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket
        for number in range(40):
            peer.call(number, "workflow_events", "w", None, 0, False, False)
        await until(lambda: service.counters["slow_readers"] == 1)
        await until(lambda: service.connections == 0)
        await works(tmp_path)


async def test_answers_that_wait_for_a_reader_are_bounded(tmp_path: Path) -> None:
    limits = RemoteLimits(patience_s=60, unsent_bytes_max=3_000_000)
    async with serving(tmp_path, limits) as (service, here):
        handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
        await handle.signal(Collect.put, "x" * 1_000_000)
        peer = await Peer.greeted(tmp_path)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # as above
        for number in range(40):
            peer.call(number, "workflow_events", "w", None, 0, False, False)
        await until(lambda: service.counters["slow_readers"] == 1)


async def test_more_calls_at_a_time_than_a_connection_may_have_end_it(tmp_path: Path) -> None:
    async with serving(tmp_path, RemoteLimits(calls_max=2, waits_max=3)) as (_, here):
        await here.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        peer = await Peer.greeted(tmp_path)
        for number in range(6):
            peer.call(number, "workflow_closed", "w", None)
        _, (_, text, _) = await peer.answer()
        assert "more than 5 calls are under way" in text
        assert await peer.is_hung_up()


async def test_a_client_asks_for_no_more_at_a_time_than_its_gateway_allows(tmp_path: Path) -> None:
    async with serving(tmp_path, RemoteLimits(calls_max=2, waits_max=3)) as (service, here):
        client = Client(RemoteEngine(tmp_path / "client.sock"))
        handles = [
            await here.start_workflow(Collect.run, 1, id=f"w{number}", task_queue=QUEUE)
            for number in range(20)
        ]
        waiting = [asyncio.create_task(client.get_workflow_handle(handle.id).result()) for handle in handles]
        await asyncio.sleep(0.05)
        # Waits do not keep other calls from their turn.
        await asyncio.gather(*(client.get_workflow_handle(h.id).signal(Collect.put, h.id) for h in handles))
        assert await asyncio.gather(*waiting) == [[handle.id] for handle in handles]
        assert service.counters["refused_frames"] == 0
        await client.close()


async def test_arguments_that_are_too_large_are_refused_before_they_are_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, RemoteLimits(request_bytes_max=10_000)):
        client = Client(RemoteEngine(tmp_path / "client.sock"))
        with pytest.raises(RPCError, match="at most 10000 can be sent") as refused:
            await client.start_workflow("Collect", "x" * 20_000, id="w", task_queue=QUEUE)
        assert refused.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        await client.close()
        await works(tmp_path)


async def test_an_answer_that_is_too_large_is_an_error_of_its_call_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, RemoteLimits(answer_bytes_max=5_000)) as (_, here):
        handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
        await handle.signal(Collect.put, "x" * 10_000)
        client = Client(RemoteEngine(tmp_path / "client.sock"))
        remote = client.get_workflow_handle("w")
        with pytest.raises(RPCError, match="the answer is too large") as refused:
            await remote.query(Collect.seen)
        assert refused.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        assert (await remote.describe()).id == "w"
        await client.close()


async def test_no_bytes_whatever_harm_the_gateway(tmp_path: Path) -> None:
    """Frames changed at random, and calls with random arguments; the seed is in the output when it fails."""
    seed = int(os.environ.get("OVERWINTER_SEED", random.randrange(1 << 32)))
    print(f"OVERWINTER_SEED={seed}")
    dice = random.Random(seed)
    async with serving(tmp_path) as (service, here):
        for round in range(300):
            peer = await (Peer.greeted if dice.random() < 0.8 else Peer.connected)(tmp_path)
            for number in range(dice.randrange(1, 8)):
                peer.writer.write(_noise(dice, number))
            if dice.random() < 0.5:
                peer.writer.write_eof()
            if round % 10 == 0:
                await asyncio.wait_for(peer.reader.read(100), 5) if dice.random() < 0.1 else None
            peer.close()
        await until(lambda: service.connections == 0)
        assert here.engine.failure is None
        assert service.counters["refused_frames"] > 0
        assert service.counters["refused_calls"] > 0
        await works(tmp_path)


def _noise(dice: random.Random, number: int) -> bytes:
    name = dice.choice(list(CALLS)) if dice.random() < 0.9 else "nothing"
    call = CALLS.get(name)
    count = len(call.parameters) if call is not None and dice.random() < 0.9 else dice.randrange(6)
    request = bytes(16) if call is not None and call.changes else None
    body = msgpack.packb([1, number, name, [_value(dice, 0) for _ in range(count)], request, False])
    if dice.random() < 0.3:
        place = dice.randrange(len(body))
        body = body[:place] + dice.randbytes(dice.randrange(1, 4)) + body[place + 1 :]
    length = len(body) if dice.random() < 0.95 else dice.randrange(1 << 32)
    return struct.pack(">I", length) + body


def _value(dice: random.Random, depth: int) -> Any:
    kind = dice.randrange(9 if depth < 4 else 7)
    match kind:
        case 0:
            return None
        case 1:
            return dice.choice(["", "w", "fail", "s" * 300, QUEUE])
        case 2:
            return dice.choice([0, 1, 4, -1, 1 << 40, (1 << 64) - 1])
        case 3:
            return dice.choice([0.0, 1.5, float("nan"), float("inf"), -1e300])
        case 4:
            return dice.random() < 0.5
        case 5:
            return dice.randbytes(dice.randrange(40))
        case 6:
            return [{}, b"data", []]
        case 7:
            return [_value(dice, depth + 1) for _ in range(dice.randrange(8))]
        case _:
            return {dice.choice("abc"): _value(dice, depth + 1) for _ in range(dice.randrange(4))}
