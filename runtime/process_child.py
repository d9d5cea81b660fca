"""The child process of a `processes.ProcessPool`: runs one activity after another, on its main thread.

``python -m overwinter.runtime.process_child FD PARENT NAMES``: the socket to the gateway, the gateway's pid, and other names of
modules (``temporalio=overwinter.runtime,...``), by which the gateway's code imports them. A second thread reads the socket, so
that a cancellation reaches a function that runs. The child ends with its gateway.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import runpy
import signal
import socket
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from . import process_frames as frames
from .activity import NO_CLIENT, Info, activity_definition, current_context
from .activity_contexts import info_of, raise_into_thread
from .attempts import AttemptRequest
from .converter import DataConverter, PayloadConverter, PayloadLimitError
from .core import codec
from .core.commands import ScheduleActivity
from .core.events import WorkflowStarted
from .core.payload import Failure
from .exceptions import CancelledError
from .metrics import MetricMeter
from .values import ConvertedValues

if TYPE_CHECKING:
    from .client import Client

_PR_SET_PDEATHSIG: Final = 1


@cache
def _module(name: str) -> Any:
    """The module that holds an activity; a program's file is run as multiprocessing does, not as the main program."""
    if name.startswith("file:"):
        return SimpleNamespace(**runpy.run_path(name.removeprefix("file:"), run_name="__mp_main__"))
    return importlib.import_module(name)


def named(module: str, qualname: str) -> Any:
    """The function or class of this name."""
    found = _module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


@cache
def _values(payload_converter: tuple[str, str], failure_converter: tuple[str, str]) -> ConvertedValues:
    """Values by the gateway's converters. Its codec and its storage are not needed here: payloads come opened."""
    return ConvertedValues(
        DataConverter(
            payload_converter_class=named(*payload_converter),
            failure_converter_class=named(*failure_converter),
        )
    )


class Child:
    """The process's side of the conversation. An `activity.ActivityContext` while a function runs."""

    def __init__(self, connection: socket.socket) -> None:
        self.cancelled = threading.Event()
        self.shutting_down = threading.Event()
        self._connection = connection
        self._sending = threading.Lock()
        self._running = threading.Lock()
        self._calls: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._values = ConvertedValues(DataConverter.default)
        self._info: Info | None = None
        self._interruptible = False
        self._shields = 0
        self._cancel_reason = ""

    @property
    def info(self) -> Info:
        """See `activity.ActivityContext`."""
        assert self._info is not None
        return self._info

    @property
    def metric_meter(self) -> MetricMeter:
        """See `activity.ActivityContext`."""
        raise RuntimeError(
            "Metrics meter not available in a child process: make the activity `async def`, or use threads"
        )

    @property
    def client(self) -> Client:
        """See `activity.ActivityContext`."""
        raise RuntimeError(NO_CLIENT)

    @property
    def cancel_reason(self) -> str | None:
        """See `activity.ActivityContext`."""
        return self._cancel_reason if self.cancelled.is_set() else None

    @property
    def payload_converter(self) -> PayloadConverter:
        """See `activity.ActivityContext`."""
        return self._values.payloads

    @property
    def outbound(self) -> None:
        """See `activity.ActivityContext`; no interceptor reaches into another process."""
        return

    def heartbeat(self, details: Sequence[Any]) -> None:
        """See `activity.ActivityContext`."""
        self._send(frames.BEAT, codec.encode_payloads(self._values.encode(details)))

    @contextmanager
    def shielded(self) -> Generator[None]:
        """See `activity.ActivityContext`."""
        with self._running:
            self._shields += 1
        try:
            yield
        finally:
            with self._running:
                self._shields -= 1
            if self.cancelled.is_set() and not self._shields:
                raise CancelledError("Cancelled")

    def serve(self) -> None:
        """Run calls until the gateway is gone."""
        threading.Thread(target=self._listen, daemon=True, name="frames").start()
        current_context.set(self)
        while True:
            self._run(*self._calls.get())

    def _listen(self) -> None:
        while True:
            try:
                length = frames.length_of(self._read(frames.LENGTH.size))
                kind, fields = frames.unpack(self._read(length))
            except (EOFError, OSError, frames.FrameRefused):
                os._exit(0)  # the gateway is gone: a function that still runs has nobody to answer to
            if kind == frames.RUN:
                # Here, not where the call runs: what is said of it may come before that.
                self.cancelled.clear()
                self.shutting_down.clear()
                self._calls.put(fields)
            elif kind == frames.CANCEL:
                self._cancel(str(fields[0]))
            elif kind == frames.SHUTDOWN:
                self.shutting_down.set()

    def _cancel(self, reason: str) -> None:
        self._cancel_reason = reason
        self.cancelled.set()
        with self._running:
            if self._interruptible and not self._shields:
                raise_into_thread(threading.main_thread().ident or 0, CancelledError)

    def _run(self, fn: Sequence[str], converters: Sequence[Sequence[str]], *attempt: Any) -> None:
        try:
            request, started_at_us = request_of(*attempt)
            self._values = _values(*map(tuple, converters)).for_activity(
                request.workflow,
                request.command.activity_id,
                request.command.activity_type,
                request.command.task_queue,
                local=request.command.local,
            )
            outcome = self._call(named(*fn), request, started_at_us)
        except BaseException as error:  # whatever user code raises is the outcome of the attempt
            self._send(frames.FAILURE, codec.encode_failure(self._failure(error)))
        else:
            self._send(frames.RESULT, outcome)

    def _call(self, fn: Any, request: AttemptRequest, started_at_us: int) -> bytes:
        self._info = info_of(request, started_at_us, self._values)
        definition = activity_definition(fn)
        payloads = request.command.args
        if definition.name is None:
            arguments = [self._values.raw(payloads)]
        else:
            arguments = self._values.decode(payloads, definition.arg_types)
        try:
            with self._running:
                self._interruptible = not definition.no_thread_cancel_exception
            result = fn(*arguments)
        finally:
            with self._running:
                self._interruptible = False
        return codec.encode_payloads(self._values.encode((result,)))

    def _failure(self, error: BaseException) -> Failure:
        failure = self._values.failure_of(error)
        if isinstance(error, PayloadLimitError):
            return Failure(
                kind=failure.kind,
                message=failure.message,
                attributes=dict(failure.attributes) | {"non_retryable": True},
            )
        return failure

    def _send(self, kind: str, field: bytes) -> None:
        frame = frames.pack(kind, field)
        with self._sending:
            self._connection.sendall(frame)

    def _read(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count:
            part = self._connection.recv(min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def request_of(
    workflow: bytes,
    command: bytes,
    attempt: int,
    instants_us: Sequence[int],
    heartbeat: bytes,
    key_run_id: str,
) -> tuple[AttemptRequest, int]:
    """The attempt that the gateway asks for, and when it began; see `processes.ProcessCall.fields`."""
    started = codec.decode_body(codec.KIND_OF[WorkflowStarted], workflow)
    scheduled = codec.decode_body(codec.KIND_OF[ScheduleActivity], command)
    assert isinstance(started, WorkflowStarted)
    assert isinstance(scheduled, ScheduleActivity)
    request = AttemptRequest(
        execution=0,
        workflow=started,
        command=scheduled,
        attempt=attempt,
        scheduled_at_us=instants_us[0],
        attempt_scheduled_at_us=instants_us[1],
        heartbeat=codec.decode_payloads(heartbeat),
        key_run_id=key_run_id,
    )
    return request, instants_us[2]


def main() -> None:
    """Serve the gateway that started this process."""
    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        return
    for pair in filter(None, sys.argv[3].split(",")):
        alias, _, name = pair.partition("=")
        sys.modules[alias] = importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the gateway's to handle
    Child(socket.socket(fileno=fd)).serve()


if __name__ == "__main__":
    main()
