"""Options and small values that workflows, activities, clients and workers share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any, ClassVar

from .core.payload import Payload
from .core.records import dataclass
from .metrics import (
    MetricAttributes,
    MetricCommon,
    MetricCounter,
    MetricGauge,
    MetricGaugeFloat,
    MetricHistogram,
    MetricHistogramFloat,
    MetricHistogramTimedelta,
    MetricMeter,
)
from .nexus import (
    NexusOperationCancellationState,
    NexusOperationExecutionStatus,
    NexusOperationIDConflictPolicy,
    NexusOperationIDReusePolicy,
    PendingNexusOperationExecutionState,
)
from .search_attributes import (
    SearchAttributeIndexedValueType,
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributes,
    SearchAttributeUpdate,
    SearchAttributeValue,
    SearchAttributeValues,
    SearchAttributeValueType,
    TypedSearchAttributes,
)

__all__ = [
    "ActivityIDConflictPolicy",
    "ActivityIDReusePolicy",
    "AutoUpgradeVersioningOverride",
    "ConcurrencyKey",
    "ConcurrencyPolicy",
    "Durability",
    "HeaderCodecBehavior",
    "MetricAttributes",
    "MetricCommon",
    "MetricCounter",
    "MetricGauge",
    "MetricGaugeFloat",
    "MetricHistogram",
    "MetricHistogramFloat",
    "MetricHistogramTimedelta",
    "MetricMeter",
    "NexusOperationCancellationState",
    "NexusOperationExecutionStatus",
    "NexusOperationIDConflictPolicy",
    "NexusOperationIDReusePolicy",
    "OneTimeVersioningOverride",
    "PendingNexusOperationExecutionState",
    "PinnedVersioningOverride",
    "Priority",
    "QueryRejectCondition",
    "RawValue",
    "RetryPolicy",
    "SearchAttributeIndexedValueType",
    "SearchAttributeKey",
    "SearchAttributePair",
    "SearchAttributeUpdate",
    "SearchAttributeValue",
    "SearchAttributeValueType",
    "SearchAttributeValues",
    "SearchAttributes",
    "TypedSearchAttributes",
    "VersioningBehavior",
    "VersioningOverride",
    "WorkerDeploymentVersion",
    "WorkflowIDConflictPolicy",
    "WorkflowIDReusePolicy",
]


arg_unset: Any = object()
"""Stands for an argument that was not given, where None is a value."""


@dataclass
class RetryPolicy:
    """When and how often a failed attempt is followed by another."""

    initial_interval: timedelta = timedelta(seconds=1)
    """The wait after the first failed attempt."""

    backoff_coefficient: float = 2.0
    """Each wait is the one before times this."""

    maximum_interval: timedelta | None = None
    """No wait is longer; None means 100 times the initial interval."""

    maximum_attempts: int = 0
    """Attempts in all, the first included; 0 means no limit."""

    non_retryable_error_types: Sequence[str] | None = None
    """`ApplicationError.type` names (by default the class name of what was raised) that end the attempts."""

    @staticmethod
    def from_proto(proto: Any) -> RetryPolicy:
        """The policy of a message such as `temporalio.api.common.v1.RetryPolicy`."""
        return RetryPolicy(
            initial_interval=proto.initial_interval.ToTimedelta(),
            backoff_coefficient=proto.backoff_coefficient,
            maximum_interval=proto.maximum_interval.ToTimedelta()
            if proto.HasField("maximum_interval")
            else None,
            maximum_attempts=proto.maximum_attempts,
            non_retryable_error_types=list(proto.non_retryable_error_types) or None,
        )

    def apply_to_proto(self, proto: Any) -> None:
        """Fill in a message such as `temporalio.api.common.v1.RetryPolicy`.

        Raises:
            ValueError: the policy makes no sense.
        """
        self._validate()
        proto.initial_interval.FromTimedelta(self.initial_interval)
        proto.backoff_coefficient = self.backoff_coefficient
        proto.maximum_interval.FromTimedelta(self.maximum_interval or 100 * self.initial_interval)
        proto.maximum_attempts = self.maximum_attempts
        if self.non_retryable_error_types:
            proto.non_retryable_error_types.extend(self.non_retryable_error_types)

    def _validate(self) -> None:
        """Refuse a policy that makes no sense.

        Raises:
            ValueError: naming the field, what was found and what is expected.
        """
        if self.maximum_attempts == 1:
            return  # There is no second attempt, so the intervals mean nothing.
        if self.initial_interval < timedelta():
            raise ValueError(f"Initial interval cannot be negative, found {self.initial_interval}")
        if not self.backoff_coefficient >= 1:
            raise ValueError(f"Backoff coefficient cannot be less than 1, found {self.backoff_coefficient}")
        if self.maximum_interval is not None and self.maximum_interval < timedelta():
            raise ValueError(f"Maximum interval cannot be negative, found {self.maximum_interval}")
        # Zero stands for "not set", as in the policies that Temporal stores.
        if self.maximum_interval and self.maximum_interval < self.initial_interval:
            raise ValueError(
                "Maximum interval cannot be less than initial interval, "
                f"found {self.maximum_interval} and {self.initial_interval}"
            )
        if self.maximum_attempts < 0:
            raise ValueError(
                f"Maximum attempts cannot be negative, found {self.maximum_attempts}; 0 is no limit"
            )


class WorkflowIDReusePolicy(IntEnum):
    """Whether a workflow id may be used again once its execution has closed."""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4


class WorkflowIDConflictPolicy(IntEnum):
    """What a start does when an execution with its workflow id is open."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


class ActivityIDReusePolicy(IntEnum):
    """Whether the id of an activity outside a workflow may be used again once it has closed."""

    UNSPECIFIED = 0
    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3


class ActivityIDConflictPolicy(IntEnum):
    """What a start does when an activity of this id, outside a workflow, is open."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2


class QueryRejectCondition(IntEnum):
    """When a query is refused by the execution's status."""

    NONE = 1
    NOT_OPEN = 2
    NOT_COMPLETED_CLEANLY = 3


class HeaderCodecBehavior(IntEnum):
    """Whether the payload codec also runs on headers."""

    NO_CODEC = 1
    CODEC = 2
    WORKFLOW_ONLY_CODEC = 3


@dataclass(frozen=True)
class RawValue:
    """A payload that is passed on as it is: not encoded when sent, not decoded when used as a type hint."""

    payload: Payload


@dataclass(frozen=True)
class Priority:
    """What goes first when there is more work than workers.

    What is None is that of the workflow which asks for the activity or child.

    Raises:
        TypeError, ValueError: `priority_key` is not a whole number of 1 or more, or `fairness_key` is too long.
    """

    priority_key: int | None = None
    """1 goes first, 5 last; None counts as 3."""

    fairness_key: str | None = None
    """What waits is taken from the keys in turns, in proportion to their weights; at most 64 bytes."""

    fairness_weight: float | None = None
    """The share of this key, from 0.001 to 1000; None counts as 1."""

    default: ClassVar[Priority]
    """Nothing set."""

    def __post_init__(self) -> None:
        if len((self.fairness_key or "").encode()) > 64:
            raise ValueError(f"fairness_key {self.fairness_key!r} has more than 64 bytes")
        if self.priority_key is None:
            return
        if not isinstance(self.priority_key, int):  # pyright: ignore[reportUnnecessaryIsInstance] - unchecked callers
            raise TypeError(f"priority_key must be an integer, found {self.priority_key!r}")
        if self.priority_key < 1:
            raise ValueError(f"priority_key must be a positive integer, found {self.priority_key}")


Priority.default = Priority()


class ConcurrencyPolicy(IntEnum):
    """What a start does when as many executions of its concurrency key run as its limit allows."""

    WAIT = 1
    """It is accepted, and begins when one of them has ended: by priority, then in the order of the starts."""
    JOIN = 2
    """Nothing is started; the caller gets the one that began first."""
    REPLACE = 3
    """It is accepted, and begins when as many as needed have ended: those that began first are asked to cancel, those
    that wait are cancelled at once."""
    REFUSE = 4
    """Nothing is started; `ConcurrencyKeyTakenError` is raised."""


class Durability(IntEnum):
    """When what a workflow or an activity has done is safe from a power cut. A killed process loses nothing of any class."""

    NOW = 1
    """At once, in a commit of its own: it waits for no others."""
    GROUPED = 2
    """With what else is to be committed; the usual one. Nothing goes on before."""
    LAZY = 3
    """It goes on before. A power cut may lose what was done in the last moments, as long as the gateway's `lazy_window` says:
    then it is done again, or comes again. Whoever is answered, is answered when it is safe."""


@dataclass(frozen=True)
class ConcurrencyKey:
    """Of the executions with one key, whatever their ids and types, at most `limit` run at a time.

    An execution counts from when it begins until the last run of its chain has closed: while it sleeps, between retries
    and cron runs, and when its code is blocked.

    Raises:
        ValueError: the key is empty or longer than 255 characters, or the limit less than 1.
    """

    key: str
    limit: int = 1
    policy: ConcurrencyPolicy = ConcurrencyPolicy.WAIT

    def __post_init__(self) -> None:
        if not 0 < len(self.key) <= 255:
            raise ValueError(
                f"ConcurrencyKey.key has {len(self.key)} characters, expected 1 to 255: {self.key[:40]!r}"
            )
        if self.limit < 1:
            raise ValueError(f"ConcurrencyKey.limit is {self.limit}, expected 1 or more")


class VersioningBehavior(IntEnum):
    """What an open execution does when a new version of its worker comes."""

    UNSPECIFIED = 0
    PINNED = 1
    AUTO_UPGRADE = 2


@dataclass(frozen=True)
class WorkerDeploymentVersion:
    """A version of a worker: the deployment's name and the build."""

    deployment_name: str
    build_id: str

    def to_canonical_string(self) -> str:
        """The name and the build with a dot between."""
        return f"{self.deployment_name}.{self.build_id}"

    @staticmethod
    def from_canonical_string(canonical: str) -> WorkerDeploymentVersion:
        """The version that `to_canonical_string` wrote; the name ends at the first dot.

        Raises:
            ValueError: there is no dot.
        """
        name, dot, build = canonical.partition(".")
        if not dot:
            raise ValueError(
                f"Cannot parse version string: {canonical}, must be in format <deployment_name>.<build_id>"
            )
        return WorkerDeploymentVersion(name, build)


class VersioningOverride:
    """Replaces the versioning behavior of one execution."""


@dataclass(frozen=True)
class PinnedVersioningOverride(VersioningOverride):
    """The execution stays on this version."""

    version: WorkerDeploymentVersion


@dataclass(frozen=True)
class AutoUpgradeVersioningOverride(VersioningOverride):
    """The execution follows the current version."""


@dataclass(frozen=True)
class OneTimeVersioningOverride(VersioningOverride):
    """The execution moves to this version once, then behaves as its workflow says."""

    target_version: WorkerDeploymentVersion
