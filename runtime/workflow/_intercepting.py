"""The chain of interceptors around one execution, and its two ends: the workflow's code, and the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.inbound import Direct, Headers, Inbound
from ..core.instance import Instance
from ..interceptors import (
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

InterceptorClass = type[WorkflowInboundInterceptor]


def inbound_of(classes: Sequence[InterceptorClass]) -> Callable[[Instance], Inbound]:
    """What makes the inbound side of each execution: interceptors of these classes, the first outermost."""
    if not classes:
        return Direct

    def make(instance: Instance) -> Inbound:
        from ._outbound import Core  # it imports what needs `outbound_of`

        chain: WorkflowInboundInterceptor = _Code(instance)
        for cls in reversed(classes):
            chain = cls(chain)
        chain.init(Core(instance))
        return _Chain(instance, chain)

    return make


def intercepted(instance: Instance) -> bool:
    """Whether interceptors stand between the code of this execution and the core."""
    return "outbound" in instance.extras


def outbound_of(instance: Instance) -> WorkflowOutboundInterceptor:
    """What the code of this execution calls."""
    extras = instance.extras
    found: WorkflowOutboundInterceptor | None = extras.get("outbound") or extras.get("core")
    if found is None:
        from ._outbound import Core  # it imports what needs this function

        found = extras["core"] = Core(instance)
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


NO_HEADERS: Mapping[str, Any] = {}
