"""Synchronous activities in child processes, without pickle.

A child is told which function to call by module and name, and given its arguments as they are stored. It stays warm for
the next call. One that dies takes its attempt with it and nothing else; one that does not stop when it is cancelled is
killed after a grace time, so that its slot always comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .attempts import Attempt, AttemptRequest
from .converter import DataConverter
from .core import codec
from .core.payload import Failure, Payload
from .core.records import dataclass
from .process_frames import (
    BEAT,
    CANCEL,
    FAILURE,
    LENGTH,
    RESULT,
    RUN,
    SHUTDOWN,
    FrameRefused,
    length_of,
    pack,
    unpack,
)

CANCELED = Failure(kind="canceled", message="Cancelled")
"""The outcome of a function that stopped when it was told to, or did not begin."""


class NotCallableByName(TypeError):
    """A child process cannot find this function or class: it is local, a lambda, or a method of an object."""


Name = tuple[str, str]
"""A module, and a qualified name in it."""


@dataclass(frozen=True, slots=True)
class ProcessCall:
    """A function by name, and the attempt that calls it."""

    fn: Name
    converters: tuple[Name, Name]
    """What makes the payload and the failure converter."""
    request: AttemptRequest
    started_at_us: int

    @classmethod
    def of(
        cls, fn: Callable[..., Any], request: AttemptRequest, started_at_us: int, converter: DataConverter
    ) -> ProcessCall:
        """The call that an attempt makes of a function."""
        makers = (converter.payload_converter_class, converter.failure_converter_class)
        payloads, failures = (_name_of(maker) for maker in makers)
        return cls(_name_of(fn), (payloads, failures), request, started_at_us)

    def fields(self) -> tuple[object, ...]:
        """What a child is told, see `process_child.request_of`."""
        request = self.request
        return (
            self.fn,
            self.converters,
            codec.encode_body(request.workflow),
            codec.encode_body(request.command),
            request.attempt,
            (request.scheduled_at_us, request.attempt_scheduled_at_us, self.started_at_us),
            codec.encode_payloads(request.heartbeat),
            request.key_run_id,
        )


def _name_of(fn: Callable[..., Any]) -> Name:
    return _module_of(fn), fn.__qualname__


def _module_of(fn: Callable[..., Any]) -> str:
    """The module by which a child finds a function; of a program that was started as a file, ``file:`` and its path."""
    if fn.__module__ != "__main__":
        return fn.__module__
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return fn.__module__ if path is None else f"file:{Path(path).resolve()}"


def _other_names() -> dict[str, str]:
    """The other names by which this program imports modules of the runtime, and their own: a child shall know them too."""
    package = __name__.rpartition(".")[0]
    return {
        alias: name
        for alias, module in list(sys.modules.items())
        if (name := getattr(module, "__name__", alias)) != alias and f"{name}.".startswith(f"{package}.")
    }


def check_callable_by_name(what: str, fn: Callable[..., Any]) -> None:
    """Refuse what a child process could not find.

    Raises:
        NotCallableByName: local functions, lambdas, and methods bound to an object.
    """
    name = getattr(fn, "__qualname__", repr(fn))
    try:
        found: Any = importlib.import_module(fn.__module__)
        for part in name.split("."):
            found = getattr(found, part)
    except (AttributeError, ImportError):
        found = None
    if found is not fn:
        raise NotCallableByName(
            f"{what} {name} must be picklable when using a process executor, that is, a child must find it by its name: "
            "put it at the top of an importable module"
        )


class ProcessPool:
    """So many child processes at a time, started when they are needed and kept for the next call."""

    def __init__(self, max_workers: int | None = None, *, cancel_grace_s: float = 5.0) -> None:
        self._slots = asyncio.Semaphore(max_workers or os.cpu_count() or 1)
        self._grace_s = cancel_grace_s
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    @property
    def children(self) -> int:
        """How many child processes there are, idle ones included."""
        return len(self._all)

    async def run(
        self, call: ProcessCall, attempt: Attempt, *, on_heartbeat: Callable[[tuple[Payload, ...]], None]
    ) -> Payload | Failure:
        """Call the function in a child. Once the attempt is cancelled it is told, and its child killed after the grace."""
        task = asyncio.current_task()
        assert task is not None

        def give_up() -> None:
            task.cancel()

        attempt.on_cancel = give_up
        try:
            async with self._slots:
                child = self._idle.pop() if self._idle else await self._start()
                return await self._run_in(child, call, attempt, on_heartbeat)
        except asyncio.CancelledError:
            if attempt.cancel_reason is None or attempt.on_cancel is not give_up:
                raise
            task.uncancel()
            return CANCELED

    async def _run_in(
        self,
        child: _Child,
        call: ProcessCall,
        attempt: Attempt,
        on_heartbeat: Callable[[tuple[Payload, ...]], None],
    ) -> Payload | Failure:
        kill: list[asyncio.TimerHandle] = []

        def cancel() -> None:
            child.tell(CANCEL, attempt.cancel_reason)
            kill.append(asyncio.get_running_loop().call_later(self._grace_s, child.kill))

        attempt.on_cancel = cancel
        attempt.on_shutdown = partial(child.tell, SHUTDOWN)
        reusable = False
        try:
            child.tell(RUN, *call.fields())
            outcome = await child.outcome(on_heartbeat)
            reusable = not child.killed
        except FrameRefused as error:
            return Failure(
                kind="application",
                message=str(error),
                attributes={"type": "FrameRefused", "non_retryable": True},
            )
        except _ChildDied as died:
            return CANCELED if child.killed else died.failure(call.fn[1])
        finally:
            attempt.on_shutdown = None
            for timer in kill:
                timer.cancel()
            if reusable:
                self._idle.append(child)
            else:
                child.kill()
                self._all.discard(child)
        return outcome

    async def _start(self) -> _Child:
        child = await _Child.start()
        self._all.add(child)
        return child

    async def close(self) -> None:
        """End all children."""
        children, self._all, self._idle = self._all, set(), []
        for child in children:
            child.kill()
        for child in children:
            await child.gone()


class _ChildDied(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def failure(self, qualname: str) -> Failure:
        how = signal.Signals(-self.status).name if self.status < 0 else f"exit status {self.status}"
        return Failure(
            kind="application",
            message=f"the process that ran activity {qualname} died of {how}",
            attributes={"type": "BrokenProcessPool"},
        )


class _Child:
    """One child process and the socket to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.killed = False

    @classmethod
    async def start(cls) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "overwinter.runtime.process_child",
                str(theirs.fileno()),
                str(os.getpid()),
                ",".join(f"{alias}={name}" for alias, name in _other_names().items()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    def tell(self, kind: str, *fields: object) -> None:
        self._writer.write(pack(kind, *fields))

    async def outcome(self, on_heartbeat: Callable[[tuple[Payload, ...]], None]) -> Payload | Failure:
        while True:
            try:
                length = length_of(await self._reader.readexactly(LENGTH.size))
                kind, fields = unpack(await self._reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                raise _ChildDied(await self._process.wait()) from None
            if kind == BEAT:
                on_heartbeat(codec.decode_payloads(fields[0]))
            elif kind == RESULT:
                return codec.decode_payloads(fields[0])[0]
            elif kind == FAILURE:
                return codec.decode_failure(fields[0])
            else:
                raise FrameRefused(
                    f"a child process sent a frame {kind!r}, expected a result, failure or heartbeat"
                )

    def kill(self) -> None:
        self.killed = True
        self._writer.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def gone(self) -> None:
        await self._process.wait()
