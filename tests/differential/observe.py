"""What cases are written with.

A file in `cases/` has WORKFLOWS, ACTIVITIES, and any number of

    async def case_<what it shows>(client, task_queue) -> object

Each starts and asks what it likes and returns an observation that JSON can hold. The cases of a file run at the same
time on one worker, so each uses workflow ids of its own; ids are constants, so that messages with ids are the same on
both engines. An observation may hold nothing that depends on how fast an engine is.

The cases in `skipping/` are given an environment instead of a client, each one of its own, in which time skips. Temporal's
test server has its own words, and its clock runs on to timers that nobody waits for, up to ten years ahead: what has
passed is looked at only where nothing is left to skip to. Those in `own_clocks/` are given a skipper of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from temporalio import exceptions, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import Worker

from .histories import names_of

CASE_S = 20.0
"""How long a case may take before it counts as hanging."""

SHORT = timedelta(seconds=5)
"""A timeout that no attempt reaches."""

worker_options: dict[str, Any] = {}
"""What an engine's workers are given besides what each case gives."""


async def observe(case: Callable[..., Awaitable[Any]], client: Client, task_queue: str) -> Any:
    """What a case returned, or what it raised where it should not have."""
    try:
        return await asyncio.wait_for(case(client, task_queue), CASE_S)
    except asyncio.TimeoutError:
        return ["case", f"still running after {CASE_S:g} s"]
    except Exception as error:
        return ["case", *chain(error)]


async def outcome(awaitable: Awaitable[Any]) -> list[Any]:
    """`["result", value]`, or `["raised", ...]` with the whole chain of causes."""
    try:
        return ["result", await awaitable]
    except asyncio.CancelledError as error:
        if not workflow.in_workflow():
            raise  # the case has taken too long
        return ["raised", *chain(error)]
    except Exception as error:
        return ["raised", *chain(error)]


def chain(error: BaseException | None) -> list[Any]:
    """An error and its causes: type, message and whatever else a program may look at, each in a list."""
    found: list[Any] = []
    while error is not None:
        found.append(_rendered(error))
        # Below a refused call is whatever an engine found out inside.
        refused = isinstance(error, RPCError | exceptions.WorkflowAlreadyStartedError)
        error = None if refused else error.__cause__
    return found


async def history(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """The names of a run's main events, in their order."""
    return names_of(await handle.fetch_history())


async def until(check: Callable[[], Awaitable[Any]], wanted: Any = True) -> None:
    """Wait until `check` answers `wanted`; a case that waits for ever is ended by its limit."""
    while await check() != wanted:
        await asyncio.sleep(0.03)


async def until_status(handle: WorkflowHandle[Any, Any], *names: str) -> str:
    """Wait until an execution's status is one of these; which one."""
    while (name := await status(handle)) not in names:
        await asyncio.sleep(0.03)
    return name


async def until_event(handle: WorkflowHandle[Any, Any], name: str, count: int = 1) -> None:
    """Wait until a history holds an event so often."""
    while (await history(handle)).count(name) < count:
        await asyncio.sleep(0.03)


async def status(handle: WorkflowHandle[Any, Any]) -> str:
    """How far an execution has come."""
    found = (await handle.describe()).status
    assert found is not None
    return found.name


def worker(
    client: Client, task_queue: str, workflows: Sequence[type] = (), activities: Sequence[Any] = ()
) -> Worker:
    """A worker, for a case that decides when it begins to serve."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=list(workflows),
        activities=list(activities),
        activity_executor=ThreadPoolExecutor(20),
        **worker_options,
    )


async def beat_until_cancelled(seconds: float = 10.0) -> None:
    """For an activity: beat often, until it is told of its cancellation."""
    from temporalio import activity

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        activity.heartbeat()
        await asyncio.sleep(0.05)


def _rendered(error: BaseException) -> list[Any]:
    name = type(error).__name__
    match error:
        case RPCError():
            # The sentence is the server's own, not the SDK's.
            return [name, error.status.name]
        case exceptions.ApplicationError():
            details = list(error.details)
            return [name, error.message, error.type, "final" if error.non_retryable else "", details]
        case exceptions.TimeoutError():
            kind = None if error.type is None else error.type.name
            return [name, error.message, kind, list(error.last_heartbeat_details)]
        case exceptions.CancelledError() | exceptions.TerminatedError():
            return [name, error.message, list(error.details)]
        case exceptions.ActivityError():
            return [name, error.message, error.activity_type, _name(error.retry_state)]
        case exceptions.ChildWorkflowError():
            return [name, error.message, error.workflow_type, error.workflow_id, _name(error.retry_state)]
        case _:
            return [name, str(error)]


def _name(member: Any) -> str | None:
    return None if member is None else member.name


def kinds(seen: list[Any]) -> list[Any]:
    """An outcome without words, which are each server's own: the result, or the types of the errors."""
    return seen if seen[0] == "result" else ["raised", *(error[0] for error in seen[1:])]


def hours_between(begin: datetime, end: datetime) -> float:
    """What has passed, in hours to a tenth: skipped time counts, the little that an engine takes does not."""
    return round((end - begin).total_seconds() / 3600, 1)


@asynccontextmanager
async def passed_hours(environment: Any) -> AsyncGenerator[list[float]]:
    """What passes in this block by the clock of an environment; in the list when the block has ended."""
    passed: list[float] = []
    began = await environment.get_current_time()
    yield passed
    passed.append(hours_between(began, await environment.get_current_time()))
