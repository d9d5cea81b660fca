"""Retry policies as authors write them, and as they are recorded."""

from __future__ import annotations

from datetime import timedelta

from .common import ConcurrencyKey, Priority, RetryPolicy
from .core.events import WorkflowStarted
from .core.retry import DEFAULT_RULE, RetryRule


def rule_of(policy: RetryPolicy | None) -> RetryRule | None:
    """The record of a policy.

    Raises:
        ValueError: the policy contradicts itself.
    """
    if policy is None:
        return None
    policy._validate()  # noqa: SLF001 - the SDK's name for it; the policy is checked where it is used
    return RetryRule(
        initial_s=policy.initial_interval.total_seconds(),
        coefficient=policy.backoff_coefficient,
        interval_s_max=None if policy.maximum_interval is None else policy.maximum_interval.total_seconds(),
        attempts_max=policy.maximum_attempts,
        non_retryable_types=tuple(policy.non_retryable_error_types or ()),
    )


def policy_of(rule: RetryRule | None) -> RetryPolicy | None:
    """The policy of a record."""
    if rule is None:
        return None
    return RetryPolicy(
        initial_interval=timedelta(seconds=rule.initial_s),
        backoff_coefficient=rule.coefficient,
        maximum_interval=None if rule.interval_s_max is None else timedelta(seconds=rule.interval_s_max),
        maximum_attempts=rule.attempts_max,
        non_retryable_error_types=list(rule.non_retryable_types) or None,
    )


def policy_in_effect(rule: RetryRule | None) -> RetryPolicy:
    """The policy by which attempts are made, with all that was left open."""
    rule = rule or DEFAULT_RULE
    policy = policy_of(rule)
    assert policy is not None
    if rule.interval_s_max is None:
        policy.maximum_interval = 100 * policy.initial_interval
    return policy


def parts_of(concurrency: ConcurrencyKey | None) -> tuple[str, int, int]:
    """The recorded parts of a concurrency key: the key, its limit, and what happens when that is reached."""
    return (
        ("", 0, 0) if concurrency is None else (concurrency.key, concurrency.limit, int(concurrency.policy))
    )


def priority_of(key: int, fairness_key: str, weight: float) -> Priority:
    """The priority of its recorded parts."""
    return Priority(
        priority_key=key or None, fairness_key=fairness_key or None, fairness_weight=weight or None
    )


def inherited(priority: Priority | None, start: WorkflowStarted) -> tuple[int, str, float]:
    """The recorded parts of a priority; those that it leaves open are those of the workflow."""
    given = priority or Priority.default
    return (
        given.priority_key or start.priority_key,
        given.fairness_key or start.fairness_key,
        given.fairness_weight or start.fairness_weight,
    )
