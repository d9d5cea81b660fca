"""The decorators that turn a class into a workflow."""

from __future__ import annotations

import enum
import inspect
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload, runtime_checkable

from ..common import Durability, VersioningBehavior
from ..core.definition import HandlerDefinition, WorkflowDefinition
from ..core.records import dataclass
from ..signatures import takes_raw_values, types_of
from ._members import DYNAMIC_CONFIG, HANDLERS, INIT, RUN, VALIDATOR, members_of

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
    durability: Durability = Durability.GROUPED,
) -> Callable[[C], C]: ...
def defn(
    cls: C | None = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool | None = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
    versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED,
    durability: Durability = Durability.GROUPED,
) -> C | Callable[[C], C]:
    """Make a class a workflow.

    `name` is how it is started, the class's name if none is given; a `dynamic` workflow takes every type that has
    none of its own. An exception of one of `failure_exception_types` fails the run; any other that is no
    `FailureError` is a bug, which blocks the execution until the code is mended. `sandboxed` and
    `versioning_behavior` are accepted as the Temporal SDK has them: there is no sandbox here (see
    `docs/temporal.md`). `durability` is for executions that begin from now on; each says it in its history.

    Raises:
        ValueError: the class is no workflow; the message says what is missing.
        TypeError: a decorated function does not fit.
    """
    del sandboxed

    def decorate(cls: C) -> C:
        definition = replace(
            _define(cls, None if dynamic else name or cls.__name__, failure_exception_types),
            versioning_behavior=int(versioning_behavior),
            durability=int(Durability(durability)),
        )
        setattr(cls, _DEFINITION, definition)
        setattr(definition.run_fn, _DEFINITION, definition)
        return cls

    return decorate if cls is None else decorate(cls)


def _define(
    cls: type, name: str | None, failure_exception_types: Sequence[type[BaseException]]
) -> WorkflowDefinition:
    if _DEFINITION in vars(cls):
        raise ValueError(f"Class already contains workflow definition: {cls.__qualname__} is decorated twice")
    _check_name("workflow", name)
    _refuse_local(cls.__qualname__)
    members = members_of(cls, name)
    run_fn = members.run_fn
    assert run_fn is not None, "a class without a run method was taken for a workflow"
    arg_types, return_type = types_of(run_fn, is_method=True)
    if name is None and not takes_raw_values(arg_types):
        raise TypeError(
            f"Dynamic workflow must accept a single Sequence[temporalio.common.RawValue]: {run_fn.__qualname__}"
        )
    return WorkflowDefinition(
        name=name,
        cls=cls,
        run_fn=run_fn,
        arg_types=arg_types,
        return_type=return_type,
        init_takes_args=members.init_fn is not None,
        signals=members.handlers["signal"],
        queries=members.handlers["query"],
        updates={
            name: replace(handler, validator=getattr(handler.fn, VALIDATOR, None))
            for name, handler in members.handlers["update"].items()
        },
        dynamic_config=members.dynamic_config,
        failure_exception_types=tuple(failure_exception_types),
    )


def _refuse_local(qualname: str) -> None:
    if "<locals>" in qualname:
        raise ValueError(
            "Local classes unsupported, @workflow.run cannot be on a local class: "
            f"a gateway must find {qualname} by its name after a restart"
        )


def workflow_definition(workflow: Any) -> WorkflowDefinition:
    """The definition that `defn` made, of this very class or of the run method of one.

    Raises:
        ValueError: it is no workflow.
        TypeError: it cannot be called.
    """
    if isinstance(workflow, type):
        definition: WorkflowDefinition | None = vars(workflow).get(_DEFINITION)
        what = f"Workflow {workflow.__name__} missing attributes, was it decorated with @workflow.defn?"
    elif callable(workflow):
        definition = getattr(workflow, _DEFINITION, None)
        what = (
            f"Function {getattr(workflow, '__qualname__', '<unknown>')} missing attributes, was it decorated with "
            "@workflow.run and was its class decorated with @workflow.defn?"
        )
    else:
        raise TypeError(f"Workflow must be a string or callable, found {workflow!r}")
    if definition is None:
        raise ValueError(what)
    return definition


# -- run and init ----------------------------------------------------------------------------------


def run(fn: F) -> F:
    """Mark the method that is the workflow; it must be `async`.

    Raises:
        ValueError: it is not asynchronous, or is in a function.
    """
    if not inspect.iscoroutinefunction(fn):
        raise ValueError(f"Workflow run method must be an async function: {fn.__qualname__} is not")
    _refuse_local(fn.__qualname__)
    setattr(fn, RUN, True)
    return fn


def init(init_fn: F) -> F:
    """Mark `__init__` as taking the arguments of the run method.

    Raises:
        ValueError: it is on another method.
    """
    if init_fn.__name__ != "__init__":
        raise ValueError(
            f"@workflow.init may only be used on the __init__ method, found {init_fn.__qualname__}"
        )
    setattr(init_fn, INIT, True)
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
        ValueError: a reserved name.
        RuntimeError: both a name and `dynamic`, or a dynamic one of other parameters.
    """

    def decorate(fn: F) -> F:
        handler = _handler("signal", fn, name, dynamic, description)
        setattr(fn, HANDLERS["signal"], replace(handler, unfinished_policy=unfinished_policy.value))
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
        ValueError: a reserved name.
        RuntimeError: both a name and `dynamic`, or a dynamic one of other parameters.
    """

    def decorate(fn: F) -> F:
        setattr(fn, HANDLERS["query"], _handler("query", fn, name, dynamic, description))
        return fn

    return decorate if fn is None else decorate(fn)


P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


@runtime_checkable
class UpdateMethodMultiParam(Protocol[P, R_co]):
    """What `update` makes of a method."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co | Awaitable[R_co]:
        """The method itself."""
        ...

    def validator(self, vfunc: Callable[P, None]) -> Callable[P, None]:
        """Mark the method that looks at the update's arguments first."""
        ...


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
        ValueError: a reserved name.
        RuntimeError: both a name and `dynamic`, or a dynamic one of other parameters.
    """

    def decorate(fn: Any) -> Any:
        handler = _handler("update", fn, name, dynamic, description)
        setattr(fn, HANDLERS["update"], replace(handler, unfinished_policy=unfinished_policy.value))
        fn.validator = _validator_of(fn)
        return fn

    return decorate if fn is None else decorate(fn)


def _validator_of(update_fn: Any) -> Callable[[F], F]:
    def validator(fn: F) -> F:
        if inspect.iscoroutinefunction(fn):
            raise ValueError(f"Update validator must not be an async function: {fn.__qualname__} is one")
        if hasattr(update_fn, VALIDATOR):
            raise RuntimeError(
                f"Validator already set for update {getattr(update_fn, HANDLERS['update']).name}"
            )
        setattr(update_fn, VALIDATOR, fn)
        return fn

    return validator


def dynamic_config(fn: F) -> F:
    """Mark the method that chooses the options of a dynamic workflow; it returns a `DynamicWorkflowConfig`.

    Raises:
        ValueError: it is asynchronous, or takes something.
    """
    if inspect.iscoroutinefunction(fn):
        raise ValueError(f"Workflow dynamic_config method must be synchronous: {fn.__qualname__} is not")
    if len(inspect.signature(fn).parameters) != 1:
        raise ValueError(f"Workflow dynamic_config method must only take self parameter: {fn.__qualname__}")
    setattr(fn, DYNAMIC_CONFIG, True)
    return fn


def _handler(
    kind: str, fn: Callable[..., Any], name: str | None, dynamic: bool | None, description: str | None
) -> HandlerDefinition:
    if name is not None and dynamic:
        raise RuntimeError(f"Cannot provide name and dynamic boolean: {fn.__qualname__} has one of the two")
    handler = handler_of(
        None if dynamic else name or fn.__name__, fn, is_method=True, description=description
    )
    _check_name(kind, handler.name)
    if kind == "update" and handler.takes_varargs:
        raise RuntimeError("Dynamic updates do not support a vararg third param, use Sequence[RawValue]")
    return handler


def handler_of(
    name: str | None, fn: Callable[..., Any], *, is_method: bool, description: str | None = None
) -> HandlerDefinition:
    """The definition of a handler function; `name` None makes it dynamic.

    Raises:
        RuntimeError: it is dynamic, and does not take a name and a sequence.
    """
    arg_types, return_type = types_of(fn, is_method=is_method)
    return HandlerDefinition(
        takes_varargs=name is None and _takes_varargs(fn, arg_types, is_method),
        name=name,
        fn=fn,
        is_method=is_method,
        arg_types=arg_types,
        return_type=return_type,
        description=description,
    )


def _takes_varargs(fn: Callable[..., Any], arg_types: Sequence[Any] | None, is_method: bool) -> bool:
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
    if arg_types is None or arg_types[:1] != [str] or not takes_raw_values(arg_types[1:]):
        raise RuntimeError(
            f"Dynamic handler must have 3 arguments: self, str, and Sequence[RawValue], found {fn.__qualname__}{inspect.signature(fn)}"
        )
    return False


def update_definition(update: str | Callable[..., Any]) -> tuple[str, Any]:
    """The name and result type of an update, given by name or by its handler.

    Raises:
        RuntimeError: the function is no update handler, or a dynamic one.
    """
    name = _handler_name(update, HANDLERS["update"], "update")
    handler = cast("HandlerDefinition | None", getattr(update, HANDLERS["update"], None))
    return name, None if handler is None else handler.return_type


def signal_name(signal: str | Callable[..., Any]) -> str:
    """The name of a signal, given by name or by its handler.

    Raises:
        RuntimeError: the function is no signal handler, or a dynamic one.
    """
    return _handler_name(signal, HANDLERS["signal"], "signal")


def query_definition(query: str | Callable[..., Any]) -> tuple[str, Any]:
    """The name and result type of a query, given by name or by its handler.

    Raises:
        RuntimeError: the function is no query handler, or a dynamic one.
    """
    name = _handler_name(query, HANDLERS["query"], "query")
    handler = cast("HandlerDefinition | None", getattr(query, HANDLERS["query"], None))
    return name, None if handler is None else handler.return_type


def _handler_name(handler: str | Callable[..., Any], mark: str, kind: str) -> str:
    if isinstance(handler, str):
        return handler
    definition = cast("HandlerDefinition | None", getattr(handler, mark, None))
    if definition is None:
        name = getattr(handler, "__qualname__", handler)
        raise RuntimeError(
            f"{kind.capitalize()} definition not found on {name}, is it decorated with @workflow.{kind}?"
        )
    if definition.name is None:
        raise RuntimeError(f"Cannot invoke dynamic {kind} definition: give the name as a string")
    return definition.name


def _check_name(kind: str, name: str | None) -> None:
    if name is not None and name.startswith(_RESERVED):
        raise ValueError(
            f"{kind} name {name!r} cannot start with {' or '.join(_RESERVED)}: these are reserved"
        )
