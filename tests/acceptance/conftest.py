"""Fixtures of the acceptance tests: real brokers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from brokers import Broker, MosquittoBroker, new_broker


@pytest_asyncio.fixture(params=["mosquitto", "embedded"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """Each broker in turn, running."""
    running = new_broker(request.param, tmp_path / "broker")
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[MosquittoBroker]:
    """Mosquitto, running, with a store that survives."""
    running = MosquittoBroker(tmp_path / "broker")
    await running.start()
    yield running
    await running.stop()
