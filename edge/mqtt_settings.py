"""How one MQTT session is reached and bounded, checked when it is built."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

SECONDS_PER_DAY = 86_400

# MQTT 5.0, 3.1.2.11.3: a Receive Maximum is 1 to 65,535. 3.1.2.11.2: an expiry is a 32-bit count of seconds.
RECEIVE_MAXIMUM_MAX = 65_535
UINT32_MAX = 0xFFFF_FFFF
TEXT_BYTES_MAX = 65_535


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave the descriptor to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class MqttSettingsError(ValueError):
    """A setting cannot be used; the text says which one, what was found and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """One durable MQTT 5 session: where the broker is, who we are, and every bound.

    `client_id` names the session at the broker: it must stay the same over restarts and be used
    by one process only (two clients with one id disconnect each other for ever).

    Raises:
        MqttSettingsError: a value is outside its bounds.
    """

    client_id: str
    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    tls: bool = False
    """Encrypt, and check the broker's certificate and host name. On by itself when a file below is given."""
    ca_file: Path | None = None
    """Certificates to trust, PEM; without it those of the system."""
    cert_file: Path | None = None
    key_file: Path | None = None

    keepalive_s: int = 30
    session_expiry_s: int = 7 * SECONDS_PER_DAY
    """How long the broker keeps our subscriptions and unacknowledged messages while we are away."""
    receive_maximum: int = 256
    """Messages that the broker may have sent us without an acknowledgement: the backpressure.
    The embedded broker does not look at it and keeps to 100."""
    in_flight_max: int = 100
    """Messages that we may have published without an answer; the broker's own bound applies as well."""
    packet_bytes_max: int = 1_048_576
    """Largest MQTT packet in either direction. A broker drops larger ones without telling us
    (MQTT 5.0, 3.1.2.11.4), so set the same bound at the broker."""

    connect_timeout_s: float = 10.0
    """From the first DNS query to the answer to our subscriptions."""
    backoff_s_first: float = 0.5
    backoff_s_max: float = 30.0
    stable_after_s: float = 10.0
    """A connection that lived this long starts the backoff again from `backoff_s_first`."""

    def __post_init__(self) -> None:
        _check_text("client_id", self.client_id)
        _check_text("host", self.host)
        _check_range("port", self.port, 1, 65_535)
        _check_range("keepalive_s", self.keepalive_s, 1, 65_535)
        _check_range("session_expiry_s", self.session_expiry_s, 1, UINT32_MAX)
        _check_range("receive_maximum", self.receive_maximum, 1, RECEIVE_MAXIMUM_MAX)
        _check_range("in_flight_max", self.in_flight_max, 1, 32_767)
        _check_range("packet_bytes_max", self.packet_bytes_max, 1_024, 268_435_455)
        _check_range("connect_timeout_s", self.connect_timeout_s, 0.1, 300)
        _check_range("backoff_s_max", self.backoff_s_max, 0.001, 3_600)
        _check_range("backoff_s_first", self.backoff_s_first, 0.001, self.backoff_s_max)
        _check_range("stable_after_s", self.stable_after_s, 0, 3_600)
        if (self.cert_file is None) != (self.key_file is None):
            raise MqttSettingsError("cert_file and key_file belong together: give both, or neither")
        if self.password is not None and self.username is None:
            raise MqttSettingsError("password is set without username: give the username too")

    @property
    def address(self) -> str:
        """`host:port`, as it is shown to people."""
        return f"{self.host}:{self.port}"

    @property
    def encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.tls or self.ca_file is not None or self.cert_file is not None

    def tls_context(self) -> ssl.SSLContext | None:
        """Read the certificate files and return a verifying context, or None without TLS. Blocks on files.

        Raises:
            OSError: a file cannot be read or holds no usable certificate or key (`ssl.SSLError`).
        """
        if not self.encrypted:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.sslsocket_class = _ClosingSocket
        if self.cert_file is not None and self.key_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def check_subscription(topic_filter: str, qos: int = 1) -> str:
    """Return `topic_filter` if a durable trigger can subscribe to it at `qos`.

    Raises:
        MqttSettingsError: the filter is malformed (MQTT 5.0, 4.7), or the quality of service is not 1.
    """
    if qos == 2:
        raise MqttSettingsError(
            f"subscription {topic_filter!r} asks for QoS 2, which can lose messages here: the client library "
            "confirms a QoS 2 message on receipt, before it is committed, and keeps it in memory only. "
            "Use qos = 1: redelivered messages are recognised, so the effect is still exactly once"
        )
    if qos != 1:
        raise MqttSettingsError(
            f"subscription {topic_filter!r} asks for QoS {qos!r}; use 1: only that is redelivered"
        )
    _check_text(f"subscription {topic_filter!r}", topic_filter)
    levels = topic_filter.split("/")
    if "#" in topic_filter and (topic_filter.count("#") > 1 or levels[-1] != "#"):
        raise MqttSettingsError(
            f"subscription {topic_filter!r}: '#' must be the whole last level, as in 'a/#'"
        )
    if any("+" in level and level != "+" for level in levels):
        raise MqttSettingsError(f"subscription {topic_filter!r}: '+' must be a whole level, as in 'a/+/b'")
    return topic_filter


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise MqttSettingsError(f"{name} is {value!r}, expected {low:g} to {high:g}")


def _check_text(name: str, value: str) -> None:
    if not value or "\0" in value or len(value.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        raise MqttSettingsError(f"{name} is empty, longer than {TEXT_BYTES_MAX} bytes or holds a zero byte")
