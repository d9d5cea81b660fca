"""Other executions, reached from workflow code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from ..core.commands import CancelExternal, SignalExternal
from ..core.instance import Instance
from ..interceptors import SignalChildWorkflowInput, SignalExternalWorkflowInput
from ._arguments import UNSET, arguments
from ._current import current
from ._definition import signal_name
from ._event_groups import belonging_to
from ._intercepting import NO_HEADERS, outbound_of

S = TypeVar("S")


class ExternalWorkflowHandle(Generic[S]):
    """Another execution, to signal or to cancel."""

    def __init__(self, instance: Instance, workflow_id: str, run_id: str | None) -> None:
        self._instance = instance
        self._id = workflow_id
        self._run_id = run_id

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run; None for whichever is open."""
        return self._run_id

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        event_groups: Sequence[Any] | None = None,
    ) -> None:
        """Send a signal; returns when the other's history has it.

        Raises:
            ApplicationError: there is no such open execution.
        """
        self._instance.require_writable("signal external handle")
        await outbound_of(self._instance).signal_external_workflow(
            SignalExternalWorkflowInput(
                signal=signal_name(signal),
                args=arguments(arg, args),
                namespace="default",
                workflow_id=self._id,
                workflow_run_id=self._run_id,
                headers=NO_HEADERS,
                event_groups=event_groups,
            )
        )

    async def cancel(self, *, reason: str = "", event_groups: Sequence[Any] | None = None) -> None:
        """Ask it to end by itself; returns when its history has that.

        Raises:
            ApplicationError: there is no such open execution.
        """
        instance = self._instance
        instance.require_writable("cancel external handle")
        command = CancelExternal(instance.next_id(), self._id, self._run_id or "", reason)
        with belonging_to(event_groups):
            asked = instance.reach(command, instance.values.for_workflow(self._id))
        await asked


def get_external_workflow_handle(
    workflow_id: str, *, run_id: str | None = None
) -> ExternalWorkflowHandle[Any]:
    """A handle for another execution; whether there is one shows when it is used."""
    return ExternalWorkflowHandle(current(), workflow_id, run_id)


def get_external_workflow_handle_for(
    workflow: Callable[..., Any], workflow_id: str, *, run_id: str | None = None
) -> ExternalWorkflowHandle[Any]:
    """As `get_external_workflow_handle`, for a workflow whose signals are known to type checkers."""
    del workflow
    return get_external_workflow_handle(workflow_id, run_id=run_id)


async def signal_child(instance: Instance, input: SignalChildWorkflowInput) -> None:
    """Ask the core to signal a child."""
    values = instance.values.for_workflow(input.child_workflow_id)
    args = values.encode(input.args)
    command = SignalExternal(
        instance.next_id(), input.child_workflow_id, "", input.signal, args, input.headers, child=True
    )
    with belonging_to(input.event_groups):
        asked = instance.reach(command, values)
    await asked


async def signal_external(instance: Instance, input: SignalExternalWorkflowInput) -> None:
    """Ask the core to signal another execution."""
    values = instance.values.for_workflow(input.workflow_id)
    args = values.encode(input.args)
    command = SignalExternal(
        instance.next_id(), input.workflow_id, input.workflow_run_id or "", input.signal, args, input.headers
    )
    with belonging_to(input.event_groups):
        asked = instance.reach(command, values)
    await asked
