"""Changing workflow code while executions run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.instance import Instance
from ..core.records import dataclass
from ._context import Info, own_info
from ._current import current
from ._event_groups import EventGroup
from ._unsafe import unsafe


def patched(id: str, *, event_groups: Sequence[EventGroup] | None = None) -> bool:
    """Whether this execution is to take the new side of a change: True, but for what ran before the change.

    The answer stays the same for the rest of the run, and in every replay. `event_groups` are for what has a lifetime,
    which a patch has not.
    """
    del event_groups
    instance = current()
    instance.require_writable("patch")
    return instance.patches.taken(id, deprecated=False)


def deprecate_patch(id: str, *, event_groups: Sequence[EventGroup] | None = None) -> None:
    """No execution from before a change is left: only its new side stands here. Histories with and without fit."""
    del event_groups
    instance = current()
    instance.require_writable("patch")
    instance.patches.taken(id, deprecated=True)


@dataclass(frozen=True)
class PatchActivationInput:
    """A call of `patched` that is new to its execution."""

    workflow_info: Info
    patch_id: str


def asked_whether_to_take(
    callback: Callable[[PatchActivationInput], bool], instance: Instance, patch_id: str
) -> object:
    """What a worker's callback says; it is no workflow code, and its answer is recorded."""
    with unsafe.sandbox_unrestricted():
        return callback(PatchActivationInput(own_info(instance), patch_id))
