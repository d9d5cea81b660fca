"""Options that workflows, activities and clients share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from overwinter.runtime import common
from overwinter.runtime.common import (
    MetricMeter,
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkerDeploymentVersion,
)

DEPTH = SearchAttributeKey.for_int("Depth")
FIELD = SearchAttributeKey.for_keyword("Field")


def validate(policy: RetryPolicy) -> None:
    policy._validate()  # pyright: ignore[reportPrivateUsage]


def test_the_default_policy_retries_without_end_after_one_second() -> None:
    policy = RetryPolicy()
    validate(policy)
    assert (policy.initial_interval, policy.backoff_coefficient) == (timedelta(seconds=1), 2.0)
    assert (policy.maximum_interval, policy.maximum_attempts, policy.non_retryable_error_types) == (
        None,
        0,
        None,
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"initial_interval": timedelta(seconds=-1)}, "Initial interval"),
        ({"backoff_coefficient": 0.5}, "Backoff coefficient"),
        ({"backoff_coefficient": float("nan")}, "Backoff coefficient"),
        ({"maximum_interval": timedelta(seconds=-1)}, "Maximum interval"),
        ({"maximum_interval": timedelta(milliseconds=5)}, "Maximum interval"),
        ({"maximum_attempts": -1}, "Maximum attempts"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_field(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=rf"{named} cannot be .*found"):
        validate(RetryPolicy(**options))


def test_intervals_are_not_checked_when_there_is_only_one_attempt() -> None:
    validate(RetryPolicy(maximum_attempts=1, backoff_coefficient=0))


def test_a_priority_key_is_a_whole_number_from_one() -> None:
    assert Priority.default == Priority() == Priority(None)
    with pytest.raises(ValueError, match="positive integer"):
        Priority(priority_key=0)
    with pytest.raises(TypeError, match="integer"):
        Priority(priority_key="high")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_search_attributes_are_sorted_and_found_by_name_and_type() -> None:
    attributes = TypedSearchAttributes([SearchAttributePair(FIELD, "north"), SearchAttributePair(DEPTH, 30)])
    assert [pair.key.name for pair in attributes] == ["Depth", "Field"]
    assert attributes[DEPTH] == 30
    assert DEPTH in attributes
    assert SearchAttributeKey.for_text("Depth") not in attributes
    assert attributes.get(SearchAttributeKey.for_text("Depth"), "none") == "none"
    with pytest.raises(KeyError):
        attributes[SearchAttributeKey.for_bool("Depth")]


def test_a_search_attribute_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="Duplicate .* Depth"):
        TypedSearchAttributes(
            [SearchAttributePair(DEPTH, 1), SearchAttributePair(SearchAttributeKey.for_text("Depth"), "x")]
        )


def test_updated_attributes_replace_those_of_the_same_name_and_leave_the_original() -> None:
    before = TypedSearchAttributes([SearchAttributePair(DEPTH, 30)])
    after = before.updated(SearchAttributePair(DEPTH, 40), SearchAttributePair(FIELD, "south"))
    assert (before[DEPTH], after[DEPTH], len(after)) == (30, 40, 2)


def test_an_update_sets_or_removes_an_attribute() -> None:
    assert (DEPTH.value_set(3).key, DEPTH.value_set(3).value) == (DEPTH, 3)
    assert DEPTH.value_unset().value is None
    assert SearchAttributeKey.for_keyword_list("Tags").origin_value_type is not list


def test_a_deployment_version_is_split_at_its_first_dot() -> None:
    version = WorkerDeploymentVersion.from_canonical_string("farm.2026.11")
    assert version == WorkerDeploymentVersion("farm", "2026.11")
    assert version.to_canonical_string() == "farm.2026.11"
    with pytest.raises(ValueError, match="must be in format <deployment_name>"):
        WorkerDeploymentVersion.from_canonical_string("farm")


def test_a_meter_without_backend_accepts_every_measurement() -> None:
    meter = MetricMeter.noop.with_additional_attributes({"field": "north"})
    meter.create_counter("a").add(1)
    meter.create_histogram("b").record(1)
    meter.create_histogram_float("c").record(1.5)
    meter.create_histogram_timedelta("d").record(timedelta(seconds=1))
    meter.create_gauge_float("f").set(0.5, {"x": 1})
    gauge = meter.create_gauge("e", "how much", "l").with_additional_attributes({"x": 1})
    assert (gauge.name, gauge.description, gauge.unit) == ("e", "how much", "l")


def test_every_listed_name_can_be_imported() -> None:
    assert all(hasattr(common, name) for name in common.__all__)
    assert sorted(common.__all__) == common.__all__
