"""Arguments of the right types and of no sense, made from the hints of the port."""

from __future__ import annotations

import dataclasses
import random
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any, Union, get_args, get_origin

from overwinter.runtime.common import TypedSearchAttributes
from overwinter.runtime.core.payload import Attribute, Payload
from overwinter.runtime.remote.records import _LEFT_OUT, _NARROWED
from overwinter.runtime.schedules import ScheduleAction, ScheduleActionStartWorkflow
from overwinter.runtime.search_attributes import typed

from .peers import QUEUE

TEXTS = (
    "w", "w", "w", "Collect", "Collect", QUEUE, QUEUE, "fail", "use_existing", "terminate_existing", "", "\0", "é😀",
    "a" * 5000, "* * * * *", "@every 1s", "61 * * * *", "Europe/Berlin", "put", "add", "add_slowly", "seen", "go",
    "workflow_type", "task_queue", "everything", "WorkflowId = 'w'", "GROUP BY ExecutionStatus", "ORDER BY x (",
)  # fmt: skip
INTS = (0, 1, 2, 3, 4, 5, 100, -1, (1 << 63) - 1, -(1 << 63))
FLOATS = (0.0, 0.001, 1.0, 60.0, -1.0, 1e300, -1e300, 1e-300, float(1 << 62))
INSTANTS = (
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 1, 1),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-23))),
)
DURATIONS = (
    timedelta(),
    timedelta(seconds=1),
    timedelta(days=-1),
    timedelta.max,
    timedelta.min,
    timedelta(0, 0, 1),
)
PAYLOADS = (
    Payload({"encoding": b"json/plain"}, b'"a"'),
    Payload({"encoding": b"json/plain"}, b"2"),
    Payload({"encoding": b"json/plain"}, b"{"),
    Payload({"encoding": b"unheard of"}, b"\xff"),
    Payload({}, b""),
    Payload({"encoding": b"binary/null"}, b""),
)
ATTRIBUTES: tuple[Attribute, ...] = (
    ("Keyword", "x"), ("Int", -1), ("Int", (1 << 63) - 1), ("Double", 1e300), ("Bool", True), ("Datetime", 0),
    ("Datetime", (1 << 63) - 1), ("KeywordList", ["a", "b"]), ("KeywordList", []), ("Text", ""), ("Keyword", None),
)  # fmt: skip


def absurd(dice: random.Random, hint: Any, depth: int = 0) -> Any:
    """A value of this type."""
    simple: dict[Any, Sequence[Any]] = {
        str: TEXTS, int: INTS, float: FLOATS, bool: (True, False), bytes: (b"", b"w:1", b"\xff" * 50),
        datetime: INSTANTS, timedelta: DURATIONS, Payload: PAYLOADS, Attribute: ATTRIBUTES, types.NoneType: (None,),
        object: ("x", -1, 1.5, True, None, ["a", "b"]),
    }  # fmt: skip
    if hint in simple:
        return dice.choice(simple[hint])
    if hint is TypedSearchAttributes:
        names = {dice.choice("abc"): dice.choice(ATTRIBUTES[:6]) for _ in range(dice.randrange(3))}
        return typed(names)
    if hint is ScheduleAction:
        hint = ScheduleActionStartWorkflow
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return absurd(dice, dice.choice(args), depth + 1)
    if origin is typing.Literal:
        return dice.choice(args)
    if origin is tuple and args[-1] is not Ellipsis:
        return tuple(absurd(dice, arg, depth + 1) for arg in args)
    if origin in (tuple, list, Sequence):
        several = [absurd(dice, args[0], depth + 1) for _ in range(dice.randrange(3 if depth < 6 else 1))]
        return tuple(several) if origin is tuple else several
    if origin in (Mapping, dict):
        return {dice.choice("abc"): absurd(dice, args[1], depth + 1) for _ in range(dice.randrange(3))}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return dice.choice(list(hint))
    hints = {**typing.get_type_hints(hint), **_NARROWED.get(hint, {})}
    fields = hint._fields if hasattr(hint, "_fields") else [field.name for field in dataclasses.fields(hint)]
    names = [name for name in fields if name not in _LEFT_OUT.get(hint, ())]
    for _ in range(100):
        try:
            return hint(**{name: absurd(dice, hints[name], depth + 1) for name in names})
        except (TypeError, ValueError):
            continue  # Not even its class takes it.
    raise AssertionError(f"no {hint.__name__} could be made")
