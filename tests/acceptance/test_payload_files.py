"""A whole gateway process whose large values are files: they survive a kill, and what a damaged one holds up goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from overwinter.edge.control import ControlClient, GatewayNotRunning

ROOT = Path(__file__).resolve().parents[2]
AUTOMATION = """
from datetime import timedelta
from overwinter import activity, workflow

@activity.defn
async def doubled(text: str) -> str:
    return text * 2

@workflow.defn
class Photo:
    def __init__(self) -> None:
        self.caption = ""
    @workflow.run
    async def run(self, pixels: str) -> str:
        large = await workflow.execute_activity(doubled, pixels, start_to_close_timeout=timedelta(seconds=10))
        await workflow.wait_condition(lambda: bool(self.caption))
        return f"{len(large)} {self.caption}"
    @workflow.signal
    def caption_is(self, caption: str) -> None:
        self.caption = caption
"""
SETTINGS = """
[gateway]
state_dir = "state"
modules = ["automation"]
python_path = ["."]
[payloads]
external_bytes_min = 5000
[mqtt]
broker = "none"
[page]
enabled = false
"""
PIXELS = "p" * 6000


class Place:
    """A gateway in a folder of its own, as its operator has it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, folder / "state" / "payloads"
        (folder / "automation.py").write_text(AUTOMATION)
        (folder / "gateway.toml").write_text(SETTINGS)
        self.client = ControlClient(folder / "state" / "control.sock")

    @asynccontextmanager
    async def running(self, end: signal.Signals = signal.SIGTERM) -> AsyncIterator[ControlClient]:
        """The gateway, until the block ends: then it is sent this signal."""
        with (self.folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command("run"), cwd=self.folder, stdout=log, stderr=log, env=self._env
            )
        try:
            await self._until(self._answers, process)
            yield self.client
        finally:
            if process.returncode is None:
                process.send_signal(end)
            status = await asyncio.wait_for(process.wait(), 10)
        assert status == (0 if end == signal.SIGTERM else -end), (self.folder / "log").read_text()

    def run(self, *words: str) -> str:
        """What a command of the command line prints."""
        done = subprocess.run(
            self._command(*words), cwd=self.folder, env=self._env, capture_output=True, text=True, check=True
        )
        return done.stdout

    async def shown(self, holds: Callable[[Any], bool]) -> Any:
        """The execution, once it is as the test waits for it."""
        async with asyncio.timeout(15):
            while True:
                found = await self.client.call("show", workflow_id="photo")
                if holds(found):
                    return found
                await asyncio.sleep(0.02)

    def payload_files(self) -> list[Path]:
        return [path for path in self.files.iterdir() if len(path.name) == 64]

    async def _answers(self) -> bool:
        try:
            await self.client.call("status")
        except GatewayNotRunning:
            return False
        return True

    async def _until(self, holds: Any, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(15):
            while not await holds():
                assert process.returncode is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.02)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "overwinter", words[0], "--settings", "gateway.toml", *words[1:]]

    @property
    def _env(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT)}


def _has_result(shown: Any) -> bool:
    return any(event["type"] == "ActivityCompleted" for event in shown["events"])


async def test_large_values_are_files_that_survive_a_kill_and_block_only_who_needs_them(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    async with place.running(signal.SIGKILL) as client:
        await client.call("start", type="Photo", workflow_id="photo", args=[PIXELS])
        shown = await place.shown(_has_result)
        assert PIXELS not in str(shown)
        assert "kept elsewhere" in str(shown["events"][0]["attributes"]["input"])
    assert len(place.payload_files()) == 2
    damaged = max(place.payload_files(), key=lambda path: path.stat().st_size)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")

    async with place.running() as client:
        await client.call("signal", workflow_id="photo", name="caption_is", args=["north"])
        blocked = (await place.shown(lambda shown: shown["execution"]["status"] == "blocked"))["execution"]
        assert f"{damaged.name} is damaged" in blocked["blocked"]["cause"]
        await client.call("start", type="Photo", workflow_id="other", args=["small"])
        await client.call("signal", workflow_id="other", name="caption_is", args=["south"])
        async with asyncio.timeout(15):
            while (await client.call("show", workflow_id="other"))["result"] != "10 south":
                await asyncio.sleep(0.02)
        damaged.write_bytes(content)
        assert (await place.shown(lambda shown: shown["result"] is not None))["result"] == "12000 north"


async def test_files_are_read_after_the_setting_is_gone_and_by_the_command_line(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.running() as client:
        await client.call("start", type="Photo", workflow_id="photo", args=[PIXELS])
        await place.shown(_has_result)
    settings = tmp_path / "gateway.toml"
    settings.write_text(settings.read_text().replace("external_bytes_min = 5000\n", ""))
    assert "kept elsewhere" in place.run("show", "photo")
    answer = json.loads(place.run("replay", "--json"))
    assert (answer["histories"], answer["fits"]) == (1, 1)
    async with place.running() as client:
        await client.call("signal", workflow_id="photo", name="caption_is", args=["north"])
        assert (await place.shown(lambda shown: shown["result"] is not None))["result"] == "12000 north"
        assert len(place.payload_files()) == 2
