"""Starts of workflows: what an open or a closed run of the same id means for one, and the execution that it makes.

That an id has no open run is checked by a unique index inside the commit that holds the start, so that nothing is read
before; a start that was left out is resolved as if the run in the way had been known.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from . import admission
from .admission import rank_of
from .core import codec
from .core.standalone import PREFIX, ActivityCode, is_activity
from .live import Incoming, LiveExecution
from .ports import OPEN, ExecutionRecord, Receipt
from .requests import AlreadyRunning, KeyTaken, NoSuchExecution, StartRequest

if TYPE_CHECKING:
    from .engine import Engine


class Starts:
    """The starts of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last_key = 0

    def number_after(self, last_key: int) -> None:
        """Give new executions the keys after this one, the last in the journal."""
        self._last_key = last_key

    @property
    def last_key(self) -> int:
        """The key of the newest execution."""
        return self._last_key

    def next_key(self) -> int:
        """The key of a new execution."""
        self._last_key += 1
        return self._last_key

    def start(
        self,
        request: StartRequest,
        *,
        on_conflict: str = "fail",
        received: Receipt | None = None,
    ) -> asyncio.Future[tuple[ExecutionRecord, bool]]:
        """Begin a workflow; the future has its record, and whether it was started by this call.

        `on_conflict` says what an open run of the same id means: ``fail``, ``use_existing`` or
        ``terminate_existing``. `received` is committed with whatever the outcome is.

        Raises (through the future):
            AlreadyRunning: there is an open run, and the policy is to fail.
            StorageFull: nothing was accepted.
        """
        answer: asyncio.Future[tuple[ExecutionRecord, bool]] = asyncio.get_running_loop().create_future()
        self._look(request, on_conflict, received, answer)
        return answer

    def _look(
        self,
        request: StartRequest,
        on_conflict: str,
        received: Receipt | None,
        answer: asyncio.Future[tuple[ExecutionRecord, bool]],
    ) -> None:
        """Begin, unless a run of the id is open in memory; one that no commit holds yet is waited for."""

        def begin(existing: LiveExecution | None) -> None:
            if answer.done() or self._engine.refuse_when_closing(answer):
                return
            if existing is None:
                self._begin(request, on_conflict, received, answer)
            elif existing.uncommitted and on_conflict != "terminate_existing" and request.signal is None:
                again = partial(self._look, request, on_conflict, received, answer)
                self._engine.next_commit().add_done_callback(lambda _: again())
            else:
                self._resolve_conflict(request, existing.record, on_conflict, received, answer)

        if request.workflow_id in self._engine.loading:
            self._engine.loading[request.workflow_id].append(begin)
        else:
            begin(self._engine.cache.open_run(request.workflow_id))

    def _begin(
        self,
        request: StartRequest,
        on_conflict: str,
        received: Receipt | None,
        answer: asyncio.Future[tuple[ExecutionRecord, bool]],
    ) -> None:
        refusal = self._engine.intake.refusal_of_start(request)
        if refusal is not None:
            if not answer.done():
                answer.set_exception(refusal)
            return
        if self._engine.admission.has_to_wait(request):
            request = replace(request, admitted=False)
        try:
            if request.signal is not None:
                codec.encode_body(request.signal)
            live = self.new_execution(request, self._engine.entropy.run_id())
        except codec.EventUnwritable as error:
            if not answer.done():
                answer.set_exception(error)
            return

        def settle(error: BaseException | None) -> None:
            if error is None and not request.admitted:
                self._engine.admission.look(request.concurrency_key)
            if answer.done():
                return
            if isinstance(error, AlreadyRunning):
                self._resolve_conflict(request, error.record, on_conflict, received, answer)
            elif isinstance(error, KeyTaken):
                self._resolve_taken_key(request, error, on_conflict, received, answer)
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result((live.record, True))

        live.incoming[0].settle = settle
        live.incoming[0].received = received
        self._engine.make_ready(live)

    def new_execution(
        self, request: StartRequest, run_id: str, *, first_run_id: str = "", continued_run_id: str = ""
    ) -> LiveExecution:
        """An execution in memory that the next commit begins; what it is started with waits to be handed over.

        Raises:
            EventUnwritable: the request cannot be recorded; nothing knows of it.
        """
        if request.activity is None and (
            is_activity(request.workflow_id) or is_activity(request.workflow_type)
        ):
            raise codec.EventUnwritable(
                f"no workflow can have the id {request.workflow_id!r} and the type {request.workflow_type!r}: "
                f"names that begin with {PREFIX!r} are for activities"
            )
        parent = request.parent
        skipped_us = 0 if request.clock is None else request.clock.skipped_us
        record = ExecutionRecord(
            key=self.next_key(),
            workflow_id=request.workflow_id,
            run_id=run_id,
            workflow_type=request.workflow_type,
            task_queue=request.task_queue,
            started_at_us=self._engine.now_us() + skipped_us,
            parent_workflow_id=parent.workflow_id if parent else "",
            parent_run_id=parent.run_id if parent else "",
            parent_close_policy=parent.close_policy if parent else 0,
            root_workflow_id=parent.root_workflow_id if parent else "",
            root_run_id=parent.root_run_id if parent else "",
            first_run_id=first_run_id or run_id,
            concurrency_key=request.concurrency_key,
            concurrency_limit=request.concurrency_limit,
            concurrency_rank=rank_of(request),
        )
        live = LiveExecution(record)
        live.state.skipped_us = skipped_us  # Its first event is dated by its own clock already.
        live.uncommitted = True
        live.history = ()
        worker = None if live.is_activity else self._engine.worker_for(record)
        definition = None if worker is None else worker.definition(record.workflow_type)
        live.durability = 0 if definition is None else definition.durability
        started = request.started(
            run_id,
            first_run_id=first_run_id,
            continued_run_id=continued_run_id,
            durability=live.durability,
        )
        codec.encode_body(started)  # Refused here, before anything knows of it.
        if request.activity is not None:
            codec.encode_body(request.activity)
            live.instance = ActivityCode(started, request.activity)
        live.incoming_start = started
        live.incoming.append(Incoming(started))
        if request.signal is not None:
            live.incoming.append(Incoming(request.signal))
        if request.update is not None:
            request.update.ticket = self._engine.updates.send_to(live, request.update.update, with_start=True)
        if request.search_attributes:
            self._engine.batch.attributes[record.key] = request.search_attributes
        self._engine.cache.hold(live)
        return live

    def _resolve_taken_key(
        self,
        request: StartRequest,
        taken: KeyTaken,
        on_conflict: str,
        received: Receipt | None,
        answer: asyncio.Future[tuple[ExecutionRecord, bool]],
    ) -> None:
        self._engine.admission.taken(taken.key)
        match request.concurrency_policy:
            case admission.JOIN:
                self._resolve_conflict(request, taken.record, "use_existing", received, answer)
            case admission.REFUSE:
                self._answer(taken.record, taken, received, answer)
            case _:
                self._begin(replace(request, admitted=False), on_conflict, received, answer)

    def _resolve_conflict(
        self,
        request: StartRequest,
        existing: ExecutionRecord,
        on_conflict: str,
        received: Receipt | None,
        answer: asyncio.Future[tuple[ExecutionRecord, bool]],
    ) -> None:
        if on_conflict == "terminate_existing":
            ended = self._engine.terminate(existing.workflow_id, existing.run_id, "replaced by a new run")
            ended.add_done_callback(partial(self._begin_after, request, received, answer))
        elif request.signal is not None:
            again = partial(self._begin, request, on_conflict, received, answer)
            signal = Incoming(
                request.signal, lambda error: _answer_start(answer, existing, error), received, again
            )
            self._engine.with_live(
                existing.workflow_id,
                lambda live: again() if live is None else self._engine.give(live, signal),
            )
        else:
            error = None if on_conflict == "use_existing" else AlreadyRunning(existing)
            self._answer(existing, error, received, answer)

    def _answer(
        self,
        existing: ExecutionRecord,
        error: BaseException | None,
        received: Receipt | None,
        answer: asyncio.Future[tuple[ExecutionRecord, bool]],
    ) -> None:
        """Answer with what is there already, or with the error."""
        if not isinstance(received, tuple):
            self._engine.flushing.answer(lambda failed: _answer_start(answer, existing, failed or error))
            return
        # The commit that remembers the message is the one that holds its last effect, and no earlier one; the answer may
        # acknowledge the message, so it waits for that commit.
        self._engine.batch.receive(received, 0, begins=False)
        self._engine.settle_with_commit(lambda failed: _answer_start(answer, existing, failed or error))
        self._engine.wake()

    def _begin_after(
        self,
        request: StartRequest,
        received: Receipt | None,
        answer: asyncio.Future[tuple[ExecutionRecord, bool]],
        ended: asyncio.Future[None],
    ) -> None:
        """Begin when the run in the way has ended, by this request or by itself."""
        error = ended.exception()
        if error is None or isinstance(error, NoSuchExecution):
            self._begin(request, "terminate_existing", received, answer)
        elif not answer.done():
            answer.set_exception(error)

    async def start_checked(
        self,
        request: StartRequest,
        *,
        reuse: int = 1,
        on_conflict: str = "fail",
        received: Receipt | None = None,
    ) -> tuple[ExecutionRecord, bool]:
        """Begin a workflow, unless its id was used before and `reuse` (Temporal's numbers) forbids it.

        Raises:
            AlreadyRunning: as `start`; also when a closed run is in the way.
        """
        if reuse in (2, 3):
            found = await self._engine.journal.executions(workflow_id=request.workflow_id, limit=1)
            closed = bool(found) and found[0].status != OPEN
            if closed and (reuse == 3 or found[0].status in ("completed", "continued_as_new")):
                raise AlreadyRunning(found[0])
        on_conflict = "terminate_existing" if reuse == 4 else on_conflict
        return await self.start(request, on_conflict=on_conflict, received=received)


def _answer_start(
    answer: asyncio.Future[tuple[ExecutionRecord, bool]], record: ExecutionRecord, error: BaseException | None
) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result((record, False))
    else:
        answer.set_exception(error)
