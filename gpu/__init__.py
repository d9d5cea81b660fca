"""Array work for a gateway: which array module, frames, encoding, inference.

Importing this package imports neither NumPy, CuPy, Pillow nor onnxruntime: each is imported by the first call
that needs it, so that a gateway without the extra ``gpu`` starts and stays small. The ready-made activities
are in :mod:`overwinter.gpu.activities`.
"""

from __future__ import annotations

from .classify import Classifier, Label
from .device import Device, DeviceUnavailable, select_device
from .encode import EncodedImage, encode_jpeg
from .frames import FrameBounds, FrameRefused, check_frame, decode_frame
from .infer import InputRefused, Model, ModelRefused
from .spool import ReferenceRefused, Spool

__all__ = [
    "Classifier",
    "Device",
    "DeviceUnavailable",
    "EncodedImage",
    "FrameBounds",
    "FrameRefused",
    "InputRefused",
    "Label",
    "Model",
    "ModelRefused",
    "ReferenceRefused",
    "Spool",
    "check_frame",
    "decode_frame",
    "encode_jpeg",
    "select_device",
]
