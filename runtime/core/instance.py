"""One execution's code in memory: activations go in, commands come out.

How an activation runs, in this order (Temporal's order, which histories rely on):

1. A reset changes the random numbers. Signals and updates are handed over, in the order of history, and the loop is drained.
2. Everything else is (start, ended activities, fired timers, cancellation), and the loop is drained again.
   The run method's first step is queued by the start, so the handler of a signal that came with it runs first.
   An update is validated and, when it is accepted, its handler makes its first step in the same place of the FIFO.
3. While draining, conditions are tried only when nothing else is ready, all of them in one pass, in the order
   in which they were registered; those that hold wake their waiters together.
4. What needs no event to be known (that a cancelled activity is not waited for, say) is told then, and the loop drained
   again. An end of the same thing that is handed over in this activation comes before it.

Whatever the code asks for is collected in `commands`. A command that is withdrawn in the activation that gave it
leaves no trace. The first command that closes the workflow ends it: later ones in the same activation are dropped, but
for the outcomes of updates, which are put before it.
"""

from __future__ import annotations

import asyncio
import contextvars
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

from . import commands as cmd
from . import events, stacks
from .activities import PendingActivity
from .children import PendingChild, already_started, until_done
from .commands import Command
from .definition import HandlerDefinition, WorkflowDefinition
from .event_groups import grouped, outside
from .events import Happening, WorkflowStarted
from .inbound import Direct, Inbound
from .loop import TimerHandle, WorkflowLoop
from .patches import Patches
from .payload import Attribute, Failure, Payload
from .records import record
from .retry import DELAY_S_MAX
from .running import PotentialDeadlock
from .seed import seed_of

_MESSAGES: Final = (events.Signaled, events.UpdateAccepted)


class Values(Protocol):
    """How Python values, and what code raises, become records and come back. Pure: no waiting, no effect."""

    def encode(self, values: Sequence[object]) -> tuple[Payload, ...]:
        """Payloads of the values, in order."""
        ...

    def decode(self, payloads: Sequence[Payload], hints: Sequence[Any] | None) -> list[Any]:
        """Values of the payloads, by the hints where their number fits."""
        ...

    def raw(self, payloads: Sequence[Payload]) -> list[Any]:
        """The payloads as dynamic functions take them: not decoded, since nobody knows as what."""
        ...

    def failure_of(self, error: BaseException) -> Failure:
        """The record of an exception."""
        ...

    def error_of(self, failure: Failure) -> BaseException:
        """The exception of a record."""
        ...

    def fails_workflow(self, error: BaseException) -> bool:
        """Whether this exception is a failure of the workflow; otherwise it is a bug in its code."""
        ...

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether this exception says that something was cancelled."""
        ...

    def for_workflow(self, workflow_id: str) -> Values:
        """The same for what belongs to this execution, as whoever reads or wrote it has it."""
        ...

    def for_activity(
        self, start: WorkflowStarted, activity_id: str, activity_type: str, task_queue: str, *, local: bool
    ) -> Values:
        """The same for what belongs to an activity of the execution that began with `start`."""
        ...


class ActivationFailed(Exception):
    """The workflow's code has a bug; `__cause__` is what it raised. Nothing of this activation counts."""


class ReadOnlyContext(RuntimeError):
    """A query, validator or condition tried to change the workflow."""


class ContinueAsNewRequested(BaseException):
    """Raised through workflow code to end this run and begin the next; not an `Exception`, so nothing catches it."""

    def __init__(self, command: cmd.ContinueAsNew) -> None:
        super().__init__("continue as new")
        self.command = command


class Evicted(BaseException):
    """Raised into code that calls the runtime while its instance is being dropped from memory."""


current_update: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar(
    "overwinter_update", default=None
)
"""Id and name of the update whose handler or validator runs, also in the tasks that it makes."""


@record
class RunningHandler:
    """A handler that has not finished. `update_id` is None for a signal's."""

    name: str
    unfinished_policy: int
    update_id: str | None = None


@record
class RejectedUpdate:
    """An update that its validator refused; it is in no history."""

    update_id: str
    failure: Failure


class Condition:
    """Someone waits until `holds` returns true."""

    __slots__ = ("future", "holds")

    def __init__(self, holds: Callable[[], bool], future: asyncio.Future[None]) -> None:
        self.holds = holds
        self.future = future


class Instance:
    """The code of one execution, driven by activations."""

    _has_news = False
    """Whether something in this activation is recorded, so that what it changes is changed in replay too."""

    def __init__(
        self,
        definition: WorkflowDefinition,
        start: WorkflowStarted,
        values: Values,
        *,
        inbound: Callable[[Instance], Inbound] = Direct,
        failure_types: Sequence[type[BaseException]] = (),
    ) -> None:
        self.definition = definition
        self.start = start
        self.values = values.for_workflow(start.workflow_id)
        self.loop = WorkflowLoop(
            self, self, salt=zlib.crc32((start.original_run_id or start.run_id).encode())
        )
        self.now_us = 0
        self.replaying = False
        self.read_only = False
        self.closed = False
        self.raises_late_cancellation = True
        """Whether a cancellation that meets the end of an activity is raised; old histories of Temporal lose it."""
        self.single_batch = False
        """Whether everything is handed over before the loop is drained, as some histories of Temporal have it."""
        self.cancel_requested = False
        self.cancel_reason: str | None = None
        self.history_length = 0
        self.history_bytes: Callable[[], int] = int
        self.patches = Patches(self)
        self._random_seed = start.random_seed
        self.memo: dict[str, Payload] = dict(start.memo)
        self.search_attributes: dict[str, Attribute] = dict(start.search_attributes)
        self.details = ""
        """What the workflow says about itself for a reader."""
        self.running_handlers: dict[object, RunningHandler] = {}
        self.unfinished: list[RunningHandler] = []
        """Handlers that had not finished when the workflow closed, for its owner to warn of and to empty."""
        self.dropped_signals: list[tuple[str, Exception]] = []
        """Signals whose arguments do not fit their handler, with the reason, for its owner to log and to empty."""
        self.rejected: list[RejectedUpdate] = []
        """Updates that were refused in the last activation."""
        self.accepted_behind: dict[str, int] = {}
        """Updates that were accepted behind commands, and behind how many; for the one who records them, and empties it."""
        self.started_at_us = 0
        self.extras: dict[str, Any] = {}
        """What the modules around the core keep for this execution (its random source, its info)."""
        self.signal_handlers: dict[str | None, HandlerDefinition] = dict(definition.signals)
        self.query_handlers: dict[str | None, HandlerDefinition] = dict(definition.queries)
        self.update_handlers: dict[str | None, HandlerDefinition] = dict(definition.updates)
        self._failure_types = (*definition.failure_exception_types, *failure_types)
        self._inbound_of = inbound
        self.inbound: Inbound = Direct(self)
        self._children: dict[int, PendingChild] = {}
        self._externals: dict[int, tuple[asyncio.Future[str], Values]] = {}
        self._key = 1 << 48
        self._commands: dict[int, Command] = {}
        self._given_before: dict[str, list[int]] = {}
        self._id = 0
        self._activity_number = 0
        self._timer_number = 0
        self._activities: dict[int, PendingActivity] = {}
        self._timers: dict[int, TimerHandle] = {}
        self._conditions: list[Condition] = []
        self._answers: list[Callable[[], None]] = []
        self._buffered: list[events.Signaled] = []
        self._context = contextvars.Context()
        self._object: Any = None
        self._args: list[Any] | None = None
        self._primary: asyncio.Task[None] | None = None
        self._bug: BaseException | None = None
        self._evicting = False

    @property
    def asked_count(self) -> int:
        """How many commands the activation has given so far; also for other threads, and when all is over."""
        return len(vars(self).get("_commands", ()))

    # -- driven by the engine and the replayer -------------------------------------------------------

    def begin_replay(self, patches: set[str]) -> None:
        """See `code.Code`."""
        self.replaying = True
        self.patches.recorded = patches

    def activate(self, at_us: int, inputs: Sequence[Happening]) -> list[Command]:
        """Hand over what happened together, and return what the code asks for.

        Raises:
            ActivationFailed: the code has a bug, or was given up. The instance is unusable from here on; drop it.
        """
        return self._context.run(self._activate, at_us, inputs)

    def query(
        self, name: str, args: Sequence[Payload], headers: Mapping[str, Payload] | None = None
    ) -> Payload:
        """Answer a query at the current state; the handler cannot change it.

        Raises:
            LookupError: there is no such handler; the message lists those that exist.
            PotentialDeadlock: the handler was given up; drop the instance.
            Exception: whatever the handler raised.
        """
        return self._context.run(self._query, name, args, headers or {})

    def evict(self) -> None:
        """Unwind the code without any effect, and free its memory; nothing can be asked of it after this."""
        self._evicting = True
        self.replaying = True  # for the logger
        self._context.run(self._unwind)
        # Its parts refer to each other: cut apart, they are freed now and not when the collector comes by.
        vars(self).clear()

    # -- one activation --------------------------------------------------------------------------------

    def _activate(self, at_us: int, inputs: Sequence[Happening]) -> list[Command]:
        self.now_us = at_us
        self.started_at_us = self.started_at_us or at_us
        self.loop.now_s = at_us * 1000 / 1e9  # To the last bit `workflow.time()`.
        self._commands = {}
        self.rejected = []
        messages = [body for body in inputs if isinstance(body, _MESSAGES)]
        self._has_news = len(messages) < len(inputs) or any(
            isinstance(message, events.Signaled) for message in messages
        )
        try:
            self.loop.run(self._step, messages, inputs)
        except PotentialDeadlock as error:
            raise ActivationFailed(_describe(error)) from error
        bug = self._bug or self.loop.violation
        if bug is not None:
            raise ActivationFailed(_describe(bug)) from bug
        closing = self._commands.pop(0, None)
        if closing is not None:
            self._commands[0] = closing  # the last one
            self.unfinished += self.running_handlers.values()
        if self._given_before:
            self._place_updates()
        return list(self._commands.values())

    def _step(self, messages: Sequence[Happening], inputs: Sequence[Happening]) -> None:
        try:
            self._hand_over(messages, inputs)
            self._answer()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # From a condition or `__init__`, where also a cancellation or a continue-as-new is out of place.
            if not (isinstance(error, Exception) and self.is_failure(error)):
                raise ActivationFailed(_describe(error)) from error
            self._fail(error)

    def _place_updates(self) -> None:
        """Count what stood before each update when it was accepted and was not withdrawn since; the closing is last."""
        for update_id, keys in self._given_before.items():
            self.accepted_behind[update_id] = sum(1 for key in keys if key and key in self._commands)
        self._given_before = {}

    def _hand_over(self, messages: Sequence[Happening], inputs: Sequence[Happening]) -> None:
        for body in inputs:
            if isinstance(body, events.WorkflowReset):
                self.reseed(body.seed)
        if self._object is None:
            self._construct()
        if messages:
            for message in messages:
                if isinstance(message, events.Signaled):
                    self._apply_signal(message)
                elif isinstance(message, events.UpdateAccepted):
                    self._apply_update(message)
            if not self.single_batch:
                self._drain()
        if self.single_batch or len(messages) < len(inputs):
            for body in inputs:
                self._apply(body)
            self._drain()

    def _answer(self) -> None:
        while self._answers and not self.closed and self._bug is None:
            answers, self._answers = self._answers, []
            for answer in answers:
                answer()
            self._drain()

    def _drain(self) -> None:
        loop = self.loop
        while loop.has_ready():
            loop.drain()
            # What only refused updates are is in no history: nothing may wake by it.
            if self._bug is not None or not (self._conditions and self._has_news):
                return
            self._try_conditions()

    def _try_conditions(self) -> None:
        waiting: list[Condition] = []
        self.read_only = True
        try:
            for condition in self._conditions:
                if condition.future.done():
                    continue
                if condition.holds():
                    condition.future.set_result(None)
                else:
                    waiting.append(condition)
        finally:
            self.read_only = False
        self._conditions = waiting

    def _construct(self) -> None:
        if self.definition.name is None:
            self._args = [self.values.raw(self.start.args)]
        else:
            self._args = self.values.decode(self.start.args, self.definition.arg_types)
        self.inbound = self._inbound_of(self)
        cls = self.definition.cls
        self._object = cls(*self._args) if self.definition.init_takes_args else cls()
        if self.definition.dynamic_config is not None:
            config = self.definition.dynamic_config(self._object)
            self._failure_types = (*self._failure_types, *(config.failure_exception_types or ()))

    def _apply(self, body: Happening) -> None:
        if isinstance(body, _ENDS):
            # A message of this activation may have cancelled it: there is nothing left to cancel.
            self.withdraw(-body.id)
        match body:
            case events.ActivityCompleted():
                self._resolve_activity(body)
            case events.ActivityFailed():
                self._reject_activity(body)
            case events.TimerFired():
                self._fire_timer(body)
            case events.WorkflowStarted():
                self._primary = self.spawn(self._run(), name="run")
            case events.CancelRequested():
                self._apply_cancel(body)
            case events.ChildStarted():
                self._children[body.id].start(body.run_id) if body.id in self._children else None
            case events.ChildStartFailed():
                self._fail_child_start(body)
            case events.ChildClosed():
                self._close_child(body)
            case events.ExternalResolved():
                self._resolve_external(body)
            case _:
                pass  # Signals were handed over before; what ends a workflow from outside never reaches its code.

    def _resolve_activity(self, body: events.ActivityCompleted) -> None:
        pending = self._activities.pop(body.id, None)
        if pending is None:
            return
        hints = None if pending.result_type is None else [pending.result_type]
        try:
            (result,) = pending.values.decode([body.result], hints)
        except Exception as error:
            pending.reject(error)
        else:
            pending.resolve(result)

    def _reject_activity(self, body: events.ActivityFailed) -> None:
        pending = self._activities.pop(body.id, None)
        if pending is not None:
            pending.reject(pending.values.error_of(pending.failure(body.failure, body.retry_state)))

    def _fail_child_start(self, body: events.ChildStartFailed) -> None:
        pending = self._children.pop(body.id, None)
        if pending is not None:
            command = pending.command
            failure = already_started(command.workflow_id, command.workflow_type, body.run_id)
            if body.workflow_id:  # another execution is in the way, by the concurrency key
                failure = Failure(
                    kind="concurrency_key_taken",
                    message="Concurrency key taken",
                    attributes={
                        "key": command.concurrency_key,
                        "limit": command.concurrency_limit,
                        "workflow_id": body.workflow_id,
                        "run_id": body.run_id,
                    },
                )
            pending.reject_start(body, pending.values.error_of(failure))

    def _close_child(self, body: events.ChildClosed) -> None:
        pending = self._children.pop(body.id, None)
        if pending is None:
            return
        if not pending.started.done():
            pending.start(body.run_id)  # It was quick: its end came before the news of its start.
        if body.failure is not None:
            pending.reject(pending.values.error_of(pending.closing_failure(body)))
            return
        assert body.result is not None
        hints = None if pending.result_type is None else [pending.result_type]
        try:
            (result,) = pending.values.decode([body.result], hints)
        except Exception as error:
            pending.reject(error)
        else:
            pending.resolve(result)

    def _resolve_external(self, body: events.ExternalResolved) -> None:
        future, values = self._externals.pop(body.id, (None, self.values))
        if future is None or future.done():
            return
        if body.failure is None:
            future.set_result(body.run_id)
        else:
            future.set_exception(values.error_of(body.failure))

    @property
    def random_seed(self) -> int:
        """What the execution's random numbers come from."""
        if not self._random_seed:
            self._random_seed = seed_of(self.start.original_run_id or self.start.run_id)
        return self._random_seed

    def reseed(self, seed: int) -> None:
        """Random numbers are others from here on."""
        self._random_seed = seed
        if "random" in self.extras:
            self.extras["random"].seed(seed)  # The workflow may hold it.
        for callback in self.extras.get("seed_callbacks", []):
            callback(seed)

    def _fire_timer(self, body: events.TimerFired) -> None:
        handle = self._timers.pop(body.id, None)
        if handle is not None:
            handle.timer_id = 0
            self.loop.fire(handle)

    def _apply_cancel(self, body: events.CancelRequested) -> None:
        self.cancel_requested = True
        self.cancel_reason = body.reason
        # Queued, so that a run that starts in this very activation takes its first step before it is cancelled.
        self.loop.call_soon(self._cancel_primary)

    def _cancel_primary(self) -> None:
        if self._primary is not None:
            self._primary.cancel()

    @property
    def workflow_object(self) -> Any:
        """The workflow class's own object."""
        return self._object

    # -- the code's tasks --------------------------------------------------------------------------------

    def spawn(self, coro: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run one of the workflow's own functions as a task whose end counts for the execution."""
        return self.loop.create_task(self._guarded(coro), name=name)

    async def _run(self) -> None:
        assert self._args is not None
        result = await self.inbound.run(self._args)
        self._close(cmd.CompleteWorkflow(self.values.encode([result])[0]))

    def call_run(self, args: Sequence[Any]) -> Awaitable[Any]:
        """The run of the workflow's own function."""
        return self.definition.run_fn(self._object, *args)

    async def _guarded(self, coro: Coroutine[Any, Any, None]) -> None:
        try:
            await coro
        except ContinueAsNewRequested as request:
            self._close(request.command)
        except (Exception, asyncio.CancelledError) as error:
            if self._evicting:
                return
            if self.cancel_requested and self.values.is_cancellation(error):
                self._close(cmd.CancelWorkflow())
            elif isinstance(error, asyncio.CancelledError) or self.is_failure(error):
                self._fail(error)
            else:
                self._bug = self._bug or error
        except (GeneratorExit, KeyboardInterrupt, Evicted):
            raise
        except BaseException as error:
            self._bug = self._bug or error

    def _fail(self, error: BaseException) -> None:
        try:
            failure = self.values.failure_of(error)
        except Exception as problem:
            self._bug = self._bug or ValueError("Failed converting workflow exception")
            self._bug.__cause__ = problem
            return
        self._close(cmd.FailWorkflow(failure))

    def is_failure(self, error: BaseException) -> bool:
        """Whether this exception fails the workflow; any other is a bug in its code."""
        return isinstance(error, self._failure_types) or self.values.fails_workflow(error)

    def _close(self, command: cmd.ClosingCommand) -> None:
        if not self.closed:
            self.give(0, command)
            self.closed = True

    # -- signals, updates and queries ----------------------------------------------------------------------

    def _apply_signal(self, signal: events.Signaled) -> None:
        handler = self.signal_handlers.get(signal.name) or self.signal_handlers.get(None)
        if handler is None:
            self._buffered.append(signal)
            return
        try:
            args = self._handler_args(handler, signal.name, signal.args)
        except Exception as error:
            if self.is_failure(error):
                self._fail(error)
            else:
                self.dropped_signals.append((signal.name, error))
            return
        key = object()
        self.running_handlers[key] = RunningHandler(signal.name, handler.unfinished_policy)
        with outside():  # What a handler asks for is not of the groups of the code that set the handler.
            task = self.spawn(
                self.inbound.signal(signal.name, args, signal.headers), name=f"signal: {signal.name}"
            )
        task.add_done_callback(lambda _task: self.running_handlers.pop(key, None))

    async def call_signal(self, name: str, args: Sequence[Any]) -> None:
        """Call the handler of a signal."""
        handler = self.signal_handlers.get(name) or self.signal_handlers.get(None)
        if handler is not None:
            await _awaited(self._call(handler, args))

    def _call(self, handler: HandlerDefinition, args: Sequence[Any]) -> Any:
        return handler.fn(self._object, *args) if handler.is_method else handler.fn(*args)

    def _apply_update(self, update: events.UpdateAccepted) -> None:
        # In the FIFO, as a task would be, but not as a task: those of rejected updates would be missing in replay.
        context = contextvars.copy_context()
        context.run(current_update.set, (update.update_id, update.name))
        self.loop.call_soon(self._validate, update, context, context=context)

    def _validate(self, update: events.UpdateAccepted, context: contextvars.Context) -> None:
        try:
            args = self._validated(update)
        except Exception as error:
            self._reject(update, error)
            return
        self._has_news = True
        if self._commands:
            self._given_before[update.update_id] = list(self._commands)
        self.running_handlers[update.update_id] = RunningHandler(
            update.name, self._update_handler(update.name).unfinished_policy, update.update_id
        )
        self.loop.create_task_first(
            self._run_update(update, args), name=f"update: {update.name}", context=context
        )

    def _validated(self, update: events.UpdateAccepted) -> list[Any]:
        handler = self._update_handler(update.name)
        args = self._asked_args(handler, update.name, update.args)
        if handler.validator is None or self.replaying:
            return args
        self.read_only = True
        try:
            self.inbound.validate(update.update_id, update.name, args, update.headers)
        finally:
            self.read_only = False
        return self._asked_args(handler, update.name, update.args)  # The validator may have changed them.

    def _update_handler(self, name: str) -> HandlerDefinition:
        handler = self.update_handlers.get(name) or self.update_handlers.get(None)
        if handler is None:
            known = sorted(known for known in self.update_handlers if known is not None)
            raise RuntimeError(
                f"Update handler for '{name}' expected but not found, and there is no dynamic handler. "
                f"known updates: [{' '.join(known)}]"
            )
        return handler

    def _reject(self, update: events.UpdateAccepted, error: Exception) -> None:
        if self.replaying or isinstance(error, ReadOnlyContext):
            self._bug = (
                self._bug or error
            )  # It was accepted when it was recorded; or the validator has a bug.
            return
        self.rejected.append(RejectedUpdate(update.update_id, self.values.failure_of(error)))

    async def _run_update(self, update: events.UpdateAccepted, args: list[Any]) -> None:
        try:
            result = await self.inbound.update(update.update_id, update.name, args, update.headers)
            outcome = cmd.CompleteUpdate(update.update_id, result=self.values.encode([result])[0])
        except ContinueAsNewRequested:
            self._bug = self._bug or RuntimeError("Cannot continue as new from an update handler")
            return
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError):
                failure = Failure(kind="canceled", message=f"Cancellation raised within update {error}")
            elif self.is_failure(error):
                failure = self.values.failure_of(error)
            else:
                self._bug = self._bug or error
                return
            outcome = cmd.CompleteUpdate(update.update_id, failure=failure)
        finally:
            self.running_handlers.pop(update.update_id, None)
        if not self._evicting:
            self._commands[self._next_key()] = outcome  # also when the workflow has closed just now

    def call_validator(self, name: str, args: Sequence[Any]) -> None:
        """Call the validator of an update."""
        handler = self._update_handler(name)
        if handler.validator is not None:
            if handler.is_method:
                handler.validator(self._object, *args)
            else:
                handler.validator(*args)

    async def call_update(self, name: str, args: Sequence[Any]) -> Any:
        """Call the handler of an update."""
        return await _awaited(self._call(self._update_handler(name), args))

    def set_update_handler(self, name: str | None, handler: HandlerDefinition | None) -> None:
        """Set or remove a handler at run time."""
        self.require_writable("set update handler")
        if handler is None:
            self.update_handlers.pop(name, None)
        else:
            self.update_handlers[name] = handler

    def set_signal_handler(self, name: str | None, handler: HandlerDefinition | None) -> None:
        """Set or remove a handler at run time; signals that had none until now are handed to it."""
        self.require_writable("set signal handler")
        if handler is None:
            self.signal_handlers.pop(name, None)
            return
        self.signal_handlers[name] = handler
        waiting, self._buffered = self._buffered, []
        for signal in waiting:
            if name is None or signal.name == name:
                self._apply_signal(signal)
            else:
                self._buffered.append(signal)

    def _asked_args(self, handler: HandlerDefinition, name: str, payloads: Sequence[Payload]) -> list[Any]:
        """The arguments for a handler whose caller is told when they do not fit."""
        try:
            return self._handler_args(handler, name, payloads)
        except Exception as error:
            if self.is_failure(error):
                raise
            raise RuntimeError("Failed decoding arguments") from error

    def _handler_args(self, handler: HandlerDefinition, name: str, payloads: Sequence[Payload]) -> list[Any]:
        if handler.name is None and handler.takes_varargs:
            return [name, *self.values.decode(payloads, None)]
        if handler.name is None:
            return [name, self.values.raw(payloads)]
        return self.values.decode(payloads, handler.arg_types)

    def _query(self, name: str, payloads: Sequence[Payload], headers: Mapping[str, Payload]) -> Payload:
        handler = self.query_handlers.get(name) or self.query_handlers.get(None)
        if handler is None and name not in BUILT_IN_QUERIES:
            known = sorted(
                [*BUILT_IN_QUERIES, *(known for known in self.query_handlers if known is not None)]
            )
            raise LookupError(
                f"Query handler for '{name}' expected but not found, known queries: [{' '.join(known)}]"
            )
        return self.loop.run(self._answer_query, handler, name, payloads, headers)

    def _answer_query(
        self,
        handler: HandlerDefinition | None,
        name: str,
        payloads: Sequence[Payload],
        headers: Mapping[str, Payload],
    ) -> Payload:
        self.read_only = True
        mark = self.loop.mark()
        try:
            if handler is None:
                return self.values.encode([self._built_in(name)])[0]
            args = self._asked_args(handler, name, payloads)
            return self.values.encode([self._run_to_end(self.inbound.query(name, args, headers))])[0]
        finally:
            self.read_only = False
            self.loop.restore(mark)

    async def call_query(self, name: str, args: Sequence[Any]) -> Any:
        """Call the handler of a query."""
        handler = self.query_handlers.get(name) or self.query_handlers.get(None)
        assert handler is not None, "a query without a handler was refused before"
        return await _awaited(self._call(handler, args))

    def _built_in(self, name: str) -> object:
        return stacks.text_of(self.loop) if name == STACK_TRACE else self.extras["describe"](self, name)

    def _run_to_end(self, coro: Coroutine[Any, Any, Any]) -> Any:
        try:
            for _ in range(_QUERY_YIELDS_MAX):
                if coro.send(None) is not None:  # A future: someone else would have to act.
                    break
        except StopIteration as end:
            return end.value
        coro.close()
        raise ReadOnlyContext("While in read-only function, action attempted: wait")

    # -- what workflow code may ask for ----------------------------------------------------------------------

    def require_writable(self, action: str) -> None:
        """Refuse where nothing may change.

        Raises:
            ReadOnlyContext: in a query, a validator or a condition.
        """
        if self._evicting:
            raise Evicted
        if self.read_only:
            raise ReadOnlyContext(f"While in read-only function, action attempted: {action}")

    def next_id(self) -> int:
        """An identifier for something with a lifetime, in the order of asking."""
        self._id += 1
        return self._id

    def next_activity_number(self) -> int:
        """Which of the run's activities comes next, from 1: what it is called where the code gives no name."""
        self._activity_number += 1
        return self._activity_number

    def give(self, key: int, command: Command) -> None:
        """Add a command to this activation, unless the workflow has closed. `key` is its id, negated to cancel.

        Timers of tasks that were cancelled just before the end are still withdrawn.
        """
        if not self.closed or isinstance(command, cmd.CancelTimer):
            self._commands[key] = grouped(command)

    def add(self, command: Command) -> None:
        """Add a command that nothing refers to later."""
        self.give(self._next_key(), command)

    def _next_key(self) -> int:
        self._key += 1
        return self._key

    def withdraw(self, key: int) -> bool:
        """Take back a command of this very activation; False when it was given in an earlier one."""
        return self._commands.pop(key, None) is not None

    def answer_later(self, answer: Callable[[], None]) -> None:
        """Do this when nothing else is ready in this activation, and drain the loop once more."""
        self._answers.append(answer)

    def start_activity(self, pending: PendingActivity) -> None:
        """Schedule an activity."""
        self.require_writable("start activity")
        self._activities[pending.id] = pending
        self.give(pending.id, pending.command)

    def asked(self, number: int) -> Command | None:
        """The command by which this activity or child was asked for, while the code waits for its end."""
        pending = self._activities.get(number) or self._children.get(number)
        return None if pending is None else pending.command

    def forget_activity(self, pending: PendingActivity) -> None:
        """Its outcome no longer matters to the code."""
        self._activities.pop(pending.id, None)

    def start_timer(self, handle: TimerHandle, delay_s: float, summary: str = "") -> None:
        """See `loop.Timers`."""
        self.require_writable("schedule timer")
        if delay_s < 0:
            raise RuntimeError("Attempting to schedule timer with negative delay")
        if not delay_s <= DELAY_S_MAX:  # also what is no number
            raise ValueError(f"a timer of {delay_s:g} s was asked for, expected at most {DELAY_S_MAX} s")
        handle.timer_id = self.next_id()
        self._timer_number += 1
        self._timers[handle.timer_id] = handle
        # Rounded up: a timer never fires before its time.
        delay_us = max(1, -int(-delay_s * 1_000_000 // 1))
        self.give(
            handle.timer_id,
            cmd.StartTimer(
                handle.timer_id,
                delay_us,
                summary or self.extras.pop("timer_summary", ""),
                number=self._timer_number,
            ),
        )

    def cancel_timer(self, handle: TimerHandle) -> None:
        """See `loop.Timers`."""
        timer_id, handle.timer_id = handle.timer_id, 0
        if self._timers.pop(timer_id, None) is None or self._evicting:
            return
        if not self.withdraw(timer_id):
            self.give(-timer_id, cmd.CancelTimer(timer_id))

    def wait_until(self, holds: Callable[[], bool]) -> asyncio.Future[None]:
        """A future that is done once `holds` returns true when nothing else is ready."""
        self.require_writable("wait condition")
        future: asyncio.Future[None] = self.loop.create_future()
        self._conditions.append(Condition(holds, future))
        return future

    def publish(self, topic: str, body: bytes, *, qos: int, retain: bool, expires_s: float | None) -> None:
        """Record a message for the outbox."""
        self.require_writable("publish a message")
        message_id = self.next_id()
        self.give(message_id, cmd.PublishMessage(message_id, topic, body, qos, retain, expires_s))

    def add_child(self, pending: PendingChild) -> None:
        """Ask for a child."""
        self._children[pending.id] = pending
        self.give(pending.id, pending.command)

    def forget_child(self, pending: PendingChild) -> None:
        """Its outcome no longer matters to the code."""
        self._children.pop(pending.id, None)

    def reach(
        self, command: cmd.SignalExternal | cmd.SignalWithStart | cmd.CancelExternal, values: Values
    ) -> Coroutine[Any, Any, str]:
        """Ask something of another execution, whose values these are; to be awaited until it has it.

        Raises (when it is awaited):
            what the recorded failure says: there is no such execution.
        """
        future: asyncio.Future[str] = self.loop.create_future()
        self._externals[command.id] = future, values
        self.give(command.id, command)

        def withdraw(_error: asyncio.CancelledError) -> None:
            if self.withdraw(command.id):
                del self._externals[command.id]
                failure = Failure(kind="canceled", message="Signal was cancelled before being sent")
                self.answer_later(lambda: future.set_exception(values.error_of(failure)))

        return until_done(future, withdraw)

    def upsert_memo(self, memo: Mapping[str, Payload], removed: Sequence[str]) -> None:
        """The memo has these values from here on, and `removed` (which are null values in `memo`) no more."""
        self.memo.update(memo)
        for name in removed:
            self.memo.pop(name, None)
        self.add(cmd.UpsertMemo(memo))

    def upsert_search_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        """The execution is found by these from here on; a value of None removes one."""
        self.search_attributes.update(attributes)
        for name, (_, value) in attributes.items():
            if value is None:
                self.search_attributes.pop(name, None)
        self.add(cmd.UpsertSearchAttributes(attributes))

    # -- eviction ------------------------------------------------------------------------------------------

    def _unwind(self) -> None:
        while True:
            try:
                self.loop.run(self.loop.close_tasks)
                break
            except PotentialDeadlock:
                pass  # What it had come to is unwound; on with the rest.
        self._conditions.clear()
        self._activities.clear()
        self._timers.clear()
        self._children.clear()
        self._externals.clear()


_ENDS = (
    events.ActivityCompleted
    | events.ActivityFailed
    | events.TimerFired
    | events.ChildStartFailed
    | events.ChildClosed
)
_QUERY_YIELDS_MAX = 1000
STACK_TRACE = "__stack_trace"
BUILT_IN_QUERIES = ("__enhanced_stack_trace", STACK_TRACE, "__temporal_workflow_metadata")
"""The queries that every workflow answers."""


async def _awaited(result: Any) -> Any:
    return await result if hasattr(result, "__await__") else result


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
