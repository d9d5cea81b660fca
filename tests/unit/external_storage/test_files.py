"""Payloads in files: kept once under the name of their content, checked when they are read."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import pytest

from overwinter.runtime.converter import DataConverter, ExternalStorage, FileStorageDriver
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.external_storage import (
    PayloadFileDamaged,
    PayloadFileMissing,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)
from overwinter.runtime.external_storage.folder import Folder
from overwinter.runtime.journal import StorageFull

STORE, RETRIEVE = StorageDriverStoreContext(), StorageDriverRetrieveContext()


def payload(data: bytes) -> Payload:
    return Payload({"encoding": b"binary/plain"}, data)


def storing(folder: Path, threshold: int = 100) -> DataConverter:
    storage = ExternalStorage(drivers=[FileStorageDriver(folder)], payload_size_threshold=threshold)
    return DataConverter(external_storage=storage)


async def test_a_value_comes_back_and_its_file_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "payloads"
    data = storing(folder)
    stored = await data.encode([{"frame": b"x" * 5000}, "small"])
    assert await data.decode(stored, [dict, str]) == [{"frame": b"x" * 5000}, "small"]
    (file,) = folder.iterdir()
    assert len(file.name) == 64
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert await storing(folder).decode(stored) == [{"frame": b"x" * 5000}, "small"]  # by another object


async def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    data = storing(tmp_path)
    for _ in range(3):
        await data.encode(["x" * 200, "x" * 200, "y" * 200])
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_missing_file_and_a_damaged_one_are_told_apart_and_named(tmp_path: Path) -> None:
    driver = FileStorageDriver(tmp_path)
    missing, damaged = await driver.store(STORE, [payload(b"a"), payload(b"b")])
    (tmp_path / missing.claim_data["sha256"]).unlink()
    file = tmp_path / damaged.claim_data["sha256"]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(PayloadFileMissing, match=missing.claim_data["sha256"]):
        await driver.retrieve(RETRIEVE, [missing])
    with pytest.raises(PayloadFileDamaged, match=rf"{file.name} is damaged.*restore it from a backup"):
        await driver.retrieve(RETRIEVE, [damaged])


async def test_a_damaged_file_is_written_again_by_whoever_stores_its_content(tmp_path: Path) -> None:
    driver = FileStorageDriver(tmp_path)
    (claim,) = await driver.store(STORE, [payload(b"abc" * 100)])
    file = tmp_path / claim.claim_data["sha256"]
    for damage in (b"", b"x" * file.stat().st_size):
        file.write_bytes(damage)
        await driver.store(STORE, [payload(b"abc" * 100)])
        assert (await driver.retrieve(RETRIEVE, [claim]))[0] == payload(b"abc" * 100)


@pytest.mark.parametrize("name", ["", "../journal.db", "a" * 63, "A" * 64, "/etc/passwd"])
async def test_a_claim_reaches_no_other_file(tmp_path: Path, name: str) -> None:
    driver = FileStorageDriver(tmp_path / "payloads")
    with pytest.raises(PayloadFileMissing, match="expected a SHA-256"):
        await driver.retrieve(RETRIEVE, [StorageDriverClaim({"sha256": name})])


@pytest.mark.parametrize("step", ["write_new", "sync_file", "rename", "sync_names", "make"])
async def test_a_full_volume_is_told_apart_and_leaves_nothing_behind(tmp_path: Path, step: str) -> None:
    class Full(Folder):
        pass

    def fails(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    driver = FileStorageDriver(tmp_path)
    driver.folder = Full(tmp_path)
    setattr(driver.folder, step, fails)
    with pytest.raises(StorageFull, match="volume or quota is full"):
        await driver.store(STORE, [payload(b"x")])
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    driver.folder = Folder(tmp_path)
    (claim,) = await driver.store(STORE, [payload(b"x")])
    assert await driver.retrieve(RETRIEVE, [claim]) == [payload(b"x")]


async def test_other_errors_of_the_disk_are_passed_on(tmp_path: Path) -> None:
    driver = FileStorageDriver(tmp_path)

    def fails(_name: str) -> None:
        raise OSError(errno.EIO, "broken")

    driver.folder.sync_file = fails  # type: ignore[method-assign]
    with pytest.raises(OSError, match="broken"):
        await driver.store(STORE, [payload(b"x")])


async def test_a_file_is_held_as_long_as_a_reference_to_it_is_in_memory(tmp_path: Path) -> None:
    driver = FileStorageDriver(tmp_path)
    storage = ExternalStorage(drivers=[driver], payload_size_threshold=100)
    data = DataConverter(external_storage=storage)
    future = 10.0**12
    first = await data.encode(["x" * 200])
    second = await data.encode(["x" * 200])
    assert await driver.unheld(future) == {}
    del first
    gc.collect()
    assert await driver.unheld(future) == {}
    del second
    gc.collect()
    assert len(await driver.unheld(future)) == 1
