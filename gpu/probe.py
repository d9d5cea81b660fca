"""Whether a GPU really computes, found out in a process of its own.

``device.py`` runs this file as a script, in a fresh interpreter: the caller keeps no CUDA context, and an
error that poisons the context, a crash or a hang ends only the child. An importable CuPy, a listed device and
a loaded driver prove nothing yet (without NVRTC all three are there and the first kernel fails), so the probe
ends with a kernel compiled here and a matrix product, both compared with the known result.

It prints one JSON object: ``ok`` with ``name`` and ``detail``, or not ``ok`` with ``reason`` and ``detail``.
"""

from __future__ import annotations

import importlib
import json
from typing import Any


class _Unusable(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _import_cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise _Unusable("no_package", f"cupy cannot be imported: {error}") from error


def _check_driver(runtime: Any) -> str:
    driver = int(runtime.driverGetVersion())
    needed = int(runtime.runtimeGetVersion())
    if driver <= 0:
        raise _Unusable("no_driver", "the CUDA driver reports version 0")
    # Versions are 1000 * major + 10 * minor; within one major a driver runs newer minors.
    if driver // 1000 < needed // 1000:
        raise _Unusable("driver_too_old", f"the driver supports CUDA {driver}, CuPy was built for {needed}")
    return f"driver {driver}, runtime {needed}"


def _check_count(runtime: Any) -> None:
    try:
        count = int(runtime.getDeviceCount())
    except RuntimeError as error:
        raise _Unusable("no_device", f"devices cannot be counted: {error}") from error
    if count < 1:
        raise _Unusable("no_device", "the driver lists 0 devices")


def _check_arithmetic(cupy: Any) -> None:
    kernel = int((cupy.arange(8) * 2).sum().get())
    if kernel != 56:
        raise _Unusable("wrong_result", f"a compiled kernel gave {kernel}, expected 56")
    square = cupy.arange(4, dtype=cupy.float32).reshape(2, 2)
    product = [float(value) for value in (square @ square).get().ravel()]
    if product != [2.0, 3.0, 6.0, 11.0]:
        raise _Unusable("wrong_result", f"a matrix product gave {product}, expected [2, 3, 6, 11]")


def _reason_for(error: BaseException) -> str:
    """The code for what a kernel run raised. OutOfMemoryError is a MemoryError, not a RuntimeError."""
    if isinstance(error, MemoryError):
        return "oom"
    if "nvrtc" in f"{type(error).__name__} {error}".lower():
        return "no_nvrtc"
    return "kernel_failed"


def probe() -> dict[str, object]:
    """Run every check in order; the answer names the first that fails."""
    try:
        cupy = _import_cupy()
        runtime = cupy.cuda.runtime
        versions = _check_driver(runtime)
        _check_count(runtime)
        try:
            _check_arithmetic(cupy)
        except (RuntimeError, MemoryError, OSError, ImportError) as error:
            raise _Unusable(_reason_for(error), f"{type(error).__name__}: {error}") from error
        properties = runtime.getDeviceProperties(0)
    except _Unusable as unusable:
        return {"ok": False, "reason": unusable.reason, "detail": str(unusable)}
    name = properties["name"]
    capability = f"compute capability {properties['major']}.{properties['minor']}"
    return {
        "ok": True,
        "name": name.decode() if isinstance(name, bytes) else str(name),
        "detail": f"CuPy {cupy.__version__}, {versions}, {capability}",
    }


if __name__ == "__main__":
    print(json.dumps(probe()))
