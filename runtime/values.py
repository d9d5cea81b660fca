"""How workflow and activity code's values and exceptions become records: the core's `Values` over a converter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .api.failure.v1 import Failure as Message
from .common import RawValue
from .converter import DataConverter, FailureConverter, PayloadConverter
from .core.events import WorkflowStarted
from .core.payload import Failure, Payload
from .exceptions import (
    CancelledError,
    ConcurrencyKeyTakenError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from .external_storage import StorageDriverActivityInfo, StorageDriverWorkflowInfo
from .failure_messages import message_of, record_of
from .serialization_context import SerializationContext, WorkflowSerializationContext, activity_context


class ConvertedValues:
    """Values through the payload and failure converters of a `DataConverter`, as code has them.

    `stored` and `read` go on through its codec and its external storage, for clients. `for_workflow` and `for_activity`
    give the values of a converter that asks whom it works for.
    """

    def __init__(self, converter: DataConverter, namespace: str = "default") -> None:
        self.converter = converter
        self.namespace = namespace
        self._asks = converter.wants_context
        self._free = self
        self.payloads: PayloadConverter = converter.payload_converter
        self.failures: FailureConverter = converter.failure_converter

    def for_workflow(self, workflow_id: str) -> ConvertedValues:
        """See `core.instance.Values`."""
        if not self._asks:
            return self
        return self._for_context(WorkflowSerializationContext(self.namespace, workflow_id))

    def for_activity(
        self, start: WorkflowStarted, activity_id: str, activity_type: str, task_queue: str, *, local: bool
    ) -> ConvertedValues:
        """See `core.instance.Values`."""
        if not self._asks:
            return self
        context = activity_context(self.namespace, start, activity_id, activity_type, task_queue, local=local)
        return self._for_context(context)

    def for_alone(
        self, activity_id: str, activity_type: str | None = None, task_queue: str | None = None
    ) -> ConvertedValues:
        """The same for what belongs to an activity without a workflow, of which storage drivers are told."""
        values = self
        if self._asks:
            values = self._for_context(
                activity_context(self.namespace, None, activity_id, activity_type, task_queue)
            )
        return values.for_activity_target(activity_id, activity_type=activity_type)

    def for_activity_target(
        self, activity_id: str, *, run_id: str | None = None, activity_type: str | None = None
    ) -> ConvertedValues:
        """The same, with storage drivers told of this activity without a workflow."""
        target = StorageDriverActivityInfo(
            namespace=self.namespace, id=activity_id, run_id=run_id, type=activity_type
        )
        return self._with(self.converter.for_target(target))

    def for_receiver(
        self, workflow_id: str, *, run_id: str | None = None, workflow_type: str | None = None
    ) -> ConvertedValues:
        """The same for what is sent to an execution, of which storage drivers are told."""
        values = self.for_workflow(workflow_id)
        return values.for_target(workflow_id, run_id=run_id, workflow_type=workflow_type)

    def for_target(
        self, workflow_id: str, *, run_id: str | None = None, workflow_type: str | None = None
    ) -> ConvertedValues:
        """The same, with storage drivers told of this execution."""
        target = StorageDriverWorkflowInfo(
            namespace=self.namespace, id=workflow_id, run_id=run_id, type=workflow_type
        )
        return self._with(self.converter.for_target(target))

    def for_passing(self) -> ConvertedValues:
        """The same for what is kept nowhere: it goes through the codec, and into no storage."""
        return self._with(self.converter.without_storage()) if self.converter.external_storage else self

    def _for_context(self, context: SerializationContext) -> ConvertedValues:
        return self._with(self._free.converter.with_context(context))

    def _with(self, converter: DataConverter) -> ConvertedValues:
        if converter is self.converter:
            return self
        made = ConvertedValues(converter, self.namespace)
        made._free, made._asks = self._free, self._asks
        return made

    def encode(self, values: Sequence[object]) -> tuple[Payload, ...]:
        """See `core.instance.Values`."""
        return tuple(self.payloads.to_payloads(values))

    def decode(self, payloads: Sequence[Payload], hints: Sequence[Any] | None) -> list[Any]:
        """See `core.instance.Values`."""
        if hints is not None and len(hints) != len(payloads):
            hints = None if len(hints) < len(payloads) else hints[: len(payloads)]
        return self.payloads.from_payloads(payloads, None if hints is None else list(hints))

    def raw(self, payloads: Sequence[Payload]) -> list[Any]:
        """See `core.instance.Values`."""
        return [RawValue(payload.copied()) for payload in payloads]

    def failure_of(self, error: BaseException) -> Failure:
        """See `core.instance.Values`."""
        message = Message()
        if isinstance(error, asyncio.CancelledError):  # As a cause it is an error like any other.
            cancelled = CancelledError(str(error))
            cancelled.__cause__ = error.__cause__
            error = cancelled.with_traceback(error.__traceback__)
        self.failures.to_failure(error, self.payloads, message)
        return record_of(message)

    def error_of(self, failure: Failure) -> BaseException:
        """See `core.instance.Values`."""
        if failure.kind == "already_started":
            read = failure.attributes.get
            run_id = str(read("run_id") or "") or None
            return WorkflowAlreadyStartedError(
                str(read("workflow_id")), str(read("workflow_type")), run_id=run_id
            )
        if failure.kind == "concurrency_key_taken":
            return _key_taken(failure)
        return self.failures.from_failure(message_of(failure), self.payloads)

    # -- as they are stored --------------------------------------------------------------------------

    async def stored(self, values: Sequence[object]) -> tuple[Payload, ...]:
        """The values as the journal has them; raises as `DataConverter.seal`."""
        return tuple(await self.converter.seal(self.encode(values)))

    async def read(self, payloads: Sequence[Payload], hints: Sequence[Any] | None) -> list[Any]:
        """The values of what the journal has; raises as `DataConverter.open`."""
        return self.decode(await self.converter.open(payloads), hints)

    async def stored_failure(self, error: BaseException) -> Failure:
        """The record of an exception as the journal has it; raises as `DataConverter.seal`."""
        message = Message()
        await self.converter.encode_failure(error, message)
        return record_of(message)

    async def read_error(self, failure: Failure) -> BaseException:
        """The exception of a record that the journal has; raises as `DataConverter.open`."""
        return await self.converter.decode_failure(message_of(failure))

    def fails_workflow(self, error: BaseException) -> bool:
        """See `core.instance.Values`."""
        return isinstance(error, FailureError | TimeoutError)

    def is_cancellation(self, error: BaseException) -> bool:
        """See `core.instance.Values`."""
        return isinstance(error, asyncio.CancelledError) or is_cancelled_exception(error)


def _key_taken(failure: Failure) -> ConcurrencyKeyTakenError:
    read = failure.attributes.get
    limit = read("limit")
    return ConcurrencyKeyTakenError(
        str(read("key")),
        limit if isinstance(limit, int) else 1,
        workflow_id=str(read("workflow_id")),
        run_id=str(read("run_id")),
    )
