"""The payloads within events and commands: found, and replaced by others.

Payloads come in groups: the arguments of one call together, every other payload alone. A codec may make one payload out of a
group, so groups stay together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, cast

from .codec import KINDS
from .events import Body
from .payload import Failure, Payload

B = TypeVar("B", bound=Body)

Group: TypeAlias = tuple[Payload, ...]
Change: TypeAlias = Callable[[Group], Group]

ENCODED_ATTRIBUTES: Final = "encoded"
"""The attribute of a failure whose first detail is its message and stack trace, a group of its own."""


def groups_of(bodies: Iterable[Body], *, headers: bool = False) -> list[Group]:
    """The groups of payloads in these events and commands, in order; those in headers only when they are asked for."""
    found: list[Group] = []

    def note(group: Group) -> Group:
        found.append(group)
        return group

    for body in bodies:
        changed(body, note, headers=headers)
    return found


def changed(body: B, change: Change, *, headers: bool = False) -> B:
    """The event or command with each group replaced; itself if none was. Groups are visited in the same order each time."""
    replaced: dict[str, object] = {}
    for name, visit in _FIELDS[cast("type[Body]", type(body))]:
        if name == "headers" and not headers:
            continue
        before = getattr(body, name)
        after = visit(before, change)
        if after is not before:
            replaced[name] = after
    return dataclasses.replace(cast("Any", body), **replaced) if replaced else body


def changed_failure(failure: Failure, change: Change) -> Failure:
    """The failure with the details in it, and in its causes, replaced; itself if none was."""
    details = failure.details
    if details and failure.attributes.get(ENCODED_ATTRIBUTES) is True:
        details = (*change(details[:1]), *(change(details[1:]) if details[1:] else ()))
    elif details:
        details = change(details)
    cause = None if failure.cause is None else changed_failure(failure.cause, change)
    same = len(details) == len(failure.details) and all(
        new is old for new, old in zip(details, failure.details, strict=True)
    )
    if same and cause is failure.cause:
        return failure
    return dataclasses.replace(failure, details=details, cause=cause)


# -- fields ----------------------------------------------------------------------------------------


def _one(payload: Payload, change: Change) -> Payload:
    (after,) = change((payload,))
    return after


def _several(payloads: Group, change: Change) -> Group:
    return change(payloads) if payloads else payloads


def _named(payloads: Mapping[str, Payload], change: Change) -> Mapping[str, Payload]:
    if not payloads:
        return payloads
    after = {name: _one(payload, change) for name, payload in payloads.items()}
    return payloads if all(after[name] is payload for name, payload in payloads.items()) else after


def _or_none(visit: Callable[[Any, Change], Any]) -> Callable[[Any, Change], Any]:
    return lambda value, change: None if value is None else visit(value, change)


_BY_ANNOTATION: Final[Mapping[str, Callable[[Any, Change], Any]]] = {
    "Payload": _one,
    "Payload | None": _or_none(_one),
    "tuple[Payload, ...]": _several,
    "Mapping[str, Payload]": _named,
    "Failure": changed_failure,
    "Failure | None": _or_none(changed_failure),
}
_FIELDS: Final[Mapping[type[Body], tuple[tuple[str, Callable[[Any, Change], Any]], ...]]] = {
    cls: tuple(
        (field.name, _BY_ANNOTATION[cast("str", field.type)])
        for field in dataclasses.fields(cls)
        if field.type in _BY_ANNOTATION
    )
    for cls in KINDS.values()
}
