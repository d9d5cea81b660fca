"""What executions ask of one another: children, their ends, signals and cancellations across.

Each request is recorded by the one that asks before anything is done, and its outcome is recorded there too. After a
crash whatever has no outcome yet is asked again; the one that is asked knows a repeat by the link that it was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .core import commands as cmd
from .core import events as ev
from .core.children import already_started
from .core.events import Closing, WorkflowStarted
from .core.payload import Failure
from .core.state import PendingChild
from .follow_ups import cron_wait_s, retry_state_of_timeout
from .live import Incoming, LiveExecution
from .outcomes import ENDED_CHILD, not_found
from .requests import (
    AlreadyRunning,
    EngineClosed,
    KeyTaken,
    NoSuchExecution,
    ParentLink,
    StartRequest,
)

if TYPE_CHECKING:
    from .engine import Engine
from .ports import ExecutionRecord

TERMINATE, ABANDON, REQUEST_CANCEL = 1, 2, 3
_SIGNALED = "workflow {run}:{number}"
_ROOM_WAIT_S = 1.0
_RUNS_MAX = 10
"""How far back it is looked for a signal that may have been sent before a crash."""
External = cmd.SignalExternal | cmd.SignalWithStart | cmd.CancelExternal


class Relations:
    """The part of an engine that lets executions reach one another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reaching: dict[str, ExecutionRecord] = {}
        """Requests to other executions that are under way, and which run is to hear of their outcome."""

    # -- after a start of the process ------------------------------------------------------------------

    async def recover(self) -> None:
        """Do to the children of closed parents what their policy says."""
        for orphan in await self._engine.journal.orphans():
            self._part(orphan)

    def resume(self, live: LiveExecution) -> None:
        """Go on with what an execution that was read again had asked for."""
        for child in list(live.state.children.values()):
            if child.run_id:
                self._engine.spawn(self._look_at_child(live, child))
            else:
                self.start_child(live, child.command)
        for command in list(live.state.externals.values()):
            self.reach(live, command, again=True)

    async def _look_at_child(self, live: LiveExecution, child: PendingChild) -> None:
        """A child may have closed just before the process ended, and its parent not heard of it."""
        if child.cancel_reason is not None:
            self.cancel_child(live, child.command.id, child.cancel_reason)
        runs = await self._engine.journal.executions(workflow_id=child.command.workflow_id, limit=1000)
        last = next((run for run in runs if run.first_run_id == child.run_id), None)
        if last is None or last.status == "running":
            return
        history = await self._engine.journal.history(last)
        assert history.state.closing is not None
        self._tell_parent(live.record.run_id, history.state.started, history.state.closing)

    # -- children ----------------------------------------------------------------------------------------

    def start_child(self, live: LiveExecution, command: cmd.StartChild) -> None:
        """Start a child that was recorded; its parent hears that it has started, or why it has not."""
        if live.state.closing is not None and command.parent_close_policy != ABANDON:
            return
        parent = live.state.started
        root = (parent.root_workflow_id or parent.workflow_id, parent.root_run_id or parent.run_id)
        link = ParentLink(parent.workflow_id, parent.run_id, command.id, command.parent_close_policy, *root)
        request = StartRequest(
            workflow_id=command.workflow_id,
            workflow_type=command.workflow_type,
            task_queue=command.task_queue,
            args=command.args,
            execution_timeout_s=command.execution_timeout_s,
            run_timeout_s=command.run_timeout_s,
            task_timeout_s=command.task_timeout_s,
            retry=command.retry,
            memo=command.memo,
            headers=command.headers,
            search_attributes=command.search_attributes,
            cron=command.cron,
            first_delay_s=self._wait_s(command.cron),
            parent=link,
            caused_by=f"workflow {parent.workflow_id}",
            summary=command.summary,
            details=command.details,
            priority_key=command.priority_key,
            fairness_key=command.fairness_key,
            fairness_weight=command.fairness_weight,
            concurrency_key=command.concurrency_key,
            concurrency_limit=command.concurrency_limit,
            concurrency_policy=command.concurrency_policy,
            clock=None if live.state.clock is None else live.state.clock.of_child(live.state.skipped_us),
        )
        self._engine.spawn(self._start_child(live, request, command))

    async def _start_child(
        self, parent: LiveExecution, request: StartRequest, command: cmd.StartChild
    ) -> None:
        body: ev.ChildStarted | ev.ChildStartFailed
        try:
            record, _ = await self._engine.start_checked(request, reuse=command.id_reuse_policy)
            body = ev.ChildStarted(command.id, record.first_run_id or record.run_id)
        except AlreadyRunning as error:
            if error.record.parent_run_id in self._undone_by(parent, command.id):
                again = partial(self._replace_child, parent, request, command, error.record)
                self._engine.spawn(again())
                return
            if await self._is_this_child(error.record, parent, command.id):
                body = ev.ChildStarted(command.id, error.record.first_run_id or error.record.run_id)
            else:
                body = ev.ChildStartFailed(command.id, "already exists", error.record.run_id)
        except KeyTaken as error:
            body = ev.ChildStartFailed(
                command.id, "concurrency key taken", error.record.run_id, error.record.workflow_id
            )
        except EngineClosed:
            return
        except Exception:  # no room: ask again when there may be
            again = partial(self._start_child, parent, request, command)
            self._later(lambda: self._engine.spawn(again()))
            return
        self.tell(parent.record, body)

    def _undone_by(self, parent: LiveExecution, number: int) -> set[str]:
        """The runs whose children are in the way of this one, since a reset has undone what started them."""
        return {*parent.state.base_run_ids} - {parent.state.run_that_asked(number)}

    async def _replace_child(
        self,
        parent: LiveExecution,
        request: StartRequest,
        command: cmd.StartChild,
        undone: ExecutionRecord,
    ) -> None:
        """A child that the parent's code asked for before the parent was reset makes room for the one that it asks for now."""
        ended = self._engine.terminate(undone.workflow_id, undone.run_id, "its parent was reset")
        await asyncio.wait([ended])
        error = ended.exception()
        if error is None or isinstance(error, NoSuchExecution):
            await self._start_child(parent, request, command)
        elif not isinstance(error, EngineClosed):
            again = partial(self._start_child, parent, request, command)
            self._later(lambda: self._engine.spawn(again()))

    async def _is_this_child(self, record: ExecutionRecord, parent: LiveExecution, number: int) -> bool:
        """Whether this run is the child that was started for this very request, before a crash or a reset."""
        if record.parent_run_id not in (parent.record.run_id, parent.state.run_that_asked(number)):
            return False
        started = (await self._engine.journal.history(record)).state.started
        return started.parent_command_id == number

    def cancel_child(self, live: LiveExecution, number: int, reason: str) -> None:
        """Ask a child to end; one that has not started yet is asked when it has."""
        child = live.state.children.get(number)
        if child is not None and child.run_id:
            asked = self._engine.cancel(child.command.workflow_id, None, reason, only_chain=child.run_id)
            asked.add_done_callback(_seen)

    def child_started(self, live: LiveExecution, number: int) -> None:
        """The parent has recorded that its child exists: pass on a cancellation that was asked for before."""
        child = live.state.children.get(number)
        if child is not None and child.cancel_reason is not None:
            self.cancel_child(live, number, child.cancel_reason)

    def closed(self, live: LiveExecution, closing: Closing) -> None:
        """An execution has closed: its parent hears of it, its children are treated as their policies say."""
        start = live.state.started
        if start.parent_run_id and not getattr(closing, "new_run_id", ""):
            self._tell_parent(live.record.parent_run_id, start, closing)
        if live.state.children:
            self._engine.spawn(self._part_all(start.run_id))

    async def _part_all(self, parent_run_id: str) -> None:
        for child in await self._engine.journal.children(parent_run_id):
            self._part(child)

    def _part(self, child: ExecutionRecord) -> None:
        if child.parent_close_policy == TERMINATE:
            self._engine.terminate(
                child.workflow_id, child.run_id, "by parent close policy"
            ).add_done_callback(_seen)
        elif child.parent_close_policy == REQUEST_CANCEL:
            self._engine.cancel(child.workflow_id, child.run_id, "by parent close policy").add_done_callback(
                _seen
            )

    def _tell_parent(self, parent_run_id: str, start: WorkflowStarted, closing: Closing) -> None:
        # The parent's run is the one that it has now: it may have been reset since it started this child.
        first_run = start.first_run_id or start.run_id
        match closing:
            case cmd.CompleteWorkflow():
                body = ev.ChildClosed(start.parent_command_id, first_run, result=closing.result)
            case _:
                failure, state = closing_failure(closing)
                failure = _PLAIN.get(type(closing), failure)
                if isinstance(closing, ev.WorkflowTimedOut):
                    state = retry_state_of_timeout(start, closing)
                body = ev.ChildClosed(start.parent_command_id, first_run, failure=failure, retry_state=state)
        self._engine.tell_run(start.parent_workflow_id, parent_run_id, Incoming(body))

    # -- other executions ----------------------------------------------------------------------------------

    def reach(self, live: LiveExecution, command: External, *, again: bool = False) -> None:
        """Carry out a request to another execution; the one that asked hears when it is recorded there."""
        link = _SIGNALED.format(run=live.state.run_that_asked(command.id), number=command.id)
        is_under_way = link in self._reaching
        self._reaching[link] = live.record
        if not is_under_way:  # It may have left memory and come back meanwhile, or was reset.
            self._engine.spawn(self._reach(command, link, again))

    async def _reach(self, command: External, link: str, again: bool) -> None:
        try:
            while (resolved := await self._try_to_reach(command, link, again)) is None:
                again = True
                await asyncio.sleep(_ROOM_WAIT_S)
        except EngineClosed:
            return
        self._tell_resolved(link, resolved)

    def _tell_resolved(self, link: str, resolved: ev.ExternalResolved) -> None:
        """Tell whoever asks by this link now; until that is recorded, one that is read again seems to wait for it still."""
        asker = self._reaching[link]

        def settle(error: BaseException | None) -> None:
            now = self._reaching.get(link)
            if isinstance(error, NoSuchExecution) and now is not None and now.run_id != asker.run_id:
                self._tell_resolved(link, resolved)
            else:
                self._reaching.pop(link, None)

        self._engine.tell_run(asker.workflow_id, asker.run_id, Incoming(resolved, settle, kept=True))

    async def _try_to_reach(self, command: External, link: str, again: bool) -> ev.ExternalResolved | None:
        """What the one that asked is to hear; None when there is no room, and it is to be tried again.

        Raises:
            EngineClosed: whether it was reached is looked up at the next start.
        """
        failure: Failure | None = None
        run_id = ""
        try:
            if isinstance(command, cmd.CancelExternal):
                await self._engine.cancel(command.workflow_id, command.run_id or None, command.reason)
            elif isinstance(command, cmd.SignalWithStart):
                run_id = await self._signal_with_start(command, link, again)
            elif not (again and await self._was_signaled(command, link) is not None):
                signal = ev.Signaled(command.name, command.args, command.headers, link)
                await self._engine.signal(command.workflow_id, command.run_id or None, signal)
        except EngineClosed:
            raise
        except AlreadyRunning as error:  # only of a start
            failure = already_started(command.workflow_id, error.record.workflow_type, error.record.run_id)
        except LookupError:
            failure = not_found(type(command))
        except Exception:  # no room
            return None
        return ev.ExternalResolved(command.id, failure, run_id)

    async def _signal_with_start(self, command: cmd.SignalWithStart, link: str, again: bool) -> str:
        """The run that has the signal, which may have begun with it."""
        has_it = await self._was_signaled(command, link) if again else None
        if has_it is not None:
            return has_it
        request = StartRequest(
            workflow_id=command.workflow_id,
            workflow_type=command.workflow_type,
            task_queue=command.task_queue,
            args=command.args,
            signal=ev.Signaled(command.name, command.signal_args, {}, link),
            execution_timeout_s=command.execution_timeout_s,
            run_timeout_s=command.run_timeout_s,
            task_timeout_s=command.task_timeout_s,
            first_delay_s=command.first_delay_s or self._wait_s(command.cron),
            retry=command.retry,
            memo=command.memo,
            search_attributes=command.search_attributes,
            cron=command.cron,
            caused_by=link,
            summary=command.summary,
            details=command.details,
            priority_key=command.priority_key,
            fairness_key=command.fairness_key,
            fairness_weight=command.fairness_weight,
        )
        on_conflict = "terminate_existing" if command.terminate_existing else "use_existing"
        record, _ = await self._engine.start_checked(
            request, reuse=command.id_reuse_policy, on_conflict=on_conflict
        )
        return record.run_id

    async def _was_signaled(self, command: cmd.SignalExternal | cmd.SignalWithStart, link: str) -> str | None:
        """The run that has this signal already, among the last of its workflow id."""
        for run in await self._engine.journal.executions(workflow_id=command.workflow_id, limit=_RUNS_MAX):
            for event in (await self._engine.journal.history(run)).events:
                if isinstance(event.body, ev.Signaled) and event.body.caused_by == link:
                    return run.run_id
        return None

    # -- common ----------------------------------------------------------------------------------------------

    def tell(self, record: ExecutionRecord, body: ev.Happening) -> None:
        """Hand an outcome to the run that waits for it, if it still runs."""
        self._engine.tell_run(record.workflow_id, record.run_id, Incoming(body))

    def _wait_s(self, cron: str) -> float:
        return cron_wait_s(cron, self._engine.now_us()) if cron else 0.0

    def _later(self, action: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(_ROOM_WAIT_S, action)


_PLAIN: dict[type[Closing], Failure] = {
    cmd.CancelWorkflow: ENDED_CHILD["canceled"],
    ev.WorkflowWithdrawn: ENDED_CHILD["canceled"],
    ev.WorkflowTerminated: ENDED_CHILD["terminated"],
    ev.WorkflowTimedOut: ENDED_CHILD["timeout"],
}


def _seen(done: asyncio.Future[None]) -> None:
    """Whoever was asked may have closed meanwhile, and then there is nothing to do."""
    if not done.cancelled():
        done.exception()


def closing_failure(closing: Closing) -> tuple[Failure, str]:
    """How an execution ended that has no result, as its parent or its client gets it, and the retry state."""
    match closing:
        case cmd.FailWorkflow():
            return closing.failure, closing.retry_state
        case cmd.CancelWorkflow():
            return Failure(
                kind="canceled", message="Workflow cancelled", details=closing.details
            ), "NON_RETRYABLE_FAILURE"
        case ev.WorkflowWithdrawn():
            return Failure(
                kind="canceled", message=closing.reason or "Workflow cancelled"
            ), "NON_RETRYABLE_FAILURE"
        case ev.WorkflowTerminated():
            return Failure(
                kind="terminated", message=closing.reason or "Workflow terminated", details=closing.details
            ), "NON_RETRYABLE_FAILURE"
        case ev.WorkflowTimedOut():
            attributes = {"timeout_type": "START_TO_CLOSE"}
            return Failure(kind="timeout", message="Workflow timed out", attributes=attributes), "TIMEOUT"
        case _:
            raise AssertionError(f"{type(closing).__name__} has a result, or a run that follows")
