"""Waiting in workflow code: for time, for conditions, for several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from ..core.loop import TimerHandle
from ._current import current
from ._event_groups import belonging_to

T = TypeVar("T")
F = TypeVar("F", bound="asyncio.Future[Any]")


async def sleep(
    duration: float | timedelta, *, summary: str | None = None, event_groups: Sequence[Any] | None = None
) -> None:
    """Wait for `duration` (seconds or a timedelta), over restarts and power cuts."""
    seconds = _seconds(duration)
    instance = current()
    future: asyncio.Future[None] = instance.loop.create_future()
    handle = TimerHandle(instance.loop.time() + seconds, _wake, (future, None), instance.loop, None)
    with belonging_to(event_groups):
        instance.start_timer(handle, seconds, summary or "")
    try:
        await future
    finally:
        handle.cancel()


async def wait_condition(
    fn: Callable[[], bool],
    *,
    timeout: timedelta | float | None = None,
    timeout_summary: str | None = None,
    event_groups: Sequence[Any] | None = None,
) -> None:
    """Wait until `fn` returns true. It is tried whenever the workflow has nothing else to do, and only reads.

    Raises:
        asyncio.TimeoutError: it did not within `timeout` (seconds or a timedelta).
    """
    instance = current()
    future = instance.wait_until(fn)
    if timeout is None:
        await future
        return
    seconds = _seconds(timeout)
    ran_out = TimeoutError()
    ran_out.__cause__ = asyncio.CancelledError()  # as `asyncio.wait_for` has it
    handle = TimerHandle(instance.loop.time() + seconds, _wake, (future, ran_out), instance.loop, None)
    if seconds > 0:
        with belonging_to(event_groups):
            instance.start_timer(handle, seconds, timeout_summary or "")
    else:
        instance.loop.fire(handle)
    try:
        await future
    finally:
        handle.cancel()


def _wake(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _seconds(duration: float | timedelta) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


async def wait(
    fs: Iterable[F], *, timeout: float | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[list[F], list[F]]:
    """As `asyncio.wait`, but what is done and what is pending come as lists, in the order given."""
    given = list(dict.fromkeys(fs))
    if not given:
        raise ValueError("Sequence of Tasks/Futures must not be empty.")
    done, _ = await asyncio.wait(given, timeout=timeout, return_when=return_when)
    return [f for f in given if f in done], [f for f in given if f not in done]


def as_completed(fs: Iterable[Awaitable[T]], *, timeout: float | None = None) -> Iterator[Awaitable[T]]:
    """As `asyncio.as_completed`; nothing begins before the first is asked for; together means in the order given."""
    tasks = [asyncio.ensure_future(f) for f in dict.fromkeys(fs)]
    yield from asyncio.as_completed(tasks, timeout=timeout)
