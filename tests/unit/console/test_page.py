"""The page's web server: what it answers, and whom it refuses."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from anyio.abc import TaskStatus

from overwinter.edge.page import app as page_app
from overwinter.edge.page.app import create_app, serve_page

CHANGE = {"x-overwinter-request": "page", "content-type": "application/json"}
IRRIGATION = "/api/executions/irrigation%2Fnorth-3"


def client_for(gateway: Any, token: str | None = None, host: str = "127.0.0.1:8021") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(gateway, token), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


@pytest.fixture
async def client(gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(gateway) as client:
        yield client


async def test_executions_are_listed_with_their_counts(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/api/executions")).json()
    assert len(answer["executions"]) == 6
    assert answer["counts"]["blocked"] == 1


async def test_a_filter_reaches_the_gateway(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/api/executions?status=failed&type=OpenValve")).json()
    assert [one["workflow_id"] for one in answer["executions"]] == ["valve/9"]


async def test_an_execution_is_found_by_an_id_with_slashes(client: httpx.AsyncClient) -> None:
    assert (await client.get(IRRIGATION)).json()["execution"]["type"] == "Irrigate"


async def test_an_execution_is_found_by_an_id_of_any_characters(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/executions/" + quote("evil/\x1b[2J<img src=x onerror=alert(1)>", safe=""))
    assert answer.status_code == 200


async def test_a_long_history_comes_in_pages_without_a_gap(client: httpx.AsyncClient) -> None:
    sequences: list[int] = []
    more = True
    while more:
        after = sequences[-1] if sequences else 0
        answer = (await client.get(f"/api/executions/poll%2Fweather?after={after}&events=2000")).json()
        sequences += [event["sequence"] for event in answer["events"]]
        more = answer["more"]
    assert sequences == list(range(1, 10_003))


async def test_an_unknown_execution_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/executions/nowhere")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "UnknownExecution"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=99999999999999999999", "limit=20000"]
)
async def test_a_limit_out_of_bounds_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/api/executions?{query}")).status_code == 400


async def test_a_signal_reaches_the_gateway(client: httpx.AsyncClient, gateway: Any) -> None:
    answer = await client.post(f"{IRRIGATION}/signal", headers=CHANGE, json={"name": "rain", "args": [4]})
    assert answer.status_code == 200
    assert gateway.calls == [("signal", {"workflow_id": "irrigation/north-3", "name": "rain", "args": [4]})]


@pytest.mark.parametrize("op", ["cancel", "terminate"])
async def test_an_end_is_asked_for_with_its_reason(client: httpx.AsyncClient, gateway: Any, op: str) -> None:
    assert (
        await client.post(f"{IRRIGATION}/{op}", headers=CHANGE, json={"reason": "frost"})
    ).status_code == 200
    assert gateway.calls == [(op, {"workflow_id": "irrigation/north-3", "reason": "frost"})]


async def test_a_refused_change_says_why(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/executions/valve%2F9/cancel", headers=CHANGE, json={})
    assert answer.status_code == 409
    assert answer.json()["error"]["hint"] == "start it again under another id"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"name": 3}', b'{"args": []}', b'{"name": "a", "evil": 1}', b"[" * 90_000]
)
async def test_a_malformed_change_is_refused_and_does_nothing(
    client: httpx.AsyncClient, gateway: Any, body: bytes
) -> None:
    assert (await client.post(f"{IRRIGATION}/signal", headers=CHANGE, content=body)).status_code == 400
    assert gateway.calls == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 403),
        ({"x-overwinter-request": "page", "content-type": "text/plain"}, 415),
        (CHANGE | {"origin": "http://evil.example"}, 403),
        (CHANGE | {"origin": "null"}, 403),
        (CHANGE | {"sec-fetch-site": "cross-site"}, 403),
        (CHANGE | {"sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_a_change_from_another_site_is_refused(
    client: httpx.AsyncClient, gateway: Any, headers: dict[str, str], status: int
) -> None:
    answer = await client.post(f"{IRRIGATION}/terminate", headers=headers, content=b"{}")
    assert answer.status_code == status
    assert gateway.calls == []


async def test_a_change_from_the_page_itself_is_carried_out(client: httpx.AsyncClient, gateway: Any) -> None:
    headers = CHANGE | {"origin": "http://127.0.0.1:8021", "sec-fetch-site": "same-origin"}
    assert (await client.post(f"{IRRIGATION}/terminate", headers=headers, content=b"{}")).status_code == 200


async def test_a_body_over_the_bound_is_refused(client: httpx.AsyncClient) -> None:
    body = b'{"reason": "' + b"x" * (1 << 20) + b'"}'
    assert (await client.post(f"{IRRIGATION}/cancel", headers=CHANGE, content=body)).status_code == 413


async def test_a_body_of_unknown_length_is_refused(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    answer = await client.post(f"{IRRIGATION}/cancel", headers=CHANGE, content=chunks())
    assert answer.status_code == 413


@pytest.mark.parametrize("host", ["127.0.0.1:8021", "localhost:8021", "[::1]:8021", "127.0.0.2"])
async def test_loopback_names_are_served(gateway: Any, host: str) -> None:
    assert (await client_for(gateway, host=host).get("/api/status")).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7"]
)
@pytest.mark.parametrize("path", ["/", "/api/status", "/main.js", "/api/events"])
async def test_a_foreign_host_name_is_refused_everywhere(gateway: Any, host: str, path: str) -> None:
    assert (await client_for(gateway, host=host).get(path)).status_code == 403


async def test_with_a_token_data_needs_it_and_the_page_itself_does_not(gateway: Any) -> None:
    client = client_for(gateway, token="s3cret", host="farm-gate-1:8021")
    assert (await client.get("/")).status_code == 200
    assert (await client.get("/api/status")).status_code == 401
    assert (await client.get("/api/status", headers={"x-overwinter-token": "wrong"})).status_code == 401
    assert (await client.get("/api/status", headers={"x-overwinter-token": "s3cret"})).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/main.js", "/page.css", "/api/status", "/api/executions/nowhere", "/nothing"]
)
async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "/../../control.py"])
async def test_no_file_outside_the_static_folder_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_a_bug_in_an_operation_is_an_error_answer(gateway: Any) -> None:
    async def status() -> Any:
        raise ZeroDivisionError("division by zero")

    gateway.status = status
    answer = await client_for(gateway).get("/api/status")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "ZeroDivisionError"


def test_the_static_files_are_small_and_name_no_other_site() -> None:
    files = [path for path in page_app.STATIC.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    for path in files:
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text("utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


def test_no_script_turns_data_into_markup() -> None:
    for path in page_app.STATIC.glob("*.js"):
        text = path.read_text("utf-8")
        for danger in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert danger not in text, f"{path.name} uses {danger}"


class Bound(TaskStatus[int]):
    """The port, once it is bound."""

    def __init__(self) -> None:
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def started(self, value: int | None = None) -> None:
        assert value is not None
        self.port.set_result(value)


@asynccontextmanager
async def serving(gateway: Any) -> AsyncIterator[str]:
    bound = Bound()
    server = asyncio.create_task(serve_page(gateway, "127.0.0.1", 0, task_status=bound))
    try:
        yield f"http://127.0.0.1:{await asyncio.wait_for(bound.port, 5)}"
    finally:
        server.cancel()
        with anyio.fail_after(10):
            await asyncio.wait([server])


async def test_events_are_streamed_to_a_page_as_they_come(gateway: Any) -> None:
    async with serving(gateway) as base, httpx.AsyncClient(base_url=base) as client:
        async with client.stream("GET", "/api/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            gateway.feed.put_nowait({"lsn": 7, "workflow_id": "irrigation/north-3"})
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    assert json.loads(line[6:])["lsn"] == 7
                    break


async def test_the_server_stops_with_a_stream_open_and_frees_its_port(gateway: Any) -> None:
    async with httpx.AsyncClient() as client:
        async with serving(gateway) as base:
            request = client.build_request("GET", f"{base}/api/events")
            stream = await client.send(request, stream=True)
        await stream.aclose()
        with pytest.raises(httpx.TransportError):
            await client.get(f"{base}/api/status")


async def test_pages_over_the_bound_are_told_so(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_app, "STREAMS_MAX", 1)
    async with serving(gateway) as base, httpx.AsyncClient(base_url=base) as client:
        async with client.stream("GET", "/api/events") as first:
            await anext(first.aiter_lines())
            assert "event: refused" in (await client.get("/api/events")).text


async def test_a_page_that_falls_behind_is_ended_without_growing(gateway: Any) -> None:
    streams = page_app.Streams(gateway)
    stream = streams.follow(None)
    await anext(stream)
    for lsn in range(page_app.STREAM_EVENTS_MAX * 3):
        gateway.feed.put_nowait({"lsn": lsn})
    await asyncio.sleep(0.2)
    received = [block async for block in stream]
    assert 0 < len(received) <= page_app.STREAM_EVENTS_MAX


async def test_the_signal_handlers_of_the_process_stay(gateway: Any) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with serving(gateway) as base, httpx.AsyncClient() as client:
        await client.get(f"{base}/api/status")
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_an_open_address_needs_a_token(gateway: Any) -> None:
    with pytest.raises(ValueError, match="set a token"):
        await serve_page(gateway, "0.0.0.0", 0)


def test_the_page_can_be_found_in_the_package() -> None:
    names = {path.name for path in Path(page_app.STATIC).iterdir()}
    assert {"index.html", "page.css", "main.js", "icon.svg"} <= names


async def test_the_figures_of_the_status_are_there_for_prometheus(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert "overwinter_disk_syncs 2048" in lines
    assert "overwinter_disk_bytes_per_day 43200000.0" in lines
    assert 'overwinter_mqtt_refused{reason="invalid_json"} 1' in lines
    assert "overwinter_mqtt_connected 1" in lines
    assert not any("journal_path" in line for line in lines)


async def test_the_figures_need_the_token_too(gateway: Any) -> None:
    async with client_for(gateway, token="secret") as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/metrics", headers={"authorization": "Bearer wrong"})).status_code == 401
        assert (await client.get("/metrics", headers={"authorization": "Bearer secret"})).status_code == 200
        assert (await client.get("/metrics", headers={"x-overwinter-token": "secret"})).status_code == 200
