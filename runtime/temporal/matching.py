"""Replaying a history that was read from Temporal's form: what code asks for is bound to what was recorded.

The core compares ids too; here they are other ones, so each command of code gives its id to the recorded one in its
place, and what is handed over later is renamed. A recorded local activity has no place among the commands, and is
found by its activity id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ..core import commands as cmd
from ..core import events as ev
from ..core.commands import Command, identity
from ..core.events import Event, Happening
from ..core.instance import Instance
from ..core.replay import Activation, Agreement, diverged
from .reading import LocalActivity, Reading

_ANSWERS: Final = (
    ev.ActivityCompleted,
    ev.ActivityFailed,
    ev.TimerFired,
    ev.ChildStarted,
    ev.ChildStartFailed,
    ev.ChildClosed,
    ev.ExternalResolved,
)
_CANCELS: Final = (cmd.CancelActivity, cmd.CancelTimer, cmd.CancelChild)
_RAISES_LATE_CANCELLATION: Final = 1
_SINGLE_BATCH: Final = 2


class Renaming:
    """A `Matcher` for a history whose ids are not those of code here."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._ids: dict[int, int] = {}
        """Of code, by the recorded one."""
        self._local_ids: set[int] = set()
        self._early: list[Command] = []
        """What code has asked for before it was handed what the history has before it."""
        self._agreed: Agreement | None = None

    def step(self, instance: Instance, activation: Activation) -> None:
        """See `Matcher`."""
        rules = self._reading.language_rules.get(activation.number, frozenset())
        instance.raises_late_cancellation = _RAISES_LATE_CANCELLATION in rules
        instance.single_batch = _SINGLE_BATCH in rules
        asked, self._early = self._early, []
        waiting: Sequence[Happening] = activation.inputs
        while True:
            given, waiting = self._renamed(activation, waiting)
            answer = instance.activate(activation.at_us, given)
            asked += [command for command in answer if self._is_compared(activation, command)]
            if not waiting:
                break
        self._compare(activation, asked)

    # -- what is handed over -----------------------------------------------------------------------------------

    def _renamed(
        self, activation: Activation, bodies: Sequence[Happening]
    ) -> tuple[list[Happening], Sequence[Happening]]:
        """What can be handed over, with the ids of code; the rest needs what code will ask for in answer."""
        given: list[Happening] = []
        for index, body in enumerate(bodies):
            if not isinstance(body, _ANSWERS):
                given.append(body)
            elif body.id in self._ids:
                given.append(replace(body, id=self._ids[body.id]))
            elif isinstance(body, ev.ActivityFailed) and body.failure.kind == "canceled":
                continue  # A local activity that was withdrawn in the step that asked for it leaves no trace here.
            elif given:
                return given, bodies[index:]
            else:
                raise self._never_asked(activation, body.id)
        return given, ()

    def _never_asked(self, activation: Activation, recorded_id: int) -> Exception:
        """Code has not asked for the local activity that has ended here."""
        for activity_id, ended in self._reading.local_activities.items():
            if recorded_id in [each.id for each in ended]:
                recorded = self._recorded(activation, activity_id, ended[0])
                return diverged(activation, recorded, None, self._agreed)
        return ValueError(f"event {recorded_id} is referred to, and was not read")

    def _recorded(self, activation: Activation, activity_id: str, ended: LocalActivity) -> Event:
        """What the history would have of a local activity, if it had where it was asked for."""
        command = cmd.ScheduleActivity(
            ended.id, ended.activity_type, "", (), activity_id=activity_id, local=True
        )
        return Event(ended.id, activation.number, activation.at_us, command)

    # -- what is asked for -------------------------------------------------------------------------------------

    def _compare(self, activation: Activation, given: list[Command]) -> None:
        recorded = [event for event in activation.recorded if not isinstance(event.body, cmd.RecordPatch)]
        if (
            not self._reading.moves_closing_commands
            and recorded
            and isinstance(recorded[-1].body, ev.CLOSING)
        ):
            given = _without_late_outcomes(recorded, given)
        for index in range(max(len(recorded), len(given))):
            was = recorded[index] if index < len(recorded) else None
            now = given[index] if index < len(given) else None
            if was is None and activation.number + 1 in self._reading.after_cancelled:
                self._early = given[index:]
                return
            if was is None or now is None or not self._bind(was.body, now):
                raise diverged(activation, was, now, self._agreed)
            self._agreed = (was, now)

    def _is_compared(self, activation: Activation, command: Command) -> bool:
        """Whether it has a place among the recorded commands; a local activity is bound at once."""
        if isinstance(command, cmd.ScheduleActivity) and command.local:
            self._bind_local(activation, command)
            return False
        if isinstance(command, cmd.CancelActivity) and command.id in self._local_ids:
            return False
        return not isinstance(command, cmd.RecordPatch)

    def _bind_local(self, activation: Activation, command: cmd.ScheduleActivity) -> None:
        self._local_ids.add(command.id)
        ended = self._reading.local_activities.get(command.activity_id)
        if not ended:
            return  # It has not ended.
        if ended[0].activity_type != command.activity_type:
            recorded = self._recorded(activation, command.activity_id, ended[0])
            raise diverged(activation, recorded, command, self._agreed)
        self._ids[ended.pop(0).id] = command.id

    def _bind(self, was: ev.Body, now: Command) -> bool:
        """Whether a command is the recorded one; if so, it has its id from here on."""
        if type(was) is not type(now):
            return False
        recorded: Any = was
        code_id: int | None = getattr(now, "id", None)
        if isinstance(now, _CANCELS):
            recorded = replace(recorded, id=self._ids.get(recorded.id, 0))
        elif code_id is not None:
            self._ids[recorded.id] = code_id
            recorded = replace(recorded, id=code_id)
        return identity(recorded) == identity(now)


def _without_late_outcomes(recorded: Sequence[Event], given: Sequence[Command]) -> list[Command]:
    """Without outcomes of updates that an older SDK dropped because the workflow had closed."""
    kept = {event.body.update_id for event in recorded if isinstance(event.body, cmd.CompleteUpdate)}
    return [c for c in given if not isinstance(c, cmd.CompleteUpdate) or c.update_id in kept]
