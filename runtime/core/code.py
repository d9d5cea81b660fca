"""What the activations of an execution are handed to: a workflow's code, or the little that runs a single activity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from .commands import Command
from .events import Happening
from .payload import Payload

if TYPE_CHECKING:
    from .instance import RejectedUpdate, RunningHandler


class Code(Protocol):
    """What drives one execution: activations go in, commands come out."""

    closed: bool
    """Whether it has given the command that closes the execution."""
    replaying: bool
    """Whether it is being rebuilt: what it asks for was asked for before."""
    history_length: int
    history_bytes: Callable[[], int]
    rejected: list[RejectedUpdate]
    """Updates that were refused in the last activation."""
    unfinished: list[RunningHandler]
    """Handlers that had not finished when the workflow closed, for its owner to warn of and to empty."""

    accepted_behind: dict[str, int]
    """Updates that were accepted behind commands, and behind how many; for the one who records them, and empties it."""

    @property
    def dropped_signals(self) -> list[tuple[str, Exception]]:
        """Signals whose arguments do not fit their handler, with the reason; the engine logs and empties it."""
        ...

    def begin_replay(self, patches: set[str]) -> None:
        """It is being rebuilt, from a history that has these patches, until `replaying` is false again."""
        ...

    def activate(self, at_us: int, inputs: Sequence[Happening]) -> list[Command]:
        """Hand over what happened together, and return what is asked for.

        Raises:
            ActivationFailed: it has a bug, and is unusable from here on; drop it.
        """
        ...

    def query(
        self, name: str, args: Sequence[Payload], headers: Mapping[str, Payload] | None = None
    ) -> Payload:
        """Answer a query at the current state; raises LookupError, or whatever the handler raised."""
        ...

    def asked(self, number: int) -> Command | None:
        """The command by which this activity or child was asked for, while its end was not handed over."""
        ...

    def evict(self) -> None:
        """Free its memory, without any effect."""
        ...
