"""What an attempt of an activity is given and what it says, between its function and the journal; see `sealing`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final, TypeVar

from .attempts import Attempt, AttemptRequest, CompletesLater, Outcome
from .converter import PayloadLimitError
from .core import events as ev
from .core.payload import Failure, Payload
from .core.standalone import is_activity
from .exceptions import ApplicationError
from .journal.errors import StorageFull
from .sealing import Scope, Sealing
from .values import ConvertedValues

_log = logging.getLogger(__name__)

_ROOM_WAIT_S: Final = 1.0
"""How long to wait when there was no room for a result."""

B = TypeVar("B", ev.ActivityCompleted, ev.ActivityFailed)


class Unopened(Exception):
    """The attempt cannot run its function: `outcome` says why."""

    def __init__(self, outcome: Failure) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class AttemptSeal:
    """Opens what one attempt is given, and seals what it says."""

    def __init__(self, sealing: Sealing, attempt: Attempt, values: ConvertedValues) -> None:
        command = attempt.request.command
        self._sealing = sealing
        self._attempt = attempt
        self._values = values
        self._scope = Scope(attempt.request.workflow, lambda _id: command)
        self._latest: tuple[Payload, ...] | None = None
        """The last heartbeat, when it is not sealed yet."""
        self._sealing_beats: asyncio.Task[None] | None = None

    # -- before the function -------------------------------------------------------------------------

    async def opened(self) -> AttemptRequest:
        """The request with its arguments and its last heartbeat as the function's converter wrote them.

        Raises:
            Unopened: they cannot be had, or nobody wants the attempt any more.
        """
        attempt = self._attempt
        assert attempt.task is not None
        task = attempt.task

        def cancel() -> None:
            task.cancel()

        attempt.on_cancel = cancel
        canceled = Failure(kind="canceled", message="Cancelled")
        try:
            opened = await self._opened(attempt.request)
        except asyncio.CancelledError:
            if attempt.cancel_reason is None:
                raise
            task.uncancel()
            raise Unopened(canceled) from None
        finally:
            attempt.on_cancel = None
        if attempt.cancel_reason is not None:
            raise Unopened(canceled)
        return opened

    async def _opened(self, request: AttemptRequest) -> AttemptRequest:
        try:
            (command,) = await self._sealing.opened([request.command], self._scope)
        except Exception as error:  # whatever a codec or a driver raises
            raise self._unopened("Failed decoding arguments", error) from error
        try:
            beat = await self._sealing.opened([_beat(request.heartbeat)], self._scope)
        except Exception as error:  # as above
            raise self._unopened("Failed decoding heartbeat details", error, non_retryable=True) from error
        return replace(request, command=command, heartbeat=beat[0].failure.details)

    def _unopened(self, message: str, cause: Exception, *, non_retryable: bool = False) -> Unopened:
        error = ApplicationError(message, non_retryable=non_retryable)
        error.__cause__ = cause
        return Unopened(self._values.failure_of(error))

    # -- heartbeats ----------------------------------------------------------------------------------

    def beat(self, details: tuple[Payload, ...]) -> None:
        """Note a heartbeat. Where sealing waits, it is done for the last one only, once an interval."""
        now = self._sealing.sealed_now([_beat(details)], self._scope)
        if now is not None and self._sealing_beats is None:
            self._attempt.beat(now[0].failure.details)
            return
        self._attempt.alive()
        self._latest = details
        if self._sealing_beats is None:
            self._sealing_beats = asyncio.get_running_loop().create_task(self._seal_beats())

    async def _seal_beats(self) -> None:
        while self._latest is not None:
            await self._seal_latest()
            await asyncio.sleep(self._attempt.beat_interval_s)
        self._sealing_beats = None

    async def _seal_latest(self) -> None:
        latest, self._latest = self._latest, None
        if latest is None:
            return
        try:
            sealed = await self._sealing.sealed([_beat(latest)], self._scope)
        except asyncio.CancelledError:
            self._latest = self._latest or latest  # Whoever cancels this may still want it.
            raise
        except StorageFull as error:
            _log.warning("the details of a heartbeat are not kept: %s", error)
        except Exception as error:  # whatever a codec or a driver raises
            # As in Temporal's SDK: an activity whose progress cannot be recorded is stopped, and tried again.
            self._attempt.report(self._values.failure_of(error))
            self._attempt.cancel("the details of its heartbeat could not be recorded")
        else:
            self._attempt.beat(sealed[0].failure.details)

    # -- after the function --------------------------------------------------------------------------

    async def sealed(self, outcome: Outcome | CompletesLater) -> Outcome | CompletesLater:
        """The outcome as it is recorded. While there is no room for it, it waits: the work is done and not lost."""
        self._attempt.on_cancel = self._give_up
        # Who describes an activity without a workflow sees its last heartbeat, however it ended.
        shown = is_activity(self._attempt.request.workflow.workflow_id)
        await self._stop_beating(keep=shown or not isinstance(outcome, Payload))
        if isinstance(outcome, CompletesLater):
            return outcome
        if isinstance(outcome, Failure):
            return await self._sealed_failure(outcome)
        try:
            return (await self._with_room(ev.ActivityCompleted(0, outcome))).result
        except Exception as error:  # whatever a codec or a driver raises
            command = self._attempt.request.command
            return await self._sealed_failure(failure_of(error, self._values, command.activity_type))

    def _give_up(self) -> None:
        """Nobody waits for the outcome any more. A request to stop comes too late, and has no effect on it."""
        if self._attempt.reported and self._attempt.task is not None:
            self._attempt.task.cancel()

    async def _sealed_failure(self, failure: Failure) -> Failure:
        try:
            return (await self._with_room(ev.ActivityFailed(0, failure))).failure
        except Exception as problem:  # as above
            return _unbuilt(problem)

    async def _with_room(self, body: B) -> B:
        while True:
            try:
                (sealed,) = await self._sealing.sealed([body], self._scope)
            except StorageFull:
                if self._attempt.reported:
                    raise  # It timed out meanwhile: nobody waits for this.
                await asyncio.sleep(_ROOM_WAIT_S)
            else:
                return sealed

    async def _stop_beating(self, *, keep: bool) -> None:
        task, self._sealing_beats = self._sealing_beats, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if keep:
                await self._seal_latest()


def failure_of(error: BaseException, values: ConvertedValues, activity_type: str) -> Failure:
    """The failure of an attempt that raised this."""
    try:
        failure = values.failure_of(error)
    except Exception as problem:  # whatever a converter raises
        return _unbuilt(problem)
    if not isinstance(error, PayloadLimitError):
        return failure
    # The same result would be too large on every attempt.
    return Failure(
        kind=failure.kind,
        message=f"the result of activity {activity_type} cannot be stored: {failure.message}",
        stack_trace=failure.stack_trace,
        attributes=dict(failure.attributes) | {"non_retryable": True},
    )


def _unbuilt(problem: Exception) -> Failure:
    text = f"Failed building exception result: {problem}"
    return Failure(kind="application", message=text, attributes={"type": type(problem).__name__})


def _beat(details: tuple[Payload, ...]) -> ev.ActivityFailed:
    """Details of a heartbeat as something that has payloads; they are an activity's, like those of a failure."""
    return ev.ActivityFailed(0, Failure(kind="heartbeat", message="", details=details))
