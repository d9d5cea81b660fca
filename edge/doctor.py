"""`overwinter doctor`: what on this machine could break the gateway's promises, and what to do about it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import socket
import sqlite3
import statistics
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from overwinter.runtime.contrib.key_ring import KeyRingError
from overwinter.runtime.display.terminal import Terminal, escape

from .listing import byte_size
from .mqtt_settings import MqttSettings
from .payloads import data_converter, key_ring
from .settings import GatewaySettings, SettingsError, load

Level = Literal["ok", "warning", "problem"]

FSYNC_COUNT: Final = 50
FSYNC_BYTES: Final = 4096
FSYNC_S_MAX: Final = 20.0
"""The measurement ends after so many seconds, however few writes were made."""
FSYNC_US_BELIEVABLE: Final = 15.0
"""A faster fsync has not reached any device: the fastest drives with a power-safe cache need about 20 us."""
FSYNC_MS_SLOW: Final = 100.0
FREE_BYTES_MIN: Final = 64 << 20
FREE_BYTES_COMFORT: Final = 1 << 30
SQLITE_WAL_FIXED: Final = (3, 51, 3)
"""It fixed a rare corruption when two connections write or checkpoint at once (SQLite, WAL-reset bug)."""
SQLITE_MIN: Final = (3, 37, 0)
YEAR_MIN: Final = 2026
BROKER_S: Final = 3.0
_UNSAFE_FILESYSTEMS: Final = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"}
_VOLATILE_FILESYSTEMS: Final = {"tmpfs", "ramfs"}
_STA_UNSYNC: Final = 0x0040
_TEXT_COLUMN: Final = 21
_STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do when it is not ok."""

    check: str
    level: Level
    text: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding as plain values."""
        return asdict(self)


def examine(settings_file: Path, state_dir: Path | None = None) -> list[Finding]:
    """Run every check, in order; takes a few seconds. `state_dir` is used instead of the settings'."""
    findings: list[Finding] = []
    settings: GatewaySettings | None = None
    try:
        settings = load(settings_file)
        findings.append(Finding("settings", "ok", f"{settings_file} is valid"))
    except SettingsError as error:
        level: Level = "warning" if state_dir is not None and not settings_file.exists() else "problem"
        findings.append(Finding("settings", level, str(error), "mend the file, then run doctor again"))
    state_dir = state_dir or (settings.gateway.state_dir if settings else None)
    if state_dir is not None:
        findings += check_state_dir(state_dir)
        findings.append(check_journal(state_dir / "journal.db", state_dir / "control.sock"))
    findings.append(check_sqlite(sqlite3.sqlite_version_info))
    findings += check_clock(time.time())
    if settings is not None:
        findings += _check_settings_parts(settings)
    return findings


def _check_settings_parts(settings: GatewaySettings) -> Iterator[Finding]:
    if settings.mqtt.broker == "none":
        yield Finding("broker", "ok", "MQTT is switched off by the settings")
    elif settings.mqtt.broker == "embedded":
        yield _check_embedded_broker()
    else:
        host, port = settings.mqtt.address()
        yield check_broker(settings.mqtt.session(host, port, default_client_id="overwinter-doctor"))
    yield check_gpu("auto")
    yield from check_keys(settings)


def check_keys(settings: GatewaySettings) -> Iterator[Finding]:
    """The keys of payloads can be had, if the settings name any."""
    try:
        ring = key_ring(settings)
        data_converter(settings)
    except KeyRingError as error:
        yield Finding("keys", "problem", str(error), "without its keys the gateway does not start")
        return
    if ring is not None:
        yield Finding(
            "keys", "ok", f"{len(ring.keys)} keys for payloads, {ring.current.id} is the current one"
        )


def _check_embedded_broker() -> Finding:
    if importlib.util.find_spec("iotcore") is None:
        advice = "install it, or set an external broker in the settings"
        return Finding("broker", "problem", "the embedded broker's package iotcore is not installed", advice)
    return Finding("broker", "ok", "the embedded broker starts and stops with the gateway")


def check_state_dir(path: Path) -> Iterator[Finding]:
    """The directory can be written, has room, lies on a fit file system, and fsync does what it should."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-") as probe:
            yield Finding("state_dir", "ok", f"{path} can be written")
            yield check_free_space(path)
            yield check_filesystem(path, Path("/proc/self/mounts"))
            yield judge_fsync(measure_fsync(probe.fileno()))
    except OSError as error:
        advice = f"give the gateway's user the right to write {path}, or set another state_dir"
        yield Finding("state_dir", "problem", f"{path} cannot be written: {error.strerror}", advice)


def check_free_space(path: Path) -> Finding:
    """There is room for the journal to grow."""
    usage = shutil.disk_usage(path)
    text = f"{byte_size(usage.free)} free of {byte_size(usage.total)}"
    if usage.free < FREE_BYTES_MIN:
        return Finding("disk", "problem", text, "free space now: a full disk refuses new work")
    if usage.free < FREE_BYTES_COMFORT:
        return Finding(
            "disk", "warning", text, f"free space: less than {byte_size(FREE_BYTES_COMFORT)} is soon full"
        )
    return Finding("disk", "ok", text)


def check_filesystem(path: Path, mounts: Path) -> Finding:
    """The file system keeps data over a restart and has the locks and shared memory that WAL needs."""
    kind, point = _mount_of(path.resolve(), mounts)
    text = f"{path} lies on {kind} (mounted at {point})"
    if kind in _VOLATILE_FILESYSTEMS:
        return Finding(
            "filesystem", "warning", text, "everything is lost at power-off: use a directory on a disk"
        )
    if kind in _UNSAFE_FILESYSTEMS:
        return Finding(
            "filesystem", "problem", text, "SQLite's WAL does not work over a network: use a local disk"
        )
    return Finding("filesystem", "ok", text)


def _mount_of(path: Path, mounts: Path) -> tuple[str, str]:
    best = ("an unknown file system", "?")
    depth = -1
    with contextlib.suppress(OSError):
        for line in mounts.read_text("utf-8", "replace").splitlines():
            fields = line.split(" ")
            point = Path(fields[1].replace("\\040", " "))
            if path.is_relative_to(point) and len(point.parts) >= depth:
                best, depth = (fields[2], str(point)), len(point.parts)
    return best


def measure_fsync(file: int) -> list[float]:
    """Seconds that each of up to 50 writes of 4 KiB took until fsync returned, sorted."""
    block = os.urandom(FSYNC_BYTES)
    times: list[float] = []
    begin = time.perf_counter()
    for _ in range(FSYNC_COUNT):
        os.write(file, block)
        before = time.perf_counter()
        os.fsync(file)
        times.append(time.perf_counter() - before)
        if time.perf_counter() - begin > FSYNC_S_MAX:
            break
    return sorted(times)


def judge_fsync(times_s: Sequence[float]) -> Finding:
    """Fast enough to work with, and slow enough to be true. `times_s` is sorted, in seconds."""
    median_ms = statistics.median(times_s) * 1000
    worst_ms = times_s[min(len(times_s) - 1, round(0.99 * (len(times_s) - 1)))] * 1000
    text = (
        f"fsync takes {median_ms:.2f} ms (p50), {worst_ms:.2f} ms (p99), over {len(times_s)} writes of 4 KiB"
    )
    if median_ms * 1000 < FSYNC_US_BELIEVABLE:
        advice = "too fast to have reached a disk: look for tmpfs, nobarrier or an unsafe disk cache"
        return Finding("fsync", "warning", text, advice)
    if worst_ms > FSYNC_MS_SLOW:
        return Finding(
            "fsync", "warning", text, "every commit waits so long: an SSD or an industrial SD card is faster"
        )
    return Finding("fsync", "ok", text)


def check_sqlite(version: tuple[int, int, int]) -> Finding:
    """The SQLite library is new enough."""
    text = f"SQLite {'.'.join(map(str, version))}"
    if version < SQLITE_MIN:
        return Finding(
            "sqlite", "problem", text, "STRICT tables need 3.37 or newer: use a newer Python build"
        )
    if version < SQLITE_WAL_FIXED:
        advice = (
            "before 3.51.3, writing from two connections at once can, rarely, corrupt a WAL database; "
            "the gateway writes through one, so let no other program write to the journal"
        )
        return Finding("sqlite", "warning", text, advice)
    return Finding("sqlite", "ok", text)


def check_journal(journal: Path, control_socket: Path) -> Finding:
    """The journal of a stopped gateway is whole (integrity_check); that of a running one is left alone."""
    if _answers(control_socket):
        return Finding(
            "journal", "ok", f"a gateway is running on {journal}; stop it to have its pages checked"
        )
    if not journal.exists():
        return Finding("journal", "ok", f"there is no journal yet; the first start makes {journal}")
    try:
        with contextlib.closing(
            sqlite3.connect(f"{journal.resolve().as_uri()}?mode=ro", uri=True)
        ) as database:
            answers = [str(row[0]) for row in database.execute("PRAGMA integrity_check(5)")]
    except sqlite3.Error as error:
        answers = [str(error)]
    if answers == ["ok"]:
        return Finding("journal", "ok", f"{journal} is whole, {byte_size(journal.stat().st_size)}")
    advice = "keep a copy of the file as it is, and restore the last good one before the gateway is started"
    return Finding("journal", "problem", f"{journal} is damaged: {answers[0]}", advice)


def _answers(control_socket: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(control_socket))
        except OSError:
            return False
    return True


def check_clock(now_s: float) -> Iterator[Finding]:
    """The wall clock shows a believable year and is being synchronised. `now_s`: seconds since the epoch."""
    now = datetime.fromtimestamp(now_s, UTC)
    if now.year < YEAR_MIN:
        advice = "set the clock (timedatectl), or fit a battery-backed one: timers go by wall time"
        yield Finding(
            "clock",
            "problem",
            f"the clock shows {now:%Y-%m-%d %H:%M} UTC, before this program was made",
            advice,
        )
    else:
        yield Finding("clock", "ok", f"the clock shows {now:%Y-%m-%d %H:%M:%S} UTC")
    synchronised = _is_synchronised()
    if synchronised is None:
        yield Finding(
            "time sync",
            "warning",
            "the kernel does not say whether the clock is synchronised",
            "run an NTP client",
        )
    elif synchronised:
        yield Finding("time sync", "ok", "the kernel says that the clock is synchronised")
    else:
        advice = "run an NTP client (systemd-timesyncd, chrony); timers fire by the clock as it is"
        yield Finding("time sync", "warning", "the kernel says that nothing synchronises the clock", advice)


class _Timex(ctypes.Structure):
    """The beginning of Linux's struct timex, as adjtimex(2) gives it, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def _is_synchronised() -> bool | None:
    """What adjtimex(2) says, asked without changing anything; None when it cannot be asked."""
    state = _Timex()
    try:
        answer = int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state)))
    except (AttributeError, OSError):
        return None
    return None if answer < 0 else not state.status & _STA_UNSYNC


def check_broker(mqtt: MqttSettings) -> Finding:
    """Somebody listens there, and accepts MQTT 5 within 3 s; the gateway's own session is not touched."""
    try:
        socket.create_connection((mqtt.host, mqtt.port), timeout=BROKER_S).close()
    except OSError as error:
        advice = "start the broker, or correct its host and port in the settings"
        return Finding("broker", "problem", f"{mqtt.address} does not answer: {error}", advice)
    try:
        reason = _connect(mqtt)
    except OSError as error:
        return Finding(
            "broker", "problem", f"{mqtt.address} cannot be used: {error}", "check TLS and its files"
        )
    if reason is None:
        text = f"{mqtt.address} did not answer CONNECT within {BROKER_S:g} s"
        return Finding("broker", "problem", text, "something other than an MQTT broker may listen there")
    if reason != "Success":
        advice = "use a broker that speaks MQTT 5, and check the user name and password"
        return Finding("broker", "problem", f"{mqtt.address} refused MQTT 5: {reason}", advice)
    return Finding("broker", "ok", f"{mqtt.address} accepts MQTT 5")


def _connect(mqtt: MqttSettings) -> str | None:
    """The reason in the broker's CONNACK; None when there was none in time. Nothing is left at the broker."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    reasons: list[str] = []
    answered = threading.Event()

    def on_connect(_client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        reasons.append(str(reason))
        answered.set()

    # The broker chooses our client id: the settings' one would cut off a gateway that is running.
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id="",
        protocol=MQTTProtocolVersion.MQTTv5,
        reconnect_on_failure=False,
    )
    client.connect_timeout = BROKER_S
    if mqtt.username is not None:
        client.username_pw_set(mqtt.username, mqtt.password)
    context = mqtt.tls_context()
    if context is not None:
        client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]  # paho leaves its type open
    client.on_connect = on_connect
    client.connect(mqtt.host, mqtt.port, clean_start=True)
    client.loop_start()
    try:
        answered.wait(BROKER_S)
        client.disconnect()
    finally:
        client.loop_stop()
    return reasons[0] if reasons else None


def check_gpu(policy: Literal["require", "auto", "off"]) -> Finding:
    """Whether a GPU computes, as the policy wants it."""
    try:
        from overwinter.gpu.device import DeviceUnavailable, select_device
    except ImportError as error:
        return _without_gpu_module(policy, error)
    try:
        device = select_device(policy, timeout_s=30.0)
    except DeviceUnavailable as error:
        return Finding("gpu", "problem", str(error), "set the policy to auto to go on without one")
    if device.is_gpu:
        return Finding("gpu", "ok", f"{device.name} computes: {device.detail}")
    return Finding("gpu", "ok", f"array work runs on the CPU: {device.reason} ({device.detail})")


def _without_gpu_module(policy: str, error: ImportError) -> Finding:
    level: Level = "problem" if policy == "require" else "ok"
    advice = "install overwinter[gpu]" if policy == "require" else ""
    return Finding("gpu", level, f"array work is not installed: {error}", advice)


def render(findings: Sequence[Finding], terminal: Terminal) -> str:
    """Each finding on its own lines, and a sentence that sums them up."""
    lines: list[str] = []
    for finding in findings:
        mark = terminal.styled(f"{finding.level:<8}", _STYLES[finding.level], "bold")
        room = terminal.width - _TEXT_COLUMN
        first, *rest = [part for line in finding.text.splitlines() for part in _wrap(line, room)] or [""]
        lines.append(f"{mark} {finding.check:<11} {first}")
        lines += [" " * _TEXT_COLUMN + line for line in rest]
        if finding.advice and finding.level != "ok":
            advice = _wrap(finding.advice, room - 3)
            lines.append(" " * _TEXT_COLUMN + terminal.styled("-> ", "bold") + advice[0])
            lines += [" " * (_TEXT_COLUMN + 3) + line for line in advice[1:]]
    problems = sum(finding.level == "problem" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    lines += ["", f"{len(findings)} checks: {_count(problems, 'problem')}, {_count(warnings, 'warning')}"]
    return "\n".join(lines) + "\n"


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(escape(text), width, break_long_words=False) or [""]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
