"""Messages in: from their receipt to the commit of their effect, and only then to their acknowledgement.

Every message has one of these ends, and is acknowledged after it:

* its **effects** (a start, a signal, an answer to a command) are committed, each together with a key that tells a
  redelivery, so that none happens twice;
* it is **parked** in the quarantine, because it cannot be understood or has no place;
* it is **ignored**: its topic is ours, but what it says calls for nothing.

While the journal has no room nothing is acknowledged; the broker keeps what we cannot, and stops sending when
Receive Maximum messages wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from overwinter.devices.commands import ANSWER_SIGNAL, AnswerRefused, check_answer, parse_id
from overwinter.runtime.core.definition import WorkflowDefinition
from overwinter.runtime.core.events import Signaled
from overwinter.runtime.core.payload_groups import Group
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import StorageFull
from overwinter.runtime.ports import ParkedMessage
from overwinter.runtime.requests import (
    AlreadyRunning,
    EngineClosed,
    KeyTaken,
    NoSuchExecution,
    StartRequest,
)
from overwinter.runtime.values import ConvertedValues

from .decoding import MessageRefused, decode_json
from .mqtt_messages import Received
from .sealing_line import SealingLine
from .topics import TopicFilter
from .triggers import Effect, Ignored, Refused, SignalWithStart, SignalWorkflow, StartWorkflow, Triggers

_log = logging.getLogger(__name__)

WINDOW: Final = 20_000
"""How many keys of committed messages are remembered here; the journal keeps as many."""
_FULL_RETRY_S: Final = 1.0
_PARKED_BYTES_MAX: Final = 64 * 1024
_EVENT_ID_MAX: Final = 200
"""Characters of an event id that are kept as they are; of a longer one, a digest."""
_CONFLICT: Final = {"ignore": "use_existing", "refuse": "fail", "terminate": "terminate_existing"}
QOS_0_MAX: Final = 2_000
"""Messages at QoS 0 that may wait for their commit; the broker's flow control does not count these."""


Action: TypeAlias = Callable[[tuple[str, bytes] | None], asyncio.Future[Any]]
"""Has an effect on the engine, together with the key that tells a redelivery; done when it is durable."""


class Acknowledger(Protocol):
    """What intake needs of the MQTT session."""

    def acknowledge(self, received: Received) -> None:
        """The message's end is durable."""
        ...


class Intake:
    """Turns received messages into effects on the engine."""

    def __init__(
        self,
        engine: Engine,
        triggers: Triggers,
        workflows: Mapping[str | None, WorkflowDefinition],
        values: ConvertedValues,
        *,
        answers: TopicFilter | None,
        task_queue: str,
        flags_redelivery: bool,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """``started``, ``signaled``, ``answered``, ``duplicates``, ``ignored``, ``gaps``, ``dropped_at_qos_0``; more
        by name."""
        self.refused: Counter[str] = Counter()
        """Messages in quarantine since the start, by reason."""
        self._engine = engine
        self._triggers = triggers
        self._workflows = workflows
        self._values = values
        self._line = SealingLine()
        self._answers = answers
        self._task_queue = task_queue
        self._flags_redelivery = flags_redelivery
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._resumed: dict[str, bytes] = {}
        self._session: Acknowledger | None = None
        self._was_connected = False
        self._waiting_at_qos_0 = 0
        self._under_way: dict[str, list[Callable[[], None]]] = {}
        """By key of an effect that is not durable yet: what to do for repeats of its message once it is."""

    async def close(self) -> None:
        """What is not in the engine by now has no effect, and is not acknowledged."""
        await self._line.close()

    def connect(self, session: Acknowledger) -> None:
        """Acknowledge to this session."""
        self._session = session

    def recall(self, received: list[tuple[str, bytes]]) -> None:
        """Take over the keys that the journal remembers."""
        self._known.update(received[-WINDOW:])

    # -- the session's callbacks ---------------------------------------------------------------------

    def on_connected(self, session_present: bool) -> None:
        """A connection begins: what was sent before and not acknowledged comes again, under its old packet ids."""
        self._resumed = (
            {key: digest for key, digest in self._known.items() if key.startswith("packet:")}
            if session_present
            else {}
        )
        before, self._was_connected = self._was_connected or bool(self._known), True
        if not session_present and before:
            self.counters["gaps"] += 1
            _log.warning(
                "the broker has lost our session: what was published while we were away did not reach us"
            )

    def on_message(self, received: Received) -> None:
        """Take a message. Never raises: what goes wrong is the message's end.

        A message at QoS 0 is dropped, and counted, while `QOS_0_MAX` of them wait.
        """
        if received.qos == 0:
            if self._waiting_at_qos_0 >= QOS_0_MAX:
                if not self.counters["dropped_at_qos_0"]:
                    _log.warning(
                        "too many messages at QoS 0 wait for the journal: more are dropped and counted"
                    )
                self.counters["dropped_at_qos_0"] += 1
                return
            self._waiting_at_qos_0 += 1
        try:
            self._take(received)
        except Exception as error:  # one message must not end the session
            _log.exception("a message on %r was not understood", received.topic)
            self._park(received, "internal_error", f"{type(error).__name__}: {error}")

    def _take(self, received: Received) -> None:
        if self._answers is not None and self._answers.matches(received.topic):
            self._take_answer(received)
            return
        decision = self._triggers.decide(
            received.topic, received.payload, retained=received.retain, event_id=received.event_id
        )
        if isinstance(decision, Refused):
            self._park(received, decision.code, decision.message)
        elif isinstance(decision, Ignored):
            self.counters["ignored"] += 1
            self._acknowledge(received)
        else:
            self._apply(received, decision)

    def _take_answer(self, received: Received) -> None:
        try:
            answer = check_answer(decode_json(received.payload))
        except MessageRefused as error:
            self._park(received, error.code, str(error))
            return
        except AnswerRefused as error:
            self._park(received, "wrong_type", str(error))
            return
        (workflow_id, run_id), _ = parse_id(answer["id"])

        values = self._values.for_receiver(workflow_id, run_id=run_id)

        def tell(args: Group, key: tuple[str, bytes] | None) -> asyncio.Future[Any]:
            signal = Signaled(ANSWER_SIGNAL, args, caused_by=received.topic)
            return self._engine.signal(workflow_id, run_id, signal, received=key)

        self._carry_out(received, [("answered", self._sealed(values, answer, tell))])

    def _sealed(
        self,
        values: ConvertedValues,
        argument: Any,
        act: Callable[[Group, tuple[str, bytes] | None], asyncio.Future[Any]],
    ) -> Action:
        """The action that seals an argument, and then acts with it."""
        args = values.encode((argument,))
        return lambda key: self._line.then(values.converter, args, lambda sealed: act(sealed, key))

    # -- effects -------------------------------------------------------------------------------------

    def _apply(self, received: Received, effects: list[Effect]) -> None:
        actions: list[tuple[str, Action]] = []
        for effect in effects:
            problem = self._misfit(effect)
            if problem is not None:
                self._park(received, "wrong_type", problem)
                return
            name = "signaled" if isinstance(effect, SignalWorkflow) else "started"
            actions.append((name, self._action(effect, received.topic)))
        self._carry_out(received, actions)

    def _misfit(self, effect: Effect) -> str | None:
        """Why the argument does not fit the workflow or handler that it is for; None when it does."""
        definition = self._workflows.get(effect.workflow) if effect.workflow is not None else None
        if definition is None:
            return None
        if isinstance(effect, StartWorkflow):
            hints = definition.arg_types
        else:
            handler = definition.signals.get(effect.signal)
            hints = None if handler is None else handler.arg_types
        if not hints:
            return None
        try:
            self._values.decode(self._values.encode((effect.argument,)), hints[:1])
        except Exception as error:  # whatever a type's own constructor raises
            return f"{type(error).__name__}: {error}"
        return None

    def _action(self, effect: Effect, topic: str) -> Action:
        values = self._values.for_receiver(effect.workflow_id, workflow_type=effect.workflow)

        def signal(args: Group, key: tuple[str, bytes] | None) -> asyncio.Future[Any]:
            assert isinstance(effect, SignalWorkflow)
            body = Signaled(effect.signal, args, caused_by=topic)
            return self._engine.signal(effect.workflow_id, None, body, received=key)

        def start(args: Group, key: tuple[str, bytes] | None) -> asyncio.Future[Any]:
            assert not isinstance(effect, SignalWorkflow)
            request = self._start(effect, args, topic)
            return self._engine.start(request, on_conflict=_CONFLICT[effect.if_running], received=key)

        act = signal if isinstance(effect, SignalWorkflow) else start
        return self._sealed(values, effect.argument, act)

    def _start(self, effect: StartWorkflow | SignalWithStart, args: Group, topic: str) -> StartRequest:
        assert effect.workflow is not None
        signal: Signaled | None = None
        if isinstance(effect, SignalWithStart):
            signal, args = Signaled(effect.signal, args, caused_by=topic), ()
        return StartRequest(
            workflow_id=effect.workflow_id,
            workflow_type=effect.workflow,
            task_queue=effect.task_queue or self._task_queue,
            args=args,
            signal=signal,
            caused_by=topic,
        ).under(effect.concurrency)

    def _carry_out(
        self,
        received: Received,
        actions: list[tuple[str, Action]],
    ) -> None:
        """Carry out each action that no earlier delivery has carried out, then acknowledge."""
        left = len(actions)

        def one_less() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._acknowledge(received)

        for index, (name, action) in enumerate(actions):
            key = self._key(received, index)
            if key is not None and self._is_repeat(received, key):
                self.counters["duplicates"] += 1
                if key[0] in self._under_way:
                    self._under_way[key[0]].append(one_less)
                else:
                    one_less()
            else:
                self._try(received, name, action, key, one_less)

    def _try(
        self,
        received: Received,
        name: str,
        action: Action,
        key: tuple[str, bytes] | None,
        done: Callable[[], None],
    ) -> None:
        if key is not None:
            self._remember(key)
            self._under_way.setdefault(key[0], [])

        def ended(future: asyncio.Future[Any]) -> None:
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or isinstance(error, EngineClosed):
                return  # not acknowledged: it comes again at the next start
            # An OSError is that of the folder of payload files. Nothing is acknowledged while it cannot be written.
            if isinstance(error, StorageFull | OSError):
                loop = asyncio.get_running_loop()
                loop.call_later(_FULL_RETRY_S, self._try, received, name, action, key, done)
                return
            if error is None:
                self.counters[name] += 1
            elif isinstance(error, NoSuchExecution):
                self.counters["no_open_execution"] += 1
            elif isinstance(error, AlreadyRunning | KeyTaken):
                reason = "already_running" if isinstance(error, AlreadyRunning) else "key_taken"
                self._park(received, reason, str(error), finish)
                return
            else:
                _log.error("a message on %r had no effect", received.topic, exc_info=error)
                self._park(received, "effect_failed", f"{type(error).__name__}: {error}", finish)
                return
            finish()

        def finish() -> None:
            for acknowledge_repeat in [] if key is None else self._under_way.pop(key[0], []):
                acknowledge_repeat()
            done()

        action(key).add_done_callback(ended)

    # -- redelivery ----------------------------------------------------------------------------------

    def _key(self, received: Received, index: int) -> tuple[str, bytes] | None:
        """What tells this message's effect from all others; None when it can come only once (QoS 0)."""
        digest = hashlib.blake2b(received.topic.encode() + b"\0" + received.payload, digest_size=8).digest()
        if received.event_id is not None:
            event_id = received.event_id
            if len(event_id) > _EVENT_ID_MAX:
                event_id = hashlib.blake2b(event_id.encode(), digest_size=16).hexdigest()
            return f"event:{index}:{event_id}", digest
        if received.qos == 0:
            return None
        return f"packet:{index}:{received.packet_id}", digest

    def _is_repeat(self, received: Received, key: tuple[str, bytes]) -> bool:
        name, digest = key
        if name.startswith("event:"):
            return name in self._known
        # Brokers send what we have not acknowledged again under the packet id that it had (MQTT 5.0, 4.4), and flag it.
        # Only the first message under that id after a reconnect can be such; later ones reuse the number.
        before = self._resumed.pop(name, None)
        return before == digest and (received.duplicate or not self._flags_redelivery)

    def _remember(self, key: tuple[str, bytes]) -> None:
        self._known[key[0]] = key[1]
        self._known.move_to_end(key[0])
        while len(self._known) > WINDOW:
            self._known.popitem(last=False)

    # -- ends ----------------------------------------------------------------------------------------

    def _park(
        self, received: Received, reason: str, detail: str, done: Callable[[], None] | None = None
    ) -> None:
        """Put it into quarantine; then `done`, or its acknowledgement."""
        self.refused[reason] += 1
        message = ParkedMessage(
            0,
            self._engine.now_us(),
            received.topic,
            reason,
            detail[:1000],
            received.payload[:_PARKED_BYTES_MAX],
        )

        def ended(future: asyncio.Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            if isinstance(error, StorageFull):
                self.refused[reason] -= 1
                asyncio.get_running_loop().call_later(
                    _FULL_RETRY_S, self._park, received, reason, detail, done
                )
            elif error is None and not future.cancelled():
                if done is None:
                    self._acknowledge(received)
                else:
                    done()

        self._engine.park(message).add_done_callback(ended)

    def _acknowledge(self, received: Received) -> None:
        if received.qos == 0:
            self._waiting_at_qos_0 -= 1
        elif self._session is not None:
            self._session.acknowledge(received)
