"""The embedded broker: a real MQTT broker for first steps, demonstrations and tests, installed by pip alone.

It is rumqttd, compiled into the wheel `iotcore`, in a child process. It keeps nothing on disk: a session
lasts as long as the broker's process. For a gateway whose messages matter, run Mosquitto with persistence.
rumqttd 0.20 sends up to 100 unacknowledged messages whatever Receive Maximum a client asked for (measured),
and never marks a repeated one as such.

The child ends with its parent, however the parent ends: it watches a pipe that the parent holds open, and the
parent's process id, since a fork of the parent may hold the pipe too.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

logger = logging.getLogger(__name__)

START_S = 10.0
STOP_S = 5.0
POLL_S = 0.02

CONFIGURATION = """\
# Written at each start of the embedded broker; changes here are lost.
id = 0

[router]
id = 0
max_connections = 10000
max_outgoing_packet_count = 256
# Messages are kept in a log for each topic filter: at most segment size times count, in memory.
max_segment_size = {segment_bytes}
max_segment_count = {segment_count}

[v5.1]
name = "mqtt5"
listen = "{host}:{port}"
next_connection_delay_ms = 0
    [v5.1.connections]
    connection_timeout_ms = 10000
    max_payload_size = {packet_bytes_max}
    max_inflight_count = 100
    dynamic_filters = true

[v4.1]
name = "mqtt311"
listen = "{host}:{port_311}"
next_connection_delay_ms = 0
    [v4.1.connections]
    connection_timeout_ms = 10000
    max_payload_size = {packet_bytes_max}
    max_inflight_count = 100
    dynamic_filters = true
"""

# `-P` keeps the working directory off the module path: a folder of the same name must not be run instead.
CHILD = (sys.executable, "-P", str(Path(__file__).with_name("_broker_process.py")))


class BrokerError(Exception):
    """The embedded broker does not run; the text says why and what to do."""


class EmbeddedBroker:
    """A broker on loopback with one listener for MQTT 5 and one for MQTT 3.1.1.

    `directory` receives `broker.toml` and `broker.log` (appended to; the child writes errors only).
    A port of 0 takes a free one at the first start and keeps it for later ones. Use it with `async with`,
    or `start` and `stop`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        port_311: int = 0,
        packet_bytes_max: int = 1_048_576,
        segment_bytes: int = 8_388_608,
        segment_count: int = 4,
    ) -> None:
        self.host = host
        self.port = port
        """MQTT 5."""
        self.port_311 = port_311
        """MQTT 3.1.1."""
        self.log_file = directory / "broker.log"
        self._configuration_file = directory / "broker.toml"
        self._packet_bytes_max = packet_bytes_max
        self._segment_bytes = segment_bytes
        self._segment_count = segment_count
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the child process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the child, None when it was not started."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the child; when it returns both ports accept connections.

        Raises:
            BrokerError: a port stays in use, the child ended, or it did not listen within 10 s.
        """
        if self.running:
            return
        try:
            with anyio.fail_after(START_S):
                await self._free_ports()
                self._process = self._spawn()
                for port in (self.port, self.port_311):
                    await self._accepting(port)
        except TimeoutError:
            await self.stop()
            raise BrokerError(
                f"the embedded broker does not accept connections on {self.host}:{self.port} and "
                f"{self.port_311} after {START_S:g} s; see {self.log_file}"
            ) from None
        except BaseException:
            await self.stop()
            raise
        logger.info("embedded broker: MQTT 5 on %s:%d, MQTT 3.1.1 on %d", self.host, self.port, self.port_311)

    async def stop(self) -> None:
        """End the child and release its ports; all that it held is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_reap, process)

    def kill(self) -> None:
        """End the child as a crash would (SIGKILL)."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            _reap(process)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _free_ports(self) -> None:
        """Choose ports where 0 was given, and wait while the broker of a killed parent lets go of ours."""
        self.port = self.port or _free_port(self.host)
        self.port_311 = self.port_311 or _free_port(self.host)
        for port in (self.port, self.port_311):
            with anyio.move_on_after(STOP_S) as patience:
                while not _can_listen(self.host, port):
                    await anyio.sleep(POLL_S)
            if patience.cancelled_caught:
                raise BrokerError(
                    f"{self.host}:{port} is in use by another program: end it, configure another port, or "
                    "use that program as an external broker"
                )

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._configuration_file.parent.mkdir(parents=True, exist_ok=True)
        self._configuration_file.write_text(
            CONFIGURATION.format(
                host=self.host,
                port=self.port,
                port_311=self.port_311,
                packet_bytes_max=self._packet_bytes_max,
                segment_bytes=self._segment_bytes,
                segment_count=self._segment_count,
            )
        )
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [*CHILD, str(self._configuration_file), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the gateway, which then stops this
            )

    async def _accepting(self, port: int) -> None:
        while not await anyio.to_thread.run_sync(_accepts, self.host, port):
            if not self.running:
                code = self._process.returncode if self._process is not None else None
                raise BrokerError(
                    f"the embedded broker ended at once with status {code}; see {self.log_file}. "
                    "Is the package iotcore installed?"
                )
            await anyio.sleep(POLL_S)


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
    if process.stdin is not None:
        process.stdin.close()


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _can_listen(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
