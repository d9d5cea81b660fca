"""The fields of a list filter: which there are, what may be asked of them, and how their values are stored.

Times are microseconds since the epoch, durations nanoseconds, statuses indices into `SHOWN_STATUSES`, booleans 0 and 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, NoReturn

from ..core.records import dataclass
from ..core.standalone import PREFIX
from ..ports import SHOWN_STATUSES, STATUSES
from .syntax import Comparison, InvalidFilter, Literal, Name, name_written, string_written
from .words import words_of

Scalar = str | int | float
"""A stored value."""

WORDS_MAX: Final = 50
TEXT_MAX: Final = 1000
"""Bounds of what a Text is searched for: SQLite bounds the size of patterns, and of their chains."""


class Kind(StrEnum):
    """What a field holds; the first seven are the types of search attributes."""

    TEXT = "Text"
    KEYWORD = "Keyword"
    INT = "Int"
    DOUBLE = "Double"
    BOOL = "Bool"
    DATETIME = "Datetime"
    KEYWORD_LIST = "KeywordList"
    STATUS = "status"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its name. `expression` is its SQL; it is empty for a search attribute, which has rows."""

    name: str
    kind: Kind
    expression: str = ""
    nullable: bool = True
    prefix: str = ""
    """What every value begins with where it is stored, and nowhere else."""

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The types under which an attribute's values are read.

        The untyped form of attributes records one string as Keyword and two as KeywordList, 1 as Int and 1.5 as
        Double: an attribute may have several types, though a filter sees one.
        """
        return next((types for types in _ALIKE if self.kind in types), (self.kind.value,))


_ALIKE: Final = (("Keyword", "KeywordList", "Text"), ("Int", "Double"))


def _column(
    name: str, kind: Kind, expression: str, *, nullable: bool = False, prefix: str = ""
) -> tuple[str, Field]:
    return name, Field(name, kind, expression, nullable, prefix)


class Scope(StrEnum):
    """Which executions a filter is about."""

    ANY = "any"
    WORKFLOWS = "workflows"
    ACTIVITIES = "activities"


IS_PAUSED: Final = (
    "(executions.status = 0 AND (executions.paused IS NOT NULL OR EXISTS (SELECT 1 FROM pauses WHERE "
    "pauses.scope = 'everything' "
    "OR pauses.scope = 'workflow_type' AND pauses.name = executions.type "
    "OR pauses.scope = 'task_queue' AND pauses.name = executions.task_queue)))"
)
"""Whether an execution is paused, in SQL; `pausing.pause_of` says it of records."""

COLUMNS: Final[Mapping[str, Field]] = dict(
    (
        _column("WorkflowId", Kind.KEYWORD, "executions.workflow_id"),
        _column("RunId", Kind.KEYWORD, "executions.run_id"),
        _column("WorkflowType", Kind.KEYWORD, "executions.type"),
        _column("TaskQueue", Kind.KEYWORD, "executions.task_queue"),
        _column("ExecutionStatus", Kind.STATUS, f"(executions.status + {len(STATUSES)} * {IS_PAUSED})"),
        _column("StartTime", Kind.DATETIME, "executions.started_at"),
        _column("ExecutionTime", Kind.DATETIME, "executions.started_at"),
        _column("CloseTime", Kind.DATETIME, "executions.closed_at", nullable=True),
        _column(
            "ExecutionDuration",
            Kind.DURATION,
            "((executions.closed_at - executions.started_at) * 1000)",
            nullable=True,
        ),
        _column("ParentWorkflowId", Kind.KEYWORD, "executions.parent_workflow_id", nullable=True),
        _column("ParentRunId", Kind.KEYWORD, "executions.parent_run_id", nullable=True),
        _column("ConcurrencyKey", Kind.KEYWORD, "executions.concurrency_key", nullable=True),
        # An execution without a parent is its own root, as in Temporal and in what a client lists.
        _column(
            "RootWorkflowId", Kind.KEYWORD, "coalesce(executions.root_workflow_id, executions.workflow_id)"
        ),
        _column("RootRunId", Kind.KEYWORD, "coalesce(executions.root_run_id, executions.run_id)"),
        _column("TemporalNamespaceDivision", Kind.KEYWORD, "NULL", nullable=True),
    )
)
"""What every execution has, by name, with its expression on the table of executions."""

ACTIVITY_COLUMNS: Final[Mapping[str, Field]] = dict(
    (
        _column("ActivityId", Kind.KEYWORD, "executions.workflow_id", prefix=PREFIX),
        _column("ActivityType", Kind.KEYWORD, "executions.type", prefix=PREFIX),
        *(
            (name, COLUMNS[name])
            for name in (
                "RunId",
                "TaskQueue",
                "ExecutionStatus",
                "StartTime",
                "ExecutionTime",
                "CloseTime",
                "ExecutionDuration",
            )
        ),
    )
)
"""The same for activities without a workflow."""

RESERVED: Final[Mapping[str, Field]] = {
    name: Field(name, kind)
    for name, kind in (
        ("TemporalScheduledById", Kind.KEYWORD),
        ("TemporalScheduledStartTime", Kind.DATETIME),
        ("TemporalChangeVersion", Kind.KEYWORD_LIST),
        ("BuildIds", Kind.KEYWORD_LIST),
    )
}
"""Search attributes that Temporal sets, known before any execution has them."""

STATUS_NAMES: Final = tuple(
    "".join(part.capitalize() for part in status.split("_")) for status in SHOWN_STATUSES
)
"""The statuses as filters and counts show them, by their number in a journal."""


def field_of(name: Name, attribute_types: Mapping[str, str], scope: Scope = Scope.ANY) -> Field:
    """The field of this name.

    Raises:
        InvalidFilter: there is none, with the names that are near.
    """
    columns = ACTIVITY_COLUMNS if scope is Scope.ACTIVITIES else COLUMNS
    known = columns.get(name.text) or RESERVED.get(name.text)
    if known is not None:
        return known
    if name.text not in attribute_types:
        _refuse_name(name, [*columns, *RESERVED, *sorted(attribute_types)])
    return Field(name.text, Kind(attribute_types[name.text]))


def _refuse_name(name: Name, known: list[str]) -> NoReturn:
    by_case = {one.casefold(): one for one in reversed(known)}
    near = [by_case[one] for one in get_close_matches(name.text.casefold(), by_case, n=3, cutoff=0.6)]
    expected = (
        f"one of the fields near it ({', '.join(near)})" if near else "a field or a search attribute in use"
    )
    example = f"{name_written(near[0])} IS NOT NULL" if near else f"{known[0]} = 'order-1'"
    raise InvalidFilter(name.position, f"the unknown field {_short(name.text)!r}", expected, example)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


# -- operators -----------------------------------------------------------------------------------------

_EQUAL: Final = ("=", "IN", "NULL")
_ORDERED: Final = ("=", "<", "<=", ">", ">=", "IN", "BETWEEN", "NULL")
OPERATORS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.TEXT: ("=", "NULL"),
    Kind.KEYWORD: (*_ORDERED, "STARTS_WITH"),
    Kind.INT: _ORDERED,
    Kind.DOUBLE: _ORDERED,
    Kind.BOOL: _EQUAL,
    Kind.DATETIME: _ORDERED,
    Kind.KEYWORD_LIST: _EQUAL,
    Kind.STATUS: _EQUAL,
    Kind.DURATION: _ORDERED,
}
"""What may be asked of a kind; each with its opposite."""
_SHOWN: Final = {"=": "= !=", "IN": "[NOT] IN", "BETWEEN": "[NOT] BETWEEN", "NULL": "IS [NOT] NULL"}


def check_operator(field: Field, comparison: Comparison) -> None:
    """Return if the field can be compared so.

    Raises:
        InvalidFilter: it cannot.
    """
    allowed = OPERATORS[field.kind]
    if comparison.operator in allowed:
        return
    shown = ", ".join(_SHOWN.get(operator, operator) for operator in allowed)
    raise InvalidFilter(
        comparison.position,
        f"{comparison.operator} on {_of_kind(field)}",
        f"one of {shown}",
        f"{name_written(field.name)} = {_SAMPLES[field.kind]}",
    )


# -- values --------------------------------------------------------------------------------------------

_SAMPLES: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "'word'",
    Kind.KEYWORD: "'order-1'",
    Kind.INT: "5",
    Kind.DOUBLE: "2.5",
    Kind.BOOL: "true",
    Kind.DATETIME: "'2026-01-31T08:00:00Z'",
    Kind.KEYWORD_LIST: "'red'",
    Kind.STATUS: "'Running'",
    Kind.DURATION: "'1h30m'",
}
_EXPECTED: Final[Mapping[Kind, str]] = {
    Kind.TEXT: f"a string of 1 to {WORDS_MAX} words and at most {TEXT_MAX} characters",
    Kind.KEYWORD: "a string",
    Kind.INT: "a number of at most 64 bits",
    Kind.DOUBLE: "a finite number",
    Kind.BOOL: "true or false without quotes",
    Kind.DATETIME: "an instant in RFC 3339 with its zone, or nanoseconds since the epoch",
    Kind.KEYWORD_LIST: "a string",
    Kind.STATUS: f"one of {', '.join(STATUS_NAMES)}",
    Kind.DURATION: "a duration like '1h30m' or '01:30:00', or nanoseconds",
}


def stored(field: Field, literal: Literal, operator: str) -> Scalar:
    """The literal as values of this field are stored.

    Raises:
        InvalidFilter: it is no value of this field.
    """
    try:
        value = _READERS[field.kind](literal.value)
    except (ValueError, OverflowError):
        value = None
    if value is None or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise InvalidFilter(
            literal.position,
            f"{literal.written} for {_of_kind(field)}",
            _EXPECTED[field.kind],
            _corrected(field, literal, operator),
        )
    return f"{field.prefix}{value}" if field.prefix else value


def _of_kind(field: Field) -> str:
    kind = field.kind.value if field.expression == "" else field.kind.value.lower()
    return f"the {kind} field {_short(field.name)}"


def _corrected(field: Field, literal: Literal, operator: str) -> str:
    value = _SAMPLES[field.kind]
    if field.kind in (Kind.KEYWORD, Kind.KEYWORD_LIST) and len(literal.written) < 60:
        value = string_written(literal.written)
    if operator == "IN":
        return f"{name_written(field.name)} IN ({value})"
    return f"{name_written(field.name)} {'>' if operator == 'BETWEEN' else operator} {value}"


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _text(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        return None
    return value if 1 <= len(words_of(value)) <= WORDS_MAX else None


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _double(value: object) -> int | float | None:
    number = _number(value)
    # What does not fit into 64 bits is still a number for a double.
    return float(number) if isinstance(number, int) and abs(number) >= 2**63 else number


def _bool(value: object) -> int | None:
    return int(value) if isinstance(value, bool) else None


def _status(value: object) -> int | None:
    """By name in any case, or by the number in Temporal's API, which counts from 1."""
    if isinstance(value, str):
        names = [status.replace("_", "") for status in SHOWN_STATUSES]
        name = value.replace("_", "").casefold()
        return names.index(name) if name in names else None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(SHOWN_STATUSES):
        return value - 1
    return None


_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([-+])([0-9]{2}):([0-9]{2}))"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(value: object) -> int | None:
    """Microseconds of an instant; finer digits are cut, as in Temporal's SQL stores."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value // 1000
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    day, time, fraction, sign, hours, minutes = match.groups()
    if hours is not None and (int(hours) > 23 or int(minutes) > 59):
        return None
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    # The zone is subtracted as a duration: at the ends of the calendar a datetime could not be moved.
    since = datetime.fromisoformat(f"{day}T{time}+00:00") - _EPOCH - offset
    return since // timedelta(microseconds=1) + int((fraction or "0").ljust(6, "0")[:6])


_UNITS_NS: Final[Mapping[str, int]] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_PART: Final = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d)"
_GO_PART: Final = re.compile(_PART)
_GO_DURATION: Final = re.compile(rf"[-+]?(?:{_PART})+")
_CLOCK: Final = re.compile(r"([0-9]+):([0-5][0-9]):([0-5][0-9])")
_WHOLE: Final = re.compile(r"[-+]?[0-9]+")


def _duration(value: object) -> int | None:
    """Nanoseconds of a duration: a number of them, also in quotes, Go's form with days, or hours:minutes:seconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or len(value) > 100:
        return None
    if _WHOLE.fullmatch(value):
        return int(value)
    clock = _CLOCK.fullmatch(value)
    if clock is not None:
        hours, minutes, seconds = map(int, clock.groups())
        return (hours * 3600 + minutes * 60 + seconds) * _UNITS_NS["s"]
    if not _GO_DURATION.fullmatch(value):
        return None
    from fractions import Fraction  # slow to load, for a field that is rarely asked for

    total = sum(Fraction(f"0{number}") * _UNITS_NS[unit] for number, unit in _GO_PART.findall(value))
    return int(-total if value.startswith("-") else total)


_READERS: Final[Mapping[Kind, Callable[[object], Scalar | None]]] = {
    Kind.TEXT: _text,
    Kind.KEYWORD: _string,
    Kind.INT: _number,
    Kind.DOUBLE: _double,
    Kind.BOOL: _bool,
    Kind.DATETIME: _instant,
    Kind.KEYWORD_LIST: _string,
    Kind.STATUS: _status,
    Kind.DURATION: _duration,
}
