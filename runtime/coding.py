"""Payload codecs (encryption, compression) from code that does not wait.

A codec is asynchronous, but seldom waits: its coroutine is stepped in place, outside of any workflow. One that does
wait is run to its end on a thread with an event loop of its own, while the caller stands still.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import events
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from .core.payload import Failure, Payload

T = TypeVar("T")

Coder = Callable[[Sequence[Payload]], Coroutine[Any, Any, Sequence[Payload]]]


def run_to_end(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of a coroutine, on whatever thread or loop the caller is."""
    running = events._get_running_loop()  # noqa: SLF001 - no public name tells it without raising
    events._set_running_loop(None)  # noqa: SLF001 - a codec is no workflow code, and must not be taken for it
    coro = make()
    try:
        coro.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        events._set_running_loop(running)  # noqa: SLF001 - as above
    coro.close()
    return _on_a_thread(make)


def _on_a_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    outcome: list[T] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(make()))
        except BaseException as raised:
            error.append(raised)

    thread = threading.Thread(target=run, name="payload codec")
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return outcome[0]


def coded(payloads: Sequence[Payload], coder: Coder) -> list[Payload]:
    """The payloads after the codec."""
    if not payloads:
        return []
    copies = [payload.copied() for payload in payloads]  # A codec may change the metadata in place.
    return list(run_to_end(lambda: coder(copies)))


def coded_failure(failure: Failure, coder: Coder) -> Failure:
    """The failure with the payloads in it, and in its causes, after the codec."""
    cause = None if failure.cause is None else coded_failure(failure.cause, coder)
    return replace(failure, details=tuple(coded(failure.details, coder)), cause=cause)
