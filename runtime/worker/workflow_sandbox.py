"""Accepted as the Temporal SDK has it. There is no sandbox here: `guard` refuses what does not repeat in replay."""

from __future__ import annotations

from typing import Any, ClassVar


class SandboxMatcher:
    """Accepted; what workflow code may touch is the same for every worker."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    all: ClassVar[SandboxMatcher]


SandboxMatcher.all = SandboxMatcher()


class SandboxRestrictions:
    """Accepted; what workflow code may touch is the same for every worker."""

    default: ClassVar[SandboxRestrictions]

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    def with_passthrough_modules(self, *_modules: str) -> SandboxRestrictions:
        """Modules are never imported again for a run, so all of them are passed through."""
        return self

    def with_passthrough_all_modules(self) -> SandboxRestrictions:
        """See `with_passthrough_modules`."""
        return self


SandboxRestrictions.default = SandboxRestrictions()


class WorkflowRunner:
    """Accepted; workflow code runs in one way only."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass


class SandboxedWorkflowRunner(WorkflowRunner):
    """See `WorkflowRunner`."""


class UnsandboxedWorkflowRunner(WorkflowRunner):
    """See `WorkflowRunner`."""
