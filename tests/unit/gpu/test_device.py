"""Choosing the array module. The probe's child process is real; CuPy is played by a scripted package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="the extra gpu is not installed")

from overwinter.gpu.device import REMEDIES, Device, DeviceUnavailable, select_device

WORKING_CUPY = """
import numpy
from numpy import float32

__version__ = "14.2.0"


class ndarray:
    def __init__(self, values): self.values = values
    def __mul__(self, other): return ndarray(self.values * other)
    def __matmul__(self, other): return ndarray(self.values @ other.values)
    def sum(self): return ndarray(self.values.sum())
    def reshape(self, *shape): return ndarray(self.values.reshape(*shape))
    def get(self): return self.values


def arange(n, dtype=None): return ndarray(numpy.arange(n, dtype=dtype))
def asarray(values): return values if isinstance(values, ndarray) else ndarray(numpy.asarray(values))
def asnumpy(values): return values.get()


class cuda:
    class runtime:
        @staticmethod
        def driverGetVersion(): return 13020
        @staticmethod
        def runtimeGetVersion(): return 13000
        @staticmethod
        def getDeviceCount(): return 1
        @staticmethod
        def getDeviceProperties(index): return {"name": b"Scripted GPU", "major": 8, "minor": 7}
"""

FAULTS = {
    "no_package": "raise ImportError('libcupy is not for this platform')",
    "no_driver": "cuda.runtime.driverGetVersion = staticmethod(lambda: 0)",
    "driver_too_old": "cuda.runtime.driverGetVersion = staticmethod(lambda: 12090)",
    "no_device": "cuda.runtime.getDeviceCount = staticmethod(lambda: 0)",
    "wrong_result": "ndarray.__matmul__ = lambda self, other: ndarray(self.values * 0)",
    "oom": """
class OutOfMemoryError(MemoryError): pass
def arange(n, dtype=None): raise OutOfMemoryError("out of memory allocating 64 bytes")
""",
    "no_nvrtc": """
def arange(n, dtype=None): raise RuntimeError("Failure finding libnvrtc.so.13")
""",
    "kernel_failed": """
def arange(n, dtype=None): raise RuntimeError("cudaErrorDevicesUnavailable: busy")
""",
}


@pytest.fixture
def scripted_cupy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a package `cupy` on the path of this process and of the probe."""

    def write(fault: str = "") -> None:
        (tmp_path / "cupy.py").write_text(WORKING_CUPY + fault + "\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(str(tmp_path))

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    yield write
    sys.modules.pop("cupy", None)


def test_a_gpu_that_computes_correctly_is_chosen(scripted_cupy: Any) -> None:
    scripted_cupy()

    device = select_device("require")

    assert (device.is_gpu, device.name, device.xp.__name__) == (True, "Scripted GPU", "cupy")
    assert "driver 13020" in device.detail and "8.7" in device.detail


@pytest.mark.parametrize("reason", FAULTS)
def test_each_way_a_gpu_fails_falls_back_to_numpy_and_keeps_the_reason(
    scripted_cupy: Any, reason: str
) -> None:
    scripted_cupy(FAULTS[reason])

    device = select_device("auto")

    assert (device.is_gpu, device.reason, device.xp.__name__) == (False, reason, "numpy"), device.detail


def test_a_required_gpu_that_is_missing_is_an_error_with_reason_and_remedy(scripted_cupy: Any) -> None:
    scripted_cupy(FAULTS["no_driver"])

    with pytest.raises(DeviceUnavailable, match="nvidia-smi must list the device") as caught:
        select_device("require")

    assert caught.value.reason == "no_driver"


def test_a_probe_that_hangs_is_ended_at_its_timeout(scripted_cupy: Any) -> None:
    scripted_cupy("import time; time.sleep(600)")

    device = select_device("auto", timeout_s=0.5)

    assert device.reason == "timeout"


def test_a_probe_that_crashes_leaves_this_process_alive_and_says_how_it_ended(scripted_cupy: Any) -> None:
    scripted_cupy("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")

    device = select_device("auto")

    assert device.reason == "kernel_failed"
    assert "status -11" in device.detail


def test_policy_off_never_imports_cupy(scripted_cupy: Any) -> None:
    scripted_cupy("raise SystemExit('imported')")

    device = select_device("off")

    assert (device.reason, device.name) == ("off", "cpu")
    assert "cupy" not in sys.modules


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="'require', 'auto' or 'off'"):
        select_device("maybe")  # type: ignore[arg-type]


def test_every_reason_has_a_remedy() -> None:
    assert set(FAULTS) | {"timeout", "off"} == set(REMEDIES)


def test_arrays_keep_their_values_on_the_way_to_the_device_and_back(scripted_cupy: Any) -> None:
    scripted_cupy()
    for device in (select_device("off"), select_device("require")):
        there = device.to_device([[1, 2], [3, 4]])  # type: ignore[arg-type]
        assert device.to_host(there).tolist() == [[1, 2], [3, 4]]
        assert type(device.to_host(there)).__module__ == "numpy"


def test_a_device_on_the_cpu_hands_out_the_array_itself() -> None:
    numpy = pytest.importorskip("numpy")
    device: Device = select_device("off")
    array = numpy.arange(3)

    assert device.to_host(device.to_device(array)) is array


def test_importing_the_module_imports_no_array_library() -> None:
    program = (
        "import sys, overwinter.gpu;print(sorted({'numpy', 'cupy', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    )

    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert output.strip() == "[]"
