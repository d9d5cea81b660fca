"""What comes after a run: the next one of its chain, by retry policy, by cron schedule, or as it asked itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from .core import commands as cmd
from .core import events as ev
from .core import retry
from .core.payload import Failure
from .core.state import ExecutionState
from .requests import ParentLink, StartRequest
from .schedules.spec import CronSchedule

Ending = cmd.CompleteWorkflow | cmd.FailWorkflow | cmd.ContinueAsNew | ev.WorkflowTimedOut


def with_next_run(
    ending: Any,
    start: ev.WorkflowStarted,
    now_us: int,
    new_run_id: Callable[[], str],
    chain_due_us: Callable[[int], int | None],
) -> Any:
    """The end of a run, naming the run that follows it when one does; any other command as it is.

    `chain_due_us` says when the execution timeout ends, for what begins now.
    """
    match ending:
        case cmd.ContinueAsNew():
            return replace(ending, new_run_id=new_run_id())
        case cmd.CompleteWorkflow() if _is_due_again(start.cron, now_us):
            return replace(ending, new_run_id=new_run_id())
        case cmd.FailWorkflow():
            wait = _retry_wait_s(start, ending.failure, now_us, chain_due_us(now_us))
            follows = not isinstance(wait, str) or _is_due_again(start.cron, now_us)
            state = wait if isinstance(wait, str) else "IN_PROGRESS"
            return replace(ending, new_run_id=new_run_id() if follows else "", retry_state=state)
        case ev.WorkflowTimedOut() if ending.timeout == "run":
            wait = _retry_wait_s(start, _TIMED_OUT, now_us, chain_due_us(now_us))
            follows = not isinstance(wait, str) or _is_due_again(start.cron, now_us)
            return replace(ending, new_run_id=new_run_id()) if follows else ending
        case _:
            return ending


_TIMED_OUT = Failure(
    kind="timeout", message="Workflow timeout", attributes={"timeout_type": "START_TO_CLOSE"}
)


def _retry_wait_s(
    start: ev.WorkflowStarted, failure: Failure, now_us: int, chain_due_us: int | None
) -> float | str:
    """Seconds until the next attempt, or the retry state that says why there is none."""
    if start.retry is None:
        return "RETRY_POLICY_NOT_SET"
    decision = retry.after_failure(
        start.retry, failure, attempt=start.attempt, now_us=now_us, close_at_us=chain_due_us
    )
    if isinstance(decision, retry.NoRetry):
        return decision.state
    return (decision.at_us - now_us) / 1_000_000


def retry_state_of_timeout(start: ev.WorkflowStarted, timed_out: ev.WorkflowTimedOut) -> str:
    """Why no attempt follows a run that took too long."""
    if timed_out.timeout == "execution":
        return "TIMEOUT"
    if start.retry is None:
        return "RETRY_POLICY_NOT_SET"
    return "MAXIMUM_ATTEMPTS_REACHED" if 0 < start.retry.attempts_max <= start.attempt else "TIMEOUT"


def next_request(ending: Ending, state: ExecutionState, now_us: int, begun_us: int) -> StartRequest:
    """What the run that follows is started with. `begun_us` is when the run that ends was started."""
    start = state.started
    first_us = begun_us + retry.delay_us(start.first_delay_s)
    common = StartRequest(
        workflow_id=start.workflow_id,
        workflow_type=start.workflow_type,
        task_queue=start.task_queue,
        args=start.args,
        execution_timeout_s=start.execution_timeout_s,
        run_timeout_s=start.run_timeout_s,
        task_timeout_s=start.task_timeout_s,
        retry=start.retry,
        memo=dict(start.memo),
        search_attributes=dict(start.search_attributes),
        headers=start.headers,
        cron=start.cron,
        parent=ParentLink.of(start),
        chain_started_us=state.chain_started_us or begun_us,
        priority_key=start.priority_key,
        fairness_key=start.fairness_key,
        fairness_weight=start.fairness_weight,
        summary=start.summary,
        details=start.details,
        schedule_id=start.schedule_id,
        concurrency_key=start.concurrency_key,
        concurrency_limit=start.concurrency_limit,
        concurrency_policy=start.concurrency_policy,
        last_result=start.last_result,
        last_failure=start.last_failure,
        clock=None if state.clock is None else state.clock.of_next_run(state.skipped_us),
    )
    match ending:
        case cmd.ContinueAsNew():
            return _continued(common, ending)
        case cmd.CompleteWorkflow():
            return replace(
                common,
                first_delay_s=cron_wait_s(start.cron, now_us, first_us),
                last_result=ending.result,
                last_failure=None,
            )
        case cmd.FailWorkflow() | ev.WorkflowTimedOut():
            failure = ending.failure if isinstance(ending, cmd.FailWorkflow) else _TIMED_OUT
            wait = _retry_wait_s(start, failure, now_us, state.chain_due_us)
            if isinstance(wait, str):
                delay_s = cron_wait_s(start.cron, now_us, first_us)
                return replace(common, first_delay_s=delay_s, last_failure=failure)
            return replace(common, attempt=start.attempt + 1, first_delay_s=wait, last_failure=failure)


def _continued(common: StartRequest, ending: cmd.ContinueAsNew) -> StartRequest:
    return replace(
        common,
        workflow_type=ending.workflow_type,
        task_queue=ending.task_queue,
        args=ending.args,
        headers=ending.headers,
        run_timeout_s=ending.run_timeout_s,
        task_timeout_s=ending.task_timeout_s,
        retry=ending.retry,
        memo=ending.memo,
        search_attributes=ending.search_attributes,
        first_delay_s=ending.backoff_s,
        last_failure=None,
    )


def _is_due_again(cron: str, now_us: int) -> bool:
    """Whether a cron schedule, if there is one, has another time; one with years comes to an end."""
    return bool(cron) and _next_time(cron, now_us) is not None


def _next_time(cron: str, now_us: int, since_us: int | None = None) -> datetime | None:
    since = None if since_us is None else datetime.fromtimestamp(since_us / 1_000_000, UTC)
    return CronSchedule(cron).next_after(datetime.fromtimestamp(now_us / 1_000_000, UTC), since=since)


def cron_wait_s(cron: str, now_us: int, since_us: int | None = None) -> float:
    """Seconds until a cron schedule is next due; `since_us` is when it was due last.

    Raises:
        ValueError: it is no cron schedule, or is never due.
    """
    due = _next_time(cron, now_us, since_us)
    if due is None:
        raise ValueError(f"cron schedule {cron!r} is never due: write one such as '0 6 * * *'")
    return (due - datetime.fromtimestamp(now_us / 1_000_000, UTC)).total_seconds()
