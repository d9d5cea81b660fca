"""When the next attempt of an activity is due: arithmetic on given numbers."""

from __future__ import annotations

from typing import Final

from .payload import Failure
from .records import record

DELAY_S_MAX: Final = 100 * 366 * 86_400
"""No timer, timeout or backoff is longer, in seconds: a hundred years. Instants must fit into 64 bits."""


def delay_us(seconds: float) -> int:
    """The delay in microseconds: none is below zero, and none so long that instants would not fit."""
    return round(min(max(seconds, 0.0), DELAY_S_MAX) * 1_000_000)


@record
class RetryRule:
    """A retry policy as it is recorded. Defaults are Temporal's: 1 s, doubled, at most 100 s, for ever."""

    initial_s: float = 1.0
    coefficient: float = 2.0
    interval_s_max: float | None = None
    attempts_max: int = 0
    non_retryable_types: tuple[str, ...] = ()


DEFAULT_RULE = RetryRule()


@record
class RetryAt:
    """Attempt again at this instant (microseconds since the epoch)."""

    at_us: int


@record
class NoRetry:
    """The activity has failed; `state` says why no attempt follows (a `RetryState` name)."""

    state: str


def backoff_s(rule: RetryRule, attempt: int) -> float:
    """Seconds to wait after attempt number `attempt` (from 1) has failed."""
    limit = rule.interval_s_max if rule.interval_s_max is not None else rule.initial_s * 100
    try:
        wait = rule.initial_s * rule.coefficient ** (attempt - 1)
    except OverflowError:
        return limit
    return min(wait, limit)


def after_failure(
    rule: RetryRule | None, failure: Failure, *, attempt: int, now_us: int, close_at_us: int | None
) -> RetryAt | NoRetry:
    """Decide what follows the failure of attempt number `attempt`.

    `close_at_us` is the end of the schedule-to-close timeout: an attempt that could not start
    before it is not made.
    """
    rule = rule or DEFAULT_RULE
    attributes = failure.attributes
    if failure.kind == "canceled":
        return NoRetry("CANCEL_REQUESTED")
    if failure.kind == "timeout" and attributes.get("timeout_type") not in ("START_TO_CLOSE", "HEARTBEAT"):
        return NoRetry("TIMEOUT")
    if attributes.get("non_retryable"):
        return NoRetry("NON_RETRYABLE_FAILURE")
    if failure.kind == "application" and attributes.get("type") in rule.non_retryable_types:
        return NoRetry("NON_RETRYABLE_FAILURE")
    if rule.attempts_max and attempt >= rule.attempts_max:
        return NoRetry("MAXIMUM_ATTEMPTS_REACHED")
    wait = attributes.get("next_retry_delay_s")
    if not isinstance(wait, int | float):
        wait = backoff_s(rule, attempt)
    at_us = now_us + delay_us(wait)
    if close_at_us is not None and at_us >= close_at_us:
        return NoRetry("TIMEOUT")
    return RetryAt(at_us)
