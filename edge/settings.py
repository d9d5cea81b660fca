"""The settings of a gateway: one TOML file, read once at start, refused as a whole when anything in it does not fit.

``python -m overwinter.edge.settings`` prints the reference of all settings.
"""

from __future__ import annotations

import dataclasses
import grp
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from overwinter.runtime.limits import IntakeLimits
from overwinter.runtime.plain_values import DEFAULT_LIMITS, READ_BYTES_MAX
from overwinter.runtime.remote import RemoteLimits, frames
from overwinter.runtime.retention import RetentionPolicy

from .mqtt_settings import MqttSettings, MqttSettingsError
from .settings_reader import (
    PATH,
    PATHS,
    REQUIRED,
    SWITCH,
    TEXT,
    TEXTS,
    Reader,
    SettingsError,
    choice,
    duration,
    number,
    read_toml,
    setting,
    whole,
)
from .topics import PatternError, TopicFilter
from .triggers import POLICIES, ConcurrencySettings, Trigger, TriggerError, TriggerSettings

__all__ = ["GatewaySettings", "SettingsError", "load", "render_reference"]

DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """Who this gateway is and what it runs."""

    name: str = setting("gateway", TEXT, "its name, in logs and as part of its MQTT client id")
    state_dir: Path = setting(REQUIRED, PATH, "the folder for the journal and the sockets")
    modules: tuple[str, ...] = setting((), TEXTS, "Python modules with workflows and activities")
    python_path: tuple[Path, ...] = setting((), PATHS, "folders in which the modules are found")
    task_queue: str = setting("default", TEXT, "the task queue that this gateway serves")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The gateway's time."""

    speed: float = setting(
        1.0,
        number(1.0, 100_000.0),
        "how many times faster than the machine's clock durable time runs; for demonstrations",
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """The journal."""

    parked_max: int = setting(1000, whole(10, 100_000), "messages that the quarantine keeps; the oldest go")
    flash_endurance: float = setting(
        5.0,
        number(0.001, 1_000_000.0),
        "how many TB the flash bears to have written, for the estimate of its life; the default is a small consumer card's",
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What is taken from outside, and what is refused with the name of the limit: see [limits](../how-to/limits.md)."""

    open_executions_max: int = setting(
        1_000_000, whole(1, 1_000_000_000), "executions that are open at a time; more are not started"
    )
    unhandled_max: int = setting(
        10_000, whole(1, 10_000_000), "signals and updates that wait for the code of one execution"
    )
    history_events_max: int | None = setting(
        None,
        whole(100, 1_000_000_000),
        "events in a history to which signals and updates still add; without it there is no bound",
    )
    payload_bytes_max: int = setting(
        DEFAULT_LIMITS.bytes_max, whole(1024, READ_BYTES_MAX), "bytes of one value, encoded"
    )
    disk_free_bytes_min: int = setting(
        64 << 20, whole(0, 1 << 44), "what the journal's volume keeps free for work that was accepted"
    )
    journal_bytes_max: int = setting(
        16 << 30,
        whole(16 << 20, 1 << 44),
        "the journal's file does not become larger; at 95 % of it nothing new is taken",
    )

    def intake(self) -> IntakeLimits:
        """The bounds, as an engine takes them."""
        return IntakeLimits(
            open_executions_max=self.open_executions_max,
            unhandled_max=self.unhandled_max,
            history_events_max=self.history_events_max,
            disk_free_bytes_min=self.disk_free_bytes_min,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How long closed executions stay in the journal, and where they go: see [retention](../how-to/retention.md)."""

    enabled: bool = setting(True, SWITCH, "whether they leave the journal by themselves")
    closed_for: float = setting(
        30 * 86400.0, duration(60.0, 100 * 365 * 86400.0), "how long after it closed an execution leaves"
    )
    journal_bytes_max: int = setting(
        2 << 30,
        whole(1 << 20, 1 << 44),
        "when more of the journal is in use, the oldest closed executions leave before their time",
    )
    archive: bool = setting(True, SWITCH, "whether they go to files; otherwise they are dropped")
    folder: Path | None = setting(None, PATH, "the folder of these files; by default `archive` in state_dir")
    archive_bytes_max: int = setting(
        1 << 30, whole(1 << 16, 1 << 44), "when the files have more bytes, the oldest are removed"
    )
    interval: float = setting(
        3600.0, duration(1.0, 30 * 86400.0), "how often is looked for those whose time has come"
    )

    def policy(self, state_dir: Path) -> RetentionPolicy:
        """The policy, as an engine takes it."""
        return RetentionPolicy(
            closed_for_s=self.closed_for,
            journal_bytes_max=self.journal_bytes_max,
            archive=(self.folder or state_dir / "archive") if self.archive else None,
            archive_bytes_max=self.archive_bytes_max,
            interval_s=self.interval,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSettings:
    """How values are stored: see [How to store values](../how-to/payloads.md)."""

    external_bytes_min: int | None = setting(
        None,
        whole(1, DEFAULT_LIMITS.bytes_max),
        "bytes from which on a value is a file beside the journal; without it all are in the journal",
    )
    folder: Path | None = setting(None, PATH, "the folder of these files; by default `payloads` in state_dir")
    key_file: Path | None = setting(
        None,
        PATH,
        "the keys with which all values are encrypted; the file must be its owner's alone, `overwinter rotate` makes it",
    )
    key_credential: str | None = setting(
        None, TEXT, "instead of key_file, the name of a systemd credential that holds them"
    )
    key_variable: str | None = setting(
        None, TEXT, "instead of key_file, the name of an environment variable that holds them"
    )
    collect_interval: float = setting(
        86400.0,
        duration(60.0, 30 * 86400.0),
        "how often files that nothing refers to any more are removed",
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Bounds of the engine."""

    cached_executions_max: int = setting(
        10_000,
        whole(1, 1_000_000),
        "executions whose code stays in memory; others are read again when something happens",
    )
    cache_bytes: int = setting(
        128 << 20,
        whole(1 << 20, 1 << 40),
        "how many bytes the code of executions may hold, by estimate; what was used longest ago leaves first",
    )
    activities_max: int = setting(100, whole(1, 10_000), "activities that run at a time")
    commit_delay: float = setting(
        0.0,
        duration(0.0, 10.0),
        "how long a commit waits for more to come: fewer and larger ones wear the disk less; see [durability](../how-to/durability.md)",
    )
    lazy_window: float = setting(
        1.0,
        duration(0.001, 600.0),
        "how much of what is of the class LAZY, in time, a power cut may take",
    )
    batch_per_second: float = setting(
        50.0,
        number(0.1, 10_000.0),
        "executions that a batch job is carried out on in a second; it may ask for less",
    )
    yield_within: float = setting(
        2.0,
        duration(0.1, 3600.0),
        "after how long workflow code that does not yield is interrupted, and its execution blocked",
    )
    replay_check: bool = setting(
        True, SWITCH, "whether open executions are replayed dry against the code after the start"
    )
    heartbeat_interval: float = setting(
        5.0, duration(0.0, 3600.0), "how often, at most, the details of heartbeats are written to the journal"
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """The MQTT broker and our session with it."""

    broker: str = setting(
        "embedded", TEXT, '"embedded", "none", or an address: "mqtt://host:port", "mqtts://host:port" for TLS'
    )
    embedded_port: int = setting(
        0, whole(0, 65535), "the loopback port of the embedded broker; 0 for any that is free"
    )
    client_id: str | None = setting(None, TEXT, 'by default "overwinter-" and the name of the gateway')
    username: str | None = setting(None, TEXT, "with what name to log in")
    password_file: Path | None = setting(None, PATH, "a file that holds the password and nothing else")
    ca_file: Path | None = setting(None, PATH, "the certificates to trust instead of the system's")
    cert_file: Path | None = setting(None, PATH, "our certificate")
    key_file: Path | None = setting(None, PATH, "the key of our certificate")
    keepalive: float = setting(
        30.0, duration(5.0, 3600.0), "how long a silent connection may last before it is probed"
    )
    session_expiry: float = setting(
        604800.0, duration(60.0, 4294967294.0), "how long the broker keeps messages for us while we are away"
    )
    receive_maximum: int = setting(256, whole(1, 65535), "messages that may wait for our acknowledgement")

    def address(self) -> tuple[str, int]:
        """Host and port of an external broker."""
        parts = urlsplit(self.broker)
        assert parts.hostname is not None
        return parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]

    def session(self, host: str, port: int, *, default_client_id: str) -> MqttSettings:
        """What the MQTT session needs to connect to this address.

        Raises:
            MqttSettingsError: the values contradict each other.
        """
        password = None if self.password_file is None else self.password_file.read_text("utf-8").rstrip("\n")
        return MqttSettings(
            client_id=self.client_id or default_client_id,
            host=host,
            port=port,
            username=self.username,
            password=password,
            tls=self.broker.startswith("mqtts://"),
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            keepalive_s=round(self.keepalive),
            session_expiry_s=round(self.session_expiry),
            receive_maximum=self.receive_maximum,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Devices that answer commands."""

    answers: tuple[str, ...] = setting(
        (), TEXTS, 'topics on which devices answer commands, as patterns: ["farm/{device}/answer"]'
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The local page."""

    enabled: bool = setting(True, SWITCH, "whether there is one")
    host: str = setting(
        "127.0.0.1", TEXT, "where it listens; another address than loopback needs a token_file"
    )
    port: int = setting(8080, whole(0, 65535), "its port; 0 for any that is free")
    token_file: Path | None = setting(None, PATH, "a file that holds the token which the page asks for")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Programs in other processes of this machine that start workflows and talk to them: `Client.connect("unix:...")`."""

    enabled: bool = setting(True, SWITCH, "whether they can connect")
    socket: Path | None = setting(
        None, PATH, "the socket that they connect to; by default client.sock in state_dir"
    )
    group: str | None = setting(
        None,
        TEXT,
        "a group of the system whose members may connect too; by default only the gateway's user may",
    )
    connections_max: int = setting(
        32, whole(1, 10_000), "connections at a time; a program shares one among its tasks"
    )
    calls_max: int = setting(64, whole(1, 10_000), "calls of one connection that are under way at a time")
    waits_max: int = setting(
        1000, whole(1, 100_000), "the same for calls that wait for what is to happen, such as a result"
    )
    request_bytes_max: int = setting(
        frames.REQUEST_BYTES_MAX, whole(1 << 16, 1 << 26), "the size of one request, with its arguments"
    )
    patience: float = setting(
        30.0, duration(1.0, 3600.0), "how long a client may take to read an answer, or to complete a request"
    )

    def limits(self) -> RemoteLimits:
        """The bounds, as the service takes them."""
        return RemoteLimits(
            connections_max=self.connections_max,
            calls_max=self.calls_max,
            waits_max=self.waits_max,
            request_bytes_max=self.request_bytes_max,
            patience_s=self.patience,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The GPU module."""

    device: str = setting(
        "auto", choice("auto", "require", "off"), "a GPU if there is one, never without, or never one"
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TriggerTable:
    """What messages on a topic do; any number of these."""

    topic: str = setting(
        REQUIRED, TEXT, 'a pattern: "farm/{field}/soil" matches one level, "{rest...}" all that are left'
    )
    action: str = setting("start", choice("start", "signal", "signal_with_start"), "what a message does")
    workflow: str | None = setting(None, TEXT, "the type of the workflow")
    id: str = setting(
        REQUIRED,
        TEXT,
        'the workflow id: "irrigate-{field}", with parts of the topic, {payload.FIELD} and {event_id}',
    )
    signal: str | None = setting(None, TEXT, "the name of the signal")
    format: str = setting("json", choice("json", "msgpack", "text", "bytes"), "the form of the payload")
    if_running: str = setting(
        "ignore",
        choice("ignore", "refuse", "terminate"),
        "what a start does while an execution of this id is open",
    )
    live_only: bool = setting(True, SWITCH, "whether retained messages are ignored")
    task_queue: str | None = setting(None, TEXT, "by default that of the gateway")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyTable:
    """`concurrency` of a trigger: of the executions with one key, whatever their ids and types, so many run at a time."""

    key: str = setting(REQUIRED, TEXT, 'the key: "field-{field}", with the same parts as an id')
    limit: int = setting(1, whole(1, 1_000_000), "how many run at a time")
    policy: str = setting(
        "wait",
        choice(*POLICIES),
        "what a start does while so many run: it waits for its turn, leaves it to the one that runs, asks that one to cancel "
        "and begins after it, or is refused into the quarantine",
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """All settings of a gateway."""

    gateway: General
    clock: Clock
    journal: JournalSettings
    limits: LimitSettings
    retention: RetentionSettings
    payloads: PayloadSettings
    engine: EngineSettings
    mqtt: Mqtt
    devices: Devices
    page: Page
    clients: Clients
    gpu: Gpu
    triggers: tuple[TriggerSettings, ...] = ()


_TABLES: Final[Mapping[str, type[Any]]] = {
    "gateway": General,
    "clock": Clock,
    "journal": JournalSettings,
    "limits": LimitSettings,
    "retention": RetentionSettings,
    "payloads": PayloadSettings,
    "engine": EngineSettings,
    "mqtt": Mqtt,
    "devices": Devices,
    "page": Page,
    "clients": Clients,
    "gpu": Gpu,
}


def load(file: Path, overrides: Sequence[str] = ()) -> GatewaySettings:
    """The settings of a file; `overrides` are settings as ``page.port=9000``, each with a TOML value.

    Raises:
        SettingsError: any of it does not fit; the text gives every problem.
    """
    given = read_toml(file)
    reader = Reader(file)
    for override in overrides:
        _override(reader, given, override)
    reader.unknown(given, [*_TABLES, "trigger"], "")
    found: dict[str, Any] = {
        name: reader.table(cls, given.get(name, {}), f"{name}.") for name, cls in _TABLES.items()
    }
    triggers = _triggers(reader, given.get("trigger", []))
    _check_mqtt(reader, found["mqtt"])
    _check_devices(reader, found["devices"])
    _check_page(reader, found["page"])
    _check_payloads(reader, found["payloads"])
    _check_clients(reader, found["clients"])
    reader.finish()
    return GatewaySettings(**found, triggers=tuple(triggers))


def _override(reader: Reader, given: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    table, dot, name = key.strip().partition(".")
    try:
        # A text may stand without its quotes.
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    if not (equals and dot and name and table in _TABLES):
        reader.problems.append(
            f"--set {text} does not name a setting: write TABLE.KEY=VALUE, as page.port=9000"
        )
    else:
        given.setdefault(table, {})[name] = parsed


def _triggers(reader: Reader, given: Any) -> list[TriggerSettings]:
    if not isinstance(given, list):
        reader.problem("trigger", given, "tables, each written as [[trigger]]")
        return []
    found: list[TriggerSettings] = []
    for position, table in enumerate(cast("list[Any]", given), 1):
        prefix = f"trigger {position}: "
        values = dict(cast("dict[str, Any]", table))
        where = values.pop("where", {})
        concurrency = _concurrency(reader, values.pop("concurrency", None), prefix)
        read = reader.table(TriggerTable, values, prefix)
        if not isinstance(where, dict) or not all(
            isinstance(tests, dict) for tests in cast("dict[str, Any]", where).values()
        ):
            reader.problem(f"{prefix}where", where, "a table such as { moisture = { below = 0.25 } }")
            continue
        if read is None:
            continue
        trigger = TriggerSettings(
            topic=read.topic,
            id=read.id,
            action=read.action,
            workflow=read.workflow,
            signal=read.signal,
            where=cast("dict[str, dict[str, Any]]", where),
            format=read.format,
            if_running=read.if_running,
            live_only=read.live_only,
            task_queue=read.task_queue,
            concurrency=concurrency,
        )
        try:
            Trigger(trigger)
        except TriggerError as error:
            reader.problems.append(f"{prefix}{error.key} {error}")
        except PatternError as error:
            reader.problems.append(f"{prefix}topic: {error}")
        else:
            found.append(trigger)
    return found


def _concurrency(reader: Reader, given: Any, prefix: str) -> ConcurrencySettings | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        reader.problem(f"{prefix}concurrency", given, 'a table such as { key = "field-{field}" }')
        return None
    read = reader.table(ConcurrencyTable, cast("dict[str, Any]", given), f"{prefix}concurrency.")
    if read is None:
        return None
    return ConcurrencySettings(key=read.key, limit=read.limit, policy=read.policy)


def _check_mqtt(reader: Reader, mqtt: Mqtt | None) -> None:
    if mqtt is None or mqtt.broker in ("embedded", "none"):
        return
    try:
        parts = urlsplit(mqtt.broker)
        fits = parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
        fits = fits and not (parts.username or parts.password or parts.path.strip("/"))
    except ValueError:
        fits = False
    if not fits:
        reader.problem(
            "mqtt.broker", mqtt.broker, '"embedded", "none", "mqtt://host:port" or "mqtts://host:port"'
        )
        return
    for name in ("password_file", "ca_file", "cert_file", "key_file"):
        path: Path | None = getattr(mqtt, name)
        if path is not None and not path.is_file():
            reader.problem(f"mqtt.{name}", str(path), "a file that exists")
            return
    try:
        mqtt.session(*mqtt.address(), default_client_id="overwinter")
    except (MqttSettingsError, OSError) as error:
        reader.problems.append(f"mqtt: {error}")


def _check_devices(reader: Reader, devices: Devices | None) -> None:
    for pattern in () if devices is None else devices.answers:
        try:
            TopicFilter([pattern])
        except PatternError as error:
            reader.problems.append(f"devices.answers: {error}")


def _check_payloads(reader: Reader, payloads: PayloadSettings | None) -> None:
    if payloads is None:
        return
    names = ("key_file", "key_credential", "key_variable")
    given = [name for name in names if getattr(payloads, name) is not None]
    if len(given) > 1:
        reader.problems.append(
            f"payloads has {' and '.join(given)}, expected at most one of {', '.join(names)}"
        )


def _check_page(reader: Reader, page: Page | None) -> None:
    if page is None or page.token_file is not None:
        if page is not None and page.token_file is not None and not page.token_file.is_file():
            reader.problem("page.token_file", str(page.token_file), "a file that exists")
        return
    if page.host not in ("127.0.0.1", "::1", "localhost"):
        reader.problem(
            "page.host",
            page.host,
            "a loopback address, or a token_file beside it: whoever can open the page can steer the gateway",
        )


def _check_clients(reader: Reader, clients: Clients | None) -> None:
    if clients is None or clients.group is None:
        return
    try:
        grp.getgrnam(clients.group)
    except KeyError:
        reader.problem("clients.group", clients.group, "a group of this system: make it with `groupadd`")


def render_reference() -> str:
    """The reference of all settings, as Markdown."""
    lines = [
        "# Settings",
        "",
        "One TOML file, given as `overwinter run --settings gateway.toml`. Made by `make docs` from the code.",
        'Durations are numbers of seconds or texts such as `"30 s"`, `"2 h"`, `"7 days"`; paths are relative to the file.',
    ]
    tables = {**_TABLES, "[trigger]": TriggerTable, "trigger.concurrency": ConcurrencyTable}
    for name, cls in tables.items():
        lines += [
            "",
            f"## `[{name}]`",
            "",
            str(cls.__doc__),
            "",
            "| key | default | allowed | what it is |",
            "|---|---|---|---|",
        ]
        for field in dataclasses.fields(cls):
            default = "required" if field.default is dataclasses.MISSING else _shown_default(field.default)
            allowed = field.metadata["kind"].describe().replace("|", "\\|")
            lines.append(f"| `{field.name}` | {default} | {allowed} | {field.metadata['about']} |")
        if cls is TriggerTable:
            lines.append(
                "| `where` | none | a table | fields of the message that must hold: `{ moisture = { below = 0.25 } }`, with "
                "`below`, `above`, `at_least`, `at_most`, `equals`, `one_of`, `present` |"
            )
            lines.append(
                "| `concurrency` | none | a table | the concurrency key of what is started: see below |"
            )
    return "\n".join(lines) + "\n"


def _shown_default(value: Any) -> str:
    match value:
        case None:
            return "none"
        case ():
            return "`[]`"
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case str():
            return f'`"{value}"`'
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    print(render_reference(), end="")
