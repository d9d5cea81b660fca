"""The decorators that turn a class into a workflow."""

from __future__ import annotations

import enum
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, overload

from ..common import RawValue, VersioningBehavior
from ..core.definition import HandlerDefinition, WorkflowDefinition
from ..signatures import types_of

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


class HandlerUnfinishedPolicy(enum.Enum):
    """What is said when the workflow closes while this handler still runs."""

    WARN_AND_ABANDON = 1
    ABANDON = 2


@dataclass
class DynamicWorkflowConfig:
    """Options that a dynamic workflow chooses for each execution."""

    failure_exception_types: Sequence[type[BaseException]] | None = None
    versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED


_DEFINITION = "__overwinter_workflow__"
_RUN = "__overwinter_run__"
_INIT = "__overwinter_init__"
_SIGNAL = "__overwinter_signal__"
_QUERY = "__overwinter_query__"
_UPDATE = "__overwinter_update__"
_DYNAMIC_CONFIG = "__overwinter_dynamic_config__"
_RESERVED = ("__temporal", "__overwinter")


# -- defn ------------------------------------------------------------------------------------------


@overload
def defn(cls: C, /) -> C: ...
@overload
def defn(
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool | None = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
    versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED,
) -> Callable[[C], C]: ...
def defn(
    cls: C | None = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool | None = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
    versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED,
) -> C | Callable[[C], C]:
    """Make a class a workflow.

    `name` is how it is started, the class's name if none is given; a `dynamic` workflow takes every type that has
    none of its own. An exception of one of `failure_exception_types` fails the run; any other that is no
    `FailureError` is a bug, which blocks the execution until the code is mended. `sandboxed` and
    `versioning_behavior` are accepted as the Temporal SDK has them: there is no sandbox here (see
    `docs/temporal.md`).

    Raises:
        ValueError: the class is no workflow; the message says what is missing.
        TypeError: a decorated function does not fit.
    """
    del sandboxed

    def decorate(cls: C) -> C:
        if name is not None and dynamic:
            raise ValueError(f"{cls.__qualname__}: a workflow is either dynamic or has a name, not both")
        definition = replace(
            _define(cls, None if dynamic else name or cls.__name__, failure_exception_types),
            versioning_behavior=int(versioning_behavior),
        )
        setattr(cls, _DEFINITION, definition)
        return cls

    return decorate if cls is None else decorate(cls)


def _define(
    cls: type, name: str | None, failure_exception_types: Sequence[type[BaseException]]
) -> WorkflowDefinition:
    _check_name("workflow", name)
    if "<locals>" in cls.__qualname__:
        raise ValueError(
            f"Local classes unsupported, {cls.__qualname__} cannot be in a function: a gateway must find it by name after a restart"
        )
    run_fn = _run_method(cls)
    arg_types, return_type = types_of(run_fn, is_method=True)
    init = cls.__dict__.get("__init__")
    takes_args = init is not None and getattr(init, _INIT, False)
    if init is not None and takes_args:
        _check_init(cls, init, run_fn)
    return WorkflowDefinition(
        name=name,
        cls=cls,
        run_fn=run_fn,
        arg_types=arg_types,
        return_type=return_type,
        init_takes_args=takes_args,
        signals=_handlers(cls, _SIGNAL, "signal"),
        queries=_handlers(cls, _QUERY, "query"),
        updates={
            name: replace(handler, validator=getattr(handler.fn, _VALIDATOR, None))
            for name, handler in _handlers(cls, _UPDATE, "update").items()
        },
        dynamic_config=_dynamic_config(cls, name),
        failure_exception_types=tuple(failure_exception_types),
    )


def _dynamic_config(cls: type, name: str | None) -> Callable[[Any], Any] | None:
    for fn in cls.__dict__.values():
        if getattr(fn, _DYNAMIC_CONFIG, False):
            if name is not None:
                raise ValueError(
                    f"{cls.__qualname__}: @workflow.dynamic_config is for dynamic workflows only"
                )
            return cast("Callable[[Any], Any]", fn)
    return None


def _run_method(cls: type) -> Callable[..., Any]:
    marked = [fn for _, fn in inspect.getmembers(cls, inspect.isfunction) if getattr(fn, _RUN, False)]
    own = [fn for fn in marked if fn.__name__ in cls.__dict__]
    if len(marked) > 1:
        raise ValueError(
            f"{cls.__qualname__}: multiple @workflow.run methods found ({', '.join(fn.__name__ for fn in marked)}), expected one"
        )
    if not marked:
        for base in cls.__mro__[1:]:
            for attribute in base.__dict__.values():
                if getattr(attribute, _RUN, False):
                    raise ValueError(
                        f"{cls.__qualname__}: @workflow.run is on {attribute.__qualname__}, and is overridden without it: decorate the override"
                    )
        raise ValueError(
            f"{cls.__qualname__}: missing @workflow.run method: decorate one async method with it"
        )
    if not own:
        raise ValueError(
            f"{cls.__qualname__}: @workflow.run method {marked[0].__name__} must be defined on the class itself: override and decorate it"
        )
    return marked[0]


def _check_init(cls: type, init: Callable[..., Any], run_fn: Callable[..., Any]) -> None:
    ours = [p.replace(name="_") for p in list(inspect.signature(init).parameters.values())[1:]]
    theirs = [p.replace(name="_") for p in list(inspect.signature(run_fn).parameters.values())[1:]]
    if ours != theirs:
        raise ValueError(
            f"{cls.__qualname__}: @workflow.init and @workflow.run must have the same parameters, "
            f"found {inspect.signature(init)} and {inspect.signature(run_fn)}"
        )


def _handlers(cls: type, mark: str, kind: str) -> dict[str | None, HandlerDefinition]:
    found: dict[str | None, HandlerDefinition] = {}
    for attribute, fn in inspect.getmembers(cls, inspect.isfunction):
        handler: HandlerDefinition | None = getattr(fn, mark, None)
        if handler is None:
            for base in cls.__mro__[1:]:
                if getattr(base.__dict__.get(attribute), mark, None) is not None:
                    raise ValueError(
                        f"{cls.__qualname__}.{attribute} overrides a @workflow.{kind} method without the decorator: decorate it too"
                    )
            continue
        if handler.name in found:
            raise ValueError(
                f"{cls.__qualname__}: multiple {kind} methods found for {handler.name!r}, expected one"
            )
        found[handler.name] = handler
    return found


def workflow_definition(cls: type) -> WorkflowDefinition:
    """The definition that `defn` made of this very class.

    Raises:
        ValueError: it is no workflow.
    """
    definition: WorkflowDefinition | None = cls.__dict__.get(_DEFINITION)
    if definition is None:
        raise ValueError(f"class {cls.__qualname__} is no workflow: decorate it with @workflow.defn")
    return definition


# -- run and init ----------------------------------------------------------------------------------


def run(fn: F) -> F:
    """Mark the method that is the workflow; it must be `async`.

    Raises:
        ValueError: it is not asynchronous, or is in a function.
    """
    if not inspect.iscoroutinefunction(fn):
        raise ValueError(
            f"{fn.__qualname__}: workflow run method must be an async function, found {type(fn).__name__}"
        )
    if "<locals>" in fn.__qualname__:
        raise ValueError(f"Local classes unsupported, {fn.__qualname__} cannot be in a function")
    setattr(fn, _RUN, True)
    return fn


def init(init_fn: F) -> F:
    """Mark `__init__` as taking the arguments of the run method.

    Raises:
        ValueError: it is on another method.
    """
    if init_fn.__name__ != "__init__":
        raise ValueError(f"{init_fn.__qualname__}: @workflow.init may only be used on __init__")
    setattr(init_fn, _INIT, True)
    return init_fn


# -- handlers --------------------------------------------------------------------------------------


@overload
def signal(fn: F, /) -> F: ...
@overload
def signal(
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Callable[[F], F]: ...
def signal(
    fn: F | None = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> F | Callable[[F], F]:
    """Mark a method that takes a signal; it may be `async`. A `dynamic` one takes (name, arguments) of any other.

    Raises:
        ValueError: both a name and `dynamic`, or a reserved name.
    """

    def decorate(fn: F) -> F:
        handler = _handler("signal", fn, name, dynamic, description)
        setattr(fn, _SIGNAL, replace(handler, unfinished_policy=unfinished_policy.value))
        return fn

    return decorate if fn is None else decorate(fn)


@overload
def query(fn: F, /) -> F: ...
@overload
def query(
    *, name: str | None = None, dynamic: bool | None = False, description: str | None = None
) -> Callable[[F], F]: ...
def query(
    fn: F | None = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    description: str | None = None,
) -> F | Callable[[F], F]:
    """Mark a method that answers a query; it only reads. A `dynamic` one takes (name, arguments) of any other.

    Raises:
        ValueError: both a name and `dynamic`, or a reserved name.
    """

    def decorate(fn: F) -> F:
        setattr(fn, _QUERY, _handler("query", fn, name, dynamic, description))
        return fn

    return decorate if fn is None else decorate(fn)


def update(
    fn: Any = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Any:
    """Mark a method that takes an update and returns its result; it may be `async`.

    Its ``validator`` decorates a method with the same parameters that only reads, and raises to reject the update: a
    rejected one leaves no trace. A `dynamic` one takes (name, arguments) of any other.

    Raises:
        ValueError: both a name and `dynamic`, a reserved name, or a validator whose parameters differ.
    """

    def decorate(fn: Any) -> Any:
        handler = _handler("update", fn, name, dynamic, description)
        setattr(fn, _UPDATE, replace(handler, unfinished_policy=unfinished_policy.value))
        fn.validator = _validator_of(fn)
        return fn

    return decorate if fn is None else decorate(fn)


_VALIDATOR = "__overwinter_validator__"


def _validator_of(update_fn: Any) -> Callable[[F], F]:
    def validator(fn: F) -> F:
        if inspect.iscoroutinefunction(fn):
            raise ValueError(
                f"{fn.__qualname__}: an update validator cannot be async, it only looks at the arguments"
            )
        ours, theirs = (
            [p.replace(name="_") for p in inspect.signature(f).parameters.values()] for f in (fn, update_fn)
        )
        if [p.kind for p in ours] != [p.kind for p in theirs]:
            raise ValueError(
                f"Update validator method {fn.__name__} parameters do not match update method {update_fn.__name__} parameters"
            )
        setattr(update_fn, _VALIDATOR, fn)
        return fn

    return validator


def dynamic_config(fn: F) -> F:
    """Mark the method that chooses the options of a dynamic workflow; it returns a `DynamicWorkflowConfig`.

    Raises:
        ValueError: it is asynchronous.
    """
    if inspect.iscoroutinefunction(fn):
        raise ValueError(f"{fn.__qualname__}: @workflow.dynamic_config cannot be async")
    setattr(fn, _DYNAMIC_CONFIG, True)
    return fn


def _handler(
    kind: str, fn: Callable[..., Any], name: str | None, dynamic: bool | None, description: str | None
) -> HandlerDefinition:
    if name is not None and dynamic:
        raise ValueError(f"{fn.__qualname__}: a {kind} handler is either dynamic or has a name, not both")
    handler = handler_of(
        None if dynamic else name or fn.__name__, fn, is_method=True, description=description
    )
    _check_name(kind, handler.name)
    return handler


def handler_of(
    name: str | None, fn: Callable[..., Any], *, is_method: bool, description: str | None = None
) -> HandlerDefinition:
    """The definition of a handler function; `name` None makes it dynamic."""
    arg_types, return_type = types_of(fn, is_method=is_method)
    varargs = name is None and _takes_varargs(fn, is_method)
    return HandlerDefinition(
        takes_varargs=varargs,
        name=name,
        fn=fn,
        is_method=is_method,
        arg_types=arg_types,
        return_type=return_type,
        description=description,
    )


def _takes_varargs(fn: Callable[..., Any], is_method: bool) -> bool:
    """Whether a dynamic handler has the old form ``(name, *args)``.

    Raises:
        RuntimeError: it has neither form.
    """
    parameters = list(inspect.signature(fn).parameters.values())[1 if is_method else 0 :]
    if len(parameters) == 2 and parameters[1].kind == inspect.Parameter.VAR_POSITIONAL:
        warnings.warn(
            "Dynamic handlers with vararg third param is deprecated, use Sequence[RawValue]",
            DeprecationWarning,
            stacklevel=4,
        )
        return True
    if len(parameters) != 2:
        raise RuntimeError(
            f"Dynamic handler {fn.__qualname__} must have 2 arguments, the name and a Sequence[{RawValue.__name__}]"
        )
    return False


def update_definition(update: str | Callable[..., Any]) -> tuple[str, Any]:
    """The name and result type of an update, given by name or by its handler.

    Raises:
        TypeError: the function is no update handler, or a dynamic one.
    """
    name = _handler_name(update, _UPDATE, "update")
    handler = cast("HandlerDefinition | None", getattr(update, _UPDATE, None))
    return name, None if handler is None else handler.return_type


def signal_name(signal: str | Callable[..., Any]) -> str:
    """The name of a signal, given by name or by its handler.

    Raises:
        TypeError: the function is no signal handler, or a dynamic one.
    """
    return _handler_name(signal, _SIGNAL, "signal")


def query_definition(query: str | Callable[..., Any]) -> tuple[str, Any]:
    """The name and result type of a query, given by name or by its handler.

    Raises:
        TypeError: the function is no query handler, or a dynamic one.
    """
    name = _handler_name(query, _QUERY, "query")
    handler = cast("HandlerDefinition | None", getattr(query, _QUERY, None))
    return name, None if handler is None else handler.return_type


def _handler_name(handler: str | Callable[..., Any], mark: str, kind: str) -> str:
    if isinstance(handler, str):
        return handler
    definition = cast("HandlerDefinition | None", getattr(handler, mark, None))
    if definition is None:
        raise TypeError(
            f"{getattr(handler, '__qualname__', handler)!r} is no {kind} handler: decorate it with @workflow.{kind}, or give its name"
        )
    if definition.name is None:
        raise TypeError(f"a dynamic {kind} handler has no name to call it by: give the name as a string")
    return definition.name


def _check_name(kind: str, name: str | None) -> None:
    if name is not None and name.startswith(_RESERVED):
        raise ValueError(
            f"{kind} name {name!r} cannot start with {' or '.join(_RESERVED)}: these are reserved"
        )
