"""`docs/reference/semantics.md` names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = (TESTS.parent / "docs" / "reference" / "semantics.md").read_text()


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _exists(reference: str) -> bool:
    where, _, name = reference.partition("::")
    if not where.endswith(".py"):
        folder, file = where.split("/")
        paths = list((TESTS / folder).glob(f"*/{file}.py"))
        return any(f"case_{name}" in _functions(path) for path in paths)
    path = next((base / where for base in (TESTS, TESTS / "unit") if (base / where).exists()), None)
    return path is not None and (not name or name in _functions(path))


def test_every_test_that_the_page_names_is_there() -> None:
    rows = [line for line in NAMED.splitlines() if line.startswith("| ") and "`" in line.split("|")[2]]
    references = [each for row in rows for each in re.findall(r"`([^`]+)`", row.split("|")[2])]
    assert len(rows) > 45
    assert [each for each in references if not _exists(each)] == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert not _exists("differential/messages::no_such_case")
    assert not _exists("test_timers.py::no_such_test")
    assert not _exists("no_such_file.py")
