"""Plugins: what changes how workers and replayers are made and run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from ..client import WorkflowHistory

if TYPE_CHECKING:
    from ._config import WorkerConfig
    from ._replayer import Replayer, ReplayerConfig, WorkflowReplayResult
    from ._worker import Worker


class Plugin(ABC):
    """Changes how workers and replayers are made and run."""

    def name(self) -> str:
        """The plugin's name."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @abstractmethod
    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """The options that the worker shall have."""

    @abstractmethod
    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        """Run the worker, by calling `next`."""

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """The options that a replayer shall have."""
        return config

    def run_replayer(
        self,
        replayer: Replayer,
        histories: AsyncIterator[WorkflowHistory],
        next: Callable[
            [Replayer, AsyncIterator[WorkflowHistory]],
            AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
        ],
    ) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
        """Replay the histories, by calling `next`."""
        return next(replayer, histories)
