"""Batch jobs as records: the same operation for every execution that fits a filter, and how far it has come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Final, Literal, get_args

from .core import codec
from .core.payload import Payload
from .core.records import dataclass
from .resets import ResetPoint
from .visibility import Filter, InvalidFilter, Scope, parse

OperationKind = Literal["signal", "cancel", "terminate", "reset", "pause", "unpause", "delete"]
KINDS: Final[tuple[str, ...]] = get_args(OperationKind)
JobState = Literal["running", "completed", "stopped"]

FAILURES_KEPT: Final = 100
"""Of so many executions a job keeps why they failed; the others are counted."""
_OPEN: Final = "ExecutionStatus IN ('Running', 'Paused')"
_FITTING: Final[Mapping[OperationKind, str]] = {
    "signal": _OPEN,
    "cancel": _OPEN,
    "terminate": _OPEN,
    "pause": _OPEN,
    "unpause": "ExecutionStatus = 'Paused'",
    "delete": f"NOT {_OPEN}",
}
"""What an operation is for at all, beside the filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOperation:
    """What is done to each execution."""

    kind: OperationKind
    name: str = ""
    """Of a signal."""
    args: tuple[Payload, ...] = ()
    """Of a signal; the details of a termination."""
    headers: Mapping[str, Payload] = field(default_factory=dict[str, Payload])
    point: ResetPoint | None = None
    """Of a reset."""
    signals: bool = True
    updates: bool = True
    """Whether a reset hands those that came after its point to the new run."""


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """An execution on which the operation failed, and why."""

    workflow_id: str
    run_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """One job. `before_key` is how far it has come: executions with smaller keys are still to be done."""

    id: str
    operation: BatchOperation
    query: str
    reason: str = ""
    identity: str = ""
    per_second: float
    state: JobState = "running"
    started_at_us: int
    closed_at_us: int | None = None
    total: int
    completed: int = 0
    failed: int = 0
    failures: tuple[BatchFailure, ...] = ()
    before_key: int
    stopped_by: str = ""
    stop_reason: str = ""

    def after(self, key: int, failure: BatchFailure | None = None) -> BatchJob:
        """The job when the execution with this key is done, or has failed."""
        if failure is None:
            return replace(self, before_key=key, completed=self.completed + 1)
        return replace(
            self,
            before_key=key,
            failed=self.failed + 1,
            failures=(*self.failures, failure)[:FAILURES_KEPT],
        )

    def to_bytes(self) -> bytes:
        """The job as the journal has it."""
        operation = self.operation
        value: dict[str, Any] = {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("id", "operation", "failures")
        }
        value["operation"] = {
            "kind": operation.kind,
            "name": operation.name,
            "args": codec.encode_payloads(operation.args).hex(),
            "headers": {
                name: codec.encode_payloads((value,)).hex() for name, value in operation.headers.items()
            },
            "point": None
            if operation.point is None
            else [operation.point.kind, operation.point.event, operation.point.activity],
            "signals": operation.signals,
            "updates": operation.updates,
        }
        value["failures"] = [[each.workflow_id, each.run_id, each.message] for each in self.failures]
        return json.dumps(value, separators=(",", ":")).encode()

    @staticmethod
    def from_bytes(job_id: str, data: bytes) -> BatchJob:
        """The job that `to_bytes` wrote."""
        found = json.loads(data)
        asked = found.pop("operation")
        point = asked["point"]
        operation = BatchOperation(
            kind=asked["kind"],
            name=asked["name"],
            args=codec.decode_payloads(bytes.fromhex(asked["args"])),
            headers={
                name: codec.decode_payloads(bytes.fromhex(value))[0]
                for name, value in asked["headers"].items()
            },
            point=None if point is None else ResetPoint(point[0], point[1], point[2]),
            signals=asked["signals"],
            updates=asked["updates"],
        )
        failures = tuple(BatchFailure(*each) for each in found.pop("failures"))
        return BatchJob(id=job_id, operation=operation, failures=failures, **found)


def selection(kind: OperationKind, query: str, attribute_types: Mapping[str, str]) -> Filter:
    """The executions that an operation is carried out on: those that fit the query, of those that it is for.

    Raises:
        InvalidFilter: the query is no filter, or says more than which executions fit.
    """
    meaning = parse(query, attribute_types, Scope.WORKFLOWS).meaning
    if meaning.condition is None or meaning.order or meaning.group is not None:
        found = "nothing" if not query.strip() else "an order or a group"
        raise InvalidFilter(1, found, "a condition", "ExecutionStatus = 'Running'")
    fitting = _FITTING.get(kind)
    return parse(query if fitting is None else f"({query}) AND {fitting}", attribute_types, Scope.WORKFLOWS)
