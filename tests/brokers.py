"""Real brokers for tests: Mosquitto and the embedded one, on free loopback ports, stopped or killed at will.

Set OVERWINTER_REQUIRE_SERVICES=1 to make a missing broker a failure instead of a skipped test.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Self

import pytest

from overwinter.edge.broker import EmbeddedBroker

START_S = 10.0


class Broker(Protocol):
    """A broker that accepts MQTT 5 on `host:port` while it runs; start again after `stop` or `kill`."""

    host: str
    port: int

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def kill(self) -> None: ...


def require(present: bool, what: str) -> None:
    """Skip the test when something is missing, or fail it where everything must be there."""
    if present:
        return
    if os.environ.get("OVERWINTER_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what} is missing and OVERWINTER_REQUIRE_SERVICES=1 asks for it")
    pytest.skip(f"{what} is missing: install it to run this test")


def mosquitto_path() -> str:
    """Path of the Mosquitto program; skips or fails the test when there is none."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    require(path is not None, "Mosquitto (apt install mosquitto)")
    assert path is not None
    return path


class MosquittoBroker:
    """Mosquitto with the settings that a gateway needs; its store survives `kill` and `stop`.

    `lines` are added to the configuration (an `acl_file`, certificates); `persistence=False` gives a broker
    that forgets every session when it ends.
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path, *, persistence: bool = True, lines: Iterable[str] = ()) -> None:
        self.port = free_port()
        self._program = mosquitto_path()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / "mosquitto.conf"
        settings = [
            f"listener {self.port} {self.host}",
            "allow_anonymous true",
            f"persistence {'true' if persistence else 'false'}",
            f"persistence_location {directory}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            "max_queued_messages 100000",
            "max_inflight_messages 0",
            "set_tcp_nodelay true",
            "log_dest stderr",
            *(["user root"] if os.geteuid() == 0 else []),
            *lines,
        ]
        self._file.write_text("\n".join(settings) + "\n")

    async def start(self) -> None:
        """Start it and wait until it accepts connections."""
        with (self._directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while not _accepts(self.host, self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = (self._directory / "mosquitto.log").read_text()[-2000:]
                raise RuntimeError(f"Mosquitto did not start: {log_text}")
            time.sleep(0.01)

    async def stop(self) -> None:
        """Let it write its store and end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(10)


class Relay:
    """A TCP relay in front of a broker whose connections can be cut, as a bad network does."""

    host = "127.0.0.1"

    def __init__(self, target: Broker) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def cut(self) -> None:
        """Reset every connection: neither side hears a farewell."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        target: asyncio.StreamWriter | None = None
        try:
            target_reader, target = await asyncio.open_connection(self._target.host, self._target.port)
            self._writers.add(target)
            await asyncio.gather(_pump(reader, target), _pump(target_reader, writer))
        except OSError:
            pass
        finally:
            for end in (writer, target):
                if end is not None:
                    end.transport.abort()
                    self._writers.discard(end)


CONNACK = bytes([0x20, 3, 0, 0, 0])
"""MQTT 5: accepted, no session present, no properties."""


class ScriptedBroker:
    """Answers a client's first packet with the given bytes, one piece after another, then stays silent.

    With `tls`, each piece is one TLS record.
    """

    host = "127.0.0.1"

    def __init__(self, *answers: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._answers = answers
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            await reader.read(4096)
            for answer in self._answers:
                writer.write(answer)
                await asyncio.sleep(0.05)
            while await reader.read(4096):
                pass
        writer.transport.abort()


def make_certificates(directory: Path) -> tuple[Path, Path, Path]:
    """A certificate authority, and `.key` and `.pem` files for a broker on 127.0.0.1 and for a client."""
    openssl = shutil.which("openssl")
    require(openssl is not None, "openssl")
    assert openssl is not None

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=directory, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca")
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1"),
        ("client", "keyUsage=digitalSignature"),
    ):
        run("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (directory / f"{name}.ext").write_text(extension + "\n")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        run("x509", "-req", "-in", f"{name}.csr", *signing, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return directory / "ca.pem", directory / "server", directory / "client"


def new_broker(kind: str, directory: Path) -> Broker:
    """A broker of the named kind, `mosquitto` or `embedded`, not started yet."""
    return MosquittoBroker(directory) if kind == "mosquitto" else EmbeddedBroker(directory)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
