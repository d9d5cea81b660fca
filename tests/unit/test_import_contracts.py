"""Arrows point down only: edge -> devices, gpu, sync -> runtime, and the core stands on nothing that waits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("runtime", "devices", "gpu", "sync", "edge")
MAY_USE = {
    "runtime": set(),
    "devices": {"runtime"},
    "gpu": {"runtime"},
    "sync": {"runtime"},
    "edge": {"runtime", "devices", "gpu", "sync"},
}
CORE_MAY_IMPORT = {
    "__future__",
    "_thread",  # the number of the thread that an activation runs in
    "asyncio",  # the loop implements asyncio's interface, and waits for nothing
    "collections",
    "contextlib",
    "contextvars",
    "dataclasses",
    "enum",
    "msgpack",
    "operator",
    "reprlib",
    "struct",
    "sys",
    "traceback",
    "types",
    "typing",
    "weakref",
    "zlib",
}


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every import; what is relative begins with as many dots as it has."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def upward_imports(root: Path) -> list[str]:
    found: list[str] = []
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.py")):
            depth = len(file.relative_to(root / folder).parts)
            for line, name in imports(file):
                dots = len(name) - len(name.lstrip("."))
                if dots > depth:
                    found.append(
                        f"{file.relative_to(root)}:{line} leaves its folder by {name}: use the full name"
                    )
                parts = name.split(".")
                if parts[0] == "overwinter" and len(parts) > 1 and parts[1] in FOLDERS:
                    if parts[1] != folder and parts[1] not in MAY_USE[folder]:
                        found.append(f"{file.relative_to(root)}:{line} imports {name}, which stands above it")
                    elif parts[1] == folder:
                        found.append(
                            f"{file.relative_to(root)}:{line} imports {name} of its own folder: import it relatively"
                        )
                if parts[0] in {"examples", "tests", "bench"}:
                    found.append(
                        f"{file.relative_to(root)}:{line} imports {name}, which is not part of the package"
                    )
    return found


def impure_imports(core: Path) -> list[str]:
    return [
        f"{file.name}:{line} imports {name}"
        for file in sorted(core.rglob("*.py"))
        for line, name in imports(file)
        if (name.startswith("..") if name.startswith(".") else name.split(".")[0] not in CORE_MAY_IMPORT)
    ]


def test_arrows_point_down_only() -> None:
    assert upward_imports(ROOT) == []


def test_the_core_imports_nothing_that_waits_reads_a_clock_or_logs() -> None:
    assert impure_imports(ROOT / "runtime" / "core") == []


def test_only_edge_knows_both_a_port_and_what_implements_it_in_the_world() -> None:
    users = {
        file.relative_to(ROOT).parts[0]
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        for _, name in imports(file)
        if name.split(".")[0] in {"paho", "iotcore", "starlette", "uvicorn"}
    }
    assert users == {"edge"}


@pytest.mark.parametrize(
    ("place", "planted"),
    [
        ("runtime/planted.py", "from overwinter.edge.gateway import run"),
        ("gpu/planted.py", "import overwinter.devices.commands"),
        ("runtime/core/planted.py", "from ....edge import gateway"),
        ("sync/planted.py", "from overwinter.sync.changes import follow"),
        ("edge/planted.py", "from tests.brokers import MosquittoBroker"),
    ],
)
def test_a_planted_arrow_upwards_is_seen(place: str, planted: str, tmp_path: Path) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(planted + "\n")
    assert len(upward_imports(tmp_path)) == 1


@pytest.mark.parametrize(
    "planted", ["import time", "from random import random", "import logging", "from ..engine import Engine"]
)
def test_a_planted_impurity_of_the_core_is_seen(planted: str, tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(planted + "\n")
    assert len(impure_imports(tmp_path)) == 1
