"""What a process did to a folder, from the system calls that strace noted.

The process is any, unmodified; the order is that in which its threads entered the calls. A sync covers what was entered before
it, and somebody is told of something at the earliest when the writing of it is entered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.faults.disk import Name, Operation, Resize, SyncFile, SyncNames, Told, Write

CALLS = (
    "openat", "pwrite64", "write", "ftruncate", "fsync", "fdatasync",
    "rename", "renameat", "renameat2", "unlink", "unlinkat",
)  # fmt: skip
UNSEEN = ("writev", "pwritev", "pwritev2", "fallocate", "copy_file_range", "sendfile", "link", "linkat")
"""Other ways to change a file: noted so that `operations_in` can refuse them instead of missing something."""
_LINE = re.compile(r"^\d+ +(\w+)\((.*)$")
_PATH = re.compile(r"<((?:\\x[0-9a-f]{2})*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_NOT_KEPT = ("-shm", ".lock")
"""Shared memory and locks mean nothing after a restart."""


def strace(log: Path) -> list[str]:
    """Put before a command: its calls are noted with their bytes."""
    calls = ",".join((*CALLS, *UNSEEN))
    return ["strace", "-f", "-qq", "-xx", "-y", "-s", "16000000", "-o", str(log), "-e", f"trace={calls}"]


def operations_in(log: Path, folder: Path) -> list[Operation]:
    """What was done to the files of the folder, and told on standard output, in order."""
    return list(_Reader(folder).read(log))


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._root = f"{folder}/"
        self._names: dict[str, int] = {}
        self._sizes: dict[int, int] = {}

    def read(self, log: Path) -> Iterator[Operation]:
        with log.open() as lines:
            for line in lines:
                found = _LINE.match(line)
                if found and " = -1 E" not in line[-120:]:
                    yield from self._operations(*found.groups())

    def _operations(self, call: str, rest: str) -> Iterator[Operation]:
        opened = _PATH.search(rest)
        path = _bytes(opened[1]).decode() if opened else ""
        texts = _TEXT.findall(rest)
        assert not any(cut for _, cut in texts), "strace left bytes out"
        match call:
            case "write" | "pwrite64" if rest.startswith("1<"):
                yield from (Told(line) for line in _bytes(texts[0][0]).decode().splitlines())
            case "openat" if "O_CREAT" in rest:
                yield from self._made(_bytes(texts[0][0]).decode())
            case "write" | "pwrite64" if (file := self._file(path)) is not None:
                yield self._written(file, _bytes(texts[0][0]), rest if call == "pwrite64" else None)
            case "ftruncate" if (file := self._file(path)) is not None:
                size = int(rest.split(">, ")[1].split(")")[0])
                self._sizes[file] = size
                yield Resize(file, size)
            case "fsync" | "fdatasync":
                yield from self._synced(path)
            case "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat":
                yield from self._named([_bytes(text).decode() for text, _ in texts])
            case _ if call in UNSEEN and self._name(path) is not None:
                raise AssertionError(f"{call} of {path}: the model of a disk does not know it")
            case _:
                pass

    def _name(self, path: str) -> str | None:
        inside = path.startswith(self._root) and not path.endswith(_NOT_KEPT)
        return path.removeprefix(self._root) if inside else None

    def _file(self, path: str) -> int | None:
        return self._names.get(self._name(path) or "")

    def _made(self, path: str) -> Iterator[Operation]:
        name = self._name(path)
        if name is not None and name not in self._names:
            self._names[name] = file = len(self._sizes)
            self._sizes[file] = 0
            yield Name(((name, file),))

    def _written(self, file: int, data: bytes, rest: str | None) -> Write:
        # What is written without a place goes to the end: nothing of ours writes anywhere else in that way.
        offset = self._sizes[file] if rest is None else int(re.findall(r", (\d+)(?:\)| <unf)", rest)[-1])
        self._sizes[file] = max(self._sizes[file], offset + len(data))
        return Write(file, offset, data)

    def _synced(self, path: str) -> Iterator[Operation]:
        file = self._file(path)
        if file is not None:
            yield SyncFile(file)
        elif path + "/" == self._root:
            yield SyncNames("")
        elif path.startswith(self._root) and not path.endswith(_NOT_KEPT):
            yield SyncNames(path.removeprefix(self._root))

    def _named(self, paths: list[str]) -> Iterator[Operation]:
        old = self._name(paths[0])
        if old is None or old not in self._names:
            return
        file = self._names.pop(old)
        changes: list[tuple[str, int | None]] = [(old, None)]
        if len(paths) == 2:
            new = self._name(paths[1])
            assert new is not None, "a file was moved out of the folder"
            self._names[new] = file
            changes.append((new, file))
        yield Name(tuple(changes))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
