"""What a filter asks, with its fields and values known: the one reading that SQL and the predicate share.

**Absent values.** Every comparison is true or false, never unknown. A positive one (``=``, ``>``, IN, BETWEEN,
STARTS_WITH) is false where the field has no value; a negated one (``!=``, NOT IN, NOT BETWEEN, NOT STARTS_WITH, and
whatever stands under NOT) is the exact opposite, and so true there. Temporal does the same on Elasticsearch, and for
KeywordList and Text on SQL; for other attributes its SQL stores leave out what has no value.

**Several values.** A comparison holds when it holds for any value: ``Tags = 'red'`` is "contains", ``Tags != 'red'``
"does not contain". Words of a Text are alternatives: ``Note = 'late frost'`` finds both words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from ..core.records import dataclass
from .fields import Field, Kind, Scalar, Scope, check_operator, field_of, stored
from .syntax import And, Comparison, Expression, InvalidFilter, Name, Not, Or, Query, name_written
from .words import words_of


@dataclass(frozen=True, slots=True)
class Test:
    """A field compared with stored values, or the opposite.

    `operator` is one of ``= < <= > >= IN BETWEEN STARTS_WITH``, ``PRESENT`` (no values) or ``WORDS``.
    """

    field: Field
    operator: str
    values: tuple[Scalar, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Several:
    """Conditions of which every one must hold, or any."""

    every: bool
    parts: tuple[Condition, ...]


Condition = Test | Several


@dataclass(frozen=True, slots=True)
class Meaning:
    """A whole filter."""

    condition: Condition | None = None
    order: tuple[tuple[Field, bool], ...] = ()
    """Fields to sort by, each with whether the greatest comes first."""
    group: Field | None = None
    scope: Scope = Scope.ANY


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields that a filter may name."""

    attribute_types: Mapping[str, str]
    scope: Scope

    def of(self, name: Name) -> Field:
        return field_of(name, self.attribute_types, self.scope)


def meaning_of(query: Query, attribute_types: Mapping[str, str], scope: Scope = Scope.ANY) -> Meaning:
    """What a query asks.

    Raises:
        InvalidFilter: a field is unknown, or is compared with what it cannot be compared with.
    """
    where = query.where
    fields = _Fields(attribute_types, scope)
    return Meaning(
        None if where is None else _condition(where, fields, negated=False),
        tuple((_sortable(order.field, fields), order.descending) for order in query.order),
        None if query.group is None else _groupable(query.group, fields),
        scope,
    )


def _condition(expression: Expression, fields: _Fields, *, negated: bool) -> Condition:
    """The condition with its NOTs moved to the tests, which loses nothing where nothing is unknown."""
    match expression:
        case Comparison():
            return _test(expression, fields, negated=negated)
        case Not(operand):
            return _condition(operand, fields, negated=not negated)
        case And(operands) | Or(operands):
            parts = [_condition(operand, fields, negated=negated) for operand in operands]
            return _several(isinstance(expression, And) != negated, parts)


def _several(every: bool, parts: list[Condition]) -> Condition:
    """The parts together; what is of the same kind within is taken apart, so that SQL nests as little as it can."""
    flat: list[Condition] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Several) and part.every == every else (part,))
    return Several(every, tuple(flat))


def _test(comparison: Comparison, fields: _Fields, *, negated: bool) -> Test:
    field = fields.of(comparison.field)
    check_operator(field, comparison)
    opposite = comparison.negated != negated
    if comparison.operator == "NULL":
        return Test(field, "PRESENT", (), not opposite)
    values = tuple(stored(field, literal, comparison.operator) for literal in comparison.values)
    if field.kind is Kind.TEXT:
        words = dict.fromkeys(words_of(str(values[0])))
        return Test(field, "WORDS", tuple(words), opposite)
    return Test(field, comparison.operator, values, opposite)


def _sortable(name: Name, fields: _Fields) -> Field:
    field = fields.of(name)
    if field.kind in (Kind.TEXT, Kind.KEYWORD_LIST):
        _refuse_field(name, field, "a field with one value to sort by", "ORDER BY StartTime DESC")
    return field


def _groupable(name: Name, fields: _Fields) -> Field:
    field = fields.of(name)
    keyword_attribute = not field.expression and field.kind is Kind.KEYWORD
    kind = "ActivityType" if fields.scope is Scope.ACTIVITIES else "WorkflowType"
    if not keyword_attribute and field.name not in ("ExecutionStatus", kind, "TaskQueue"):
        expected = f"ExecutionStatus, {kind}, TaskQueue or a Keyword attribute"
        _refuse_field(name, field, expected, "GROUP BY ExecutionStatus")
    return field


def _refuse_field(name: Name, field: Field, expected: str, example: str) -> NoReturn:
    found = f"the field {name_written(name.text)} of type {field.kind.value}"
    raise InvalidFilter(name.position, found, expected, example)
