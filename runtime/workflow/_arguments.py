"""What the functions of workflow code have in common: arguments and durations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ..common import arg_unset

UNSET: Any = arg_unset


def arguments(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    """The arguments, given as one or as several.

    Raises:
        ValueError: both were given.
    """
    if arg is UNSET:
        return args
    if args:
        raise ValueError("Cannot have arg and args: give one argument as arg, or all of them as args")
    return (arg,)


def positive(timeout: timedelta | None, name: str) -> float | None:
    """Seconds of a duration; None for none.

    Raises:
        ValueError: it is not positive.
    """
    if timeout is None:
        return None
    seconds = timeout.total_seconds()
    if seconds <= 0:
        raise ValueError(f"{name} is {timeout}, expected a positive duration")
    return seconds
