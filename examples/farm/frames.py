"""The simulated camera's pictures: files in the spool folder, and references that can be checked."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from .pictures import PHOTOGRAPHS, photograph, with_ear_tag

FILES_KEPT = 400
TAGGED_SHARE = 0.5


class CameraSpool:
    """Writes JPEG files into `folder`; the oldest beyond 400 are deleted.

    About half of the pictures show an animal's ear tag; photograph and number follow from the seed.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._seed = folder, seed

    def take(self, moment: str, count: int) -> list[dict[str, Any]]:
        """Take `count` pictures at `moment`; each reference has the file's name, its sha256 and the shape."""
        references = [self._shoot(f"{moment}-{number}") for number in range(1, count + 1)]
        by_age = sorted(self._folder.glob("*.jpg"), key=lambda file: file.stat().st_mtime)
        for old in by_age[:-FILES_KEPT]:
            old.unlink()
        return references

    def _shoot(self, shot: str) -> dict[str, Any]:
        draws = Random(f"{self._seed} {shot}")
        with Image.open(photograph(draws.choice(PHOTOGRAPHS))) as picture:
            scene = picture.convert("RGB")
        if draws.random() < TAGGED_SHARE:
            text = f"{draws.randrange(1000, 10000)}"
            scene = with_ear_tag(scene, text, tilt_degrees=draws.uniform(-5.0, 5.0))
        file = io.BytesIO()
        scene.save(file, "JPEG", quality=90)
        name = f"{shot}.jpg"
        part = self._folder / f".{name}.part"
        part.write_bytes(file.getvalue())
        os.replace(part, self._folder / name)  # whoever reads it sees all of it
        digest = hashlib.sha256(file.getvalue()).hexdigest()
        return {"name": name, "sha256": digest, "shape": [scene.height, scene.width, 3]}
