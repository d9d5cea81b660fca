"""How workflow and activity code's values and exceptions become records: the core's `Values` over a converter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .api.failure.v1 import Failure as Message
from .coding import coded, coded_failure
from .common import RawValue
from .converter import DataConverter, FailureConverter, PayloadCodec, PayloadConverter
from .core.events import WorkflowStarted
from .core.payload import Failure, Payload
from .exceptions import (
    ConcurrencyKeyTakenError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from .failure_messages import message_of, record_of
from .serialization_context import (
    ActivitySerializationContext,
    SerializationContext,
    WorkflowSerializationContext,
)


class ConvertedValues:
    """Values through a `DataConverter`: its payload and failure converters, then its codec where it has one.

    `for_workflow` and `for_activity` give the values of a converter that asks whom it works for.
    """

    def __init__(self, converter: DataConverter, namespace: str = "default") -> None:
        self.converter = converter
        self.namespace = namespace
        self._asks = converter.wants_context
        self._free = self
        self.payloads: PayloadConverter = converter.payload_converter
        self.failures: FailureConverter = converter.failure_converter
        self._codec: PayloadCodec | None = converter.payload_codec

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
        context = ActivitySerializationContext(
            namespace=self.namespace,
            activity_id=activity_id,
            activity_type=activity_type,
            activity_task_queue=task_queue,
            workflow_id=start.workflow_id,
            workflow_type=start.workflow_type,
            is_local=local,
        )
        return self._for_context(context)

    def _for_context(self, context: SerializationContext) -> ConvertedValues:
        made = ConvertedValues(self._free.converter.with_context(context), self.namespace)
        made._free, made._asks = self._free, True
        return made

    def encode(self, values: Sequence[object]) -> tuple[Payload, ...]:
        """See `core.instance.Values`."""
        payloads = self.payloads.to_payloads(values)
        return tuple(payloads if self._codec is None else coded(payloads, self._codec.encode))

    def decode(self, payloads: Sequence[Payload], hints: Sequence[Any] | None) -> list[Any]:
        """See `core.instance.Values`."""
        if self._codec is not None:
            payloads = coded(payloads, self._codec.decode)
        fitting = None if hints is None else list(hints[: len(payloads)])
        if fitting is not None and len(fitting) != len(payloads):
            fitting = None
        return self.payloads.from_payloads(payloads, fitting)

    def raw(self, payloads: Sequence[Payload]) -> list[Any]:
        """See `core.instance.Values`."""
        if self._codec is not None:
            payloads = coded(payloads, self._codec.decode)
        return [RawValue(payload.copied()) for payload in payloads]

    def failure_of(self, error: BaseException) -> Failure:
        """See `core.instance.Values`."""
        message = Message()
        self.failures.to_failure(error, self.payloads, message)
        failure = record_of(message)
        return failure if self._codec is None else coded_failure(failure, self._codec.encode)

    def error_of(self, failure: Failure) -> BaseException:
        """See `core.instance.Values`."""
        if self._codec is not None:
            failure = coded_failure(failure, self._codec.decode)
        if failure.kind == "already_started":
            read = failure.attributes.get
            run_id = str(read("run_id") or "") or None
            return WorkflowAlreadyStartedError(
                str(read("workflow_id")), str(read("workflow_type")), run_id=run_id
            )
        if failure.kind == "concurrency_key_taken":
            return _key_taken(failure)
        return self.failures.from_failure(message_of(failure), self.payloads)

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
