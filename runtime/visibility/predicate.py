"""Filters as a predicate on records in memory, with the answers that SQL gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import total_ordering
from operator import eq, ge, gt, le, lt
from typing import Any, Final, Protocol, cast

from ..core.payload import Attribute
from ..core.records import dataclass
from ..core.standalone import is_activity
from ..ports import PAUSED, SHOWN_STATUSES, ExecutionRecord
from .fields import COLUMNS, STATUS_NAMES, Field, Kind, Scalar, Scope
from .meaning import Condition, Meaning, Test
from .words import has_word


class Record(Protocol):
    """What a filter reads of an execution."""

    @property
    def key(self) -> int:
        """The number of the execution; a later one has a greater one."""
        ...

    def values(self, field: Field) -> Sequence[Scalar]:
        """The field's values as they are stored: none where it is absent, several in a list of keywords."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """An execution with its search attributes, as a journal in memory has them."""

    execution: ExecutionRecord
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    paused: bool = False
    """Whether it is open and paused, by itself or with others."""

    @property
    def key(self) -> int:
        """See `Record.key`."""
        return self.execution.key

    def values(self, field: Field) -> Sequence[Scalar]:
        """See `Record.values`."""
        if field.expression:
            if self.paused and field.kind is Kind.STATUS:
                return (SHOWN_STATUSES.index(PAUSED),)
            value = _COLUMNS[field.name](self.execution)
            return () if value is None else (value,)
        kind, given = self.attributes.get(field.name, ("", None))
        if kind not in field.stored_types:
            return ()
        several: list[Any] = cast("list[Any]", given) if isinstance(given, list | tuple) else [given]
        # SQLite stores NaN as NULL.
        return [
            one for one in several if one is not None and not (isinstance(one, float) and math.isnan(one))
        ]


def _duration_ns(execution: ExecutionRecord) -> int | None:
    closed_at_us = execution.closed_at_us
    return None if closed_at_us is None else (closed_at_us - execution.started_at_us) * 1000


_COLUMNS: Final[Mapping[str, Callable[[ExecutionRecord], Scalar | None]]] = {
    "WorkflowId": lambda e: e.workflow_id,
    "ActivityId": lambda e: e.workflow_id,
    "ActivityType": lambda e: e.workflow_type,
    "RunId": lambda e: e.run_id,
    "WorkflowType": lambda e: e.workflow_type,
    "TaskQueue": lambda e: e.task_queue,
    "ExecutionStatus": lambda e: SHOWN_STATUSES.index(e.status),
    "StartTime": lambda e: e.started_at_us,
    "ExecutionTime": lambda e: e.started_at_us,
    "CloseTime": lambda e: e.closed_at_us,
    "ExecutionDuration": _duration_ns,
    # A journal stores an empty string as NULL in these.
    "ParentWorkflowId": lambda e: e.parent_workflow_id or None,
    "ParentRunId": lambda e: e.parent_run_id or None,
    "ConcurrencyKey": lambda e: e.concurrency_key or None,
    "RootWorkflowId": lambda e: e.root_workflow_id or e.workflow_id,
    "RootRunId": lambda e: e.root_run_id or e.run_id,
    "TemporalNamespaceDivision": lambda _: None,
}


# -- conditions ----------------------------------------------------------------------------------------


def within(scope: Scope, record: Record) -> bool:
    """Whether the record is of the executions that a filter is about."""
    if scope is Scope.ANY:
        return True
    (workflow_id,) = record.values(COLUMNS["WorkflowId"])
    return is_activity(str(workflow_id)) == (scope is Scope.ACTIVITIES)


def matches(condition: Condition | None, record: Record) -> bool:
    """Whether the record meets the condition; all meet none."""
    if condition is None:
        return True
    if isinstance(condition, Test):
        fits = _TESTS[condition.operator]
        held = any(fits(value, condition.values) for value in record.values(condition.field))
        return held != condition.negated
    answers = (matches(part, record) for part in condition.parts)
    return all(answers) if condition.every else any(answers)


def _present(value: Any, wanted: Sequence[Any]) -> bool:
    return True


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Sequence[Any]], bool]:
    return lambda value, wanted: compare(value, wanted[0])


_TESTS: Final[Mapping[str, Callable[[Any, Sequence[Any]], bool]]] = {
    "PRESENT": _present,
    "=": _compared(eq),
    "<": _compared(lt),
    "<=": _compared(le),
    ">": _compared(gt),
    ">=": _compared(ge),
    "IN": lambda value, wanted: value in wanted,
    "BETWEEN": lambda value, wanted: bool(wanted[0] <= value <= wanted[1]),
    "STARTS_WITH": lambda value, wanted: bool(value.startswith(wanted[0])),
    "WORDS": lambda value, wanted: any(has_word(value, word) for word in wanted),
}


# -- order and groups ----------------------------------------------------------------------------------


@total_ordering
@dataclass(frozen=True, slots=True)
class Place:
    """Where one value stands in an order: absent ones last, whichever way it goes."""

    value: Any
    descending: bool

    def __lt__(self, other: Place) -> bool:
        if self.value is None or other.value is None:
            return self.value is not None and other.value is None
        return bool(other.value < self.value if self.descending else self.value < other.value)


SortKey = tuple[Place, ...]


def sort_key(meaning: Meaning, record: Record) -> SortKey:
    """Sorts records as the filter's ORDER BY says; what is equal, or all without it, the newest first."""
    places = [Place(_single(field, record), descending) for field, descending in meaning.order]
    return (*places, Place(record.key, descending=True))


def group_key(meaning: Meaning, record: Record) -> tuple[Scalar | None, ...]:
    """The values by which the filter's GROUP BY counts this record; empty without it."""
    if meaning.group is None:
        return ()
    value = _single(meaning.group, record)
    if isinstance(value, str) and meaning.group.prefix:
        return (value.removeprefix(meaning.group.prefix),)
    if meaning.group.kind is Kind.STATUS and value is not None:
        return (STATUS_NAMES[int(value)],)
    return (value,)


def _single(field: Field, record: Record) -> Scalar | None:
    values: Sequence[Any] = record.values(field)
    return min(values, default=None)
