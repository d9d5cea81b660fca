"""What workflow code may know: its identity, its time, its random numbers, its log."""

from __future__ import annotations

import random as _random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from .. import identifiers
from ..common import Priority, RetryPolicy, WorkerDeploymentVersion
from ..converter import PayloadConverter
from ..core.instance import Instance
from ..core.payload import Payload
from ..core.records import dataclass
from ..metrics import MetricMeter
from ..retry_policy import policy_of, priority_of
from ..search_attributes import (
    SearchAttributes,
    SearchAttributeUpdate,
    TypedSearchAttributes,
    attributes_of,
    recorded,
    typed,
    untyped,
)
from ..values import ConvertedValues
from ._arguments import UNSET
from ._current import current
from ._intercepting import outbound_of


@dataclass(frozen=True)
class ParentInfo:
    """The execution that started this one as its child."""

    namespace: str
    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class RootInfo:
    """The execution at the top of the tree of parents."""

    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class Info:
    """What an execution is. It does not change while it runs, but for what its methods return."""

    attempt: int
    continued_run_id: str | None
    cron_schedule: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    headers: Mapping[str, Payload]
    namespace: str
    original_execution_run_id: str
    """The run that this one came from by a reset; this run when there was none."""
    parent: ParentInfo | None
    root: RootInfo | None
    priority: Priority
    raw_memo: Mapping[str, Payload]
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    search_attributes: SearchAttributes
    """The older form of `typed_search_attributes`."""
    start_time: datetime
    task_queue: str
    task_timeout: timedelta
    typed_search_attributes: TypedSearchAttributes
    workflow_id: str
    workflow_start_time: datetime
    workflow_type: str

    def get_current_history_length(self) -> int:
        """How many events the history has, with those that this activation was given, but for its updates."""
        return current().history_length

    def get_current_history_size(self) -> int:
        """How many bytes they have."""
        return current().history_bytes()

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the history is long enough that a fresh run would be cheaper to replay."""
        instance = current()
        return instance.history_length >= 4096 or instance.history_bytes() >= 4 * 1024 * 1024

    def is_target_worker_deployment_version_changed(self) -> bool:
        """False: code is not deployed by version here."""
        return False

    def get_current_build_id(self) -> str:
        """The build id of the worker that runs this; empty when it has none. It is not recorded: do not decide by it."""
        version = self.get_current_deployment_version()
        build_id: str = current().extras.get("build_id", "")
        return build_id if version is None else version.build_id

    def get_current_deployment_version(self) -> WorkerDeploymentVersion | None:
        """The version of the worker that runs this, as its `deployment_config` says. It is not recorded, as the build id."""
        config = current().extras.get("deployment")
        return None if config is None else config.version

    def _logger_details(self) -> dict[str, Any]:
        return {
            "attempt": self.attempt,
            "namespace": self.namespace,
            "run_id": self.run_id,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_type": self.workflow_type,
        }


def info() -> Info:
    """What the running execution is."""
    return outbound_of(current()).info()


def own_info(instance: Instance) -> Info:
    """What this execution is."""
    found: Info | None = instance.extras.get("info")
    if found is None:
        found = instance.extras["info"] = _info_of(instance)
    elif instance.extras.pop("attributes_changed", False):
        found = instance.extras["info"] = replace(
            found,
            search_attributes=untyped(instance.search_attributes),
            typed_search_attributes=typed(instance.search_attributes),
        )
    return found


def _info_of(instance: Instance) -> Info:
    start = instance.start
    began = datetime.fromtimestamp((instance.started_at_us or instance.now_us) / 1_000_000, UTC)
    return Info(
        attempt=start.attempt,
        continued_run_id=start.continued_run_id or None,
        cron_schedule=start.cron or None,
        execution_timeout=_duration(start.execution_timeout_s),
        first_execution_run_id=start.first_run_id,
        headers=start.headers,
        namespace="default",
        original_execution_run_id=start.original_run_id or start.run_id,
        parent=ParentInfo("default", start.parent_run_id, start.parent_workflow_id)
        if start.parent_run_id
        else None,
        root=RootInfo(start.root_run_id, start.root_workflow_id) if start.root_run_id else None,
        priority=priority_of(start.priority_key, start.fairness_key, start.fairness_weight),
        raw_memo=start.memo,
        retry_policy=policy_of(start.retry),
        run_id=start.run_id,
        run_timeout=_duration(_shorter(start.run_timeout_s, start.execution_timeout_s)),
        search_attributes=untyped(instance.search_attributes),
        start_time=began,
        task_queue=start.task_queue,
        task_timeout=_duration(start.task_timeout_s) or timedelta(seconds=10),
        typed_search_attributes=typed(instance.search_attributes),
        workflow_id=start.workflow_id,
        workflow_start_time=began,
        workflow_type=start.workflow_type,
    )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def now() -> datetime:
    """The time of this activation, in UTC; it stands still until something else happens."""
    return datetime.fromtimestamp(current().now_us / 1_000_000, UTC)


def time() -> float:
    """The time of this activation, in seconds since the epoch."""
    return time_ns() / 1e9  # To the last bit what programs make of the nanoseconds.


def time_ns() -> int:
    """The time of this activation, in nanoseconds since the epoch."""
    return current().now_us * 1000


def random() -> _random.Random:
    """The execution's own random numbers, the same in every replay."""
    instance = current()
    instance.require_writable("random")
    source: _random.Random | None = instance.extras.get("random")
    if source is None:
        source = instance.extras["random"] = _random.Random(instance.random_seed)
    return source


def random_seed() -> int:
    """The number that the execution's random numbers come from; a reset changes it."""
    return current().random_seed


def new_random(name: str | None = None) -> _random.Random:
    """Random numbers of one's own, apart from those of `random`: the same in every replay, other ones after a reset.

    With a `name` they depend on it and not on the order of calls.
    """
    instance = current()
    instance.require_writable("register random seed callback")
    seed = f"{instance.random_seed}:{name}" if name is not None else random().getrandbits(64)
    source = _random.Random(seed)
    register_random_seed_callback(lambda new: source.seed(f"{new}:{name}" if name is not None else new))
    return source


def register_random_seed_callback(callback: Callable[[int], None]) -> None:
    """Call this with the new seed when a reset changes it."""
    instance = current()
    instance.require_writable("register random seed callback")
    instance.extras.setdefault("seed_callbacks", []).append(callback)


def uuid4() -> uuid.UUID:
    """A random identifier, the same in every replay."""
    return uuid.UUID(bytes=random().getrandbits(128).to_bytes(16, "big"), version=4)


def uuid7() -> uuid.UUID:
    """A random identifier that sorts by the workflow's time, the same in every replay."""
    return identifiers.uuid7(current().now_us, random().getrandbits)


# -- memo and search attributes ----------------------------------------------------------------------------


def memo() -> Mapping[str, Any]:
    """The memo's values, without type hints."""
    instance = current()
    return {name: instance.values.decode([value], None)[0] for name, value in instance.memo.items()}


def memo_value(key: str, default: Any = UNSET, *, type_hint: type | None = None) -> Any:
    """One of the memo's values.

    Raises:
        KeyError: there is none, and no default was given.
    """
    instance = current()
    payload = instance.memo.get(key)
    if payload is None:
        if default is UNSET:
            raise KeyError(f"Memo does not have a value for key {key}")
        return default
    return instance.values.decode([payload], None if type_hint is None else [type_hint])[0]


def _shorter(one_s: float | None, other_s: float | None) -> float | None:
    return min((limit_s for limit_s in (one_s, other_s) if limit_s is not None), default=None)


def upsert_memo(updates: Mapping[str, Any], *, event_groups: Sequence[Any] | None = None) -> None:
    """Change the memo; a value of None removes its key."""
    del event_groups
    instance = current()
    instance.require_writable("add command")
    if not updates:
        return
    encoded = {name: instance.values.encode([value])[0] for name, value in updates.items()}
    instance.upsert_memo(encoded, [name for name, value in updates.items() if value is None])


def upsert_search_attributes(
    attributes: SearchAttributes | Sequence[SearchAttributeUpdate[Any]],
    *,
    event_groups: Sequence[Any] | None = None,
) -> None:
    """Change the attributes by which this execution is found.

    Raises:
        ValueError: there is an attribute twice in it.
        TypeError: a value does not have its attribute's type.
    """
    del event_groups
    instance = current()
    instance.require_writable("add command")
    if not attributes:
        return
    if isinstance(attributes, Mapping):
        changed = attributes_of(attributes)
    else:
        changed = {update.key.name: recorded(update.key, update.value) for update in attributes}
        if len(changed) != len(attributes):
            raise ValueError("Duplicate search attribute keys: give each attribute once")
    instance.upsert_search_attributes(changed)
    instance.extras["attributes_changed"] = True


# -- what came before, and what a reader sees ------------------------------------------------------------------


def has_last_completion_result() -> bool:
    """Whether an earlier run of this chain (a cron schedule, or a schedule) has completed."""
    return current().start.last_result is not None


def get_last_completion_result(type_hint: type | None = None) -> Any | None:
    """The result of the last run of this chain that completed; None when none has."""
    instance = current()
    if instance.start.last_result is None:
        return None
    return instance.values.decode([instance.start.last_result], None if type_hint is None else [type_hint])[0]


def get_last_failure() -> BaseException | None:
    """Why the run before this one failed; None when it did not."""
    instance = current()
    failure = instance.start.last_failure
    return None if failure is None else instance.values.error_of(failure)


def get_current_details() -> str:
    """What the workflow last said about itself."""
    return current().details


def set_current_details(description: str) -> None:
    """Say what the workflow is doing, for a reader of its page; not recorded."""
    instance = current()
    instance.require_writable("set current details")
    instance.details = description


def is_failure_exception(err: BaseException) -> bool:
    """Whether this exception would fail the workflow; any other would block it as a bug."""
    return current().is_failure(err)


def payload_converter() -> PayloadConverter:
    """The converter of this execution's values."""
    values = current().values
    assert isinstance(values, ConvertedValues)
    return values.payloads


def extern_functions() -> Mapping[str, Callable[..., Any]]:
    """Functions that an interceptor has made available."""
    found: Mapping[str, Callable[..., Any]] = current().extras.get("extern_functions", {})
    return found


def metric_meter() -> MetricMeter:
    """Metrics of this execution, with its type, task queue and namespace as labels; silent in replay. See `runtime.Runtime`."""
    instance = current()
    meter: MetricMeter | None = instance.extras.get("metric_meter")
    if meter is None:
        make: Callable[[Instance], MetricMeter] | None = instance.extras.get("make_metric_meter")
        meter = instance.extras["metric_meter"] = MetricMeter.noop if make is None else make(instance)
    return meter


def cancellation_reason() -> str | None:
    """Why the cancellation of this workflow was asked for; None when it was not."""
    return current().cancel_reason


def instance() -> Any:
    """The running workflow's own object."""
    return current().workflow_object
