"""In a test a failed assertion in workflow code fails the workflow or the update; else it would block, and the test hang."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ..client import Interceptor as ClientInterceptor
from ..exceptions import ApplicationError
from ..interceptors import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)


class AssertionsFail(ClientInterceptor, Interceptor):
    """A client's interceptor, so that the workers of the client have it."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """See `Interceptor.workflow_interceptor_class`."""
        del input
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        with _assertions_fail():
            return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        with _assertions_fail():
            await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        with _assertions_fail():  # More than Temporal's SDK does, where the test would wait for ever.
            return await super().handle_update_handler(input)


@contextmanager
def _assertions_fail() -> Generator[None]:
    try:
        yield
    except AssertionError as error:
        failure = ApplicationError(str(error), type="AssertionError", non_retryable=True)
        failure.__traceback__ = error.__traceback__
        raise failure from None
