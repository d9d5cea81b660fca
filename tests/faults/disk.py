"""A model of a disk: what it may hold when the power goes in the middle of a list of operations.

The list comes from elsewhere: from the file layer of a database in this process (`recorded_files`), or from the system calls
of a real one (`recorded_calls`). What was synced is there. Of what was not, any sector may be there in any of its states since,
in any order; sizes and names likewise.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class SyncFile:
    file: int


@dataclass(frozen=True, slots=True)
class SyncFailed:
    """A sync that failed: what was to be synced is written in part, and no later sync will look after the rest."""

    file: int


@dataclass(frozen=True, slots=True)
class Name:
    """Names were given or taken (None), all of them at once."""

    names: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class SyncNames:
    folder: str


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody outside learned this; no operation of a disk."""

    what: Any


Operation = Write | Resize | SyncFile | SyncFailed | Name | SyncNames | Told


@dataclass(slots=True)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[Write | Resize] = field(default_factory=list)

    def write_all(self) -> None:
        for operation in self.pending:
            _apply(self.synced, operation)
        self.pending.clear()


class Disk:
    """Holds what was synced, and knows what was not. `lies`: it answers a sync of a file at once and does nothing."""

    def __init__(self, files: dict[str, bytes], chance: random.Random, *, lies: bool = False) -> None:
        self._chance = chance
        self._lies = lies
        self._files = {number: _File(bytearray(content)) for number, content in enumerate(files.values())}
        self._names = dict(zip(files, self._files, strict=True))
        self._renamed: list[Name] = []

    def apply(self, operation: Operation) -> None:
        match operation:
            case Write() | Resize():
                self._file(operation.file).pending.append(operation)
            case SyncFile(file):
                if not self._lies:
                    self._file(file).write_all()
            case SyncFailed(file):
                failed = self._file(file)
                failed.synced, failed.pending = bytearray(_survived(failed, self._chance)), []
            case Name():
                self._renamed.append(operation)
            case SyncNames(folder):
                self._sync_names(folder)
            case Told():
                pass

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())

    def _sync_names(self, folder: str) -> None:
        left: list[Name] = []
        for change in self._renamed:
            if any(_folder(name) != folder for name, _ in change.names):
                left.append(change)
            else:
                self._rename(self._names, change)
        self._renamed = left

    @staticmethod
    def _rename(names: dict[str, int], change: Name) -> None:
        for name, file in change.names:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file

    def after_power_cut(self) -> dict[str, bytes]:
        """One of the states that may be found when the power is back."""
        chance = self._chance
        names = dict(self._names)
        kept = chance.choice((0.0, 1.0, 0.5, chance.random()))
        for change in self._renamed:
            if chance.random() < kept:
                self._rename(names, change)
        return {name: _survived(self._file(file), chance) for name, file in names.items()}


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _apply(content: bytearray, operation: Write | Resize) -> None:
    match operation:
        case Write(_, offset, data):
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
        case Resize(_, size):
            del content[size:]
            content.extend(bytes(size - len(content)))


def _survived(file: _File, chance: random.Random) -> bytes:
    """What was synced, and of each sector written since one of its states."""
    pending = file.pending
    kept = chance.choice((0.0, 1.0, 0.5, chance.random()))
    if chance.random() < 0.25:  # In the order of the writes, as a file system with one queue has it.
        pending, kept = pending[: chance.randint(0, len(pending))], 1.0
    last = _last_state_of_each_sector(pending, kept, chance)
    content = bytearray(file.synced)
    for number, operation in enumerate(pending):
        if isinstance(operation, Resize):
            if chance.random() < kept:
                _apply(content, operation)
            continue
        for start, part in _sectors(operation):
            if number <= last[start // SECTOR]:
                _apply(content, Write(operation.file, start, part))
    if kept < 1.0 and len(content) > len(file.synced) and chance.random() < 0.3:
        del content[chance.randint(len(file.synced), len(content)) :]  # Its new size was not written.
    return bytes(content)


def _last_state_of_each_sector(
    pending: Iterable[Write | Resize], kept: float, chance: random.Random
) -> dict[int, int]:
    states: dict[int, list[int]] = defaultdict(list)
    for number, operation in enumerate(pending):
        if isinstance(operation, Write):
            for start, _ in _sectors(operation):
                states[start // SECTOR].append(number)
    return {
        sector: (numbers[-1] if chance.random() < 0.7 else chance.choice(numbers))
        if chance.random() < kept
        else -1
        for sector, numbers in states.items()
    }


def _sectors(write: Write) -> Iterable[tuple[int, bytes]]:
    offset, end = write.offset, write.offset + len(write.data)
    while offset < end:
        until = min(end, (offset // SECTOR + 1) * SECTOR)
        yield offset, write.data[offset - write.offset : until - write.offset]
        offset = until
