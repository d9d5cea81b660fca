"""Updates: from their arrival to the commit that holds their outcome.

An update is durable once its validator has let it pass; until then it is in memory, and who sent it waits. It has one
outcome: rejected (it is in no history), completed, failed, or lost because the workflow closed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .core.commands import CompleteUpdate
from .core.events import UpdateAccepted
from .core.instance import RejectedUpdate
from .core.payload import Failure
from .core.state import KnownUpdate
from .live import Incoming, LiveExecution
from .ports import Receipt
from .requests import ExecutionPaused, NoSuchExecution

if TYPE_CHECKING:
    from .engine import Engine
    from .ports import ExecutionRecord

CLOSED_FIRST = Failure(
    kind="application",
    message="Workflow Update failed because the Workflow completed before the Update completed.",
    attributes={"type": "AcceptedUpdateCompletedWorkflow", "non_retryable": True},
)


class UpdateRejected(Exception):
    """The workflow's validator refused the update; nothing was recorded."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class UpdateTicket:
    """An update that was sent: two things to wait for."""

    def __init__(self, update_id: str, workflow_id: str, run_id: str) -> None:
        loop = asyncio.get_running_loop()
        self.update_id = update_id
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.accepted: asyncio.Future[None] = loop.create_future()
        """Done when it is in the history. Raises UpdateRejected, NoSuchExecution, or why nothing was accepted."""
        self.completed: asyncio.Future[CompleteUpdate] = loop.create_future()
        """Done when its outcome is in the history; raises as `accepted` does."""
        for future in (self.accepted, self.completed):
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def fail(self, error: BaseException) -> None:
        """It came to nothing."""
        for future in (self.accepted, self.completed):
            if not future.done():
                future.set_exception(error)

    def accept(self) -> None:
        """It is in the history."""
        if not self.accepted.done():
            self.accepted.set_result(None)

    def complete(self, outcome: CompleteUpdate) -> None:
        """Its outcome is in the history."""
        self.accept()
        if not self.completed.done():
            self.completed.set_result(outcome)


class Updates:
    """The part of an engine that takes updates."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tickets: dict[tuple[int, str], UpdateTicket] = {}
        """By execution and update id, of those that are under way."""

    def send(
        self,
        workflow_id: str,
        run_id: str | None,
        update: UpdateAccepted,
        *,
        only_chain: str | None = None,
        received: Receipt | None = None,
    ) -> asyncio.Future[UpdateTicket]:
        """Hand an update to an open execution; one that it has already, by its id, is not handed over again.

        With `only_chain`, only to a run of the chain that began with that run.

        Raises (through the future):
            NoSuchExecution: no such execution, or it has closed and never had this update.
            ExecutionPaused: nobody would validate it.
        """
        answer: asyncio.Future[UpdateTicket] = asyncio.get_running_loop().create_future()

        def hand_over(live: LiveExecution | None) -> None:
            if answer.done() or self._engine.refuse_when_closing(answer):
                return
            if live is None or (run_id is not None and live.record.run_id != run_id):
                look = self._look_in_closed_run(workflow_id, run_id, update.update_id, answer, only_chain)
                self._engine.spawn(look)
            elif only_chain not in (None, live.record.first_run_id):
                answer.set_exception(_not_of_chain(workflow_id, only_chain))
            elif self._engine.pauses.of(live.record) is not None and not self._has(live, update.update_id):
                answer.set_exception(ExecutionPaused("Workflow is paused. Cannot update the workflow."))
            elif (
                refusal := self._engine.intake.refusal_of_message(live, update)
            ) is not None and not self._has(live, update.update_id):
                answer.set_exception(refusal)
            else:
                answer.set_result(self.send_to(live, update, received))

        if not self._engine.refuse_when_closing(answer):
            self._engine.with_live(workflow_id, hand_over)
        return answer

    def send_to(
        self,
        live: LiveExecution,
        update: UpdateAccepted,
        received: Receipt | None = None,
        *,
        with_start: bool = False,
    ) -> UpdateTicket:
        """Hand an update to this execution, once."""
        key = (live.record.key, update.update_id)
        ticket = self._tickets.get(key)
        known = live.state.updates.get(update.update_id)
        if ticket is not None:
            return ticket
        ticket = self._tickets[key] = UpdateTicket(
            update.update_id, live.record.workflow_id, live.record.run_id
        )
        if known is not None:
            self._engine.when_written(live, partial(self._tell_of_known, key, known.completed))
        elif update.update_id not in live.state.updates_admitted:
            incoming = Incoming(update, lambda error: self._settle(key, error), received, begins=with_start)
            self._engine.give(live, incoming)
        return ticket

    def _tell_of_known(
        self, key: tuple[int, str], outcome: CompleteUpdate | None, error: BaseException | None
    ) -> None:
        self._settle(key, error)
        if error is None and outcome is not None and (ticket := self._tickets.pop(key, None)) is not None:
            ticket.complete(outcome)

    async def find(self, workflow_id: str, run_id: str | None, update_id: str) -> UpdateTicket:
        """An update that was sent before.

        Raises:
            NoSuchExecution: there is no such update.
        """
        answer: asyncio.Future[UpdateTicket] = asyncio.get_running_loop().create_future()

        def look(live: LiveExecution | None) -> None:
            if answer.done() or self._engine.refuse_when_closing(answer):
                return  # Whoever asked has gone while the execution was read, or nobody will answer.
            fits = live is not None and (run_id is None or live.record.run_id == run_id)
            if live is not None and fits and self._has(live, update_id):
                answer.set_result(self.send_to(live, UpdateAccepted(update_id, "", ())))
                return
            self._engine.spawn(self._look_in_closed_run(workflow_id, run_id, update_id, answer))

        self._engine.with_live(workflow_id, look)
        return await answer

    def _has(self, live: LiveExecution, update_id: str) -> bool:
        return (
            (live.record.key, update_id) in self._tickets
            or update_id in live.state.updates
            or update_id in live.state.updates_admitted
        )

    async def _look_in_closed_run(
        self,
        workflow_id: str,
        run_id: str | None,
        update_id: str,
        answer: asyncio.Future[UpdateTicket],
        only_chain: str | None = None,
    ) -> None:
        try:
            record = await self._engine.find(workflow_id, run_id)
            if only_chain not in (None, record.first_run_id):
                raise _not_of_chain(workflow_id, only_chain)
            known = (await self._engine.journal.history(record)).state.updates.get(update_id)
            if answer.done():
                return
            if known is None:
                raise NoSuchExecution(
                    "workflow execution already completed"
                    if record.status != "running"
                    else f"update {update_id!r} not found"
                )
            answer.set_result(self._closed_ticket(record, known))
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)

    def _closed_ticket(self, record: ExecutionRecord, known: KnownUpdate) -> UpdateTicket:
        ticket = UpdateTicket(known.accepted.update_id, record.workflow_id, record.run_id)
        lost = CompleteUpdate(known.accepted.update_id, failure=CLOSED_FIRST)
        ticket.complete(known.completed or lost)
        return ticket

    def _settle(self, key: tuple[int, str], error: BaseException | None) -> None:
        ticket = self._tickets.get(key)
        if ticket is None:
            return
        if error is not None:
            del self._tickets[key]
            ticket.fail(error)
        else:
            ticket.accept()

    def hand_on(self, old: LiveExecution, new: LiveExecution) -> None:
        """What came for a run goes to the one that follows it: who waits for an update hears of it there."""
        for item in new.incoming:
            if isinstance(item.body, UpdateAccepted):
                self._move(old, new, item.body.update_id)
                item.settle = partial(self._settle, (new.record.key, item.body.update_id))

    def reset(self, old: LiveExecution, new: LiveExecution) -> None:
        """A run was reset: who waits for an update that the new run has recorded too hears of it there."""
        for update_id in (*new.state.updates, *new.state.updates_admitted):
            self._move(old, new, update_id)

    def _move(self, old: LiveExecution, new: LiveExecution, update_id: str) -> None:
        ticket = self._tickets.pop((old.record.key, update_id), None)
        if ticket is not None:
            ticket.run_id = new.record.run_id
            self._tickets[new.record.key, update_id] = ticket

    def decided(
        self, live: LiveExecution, rejected: Sequence[RejectedUpdate], incoming: Sequence[Incoming]
    ) -> list[Callable[[], None]]:
        """What to do when the decisions of validators in an activation are durable.

        Who sent a rejected update that was handed over just now hears of it with the commit, or why there is none.
        """
        effects: list[Callable[[], None]] = []
        for each in rejected:
            key, rejection = (live.record.key, each.update_id), UpdateRejected(each.failure)
            sent = [i for i in incoming if _is_update(i, each.update_id)]
            for item in sent:
                item.settle, item.received = partial(self._refuse, key, rejection), None
            if not sent:
                effects.append(partial(self._settle, key, rejection))
        if live.state.resets:
            # Those that were admitted by it have nobody else to tell that they are accepted.
            effects += [
                partial(self._settle, (live.record.key, update_id), None) for update_id in live.state.updates
            ]
        return effects

    def _refuse(self, key: tuple[int, str], rejection: UpdateRejected, error: BaseException | None) -> None:
        self._settle(key, error or rejection)

    def completed(self, live: LiveExecution, outcome: CompleteUpdate) -> None:
        """Its outcome is durable."""
        ticket = self._tickets.pop((live.record.key, outcome.update_id), None)
        if ticket is not None:
            ticket.complete(outcome)

    def closed(self, live: LiveExecution) -> None:
        """The execution has closed: updates that it accepted and did not finish fail.

        Those that it has not accepted are turned away with whatever else came too late.
        """
        for update_id in live.state.updates:
            ticket = self._tickets.pop((live.record.key, update_id), None)
            if ticket is not None:
                ticket.complete(CompleteUpdate(update_id, failure=CLOSED_FIRST))

    @property
    def under_way(self) -> bool:
        """Whether an outcome is to come."""
        return bool(self._tickets)

    def abandon(self, error: BaseException) -> None:
        """The engine stops."""
        for ticket in self._tickets.values():
            ticket.fail(error)
        self._tickets.clear()


def _not_of_chain(workflow_id: str, first_run_id: str | None) -> NoSuchExecution:
    return NoSuchExecution(
        f"workflow execution not found: {workflow_id!r} has no run of the chain that began with {first_run_id}"
    )


def _is_update(item: Incoming, update_id: str) -> bool:
    return isinstance(item.body, UpdateAccepted) and item.body.update_id == update_id
