"""Changes of workflow code while executions run: which side of each an execution takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .commands import RecordPatch

if TYPE_CHECKING:
    from .instance import Instance


class Patches:
    """The answers that one execution got, each the same for the rest of its run."""

    def __init__(self, instance: Instance) -> None:
        self.recorded: set[str] = set()
        """What the history has that this code was rebuilt from."""
        self.ask: Callable[[Instance, str], object] | None = None
        """Decides where code that runs for the first time meets a change; the new side is taken without it."""
        self._instance = instance
        self._answers: dict[str, bool] = {}

    def taken(self, patch_id: str, *, deprecated: bool) -> bool:
        """Whether the new side of a change is to be taken.

        Raises:
            TypeError: who decides gave no answer.
        """
        known = self._answers.get(patch_id)
        if known is None:
            known = self._answers[patch_id] = self._decide(patch_id, deprecated)
            if known:
                self._instance.add(RecordPatch(patch_id, deprecated))
        return known

    def _decide(self, patch_id: str, deprecated: bool) -> bool:
        if self._instance.replaying or patch_id in self.recorded:
            return patch_id in self.recorded
        if deprecated or self.ask is None:
            return True
        answer = self._asked(self.ask, patch_id)
        if type(answer) is not bool:
            raise TypeError("Patch activation callback must return true or false")
        return answer

    def _asked(self, ask: Callable[[Instance, str], object], patch_id: str) -> object:
        instance = self._instance
        ready_count = instance.loop.ready_count
        instance.read_only = True
        try:
            answer = ask(instance, patch_id)
            if instance.loop.ready_count > ready_count:
                instance.require_writable("schedule task")
            return answer
        finally:
            instance.read_only = False
