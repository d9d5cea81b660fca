"""What workflow code may know: its identity, its time, its random numbers, its log."""

from __future__ import annotations

import logging
import random as _random
import uuid
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..common import RetryPolicy
from ..core.instance import Instance
from ..core.loop import running_workflow_loop
from ..core.payload import Payload
from ..retry_policy import policy_of
from ._current import current


@dataclass(frozen=True)
class ParentInfo:
    """The execution that started this one as its child."""

    namespace: str
    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class Info:
    """What an execution is. It does not change while it runs, but for what its methods return."""

    attempt: int
    continued_run_id: str | None
    cron_schedule: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    headers: Mapping[str, Payload]
    namespace: str
    parent: ParentInfo | None
    raw_memo: Mapping[str, Payload]
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_start_time: datetime
    workflow_type: str
    _instance: Instance = field(repr=False, compare=False)

    def get_current_history_length(self) -> int:
        """How many events the history has, with those that this activation was given."""
        return self._instance.history_length

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the history is long enough that a fresh run would be cheaper to replay."""
        return self._instance.history_length >= 10_000


def info() -> Info:
    """What the running execution is."""
    instance = current()
    found: Info | None = instance.extras.get("info")
    if found is None:
        found = instance.extras["info"] = _info_of(instance)
    return found


def _info_of(instance: Instance) -> Info:
    start = instance.start
    began = datetime.fromtimestamp((instance.started_at_us or instance.now_us) / 1_000_000, UTC)
    return Info(
        attempt=start.attempt,
        continued_run_id=start.continued_run_id or None,
        cron_schedule=None,
        execution_timeout=_duration(start.execution_timeout_s),
        first_execution_run_id=start.first_run_id,
        headers=start.headers,
        namespace="default",
        parent=None,
        raw_memo=start.memo,
        retry_policy=policy_of(start.retry),
        run_id=start.run_id,
        run_timeout=_duration(start.run_timeout_s),
        start_time=began,
        task_queue=start.task_queue,
        task_timeout=_duration(start.task_timeout_s) or timedelta(seconds=10),
        workflow_id=start.workflow_id,
        workflow_start_time=began,
        workflow_type=start.workflow_type,
        _instance=instance,
    )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def now() -> datetime:
    """The time of this activation, in UTC; it stands still until something else happens."""
    return datetime.fromtimestamp(current().now_us / 1_000_000, UTC)


def time() -> float:
    """The time of this activation, in seconds since the epoch."""
    return current().now_us / 1_000_000


def time_ns() -> int:
    """The time of this activation, in nanoseconds since the epoch."""
    return current().now_us * 1000


def random() -> _random.Random:
    """The execution's own random numbers, the same in every replay."""
    instance = current()
    instance.require_writable("draw a random number")
    source: _random.Random | None = instance.extras.get("random")
    if source is None:
        source = instance.extras["random"] = _random.Random(instance.start.random_seed)
    return source


def uuid4() -> uuid.UUID:
    """A random identifier, the same in every replay."""
    return uuid.UUID(bytes=random().getrandbits(128).to_bytes(16, "big"), version=4)


def cancellation_reason() -> str | None:
    """Why the cancellation of this workflow was asked for; None when it was not."""
    return current().cancel_reason


def instance() -> Any:
    """The running workflow's own object."""
    return current().workflow_object


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Logs from workflow code: silent in replay, and says which execution speaks."""

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.workflow_info_on_message = True
        self.workflow_info_on_extra = True
        self.full_workflow_info_on_extra = False
        self.log_during_replay = False
        self.disable_sandbox = False

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the execution's identity."""
        loop = running_workflow_loop()
        if loop is None:
            return msg, kwargs
        details = info()
        identity: dict[str, Any] = {
            "attempt": details.attempt,
            "namespace": details.namespace,
            "run_id": details.run_id,
            "task_queue": details.task_queue,
            "workflow_id": details.workflow_id,
            "workflow_type": details.workflow_type,
        }
        extra: dict[str, Any] = dict(kwargs.get("extra") or {}) | dict(self.extra or {})
        if self.workflow_info_on_extra:
            extra["temporal_workflow"] = identity
        if self.full_workflow_info_on_extra:
            extra["workflow_info"] = details
        kwargs["extra"] = extra
        return (f"{msg} ({identity})" if self.workflow_info_on_message else msg), kwargs

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name of the standard library
        """Whether a record would be written: not for what an earlier life of this execution has logged."""
        loop = running_workflow_loop()
        if loop is not None and not self.log_during_replay:
            owner = loop.owner
            if isinstance(owner, Instance) and owner.replaying and not owner.read_only:
                return False
        return super().isEnabledFor(level)


logger = LoggerAdapter(logging.getLogger("overwinter.workflow"), None)
"""The logger of workflow code."""


class unsafe:  # noqa: N801 - the name that authors know
    """What deterministic code should not need."""

    @staticmethod
    def in_sandbox() -> bool:
        """False: there is no sandbox."""
        return False

    @staticmethod
    def is_replaying() -> bool:
        """Whether the code is being rebuilt from its history."""
        return current().replaying

    @staticmethod
    def is_read_only() -> bool:
        """Whether a query, validator or condition runs."""
        return current().read_only

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Generator[None]:
        """Within this block nothing is refused; what it does must repeat in replay all the same."""
        loop = running_workflow_loop()
        if loop is None:
            yield
            return
        loop.unrestricted += 1
        try:
            yield
        finally:
            loop.unrestricted -= 1

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Generator[None]:
        """Nothing to do: modules are never imported again for a run."""
        yield
