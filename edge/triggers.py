"""What a message calls for: which workflow it starts or signals, by the triggers of the settings. No effect happens here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from overwinter.runtime.common import ConcurrencyKey, ConcurrencyPolicy

from . import decoding
from .decoding import MessageRefused
from .topics import TopicPattern

ID_CHARACTERS_MAX: Final = 255
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")

ACTIONS: Final = ("start", "signal", "signal_with_start")
FORMATS: Final = ("json", "msgpack", "text", "bytes")
IF_RUNNING: Final = ("ignore", "refuse", "terminate")
POLICIES: Final = tuple(policy.name.lower() for policy in ConcurrencyPolicy)
OPERATORS: Final = ("below", "above", "at_least", "at_most", "equals", "one_of", "present")


class TriggerError(ValueError):
    """A trigger contradicts itself; `key` is the setting that is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencySettings:
    """The concurrency key of what a trigger starts; its key has parts of the message, as an id has."""

    key: str
    limit: int = 1
    policy: str = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerSettings:
    """One ``[[trigger]]`` of the settings."""

    topic: str
    id: str
    action: str = "start"
    workflow: str | None = None
    signal: str | None = None
    where: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    format: str = "json"
    if_running: str = "ignore"
    live_only: bool = True
    task_queue: str | None = None
    concurrency: ConcurrencySettings | None = None


@dataclass(frozen=True, slots=True)
class StartWorkflow:
    """Begin a workflow with one argument."""

    workflow: str
    workflow_id: str
    argument: Any
    task_queue: str | None
    if_running: str
    concurrency: ConcurrencyKey | None = None


@dataclass(frozen=True, slots=True)
class SignalWorkflow:
    """Signal an open execution. `workflow` is its type, where the trigger names it."""

    workflow: str | None
    workflow_id: str
    signal: str
    argument: Any


@dataclass(frozen=True, slots=True)
class SignalWithStart:
    """Signal an open execution, or begin one without arguments and signal it, in one step."""

    workflow: str
    workflow_id: str
    signal: str
    argument: Any
    task_queue: str | None
    if_running: str = "ignore"
    concurrency: ConcurrencyKey | None = None


Effect = StartWorkflow | SignalWorkflow | SignalWithStart


@dataclass(frozen=True, slots=True)
class Ignored:
    """The message is understood and calls for nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The message cannot be used."""

    code: str
    message: str


class Trigger:
    """One trigger, checked and compiled.

    Raises:
        TriggerError: its settings contradict each other.
    """

    def __init__(self, settings: TriggerSettings) -> None:
        self.settings = settings
        self.pattern = TopicPattern.parse(settings.topic)
        _check_choice("action", settings.action, ACTIONS)
        _check_choice("format", settings.format, FORMATS)
        _check_choice("if_running", settings.if_running, IF_RUNNING)
        if settings.action != "signal" and not settings.workflow:
            raise TriggerError(
                "workflow", f'is missing: action "{settings.action}" starts a workflow, name its type'
            )
        if settings.action != "start" and not settings.signal:
            raise TriggerError("signal", f'is missing: action "{settings.action}" sends a signal, name it')
        if settings.action == "start" and settings.signal:
            raise TriggerError("signal", 'is given, but action "start" sends none: use "signal_with_start"')
        self._check_template("id", settings.id, "it names the execution, as in 'irrigate-{field}'")
        if settings.concurrency is not None:
            self._check_concurrency(settings.concurrency)
        self._check_where()

    def _check_template(self, key: str, template: str, purpose: str) -> None:
        for name in _PLACEHOLDER.findall(template):
            if name not in self.pattern.names and name != "event_id" and not name.startswith("payload."):
                raise TriggerError(
                    key,
                    f"has {{{name}}}, expected a part of the topic ({', '.join(self.pattern.names) or 'it has none'}), "
                    "{event_id} or {payload.FIELD}",
                )
        if not template:
            raise TriggerError(key, f"is empty: {purpose}")

    def _check_concurrency(self, concurrency: ConcurrencySettings) -> None:
        if self.settings.action == "signal":
            raise TriggerError("concurrency", 'is given, but action "signal" starts nothing')
        _check_choice("concurrency.policy", concurrency.policy, POLICIES)
        purpose = "executions with the same key count together, as in 'field-{field}'"
        self._check_template("concurrency.key", concurrency.key, purpose)

    def _check_where(self) -> None:
        for name, tests in self.settings.where.items():
            for operator, value in tests.items():
                key = f"where.{name}.{operator}"
                _check_choice(key, operator, OPERATORS)
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if operator in ("below", "above", "at_least", "at_most") and not number:
                    raise TriggerError(key, f"is {value!r}, expected a number")
                if operator == "present" and not isinstance(value, bool):
                    raise TriggerError(key, f"is {value!r}, expected true or false")
                if operator == "one_of" and not isinstance(value, list):
                    raise TriggerError(key, f"is {value!r}, expected a list")

    def decide(self, parts: Mapping[str, str], payload: bytes, event_id: str | None) -> Effect | Ignored:
        """What a message on a topic with these parts calls for.

        Raises:
            MessageRefused: it cannot be used.
        """
        settings = self.settings
        value = decoding.decode(settings.format, payload)
        fields: dict[str, Any] = (
            dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else {"value": value}
        )
        message = fields | dict(parts)
        for name, tests in settings.where.items():
            for operator, wanted in tests.items():
                if not _holds(name, operator, wanted, message):
                    return Ignored(f"{name} is not {operator} {wanted}")
        workflow_id = _filled(settings.id, "workflow id", parts, fields, event_id)
        concurrency = None
        if (wanted_key := settings.concurrency) is not None:
            key = _filled(wanted_key.key, "concurrency key", parts, fields, event_id)
            concurrency = ConcurrencyKey(key, wanted_key.limit, ConcurrencyPolicy[wanted_key.policy.upper()])
        if settings.action == "start":
            assert settings.workflow is not None
            return StartWorkflow(
                settings.workflow, workflow_id, message, settings.task_queue, settings.if_running, concurrency
            )
        assert settings.signal is not None
        if settings.action == "signal":
            return SignalWorkflow(settings.workflow, workflow_id, settings.signal, message)
        assert settings.workflow is not None
        return SignalWithStart(
            settings.workflow,
            workflow_id,
            settings.signal,
            message,
            settings.task_queue,
            concurrency=concurrency,
        )


class Triggers:
    """All triggers of a gateway."""

    def __init__(self, settings: Sequence[TriggerSettings]) -> None:
        self._triggers = [Trigger(trigger) for trigger in settings]

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return list(dict.fromkeys(trigger.pattern.subscription for trigger in self._triggers))

    def decide(
        self, topic: str, payload: bytes, *, retained: bool, event_id: str | None
    ) -> list[Effect] | Ignored | Refused:
        """What a message calls for, over all triggers whose topic fits. Never raises on what a message holds."""
        effects: list[Effect] = []
        ignored = Ignored("no trigger's topic fits")
        fits = False
        try:
            for trigger in self._triggers:
                parts = trigger.pattern.match(topic)
                if parts is None:
                    continue
                fits = True
                if retained and trigger.settings.live_only:
                    ignored = Ignored("it is a retained message, and the trigger is live_only")
                    continue
                decision = trigger.decide(parts, payload, event_id)
                if isinstance(decision, Ignored):
                    ignored = decision
                else:
                    effects.append(decision)
        except MessageRefused as error:
            return Refused(error.code, str(error))
        if not fits:
            return Refused("unknown_topic", "no trigger is for this topic")
        return effects or ignored


def _filled(
    template: str, what: str, parts: Mapping[str, str], fields: Mapping[str, Any], event_id: str | None
) -> str:
    """The template with parts of the topic, of the payload, and the event id.

    Raises:
        MessageRefused: the message lacks one of them, or the result is too long or cannot be printed.
    """

    def part(found: re.Match[str]) -> str:
        name = found[1]
        if name in parts:
            return parts[name]
        if name == "event_id":
            if event_id is None:
                raise MessageRefused(
                    "missing_field", f"the message has no user property event-id, which the {what} needs"
                )
            return event_id
        key = name.removeprefix("payload.")
        value = fields.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise MessageRefused(
                "missing_field", f"the payload has no text or whole number {key!r}, which the {what} needs"
            )
        return str(value)

    filled = _PLACEHOLDER.sub(part, template)
    if not 0 < len(filled) <= ID_CHARACTERS_MAX or not filled.isprintable():
        raise MessageRefused(
            "bad_id",
            f"the {what} {filled[:80]!r} is empty, has control characters or over {ID_CHARACTERS_MAX} characters",
        )
    return filled


def _check_choice(key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise TriggerError(key, f"is {value!r}, expected one of {', '.join(allowed)}")


def _holds(name: str, operator: str, wanted: Any, message: Mapping[str, Any]) -> bool:
    if operator == "present":
        return bool((name in message) == wanted)
    if name not in message:
        raise MessageRefused("missing_field", f"the message has no field {name!r}, by which it is judged")
    found = message[name]
    if operator == "equals":
        return bool(found == wanted)
    if operator == "one_of":
        return bool(found in wanted)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise MessageRefused("wrong_type", f"the field {name!r} is {str(found)[:80]!r}, expected a number")
    match operator:
        case "below":
            return bool(found < wanted)
        case "above":
            return bool(found > wanted)
        case "at_least":
            return bool(found >= wanted)
        case _:
            return bool(found <= wanted)
