"""The journal's adapters: SQLite for gateways, memory for tests. Both pass the same suite."""

from .errors import (
    AppendConflict,
    HistoryDamaged,
    JournalDamaged,
    JournalError,
    JournalHeld,
    JournalTooNew,
    LimitReached,
    StorageFailed,
    StorageFull,
)
from .memory import MemoryJournal
from .sqlite import SqliteJournal

__all__ = [
    "AppendConflict",
    "HistoryDamaged",
    "JournalDamaged",
    "JournalError",
    "JournalHeld",
    "JournalTooNew",
    "LimitReached",
    "MemoryJournal",
    "SqliteJournal",
    "StorageFailed",
    "StorageFull",
]
