"""Turns of workflow code, in sight of a watchdog: how one that does not end is given up without harm to what comes after.

The core reads no clock and has no threads. A turn only shows itself in `running`, under its thread, while it lasts;
whoever watches from another thread may give it up. That must never hit what the thread does next, and must cost a turn
nothing but the lines that show and hide it (`WorkflowLoop.run`):

1. The watcher puts what it wants into `given_up`, then looks whether the turn still runs, and only then raises
   `Interrupted` into its thread.
2. The turn leaves `running` before it looks into `given_up`. When it finds nothing there, the watcher has not looked
   yet, and will see that it is gone. Otherwise `recall` waits until the watcher has done, and takes back what is still
   on its way.
3. What comes between is met by the turn itself: the steps of leaving are repeated until they have gone through.

None of these lines has a place between it and the next where Python would raise what another thread has asked for: that
is at calls, at the start of functions and at jumps back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .loop import WorkflowLoop


class PotentialDeadlock(RuntimeError):
    """Workflow code did not come to the end of its turn; the traceback is where it was when it was given up."""


class Interrupted(KeyboardInterrupt):
    """Raised into the thread of code that was given up. asyncio lets what derives from KeyboardInterrupt through at once."""


class GivenUp(NamedTuple):
    """A turn that is to end now."""

    loop: WorkflowLoop
    turn: int
    error: PotentialDeadlock
    recall: Callable[[], None]
    """After this, nothing is raised into the thread that calls it any more."""


running: dict[int, WorkflowLoop | None] = {}
"""The loop whose turn it is, by thread."""
given_up: dict[int, GivenUp] = {}
"""By thread."""
