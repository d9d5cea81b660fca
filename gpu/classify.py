"""Image classification: a frame in, labels with scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .frames import check_frame, resize
from .infer import Model, ModelRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Label:
    """`score` is a probability, 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Classifier:
    """A model with one image input (batch x 3 x height x width, float32) and one output (batch x labels).

    `mean` and `std` are those of the training, by RGB channel on values 0..1. `output` says whether the model
    gives probabilities or logits still to be normalised. Raises `ModelRefused` for a model of another form.
    """

    model: Model
    labels: tuple[str, ...]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    output: Literal["probabilities", "logits"] = "probabilities"

    def __post_init__(self) -> None:
        height, width = self._size()
        self.model.warm_up({self.model.inputs[0].name: (1, 3, height, width)})

    def classify(self, frame: NDArray[Any]) -> list[Label]:
        """Every label, the likeliest first. Raises `FrameRefused`."""
        import numpy

        check_frame(frame)
        height, width = self._size()
        tensor = normalize(resize(frame, height, width, numpy), self.mean, self.std)
        raw = self.model.run({self.model.inputs[0].name: tensor})[self.model.output_names[0]]
        if raw.shape != (1, len(self.labels)):
            raise ModelRefused(
                "output", f"the model {self.model.path} gave {raw.shape} for {len(self.labels)} labels"
            )
        scores = _softmax(raw[0]) if self.output == "logits" else raw[0].tolist()
        ranked = sorted(zip(self.labels, scores, strict=True), key=lambda pair: -pair[1])
        return [Label(name, float(score)) for name, score in ranked]

    def _size(self) -> tuple[int, int]:
        shape = self.model.inputs[0].shape
        if len(self.model.inputs) == 1 and len(shape) == 4 and shape[1] == 3:
            height, width = shape[2:]
            if height is not None and width is not None:
                return height, width
        raise ModelRefused(
            "unsupported_input",
            f"the model {self.model.path} takes {shape}, expected (any, 3, height, width)",
        )


def normalize(frame: NDArray[Any], mean: Sequence[float], std: Sequence[float]) -> NDArray[Any]:
    """`frame` as the tensor most image models take: 1 x 3 x height x width, float32, centred and scaled."""
    import numpy

    scaled = frame.astype(numpy.float32) / numpy.float32(255)
    centred = (scaled - numpy.asarray(mean, numpy.float32)) / numpy.asarray(std, numpy.float32)
    return numpy.ascontiguousarray(centred.transpose(2, 0, 1)[numpy.newaxis])


def _softmax(logits: NDArray[Any]) -> list[float]:
    import numpy

    powers = numpy.exp(logits.astype(numpy.float64) - logits.max())
    return [float(power) for power in powers / powers.sum()]
