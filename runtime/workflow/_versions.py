"""Changing workflow code while executions run."""

from __future__ import annotations

from ._current import current


def patched(id: str) -> bool:
    """Whether this execution is to take the new side of a change: True, but for what ran before the change.

    The answer stays the same for the rest of the run, and in every replay.
    """
    instance = current()
    instance.require_writable("check patch")
    return instance.patched(id, deprecated=False)


def deprecate_patch(id: str) -> None:
    """No execution from before a change is left: only its new side stands here. Histories with and without fit."""
    instance = current()
    instance.require_writable("deprecate patch")
    instance.patched(id, deprecated=True)
