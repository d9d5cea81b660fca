"""What a workload asks of an engine.

Each adapter has the same five programs, in the engine's own way of writing them:

`ten`: ten activities in sequence that do nothing; `one`: one of them; `fan`: as many at once as it is told;
`wait`: a durable wait of an hour; `naps`: ten activities in sequence that take 50 ms each. Each takes one number and returns it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

NAP_S = 0.05
WAIT_S = 3600.0
Address = dict[str, Any]
"""Where servers are found, for a process that did not start them."""


class NotInstalled(Exception):
    """An engine cannot run here; the message says what is missing."""


class Session(Protocol):
    """A client and a worker of an engine, at work."""

    async def run(self, program: str, argument: int, workflow_id: str) -> Any:
        """Start a workflow and return its result."""
        ...

    async def start(self, program: str, argument: int, workflow_id: str) -> None:
        """Start a workflow; when this returns, the start is durable as far as the engine promises."""
        ...

    async def result(self, program: str, workflow_id: str) -> Any:
        """The result of a workflow that was started, perhaps by another process."""
        ...

    async def waiting(self) -> int:
        """How many workflows have a durable wait in the store, as the store itself says."""
        ...


class Engine(Protocol):
    """An engine with its default settings, unless `durability` says otherwise."""

    name: str
    durability: str
    alternatives: dict[str, dict[str, str]]
    """Other ways of writing a program that this engine's users have: suffix of the metric -> program -> its other name."""

    def servers(self, folder: Path) -> AbstractAsyncContextManager[Address]:
        """The processes that outlive a worker; nothing for an engine that lives in its worker's process."""
        ...

    def open(self, folder: Path, address: Address) -> AbstractAsyncContextManager[Session]:
        """A client and a worker on the store of this folder."""
        ...


def ways(engine: Engine, program: str) -> list[tuple[str, str]]:
    """Each way of writing a program, with the suffix of its metrics."""
    others = [(suffix, other[program]) for suffix, other in engine.alternatives.items() if program in other]
    return [("", program), *others]


async def no_servers() -> AsyncIterator[Address]:
    """For engines that need none."""
    yield {}
