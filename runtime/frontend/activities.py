"""The calls to activities, as an engine answers them: to those that no workflow asked for, and to those that someone else completes.

The former are executions of their own, see `core.standalone`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from ..attempts import PAUSED, Attempt, Reporter
from ..core import codec
from ..core import events as ev
from ..core.commands import ScheduleActivity
from ..core.events import ActivityCompleted, ActivityFailed, ActivityOptionsUpdated, Closing, Event
from ..core.payload import Attribute, Failure, Payload
from ..core.standalone import NUMBER, prefixed, with_limits
from ..core.state import PendingActivity, with_options
from ..exceptions import ActivityAlreadyStartedError
from ..ports import OPEN, AttemptRecord, ExecutionRecord
from ..requests import AlreadyRunning, NoSuchExecution, Once, StartRequest, receipt
from ..service import RPCError, RPCStatusCode
from .calls import EngineCalls
from .errors import translated
from .records import ActivityById, ActivityCancelled, ActivityDetails, Begun

OPTIONS = (
    "task_queue",
    "schedule_to_close_s",
    "schedule_to_start_s",
    "start_to_close_s",
    "heartbeat_s",
    "retry",
    "priority_key",
    "fairness_key",
    "fairness_weight",
    "delay_s",
)
"""What of an activity can be changed once it has begun, by the names of `ActivityOptionsUpdated`."""


class ActivityCalls(EngineCalls):
    """The part of a frontend that is about activities."""

    # -- without a workflow ----------------------------------------------------------------------------

    async def start_activity(
        self,
        activity: ScheduleActivity,
        attributes: Mapping[str, Attribute],
        reuse: int,
        on_conflict: str,
        once: Once | None = None,
    ) -> Begun:
        """See `Frontend`."""
        request = _request_of(activity, attributes)
        with translated():
            effect = await self._effect(once)
            if effect is not None:
                return Begun(await self._execution(effect), True)
            try:
                record, started = await self._engine.start_checked(
                    request, reuse=reuse, on_conflict=on_conflict, received=receipt(once)
                )
            except AlreadyRunning as error:
                raise ActivityAlreadyStartedError(
                    activity.activity_id, activity.activity_type, run_id=error.record.run_id
                ) from None
            return Begun(record, started)

    async def cancel_activity(
        self, activity_id: str, run_id: str | None, reason: str, once: Once | None = None
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is not None:
                return
            record = await self._open(activity_id, run_id)
            live = await self._engine.loaded(record.workflow_id)
            if live is not None and live.state.cancel_requested:
                raise RPCError("cancellation already requested", RPCStatusCode.FAILED_PRECONDITION)
            with _open_until_then(activity_id):
                await self._engine.cancel(record.workflow_id, record.run_id, reason, received=receipt(once))

    async def terminate_activity(
        self, activity_id: str, run_id: str | None, reason: str, once: Once | None = None
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                record = await self._open(activity_id, run_id)
                with _open_until_then(activity_id):
                    await self._engine.terminate(
                        record.workflow_id, record.run_id, reason, (), received=receipt(once)
                    )

    async def pause_activity(
        self, activity_id: str, run_id: str | None, identity: str, reason: str, once: Once | None = None
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                record = await self._open(activity_id, run_id)
                body = ev.WorkflowPaused(identity, reason)
                with _open_until_then(activity_id):
                    await self._engine.pauses.pause_execution(
                        record.workflow_id, record.run_id, body, receipt(once)
                    )

    async def unpause_activity(
        self,
        activity_id: str,
        run_id: str | None,
        identity: str,
        reason: str,
        delay_s: float,
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                record = await self._open(activity_id, run_id)
                body = ev.WorkflowUnpaused(identity, reason, delay_s=delay_s)
                with _open_until_then(activity_id):
                    await self._engine.pauses.unpause_execution(
                        record.workflow_id, record.run_id, body, receipt(once)
                    )

    async def update_activity_options(
        self,
        activity_id: str,
        run_id: str | None,
        options: ActivityOptionsUpdated,
        names: tuple[str, ...],
        once: Once | None = None,
    ) -> ActivityOptionsUpdated:
        """See `Frontend`."""
        with translated():
            record = await self._open(activity_id, run_id)
            live = await self._engine.loaded(record.workflow_id)
            pending = None if live is None else live.state.activities.get(NUMBER)
            if live is None or live.record.run_id != record.run_id or pending is None:
                raise _closed(activity_id, "closed")
            if await self._effect(once) is not None:
                return _options_of(pending.command)
            begun = live.clock_us(self._engine.now_us()) >= pending.first_at_us
            if names:
                command = _changed(pending.command, options, names, begun=begun)
            else:
                command = _original((await self._engine.journal.history(record)).events)
                if begun:  # It has waited for as long as it had to.
                    command = replace(command, delay_s=pending.command.delay_s)
            renewed = _options_of(command)
            with _open_until_then(activity_id):
                await self._engine.tell(record.workflow_id, record.run_id, renewed, receipt(once))
            return renewed

    async def activity_closed(self, activity_id: str, run_id: str | None) -> Closing:
        """See `Frontend`."""
        with translated():
            return await self._engine.closing_event(await self._found(activity_id, run_id))

    async def describe_activity(
        self,
        activity_id: str,
        run_id: str | None,
        include_input: bool,
        include_outcome: bool,
        include_heartbeat_details: bool,
        include_last_failure: bool,
    ) -> ActivityDetails:
        """See `Frontend`."""
        with translated():
            record = await self._found(activity_id, run_id)
            history = await self._engine.journal.history(record)
            attempts = await self._engine.journal.attempts(record.key)
        live = self._engine.cache.get(record.key)
        attempt = None if live is None else self._engine.attempt_of(live, NUMBER)
        details = self._details(
            record, command_of(history.events), history.state.activities.get(NUMBER), attempts, attempt
        )
        return replace(
            details,
            command=details.command if include_input else replace(details.command, args=()),
            heartbeat=details.heartbeat if include_heartbeat_details else (),
            last_failure=details.last_failure if include_last_failure else None,
            closing=history.state.closing if include_outcome else None,
            cancel_reason=history.state.cancel_reason or "",
            search_attributes=dict(history.state.search_attributes),
        )

    def _details(
        self,
        record: ExecutionRecord,
        command: ScheduleActivity,
        pending: PendingActivity | None,
        attempts: Sequence[AttemptRecord],
        attempt: Attempt | None,
    ) -> ActivityDetails:
        last = attempts[0] if attempts else AttemptRecord(record.key, NUMBER, 0, 0, None, None)
        failure = None if last.failure is None else codec.decode_failure(last.failure)
        details = ActivityDetails(
            record=record,
            command=command,
            attempt=last.failures + 1,
            last_started_at_us=last.started_at_us,
            last_ended_at_us=last.ended_at_us,
            last_beaten_at_us=last.beaten_at_us,
            beats=last.beats,
            heartbeat=() if last.heartbeat is None else codec.decode_payloads(last.heartbeat),
            last_failure=failure,
        )
        if record.status != OPEN or pending is None:
            return details
        paused = self._engine.pauses.of(record) is not None
        if attempt is None or attempt.reported:
            due_us = max(pending.due_us, last.next_at_us)
            waits = not paused and due_us > self._engine.now_us()
            return replace(
                details,
                state="paused" if paused else "scheduled",
                next_attempt_at_us=due_us if waits else None,
                backs_off_s=(last.next_at_us - last.ended_at_us) / 1e6
                if waits and due_us == last.next_at_us
                else None,
            )
        state = "pause_requested" if paused else "started"
        return replace(
            details,
            state="cancel_requested" if pending.cancel_requested else state,
            attempt=attempt.request.attempt,
            last_started_at_us=attempt.started_at_us,
            last_beaten_at_us=attempt.beaten_at_us or last.beaten_at_us,
            beats=last.beats + attempt.unwritten_beats,
            heartbeat=attempt.heartbeat,
        )

    async def _found(self, activity_id: str, run_id: str | None) -> ExecutionRecord:
        try:
            return await self._engine.find(prefixed(activity_id), run_id)
        except NoSuchExecution:
            raise RPCError(f"activity not found for ID: {activity_id}", RPCStatusCode.NOT_FOUND) from None

    async def _open(self, activity_id: str, run_id: str | None) -> ExecutionRecord:
        record = await self._found(activity_id, run_id)
        if record.status != OPEN:
            raise _closed(activity_id, record.status)
        return record

    # -- that someone else completes -------------------------------------------------------------------

    async def heartbeat_activity(self, place: ActivityById | bytes, details: tuple[Payload, ...]) -> None:
        """See `Frontend`."""
        attempt = await self._attempt(place)
        if attempt.cancel_reason is None:
            attempt.beat(details)
        if attempt.cancel_reason is not None:
            raise ActivityCancelled(attempt.cancel_reason == PAUSED)

    async def end_activity(
        self,
        place: ActivityById | bytes,
        outcome: Payload | Failure,
        heartbeat: tuple[Payload, ...],
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        _check_writable(outcome, heartbeat)
        with translated():
            if await self._effect(once) is not None:
                return
            attempt = await self._attempt(place)
            if isinstance(outcome, Failure) and outcome.kind == "canceled" and attempt.cancel_reason is None:
                raise RPCError(
                    "nobody has asked the activity to stop: it can be completed or failed, not canceled",
                    RPCStatusCode.INVALID_ARGUMENT,
                )
            if heartbeat:
                attempt.beat(heartbeat)
            durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            attempt.report(outcome, Reporter(partial(_settle, durable), receipt(once)))
            await durable

    async def _attempt(self, place: ActivityById | bytes) -> Attempt:
        if isinstance(place, bytes):
            attempt = await self._engine.find_attempt(place)
        else:
            workflow_id = place.workflow_id or prefixed(place.activity_id)
            attempt = await self._engine.find_attempt_by_id(workflow_id, place.run_id, place.activity_id)
        if attempt is None or attempt.reported:
            raise RPCError("activity not found, or it has ended", RPCStatusCode.NOT_FOUND)
        return attempt


def _request_of(activity: ScheduleActivity, attributes: Mapping[str, Attribute]) -> StartRequest:
    for what, given in (("activityId", activity.activity_id), ("activityType", activity.activity_type)):
        if not given:
            raise RPCError(f"{what} is not set", RPCStatusCode.INVALID_ARGUMENT)
    return StartRequest(
        workflow_id=prefixed(activity.activity_id),
        workflow_type=prefixed(activity.activity_type),
        task_queue=activity.task_queue,
        caused_by="client",
        search_attributes=attributes,
        summary=activity.summary,
        activity=_checked(replace(activity, id=NUMBER, local=False)),
    )


def _checked(activity: ScheduleActivity) -> ScheduleActivity:
    """The activity with the limits that follow from the others."""
    for name in ("schedule_to_close", "schedule_to_start", "start_to_close", "heartbeat", "delay"):
        if (getattr(activity, f"{name}_s") or 0) < 0:
            raise RPCError(f"the {name} of an activity is negative", RPCStatusCode.INVALID_ARGUMENT)
    if not activity.task_queue:
        raise RPCError("taskQueue is not set", RPCStatusCode.INVALID_ARGUMENT)
    try:
        return with_limits(activity)
    except ValueError as error:
        raise RPCError(str(error), RPCStatusCode.INVALID_ARGUMENT) from None


def _changed(
    command: ScheduleActivity, options: ActivityOptionsUpdated, names: tuple[str, ...], *, begun: bool
) -> ScheduleActivity:
    unknown = [name for name in names if name not in OPTIONS]
    if unknown:
        raise RPCError(f"no option is called {unknown[0]!r}", RPCStatusCode.INVALID_ARGUMENT)
    if begun and "delay_s" in names:
        raise RPCError(
            "cannot update start_delay: the first activity attempt has already been dispatched",
            RPCStatusCode.FAILED_PRECONDITION,
        )
    values = {name: getattr(options if name in names else command, name) for name in OPTIONS}
    return _checked(with_options(command, ActivityOptionsUpdated(NUMBER, **values)))


def _options_of(command: ScheduleActivity) -> ActivityOptionsUpdated:
    return ActivityOptionsUpdated(NUMBER, **{name: getattr(command, name) for name in OPTIONS})


def _original(events: Sequence[Event]) -> ScheduleActivity:
    return next(event.body for event in events if isinstance(event.body, ScheduleActivity))


def command_of(events: Sequence[Event]) -> ScheduleActivity:
    """The activity with the options that it has now, or had when it ended."""
    command = _original(events)
    for event in events:
        if isinstance(event.body, ActivityOptionsUpdated):
            command = with_options(command, event.body)
    return command


def _closed(activity_id: str, status: str) -> RPCError:
    return RPCError(
        f"activity {activity_id} is in terminal state {status.replace('_', ' ')}",
        RPCStatusCode.FAILED_PRECONDITION,
    )


@contextmanager
def _open_until_then(activity_id: str) -> Generator[None]:
    """Within this block the activity was found open, and may close meanwhile."""
    try:
        yield
    except NoSuchExecution:
        raise _closed(activity_id, "closed") from None


def _settle(durable: asyncio.Future[None], error: BaseException | None) -> None:
    if durable.done():
        return
    if error is None:
        durable.set_result(None)
    else:
        durable.set_exception(error)


def _check_writable(outcome: Payload | Failure, heartbeat: tuple[Payload, ...]) -> None:
    codec.encode_payloads(heartbeat)
    codec.encode_body(
        ActivityCompleted(0, outcome) if isinstance(outcome, Payload) else ActivityFailed(0, outcome)
    )
