"""Keys of a whole gateway: made, changed while it runs, counted, and retired when nothing needs them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_payload_files import Place

SECRET = "what only the farmer knows"


class Keys(Place):
    """A gateway whose values are encrypted with the keys of a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        settings = folder / "gateway.toml"
        settings.write_text(settings.read_text().replace("[payloads]", '[payloads]\nkey_file = "keys"'))
        self.keys = folder / "keys"

    def rotate(self, *words: str) -> Any:
        return json.loads(self.run("rotate", "--json", *words))

    def refused(self, *words: str) -> str:
        """What a command says that fails."""
        with pytest.raises(subprocess.CalledProcessError) as failed:
            self.run(*words)
        return str(failed.value.stderr)

    def said_by(self, *words: str) -> str:
        """What a command prints, whether it fails or not."""
        try:
            return self.run(*words)
        except subprocess.CalledProcessError as failed:
            return str(failed.stdout)

    def stored(self) -> bytes:
        """All bytes that the gateway has written, but for its keys."""
        return b"".join(path.read_bytes() for path in (self.folder / "state").rglob("*") if path.is_file())

    async def closes(self, workflow_id: str) -> None:
        async with asyncio.timeout(15):
            while (await self.client.call("show", workflow_id=workflow_id))["execution"][
                "status"
            ] == "running":
                await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_a_key_is_changed_while_the_gateway_runs_and_goes_when_nothing_needs_it(tmp_path: Path) -> None:
    place = Keys(tmp_path)
    assert "`overwinter rotate` makes the first one" in place.refused("run")
    first = place.rotate()["added"]
    async with place.running(signal.SIGKILL) as client:
        await client.call("start", type="Photo", workflow_id="old", args=[SECRET])
        await client.call("start", type="Photo", workflow_id="large", args=[SECRET * 300])
        for workflow_id in ("old", "large"):
            await client.call("signal", workflow_id=workflow_id, name="caption_is", args=["north"])
            await place.closes(workflow_id)
        second = place.rotate()
        assert second["gateway"] == "uses it"
        await client.call("start", type="Photo", workflow_id="new", args=[SECRET])
        answer = place.rotate("--show")
        assert answer["current"] == second["added"] != first
        assert answer["keys"][first]["payloads"] > 2
        assert "execution new" in answer["keys"][second["added"]]["where"]
        assert "stop the gateway" in place.refused("rotate", "--retire", first)
    assert b"farmer" not in place.stored()

    async with place.running() as client:  # After a kill both keys are read, and old values with them.
        shown = await client.call("show", workflow_id="old")
        assert shown["events"][0]["attributes"]["input"] == [SECRET]
        assert shown["result"] == f"{2 * len(SECRET)} north"
    said = place.refused("rotate", "--retire", first)
    assert "execution old" in said
    assert "histories are never written anew" in said
    assert SECRET in place.run("show", "old")  # The gateway is stopped: the command line has the keys.
    assert "is the current key" in place.refused("rotate", "--retire", second["added"])

    async with place.running() as client:
        for workflow_id in ("old", "large"):
            await client.call("delete", workflow_id=workflow_id)
    for file in place.payload_files():  # As the collector does once they are old enough.
        file.unlink()
    assert place.rotate("--retire", first)["retired"] == first
    async with place.running() as client:
        await client.call("signal", workflow_id="new", name="caption_is", args=["south"])
        await place.closes("new")
        assert (await client.call("show", workflow_id="new"))["result"] == f"{2 * len(SECRET)} south"


async def test_a_running_gateway_does_not_take_keys_from_which_one_is_gone(tmp_path: Path) -> None:
    place = Keys(tmp_path)
    first = place.rotate()["added"]
    async with place.running() as client:
        place.keys.unlink()
        assert f"the keys {first} are gone" in place.refused("rotate")
        await client.call("start", type="Photo", workflow_id="one", args=[SECRET])
        assert list(place.rotate("--show")["missing"]) == [first]


async def test_keys_that_others_can_read_keep_the_gateway_from_starting_and_are_not_shown(
    tmp_path: Path,
) -> None:
    place = Keys(tmp_path)
    place.rotate()
    place.keys.chmod(0o644)
    secret = place.keys.read_text().split()[1]
    for words in (("run",), ("rotate",), ("rotate", "--show")):
        said = place.refused(*words)
        assert "mode 0644, expected 0600" in said
        assert secret not in said
    assert '"check": "keys"' in place.said_by("doctor", "--json")
    place.keys.chmod(0o600)
    assert secret not in place.run("rotate") + place.run("rotate", "--show")


async def test_a_gateway_with_keys_leaves_no_image_of_its_memory_when_it_crashes(tmp_path: Path) -> None:
    place = Keys(tmp_path)
    place.rotate()
    async with place.running():
        pid = (tmp_path / "state" / "journal.db.lock").read_text().split()[1]
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (core,) = [line for line in limits if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


async def test_an_unknown_key_blocks_its_execution_and_is_named(tmp_path: Path) -> None:
    place = Keys(tmp_path)
    first = place.rotate()["added"]
    async with place.running() as client:
        await client.call("start", type="Photo", workflow_id="photo", args=[SECRET])
        await place.shown(lambda shown: any(each["type"] == "ActivityCompleted" for each in shown["events"]))
    kept = place.keys.read_text()
    place.keys.unlink()
    place.rotate()
    async with place.running() as client:
        await client.call("signal", workflow_id="photo", name="caption_is", args=["north"])
        blocked = (await place.shown(lambda shown: shown["execution"]["status"] == "blocked"))["execution"]
        assert f"UnknownKey: a payload is encrypted with the key '{first}'" in blocked["blocked"]["cause"]
    place.keys.write_text(kept + place.keys.read_text())
    async with place.running():
        shown = await place.shown(lambda shown: shown["result"] is not None)
        assert shown["result"] == f"{2 * len(SECRET)} north"


def test_keys_in_a_credential_or_a_variable_are_not_written(tmp_path: Path) -> None:
    place = Keys(tmp_path)
    settings = tmp_path / "gateway.toml"
    settings.write_text(settings.read_text().replace('key_file = "keys"', 'key_variable = "PATH_OF_NOTHING"'))
    assert "PATH_OF_NOTHING is not set" in place.refused("rotate", "--show")
    settings.write_text(settings.read_text().replace("key_variable", 'key_file = "a"\nkey_variable'))
    assert "expected at most one of" in place.refused("rotate", "--show")
