"""What workflow code must not touch: refused at once, with the line that did it.

Workflow code is run again from its history, so it may not read the wall clock, draw random numbers of its own, open
files or sockets, or start threads and processes. There is no sandbox and no module is imported twice. Instead:

* Whatever reports itself to Python's audit hooks (files, sockets, processes) is refused there.
  No import style gets around that.
* Clocks, random sources, threads and waits for them report nothing, or not in every version of Python. Their functions are replaced, in their modules and in the user's modules
  that took them by name, by ones that ask first whether workflow code is running in this thread. For the methods of
  `datetime`, a type of C, the entry in the type itself is replaced, so that the class stays the same object for
  `isinstance`, pickling and subclasses.

A violation is kept on the loop besides being raised: code that swallows the error does not get away with it. Reads of
`os.environ`, and `numpy.random`, are not noticed.
"""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import datetime
import functools
import gc
import os
import random
import secrets
import select
import signal
import sys
import sysconfig
import threading
import time
import uuid
from asyncio import events
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final, cast

from .core.loop import DeterminismViolation, WorkflowLoop

_ACTIVITY: Final = "do it in an activity"
_AUDITED: Final[dict[str, str]] = {
    "open": "open a file in an activity",
    "os.chmod": _ACTIVITY,
    "os.chown": _ACTIVITY,
    "os.link": _ACTIVITY,
    "os.listdir": _ACTIVITY,
    "os.mkdir": _ACTIVITY,
    "os.remove": _ACTIVITY,
    "os.rename": _ACTIVITY,
    "os.rmdir": _ACTIVITY,
    "os.scandir": _ACTIVITY,
    "os.symlink": _ACTIVITY,
    "os.truncate": _ACTIVITY,
    "os.utime": _ACTIVITY,
    "os.exec": _ACTIVITY,
    "os.fork": _ACTIVITY,
    "os.forkpty": _ACTIVITY,
    "os.posix_spawn": _ACTIVITY,
    "os.spawn": _ACTIVITY,
    "os.system": _ACTIVITY,
    "os.kill": _ACTIVITY,
    "subprocess.Popen": "start a process in an activity",
    "socket.__new__": "use the network in an activity",
    "socket.bind": "use the network in an activity",
    "socket.connect": "use the network in an activity",
    "socket.getaddrinfo": "use the network in an activity",
    "socket.gethostbyname": "use the network in an activity",
    "builtins.input": _ACTIVITY,
    "builtins.breakpoint": "make its worker with debug_mode=True, or set TEMPORAL_DEBUG",
    "sqlite3.connect": "use a database in an activity",
    "urllib.Request": "use the network in an activity",
}
_THREAD: Final = "start a thread in an activity; workflow code has asyncio tasks"

_WAIT: Final = "use `await workflow.wait_condition(...)`, or asyncio's events, queues and locks"
_WAITS: Final[dict[Any, tuple[str, ...]]] = {
    threading.Condition: ("wait", "wait_for"),  # semaphores, barriers, queues and futures wait by these
    threading.Event: ("wait",),
    threading.Thread: ("join",),
    select: ("select",),
    signal: ("pause", "sigwait", "sigwaitinfo", "sigtimedwait"),
}
"""Waits that may never end, and that no exception ends; taking a lock that is free is none."""

_NOW = "use workflow.now() or workflow.time()"
_RANDOM = "use workflow.random()"
_CLOCKS: Final = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "clock_gettime",
    "clock_gettime_ns",
)
_CALENDARS: Final = ("localtime", "gmtime", "ctime", "asctime", "strftime")
"""Functions that read the clock only when they are given no time: by how many arguments they need for that."""

# Code that may do what it wants on behalf of workflow code: what it reads has no influence on the workflow.
_TRUSTED_MODULES: Final = frozenset(
    {
        "logging",
        "linecache",
        "traceback",
        "warnings",
        "inspect",
        "tokenize",
        "bdb",
        "pdb",
        "zoneinfo",
        "zoneinfo._common",
        "zoneinfo._tzpath",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "zipimport",
    }
)
_OWN = __name__.rpartition(".")[0]
_installed = False
_installing = threading.Lock()
"""Workers may begin in several threads at once."""
_replaced: dict[int, tuple[Callable[..., Any], Callable[..., Any]]] = {}
"""By identity: the original function, which is thereby kept alive, and what stands for it."""


def install() -> None:
    """Guard this process's workflow code from here on; calling it again changes nothing."""
    global _installed  # noqa: PLW0603 - audit hooks cannot be removed, so neither can this
    with _installing:
        if not _installed:
            _install()
            _installed = True


def _install() -> None:
    sys.addaudithook(_audit)
    for name in _CLOCKS:
        _replace(time, name, _NOW)
    for name in _CALENDARS:
        _replace(time, name, _NOW, needs={"strftime": 2}.get(name, 1))
    _replace(time, "sleep", "use `await workflow.sleep(...)` or `await asyncio.sleep(...)`")
    _replace(threading.Thread, "start", _THREAD)
    _replace(_thread, "start_new_thread", _THREAD)
    for owner, names in _WAITS.items():
        for name in names:
            _replace(owner, name, _WAIT)
    _guard_random()
    for name in ("uuid1", "uuid4", "uuid6", "uuid7"):
        _replace(uuid, name, "use workflow.uuid4()")
    for name in ("urandom", "getrandom"):
        _replace(os, name, _RANDOM)
    for name in ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "choice", "randbits"):
        _replace(secrets, name, _RANDOM)
    _replace_methods(datetime.datetime, ("now", "utcnow"))
    _replace_methods(datetime.date, ("today",))
    _order_as_completed()


def guard_module(name: str) -> None:
    """Guard the names that a user's module, and the user's modules that it uses, took by ``from time import time``."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = sys.modules.get(waiting.pop())
        if module is None or module.__name__ in seen or not _is_users(module):
            continue
        seen.add(module.__name__)
        for attribute, value in list(vars(module).items()):
            known = _replaced.get(id(value))
            if known is not None and known[0] is value:
                setattr(module, attribute, known[1])
        waiting += _modules_used(module)


def _modules_used(module: ModuleType) -> Iterator[str]:
    for value in list(vars(module).values()):
        used = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(used, str):
            yield used


_STANDARD_LIBRARY: Final = str(Path(sysconfig.get_path("stdlib")).resolve()) + os.sep
_SITE_PACKAGES: Final = tuple(
    str(Path(sysconfig.get_path(kind)).resolve()) + os.sep for kind in ("purelib", "platlib")
)


def _is_standard_library(file: str) -> bool:
    return file.startswith(_STANDARD_LIBRARY) and not file.startswith(_SITE_PACKAGES)


def _is_users(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ == "__main__"
    real = str(Path(file).resolve())
    ours = module.__name__.startswith(f"{_OWN.partition('.')[0]}.")
    return not (ours or real.startswith(_SITE_PACKAGES) or _is_standard_library(real))


# -- asking ------------------------------------------------------------------------------------------


def _guarded_loop() -> WorkflowLoop | None:
    loop = events._get_running_loop()  # noqa: SLF001 - no public name tells it without raising
    return loop if isinstance(loop, WorkflowLoop) and not loop.unrestricted else None


def _audit(event: str, args: tuple[Any, ...]) -> None:
    instead = _AUDITED.get(event)
    if instead is not None:
        loop = _guarded_loop()
        if loop is not None and not _is_harmless(event, args, loop):
            _refuse(loop, event.replace("socket.__new__", "socket.socket"), instead, sys._getframe(1))  # noqa: SLF001 - the only way to see the caller


def _is_harmless(event: str, args: tuple[Any, ...], loop: WorkflowLoop) -> bool:
    if event == "open":
        return _is_time_zone(args[0])
    return event == "builtins.breakpoint" and loop.yields_within_s is None


def _is_time_zone(path: object) -> bool:
    """Time zones are read by C, which leaves no frame to be trusted; their rules are the same at every replay."""
    return isinstance(path, str) and "/zoneinfo/" in path


def _refuse(loop: WorkflowLoop, what: str, instead: str, frame: FrameType | None) -> None:
    """Raise, unless someone whose doing has no influence on the workflow stands between it and the call."""
    user: FrameType | None = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module in _TRUSTED_MODULES or module.startswith("logging."):
            return
        if module.startswith(_OWN) and not module.startswith(f"{_OWN}.guard"):
            break
        if user is None and _is_user_frame(frame):
            user = frame
        frame = frame.f_back
    if user is None:
        return  # the runtime's own doing
    place = f"{user.f_code.co_filename}:{user.f_lineno} in {user.f_code.co_name}"
    violation = DeterminismViolation(
        f"{what} was called from workflow code at {place}; it would not repeat in replay: {instead}"
    )
    loop.violation = loop.violation or violation
    raise violation


def _is_user_frame(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    own = frame.f_globals.get("__name__") == __name__
    return not (own or file.startswith("<frozen") or _is_standard_library(file))


# -- replacing ---------------------------------------------------------------------------------------


def _replace(owner: Any, name: str, instead: str, *, needs: int = 0) -> None:
    """Let a function ask first. With `needs`, it is harmless when it is given that many arguments."""
    original = getattr(owner, name, None)
    if original is None:
        return
    guarded = _asking(original, f"{getattr(owner, '__name__', owner)}.{name}", instead, needs)
    _replaced[id(original)] = (original, guarded)
    setattr(owner, name, guarded)


def _asking(original: Callable[..., Any], what: str, instead: str, needs: int = 0) -> Callable[..., Any]:
    running_loop = events._get_running_loop  # noqa: SLF001 - as above

    @functools.wraps(original)
    def asking(*args: Any, **kwargs: Any) -> Any:
        loop: Any = running_loop()
        if loop.__class__ is WorkflowLoop and not loop.unrestricted and not (needs and len(args) >= needs):
            _refuse(loop, what, instead, sys._getframe(1))  # noqa: SLF001 - the only way to see the caller
        return original(*args, **kwargs)

    return asking


class _GuardedRandom(random.Random):
    """The module's hidden generator: its methods that were taken by name come here too, since they ask `self`."""

    def random(self) -> float:
        """As in `random.Random`, but not from workflow code."""
        _ask("random.random", _RANDOM)
        return super().random()

    def getrandbits(self, k: int, /) -> int:
        """As in `random.Random`, but not from workflow code."""
        _ask("random.getrandbits", _RANDOM)
        return super().getrandbits(k)


def _ask(what: str, instead: str) -> None:
    loop = _guarded_loop()
    if loop is not None:
        _refuse(loop, what, instead, sys._getframe(2))  # noqa: SLF001 - the only way to see the caller


def _guard_random() -> None:
    hidden: random.Random = random._inst  # noqa: SLF001 - the generator behind the module's functions
    for name in ("random", "getrandbits"):
        _replace(random, name, _RANDOM)
    hidden.__class__ = _GuardedRandom
    original = random.Random.__init__

    @functools.wraps(original)
    def asking_for_a_seed(self: random.Random, x: Any = None, /, *args: Any, **kwargs: Any) -> None:
        if x is None and not args and not kwargs:
            _ask("random.Random without a seed", _RANDOM)
        original(self, x, *args, **kwargs)

    random.Random.__init__ = asking_for_a_seed  # type: ignore[method-assign,assignment]
    for name in ("random", "getrandbits"):
        method = getattr(random.SystemRandom, name)
        setattr(random.SystemRandom, name, _asking(method, f"random.SystemRandom.{name}", _RANDOM))


def _replace_methods(cls: type, names: Iterable[str]) -> None:
    """Replace class methods in a type of C: its dictionary is reached through the collector, its caches are told."""
    (entries,) = [
        cast("dict[str, Any]", found) for found in gc.get_referents(cls.__dict__) if isinstance(found, dict)
    ]
    for name in names:
        entries[name] = classmethod(_asking_method(cls.__dict__[name], cls, name))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))


def _asking_method(original: Any, cls: type, name: str) -> Callable[..., Any]:
    what = f"{cls.__name__}.{name}"

    def asking(owner: type, *args: Any, **kwargs: Any) -> Any:
        _ask(what, _NOW)
        return original.__get__(None, owner)(*args, **kwargs)

    asking.__name__ = asking.__qualname__ = name
    return asking


def _order_as_completed() -> None:
    """`as_completed` puts coroutines into a set, whose order follows addresses: make tasks of them first, in order."""
    original = asyncio.as_completed

    @functools.wraps(original)
    def in_order(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
        if _guarded_loop() is not None:
            fs = [asyncio.ensure_future(f) for f in dict.fromkeys(fs)]
        return original(fs, timeout=timeout)

    _replaced[id(original)] = (original, in_order)
    asyncio.as_completed = in_order
    asyncio.tasks.as_completed = in_order
