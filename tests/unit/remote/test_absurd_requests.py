"""Requests of the right types and of no sense, at an engine: each has an answer, and the engine goes on."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
from pathlib import Path
from typing import Any, get_type_hints

from overwinter.runtime.client import Client
from overwinter.runtime.exceptions import ActivityAlreadyStartedError, WorkflowAlreadyStartedError
from overwinter.runtime.frontend import (
    ActivityCancelled,
    Frontend,
    QueryFailed,
    QueryRejected,
    UpdateRejected,
)
from overwinter.runtime.remote import RemoteEngine
from overwinter.runtime.remote.calls import CALLS
from overwinter.runtime.schedules import ScheduleAlreadyRunningError
from overwinter.runtime.service import RPCError, RPCStatusCode

from .absurd import absurd
from .peers import serving
from .test_refusals import works

CALLS_OF_A_RUN = 800
KNOWN = (
    RPCError, ValueError, TypeError, ActivityCancelled, QueryFailed, QueryRejected, UpdateRejected,
    WorkflowAlreadyStartedError, ActivityAlreadyStartedError, ScheduleAlreadyRunningError,
)  # fmt: skip


async def test_no_request_whatever_stops_the_engine(tmp_path: Path) -> None:
    seed = int(os.environ.get("OVERWINTER_SEED", random.randrange(1 << 32)))
    print(f"OVERWINTER_SEED={seed}")
    dice = random.Random(seed)
    async with serving(tmp_path) as (_, here):
        client = Client(RemoteEngine(tmp_path / "client.sock"))
        for number in range(CALLS_OF_A_RUN):
            name = dice.choice(list(CALLS))
            if name == "pause_workflows":
                continue  # What it holds, nobody answers for.
            args = arguments(dice, name)
            try:
                async with asyncio.timeout(0.02 if CALLS[name].takes_time else 5):
                    await getattr(client.frontend, name)(*args)
            except TimeoutError:
                assert CALLS[name].takes_time, f"no answer to {name}{args}"
            except KNOWN as error:
                status = error.status if isinstance(error, RPCError) else None
                assert status not in (RPCStatusCode.INTERNAL, RPCStatusCode.UNKNOWN), f"{name}{args}: {error}"
            assert here.engine.failure is None, f"call {number}, {name}{args}, stopped the engine"
        await client.close()
        await works(tmp_path)
    async with serving(tmp_path):  # What was kept of it can be read again.
        await works(tmp_path)


def arguments(dice: random.Random, name: str) -> list[Any]:
    method = getattr(Frontend, name)
    hints = get_type_hints(method)
    parameters = [each for each in inspect.signature(method).parameters if each not in ("self", "once")]
    made = {each: absurd(dice, hints[each]) for each in parameters}
    if "patience_s" in made:
        made["patience_s"] = 0.01
    return list(made.values())
