"""Schedules as they are stored."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import client as sdk

from overwinter.runtime import schedules as ours
from overwinter.runtime import workflow
from overwinter.runtime.common import (
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.schedules.codec import schedule_from_json, schedule_to_json
from overwinter.runtime.schedules.types import (
    Schedule,
    ScheduleAction,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleInfo,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, 5, tzinfo=UTC)
ATTRIBUTES = TypedSearchAttributes(
    [
        SearchAttributePair(SearchAttributeKey.for_keyword("Field"), "north"),
        SearchAttributePair(SearchAttributeKey.for_datetime("Sown"), NOW),
        SearchAttributePair(SearchAttributeKey.for_keyword_list("Crops"), ["oats", "rye"]),
        SearchAttributePair(SearchAttributeKey.for_float("Slope"), 0.5),
        SearchAttributePair(SearchAttributeKey.for_bool("Organic"), True),
    ]
)


def encode(values: Sequence[Any]) -> tuple[Payload, ...]:
    return tuple(DataConverter.default.payload_converter.to_payloads(values))


def stored(schedule: Schedule) -> Schedule:
    return schedule_from_json(json.loads(json.dumps(schedule_to_json(schedule, encode))))


def full() -> Schedule:
    action = ScheduleActionStartWorkflow(
        "Water",
        args=["north", 3, None, b"\x00\xff"],
        id="water",
        task_queue="farm",
        execution_timeout=timedelta(hours=1),
        run_timeout=timedelta(microseconds=1),
        task_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(
            timedelta(seconds=2), 1.5, timedelta(minutes=1), 4, non_retryable_error_types=["Dry"]
        ),
        memo={"why": {"soil": 0.2}},
        typed_search_attributes=ATTRIBUTES,
        static_summary="waters",
        static_details="the **north** field",
        headers={"trace": Payload({"encoding": b"binary/plain"}, b"1")},
        priority=Priority(priority_key=2, fairness_key="north", fairness_weight=0.5),
    )
    spec = ScheduleSpec(
        calendars=[ScheduleCalendarSpec(hour=(ScheduleRange(6, 20, 2),), comment="by day")],
        intervals=[
            ScheduleIntervalSpec(timedelta(hours=3), timedelta(minutes=1)),
            ScheduleIntervalSpec(timedelta(1)),
        ],
        cron_expressions=["@daily"],
        skip=[ScheduleCalendarSpec(year=(ScheduleRange(2030),))],
        start_at=NOW,
        end_at=NOW + timedelta(days=9),
        jitter=timedelta(seconds=7),
        time_zone_name="Europe/Berlin",
    )
    policy = SchedulePolicy(ScheduleOverlapPolicy.BUFFER_ALL, timedelta(hours=2), pause_on_failure=True)
    return Schedule(action, spec, policy, ScheduleState("spring", True, True, 7))


def test_a_stored_schedule_is_the_same_with_payloads_for_values() -> None:
    given, found = full(), stored(full())
    assert (found.spec, found.policy, found.state) == (given.spec, given.policy, given.state)
    action, found_action = given.action, found.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    assert isinstance(found_action, ScheduleActionStartWorkflow)
    action.args = list(encode(action.args))
    action.memo = {"why": encode([{"soil": 0.2}])[0]}
    assert found_action == action


def test_a_described_schedule_is_stored_as_it_is() -> None:
    assert stored(stored(full())) == stored(full())


def test_the_least_schedule_is_stored() -> None:
    action = ScheduleActionStartWorkflow("Water", id="water", task_queue="farm")
    found = stored(Schedule(action, ScheduleSpec()))
    assert found == Schedule(dataclasses.replace(action, args=[]), ScheduleSpec())


def test_untyped_attributes_become_typed_ones_and_give_way_to_them() -> None:
    action = ScheduleActionStartWorkflow(
        "Water",
        id="water",
        task_queue="farm",
        typed_search_attributes=ATTRIBUTES,
        untyped_search_attributes={"Field": ["south"], "Rows": [4]},
    )
    found = stored(Schedule(action, ScheduleSpec())).action
    assert isinstance(found, ScheduleActionStartWorkflow)
    assert found.typed_search_attributes == ATTRIBUTES.updated(
        SearchAttributePair(SearchAttributeKey.for_int("Rows"), 4)
    )


def test_a_summary_that_is_a_payload_stays_one() -> None:
    summary = encode(["waters"])[0]
    action = ScheduleActionStartWorkflow("Water", id="water", task_queue="farm", static_summary=summary)
    found = stored(Schedule(action, ScheduleSpec())).action
    assert isinstance(found, ScheduleActionStartWorkflow)
    assert found.static_summary == summary


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(TypeError, match="expected ScheduleActionStartWorkflow"):
        schedule_to_json(Schedule(ScheduleAction(), ScheduleSpec()), encode)


# -- the types ------------------------------------------------------------------------------------------


@workflow.defn(name="Watering")
class Water:
    @workflow.run
    async def run(self, field: str) -> None: ...


def test_an_action_names_its_workflow_by_its_run_method() -> None:
    action = ScheduleActionStartWorkflow(Water.run, "north", id="water", task_queue="farm")
    assert (action.workflow, list(action.args)) == ("Watering", ["north"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"id": "", "task_queue": "q"}, "ID required"),
        ({"id": "i", "task_queue": ""}, "Task queue required"),
        ({"id": "i", "task_queue": "q", "arg": 1, "args": [2]}, "arg and args"),
    ],
)
def test_an_action_that_lacks_something_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ScheduleActionStartWorkflow("Water", **options)


def test_a_range_ends_where_it_starts_and_counts_by_one_by_default() -> None:
    assert ScheduleRange(5) == ScheduleRange(5, 5, 1) == ScheduleRange(5, 3, 0)


async def test_a_description_reads_its_memo() -> None:
    nothing = ScheduleInfo(0, 0, 0, [], [], [], NOW, None)
    found = ScheduleDescription(
        "s", full(), nothing, ATTRIBUTES, {}, DataConverter.default, {"why": encode(["dry"])[0]}
    )
    assert await found.memo() == {"why": "dry"}
    assert await found.memo_value("why", type_hint=str) == "dry"
    assert await found.memo_value("else", None) is None
    with pytest.raises(KeyError):
        await found.memo_value("else")


TYPES = [
    "Schedule",
    "ScheduleActionExecutionStartWorkflow",
    "ScheduleActionResult",
    "ScheduleActionStartWorkflow",
    "ScheduleBackfill",
    "ScheduleCalendarSpec",
    "ScheduleDescription",
    "ScheduleInfo",
    "ScheduleIntervalSpec",
    "ScheduleListActionStartWorkflow",
    "ScheduleListDescription",
    "ScheduleListInfo",
    "ScheduleListSchedule",
    "ScheduleListState",
    "SchedulePolicy",
    "ScheduleRange",
    "ScheduleSpec",
    "ScheduleState",
    "ScheduleUpdate",
    "ScheduleUpdateInput",
]


OURS = {"concurrency"}
"""Fields that the SDK has not."""


def shape(of: type) -> list[tuple[str, str, str]]:
    return [
        (field.name, _default(field), "" if field.init else "not given")
        for field in dataclasses.fields(of)
        if not field.name.startswith(("raw_", "_")) and field.name not in OURS
    ]


def _default(field: Any) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory()).replace("<ScheduleOverlapPolicy.SKIP: 1>", "1")
    return (
        ""
        if field.default is dataclasses.MISSING
        else repr(field.default).replace("<ScheduleOverlapPolicy.SKIP: 1>", "1")
    )


@pytest.mark.parametrize("name", TYPES)
def test_a_type_has_the_fields_and_defaults_of_the_sdks(name: str) -> None:
    assert shape(getattr(ours, name)) == shape(getattr(sdk, name))


def test_overlap_policies_have_the_numbers_of_the_sdks() -> None:
    assert {each.name: int(each) for each in ScheduleOverlapPolicy} == {
        each.name: int(each) for each in sdk.ScheduleOverlapPolicy
    }


def test_the_longest_duration_comes_back() -> None:
    action = ScheduleActionStartWorkflow("Irrigate", id="irrigate", task_queue="farm")
    longest = Schedule(
        action,
        ScheduleSpec(cron_expressions=["0 6 * * *"]),
        policy=SchedulePolicy(catchup_window=timedelta.max),
    )
    assert stored(longest).policy.catchup_window == timedelta.max
