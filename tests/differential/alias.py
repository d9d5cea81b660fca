"""`temporalio` as another name of `overwinter.runtime`, for code that was written against the real one."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

THEIRS = "temporalio"
OURS = "overwinter.runtime"


class Aliases(MetaPathFinder, Loader):
    """Finds `temporalio.x.y` as `overwinter.runtime.x.y`, and says so where there is no such module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != THEIRS and not fullname.startswith(THEIRS + "."):
            return None
        ours = OURS + fullname.removeprefix(THEIRS)
        if importlib.util.find_spec(ours) is None:
            raise ModuleNotFoundError(f"{ours} does not exist, and {fullname} is asked for", name=ours)
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # Replaced in sys.modules, not returned by create_module: importing would overwrite its __spec__.
        name = module.__name__
        sys.modules[name] = importlib.import_module(OURS + name.removeprefix(THEIRS))


def install() -> None:
    """From here on `import temporalio` gives Overwinter; it must not have been imported before."""
    already = [name for name in sys.modules if name == THEIRS or name.startswith(THEIRS + ".")]
    assert not already, f"{already[0]} was imported before its name was given to {OURS}"
    sys.meta_path.insert(0, Aliases())
