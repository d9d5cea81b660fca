"""Activities that were recorded and have no outcome yet: their attempts, retries, time limits and cancellation.

The history has the request and the outcome; what lies between is one row of the journal for each activity that has failed
or beaten, replaced each time. After a crash an activity without an outcome is attempted again.

Alarms carry nothing but which activity they are for: what is due is looked up when they ring, so that one that has become
pointless does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .activity_slots import ActivitySlots
from .attempt_records import Progress
from .attempts import Attempt, AttemptRequest, Outcome, Place, Reporter, not_registered
from .core import codec, retry
from .core import commands as cmd
from .core import events as ev
from .core.payload import ENCODING, Failure, Payload
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

    # -- attempts that are to be made ------------------------------------------------------------------

    def resume(self, live: LiveExecution, ended: set[int]) -> None:
        """Go on with those of an execution that was read, except those whose outcome is in hand."""
        for activity in list(live.state.activities.values()):
            if activity.command.id in ended:
                continue
            self._go_on_with(live, activity)

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
        """What runs ends as it will; what has not begun does not, where a pause holds it.

        An activity without a workflow, which is paused by itself, is asked to stop when it beats.
        """
        for activity in live.state.activities.values():
            if self._engine.pauses.holds_activity(live.record, activity.command.task_queue):
                self._workers.withdraw((live.record.key, activity.command.id))
            attempt = self._engine.attempt_of(live, activity.command.id)
            if attempt is not None:
                attempt.pausing = live.is_activity and live.record.paused is not None

    def go_on(self, live: LiveExecution, activities: Sequence[PendingActivity]) -> None:
        """Make the attempts that a pause has held, as soon as they are due."""
        for activity in activities:
            attempt = self._engine.attempt_of(live, activity.command.id)
            if attempt is not None:
                attempt.pausing = False
            self._go_on_with(live, activity)

    def renew(self, live: LiveExecution, number: int) -> None:
        """The options of an activity are others: they hold for the attempt that runs, and for when the next is due."""
        pending = live.state.activities.get(number)
        if pending is None or self._engine.cache.get(live.record.key) is not live:
            return
        attempt = self._engine.attempt_of(live, number)
        record = live.attempts.get(number)
        if attempt is not None and not attempt.reported:
            attempt.limit(pending.command)
        else:
            self._workers.withdraw((live.record.key, number))
            if record is not None and record.failure is not None:
                next_at_us = _next_at_us(pending, record)
                self._keep(live, replace(record, next_at_us=next_at_us or record.next_at_us))
        self._go_on_with(live, pending)

    def begin(self, live: LiveExecution, number: int) -> None:
        """Make the first attempt of an activity that was recorded just now."""
        pending = live.state.activities.get(number)
        if pending is None:
            return
        command = pending.command
        if command.delay_s:
            self._go_on_with(live, pending)
            return
        self._watch_deadlines(live, pending)
        if not self._engine.pauses.holds_activity(live.record, command.task_queue):  # Else `go_on` makes it.
            self._hand_to_worker(self._request(live, pending, None))

    def _go_on_with(self, live: LiveExecution, pending: PendingActivity) -> None:
        """Go on with one that was recorded earlier, perhaps in an earlier life of this process."""
        self._watch_deadlines(live, pending)
        self._dispatch(live, pending.command.id)

    def _dispatch(self, live: LiveExecution, number: int) -> None:
        """Make the next attempt of an activity when it is due, unless it has ended or its execution was read again."""
        pending = live.state.activities.get(number)
        if pending is None or self._engine.cache.get(live.record.key) is not live:
            return
        if pending.cancel_requested:
            self.cancel(live, number)
            return
        request = self._request(live, pending, live.attempts.get(number))
        due_us = request.attempt_scheduled_at_us
        if due_us > pending.scheduled_at_us and due_us > live.clock_us(self._engine.now_us()):
            self._alarm(live, due_us, partial(self._dispatch, live, number))
            self._engine.own_clocks.consider(live)
        else:
            self._submit(live, request)

    def _request(
        self, live: LiveExecution, pending: PendingActivity, before: AttemptRecord | None
    ) -> AttemptRequest:
        """The next attempt, after those that `before` tells of."""
        command = pending.command
        attempt, due_us = 1, pending.due_us
        heartbeat: tuple[Payload, ...] = ()
        if before is not None:
            attempt = before.failures + 1
            due_us = max(before.next_at_us, due_us)
            heartbeat = () if before.heartbeat is None else codec.decode_payloads(before.heartbeat)
        return AttemptRequest(
            execution=live.record.key,
            workflow=live.state.started,
            command=command,
            attempt=attempt,
            scheduled_at_us=pending.scheduled_at_us,
            attempt_scheduled_at_us=due_us,
            heartbeat=heartbeat,
            key_run_id=live.state.run_that_asked(command.id),
            skipped_us=live.state.skipped_us,
        )

    def _alarm(self, live: LiveExecution, at_us: int, action: Callable[[], None]) -> None:
        """Do this when the execution's own clock shows `at_us`, unless it skips past it: see `look_again`."""
        self._engine.alarm(at_us - live.state.skipped_us, action)

    def look_again(self, live: LiveExecution) -> None:
        """The execution's clock has skipped: what waits for it waits no longer than it says now."""
        for activity in list(live.state.activities.values()):
            self._go_on_with(live, activity)

    def _submit_if_pending(self, request: AttemptRequest) -> None:
        """Submit it, unless the activity has ended meanwhile, or something about it has changed."""
        live = self._engine.cache.get(request.execution)
        pending = None if live is None else live.state.activities.get(request.command.id)
        if live is None or pending is None:
            return
        if pending.cancel_requested:
            self.cancel(live, request.command.id)
        elif pending.command != request.command or request.attempt != _number(
            live.attempts.get(request.command.id)
        ):
            self._dispatch(live, request.command.id)
        else:
            self._submit(live, request)

    def _submit(self, live: LiveExecution, request: AttemptRequest) -> None:
        if self._workers.holds(request.place):
            return
        if self._engine.pauses.holds_activity(live.record, request.command.task_queue):
            return  # `go_on` makes it.
        self._hand_to_worker(request)

    def _hand_to_worker(self, request: AttemptRequest) -> None:
        if not self._workers.submit(request):
            known = self._workers.queue(request.command.task_queue).known()
            self._ended(request, not_registered(request.command.activity_type, known), None, None)

    # -- what attempts come to -------------------------------------------------------------------------

    def attempt_ended(self, attempt: Attempt, outcome: Outcome, reporter: Reporter | None = None) -> None:
        """See `attempts.Reports`."""
        self._ended(attempt.request, outcome, attempt, reporter)

    def _ended(
        self, request: AttemptRequest, outcome: Outcome, attempt: Attempt | None, reporter: Reporter | None
    ) -> None:
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
            if live.is_activity:
                self._note_last(live, request.place, attempt, outcome)
            self._end(live, ev.ActivityCompleted(request.command.id, outcome, request.attempt), reporter)
            return
        command = pending.command
        now_us = live.clock_us(self._engine.now_us())
        decision = retry.after_failure(
            command.retry,
            outcome,
            attempt=request.attempt,
            now_us=now_us,
            close_at_us=_deadline_us(pending, "SCHEDULE_TO_CLOSE"),
        )
        record = live.attempts.get(command.id)
        if isinstance(decision, retry.RetryAt) and not pending.cancel_requested:
            progress = Progress.of(record, request.place, attempt)
            heartbeat = request.heartbeat if attempt is None else attempt.heartbeat
            self._keep(live, progress.failed(outcome, request.attempt, heartbeat, now_us, decision.at_us))
            self._engine.after_commit(partial(self._dispatch, live, command.id))
            if reporter is not None:
                self._engine.settle_with_commit(reporter.settle)
                if reporter.receipt is not None:
                    self._engine.batch.receive(reporter.receipt, live.record.key, begins=False)
            return
        state = "CANCEL_REQUESTED"
        if isinstance(decision, retry.NoRetry) and not pending.cancel_requested:
            state = decision.state
        failure = _told(outcome, request, state, _failure_of(record), alone=live.is_activity)
        if live.is_activity:
            self._note_last(live, request.place, attempt, outcome)
        self._end(live, ev.ActivityFailed(command.id, failure, state, request.attempt), reporter)

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

    def not_written(self, attempts: Mapping[Place, AttemptRecord | None]) -> None:
        """There was no room for these: write them with the next commit, unless their execution is read again."""
        for (key, number), record in attempts.items():
            live = self._engine.cache.get(key)
            if live is None:
                continue
            self._engine.batch.attempts.setdefault((key, number), record)
            self._engine.wake()
            if number in live.state.activities and live.attempts.get(number) is record is not None:
                self._engine.after_commit(partial(self._dispatch, live, number))

    def attempt_beat(self, attempt: Attempt) -> None:
        """See `attempts.Reports`."""
        request = attempt.request
        live = self._engine.cache.get(request.execution)
        if live is None or not live.state.open or request.command.id not in live.state.activities:
            return
        self._keep(live, Progress.of(live.attempts.get(request.command.id), request.place, attempt).beaten())

    def _keep(self, live: LiveExecution, record: AttemptRecord) -> None:
        live.attempts[record.activity] = record
        self._engine.batch.attempts[live.record.key, record.activity] = record
        self._engine.wake()

    def _note_last(
        self, live: LiveExecution, place: Place, attempt: Attempt | None, outcome: Outcome | None = None
    ) -> None:
        """Of an activity without a workflow it stays on record how far it came: whoever describes it wants to see more than its end."""
        progress = Progress.of(live.attempts.get(place[1]), place, attempt)
        self._keep(live, progress.over(outcome, live.clock_us(self._engine.now_us())))

    def _end(
        self,
        live: LiveExecution,
        body: ev.ActivityCompleted | ev.ActivityFailed,
        reporter: Reporter | None = None,
    ) -> None:
        if live.attempts.pop(body.id, None) is not None and not live.is_activity:
            self._engine.batch.attempts[live.record.key, body.id] = None
        incoming = _incoming(body, reporter)
        pending = live.state.activities.get(body.id)
        if pending is not None and pending.command.durability:
            incoming.durability = pending.command.durability
        self._engine.give(live, incoming)

    def closed(self, live: LiveExecution) -> None:
        """The batch has that the execution has closed: what was kept for next attempts can go."""
        key = live.record.key
        if live.is_activity:
            for number in live.state.activities:
                self._note_last(live, (key, number), self._engine.attempt_of(live, number))
            return
        for number in live.attempts:
            self._engine.batch.attempts[key, number] = None

    # -- giving up -------------------------------------------------------------------------------------

    def _watch_deadlines(self, live: LiveExecution, pending: PendingActivity) -> None:
        """Give up on an activity when the timeouts over all its attempts have passed."""
        command = pending.command
        if command.schedule_to_close_s is not None:
            self._watch_deadline(live, pending, "SCHEDULE_TO_CLOSE")
        if command.schedule_to_start_s is not None:
            self._watch_deadline(live, pending, "SCHEDULE_TO_START")

    def _watch_deadline(self, live: LiveExecution, pending: PendingActivity, timeout: str) -> None:
        due_us = _deadline_us(pending, timeout)
        if due_us is not None:
            self._alarm(live, due_us, partial(self._give_up, live, pending.command.id, timeout))

    def _give_up(self, live: LiveExecution, activity: int, timeout: str) -> None:
        pending = live.state.activities.get(activity)
        if pending is None or self._engine.cache.get(live.record.key) is not live:
            return
        due_us = _deadline_us(pending, timeout)
        if due_us is None:
            return
        if due_us > live.clock_us(self._engine.now_us()):
            self._watch_deadline(live, pending, timeout)
            return
        attempt = self._workers.attempt((live.record.key, activity))
        record = live.attempts.get(activity)
        held = live.is_activity and live.record.paused is not None
        if timeout == "SCHEDULE_TO_START" and (attempt is not None or record is not None or held):
            return
        self._workers.forget((live.record.key, activity), "timed out")
        if timeout == "SCHEDULE_TO_START" or (attempt is None and record is None and not held):
            attributes = {"timeout_type": "SCHEDULE_TO_START"}
            failure = Failure(
                kind="timeout", message="activity ScheduleToStart timeout", attributes=attributes
            )
        else:
            failure = _out_of_time(_failure_of(record), alone=live.is_activity)
        if live.is_activity:
            self._note_last(live, (live.record.key, activity), attempt)
        self._end(live, ev.ActivityFailed(activity, failure, "TIMEOUT", _number(record)))

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
        details: tuple[Payload, ...] = ()
        if live.is_activity:
            # No attempt runs that could say anything, so the details are why it was cancelled.
            details = (_text(live.state.cancel_reason or ""),)
            self._note_last(live, (live.record.key, activity), None)
        failure = Failure(kind="canceled", message="Cancelled", details=details)
        self._end(live, ev.ActivityFailed(activity, failure, "CANCEL_REQUESTED", 0))


def _text(text: str) -> Payload:
    return Payload({ENCODING: b"json/plain"}, json.dumps(text).encode())


def _incoming(body: ev.ActivityCompleted | ev.ActivityFailed, reporter: Reporter | None) -> Incoming:
    if reporter is None:
        return Incoming(body)
    return Incoming(body, reporter.settle, reporter.receipt, kept=True)


def _deadline_us(pending: PendingActivity, timeout: str) -> int | None:
    command, from_us = pending.command, pending.first_at_us
    limit_s = command.schedule_to_close_s
    if timeout == "SCHEDULE_TO_START":
        limit_s, from_us = command.schedule_to_start_s, max(from_us, pending.held_until_us)
    return None if limit_s is None else from_us + retry.delay_us(limit_s)


def _next_at_us(pending: PendingActivity, record: AttemptRecord) -> int | None:
    """When the attempt after the last one is due by the activity's options of now; None when they would allow none."""
    failure = _failure_of(record)
    assert failure is not None
    decision = retry.after_failure(
        pending.command.retry,
        failure,
        attempt=record.failures,
        now_us=record.ended_at_us,
        close_at_us=None,
    )
    return decision.at_us if isinstance(decision, retry.RetryAt) else None


def _number(record: AttemptRecord | None) -> int:
    """Of the attempt that runs, or is the next."""
    return 1 if record is None else record.failures + 1


def _failure_of(record: AttemptRecord | None) -> Failure | None:
    return None if record is None or record.failure is None else codec.decode_failure(record.failure)


def _told(
    outcome: Failure, request: AttemptRequest, state: str, before: Failure | None, *, alone: bool
) -> Failure:
    """The failure that an activity ends with. That of the attempt before is told only here: in each record it would pile up."""
    if before is None:
        return outcome
    if outcome.kind == "timeout":
        return replace(outcome, cause=before)
    # Temporal's server begins a retry up to a second late. So time runs out while one waits that would come soon;
    # with longer waits it sees that there is no time for the next, and the failure stands.
    soon = retry.backoff_s(request.command.retry or retry.DEFAULT_RULE, request.attempt) < 1.0
    return _out_of_time(outcome, alone=alone) if state == "TIMEOUT" and soon else outcome


def _out_of_time(cause: Failure | None, *, alone: bool = False) -> Failure:
    message = "activity ScheduleToClose timeout"
    if not alone:
        message = f"Not enough time to schedule next retry before {message}, giving up retrying"
    return Failure(
        kind="timeout", message=message, cause=cause, attributes={"timeout_type": "SCHEDULE_TO_CLOSE"}
    )
