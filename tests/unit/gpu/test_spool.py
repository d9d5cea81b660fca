"""The spool folder: what references may reach, and that files in it are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from overwinter.gpu import ReferenceRefused, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    root = tmp_path / "spool"
    (root / "yard").mkdir(parents=True)
    (root / "yard" / "frame.jpg").write_bytes(b"picture")
    (tmp_path / "secret").write_bytes(b"secret")
    return Spool(root)


def refusal(spool: Spool, reference: str) -> str:
    with pytest.raises(ReferenceRefused) as caught:
        spool.read(reference)
    return caught.value.reason


def test_a_file_is_read_by_its_path_below_the_folder(spool: Spool) -> None:
    assert spool.read("yard/frame.jpg") == b"picture"
    assert spool.holds("yard/frame.jpg")


@pytest.mark.parametrize(
    "reference",
    [
        "../secret",
        "yard/../../secret",
        "yard/../yard/frame.jpg",
        "/etc/passwd",
        "..",
        ".",
        "",
        "yard\\..\\frame.jpg",
        "yard/frame.jpg\0.png",
        "yard/\ud800.jpg",
    ],
)
def test_a_reference_that_is_not_plainly_inside_is_refused(spool: Spool, reference: str) -> None:
    assert refusal(spool, reference) == "outside_spool"
    assert not spool.holds(reference)
    with pytest.raises(ReferenceRefused):
        spool.store(reference, b"overwritten")
    assert (spool.root.parent / "secret").read_bytes() == b"secret"


def test_symbolic_links_are_not_followed_neither_file_nor_folder(spool: Spool) -> None:
    (spool.root / "link").symlink_to(spool.root.parent / "secret")
    (spool.root / "away").symlink_to(spool.root.parent)

    assert refusal(spool, "link") == "outside_spool"
    assert refusal(spool, "away/secret") == "outside_spool"
    with pytest.raises(ReferenceRefused):
        spool.store("away/planted", b"x")
    assert not (spool.root.parent / "planted").exists()


def test_only_regular_files_are_read(spool: Spool) -> None:
    os.mkfifo(spool.root / "pipe")

    assert refusal(spool, "pipe") == "not_a_file"
    assert refusal(spool, "yard") == "not_a_file"
    assert refusal(spool, "yard/none.jpg") == "missing"
    assert refusal(spool, "x" * 300) == "not_a_file"


def test_no_descriptor_stays_open_after_a_refusal(spool: Spool) -> None:
    os.mkfifo(spool.root / "pipe")
    before = len(os.listdir("/proc/self/fd"))

    for reference in ("pipe", "yard", "none", "yard/none/none", "yard/frame.jpg/none", "../secret"):
        refusal(spool, reference)
        spool.holds(reference)

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_over_the_bound_is_refused(spool: Spool) -> None:
    small = Spool(spool.root, file_bytes_max=6)

    assert refusal(small, "yard/frame.jpg") == "too_large"
    assert Spool(spool.root, file_bytes_max=7).read("yard/frame.jpg") == b"picture"


def test_a_stored_file_is_found_again_and_replaces_the_one_before(spool: Spool) -> None:
    spool.store("encoded/a.jpg", b"first")
    spool.store("encoded/a.jpg", b"second")

    assert spool.read("encoded/a.jpg") == b"second"
    assert os.listdir(spool.root / "encoded") == ["a.jpg"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        spool.store("yard/frame.jpg", b"new")

    assert os.listdir(spool.root / "yard") == ["frame.jpg"]
    assert spool.read("yard/frame.jpg") == b"picture"


def test_the_file_and_then_its_folder_are_flushed_before_store_returns(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real_fsync = os.fsync

    def record(descriptor: int) -> None:
        flushed.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    spool.store("yard/new.jpg", b"picture")

    assert [name.startswith(".new.jpg.") for name in flushed] == [True, False]
    assert flushed[1] == "yard"
