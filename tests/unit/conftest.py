"""Gateways for tests of the engine: one in memory, one on the disk.

Tests of the modules in `THROUGH_A_SOCKET` run twice: with a client in the engine's process, and with one that reaches the
engine through a socket.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from overwinter.runtime.journal import MemoryJournal
from tests.unit.gateways import Gateway, SqliteGateway

THROUGH_A_SOCKET = {
    "test_activities",
    "test_blocked",
    "test_cancellation",
    "test_relations",
    "test_pausing",
    "test_recovery",
    "test_standalone_activities",
    "test_runner",
    "test_signals_and_queries",
    "test_timers",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "socket" in metafunc.fixturenames:
        through = metafunc.module.__name__.rpartition(".")[2] in THROUGH_A_SOCKET
        metafunc.parametrize(
            "socket",
            [False, True] if through else [False],
            ids=lambda is_remote: "remote" if is_remote else "here",
            indirect=True,
        )


@pytest.fixture
def socket(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where the client of a gateway finds it; None in its process."""
    return tmp_path / "client.sock" if request.param == "remote" else None


@pytest.fixture
def gateway(socket: Path | None) -> Gateway:
    """In memory; it goes on after a restart of the engine, not of the process."""
    return Gateway(MemoryJournal(), socket=socket)


@pytest.fixture
def durable(tmp_path: Path, socket: Path | None) -> SqliteGateway:
    """On the disk."""
    return SqliteGateway(tmp_path / "journal.db", socket=socket)
