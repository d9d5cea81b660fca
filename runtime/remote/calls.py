"""The calls of a frontend and their errors, as they travel.

There is no list of them here: what `Frontend` has is offered, with the parameters and results that it names.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, get_type_hints

from ..core.payload import Failure
from ..exceptions import ActivityAlreadyStartedError, WorkflowAlreadyStartedError
from ..frontend import ActivityCancelled, Frontend, QueryFailed, QueryRejected, UpdateRejected
from ..schedules import ScheduleAlreadyRunningError
from ..service import RPCError, RPCStatusCode
from .records import Coder, Misfit, coder_of

_log = logging.getLogger(__name__)

ONCE: Final = "once"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a frontend."""

    name: str
    changes: bool
    """Whether it changes state, and carries a request id."""
    takes_time: bool
    waits: bool
    """See the marks in `frontend.port`."""
    signature: inspect.Signature
    """Without the request id."""
    parameters: tuple[tuple[str, Coder], ...]
    answer: Coder

    def encode_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments as msgpack takes them."""
        if kwargs:
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        return [coder.encoded(value) for (_, coder), value in zip(self.parameters, args, strict=True)]

    def decode_arguments(self, found: Any) -> list[Any]:
        """The arguments that came.

        Raises:
            Misfit: they are not those of this call.
        """
        given = cast("list[Any]", found) if type(found) is list else []
        if len(given) != len(self.parameters):
            raise Misfit(f"{self.name} takes a list of {len(self.parameters)} arguments")
        values: list[Any] = []
        for (name, coder), value in zip(self.parameters, given, strict=True):
            try:
                values.append(coder.decode(value, 0))
            except Misfit as error:
                raise error.within(f"{self.name}.{name}") from None
        return values


def _call(name: str, method: Callable[..., Any]) -> Call:
    signature = inspect.signature(method)
    hints = get_type_hints(method)
    names = [each for each in signature.parameters if each not in ("self", ONCE)]
    return Call(
        name=name,
        changes=ONCE in signature.parameters,
        takes_time=getattr(method, "takes_time", False),
        waits=getattr(method, "waits", False),
        signature=signature.replace(parameters=[signature.parameters[each] for each in names]),
        parameters=tuple((each, coder_of(hints[each])) for each in names),
        answer=coder_of(hints["return"]),
    )


CALLS: Final[Mapping[str, Call]] = {
    name: _call(name, method)
    for name, method in vars(Frontend).items()
    if not name.startswith("_") and inspect.isfunction(method)
}


# -- errors --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Error:
    """One kind of error: what is sent of it, and how it is made again."""

    cls: type[Exception]
    fields: Callable[[Any], Sequence[Any]]
    make: Callable[..., Exception]
    coders: tuple[Coder, ...]


def _error(
    cls: type[Exception],
    hints: Sequence[Any] = (),
    fields: Callable[[Any], Sequence[Any]] = lambda _error: (),
    make: Callable[..., Exception] | None = None,
) -> _Error:
    return _Error(cls, fields, make or cls, tuple(coder_of(hint) for hint in hints))


def _already_started(workflow_id: str, kind: str, run_id: str | None, first_run_id: str | None) -> Exception:
    return WorkflowAlreadyStartedError(workflow_id, kind, run_id=run_id, first_run_id=first_run_id)


def _activity_already_started(activity_id: str, kind: str, run_id: str | None) -> Exception:
    return ActivityAlreadyStartedError(activity_id, kind, run_id=run_id)


# By name, since programs of different versions speak of them. Never rename.
_ERRORS: Final[Mapping[str, _Error]] = {
    "rpc": _error(RPCError, (str, RPCStatusCode), lambda error: (error.message, error.status)),
    "already_started": _error(
        WorkflowAlreadyStartedError,
        (str, str, str | None, str | None),
        lambda error: (error.workflow_id, error.workflow_type, error.run_id, error.first_run_id),
        _already_started,
    ),
    "query_failed": _error(QueryFailed, (str,), lambda error: (str(error),)),
    "query_rejected": _error(QueryRejected, (str,), lambda error: (error.status,)),
    "update_rejected": _error(UpdateRejected, (Failure,), lambda error: (error.failure,)),
    "activity_already_started": _error(
        ActivityAlreadyStartedError,
        (str, str, str | None),
        lambda error: (error.activity_id, error.activity_type, error.run_id),
        _activity_already_started,
    ),
    "activity_cancelled": _error(ActivityCancelled, (bool,), lambda error: (error.paused,)),
    "schedule_exists": _error(ScheduleAlreadyRunningError),
    "value": _error(ValueError, (str,), lambda error: (str(error),)),
    "type": _error(TypeError, (str,), lambda error: (str(error),)),
}


def encode_error(error: Exception) -> list[Any]:
    """An error as msgpack takes it; one that no caller can know of is logged, and told as a fault of the gateway."""
    for name, kind in _ERRORS.items():
        if isinstance(error, kind.cls):
            fields = kind.fields(error)
            return [name, *(c.encoded(f) for c, f in zip(kind.coders, fields, strict=True))]
    _log.error("a call of a client failed in a way that it cannot be told", exc_info=error)
    return encode_error(RPCError(f"{type(error).__name__}: {error}", RPCStatusCode.INTERNAL))


def decode_error(found: Any) -> Exception:
    """The error that a gateway told; one of a newer gateway is an `RPCError` of status UNKNOWN."""
    name, *fields = cast("list[Any]", found) if type(found) is list and found else [None]
    kind = _ERRORS.get(name) if type(name) is str else None
    if kind is None or len(fields) != len(kind.coders):
        return RPCError(f"the gateway told an unknown error: {found!r:.200}", RPCStatusCode.UNKNOWN)
    try:
        return kind.make(*(coder.decode(field, 0) for coder, field in zip(kind.coders, fields, strict=True)))
    except Misfit as error:
        return RPCError(f"the gateway told an error that cannot be: {error}", RPCStatusCode.UNKNOWN)
