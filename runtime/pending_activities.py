"""Activities that were recorded and have no outcome yet: their attempts, retries, time limits and cancellation.

The history has the request and the outcome; what lies between is one row of the journal for each activity that has failed
or beaten, replaced each time. After a crash an activity without an outcome is attempted again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .activity_slots import ActivitySlots
from .attempts import AttemptRequest, Outcome, Reporter, not_registered
from .core import codec, retry
from .core import commands as cmd
from .core import events as ev
from .core.payload import Failure, Payload
from .core.state import PendingActivity
from .live import Incoming, LiveExecution
from .ports import AttemptRecord
from .requests import EngineClosed, NoSuchExecution

if TYPE_CHECKING:
    from .engine import Engine
    from .task_queues import TaskQueues


class PendingActivities:
    """The activities of an engine that have no outcome yet."""

    def __init__(self, engine: Engine, workers: TaskQueues) -> None:
        self._engine = engine
        self._workers = workers

    def resume(self, live: LiveExecution, ended: set[int]) -> None:
        """Go on with those of an execution that was read, except those whose outcome is in hand."""
        for activity in list(live.state.activities.values()):
            if activity.command.id in ended:
                continue
            self._go_on_with(live, activity)
            if activity.cancel_requested:
                self.cancel(live, activity.command.id)

    def serve(self, task_queue: str) -> None:
        """Other workers serve this queue now: what waited for them begins, what they do not know fails."""
        for request in self._workers.start_some(task_queue):
            self._submit_if_pending(request)

    def hand_on(self, task_queue: str, slots: ActivitySlots) -> None:
        """A worker has gone: what it did not finish is for another one."""
        for request in slots.unfinished():
            self._submit_if_pending(request)
        self.serve(task_queue)

    def hold(self, live: LiveExecution) -> None:
        """What runs ends as it will; what has not begun does not, where a pause holds it."""
        for activity in live.state.activities.values():
            if self._engine.pauses.holds_activity(live.record, activity.command.task_queue):
                self._workers.withdraw((live.record.key, activity.command.id))

    def go_on(self, live: LiveExecution) -> None:
        """Make the attempts that a pause has held; those that are due later have their alarms."""
        now_us = live.clock_us(self._engine.now_us())
        for activity in list(live.state.activities.values()):
            record = live.attempts.get(activity.command.id)
            if record is None or record.next_at_us <= now_us:
                self._dispatch(live, activity.command, activity.scheduled_at_us)

    def begin(self, live: LiveExecution, command: cmd.ScheduleActivity, scheduled_at_us: int) -> None:
        """Make the first attempt of an activity that was recorded just now."""
        if command.id in live.state.activities:
            self._watch_deadlines(live, command, scheduled_at_us)
            if not self._engine.pauses.holds_activity(
                live.record, command.task_queue
            ):  # Else `go_on` makes it.
                self._hand_to_worker(self._request(live, command, scheduled_at_us, None))

    def _go_on_with(self, live: LiveExecution, activity: PendingActivity) -> None:
        """Go on with one that was recorded earlier, perhaps in an earlier life of this process."""
        self._watch_deadlines(live, activity.command, activity.scheduled_at_us)
        self._dispatch(live, activity.command, activity.scheduled_at_us)

    def _dispatch(self, live: LiveExecution, command: cmd.ScheduleActivity, scheduled_at_us: int) -> None:
        """Make the next attempt of an activity when it is due."""
        if command.id not in live.state.activities:
            return
        record = live.attempts.get(command.id)
        request = self._request(live, command, scheduled_at_us, record)
        if record is not None and record.next_at_us > live.clock_us(self._engine.now_us()):
            self._alarm(live, record.next_at_us, lambda: self._submit_if_pending(request, live))
            self._engine.own_clocks.consider(live)
        else:
            self._submit(request)

    def _request(
        self,
        live: LiveExecution,
        command: cmd.ScheduleActivity,
        scheduled_at_us: int,
        before: AttemptRecord | None,
    ) -> AttemptRequest:
        """The next attempt, after those that `before` tells of."""
        attempt, due_us = 1, scheduled_at_us
        heartbeat: tuple[Payload, ...] = ()
        if before is not None:
            attempt = before.failures + 1
            due_us = max(before.next_at_us, scheduled_at_us)
            heartbeat = () if before.heartbeat is None else codec.decode_payloads(before.heartbeat)
        return AttemptRequest(
            execution=live.record.key,
            workflow=live.state.started,
            command=command,
            attempt=attempt,
            scheduled_at_us=scheduled_at_us,
            attempt_scheduled_at_us=due_us,
            heartbeat=heartbeat,
            key_run_id=live.state.run_that_asked(command.id),
            skipped_us=live.state.skipped_us,
        )

    def _watch_deadlines(
        self, live: LiveExecution, command: cmd.ScheduleActivity, scheduled_at_us: int
    ) -> None:
        """Give up on an activity when the timeouts over all its attempts have passed."""
        if command.schedule_to_close_s is None and command.schedule_to_start_s is None:
            return
        deadlines = (
            (command.schedule_to_close_s, "SCHEDULE_TO_CLOSE"),
            (command.schedule_to_start_s, "SCHEDULE_TO_START"),
        )
        for limit_s, timeout in deadlines:
            if limit_s is not None:
                self._alarm(
                    live,
                    scheduled_at_us + round(limit_s * 1_000_000),
                    partial(self._give_up, live, command.id, timeout),
                )

    def _alarm(self, live: LiveExecution, at_us: int, action: Callable[[], None]) -> None:
        """Do this when the execution's own clock shows `at_us`, unless it skips past it: see `look_again`."""
        self._engine.alarm(at_us - live.state.skipped_us, action)

    def look_again(self, live: LiveExecution) -> None:
        """The execution's clock has skipped: what waits for it waits no longer than it says now."""
        for activity in list(live.state.activities.values()):
            self._go_on_with(live, activity)

    def _submit_if_pending(self, request: AttemptRequest, of: LiveExecution | None = None) -> None:
        """Submit it, unless the activity has ended meanwhile or its execution was read again."""
        live = self._engine.cache.get(request.execution)
        if live is None or (of is not None and of is not live):
            return
        pending = live.state.activities.get(request.command.id)
        record = live.attempts.get(request.command.id)
        if pending is None or request.attempt != (1 if record is None else record.failures + 1):
            return
        if pending.cancel_requested:
            self.cancel(live, request.command.id)
        else:
            self._submit(request)

    def _submit(self, request: AttemptRequest) -> None:
        if self._workers.holds(request.place):
            return
        live = self._engine.cache.get(request.execution)
        if live is not None and self._engine.pauses.holds_activity(live.record, request.command.task_queue):
            return  # `go_on` makes it.
        self._hand_to_worker(request)

    def _hand_to_worker(self, request: AttemptRequest) -> None:
        if not self._workers.submit(request):
            known = self._workers.queue(request.command.task_queue).known()
            self.attempt_ended(
                request, not_registered(request.command.activity_type, known), request.heartbeat
            )

    def attempt_ended(
        self,
        request: AttemptRequest,
        outcome: Outcome,
        heartbeat: tuple[Payload, ...],
        reporter: Reporter | None = None,
    ) -> None:
        """See `attempts.Reports`."""
        live = self._engine.cache.get(request.execution)
        if live is None:
            self._keep_outcome(request, outcome, reporter)
            return
        pending = live.state.activities.get(request.command.id)
        if pending is None or not live.state.open or self._engine.closing:
            if reporter is not None:
                reporter.settle(self._too_late(live.record.workflow_id, request.command))
            return
        if isinstance(outcome, Payload):
            self._end(live, ev.ActivityCompleted(request.command.id, outcome, request.attempt), reporter)
            return
        command = request.command
        close_s = command.schedule_to_close_s
        record = live.attempts.get(command.id)
        decision = retry.after_failure(
            command.retry,
            outcome,
            attempt=request.attempt,
            now_us=live.clock_us(self._engine.now_us()),
            close_at_us=None if close_s is None else request.scheduled_at_us + round(close_s * 1_000_000),
        )
        if isinstance(decision, retry.RetryAt) and not pending.cancel_requested:
            self._retry_attempt(live, request, outcome, heartbeat, decision.at_us)
            if reporter is not None:
                self._engine.settle_with_commit(reporter.settle)
                if reporter.receipt is not None:
                    self._engine.batch.receive(reporter.receipt, live.record.key, begins=False)
        else:
            state = "CANCEL_REQUESTED"
            if isinstance(decision, retry.NoRetry) and not pending.cancel_requested:
                state = decision.state
            # The attempt before is told only here: in what is kept for the next attempt the causes would pile up.
            if outcome.kind == "timeout" and record is not None and record.failure is not None:
                outcome = replace(outcome, cause=codec.decode_failure(record.failure))
            # Temporal's server begins a retry up to a second late. So time runs out while one waits that would come soon;
            # with longer waits it sees that there is no time for the next, and the failure stands.
            soon = retry.backoff_s(command.retry or retry.DEFAULT_RULE, request.attempt) < 1.0
            repeated = record is not None and record.failure is not None
            if state == "TIMEOUT" and outcome.kind != "timeout" and repeated and soon:
                outcome = _out_of_time(outcome)
            self._end(live, ev.ActivityFailed(command.id, outcome, state, request.attempt), reporter)

    def _keep_outcome(self, request: AttemptRequest, outcome: Outcome, reporter: Reporter | None) -> None:
        """Its execution is being read again: a result waits for that; a failed attempt is made again."""
        inside = self._engine.unread.get(request.execution)
        if inside is not None and isinstance(outcome, Payload):
            body = ev.ActivityCompleted(request.command.id, outcome, request.attempt)
            inside.append(_incoming(body, reporter))
        elif reporter is not None:
            reporter.settle(self._too_late(request.workflow.workflow_id, request.command))

    def _too_late(self, workflow_id: str, command: cmd.ScheduleActivity) -> Exception:
        if self._engine.closing:
            return EngineClosed("the engine stops")
        return NoSuchExecution(
            f"activity {command.activity_id!r} of workflow {workflow_id!r} not found: it has ended"
        )

    def _retry_attempt(
        self,
        live: LiveExecution,
        request: AttemptRequest,
        failure: Failure,
        heartbeat: tuple[Payload, ...],
        at_us: int,
    ) -> None:
        activity = request.command.id
        record = AttemptRecord(
            live.record.key,
            activity,
            request.attempt,
            at_us,
            codec.encode_failure(failure),
            codec.encode_payloads(heartbeat) if heartbeat else None,
        )
        live.attempts[activity] = record
        self._engine.batch.attempts[live.record.key, activity] = record
        self._engine.after_commit(lambda: self._dispatch(live, request.command, request.scheduled_at_us))
        self._engine.wake()

    def attempt_beat(self, request: AttemptRequest, heartbeat: tuple[Payload, ...]) -> None:
        """See `attempts.Reports`."""
        live = self._engine.cache.get(request.execution)
        if live is None or not live.state.open or request.command.id not in live.state.activities:
            return
        activity = request.command.id
        last = live.attempts.get(activity)
        record = AttemptRecord(
            live.record.key,
            activity,
            request.attempt - 1,
            0 if last is None else last.next_at_us,
            None if last is None else last.failure,
            codec.encode_payloads(heartbeat),
        )
        live.attempts[activity] = record
        self._engine.batch.attempts[live.record.key, activity] = record
        self._engine.wake()

    def _end(
        self,
        live: LiveExecution,
        body: ev.ActivityCompleted | ev.ActivityFailed,
        reporter: Reporter | None = None,
    ) -> None:
        if live.attempts.pop(body.id, None) is not None:
            self._engine.batch.attempts[live.record.key, body.id] = None
        incoming = _incoming(body, reporter)
        pending = live.state.activities.get(body.id)
        if pending is not None and pending.command.durability:
            incoming.durability = pending.command.durability
        self._engine.give(live, incoming)

    def _give_up(self, live: LiveExecution, activity: int, timeout: str) -> None:
        pending = live.state.activities.get(activity)
        if pending is None or self._engine.cache.get(live.record.key) is not live:
            return
        attempt = self._workers.attempt((live.record.key, activity))
        record = live.attempts.get(activity)
        if timeout == "SCHEDULE_TO_START" and (attempt is not None or record is not None):
            return
        self._workers.forget((live.record.key, activity), "timed out")
        cause = None if record is None or record.failure is None else codec.decode_failure(record.failure)
        if timeout == "SCHEDULE_TO_START" or (attempt is None and record is None):
            attributes = {"timeout_type": "SCHEDULE_TO_START"}
            failure = Failure(
                kind="timeout", message="activity ScheduleToStart timeout", attributes=attributes
            )
        else:
            failure = _out_of_time(cause)
        self._end(
            live,
            ev.ActivityFailed(activity, failure, "TIMEOUT", 1 if record is None else record.failures + 1),
        )

    def cancel(self, live: LiveExecution, activity: int) -> None:
        """Ask its attempt to stop; without one it has ended as cancelled."""
        pending = live.state.activities.get(activity)
        if pending is None:
            return
        attempt = self._workers.attempt((live.record.key, activity))
        if attempt is not None and not attempt.reported:
            attempt.cancel("the workflow asked for it")
            return
        self._workers.withdraw((live.record.key, activity))
        failure = Failure(kind="canceled", message="Cancelled")
        self._end(live, ev.ActivityFailed(activity, failure, "CANCEL_REQUESTED", 0))


def _incoming(body: ev.ActivityCompleted | ev.ActivityFailed, reporter: Reporter | None) -> Incoming:
    if reporter is None:
        return Incoming(body)
    return Incoming(body, reporter.settle, reporter.receipt, kept=True)


def _out_of_time(cause: Failure | None) -> Failure:
    return Failure(
        kind="timeout",
        message="Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying",
        cause=cause,
        attributes={"timeout_type": "SCHEDULE_TO_CLOSE"},
    )
