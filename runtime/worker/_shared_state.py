"""Accepted as the Temporal SDK has it: what its processes share. Ours speak with the gateway by a socket of their own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.managers import SyncManager  # slow to load, and almost nobody has one


class SharedHeartbeatSender(ABC):
    """Sends heartbeats from a process; the worker does not ask for it."""

    @abstractmethod
    def send_heartbeat(self, task_token: bytes, *details: Any) -> None:
        """Send the details to where the activity was registered."""


class SharedStateManager(ABC):
    """Makes what processes share. A worker takes one and does not need it."""

    @staticmethod
    def create_from_multiprocessing(
        mgr: SyncManager, queue_poller_executor: ThreadPoolExecutor | None = None
    ) -> SharedStateManager:
        """One that makes its events by a manager of the standard library."""
        del queue_poller_executor
        return _OfMultiprocessing(mgr)

    @abstractmethod
    def new_event(self) -> threading.Event:
        """An event that processes share."""

    @abstractmethod
    async def register_heartbeater(
        self, task_token: bytes, heartbeat: Callable[..., None]
    ) -> SharedHeartbeatSender:
        """What a process sends heartbeats by, until it is unregistered."""

    @abstractmethod
    async def unregister_heartbeater(self, task_token: bytes) -> None:
        """Heartbeats of this activity are not wanted any more."""


class _OfMultiprocessing(SharedStateManager):
    def __init__(self, mgr: SyncManager) -> None:
        self._mgr = mgr
        self._sender = _Sender()

    def new_event(self) -> threading.Event:
        return self._mgr.Event()

    async def register_heartbeater(
        self, task_token: bytes, heartbeat: Callable[..., None]
    ) -> SharedHeartbeatSender:
        self._sender.heartbeats[task_token] = heartbeat
        return self._sender

    async def unregister_heartbeater(self, task_token: bytes) -> None:
        self._sender.heartbeats.pop(task_token, None)


class _Sender(SharedHeartbeatSender):
    """Of this process alone."""

    def __init__(self) -> None:
        self.heartbeats: dict[bytes, Callable[..., None]] = {}

    def send_heartbeat(self, task_token: bytes, *details: Any) -> None:
        heartbeat = self.heartbeats.get(task_token)
        if heartbeat is not None:
            heartbeat(*details)
