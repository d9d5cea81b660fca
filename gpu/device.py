"""Which array module computes, and why that one.

Array code takes the module as ``xp`` (NumPy or CuPy) and never imports CuPy itself. `select_device` decides
once, at start. CUDA cannot be used after a fork: processes that share the choice must be spawned.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from numpy.typing import NDArray

Policy = Literal["require", "auto", "off"]

# A code for each way a GPU can be missing, and what a person can do about it.
REMEDIES: dict[str, str] = {
    "off": "set the policy to 'auto' or 'require' to use a GPU",
    "no_package": "install the CuPy wheel for the machine's CUDA, e.g. cupy-cuda13x",
    "no_driver": "install the NVIDIA driver; nvidia-smi must list the device",
    "driver_too_old": "update the NVIDIA driver, or install the CuPy wheel for the older CUDA",
    "no_device": "check that the device is passed through to this machine or container",
    "no_nvrtc": "install the CUDA compiler libraries, e.g. cupy-cuda13x[ctk]",
    "oom": "free memory on the device, or choose another one with CUDA_VISIBLE_DEVICES",
    "wrong_result": "the device computes wrong results: take it out of use and test its memory",
    "timeout": "the device does not answer: look for a stuck process with nvidia-smi",
    "kernel_failed": "read the detail; the device may be busy, exclusive, or too new or old for this CuPy",
}


class DeviceUnavailable(RuntimeError):
    """The policy is ``require`` and no GPU computes. `reason` is a key of `REMEDIES`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"a GPU is required and none is usable: {reason} ({detail}); {REMEDIES[reason]}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Device:
    """Where arrays live. `reason` is None on a GPU, else the code why it is NumPy; `detail` is for logs."""

    xp: ModuleType
    name: str
    reason: str | None
    detail: str

    @property
    def is_gpu(self) -> bool:
        """Whether arrays live on a device."""
        return self.reason is None

    def to_device(self, array: NDArray[Any]) -> Any:
        """The same values in this device's memory; no copy on the CPU."""
        return self.xp.asarray(array)

    def to_host(self, array: Any) -> NDArray[Any]:
        """The same values as a NumPy array; waits for the device, no copy on the CPU."""
        if self.is_gpu:
            return cast("NDArray[Any]", self.xp.asnumpy(array))
        return cast("NDArray[Any]", self.xp.asarray(array))


def select_device(policy: Policy = "auto", *, timeout_s: float = 60.0) -> Device:
    """Choose the array module by `policy`; blocks for up to `timeout_s` seconds, so call it once at start.

    ``off`` gives NumPy and never imports CuPy. ``auto`` gives the GPU when a probe in a child process
    computed correctly on it within `timeout_s`, else NumPy with the reason kept. ``require`` raises
    `DeviceUnavailable` instead of falling back.
    """
    if policy not in ("require", "auto", "off"):
        raise ValueError(f"unknown device policy {policy!r}: expected 'require', 'auto' or 'off'")
    if policy == "off":
        return _cpu("off", "switched off by policy")
    answer = _run_probe(timeout_s)
    if answer.get("ok") is True:
        return Device(importlib.import_module("cupy"), str(answer["name"]), None, str(answer["detail"]))
    reason, detail = str(answer["reason"]), str(answer["detail"])
    if policy == "require":
        raise DeviceUnavailable(reason, detail)
    return _cpu(reason, detail)


def _cpu(reason: str, detail: str) -> Device:
    numpy = importlib.import_module("numpy")
    return Device(numpy, "cpu", reason, detail)


def _run_probe(timeout_s: float) -> dict[str, object]:
    # -P keeps this folder off the child's path, where its module names could hide others.
    script = str(Path(__file__).with_name("probe.py"))
    try:
        child = subprocess.run(
            [sys.executable, "-P", script], capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"ok": False, "reason": "timeout", "detail": f"the probe did not end within {timeout_s:g} s"}
    lines = child.stdout.decode(errors="replace").splitlines()
    if child.returncode == 0 and lines:
        return cast("dict[str, object]", json.loads(lines[-1]))
    last_words = child.stderr.decode(errors="replace").strip()[-300:]
    detail = f"the probe ended with status {child.returncode}: {last_words or 'no output'}"
    return {"ok": False, "reason": "kernel_failed", "detail": detail}
