"""What is no filter is refused with its place, what stands there, what was expected, and how to write it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.runtime.visibility import InvalidFilter, parse
from overwinter.runtime.visibility.syntax import DEPTH_MAX, LENGTH_MAX, TESTS_MAX
from tests.unit.visibility.listing import TYPES


def refusal(text: str) -> InvalidFilter:
    with pytest.raises(InvalidFilter) as caught:
        parse(text, TYPES)
    return caught.value


@pytest.mark.parametrize(
    ("text", "position", "found", "expected", "example"),
    [
        # tokens
        ("Level = 5x", 9, "5x", "a number", "CustomInt = 5"),
        ("Site = 'north", 8, "'north", "a closing '", "'it''s'"),
        ('Site = "north', 8, '"north', 'a closing "', "'it''s'"),
        ("`Site = 1", 1, "`Site", "a closing `", "'it''s'"),
        ("Site = 'a' & Level = 1", 12, "&", "an operator", "AND"),
        # structure
        ("(Level = 1", 11, "the end of the filter", ")", "(WorkflowType = 'Order' OR"),
        ("Level = 1)", 10, ")", "no ) without its (", "(WorkflowType = 'Order' OR"),
        ("Level = 1 OR", 13, "the end of the filter", "the name of a field", "WorkflowType = 'Order'"),
        ("NOT", 4, "the end of the filter", "the name of a field", "WorkflowType = 'Order'"),
        ("5 = Level", 1, "5", "the name of a field", "WorkflowType = 'Order'"),
        ("Level = 1 Site = 'a'", 11, "Site", "AND, OR, ORDER BY or GROUP BY", "AND ExecutionStatus"),
        ("Level", 6, "the end of the filter", "an operator", "Level = 'order-1'"),
        ("Level NOT = 1", 11, "=", "an operator", "Level = 'order-1'"),
        ("Level == 1", 8, "=", "a value", "Level = "),
        ("Level = (1)", 9, "(", "a value", "Level = "),
        ("Level BETWEEN 1, 2", 16, ",", "AND", "Level BETWEEN 1 AND 5"),
        ("Level IN 1", 10, "1", "(", "Level IN ('a', 'b')"),
        ("Level IN ()", 11, ")", "a value", "Level IN ('a', 'b')"),
        ("Level IN (1 2)", 13, "2", ", or )", "Level IN ('a', 'b')"),
        ("Level IS 1", 10, "1", "NULL", "Level IS NULL"),
        ("Level = NULL", 9, "NULL", "a value", "Level IS NULL"),
        ("Level != NULL", 10, "NULL", "a value", "Level IS NOT NULL"),
        ("Site = north", 8, "north", "strings stand in quotes", "'north'"),
        ("Site LIKE 'n%'", 6, "LIKE", "STARTS_WITH", "Site STARTS_WITH 'order-'"),
        ("WHERE Level = 1", 7, "Level", "without WHERE", "WorkflowType = 'Order'"),
        ("Level = 1 LIMIT 5", 11, "LIMIT", "no LIMIT", "list_workflows(query, limit=10)"),
        ("ORDER StartTime", 7, "StartTime", "BY", "ORDER BY StartTime DESC"),
        (
            "ORDER BY StartTime CloseTime",
            20,
            "CloseTime",
            "the end of the filter",
            "ORDER BY StartTime DESC,",
        ),
        ("GROUP BY Site, TaskQueue", 14, ",", "one field in GROUP BY", "GROUP BY Site"),
        # fields
        ("workflowid = 'a'", 1, "'workflowid'", "WorkflowId", "WorkflowId IS NOT NULL"),
        ("ExecutionState = 'a'", 1, "'ExecutionState'", "ExecutionStatus", "IS NOT NULL"),
        ("Sites = 'a'", 1, "'Sites'", "Site", "Site IS NOT NULL"),
        ("qqqq = 'a'", 1, "'qqqq'", "a search attribute in use", "WorkflowId = 'order-1'"),
        ("ORDER BY Note", 10, "Note of type Text", "one value to sort by", "ORDER BY StartTime"),
        ("ORDER BY Tags", 10, "Tags of type KeywordList", "one value to sort by", "ORDER BY StartTime"),
        ("GROUP BY Level", 10, "Level of type Int", "a Keyword attribute", "GROUP BY ExecutionStatus"),
        ("GROUP BY WorkflowId", 10, "WorkflowId", "a Keyword attribute", "GROUP BY ExecutionStatus"),
        # operators
        ("Level STARTS_WITH 'a'", 7, "STARTS_WITH on the Int field Level", "BETWEEN", "Level = 5"),
        ("Tags > 'a'", 6, "> on the KeywordList field Tags", "IN", "Tags = 'red'"),
        ("Tags STARTS_WITH 'a'", 6, "STARTS_WITH on", "IN", "Tags = 'red'"),
        ("Note IN ('a')", 6, "IN on the Text field Note", "= !=, IS [NOT] NULL", "Note = 'word'"),
        ("Urgent < true", 8, "< on the Bool field Urgent", "= !=", "Urgent = true"),
        ("ExecutionStatus > 'Running'", 17, "> on the status field", "= !=", "ExecutionStatus = 'Running'"),
        # values
        ("Site = 5", 8, "5 for the Keyword field Site", "a string", "Site = '5'"),
        ("Site > true", 8, "true for the Keyword field Site", "a string", "Site > 'true'"),
        ("Tags IN ('a', 5)", 15, "5 for the KeywordList", "a string", "Tags IN ('5')"),
        ("Level >= '5'", 10, "'5' for the Int field Level", "a number", "Level >= 5"),
        ("Level = true", 9, "true for the Int field Level", "a number", "Level = 5"),
        ("Level = 9223372036854775808", 9, "9223372036854775808", "at most 64 bits", "Level = 5"),
        ("Ratio = 1e999", 9, "1e999", "a finite number", "Ratio = 2.5"),
        ("Urgent = 'true'", 10, "'true'", "true or false without quotes", "Urgent = true"),
        ("Note = '--'", 8, "'--'", "1 to 50 words", "Note = 'word'"),
        ("DueAt > '2026-01-31'", 9, "'2026-01-31'", "RFC 3339 with its zone", "2026-01-31T08:00:00Z"),
        ("DueAt > '2026-02-30T00:00:00Z'", 9, "'2026-02-30", "RFC 3339", "2026-01-31T08:00:00Z"),
        ("DueAt > '2026-01-31T00:00:00'", 9, "'2026-01-31", "RFC 3339 with its zone", "08:00:00Z"),
        ("StartTime > 1.5", 13, "1.5", "nanoseconds since the epoch", "StartTime > '2026"),
        ("ExecutionDuration > '1x'", 21, "'1x'", "'1h30m'", "ExecutionDuration > '1h30m'"),
        ("ExecutionDuration > '1:5'", 21, "'1:5'", "'01:30:00'", "ExecutionDuration > '1h30m'"),
        ("ExecutionStatus = 'Runing'", 19, "'Runing'", "Running, Completed", "ExecutionStatus = 'Running'"),
        ("ExecutionStatus = 0", 19, "0", "Running, Completed", "ExecutionStatus = 'Running'"),
        ("ExecutionStatus = 9", 19, "9", "Running, Completed", "ExecutionStatus = 'Running'"),
    ],
)
def test_a_refusal_says_where_what_and_how(
    text: str, position: int, found: str, expected: str, example: str
) -> None:
    error = refusal(text)
    assert error.position == position
    assert found in error.found
    assert expected in error.expected
    assert example in error.example
    assert str(error) == (
        f"at position {position} found {error.found}, expected {error.expected}; write for example: {error.example}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "WorkflowId = 'a' OR 1=1 --'",
        "WorkflowId = 'a'; DROP TABLE executions",
        "WorkflowId = 'a' UNION SELECT * FROM settings",
        "WorkflowId = (SELECT value FROM settings)",
        "executions.workflow_id = 'a'",
        "workflow_id = 'a'",
        "`WorkflowId` = 'a' ORDER BY (SELECT 1)",
        "`workflow_id = '' OR 1` = 1",
        "WorkflowId = 'a' /* */ OR Level = 1",
        "WorkflowId = ?",
        "ORDER BY `key; DROP TABLE executions`",
        "GROUP BY 1",
    ],
)
def test_what_would_be_sql_is_no_filter(text: str) -> None:
    refusal(text)


def test_a_filter_has_a_longest_length() -> None:
    error = refusal("Level = 1".ljust(LENGTH_MAX + 1))
    assert (error.position, error.expected) == (LENGTH_MAX + 1, f"at most {LENGTH_MAX}")


@pytest.mark.parametrize("opening", ["(", "NOT "])
def test_a_filter_has_a_greatest_depth(opening: str) -> None:
    error = refusal(opening * 2000 + "Level = 1")
    assert error.position == len(opening) * DEPTH_MAX + 1
    assert f"at most {DEPTH_MAX}" in error.expected


def test_a_filter_has_a_greatest_number_of_comparisons() -> None:
    assert refusal(" OR ".join(["Level=1"] * (TESTS_MAX + 1))).expected == f"at most {TESTS_MAX}"


def test_what_cannot_be_stored_cannot_be_searched_for() -> None:
    assert refusal("Site = '\ud800'").position == 9


@given(st.text(max_size=40) | st.lists(st.sampled_from(
    ["Level", "Site", "(", ")", "NOT", "AND", "OR", "IN", "=", "<", "'a'", "5", ",", "ORDER", "GROUP", "BY", "IS", "NULL"]
)).map(" ".join))  # fmt: skip
@settings(max_examples=300, deadline=None, print_blob=True)
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    try:
        parse(text, TYPES).sql()
    except InvalidFilter as error:
        assert 1 <= error.position <= len(text) + 1
