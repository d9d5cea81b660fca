"""The limit: SQLite alone, WAL and FULL, rows of an event's size in commits of a given size."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

ROW_BYTES = 120


def group_commit(folder: Path, *, batch: int, seconds: float) -> tuple[float, list[float]]:
    """Rows a second, and the seconds that each commit took."""
    connection = sqlite3.connect(folder / f"raw-{batch}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (lsn INTEGER PRIMARY KEY, execution INTEGER, data BLOB)")
    rows = [(number, b"x" * ROW_BYTES) for number in range(batch)]
    times: list[float] = []
    written = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        commit_began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events (execution, data) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        times.append(time.perf_counter() - commit_began)
        written += batch
    rate = written / (time.perf_counter() - began)
    connection.close()
    return rate, times
