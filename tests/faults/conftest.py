"""What several fault tests need."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from overwinter.runtime.journal import MemoryJournal
from tests.faults.recorded_files import scratch
from tests.unit.gateways import Gateway, SqliteGateway


@pytest.fixture
def gateway() -> Gateway:
    """In memory."""
    return Gateway(MemoryJournal())


@pytest.fixture
def durable(tmp_path: Path) -> SqliteGateway:
    """On the disk."""
    return SqliteGateway(tmp_path / "journal.db")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory where there is one: the disk is modelled, the real one need not wear."""
    made = scratch(tmp_path)
    yield made
    if made != tmp_path:
        shutil.rmtree(made)
