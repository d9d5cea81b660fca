"""How workflow and activity code's values and exceptions become records: the core's `Values` over a converter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .common import RawValue
from .converter import DataConverter, FailureConverter, PayloadConverter
from .core.payload import Failure, Payload
from .exceptions import FailureError, is_cancelled_exception


class ConvertedValues:
    """Values through a `DataConverter`'s payload and failure converters, which do not wait."""

    def __init__(self, converter: DataConverter) -> None:
        self.payloads: PayloadConverter = converter.payload_converter
        self.failures: FailureConverter = converter.failure_converter

    def encode(self, values: Sequence[object]) -> tuple[Payload, ...]:
        """See `core.instance.Values`."""
        return tuple(self.payloads.to_payloads(values))

    def decode(self, payloads: Sequence[Payload], hints: Sequence[Any] | None) -> list[Any]:
        """See `core.instance.Values`."""
        fitting = None if hints is None else list(hints[: len(payloads)])
        if fitting is not None and len(fitting) != len(payloads):
            fitting = None
        return self.payloads.from_payloads(payloads, fitting)

    def raw(self, payloads: Sequence[Payload]) -> list[Any]:
        """See `core.instance.Values`."""
        return [RawValue(payload) for payload in payloads]

    def failure_of(self, error: BaseException) -> Failure:
        """See `core.instance.Values`."""
        return self.failures.to_failure(error, self.payloads)

    def error_of(self, failure: Failure) -> BaseException:
        """See `core.instance.Values`."""
        return self.failures.from_failure(failure, self.payloads)

    def fails_workflow(self, error: BaseException) -> bool:
        """See `core.instance.Values`."""
        return isinstance(error, FailureError | TimeoutError)

    def is_cancellation(self, error: BaseException) -> bool:
        """See `core.instance.Values`."""
        return isinstance(error, asyncio.CancelledError) or is_cancelled_exception(error)
