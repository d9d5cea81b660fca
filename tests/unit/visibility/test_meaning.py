"""What a filter finds: each answer is SQLite's, and that of the predicate."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing

import pytest

from overwinter.runtime.journal import MemoryJournal, store
from overwinter.runtime.ports import STATUSES, Batch
from overwinter.runtime.visibility import parse
from tests.unit.visibility.listing import SECOND, TYPES, count, find, listed

START = 1_769_846_400 * SECOND
"""2026-01-31T08:00:00Z."""


# -- what every execution has --------------------------------------------------------------------------


def test_names_of_all_columns() -> None:
    child = listed(
        2,
        workflow_type="Refund",
        task_queue="back",
        parent_workflow_id="order-1",
        parent_run_id="run-1",
        root_workflow_id="order-1",
        root_run_id="run-1",
        concurrency_key="field-7",
    )
    records = [listed(1), child]
    for text in (
        "WorkflowId = 'order-2'",
        "RunId = 'run-2'",
        "WorkflowType = 'Refund'",
        "TaskQueue = 'back'",
        "ParentWorkflowId = 'order-1'",
        "ParentRunId = 'run-1'",
        "RootWorkflowId = 'order-1' AND WorkflowId != 'order-1'",
        "ParentRunId IS NOT NULL",
        "ConcurrencyKey STARTS_WITH 'field-'",
    ):
        assert find(text, records) == [2], text


def test_an_execution_without_a_parent_is_its_own_root() -> None:
    assert find("RootWorkflowId = 'order-1' AND RootRunId = 'run-1'", [listed(1), listed(2)]) == [1]


@pytest.mark.parametrize("number", range(len(STATUSES)))
def test_a_status_by_any_of_its_names(number: int) -> None:
    records = [listed(key, status=status) for key, status in enumerate(STATUSES)]
    name = "".join(part.capitalize() for part in STATUSES[number].split("_"))
    for written in (f"'{name}'", f"'{name.lower()}'", f"'{STATUSES[number]}'", f"{number + 1}"):
        assert find(f"ExecutionStatus = {written}", records) == [number]


@pytest.mark.parametrize(
    "instant",
    [
        "'2026-01-31T08:00:00Z'",
        "'2026-01-31t08:00:00.000000999z'",
        "'2026-01-31 09:30:00+01:30'",
        "'2026-01-31T00:00:00-08:00'",
        "1769846400000000000",
        "1769846400000000999",
    ],
)
def test_an_instant_in_each_form(instant: str) -> None:
    records = [listed(1, started_at_us=START), listed(2, started_at_us=START + 1)]
    assert find(f"StartTime = {instant}", records) == [1]
    assert find(f"ExecutionTime > {instant}", records) == [2]


def test_the_ends_of_the_calendar_are_instants() -> None:
    records = [listed(1)]
    assert find("StartTime > '0001-01-01T00:00:00+23:59'", records) == [1]
    assert find("StartTime > '9999-12-31T23:59:59-23:59'", records) == []


@pytest.mark.parametrize(
    ("duration", "longer"),
    [
        ("5400000000000", []),
        ("'5399999999999'", [1]),
        ("'1h30m'", []),
        ("'01:30:00'", []),
        ("'1.4999h'", [1]),
        ("'.05d'", [1]),
        ("'89m59s999ms999us999ns'", [1]),
        ("'90.5m'", []),
        ("'-1h'", [1]),
    ],
)
def test_a_duration_in_each_form(duration: str, longer: list[int]) -> None:
    records = [listed(1, started_at_us=START, closed_at_us=START + 5400 * SECOND), listed(2)]
    assert find(f"ExecutionDuration > {duration}", records) == longer


def test_nothing_is_in_a_namespace_division() -> None:
    assert find("TemporalNamespaceDivision IS NULL", [listed(1)]) == [1]
    assert find("TemporalNamespaceDivision = 'a'", [listed(1)]) == []


def test_what_a_schedule_started_is_known_without_being_declared() -> None:
    records = [listed(1, {"TemporalScheduledById": ("Keyword", "nightly")}), listed(2)]
    assert find("TemporalScheduledById = 'nightly'", records, {}) == [1]
    assert find("TemporalScheduledById = 'nightly'", records[1:], {}) == []


# -- search attributes ---------------------------------------------------------------------------------

NOTED = [
    listed(1, {"Note": "Late frost, north-field."}),
    listed(2, {"Note": "frosty morning"}),
    listed(3, {"Note": "ÄPFEL_2 im Keller"}),
    listed(4),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Note = 'frost'", [1]),
        ("Note = 'FROST'", [1]),
        ("Note = 'field'", [1]),
        ("Note = 'north-field'", [1]),
        ("Note = 'morning, frost'", [2, 1]),
        ("Note = 'äpfel_2'", [3]),
        ("Note = 'äpfel'", []),
        ("Note = '[a-z]*'", []),
        ("Note != 'frost'", [4, 3, 2]),
        ("Note IS NULL", [4]),
    ],
)
def test_text_is_found_by_its_words(text: str, found: list[int]) -> None:
    assert find(text, NOTED) == found


TAGGED = [
    listed(1, {"Tags": ["red", "round"]}),
    listed(2, {"Tags": ["green"]}),
    listed(3, {"Tags": []}),
    listed(4),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Tags = 'red'", [1]),
        ("Tags = 're'", []),
        ("Tags IN ('round', 'green')", [2, 1]),
        ("Tags != 'red'", [4, 3, 2]),
        ("Tags NOT IN ('red', 'green')", [4, 3]),
        ("Tags = 'red' AND Tags = 'round'", [1]),
        ("Tags IS NULL", [4, 3]),
        ("Tags IS NOT NULL", [2, 1]),
    ],
)
def test_a_list_of_keywords_is_compared_by_what_it_contains(text: str, found: list[int]) -> None:
    assert find(text, TAGGED) == found


def test_an_attribute_that_is_one_keyword_here_and_a_list_there_is_found_as_either() -> None:
    records = [
        listed(1, {"Site": ("Keyword", "north")}),
        listed(2, {"Site": ("KeywordList", ["east", "north"])}),
    ]
    for kind in ("Keyword", "KeywordList"):
        assert find("Site = 'north'", records, {"Site": kind}) == [2, 1]


def test_an_attribute_of_another_type_is_absent() -> None:
    records = [listed(1, {"Level": ("Keyword", "5")}), listed(2, {"Level": ("Double", 5.0)})]
    assert find("Level = 5", records) == [2]
    assert find("Level IS NULL", records) == [1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Site STARTS_WITH 'nor%'", [2]),
        ("Site STARTS_WITH 'nor'", [2, 1]),
        ("Site STARTS_WITH 'Nor'", []),
        ("Site STARTS_WITH 'nortg'", []),  # what follows all such values is a value here
        ("Site NOT STARTS_WITH 'nor'", [5, 4, 3]),
        ("Site STARTS_WITH ''", [4, 3, 2, 1]),
        ("Site STARTS_WITH '\U0010ffff'", [4]),
        ("Site STARTS_WITH '\ud7ff'", [3]),
        ("Site BETWEEN 'nor' AND 'nor~'", [2, 1]),
    ],
)
def test_the_beginning_of_a_keyword(text: str, found: list[int]) -> None:
    sites = ["north", "nor%th", "\ud7ff!", "\U0010ffff\U0010ffff"]
    records = [listed(key, {"Site": site}) for key, site in enumerate(sites, 1)]
    assert find(text, [*records, listed(5)]) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Level > 5", [2]),
        ("Level != 5", [3, 2]),
        ("Level <> 5", [3, 2]),
        ("NOT Level = 5", [3, 2]),
        ("NOT Level > 5", [3, 1]),
        ("NOT Level != 5", [1]),
        ("Level NOT IN (5, 6)", [3]),
        ("Level BETWEEN 5 AND 5.5", [1]),
        ("Level NOT BETWEEN 1 AND 5", [3, 2]),
        ("NOT (Level > 5 OR Level < 5)", [3, 1]),
        ("CloseTime > 0", [1]),
        ("CloseTime != 0", [3, 2, 1]),
        ("NOT CloseTime > 0", [3, 2]),
    ],
)
def test_only_the_opposite_of_a_comparison_is_true_of_what_is_absent(text: str, found: list[int]) -> None:
    records = [listed(1, {"Level": 5}, closed_at_us=1), listed(2, {"Level": 6}), listed(3)]
    assert find(text, records) == found


def test_booleans_numbers_and_instants() -> None:
    records = [
        listed(1, {"Urgent": True, "Ratio": 0.5, "DueAt": START}),
        listed(2, {"Urgent": False, "Ratio": 2, "DueAt": START + 1}),
        listed(3, {"Ratio": float("nan")}),
    ]
    assert find("Urgent = true", records) == [1]
    assert find("Urgent != true", records) == [3, 2]
    assert find("Ratio >= 2.0", records) == [2]
    assert find("Ratio < 1e30 AND Ratio < 99999999999999999999", records) == [2, 1]
    assert find("Ratio IS NULL", records) == [3]
    assert find("DueAt <= '2026-01-31T08:00:00Z'", records) == [1]


def test_an_injection_is_a_value_like_another() -> None:
    evil = "a' OR 1=1 --"
    records = [listed(1, workflow_id=evil), listed(2), listed(3, {"it's; --": evil})]
    assert find("WorkflowId = 'a'' OR 1=1 --'", records) == [1]
    assert find("`it's; --` = 'a'' OR 1=1 --' ORDER BY `it's; --` DESC", records) == [3]
    assert count("GROUP BY `it's; --`", records) == {(None,): 2, (evil,): 1}


def test_no_value_and_no_name_is_in_the_text_of_the_statement() -> None:
    compiled = parse("WorkflowId = 'secret' AND `it's; --` IN ('secret') ORDER BY `it's; --`", TYPES).sql()
    assert "secret" not in compiled.where
    assert "it's" not in compiled.where + compiled.order_by
    assert compiled.parameters == ("secret", "it's; --", "secret")


# -- order and groups ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [4, 3, 2, 1]),
        ("ORDER BY StartTime", [1, 2, 3, 4]),
        ("ORDER BY Level", [3, 2, 1, 4]),
        ("ORDER BY Level DESC", [2, 1, 3, 4]),
        ("ORDER BY Level DESC, StartTime ASC", [1, 2, 3, 4]),
        ("Level IS NOT NULL ORDER BY Level, WorkflowId", [3, 1, 2]),
    ],
)
def test_the_order_is_complete_and_what_is_absent_comes_last(text: str, found: list[int]) -> None:
    assert (
        find(text, [listed(1, {"Level": 5}), listed(2, {"Level": 5}), listed(3, {"Level": 1}), listed(4)])
        == found
    )


def test_the_least_of_several_values_is_sorted_and_counted_by() -> None:
    records = [listed(1, {"Site": ("KeywordList", ["c", "a"])}), listed(2, {"Site": "b"})]
    assert find("ORDER BY Site", records) == [1, 2]
    assert find("ORDER BY Site DESC", records) == [2, 1]
    assert count("GROUP BY Site", records) == {("a",): 1, ("b",): 1}


def test_counts_by_group() -> None:
    records = [
        listed(1, {"Site": "north"}),
        listed(2, {"Site": "north"}, status="timed_out", workflow_type="Refund"),
        listed(3, status="continued_as_new", task_queue="back"),
    ]
    assert count("GROUP BY ExecutionStatus", records) == {
        ("Running",): 1,
        ("TimedOut",): 1,
        ("ContinuedAsNew",): 1,
    }
    assert count("GROUP BY WorkflowType", records) == {("Order",): 2, ("Refund",): 1}
    assert count("TaskQueue = 'main' GROUP BY TaskQueue", records) == {("main",): 2}
    assert count("GROUP BY Site", records) == {("north",): 2, (None,): 1}


# -- on a journal --------------------------------------------------------------------------------------


def test_the_deepest_and_the_widest_filter_are_within_what_sqlite_takes() -> None:
    leaf = "(Note = 'late frost' AND CloseTime NOT BETWEEN 1 AND 2 AND Site NOT STARTS_WITH 'a')"
    for depth in range(19):
        leaf = f"(Urgent = true {'OR' if depth % 2 else 'AND'} {leaf})"
    chain = " OR ".join(["Level=1"] * 500)
    words = " ".join(f"w{number}" for number in range(50))
    long_word = "\U00010400" * 1000
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        store.migrate(connection)
        for text in (leaf, chain, f"Note = '{words}'", f"Note = '{long_word}'"):
            assert store.select(connection, parse(text, TYPES), before_key=5) == []


async def test_a_journal_answers_with_filters() -> None:
    journal = MemoryJournal()
    records = [listed(1, {"Tags": ["red"]}), listed(2, {"Tags": ["red", "big"]}, status="failed"), listed(3)]
    await journal.commit(
        Batch(
            starts={record.key: dataclasses.replace(record.execution) for record in records},
            attributes={record.key: record.attributes for record in records},
        )
    )
    types = await journal.attribute_types()
    assert [e.key for e in await journal.select(parse("Tags = 'red'", types))] == [2, 1]
    assert [e.key for e in await journal.select(parse("ORDER BY StartTime", types), limit=2)] == [1, 2]
    assert await journal.count(parse("Tags = 'red'", types)) == [((), 2)]
    assert sorted(await journal.count(parse("GROUP BY ExecutionStatus", types))) == [
        (("Failed",), 1),
        (("Running",), 2),
    ]
