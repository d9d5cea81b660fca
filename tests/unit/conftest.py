"""Gateways for tests of the engine: one in memory, one on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from overwinter.runtime.journal import MemoryJournal
from tests.unit.gateways import Gateway, SqliteGateway


@pytest.fixture
def gateway() -> Gateway:
    """In memory; it goes on after a restart of the engine, not of the process."""
    return Gateway(MemoryJournal())


@pytest.fixture
def durable(tmp_path: Path) -> SqliteGateway:
    """On the disk."""
    return SqliteGateway(tmp_path / "journal.db")
