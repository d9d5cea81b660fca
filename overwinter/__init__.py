"""Overwinter: durable execution for gateways and farm devices.

``from overwinter import workflow, activity`` is what most code needs; the names below are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runtime import activity, messages, workflow

__version__ = "0.1.0"
__all__ = ["__version__", "activity", "messages", "workflow"]


def __getattr__(name: str) -> Any:
    if name in {"activity", "messages", "workflow"}:
        return import_module(f".runtime.{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
