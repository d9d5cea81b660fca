"""Accepted as the Temporal SDK has it. There is no sandbox here: `guard` refuses what does not repeat in replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

from ..core.loop import DeterminismViolation as RestrictedWorkflowAccessError
from ..core.records import dataclass
from ..exceptions import TemporalError
from ..workflow._unsafe import SandboxImportNotificationPolicy

__all__ = [
    "RestrictedWorkflowAccessError",
    "SandboxMatcher",
    "SandboxRestrictions",
    "SandboxedWorkflowRunner",
    "UnintentionalPassthroughError",
    "UnsandboxedWorkflowRunner",
    "WorkflowRunner",
]


class UnintentionalPassthroughError(TemporalError):
    """Never raised: no module is imported again for a run."""

    def __init__(self, qualified_name: str) -> None:
        super().__init__(f"Module {qualified_name} was not intentionally passed through to the sandbox.")
        self.qualified_name = qualified_name


def _no_children() -> Mapping[str, SandboxMatcher]:
    return {}


@dataclass(frozen=True)
class SandboxMatcher:
    """Names of modules and what is in them. Kept, and without effect: what workflow code may touch is the same everywhere."""

    access: AbstractSet[str] = frozenset()
    use: AbstractSet[str] = frozenset()
    children: Mapping[str, SandboxMatcher] = dataclasses.field(default_factory=_no_children)
    match_self: bool = False
    only_runtime: bool = False
    leaf_message: str | None = None
    leaf_warning: type[Warning] | None = None
    exclude: AbstractSet[str] = frozenset()

    all: ClassVar[SandboxMatcher]
    all_runtime: ClassVar[SandboxMatcher]
    none: ClassVar[SandboxMatcher]
    all_uses: ClassVar[SandboxMatcher]
    all_uses_runtime: ClassVar[SandboxMatcher]

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: a message or a warning for what does not match itself.
        """
        if self.leaf_message and not self.match_self:
            raise ValueError("Cannot set leaf_message without match_self")
        if self.leaf_warning and not self.match_self:
            raise ValueError("Cannot set leaf_warning without match_self")

    @classmethod
    def nested_child(cls, path: Sequence[str], child: SandboxMatcher) -> SandboxMatcher:
        """A matcher that has this one at the end of a path."""
        for name in reversed(path):
            child = cls(children={name: child})
        return child

    def __or__(self, other: SandboxMatcher) -> SandboxMatcher:
        """What either of them matches."""
        if self.match_self or other.match_self:
            return SandboxMatcher.all
        children = dict(self.children)
        for name, child in other.children.items():
            children[name] = children[name] | child if name in children else child
        return dataclasses.replace(
            self,
            access=self.access | other.access,
            use=self.use | other.use,
            exclude=self.exclude | other.exclude,
            children=children,
        )

    def with_child_unrestricted(self, *child_path: str) -> SandboxMatcher:
        """The same without what is at the end of this path.

        Raises:
            ValueError: there is no path.
        """
        if not child_path:
            raise ValueError("expected at least one name of a path")
        name, *rest = child_path
        children = dict(self.children)
        if rest:
            if name in children:
                children[name] = children[name].with_child_unrestricted(*rest)
            return dataclasses.replace(self, children=children)
        children.pop(name, None)
        return dataclasses.replace(
            self,
            access=self.access - {name},
            use=self.use - {name},
            children=children,
            exclude=self.exclude | {name},
        )


SandboxMatcher.all = SandboxMatcher(match_self=True)
SandboxMatcher.all_runtime = SandboxMatcher(match_self=True, only_runtime=True)
SandboxMatcher.none = SandboxMatcher()
SandboxMatcher.all_uses = SandboxMatcher(use={"*"})
SandboxMatcher.all_uses_runtime = SandboxMatcher(use={"*"}, only_runtime=True)


@dataclass(frozen=True)
class SandboxRestrictions:
    """What a sandbox would pass through and refuse. Kept, and without effect; see `SandboxMatcher`."""

    passthrough_modules: AbstractSet[str]
    invalid_modules: SandboxMatcher
    invalid_module_members: SandboxMatcher
    import_notification_policy: SandboxImportNotificationPolicy = (
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    )
    passthrough_all_modules: bool = False
    disable_lazy_sys_module_passthrough: bool = False

    passthrough_modules_minimum: ClassVar[AbstractSet[str]]
    passthrough_modules_with_temporal: ClassVar[AbstractSet[str]]
    passthrough_modules_maximum: ClassVar[AbstractSet[str]]
    passthrough_modules_default: ClassVar[AbstractSet[str]]
    invalid_module_members_default: ClassVar[SandboxMatcher]
    default: ClassVar[SandboxRestrictions]

    def with_passthrough_modules(self, *modules: str) -> SandboxRestrictions:
        """The same with these modules passed through; here all are, since none is imported again for a run."""
        return dataclasses.replace(self, passthrough_modules=self.passthrough_modules | set(modules))

    def with_passthrough_all_modules(self) -> SandboxRestrictions:
        """The same with every module passed through."""
        return dataclasses.replace(self, passthrough_all_modules=True)

    def with_import_notification_policy(self, policy: SandboxImportNotificationPolicy) -> SandboxRestrictions:
        """The same with this policy."""
        return dataclasses.replace(self, import_notification_policy=policy)


_MODULES = (
    "__builtins__", "asyncio", "bz2", "concurrent", "curses", "dbm", "filecmp", "fileinput", "ftplib", "getopt", "getpass",
    "gettext", "glob", "gzip", "http", "imaplib", "locale", "lzma", "marshal", "mmap", "multiprocessing", "os", "pathlib",
    "platform", "poplib", "random", "readline", "sched", "secrets", "select", "selectors", "shelve", "shutil", "signal",
    "smtplib", "socket", "socketserver", "subprocess", "tarfile", "tempfile", "threading", "time", "urllib", "uuid",
    "webbrowser", "xmlrpc", "zipfile", "zoneinfo",
)  # fmt: skip
"""What programs take out of the default to allow it."""

SandboxRestrictions.passthrough_modules_minimum = frozenset()
SandboxRestrictions.passthrough_modules_with_temporal = frozenset()
SandboxRestrictions.passthrough_modules_maximum = frozenset()
SandboxRestrictions.passthrough_modules_default = frozenset()
SandboxRestrictions.invalid_module_members_default = SandboxMatcher(
    children={
        **dict.fromkeys(_MODULES, SandboxMatcher.all_uses_runtime),
        "datetime": SandboxMatcher(
            children={
                "date": SandboxMatcher(use={"today"}),
                "datetime": SandboxMatcher(use={"now", "today", "utcnow"}),
            }
        ),
    }
)
SandboxRestrictions.default = SandboxRestrictions(
    SandboxRestrictions.passthrough_modules_default,
    SandboxMatcher.none,
    SandboxRestrictions.invalid_module_members_default,
)


class WorkflowRunner:
    """Accepted; workflow code runs in one way only."""


@dataclass(frozen=True)
class UnsandboxedWorkflowRunner(WorkflowRunner):
    """See `WorkflowRunner`."""


@dataclass(frozen=True)
class SandboxedWorkflowRunner(WorkflowRunner):
    """See `WorkflowRunner`."""

    restrictions: SandboxRestrictions = SandboxRestrictions.default
    runner_class: type[WorkflowRunner] = UnsandboxedWorkflowRunner
