"""What deterministic code should not need, and what code that was written for a sandbox asks of it."""

from __future__ import annotations

import contextvars
import enum
from collections.abc import Generator
from contextlib import contextmanager

from ..core.loop import running_workflow_loop
from ._current import current


class SandboxImportNotificationPolicy(enum.Flag):
    """What a sandbox says when a run imports a module again. There is none here, so it says nothing."""

    SILENT = enum.auto()
    WARN_ON_DYNAMIC_IMPORT = enum.auto()
    WARN_ON_UNINTENTIONAL_PASSTHROUGH = enum.auto()
    RAISE_ON_UNINTENTIONAL_PASSTHROUGH = enum.auto()


_passed_through: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "overwinter_passed_through", default=False
)
_policy: contextvars.ContextVar[SandboxImportNotificationPolicy | None] = contextvars.ContextVar(
    "overwinter_import_policy", default=None
)


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
    def is_replaying_history_events() -> bool:
        """Whether recorded events are being replayed; False in a query, also on a rebuilt execution."""
        instance = current()
        return instance.replaying and not instance.read_only

    @staticmethod
    def is_read_only() -> bool:
        """Whether a query, validator or condition runs."""
        return current().read_only

    @staticmethod
    def is_sandbox_unrestricted() -> bool:
        """Whether nothing is refused here: in `sandbox_unrestricted`, and outside of workflow code."""
        loop = running_workflow_loop()
        return loop is None or loop.unrestricted > 0

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
    def is_imports_passed_through() -> bool:
        """Whether the caller is in `imports_passed_through`; modules are never imported again for a run anyway."""
        return _passed_through.get()

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Generator[None]:
        """Nothing to do: modules are never imported again for a run."""
        token = _passed_through.set(True)
        try:
            yield
        finally:
            _passed_through.reset(token)

    @staticmethod
    def current_import_notification_policy_override() -> SandboxImportNotificationPolicy | None:
        """The policy of the innermost `sandbox_import_notification_policy`, or None."""
        return _policy.get()

    @staticmethod
    @contextmanager
    def sandbox_import_notification_policy(policy: SandboxImportNotificationPolicy) -> Generator[None]:
        """Nothing to do: no import is worth a notice, since none is made again for a run."""
        token = _policy.set(policy)
        try:
            yield
        finally:
            _policy.reset(token)
