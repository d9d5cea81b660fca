"""When the next attempt is due."""

from __future__ import annotations

from typing import Any

import pytest

from overwinter.runtime.core.payload import Failure
from overwinter.runtime.core.retry import NoRetry, RetryAt, RetryRule, after_failure, backoff_s


def failure(kind: str = "application", **attributes: Any) -> Failure:
    return Failure(message="no answer", kind=kind, attributes=attributes)


def decide(rule: RetryRule | None, of: Failure, attempt: int = 1, close_at_us: int | None = None) -> Any:
    return after_failure(rule, of, attempt=attempt, now_us=1_000_000, close_at_us=close_at_us)


def test_waits_double_from_one_second_up_to_a_hundred_by_default() -> None:
    assert [backoff_s(RetryRule(), n) for n in (1, 2, 3, 7, 8, 9, 10_000)] == [1, 2, 4, 64, 100, 100, 100]


def test_a_wait_beyond_all_numbers_is_the_longest_interval() -> None:
    assert backoff_s(RetryRule(coefficient=10.0, interval_s_max=7.0), 10**6) == 7.0


def test_an_ordinary_failure_is_retried_for_ever() -> None:
    assert decide(None, failure(), attempt=10**9) == RetryAt(101_000_000)


@pytest.mark.parametrize(
    ("rule", "of", "attempt", "state"),
    [
        (None, failure("canceled"), 1, "CANCEL_REQUESTED"),
        (None, failure("timeout", timeout_type="SCHEDULE_TO_CLOSE"), 1, "TIMEOUT"),
        (None, failure("timeout", timeout_type="SCHEDULE_TO_START"), 1, "TIMEOUT"),
        (None, failure(non_retryable=True), 1, "NON_RETRYABLE_FAILURE"),
        (RetryRule(non_retryable_types=("Broken",)), failure(type="Broken"), 1, "NON_RETRYABLE_FAILURE"),
        (RetryRule(attempts_max=3), failure(), 3, "MAXIMUM_ATTEMPTS_REACHED"),
    ],
)
def test_what_is_not_retried(rule: RetryRule | None, of: Failure, attempt: int, state: str) -> None:
    assert decide(rule, of, attempt) == NoRetry(state)


@pytest.mark.parametrize("timeout", ["START_TO_CLOSE", "HEARTBEAT"])
def test_the_timeouts_of_an_attempt_are_retried(timeout: str) -> None:
    assert decide(None, failure("timeout", timeout_type=timeout)) == RetryAt(2_000_000)


def test_an_attempt_that_could_not_begin_before_schedule_to_close_is_not_made() -> None:
    assert decide(None, failure(), close_at_us=2_000_000) == NoRetry("TIMEOUT")
    assert decide(None, failure(), close_at_us=2_000_001) == RetryAt(2_000_000)


def test_the_failure_itself_may_name_the_wait_also_none() -> None:
    assert decide(None, failure(next_retry_delay_s=30.0)) == RetryAt(31_000_000)
    assert decide(None, failure(next_retry_delay_s=0.0)) == RetryAt(1_000_000)
