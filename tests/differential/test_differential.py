"""A program written for Temporal sees the same results, errors and order of events on Overwinter."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import FOLDERS
from .engines import FILE_S, START_S, EngineProcess

pytestmark = pytest.mark.timeout(2 * (START_S + FILE_S) + 10)


def _cases() -> list[tuple[str, str, str]]:
    """Every folder, file and case, read without importing: `temporalio` may be missing."""
    return [
        (folder, path.stem, node.name)
        for folder in FOLDERS
        for path in sorted((Path(__file__).parent / folder).glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("case_")
    ]


@pytest.mark.parametrize(("folder", "file", "case"), _cases(), ids=lambda name: name.removeprefix("case_"))
def test_a_case_shows_the_same_on_both(
    temporal: Callable[[str], EngineProcess],
    overwinter: Callable[[str], EngineProcess],
    folder: str,
    file: str,
    case: str,
) -> None:
    overwinter(folder).begin(file)  # At the same time: most of it is waiting.
    wanted = temporal(folder).observations(file)[case]
    assert not _broken(wanted), f"the case does not work on Temporal: {wanted}"
    seen = overwinter(folder).observations(file)[case]
    assert seen == wanted, "\n" + _difference(wanted, seen)


def test_a_module_that_overwinter_does_not_have_is_named() -> None:
    from . import alias

    with pytest.raises(ModuleNotFoundError, match=r"overwinter\.runtime\.bridge"):
        alias.Aliases().find_spec("temporalio.bridge", None)


def _broken(observation: Any) -> bool:
    return isinstance(observation, list) and observation[:1] == ["case"]


def _difference(wanted: Any, seen: Any) -> str:
    lines = (json.dumps(value, indent=1, ensure_ascii=False).splitlines() for value in (wanted, seen))
    return "\n".join(difflib.unified_diff(*lines, "Temporal", "Overwinter", lineterm="", n=4))
