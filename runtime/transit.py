"""Executions whose payloads are sealed, and may have to be waited for; see `sealing`.

What an execution is to be handed is recorded while its payloads are opened, as if no worker was there, and handed over when
they are. What it then asks for is recorded when its payloads are sealed; until then nothing of that activation counts, and
whatever happens to the execution waits. Where nothing has to be waited for, all of it is done in the same turn. The other
executions go on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .core import commands as cmd
from .core import events as ev
from .core.commands import Command
from .core.events import HAPPENINGS, Event, Happening
from .core.instance import ActivationFailed, RejectedUpdate
from .core.payload import Failure, Payload
from .core.records import dataclass
from .core.replay import HistoryDiverged
from .exceptions import ApplicationError
from .journal.errors import StorageFull
from .live import Incoming, LiveExecution
from .requests import NoWorker
from .sealing import Scope, Sealing

if TYPE_CHECKING:
    from .engine import Engine
    from .task_queues import CodeSource

_log = logging.getLogger(__name__)

_ROOM_WAIT_S: Final = 1.0
"""How long to wait when there was no room for what is stored outside of the journal."""


@dataclass(slots=True)
class Activated:
    """What became of an activation, before it is recorded."""

    at_us: int
    incoming: list[Incoming]
    commands: Sequence[Command]
    rejected: Sequence[RejectedUpdate]


@dataclass(slots=True)
class Leaving:
    """An activation whose commands are being sealed, and what became of that: they are sealed, or cannot be."""

    activated: Activated
    task: asyncio.Task[None] | None = None
    sealed: Activated | None = None
    error: Exception | None = None


@dataclass(slots=True)
class InTransit:
    """The payloads that an execution waits for."""

    opening: asyncio.Task[None] | None = None
    """Opens what it is to be handed."""
    error: Exception | None = None
    """Why that could not be opened."""
    behind: tuple[list[Incoming], list[Incoming]] | None = None
    """What was taken out of `LiveExecution.incoming` and `held` for the time of one hand-over."""
    leaving: Leaving | None = None

    @property
    def under_way(self) -> bool:
        """Whether there is anything to wait for, or to be told."""
        return self.opening is not None or self.error is not None or self.leaving is not None


class Transit:
    """The part of an engine that deals with sealed payloads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holds(self, live: LiveExecution) -> bool:
        """Go on with what an execution waited for; whether nothing else can be done with it in this turn."""
        transit = live.transit
        assert transit is not None
        if transit.leaving is not None:
            if _is_ended(live):
                live.incoming = self.abandon(live) + live.incoming
                return False
            self._arrive(live, transit, transit.leaving)
        elif transit.error is not None and not _is_ended(live):
            error, transit.error = transit.error, None
            self._cannot_open(live, error)
        else:
            return False
        if live.incoming and transit.leaving is None:
            self._engine.make_ready(live)
        return True

    # -- what executions are handed ------------------------------------------------------------------

    def openable(self, live: LiveExecution, sealing: Sealing) -> bool:
        """Whether the code can be given all that is in `live.incoming` and `live.held` now.

        What cannot be opened in place is being opened when this returns, and the execution looked at again after that.
        """
        if _is_ended(live):
            return False
        before = [*_happenings(live.history or ()), *live.waiting] if live.instance is None else live.waiting
        # The history may have been read again since the state was made.
        before = [*before, *live.state.updates_admitted.values()]
        coming = [item.body for item in (*live.incoming, *live.held)]
        try:
            closed = self._opened_now(live, sealing, [*before, *coming])
        except Exception as error:  # whatever a codec raises
            _transit(live).error = error
            self._engine.make_ready(live)
            return False
        return not closed or self._open_the_rest(live, sealing, before, closed)

    def _open_the_rest(
        self,
        live: LiveExecution,
        sealing: Sealing,
        before: Sequence[Happening],
        closed: Sequence[Happening],
    ) -> bool:
        transit = _transit(live)
        if transit.opening is None:
            transit.opening = self._engine.spawn(self._open(live, sealing, closed))
        waits = {id(body) for body in closed}
        begins = live.state.start is None  # What comes with a start is handed over with it.
        if begins or not live.waiting or any(id(body) in waits for body in before):
            return False
        # What was recorded is handed over without what came since, or an execution that hears much would never go on.
        transit.behind = live.incoming, live.held
        live.incoming, live.held = [], []
        return True

    def _opened_now(
        self, live: LiveExecution, sealing: Sealing, bodies: Sequence[Happening]
    ) -> list[Happening]:
        """Open in place what can be; returns what has to be waited for."""
        scope = _scope(live)
        closed: list[Happening] = []
        for body in bodies:
            if id(body) in live.opened or not sealing.concerns(body):
                continue
            opened = sealing.opened_now([body], scope)
            if opened is None:
                closed.append(body)
            else:
                live.opened[id(body)] = body, opened[0]
        return closed

    async def _open(self, live: LiveExecution, sealing: Sealing, closed: Sequence[Happening]) -> None:
        transit = _transit(live)
        try:
            opened = await sealing.opened(closed, _scope(live))
        except Exception as error:  # whatever a codec or a driver raises
            transit.error = error
        else:
            live.opened |= {id(body): (body, after) for body, after in zip(closed, opened, strict=True)}
        transit.opening = None
        self._engine.make_ready(live)

    def _cannot_open(self, live: LiveExecution, error: Exception) -> None:
        """It is blocked until what it is to be handed can be had. An error that says that it never will fails the workflow."""
        at_us = live.instant_us(self._engine.now_us())
        if not (isinstance(error, ApplicationError) and error.non_retryable):
            self._engine.blocking.block(live, error, (), at_us)
            return
        attributes = {"type": error.type, "non_retryable": True}
        failure = Failure(kind="application", message=error.message, attributes=attributes)
        command = self._engine.finisher(live, at_us)(cmd.FailWorkflow(failure))
        live.drop_instance()
        self._record(live, Activated(at_us, [], [command], []))

    # -- what executions ask for ---------------------------------------------------------------------

    def activate(self, live: LiveExecution, entry: CodeSource, incoming: list[Incoming], at_us: int) -> None:
        """Hand everything over, and record what the code asks for when it is sealed."""
        engine, sealing = self._engine, entry.sealing
        assert sealing is not None
        try:
            instance = engine.instance_of(live, entry)
            inputs = [item.body for item in incoming]
            commands = live.hand_over(at_us, inputs, instance, engine.finisher(live, at_us))
            engine.note_asides(live, instance)
            activated = Activated(at_us, incoming, commands, instance.rejected)
            sealed = self._sealed_now(live, sealing, activated)
        except (ActivationFailed, HistoryDiverged) as error:
            self._engine.blocking.block(live, error, incoming, at_us)
        except Exception as error:  # whatever a codec raises
            self._engine.blocking.block(live, _unencodable(error), incoming, at_us)
        else:
            if sealed is not None:
                self._record(live, sealed)
        finally:
            self._forget_opened(live)

    def _forget_opened(self, live: LiveExecution) -> None:
        """What was handed over is not needed any more; what stayed behind comes next."""
        transit = live.transit
        behind, held = (transit.behind if transit is not None else None) or ([], [])
        if transit is not None:
            transit.behind = None
        live.incoming, live.held = behind + live.incoming, held + live.held
        later = {id(item.body) for item in (*live.incoming, *live.held)}
        live.opened = {key: pair for key, pair in live.opened.items() if key in later}
        if later and (transit is None or transit.leaving is None):
            self._engine.make_ready(live)

    def _sealed_now(self, live: LiveExecution, sealing: Sealing, activated: Activated) -> Activated | None:
        """The activation with its payloads sealed; None when that has to be waited for."""
        scope = _scope(live)
        now = sealing.sealed_now(_outgoing(activated), scope)
        if now is not None:
            return _with(activated, now)
        leaving = _transit(live).leaving = Leaving(activated)
        leaving.task = self._engine.spawn(self._seal(live, sealing, leaving, scope))
        return None

    async def _seal(self, live: LiveExecution, sealing: Sealing, leaving: Leaving, scope: Scope) -> None:
        while leaving.sealed is None and leaving.error is None:
            try:
                sealed = await sealing.sealed(_outgoing(leaving.activated), scope)
            except StorageFull as error:
                _log.error("%s", error)
                await asyncio.sleep(_ROOM_WAIT_S)
            except Exception as error:  # whatever a codec or a driver raises
                leaving.error = error
            else:
                leaving.sealed = _with(leaving.activated, sealed)
        self._engine.make_ready(live)

    def _arrive(self, live: LiveExecution, transit: InTransit, leaving: Leaving) -> None:
        """Record an activation whose commands were being sealed, when they are."""
        activated = leaving.activated
        if leaving.sealed is not None:
            transit.leaving = None
            self._record(live, leaving.sealed)
        elif leaving.error is not None:
            transit.leaving = None
            self._engine.blocking.block(
                live, _unencodable(leaving.error), activated.incoming, activated.at_us
            )

    def _record(self, live: LiveExecution, activated: Activated) -> None:
        engine, at_us = self._engine, activated.at_us
        inputs = [item.body for item in activated.incoming]
        try:
            live.record_activation(engine.batch, at_us, inputs, activated.commands, activated.rejected)
        except ActivationFailed as error:
            self._engine.blocking.block(live, error, activated.incoming, at_us)
            return
        engine.activated(live, activated.incoming, activated.commands, at_us, activated.rejected)

    def abandon(self, live: LiveExecution) -> list[Incoming]:
        """An activation whose commands are being sealed counts for nothing; returns what it was handed."""
        leaving = None if live.transit is None else live.transit.leaving
        if live.transit is None or leaving is None:
            return []
        live.transit.leaving = None
        if leaving.task is not None:
            leaving.task.cancel()
        live.drop_instance()
        return leaving.activated.incoming

    def unrecorded(self, live: LiveExecution) -> list[Incoming]:
        """All that has happened to an execution and is not in its history yet."""
        transit = live.transit
        behind, held = (None if transit is None else transit.behind) or ([], [])
        leaving = [] if transit is None or transit.leaving is None else transit.leaving.activated.incoming
        return [*leaving, *behind, *held, *live.incoming, *live.held]

    # -- queries -------------------------------------------------------------------------------------

    async def rebuild(self, live: LiveExecution, entry: CodeSource) -> None:
        """The code is rebuilt from a history with sealed payloads; raises as `DataConverter.open` and `replay`."""
        await self.open_history(live, entry.sealing)
        self._engine.instance_of(live, entry)

    async def open_history(self, live: LiveExecution, sealing: Sealing | None) -> None:
        """What was handed over is in `live.opened`, as far as it was sealed; raises what a codec or a driver raises."""
        if sealing is None:
            return
        closed = self._opened_now(live, sealing, _happenings(live.history or ()))
        opened = await sealing.opened(closed, _scope(live))
        live.opened |= {id(body): (body, after) for body, after in zip(closed, opened, strict=True)}

    async def query(
        self,
        live: LiveExecution,
        sealing: Sealing,
        name: str,
        args: Sequence[Payload],
        headers: Mapping[str, Payload],
    ) -> Payload:
        """Answer a query whose arguments are sealed. The answer is kept nowhere: it goes to whoever asked."""
        scope = Scope(live.first_event())
        (asked,) = await sealing.opened([ev.Signaled(name, tuple(args), headers)], scope)
        if live.instance is None:
            raise NoWorker(f"workflow {live.record.workflow_id!r} left memory while a query was under way")
        answer = live.instance.query(name, asked.args, asked.headers)
        (sealed,) = await sealing.inline().sealed([cmd.CompleteWorkflow(answer)], scope)
        return sealed.result


def _transit(live: LiveExecution) -> InTransit:
    if live.transit is None:
        live.transit = InTransit()
    return live.transit


def _is_ended(live: LiveExecution) -> bool:
    """Whether it is to end without its code being asked."""
    return any(isinstance(item.body, ev.WorkflowTerminated | ev.WorkflowTimedOut) for item in live.incoming)


def _unencodable(error: Exception) -> ActivationFailed:
    failed = ActivationFailed(f"Failed encoding completion: {error}")
    failed.__cause__ = error
    return failed


def _outgoing(activated: Activated) -> list[Command]:
    """Everything of an activation that has payloads; a refusal has those that the end of an update has."""
    return [
        *activated.commands,
        *(cmd.CompleteUpdate(each.update_id, failure=each.failure) for each in activated.rejected),
    ]


def _with(activated: Activated, sealed: Sequence[Command]) -> Activated:
    count = len(activated.commands)
    rejected = [
        RejectedUpdate(each.update_id, each.failure)
        for each in sealed[count:]
        if isinstance(each, cmd.CompleteUpdate) and each.failure is not None
    ]
    return replace(activated, commands=sealed[:count], rejected=rejected)


def _happenings(history: Sequence[Event]) -> list[Happening]:
    return [event.body for event in history if isinstance(event.body, HAPPENINGS)]


def _scope(live: LiveExecution) -> Scope:
    rebuilt_from = live.history if live.instance is None else None
    return Scope(live.first_event(), asked_in(rebuilt_from) if rebuilt_from else live.asked)


def asked_in(history: Sequence[Event]) -> Callable[[int], Command | None]:
    """What this history asked for under an id: an activity or a child. It is only looked through when someone wants to know."""
    found: dict[int, Command] = {}

    def asked(number: int) -> Command | None:
        if not found:
            bodies = (event.body for event in history)
            found.update(
                (body.id, body) for body in bodies if isinstance(body, cmd.ScheduleActivity | cmd.StartChild)
            )
        return found.get(number)

    return asked
