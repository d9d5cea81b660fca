"""What a user gets who installs the package."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import overwinter

ROOT = Path(__file__).parents[2]


def test_the_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.get("version", overwinter.__version__) == overwinter.__version__


def test_types_are_for_users_too() -> None:
    assert resources.files("overwinter").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", ["workflow", "activity", "messages"])
def test_the_names_of_daily_use_come_from_the_top(name: str) -> None:
    assert getattr(overwinter, name).__name__ == f"overwinter.runtime.{name}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'workflows'"):
        _ = overwinter.workflows  # type: ignore[attr-defined]


def test_importing_workflow_loads_no_web_no_gpu_and_no_mqtt_package() -> None:
    code = "import sys, overwinter.runtime.workflow; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"paho", "starlette", "uvicorn", "numpy", "cupy", "asyncpg"} & set(run.stdout.split())
