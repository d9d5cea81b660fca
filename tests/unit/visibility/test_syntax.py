"""What a list filter says."""

from __future__ import annotations

from typing import Any

import pytest

from overwinter.runtime.visibility.syntax import (
    DEPTH_MAX,
    TESTS_MAX,
    And,
    Comparison,
    Expression,
    Not,
    Or,
    name_written,
    parse_query,
    string_written,
)


def said(expression: Expression | None) -> Any:
    """The tree as plain values."""
    match expression:
        case Comparison(field, operator, values, negated):
            return (field.text, f"not {operator}" if negated else operator, *(one.value for one in values))
        case Not(operand):
            return ("NOT", said(operand))
        case And(operands) | Or(operands):
            return (type(expression).__name__.upper(), *map(said, operands))
    return None


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a = 1", ("a", "=", 1)),
        ("a != 1", ("a", "not =", 1)),
        ("a <> 1", ("a", "not =", 1)),
        ("a > 1", ("a", ">", 1)),
        ("a >= 1", ("a", ">=", 1)),
        ("a < 1", ("a", "<", 1)),
        ("a<=1", ("a", "<=", 1)),
        ("a IN (1, 2)", ("a", "IN", 1, 2)),
        ("a NOT IN ('x')", ("a", "not IN", "x")),
        ("a BETWEEN 1 AND 2", ("a", "BETWEEN", 1, 2)),
        ("a NOT BETWEEN 1 AND 2", ("a", "not BETWEEN", 1, 2)),
        ("a IS NULL", ("a", "NULL")),
        ("a IS NOT NULL", ("a", "not NULL")),
        ("a STARTS_WITH 'x'", ("a", "STARTS_WITH", "x")),
        ("a NOT STARTS_WITH 'x'", ("a", "not STARTS_WITH", "x")),
        ("a starts_with 'x' and b is not null", ("AND", ("a", "STARTS_WITH", "x"), ("b", "not NULL"))),
    ],
)
def test_each_operator(text: str, tree: Any) -> None:
    assert said(parse_query(text).where) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'x'", "x"),
        ('"x"', "x"),
        ("'it''s'", "it's"),
        ('"say ""so"""', 'say "so"'),
        (r"'it\'s \\ \n'", "it's \\ \n"),
        ("'say \"\"so'", 'say ""so'),
        ("''", ""),
        ("'-- ; ` é \U0001f69c'", "-- ; ` é \U0001f69c"),
        ("-5", -5),
        ("+5", 5),
        ("2.50", 2.5),
        (".5", 0.5),
        ("-1e3", -1000.0),
        ("true", True),
        ("False", False),
    ],
)
def test_each_value(value: Any, text: str) -> None:
    assert said(parse_query(f"a = {text}").where) == ("a", "=", value)
    assert type(said(parse_query(f"a={text}").where)[2]) is type(value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Über_2", "Über_2"),
        ("a.b$c@d", "a.b$c@d"),
        ("`a b`", "a b"),
        ("`a``b`", "a`b"),
        ('"a b"', "a b"),
        ("`order`", "order"),
    ],
)
def test_each_form_of_a_name(text: str, name: str) -> None:
    assert said(parse_query(f"{text} = 1").where) == (name, "=", 1)


def test_and_binds_closer_than_or_and_not_closest() -> None:
    assert said(parse_query("a=1 OR b=2 AND NOT c=3 OR d=4").where) == (
        ("OR", ("a", "=", 1), ("AND", ("b", "=", 2), ("NOT", ("c", "=", 3))), ("d", "=", 4))
    )


def test_parentheses_go_first() -> None:
    assert said(parse_query("NOT (a=1 OR b=2) AND c=3").where) == (
        ("AND", ("NOT", ("OR", ("a", "=", 1), ("b", "=", 2))), ("c", "=", 3))
    )


def test_the_and_of_between_is_its_own() -> None:
    assert said(parse_query("a BETWEEN 1 AND 2 AND b=3").where) == (
        ("AND", ("a", "BETWEEN", 1, 2), ("b", "=", 3))
    )


def test_order_and_groups_with_and_without_a_condition() -> None:
    query = parse_query("order by a desc, b ASC, `c d`")
    assert query.where is None
    assert [(term.field.text, term.descending) for term in query.order] == [
        ("a", True),
        ("b", False),
        ("c d", False),
    ]
    query = parse_query("a=1 GROUP BY b ORDER BY c")
    assert said(query.where) == ("a", "=", 1)
    assert (query.group and query.group.text, query.order[0].field.text) == ("b", "c")


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_an_empty_text_says_nothing(text: str) -> None:
    assert parse_query(text) == parse_query("")
    assert parse_query(text).where is None


def test_positions_count_from_one() -> None:
    where = parse_query("  a = 'x'").where
    assert isinstance(where, Comparison)
    assert (where.field.position, where.position, where.values[0].position) == (3, 5, 7)


@pytest.mark.parametrize("name", ["a", "a b", "a`b", "ORDER", "in", "it's; --", '"', "5a"])
def test_a_name_is_written_so_that_it_is_read_back(name: str) -> None:
    assert said(parse_query(f"{name_written(name)} = 1").where) == (name, "=", 1)


@pytest.mark.parametrize("value", ["", "a", "it's", "a\\", '"', "\n\0", "\\'"])
def test_a_string_is_written_so_that_it_is_read_back(value: str) -> None:
    assert said(parse_query(f"a = {string_written(value)}").where) == ("a", "=", value)


def test_the_bounds_are_inside() -> None:
    assert parse_query("(" * DEPTH_MAX + "a = 1" + ")" * DEPTH_MAX).where is not None
    assert parse_query(" OR ".join(["a = 1"] * TESTS_MAX)).where is not None
    assert parse_query("a = 1".ljust(10_000)).where is not None
