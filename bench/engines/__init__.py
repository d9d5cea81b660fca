"""One adapter for each engine that is measured. Each is imported only in the process that measures it."""

from __future__ import annotations

import importlib

from .port import Engine

_MODULES = {
    "overwinter": "overwinter",
    "dbos-sqlite": "dbos_sqlite",
    "restate": "restate_server",
    "temporal-dev": "temporal_dev",
}


def adapter(name: str) -> Engine:
    """The adapter of an engine.

    Raises:
        ImportError: what it needs is not installed.
    """
    engine: Engine = importlib.import_module(f"{__name__}.{_MODULES[name]}").ENGINE
    return engine
