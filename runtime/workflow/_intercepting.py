"""The chain of interceptors around one execution, and its two ends: the workflow's code, and the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.inbound import Direct, Headers, Inbound
from ..core.instance import Instance
from ..interceptors import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    SignalWithStartWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

if TYPE_CHECKING:
    from ..core.activities import ActivityHandle
    from ._children import ChildWorkflowHandle
    from ._context import Info
    from ._external import ExternalWorkflowHandle

InterceptorClass = type[WorkflowInboundInterceptor]


def inbound_of(classes: Sequence[InterceptorClass]) -> Callable[[Instance], Inbound]:
    """What makes the inbound side of each execution: interceptors of these classes, the first outermost."""
    if not classes:
        return Direct

    def make(instance: Instance) -> Inbound:
        chain: WorkflowInboundInterceptor = _Code(instance)
        for cls in reversed(classes):
            chain = cls(chain)
        chain.init(Core(instance))
        return _Chain(instance, chain)

    return make


def outbound_of(instance: Instance) -> WorkflowOutboundInterceptor:
    """What the code of this execution calls."""
    found: WorkflowOutboundInterceptor | None = instance.extras.get("outbound")
    if found is None:
        found = instance.extras["outbound"] = Core(instance)
    return found


class _Chain:
    """The core's `Inbound` over a chain of interceptors."""

    def __init__(self, instance: Instance, chain: WorkflowInboundInterceptor) -> None:
        self._instance = instance
        self._chain = chain

    async def run(self, args: Sequence[Any]) -> Any:
        definition, headers = self._instance.definition, self._instance.start.headers
        return await self._chain.execute_workflow(
            ExecuteWorkflowInput(type=definition.cls, run_fn=definition.run_fn, args=args, headers=headers)
        )

    async def signal(self, name: str, args: Sequence[Any], headers: Headers) -> None:
        await self._chain.handle_signal(HandleSignalInput(signal=name, args=args, headers=headers))

    async def query(self, name: str, args: Sequence[Any], headers: Headers) -> Any:
        return await self._chain.handle_query(HandleQueryInput(id="", query=name, args=args, headers=headers))

    def validate(self, update_id: str, name: str, args: Sequence[Any], headers: Headers) -> None:
        self._chain.handle_update_validator(
            HandleUpdateInput(id=update_id, update=name, args=args, headers=headers)
        )

    async def update(self, update_id: str, name: str, args: Sequence[Any], headers: Headers) -> Any:
        return await self._chain.handle_update_handler(
            HandleUpdateInput(id=update_id, update=name, args=args, headers=headers)
        )


class _Code(WorkflowInboundInterceptor):
    """The inner end: the workflow's own functions."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        self._instance.extras["outbound"] = outbound

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        return await input.run_fn(self._instance.workflow_object, *input.args)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        await self._instance.call_signal(input.signal, input.args)

    async def handle_query(self, input: HandleQueryInput) -> Any:
        return await self._instance.call_query(input.query, input.args)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        self._instance.call_validator(input.update, input.args)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        return await self._instance.call_update(input.update, input.args)


class Core(WorkflowOutboundInterceptor):
    """The outer end: what code calls reaches the core."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        from ._continuing import carry_out

        carry_out(self._instance, input)

    def info(self) -> Info:
        from ._context import own_info

        return own_info(self._instance)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        from ._external import signal_child

        await signal_child(self._instance, input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        from ._external import signal_external

        await signal_external(self._instance, input)

    async def start_signal_with_start_workflow(
        self, request: SignalWithStartWorkflowInput
    ) -> ExternalWorkflowHandle[Any]:
        from ._signal_with_start import signal_with_start

        return await signal_with_start(self._instance, request)

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:
        from ._activities import schedule

        return schedule(self._instance, input)

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> ChildWorkflowHandle[Any, Any]:
        from ._children import start

        return await start(self._instance, input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:
        from ._activities import schedule_local

        return schedule_local(self._instance, input)


NO_HEADERS: Mapping[str, Any] = {}
