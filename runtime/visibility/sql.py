"""Filters for SQLite: text made of our own words, and values that are bound.

The tables are ``executions`` and ``search_attributes``, under these names; attributes have one row for each value.
"""

from __future__ import annotations

from typing import Final

from ..core.records import dataclass
from ..core.standalone import PREFIX
from .fields import STATUS_NAMES, Field, Kind, Scalar, Scope
from .meaning import Condition, Meaning, Test
from .words import glob_of


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """The parts of a statement ``SELECT ... FROM executions WHERE where GROUP BY group_by ORDER BY order_by``.

    Each part is empty where the filter has none. `parameters` are those of `where`; the other parts have none.
    `order_by` orders completely: its last term is the key. `group_by` is also what a count selects.
    """

    where: str
    parameters: tuple[Scalar, ...]
    order_by: str
    group_by: str


def compile_meaning(meaning: Meaning) -> CompiledFilter:
    """The SQL of a filter."""
    parameters: list[Scalar] = []
    where = "" if meaning.condition is None else _condition(meaning.condition, parameters)
    if meaning.scope is not Scope.ANY:
        where = f"{_SCOPES[meaning.scope]} AND ({where})" if where else _SCOPES[meaning.scope]
    order = [
        f"{_single(field)} {'DESC' if descending else 'ASC'} NULLS LAST"
        for field, descending in meaning.order
    ]
    return CompiledFilter(
        where,
        tuple(parameters),
        ", ".join([*order, "executions.key DESC"]) if order else "",
        "" if meaning.group is None else _group(meaning.group),
    )


_PREFIXED: Final = f"executions.workflow_id >= '{PREFIX}' AND executions.workflow_id < '{PREFIX[:-1]};'"
_SCOPES: Final = {Scope.ACTIVITIES: f"({_PREFIXED})", Scope.WORKFLOWS: f"NOT ({_PREFIXED})"}
"""Not bound, and in the words of the index that is of activities alone, or it would not be used."""


def _condition(condition: Condition, parameters: list[Scalar]) -> str:
    if isinstance(condition, Test):
        return _test(condition, parameters)
    between = " AND " if condition.every else " OR "
    return f"({between.join(_condition(part, parameters) for part in condition.parts)})"


# -- tests ---------------------------------------------------------------------------------------------

_VALUE: Final = "search_attributes.value"


def _test(test: Test, parameters: list[Scalar]) -> str:
    if test.field.expression:
        return _column_test(test, parameters)
    parameters.append(test.field.name)
    # Only names of types, which are ours, are not bound.
    rows = f"search_attributes.name = ? AND search_attributes.type IN ({_types(test.field)})"
    holds = _holds(test, _VALUE, parameters)
    exists = (
        "EXISTS (SELECT 1 FROM search_attributes "  # noqa: S608 - as above
        f"WHERE search_attributes.execution = executions.key AND {rows} AND {holds})"
    )
    return f"NOT {exists}" if test.negated else exists


def _column_test(test: Test, parameters: list[Scalar]) -> str:
    column = test.field.expression
    holds = _holds(test, column, parameters)
    if test.field.nullable and test.operator != "PRESENT":
        # NULL would make the test unknown, and so its opposite.
        holds = f"({column} IS NOT NULL AND {holds})"
    return f"NOT ({holds})" if test.negated else holds


def _holds(test: Test, value: str, parameters: list[Scalar]) -> str:
    """Whether one value fits; NULL only where the value is."""
    match test.operator:
        case "PRESENT":
            return f"{value} IS NOT NULL"
        case "STARTS_WITH":
            return _starts_with(str(test.values[0]), value, parameters)
        case "WORDS":
            parameters.extend(glob_of(str(word)) for word in test.values)
            one = f"(' ' || {value} || ' ') GLOB ?"
            return f"({' OR '.join([one] * len(test.values))})"
        case "IN":
            parameters.extend(test.values)
            return f"{value} IN ({', '.join('?' * len(test.values))})"
        case "BETWEEN":
            parameters.extend(test.values)
            # A range of its own: BETWEEN's AND would need parentheses wherever it is used.
            return f"({value} >= ? AND {value} <= ?)"
        case operator:
            parameters.extend(test.values)
            return f"{value} {operator} ?"


def _starts_with(prefix: str, value: str, parameters: list[Scalar]) -> str:
    """A range of the values: indices serve it, and no character of the prefix means anything else, as in LIKE."""
    end = _after(prefix)
    parameters.append(prefix)
    if end is None:
        return f"{value} >= ?"
    parameters.append(end)
    return f"({value} >= ? AND {value} < ?)"


def _after(prefix: str) -> str | None:
    """The first string after all that begin so; None when there is none. SQLite orders UTF-8, and so code points."""
    rest = prefix.rstrip("\U0010ffff")
    if not rest:
        return None
    last = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if last == 0xD800 else last)


# -- order and groups ----------------------------------------------------------------------------------


def _single(field: Field) -> str:
    """The field's one value; the least of several."""
    if field.expression:
        return field.expression
    return (
        "(SELECT min(search_attributes.value) FROM search_attributes "  # noqa: S608 - hexadecimal digits and type names
        "WHERE search_attributes.execution = executions.key "
        f"AND search_attributes.name = {_text(field.name)} AND search_attributes.type IN ({_types(field)}))"
    )


def _group(field: Field) -> str:
    if field.prefix:
        return f"substr({field.expression}, {len(field.prefix) + 1})"
    if field.kind is not Kind.STATUS:
        return _single(field)
    cases = " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(STATUS_NAMES))
    return f"CASE {field.expression} {cases} END"


def _types(field: Field) -> str:
    return ", ".join(f"'{name}'" for name in field.stored_types)


def _text(name: str) -> str:
    """A name within the text of a statement, in hexadecimal: nothing in it can end the literal."""
    return f"CAST(x'{name.encode().hex()}' AS TEXT)"
