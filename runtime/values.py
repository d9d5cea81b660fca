"""How workflow and activity code's values and exceptions become records: the core's `Values` over a converter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .api.failure.v1 import Failure as Message
from .coding import coded, coded_failure
from .common import RawValue
from .converter import DataConverter, FailureConverter, PayloadCodec, PayloadConverter
from .core.payload import Failure, Payload
from .exceptions import FailureError, WorkflowAlreadyStartedError, is_cancelled_exception
from .failure_messages import message_of, record_of


class ConvertedValues:
    """Values through a `DataConverter`: its payload and failure converters, then its codec where it has one."""

    def __init__(self, converter: DataConverter) -> None:
        self.payloads: PayloadConverter = converter.payload_converter
        self.failures: FailureConverter = converter.failure_converter
        self._codec: PayloadCodec | None = converter.payload_codec

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
        return [RawValue(payload) for payload in payloads]

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
        return self.failures.from_failure(message_of(failure), self.payloads)

    def fails_workflow(self, error: BaseException) -> bool:
        """See `core.instance.Values`."""
        return isinstance(error, FailureError | TimeoutError)

    def is_cancellation(self, error: BaseException) -> bool:
        """See `core.instance.Values`."""
        return isinstance(error, asyncio.CancelledError) or is_cancelled_exception(error)
