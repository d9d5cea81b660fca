"""What Temporal's SDK refuses is refused here with an error of the same type, which says at least the same."""

from __future__ import annotations

import ast
import asyncio
import collections.abc
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("temporalio", reason="pip install temporalio, to compare its refusals with ours")

from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import MemoryJournal

from .refusals import REFUSALS, WORKERS

_MODULES = ("workflow", "activity", "common", "worker", "converter")


@asynccontextmanager
async def _client(package: str) -> AsyncIterator[Any]:
    client = importlib.import_module(f"{package}.client")
    if package == "temporalio":
        yield await client.Client.connect("nowhere:1", lazy=True)
    else:
        async with Engine(MemoryJournal(), SystemClock(), SystemEntropy()) as engine:
            yield client.Client(engine)


async def _refusal(package: str, program: str) -> BaseException | None:
    space = ModuleType("refused")
    sys.modules["refused"] = space
    vars(space).update({name: importlib.import_module(f"{package}.{name}") for name in _MODULES})
    vars(space).update(
        client_module=importlib.import_module(f"{package}.client"),
        common_v1=importlib.import_module(f"{package}.api.common.v1"),
        Sequence=collections.abc.Sequence,
        timedelta=timedelta,
    )
    async with _client(package) as vars(space)["client"]:
        try:
            code = compile(program, "refused", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, vars(space))
            if running is not None:
                async with asyncio.timeout(5):
                    await running
        except Exception as error:
            return error
        finally:
            del sys.modules["refused"]
    return None


def _check(wanted: BaseException, seen: BaseException | None) -> None:
    assert seen is not None, f"not refused; Temporal's SDK raises {wanted!r}"
    built_in = next(kind for kind in type(wanted).__mro__ if kind.__module__ == "builtins")
    assert isinstance(seen, built_in), f"{seen!r}; Temporal's SDK raises {wanted!r}"
    words = wanted.args[0] if isinstance(wanted, KeyError) and wanted.args else str(wanted)
    assert words in str(seen), f"{seen!r}; Temporal's SDK raises {wanted!r}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", REFUSALS)
async def test_what_temporal_refuses_is_refused_in_the_same_words(name: str) -> None:
    wanted = await _refusal("temporalio", REFUSALS[name])
    assert wanted is not None, "Temporal's SDK does not refuse it"
    _check(wanted, await _refusal("overwinter.runtime", REFUSALS[name]))


@pytest.mark.parametrize("name", WORKERS)
async def test_what_a_worker_of_temporal_refuses_is_refused_in_the_same_words(name: str) -> None:
    """Temporal's worker looks at what it is given only when its client is connected, so its words stand there."""
    program, wanted = WORKERS[name]
    _check(wanted, await _refusal("overwinter.runtime", program))
