"""The few things that are done to files, each a step of its own so that a test can cut the power between any two."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.records import dataclass


@dataclass(frozen=True, slots=True)
class FileState:
    """What a folder says of a file."""

    size: int
    changed_at_s: float
    """By the machine's wall clock."""


class Folder:
    """A folder of small names. What was written is durable after `sync_file`, a name after `sync_names`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """The folder is there, and stays there."""
        if self.path.is_dir():
            return
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(self.path.parent)

    def write_new(self, name: str, content: bytes) -> None:
        """A file of this name, which there was not, holds this."""
        file = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(content)

    def sync_file(self, name: str) -> None:
        """What is in the file survives power loss."""
        file = os.open(self.path / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def rename(self, name: str, new_name: str) -> None:
        """The file has the new name, whatever had it before."""
        os.replace(self.path / name, self.path / new_name)

    def sync_names(self) -> None:
        """The names of the files survive power loss."""
        _sync(self.path)

    def read(self, name: str) -> bytes:
        """What is in the file."""
        return (self.path / name).read_bytes()

    def state(self, name: str) -> FileState | None:
        """Size and age of a file; None when there is none."""
        try:
            found = (self.path / name).stat()
        except FileNotFoundError:
            return None
        return FileState(found.st_size, found.st_mtime)

    def touch(self, name: str) -> None:
        """The file is as young as one that was just written."""
        os.utime(self.path / name)

    def remove(self, name: str) -> None:
        """The file is gone, at the latest when its name would be synced."""
        (self.path / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """The names of all files."""
        return sorted(file.name for file in self.path.iterdir()) if self.path.is_dir() else []


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
