"""The journal's adapters: SQLite for gateways, memory for tests. Both pass the same suite."""

from .errors import (
    AppendConflict,
    HistoryDamaged,
    JournalDamaged,
    JournalError,
    JournalHeld,
    JournalTooNew,
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
    "MemoryJournal",
    "SqliteJournal",
    "StorageFailed",
    "StorageFull",
]
