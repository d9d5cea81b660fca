"""Real photographs for the tests of the GPU module, from inside the scikit-image package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder with the package's pictures."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("scikit-image (extra demo) is not installed: no photographs")
    return Path(spec.origin).parent / "data"


@pytest.fixture(scope="session")
def chelsea(pictures: Path) -> Any:
    """A cat, 300x451."""
    return load(pictures / "chelsea.png")


@pytest.fixture(scope="session")
def coffee(pictures: Path) -> Any:
    """A cup, 400x600."""
    return load(pictures / "coffee.png")


def load(path: Path) -> Any:
    """The picture as Pillow itself decodes it, not by the code under test."""
    numpy = pytest.importorskip("numpy", reason="the extra gpu is not installed")
    image = pytest.importorskip("PIL.Image", reason="the extra gpu is not installed")
    with image.open(path) as picture:
        return numpy.asarray(picture.convert("RGB"))
