"""Every public name of Temporal's Python SDK, and whether ours is the same.

    python -m tests.compatibility.names               # how many there are of each kind, by module
    python -m tests.compatibility.names --markdown    # the whole table, for docs/temporal.md
    python -m tests.compatibility.names --write       # puts it there

A name is public when it is in `__all__`, or has no leading underscore and is defined in its package. Of classes every
public method, property, field and member counts too. `known.toml` holds the differences that are meant.
"""

from __future__ import annotations

import dataclasses
import enum
import fnmatch
import functools
import importlib
import importlib.util
import inspect
import re
import sys
import tomllib
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = (
    "workflow",
    "activity",
    "client",
    "worker",
    "common",
    "exceptions",
    "converter",
    "testing",
    "service",
    "runtime",
    "plugin",
    "envconfig",
    "worker.workflow_sandbox",
    "contrib.pydantic",
)
THEIRS, OURS = "temporalio", "overwinter.runtime"
KNOWN = Path(__file__).with_name("known.toml")
DOCUMENT = Path(__file__).parents[2] / "docs" / "temporal.md"
BEGIN, END = "<!-- names:begin -->", "<!-- names:end -->"

_MISSING: Any = object()
_HINTS = (typing.TypeVar, typing.ParamSpec, ModuleType)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Finding:
    """One name of theirs: `same`, `differs` (by what is in `issues`) or `absent`."""

    path: str
    verdict: str
    issues: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return max((name for name in MODULES if self.path.startswith(name + ".")), key=len)

    @property
    def name(self) -> str:
        """The path inside the module."""
        return self.path.removeprefix(self.module + ".")

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(self.issues) or self.verdict}"


@dataclass(frozen=True)
class Known:
    """The differences that are meant, each with its reason."""

    absent: Mapping[str, str]
    """Names (patterns of `fnmatch`) that are not offered."""

    parameters: Mapping[str, str]
    """Parameters and fields that are not offered, wherever they are."""

    differs: Mapping[str, Mapping[str, str]]
    """By name (or pattern): each issue and its reason."""

    @classmethod
    def load(cls) -> Known:
        found = tomllib.loads(KNOWN.read_text())
        return cls(found.get("absent", {}), found.get("parameters", {}), found.get("differs", {}))

    def reasons(self, finding: Finding) -> dict[str, str]:
        """The accepted ones of a finding's issues (or `absent`), with their reasons."""
        if finding.verdict == "absent":
            found = {"absent": self._absent(finding)}
        else:
            found = {issue: self._issue(finding, issue) for issue in finding.issues}
        return {what: why for what, why in found.items() if why}

    def open(self, finding: Finding) -> tuple[str, ...]:
        """What of a finding nobody has accepted."""
        wanted = ("absent",) if finding.verdict == "absent" else finding.issues
        accepted = self.reasons(finding)
        return tuple(what for what in wanted if what not in accepted)

    def stale(self, findings: list[Finding]) -> list[str]:
        """Entries that no finding has any use for."""
        absent = [finding for finding in findings if finding.verdict == "absent"]
        issues = [(finding, issue) for finding in findings for issue in finding.issues]
        found = [
            f"absent: {pattern}"
            for pattern in self.absent
            if not any(fnmatch.fnmatchcase(finding.path, pattern) for finding in absent)
        ]
        found += [
            f"parameters: {name}"
            for name in self.parameters
            if not any(_not_offered(issue) == name for _, issue in issues)
            and not any(finding.name.endswith("." + name) for finding in absent)
        ]
        return found + [
            f"differs: {pattern}: {issue}"
            for pattern, accepted in self.differs.items()
            for issue in accepted
            if not any(
                issue == seen and fnmatch.fnmatchcase(finding.path, pattern) for finding, seen in issues
            )
        ]

    def _absent(self, finding: Finding) -> str | None:
        for pattern, why in self.absent.items():
            if fnmatch.fnmatchcase(finding.path, pattern):
                return why
        member = finding.name.rpartition(".")
        return self.parameters.get(member[2]) if member[0] else None

    def _issue(self, finding: Finding, issue: str) -> str | None:
        for pattern, accepted in self.differs.items():
            if issue in accepted and fnmatch.fnmatchcase(finding.path, pattern):
                return accepted[issue]
        parameter = _not_offered(issue)
        return None if parameter is None else self.parameters.get(parameter)


def _not_offered(issue: str) -> str | None:
    """The parameter that an issue says is not there, or only swallowed."""
    found = re.fullmatch(r"without (\w+)|takes (\w+) by \*\* only", issue)
    return None if found is None else found[1] or found[2]


@functools.cache
def compare() -> list[Finding]:
    """Every public name, module after module."""
    return [finding for name in MODULES for finding in _module(name)]


def _module(name: str) -> Iterator[Finding]:
    theirs = importlib.import_module(f"{THEIRS}.{name}")
    ours: Any = None
    if importlib.util.find_spec(f"{OURS}.{name.split('.')[0]}") is not None:
        ours = importlib.import_module(f"{OURS}.{name}")
    for public in _public(theirs):
        yield from _compare(f"{name}.{public}", getattr(theirs, public), getattr(ours, public, _MISSING))


def _public(module: ModuleType) -> list[str]:
    listed = getattr(module, "__all__", None)
    names = [name for name in (listed or vars(module)) if not name.startswith("_")]
    return sorted(name for name in names if _is_of(module, getattr(module, name), listed is not None))


def _is_of(module: ModuleType, value: Any, listed: bool) -> bool:
    if isinstance(value, _HINTS):
        return False
    home = getattr(value, "__module__", None) or type(value).__module__
    if home.startswith(module.__name__):
        return True
    if not listed:
        return False
    # What a module only hands on is compared where it is at home, and helpers of annotations are not compared.
    elsewhere = any(home.startswith(f"{THEIRS}.{name}") for name in MODULES)
    return not elsewhere and home != f"{THEIRS}.types" and home != "typing"


def _compare(path: str, theirs: Any, ours: Any) -> Iterator[Finding]:
    if ours is _MISSING:
        yield Finding(path, "absent")
        return
    if isinstance(theirs, type):
        if not isinstance(ours, type):
            yield Finding(path, "differs", ("not a class",))
            return
        yield _verdict(path, _constructor(theirs, ours))
        for name, their_member, our_member in _members(theirs, ours):
            yield from _compare_member(f"{path}.{name}", their_member, our_member)
        return
    yield _verdict(path, _callable(theirs, ours) if callable(theirs) else ())


def _verdict(path: str, issues: tuple[str, ...]) -> Finding:
    return Finding(path, "differs" if issues else "same", issues)


def _constructor(theirs: type, ours: type) -> tuple[str, ...]:
    # The fields of a dataclass, of a tuple, of a dictionary and of an enumeration are compared one by one.
    by_field = dataclasses.is_dataclass(theirs) or issubclass(theirs, enum.Enum | tuple | dict)
    return () if by_field or "__init__" not in vars(theirs) else _callable(theirs, ours)


def _members(theirs: type, ours: type) -> Iterator[tuple[str, Any, Any]]:
    names = [*vars(theirs), *vars(theirs).get("__annotations__", {})]
    for name in sorted(set(names)):
        if name.startswith("_"):
            continue
        yield name, _member(theirs, name), _member(ours, name)


def _member(cls: type, name: str) -> Any:
    """A member as it was written, or `Field` for what has only an annotation."""
    fields = getattr(cls, "__dataclass_fields__", {})
    if name in fields:
        return fields[name]
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
        if name in vars(base).get("__annotations__", {}):
            return dataclasses.field()
    return dataclasses.field() if _is_set_on_instances(cls, name) else _MISSING


def _is_set_on_instances(cls: type, name: str) -> bool:
    written = [base for base in cls.__mro__ if base.__module__.startswith((THEIRS, OURS))]
    return any(re.search(rf"\bself\.{name}\b(:[^=\n]+)? = ", inspect.getsource(base)) for base in written)


def _compare_member(path: str, theirs: Any, ours: Any) -> Iterator[Finding]:
    if ours is _MISSING:
        yield Finding(path, "absent")
        return
    if isinstance(theirs, type) and isinstance(ours, type):
        yield from _compare(path, theirs, ours)
        return
    their_call, our_call = _function(theirs), _function(ours)
    if (their_call is None) != (our_call is None):
        kind = "a method" if our_call else "an attribute"
        yield Finding(path, "differs", (f"is {kind}",))
    elif their_call and our_call:
        yield _verdict(path, _callable(their_call, our_call))
    else:
        yield _verdict(path, _field(theirs, ours))


def _function(member: Any) -> Callable[..., Any] | None:
    if isinstance(member, classmethod | staticmethod):
        member = member.__get__(None, object)
    return member if inspect.isroutine(member) and not isinstance(member, property) else None


def _field(theirs: Any, ours: Any) -> tuple[str, ...]:
    if not isinstance(theirs, dataclasses.Field) or not isinstance(ours, dataclasses.Field):
        return ()
    return _default_issue("", _field_default(theirs), _field_default(ours))


def _field_default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default


def _callable(theirs: Any, ours: Any) -> tuple[str, ...]:
    if not callable(ours):
        return ("not callable",)
    try:
        wanted, found = inspect.signature(theirs).parameters, inspect.signature(ours).parameters
    except ValueError:
        return ()
    issues = list(_parameters(wanted, found))
    if inspect.iscoroutinefunction(theirs) and not inspect.iscoroutinefunction(ours):
        issues.append("is not async")
    if not inspect.iscoroutinefunction(theirs) and inspect.iscoroutinefunction(ours):
        issues.append("is async")
    return tuple(issues)


def _parameters(
    wanted: Mapping[str, inspect.Parameter], found: Mapping[str, inspect.Parameter]
) -> Iterator[str]:
    kinds = inspect.Parameter
    takes_any = any(parameter.kind is kinds.VAR_KEYWORD for parameter in found.values())
    for name, parameter in wanted.items():
        if parameter.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD):
            if not any(other.kind is parameter.kind for other in found.values()):
                yield f"without {'*' if parameter.kind is kinds.VAR_POSITIONAL else '**'}{name}"
        elif name not in found:
            yield f"takes {name} by ** only" if takes_any else f"without {name}"
        else:
            yield from _parameter(name, parameter, found[name])
    for name, parameter in found.items():
        is_named = parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        if name not in wanted and is_named:
            yield f"also {name}"
    yield from _order(wanted, found)


def _parameter(name: str, wanted: inspect.Parameter, found: inspect.Parameter) -> Iterator[str]:
    # What is positional there may also be given by name here; the reverse is a difference.
    if wanted.kind is not found.kind and name != "self":
        yield f"{name} is {found.kind.description}, not {wanted.kind.description}"
    yield from _default_issue(f"{name} ", wanted.default, found.default)


def _order(wanted: Mapping[str, inspect.Parameter], found: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    first = [name for name, each in wanted.items() if each.kind in _POSITIONAL and name in found]
    second = [name for name, each in found.items() if each.kind in _POSITIONAL and name in wanted]
    if [name for name in first if name in second] != [name for name in second if name in first]:
        yield f"order is {', '.join(second)}"


def _default_issue(prefix: str, wanted: Any, found: Any) -> tuple[str, ...]:
    one, two = _plain(wanted), _plain(found)
    if one == two:
        return ()
    return (f"{prefix}defaults to {two}, not {one}",)


def _plain(value: Any) -> str:
    """A default so that equal ones of both packages look equal."""
    if value is inspect.Parameter.empty:
        return "nothing"
    if type(value) is object:
        return "unset"
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, list | tuple | Mapping | set | frozenset) and not value:
        return "empty"
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__name__
    if type(value).__name__.endswith(("WorkflowRunner", "SandboxRestrictions")):
        return type(value).__name__  # What there is no sandbox for.
    if dataclasses.is_dataclass(value):
        given = {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init}
        fields = [f"{name}={_plain(each)}" for name, each in given.items() if each is not None]
        return f"{type(value).__name__}({', '.join(fields)})"
    if type(value).__module__.startswith((THEIRS, OURS)):
        return type(value).__name__.lstrip("_")
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def summary(findings: list[Finding], known: Known) -> str:
    """How many names there are of each kind, by module."""
    lines = [f"{'':18}{'same':>7}{'differ':>9}{'absent':>9}{'not accepted':>15}"]
    for name in (*MODULES, ""):
        mine = [finding for finding in findings if not name or finding.module == name]
        count = Counter(finding.verdict for finding in mine)
        still_open = sum(bool(known.open(finding)) for finding in mine)
        lines.append(
            f"{name or 'together':18}{count['same']:7}{count['differs']:9}{count['absent']:9}{still_open:15}"
        )
    return "\n".join(lines)


def markdown(findings: list[Finding], known: Known) -> str:
    """One row for each name of a module; members that are the same are not told one by one."""
    lines: list[str] = []
    for module in MODULES:
        mine = [finding for finding in findings if finding.module == module]
        lines += ["", f"### `{module}`", "", "| name | |", "|---|---|"]
        tops = [finding for finding in mine if "." not in finding.name]
        for top in tops:
            members = [finding for finding in mine if finding.name.startswith(top.name + ".")]
            lines.append(f"| `{top.name}` | {_cell(top, members, known)} |")
    return "\n".join(lines[1:]) + "\n"


def _cell(top: Finding, members: list[Finding], known: Known) -> str:
    if top.verdict == "absent":
        return f"not offered: {known.reasons(top).get('absent', 'not yet')}"
    parts = [_issues("", top, known)] if top.verdict == "differs" else []
    for member in members:
        name = f"`{member.name.removeprefix(top.name + '.')}`"
        if member.verdict == "absent":
            parts.append(f"no {name} ({known.reasons(member).get('absent', 'not yet')})")
        elif member.verdict == "differs":
            parts.append(_issues(name + " ", member, known))
    return ("same" if not parts else "differs: " + "; ".join(parts)).replace("|", "\\|")


def _issues(prefix: str, finding: Finding, known: Known) -> str:
    reasons = known.reasons(finding)
    by_reason: dict[str, list[str]] = {}
    for issue in finding.issues:
        by_reason.setdefault(reasons.get(issue, "not yet"), []).append(issue)
    return "; ".join(f"{prefix}{', '.join(issues)} ({why})" for why, issues in by_reason.items())


def write(table: str) -> None:
    """Put the table between the markers of the document."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise SystemExit(f"{DOCUMENT} has no lines {BEGIN} and {END}: put them where the table shall be")
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}{END}{after}")


def main() -> None:
    """What the module's first lines say."""
    findings, known = compare(), Known.load()
    if "--markdown" in sys.argv:
        print(markdown(findings, known), end="")
    elif "--write" in sys.argv:
        write(markdown(findings, known))
    else:
        print(summary(findings, known))
        for finding in findings:
            if still_open := known.open(finding):
                print(f"{finding.path}: {', '.join(still_open)}")
        for entry in known.stale(findings):
            print(f"known.toml has an entry that is no longer needed: {entry}")


if __name__ == "__main__":
    main()
