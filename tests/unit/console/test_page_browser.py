"""The page in a real browser, as a person sees it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from anyio.abc import TaskStatus

from overwinter.edge.page.app import serve_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RUN = "0193a4c2-7d1e-7b6a-9c00-1f2e3d4c5b6a"
HOSTILE_ID = "evil/\x1b[2J<img src=x onerror=alert(1)>"

if BROWSER is None and os.environ.get("OVERWINTER_REQUIRE_SERVICES") != "1":
    pytest.skip("chromium is not installed", allow_module_level=True)


class Bound(TaskStatus[int]):
    def __init__(self) -> None:
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def started(self, value: int | None = None) -> None:
        assert value is not None
        self.port.set_result(value)


async def dom_of(gateway: Any, fragment: str, profile: Path) -> str:
    """The document after the page's scripts have run for some seconds of the browser's time."""
    assert BROWSER is not None, "chromium is required here and is not installed"
    bound = Bound()
    server = asyncio.create_task(serve_page(gateway, "127.0.0.1", 0, task_status=bound))
    try:
        address = f"http://127.0.0.1:{await asyncio.wait_for(bound.port, 5)}/{fragment}"
        browser = await asyncio.create_subprocess_exec(
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--window-size=1200,900",
            "--virtual-time-budget=4000",
            "--dump-dom",
            address,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            out, _ = await asyncio.wait_for(browser.communicate(), 60)
        finally:
            if browser.returncode is None:
                browser.kill()
                await browser.wait()
        return out.decode("utf-8", "replace")
    finally:
        server.cancel()
        await asyncio.wait([server])


def address_of(workflow_id: str) -> str:
    return f"#/execution/{quote(workflow_id, safe='')}/{RUN}"


async def test_the_page_of_an_execution_shows_reason_timeline_and_events(
    gateway: Any, tmp_path: Path
) -> None:
    dom = await dom_of(gateway, address_of("irrigation/north-3"), tmp_path)
    assert ">Waiting for</b> timer 6 until 2026-11-24T06:00:14Z" in dom
    assert dom.count('class="span activity') == 3
    assert dom.count('class="span timer') == 2
    assert 'class="span activity failed"' in dom
    assert dom.count("<details") == 12
    assert ">4.5 s \u00d73<" in dom
    assert ">Terminate…<" in dom
    assert "farm-gate-1" in dom


async def test_a_long_history_is_paged(gateway: Any, tmp_path: Path) -> None:
    dom = await dom_of(gateway, address_of("poll/weather"), tmp_path)
    assert "10002 events" in dom
    assert dom.count("<details") == 100
    assert "1 of 101" in dom
    assert "OSError" in dom


async def test_hostile_data_stays_text(gateway: Any, tmp_path: Path) -> None:
    dom = await dom_of(gateway, address_of(HOSTILE_ID), tmp_path)
    assert "&lt;img src=x onerror=alert(1)&gt;" in dom
    assert re.findall(r"<img[^>]*>", dom) == ['<img src="icon.svg" alt="" width="22" height="22">']
    assert re.findall(r"<script[^>]*>", dom) == ['<script type="module" src="main.js">']
    assert not {"\x1b", "\x07", "\u202e"} & set(dom)


async def test_the_quarantine_is_readable(gateway: Any, tmp_path: Path) -> None:
    dom = await dom_of(gateway, "#/quarantine", tmp_path)
    assert "farm/old/telemetry" in dom
    assert "invalid_json" in dom


async def test_an_unknown_execution_says_so(gateway: Any, tmp_path: Path) -> None:
    assert "there is no execution" in await dom_of(gateway, address_of("nowhere"), tmp_path)
