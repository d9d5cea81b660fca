"""ONNX models on the CPU, checked before they are trusted and before each run."""

from __future__ import annotations

import hashlib
import importlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_BYTES_MAX = 256 * 1024 * 1024
ELEMENTS_MAX = 64 * 1024 * 1024
"""The most values in one input tensor, 256 MiB of float32."""

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class ModelRefused(ValueError):
    """A model is not used. `reason`: missing, too_large, checksum, not_a_model, unsupported_input, output."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InputRefused(ValueError):
    """An input does not fit the model. `reason`: names, rank, shape, dtype, too_large or not_finite."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What the model declares: `shape` has None where any positive size fits."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def check(self, array: NDArray[Any]) -> None:
        """Return if the model can be run on `array`, else raise `InputRefused`."""
        if array.ndim != len(self.shape):
            raise InputRefused(
                "rank", f"input {self.name!r} has shape {array.shape}, expected {self._text()}"
            )
        for found, wanted in zip(array.shape, self.shape, strict=True):
            if found < 1 or (wanted is not None and found != wanted):
                raise InputRefused(
                    "shape", f"input {self.name!r} has shape {array.shape}, expected {self._text()}"
                )
        if array.dtype != self.dtype:
            raise InputRefused("dtype", f"input {self.name!r} has dtype {array.dtype}, expected {self.dtype}")
        if array.size > ELEMENTS_MAX:
            raise InputRefused(
                "too_large", f"input {self.name!r} has {array.size} values, at most {ELEMENTS_MAX}"
            )
        # The sum is finite only if every value is; looking at each is needed only when it overflowed.
        if array.dtype.kind == "f" and not math.isfinite(array.sum(dtype="float64")):
            raise InputRefused("not_finite", f"input {self.name!r} holds NaN or infinite values")

    def _text(self) -> str:
        return "(" + ", ".join("any" if size is None else str(size) for size in self.shape) + ")"


class Model:
    """A loaded model. `run` may be called from several threads at once.

    One inference uses one thread and does not spin while idle: on a gateway the model shares two or four
    cores with everything else, and activities already run in parallel.
    """

    def __init__(self, session: Any, path: Path) -> None:
        self._session = session
        self.path = path
        self.inputs = tuple(_spec(node, path) for node in session.get_inputs())
        self.output_names: tuple[str, ...] = tuple(node.name for node in session.get_outputs())

    @classmethod
    def load(cls, path: str | Path, *, sha256: str) -> Model:
        """Load the ONNX file at `path` if its bytes have the checksum `sha256` (hex).

        Takes from tens of milliseconds to seconds: load once, at start. Raises `ModelRefused`; weights in
        separate files are not followed, since the checksum would not cover them.
        """
        path = Path(path)
        data = _read_checked(path, sha256)
        onnxruntime = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Without the arena and its patterns memory goes back after a run. With inputs of changing shapes they
        # only grew: 248 MB against 201 MB resident after 15 pictures through two models, at the same speed.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3  # errors; exporters' leftovers otherwise print a warning a tensor
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the binding has one unrelated class for each kind of failure
            raise ModelRefused("not_a_model", f"{path} cannot be loaded as an ONNX model: {error}") from error
        return cls(session, path)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The model's outputs by name. Raises `InputRefused` before running anything.

        The result for one item may differ in the last digits with what else is in its batch: record results,
        compare them with a tolerance.
        """
        expected = {spec.name for spec in self.inputs}
        if set(inputs) != expected:
            raise InputRefused("names", f"the model takes inputs {sorted(expected)}, given {sorted(inputs)}")
        for spec in self.inputs:
            spec.check(inputs[spec.name])
        return dict(zip(self.output_names, self._session.run(None, dict(inputs)), strict=True))

    def warm_up(self, shapes: Mapping[str, tuple[int, ...]] | None = None) -> float:
        """Run once on zeros and give the seconds it took: the first run allocates and is the slowest.

        `shapes` names the shape an input will have in use; without it a free size is 1.
        """
        import numpy

        chosen = shapes or {}
        zeros = {
            spec.name: numpy.zeros(
                chosen.get(spec.name, tuple(1 if size is None else size for size in spec.shape)), spec.dtype
            )
            for spec in self.inputs
        }
        started = time.perf_counter()
        self.run(zeros)
        return time.perf_counter() - started


def _read_checked(path: Path, sha256: str) -> bytes:
    """The file's bytes; what is checked here is what is loaded, so a later change on disk cannot slip in."""
    try:
        with path.open("rb") as file:
            data = file.read(MODEL_BYTES_MAX + 1)
    except OSError as error:
        raise ModelRefused("missing", f"the model {path} cannot be read: {error.strerror}") from error
    if len(data) > MODEL_BYTES_MAX:
        raise ModelRefused("too_large", f"the model {path} has more than {MODEL_BYTES_MAX} bytes")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise ModelRefused(
            "checksum",
            f"the model {path} has sha256 {found}, expected {sha256}; "
            "restore the file, or set the new checksum if the change was meant",
        )
    return data


def _spec(node: Any, path: Path) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise ModelRefused("unsupported_input", f"the model {path} has an input {node.name!r} of {node.type}")
    return TensorSpec(node.name, tuple(size if isinstance(size, int) else None for size in node.shape), dtype)
