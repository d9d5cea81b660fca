"""A device's logbook: what it has still to send, in a small SQLite file that outlives the device's process.

A reading is entered before it is sent and struck out when the broker has acknowledged it. Serial numbers are
handed out here, one after the other for each device, therefore "what was acknowledged" is exact at any time:
all serials up to the last one, without those still entered.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS entry (
    position INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, device TEXT NOT NULL,
    serial INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS device (name TEXT PRIMARY KEY, last_serial INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS answer (
    position INTEGER PRIMARY KEY AUTOINCREMENT, command_id TEXT NOT NULL UNIQUE, event_id TEXT NOT NULL,
    serial INTEGER NOT NULL, device TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS memory (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
"""

ANSWERS_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message that waits for its acknowledgement."""

    event_id: str
    device: str
    serial: int
    topic: str
    payload: bytes


class Logbook:
    """Entries, answered commands and the device's own state; each call is one transaction.

    What a call has stored survives the end of the process, not a power cut of the device (WAL, NORMAL).
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """The file may be opened by someone else."""
        self._db.close()

    def enter(self, device: str, topic: str, reading: Mapping[str, Any]) -> Entry:
        """The reading has the device's next serial number and waits to be sent."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            serial = self._next_serial(device)
            payload = json.dumps({"serial": serial, **reading}).encode()
            entry = Entry(
                event_id=f"{device}-{serial}", device=device, serial=serial, topic=topic, payload=payload
            )
            self._insert(entry)
        return entry

    def enter_answer(self, command_id: str, device: str, topic: str, answer: Mapping[str, Any]) -> Entry:
        """The answer to a command waits to be sent, and `answer_to` gives the same one for good."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            serial = self._next_serial(device)
            entry = Entry(
                event_id=f"{device}-{serial}",
                device=device,
                serial=serial,
                topic=topic,
                payload=json.dumps(answer).encode(),
            )
            self._insert(entry)
            self._db.execute(
                "INSERT INTO answer(command_id, event_id, serial, device, topic, payload)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (command_id, entry.event_id, serial, device, topic, entry.payload),
            )
            self._db.execute(
                "DELETE FROM answer WHERE position <= (SELECT max(position) FROM answer) - ?", (ANSWERS_KEPT,)
            )
        return entry

    def answer_to(self, command_id: str) -> Entry | None:
        """The answer given to this command before, entered again to be sent; None for a new command."""
        row = self._db.execute(
            "SELECT event_id, device, serial, topic, payload FROM answer WHERE command_id = ?", (command_id,)
        ).fetchone()
        if row is None:
            return None
        entry = _entry(row)
        self._insert(entry)
        return entry

    def strike(self, event_id: str) -> None:
        """The broker has acknowledged this message; it is not sent again."""
        self._db.execute("DELETE FROM entry WHERE event_id = ?", (event_id,))

    def waiting(self, limit: int) -> list[Entry]:
        """The oldest entries, at most `limit`."""
        rows = self._db.execute(
            "SELECT event_id, device, serial, topic, payload FROM entry ORDER BY position LIMIT ?", (limit,)
        )
        return [_entry(row) for row in rows]

    def remember(self, name: str, state: Mapping[str, Any]) -> None:
        """`recall` gives this state back, also after a restart."""
        self._db.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, json.dumps(state)))

    def recall(self, name: str) -> dict[str, Any] | None:
        """The state remembered last, or None."""
        row = self._db.execute("SELECT state FROM memory WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def _next_serial(self, device: str) -> int:
        row = self._db.execute(
            "INSERT INTO device VALUES (?, 1) ON CONFLICT(name) DO UPDATE SET last_serial = last_serial + 1"
            " RETURNING last_serial",
            (device,),
        ).fetchone()
        return int(row[0])

    def _insert(self, entry: Entry) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO entry(event_id, device, serial, topic, payload) VALUES (?, ?, ?, ?, ?)",
            (entry.event_id, entry.device, entry.serial, entry.topic, entry.payload),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one device has measured and what the broker has acknowledged of it."""

    device: str
    last_serial: int
    waiting: frozenset[int]

    @property
    def acknowledged(self) -> int:
        """How many of the device's messages the broker has acknowledged."""
        return self.last_serial - len(self.waiting)

    def serials(self) -> frozenset[int]:
        """Serial numbers of the acknowledged messages."""
        return frozenset(range(1, self.last_serial + 1)) - self.waiting


def read_accounts(path: Path) -> list[Account]:
    """The accounts of a logbook that its device may have open; none when there is no such file yet."""
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        waiting: dict[str, set[int]] = {}
        for device, serial in db.execute("SELECT device, serial FROM entry"):
            waiting.setdefault(device, set()).add(serial)
        return [
            Account(device=name, last_serial=last, waiting=frozenset(waiting.get(name, ())))
            for name, last in db.execute("SELECT name, last_serial FROM device ORDER BY name")
        ]
    except sqlite3.OperationalError:  # the device has just begun and made no tables yet
        return []
    finally:
        db.close()


def _entry(row: tuple[str, str, int, str, bytes]) -> Entry:
    event_id, device, serial, topic, payload = row
    return Entry(event_id=event_id, device=device, serial=serial, topic=topic, payload=payload)
