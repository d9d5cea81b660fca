"""What functions say of their parameters and results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from .common import RawValue


def types_of(fn: Callable[..., Any], *, is_method: bool) -> tuple[list[Any] | None, Any]:
    """The hints of the positional parameters (None unless all have one), and of the result."""
    parameters = list(inspect.signature(fn).parameters.values())[1 if is_method else 0 :]
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty:
            raise TypeError(
                f"{fn.__qualname__} has a keyword-only parameter {parameter.name!r}: arguments are passed by position"
            )
    try:
        hints = get_type_hints(fn)
    except Exception:
        hints = {}
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in positional]
    arg_types = [hints[name] for name in names] if all(name in hints for name in names) else None
    return arg_types, hints.get("return")


def takes_raw_values(arg_types: Sequence[Any] | None) -> bool:
    """Whether these are the hints of a dynamic function: one ``Sequence[RawValue]``, of `typing` or of the standard library."""
    if arg_types is None or len(arg_types) != 1:
        return False
    return get_origin(arg_types[0]) is Sequence and get_args(arg_types[0]) == (RawValue,)
