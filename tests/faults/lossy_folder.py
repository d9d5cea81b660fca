"""A folder on a simulated disk that forgets what was not synced when the power goes."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from overwinter.runtime.external_storage.folder import FileState, Folder


class PowerCut(Exception):
    """The power went before this step was done; nothing is done after it."""


@dataclass
class _File:
    content: bytes
    on_disk: bytes | None = None
    changed_at_s: float = 0.0


class LossyFolder(Folder):
    """What `Folder` promises, and not a step more.

    The power goes after so many steps. What was written and not synced is then there in part, or not at all; names that were
    given or taken since the last sync are as they were up to some moment since. `lies` names steps that are not carried out
    although they say so.
    """

    def __init__(self, chance: random.Random, *, lies: frozenset[str] = frozenset()) -> None:
        super().__init__(Path("/simulated"))
        self._chance = chance
        self._lies = lies
        self._names: dict[str, _File] = {}
        self._names_on_disk: dict[str, _File] = {}
        self._renames: list[tuple[str, _File | None]] = []
        """What happened to names since the last sync, in order; None is a removal."""
        self.steps_left: int | None = None

    def _step(self) -> None:
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise PowerCut
            self.steps_left -= 1

    def cut_power(self) -> None:
        """It is off, and on again: what is left is what the disk has."""
        self.steps_left = None
        names = dict(self._names_on_disk)
        for name, file in self._renames[: self._chance.randint(0, len(self._renames))]:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        for file in names.values():
            if file.on_disk is None:
                file.on_disk = file.content[: self._chance.randint(0, len(file.content))]
            file.content = file.on_disk
        self._names, self._names_on_disk, self._renames = names, dict(names), []

    def _name(self, name: str, file: _File | None) -> None:
        if file is None:
            self._names.pop(name, None)
        else:
            self._names[name] = file
        self._renames.append((name, file))

    # -- as Folder -----------------------------------------------------------------------------------

    def make(self) -> None:
        pass

    def write_new(self, name: str, content: bytes) -> None:
        self._step()
        assert name not in self._names
        self._name(name, _File(content, changed_at_s=time.time()))

    def sync_file(self, name: str) -> None:
        self._step()
        if "sync_file" not in self._lies:
            self._names[name].on_disk = self._names[name].content

    def rename(self, name: str, new_name: str) -> None:
        self._step()
        file = self._names[name]
        self._name(new_name, file)
        self._name(name, None)

    def sync_names(self) -> None:
        self._step()
        if "sync_names" not in self._lies:
            self._names_on_disk, self._renames = dict(self._names), []

    def read(self, name: str) -> bytes:
        self._step()
        if name not in self._names:
            raise FileNotFoundError(name)
        return self._names[name].content

    def state(self, name: str) -> FileState | None:
        file = self._names.get(name)
        return None if file is None else FileState(len(file.content), file.changed_at_s)

    def touch(self, name: str) -> None:
        self._names[name].changed_at_s = time.time()

    def remove(self, name: str) -> None:
        self._step()
        self._name(name, None)

    def names(self) -> list[str]:
        return sorted(self._names)

    def make_old(self) -> None:
        """Every file was written long ago."""
        for file in self._names.values():
            file.changed_at_s = 0.0
