"""Which lines of workflow code its commands come from: known while histories are replayed to be checked, and only then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType
from typing import Any

from .core import replay
from .core.commands import CLOSING, Command
from .core.events import Event, Happening
from .core.instance import ActivationFailed, Instance
from .core.replay import HistoryDiverged
from .live import is_foreign

_ACTIVATE = Instance._activate.__code__  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class TracedInstance(Instance):
    """An instance that remembers the line of each command."""

    _lines: dict[int, tuple[Command, str]]

    def give(self, key: int, command: Command) -> None:
        """See `Instance`."""
        if "_lines" not in self.__dict__:
            self._lines = {}
        super().give(key, command)
        given = self._commands.get(key, command)  # It may have got its groups.
        # By identity: commands hold mappings, which have no hash. The command is kept, so that its id is not used again.
        self._lines[id(given)] = (given, self._line_of(given))

    def _line_of(self, command: Command) -> str:
        # Without a traceback there is no other way to the caller's line.
        own = self._own(_outwards(sys._getframe(2)))  # noqa: SLF001
        if own is not None:
            return own
        if isinstance(command, CLOSING):
            code = self.definition.run_fn.__code__
            return _place(code, code.co_firstlineno)
        return ""

    def _own(self, frames: Iterator[FrameType]) -> str | None:
        """The first place in the workflow's own file, or else in another one of its author's."""
        home = self.definition.run_fn.__code__.co_filename
        foreign: str | None = None
        for frame in frames:
            if frame.f_code.co_filename == home:
                return _place(frame.f_code, frame.f_lineno)
            if foreign is None and is_foreign(frame.f_code.co_filename):
                foreign = _place(frame.f_code, frame.f_lineno)
        return foreign

    def explain(self, error: HistoryDiverged) -> None:
        """Give an error the lines of its two sides."""
        lines = self.__dict__.get("_lines", {})
        if error.agreed is not None:
            error.agreed_at = lines.get(id(error.agreed[1]), (None, ""))[1]
        if error.replayed is not None:
            error.replayed_at = lines.get(id(error.replayed), (None, ""))[1]
        if not error.replayed_at and not self.closed:
            error.replayed_at = (
                self._waits_at()
            )  # What a task asked for that none of its code runs in has no line.

    def _waits_at(self) -> str:
        """Where the code waits: the innermost line of its own in the first task that is not done."""
        for task in self.loop.unfinished_tasks():
            own = self._own(reversed(list(awaited(task.get_coro()))))
            if own is not None:
                return own
        return ""


def with_lines(
    error: HistoryDiverged,
    instance: TracedInstance,
    history: Sequence[Event],
    opened: Callable[[Happening], Happening] | None,
) -> HistoryDiverged:
    """The error with the lines of its two sides, from another replay on this new instance; as it is if that ends otherwise."""
    try:
        replay.replay(instance, history, opened)
    except HistoryDiverged as again:
        instance.explain(again)
        return again
    except ActivationFailed:
        return error
    finally:
        instance.evict()
    return error


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """The calls of an activation that are under way, the innermost first."""
    while frame is not None and frame.f_code is not _ACTIVATE:
        yield frame
        frame = frame.f_back


def awaited(coro: Any) -> Iterator[FrameType]:
    """The frames of a coroutine that waits, the outermost first."""
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is not None:
            yield frame
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)


def _place(code: CodeType, line: int) -> str:
    return f"{code.co_filename}:{line} in {code.co_name}"
