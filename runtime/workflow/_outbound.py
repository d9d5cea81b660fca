"""The outer end of the chain of interceptors: what workflow code calls reaches the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ..core.activities import ActivityHandle
from ..interceptors import (
    ContinueAsNewInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    SignalWithStartWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    WorkflowOutboundInterceptor,
)
from . import _activities, _children, _context, _continuing, _external, _signal_with_start

if TYPE_CHECKING:
    from ..core.instance import Instance


class Core(WorkflowOutboundInterceptor):
    """The outer end: what code calls reaches the core."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        _continuing.carry_out(self._instance, input)

    def info(self) -> _context.Info:
        return _context.own_info(self._instance)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        await _external.signal_child(self._instance, input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        await _external.signal_external(self._instance, input)

    async def start_signal_with_start_workflow(
        self, request: SignalWithStartWorkflowInput
    ) -> _external.ExternalWorkflowHandle[Any]:
        return await _signal_with_start.signal_with_start(self._instance, request)

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:
        return ActivityHandle(_activities.schedule(self._instance, input), self._instance)

    async def start_child_workflow(
        self, input: StartChildWorkflowInput
    ) -> _children.ChildWorkflowHandle[Any, Any]:
        return await _children.start(self._instance, input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:
        return ActivityHandle(_activities.schedule_local(self._instance, input), self._instance)
