"""Executions whose history does not fit the code."""

from __future__ import annotations

from typing import Final

from .core.records import dataclass
from .core.replay import HistoryDiverged
from .live import source_line

NEEDS_PATCH: Final = "needs a patch"
"""The code asks for something else than it did."""
BLOCKED: Final = "blocked"
"""The code raises where it did not, or the history is damaged."""
UNREADABLE: Final = "cannot be read"
"""It is no history."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """An execution, and the error that replaying its history ends with."""

    workflow_id: str
    run_id: str
    workflow_type: str
    error: Exception

    @property
    def verdict(self) -> str:
        """One of those above."""
        if isinstance(self.error, HistoryDiverged):
            return NEEDS_PATCH
        return UNREADABLE if isinstance(self.error, ValueError) else BLOCKED

    @property
    def problem(self) -> str:
        """What is wrong."""
        if isinstance(self.error, HistoryDiverged):
            return self.error.difference
        return str(self.error.__cause__ or self.error)

    @property
    def where(self) -> str:
        """The line of the code that it is about; empty if there is none."""
        if isinstance(self.error, HistoryDiverged):
            return self.error.replayed_at or self.error.agreed_at
        return source_line(self.error.__cause__) if self.error.__cause__ is not None else ""
