"""SQLite and the predicate find the same, in the same order, whatever is asked of whatever is stored."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.runtime.ports import STATUSES, Pause
from overwinter.runtime.visibility import Listed, parse
from overwinter.runtime.visibility.fields import COLUMNS, OPERATORS, STATUS_NAMES, Kind
from overwinter.runtime.visibility.syntax import name_written, string_written
from tests.unit.visibility.listing import (
    TYPES,
    counted_in_memory,
    counted_in_sql,
    in_memory,
    in_sql,
    listed,
    tables,
)

# Few values, so that comparisons often hold, and some of those on which engines disagree.
WORDS = st.sampled_from(
    ["", "a", "A", "ab", "b", "a b", "b-a", "é", "É a", "a%", "a'", "[a]", "a\0b", "\uffff", "\U0010ffff"]
)
STRINGS = WORDS | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=3)
INTEGERS = st.integers(-2, 2) | st.sampled_from([-(2**63), 2**53, 2**53 + 1, 2**63 - 1])
FLOATS = st.sampled_from([float("nan"), -1.5, -0.0, 0.0, 1.0, 1.5, float(2**53), 1e300]) | st.floats(
    allow_infinity=False
)
INSTANTS = st.integers(-2, 3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Keyword": STRINGS,
    "KeywordList": st.lists(STRINGS, max_size=3),
    "Text": STRINGS,
    "Int": INTEGERS,
    "Double": FLOATS | INTEGERS,
    "Bool": st.booleans(),
    "Datetime": INSTANTS,
}


@st.composite
def attributes(draw: st.DrawFn) -> dict[str, tuple[str, Any]]:
    """Mostly of their type, sometimes of another."""
    found: dict[str, tuple[str, Any]] = {}
    for name in draw(st.sets(st.sampled_from(list(TYPES)))):
        kind = draw(st.just(TYPES[name]) | st.sampled_from(list(VALUES)))
        found[name] = (kind, draw(st.none() | VALUES[kind]))
    return found


@st.composite
def records(draw: st.DrawFn, key: int) -> Listed:
    ids = st.sampled_from(["", "a", "b"])
    return listed(
        key,
        draw(attributes()),
        workflow_id=draw(STRINGS),
        workflow_type=draw(ids),
        status=draw(st.sampled_from(STATUSES)),
        started_at_us=draw(INSTANTS),
        closed_at_us=draw(st.none() | INSTANTS),
        paused=draw(st.none() | st.just(PAUSE)),
        parent_workflow_id=draw(ids),
        root_workflow_id=draw(ids),
    )


PAUSE = Pause(scope="execution", identity="", reason="", since_us=0)
LISTS = st.integers(0, 5).flatmap(lambda count: st.tuples(*(records(key) for key in range(count))))

LITERALS: dict[Kind, st.SearchStrategy[str]] = {
    Kind.TEXT: st.sampled_from(["a", "A b", "é", "b a", "a%"]).map(string_written),
    Kind.KEYWORD: STRINGS.map(string_written),
    Kind.KEYWORD_LIST: STRINGS.map(string_written),
    Kind.INT: INTEGERS.map(str) | st.sampled_from(["1.5", "-0.0", "1e18"]),
    Kind.DOUBLE: INTEGERS.map(str) | st.sampled_from(["1.5", "-0.0", "1e300", "99999999999999999999"]),
    Kind.BOOL: st.sampled_from(["true", "FALSE"]),
    Kind.DATETIME: INSTANTS.map(lambda us: str(us * 1000)) | st.just("'1970-01-01T00:00:00.000001Z'"),
    Kind.STATUS: st.sampled_from([*map(repr, STATUS_NAMES), *map(str, range(1, 9))]),
    Kind.DURATION: st.sampled_from(["0", "1000", "'1us'", "'-1us'", "'00:00:01'", "1500"]),
}
FIELDS = {name: field.kind for name, field in COLUMNS.items()} | {n: Kind(kind) for n, kind in TYPES.items()}


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    field = draw(st.sampled_from(sorted(FIELDS)))
    literal = LITERALS[FIELDS[field]]
    name = name_written(field)
    no = draw(st.sampled_from(["", "NOT "]))
    match draw(st.sampled_from(OPERATORS[FIELDS[field]])):
        case "NULL":
            return f"{name} IS {no}NULL"
        case "IN":
            return f"{name} {no}IN ({', '.join(draw(st.lists(literal, min_size=1, max_size=3)))})"
        case "BETWEEN":
            return f"{name} {no}BETWEEN {draw(literal)} AND {draw(literal)}"
        case "STARTS_WITH":
            return f"{name} {no}STARTS_WITH {draw(literal)}"
        case "=":
            return f"{name} {draw(st.sampled_from(['=', '!=', '<>']))} {draw(literal)}"
        case operator:
            return f"{name} {operator} {draw(literal)}"


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: (
        inner.map(lambda text: f"NOT ({text})")
        | st.lists(inner, min_size=2, max_size=3).map(lambda texts: f"({' AND '.join(texts)})")
        | st.lists(inner, min_size=2, max_size=3).map(lambda texts: f"({' OR '.join(texts)})")
    ),
    max_leaves=6,
)
SORTABLE = sorted(name for name, kind in FIELDS.items() if kind not in (Kind.TEXT, Kind.KEYWORD_LIST))
ORDERS = st.lists(
    st.builds(
        lambda name, way: name_written(name) + way,
        st.sampled_from(SORTABLE),
        st.sampled_from(["", " ASC", " DESC"]),
    ),
    min_size=1,
    max_size=3,
).map(lambda terms: f" ORDER BY {', '.join(terms)}")
GROUPS = st.sampled_from(["ExecutionStatus", "WorkflowType", "TaskQueue", "Site", "`it's; --`"])


@given(LISTS, CONDITIONS, st.just("") | ORDERS)
@settings(max_examples=400, deadline=None, print_blob=True)
def test_sql_and_predicate_find_the_same_in_the_same_order(
    stored: tuple[Listed, ...], condition: str, order: str
) -> None:
    wanted = parse(condition + order, TYPES)
    with closing(tables(stored)) as connection:
        assert in_sql(wanted, connection) == in_memory(wanted, stored)


@given(LISTS, CONDITIONS)
@settings(max_examples=150, deadline=None, print_blob=True)
def test_a_condition_and_its_opposite_share_out_all_executions(
    stored: tuple[Listed, ...], condition: str
) -> None:
    with closing(tables(stored)) as connection:
        met = in_sql(parse(condition, TYPES), connection)
        unmet = in_sql(parse(f"NOT ({condition})", TYPES), connection)
    assert sorted(met + unmet) == list(range(len(stored)))


@given(LISTS, CONDITIONS, GROUPS)
@settings(max_examples=150, deadline=None, print_blob=True)
def test_sql_and_predicate_count_the_same(stored: tuple[Listed, ...], condition: str, group: str) -> None:
    wanted = parse(f"{condition} GROUP BY {group}", TYPES)
    with closing(tables(stored)) as connection:
        assert counted_in_sql(wanted, connection) == counted_in_memory(wanted, stored)


SPACED = st.text(alphabet="aAbéÉßſK_-. ,\0\uffff\u00a0１", max_size=8)


@given(SPACED, SPACED)
@settings(max_examples=400, deadline=None, print_blob=True)
def test_words_are_the_same_for_glob_and_for_python(text: str, sought: str) -> None:
    stored = (listed(0, {"Note": text}),)
    try:
        wanted = parse(f"Note = {string_written(sought)}", TYPES)
    except ValueError:
        return
    with closing(tables(stored)) as connection:
        assert in_sql(wanted, connection) == in_memory(wanted, stored)
