"""One connection to an MQTT broker, from CONNECT to the end of its socket: a *generation* of a session.

Each generation has a paho client of its own, driven by the running asyncio loop and never by paho's threads.
So nothing that belonged to an old connection can reach a new one: packet ids start again, acknowledgements of
the old one have no way to the new socket, and paho resends nothing behind the outbox's back.

paho calls its callbacks under a lock that is not reentrant: nothing here closes its socket from inside one
through paho. A callback that raises ends the connection; what it left unacknowledged comes again on the next.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from .mqtt_messages import PublishOutcome, Receipts, Received
from .mqtt_settings import RECEIVE_MAXIMUM_MAX, TEXT_BYTES_MAX, UINT32_MAX, MqttSettings

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # exists for type checkers only

logger = logging.getLogger(__name__)

# Reason codes of MQTT 5.0, 2.4.
MALFORMED = 0x81
SESSION_TAKEN_OVER = 0x8E
TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
QOS_NOT_SUPPORTED = 0x9B

KEEPALIVE_CHECK_S = 1.0
FAREWELL_S = 1.0
UNREADABLE_TOPIC = "\ufffd"


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a connection ended or never came to be."""

    reason: str
    code: int | None = None

    @property
    def takeover(self) -> bool:
        """Another client connected with our client id (MQTT 5.0, 3.1.4)."""
        return self.code == SESSION_TAKEN_OVER


class ConnectFailed(Exception):
    """No usable connection was made; try again later."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.reason)
        self.lost = lost


class Connection:
    """One generation. `open` once, `publish` and `acknowledge` while `live`, `close` always.

    `on_connected(session_present)` comes before the first `on_message`; all callbacks run on the loop, one
    after another. One that raises ends the connection.
    """

    def __init__(
        self,
        settings: MqttSettings,
        generation: int,
        subscriptions: Sequence[str],
        *,
        on_connected: Callable[[bool], None],
        on_message: Callable[[Received], None],
        on_published: Callable[[int, PublishOutcome], None],
    ) -> None:
        self.generation = generation
        self.refused_subscriptions: dict[str, str] = {}
        self.live = False
        """True from the broker's acceptance until the end."""
        self.accepted = False
        """Whether the broker has ever accepted it."""
        self._settings = settings
        self._subscriptions = tuple(subscriptions)
        self._report_connected = on_connected
        self._report_message = on_message
        self._report_published = on_published
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[Lost] = self._loop.create_future()
        self._receipts = Receipts()
        self._in_flight: dict[int, int] = {}
        self._window = settings.in_flight_max
        self._packet_bytes_max = settings.packet_bytes_max
        self._fd: int | None = None
        self._keepalive_timer: asyncio.TimerHandle | None = None
        self._abandoned = False
        self._client = self._new_client()

    async def open(self) -> None:
        """Connect and subscribe; when it returns the broker has answered both.

        Raises:
            ConnectFailed: not reached, refused, or not answered within `connect_timeout_s`.
        """
        try:
            with anyio.fail_after(self._settings.connect_timeout_s):
                await anyio.to_thread.run_sync(self._dial, abandon_on_cancel=True)
                self._attach()
                await asyncio.wait({self._ready})
        except (
            OSError,
            ValueError,
        ) as error:  # ValueError: a host name that IDNA refuses
            text = str(error) or f"no answer within {self._settings.connect_timeout_s:g} s"
            raise ConnectFailed(Lost(f"cannot connect to {self._settings.address}: {text}")) from error
        if self._ended.done():
            raise ConnectFailed(self._ended.result())

    async def ended(self) -> Lost:
        """Wait until the connection is gone and say why."""
        await asyncio.wait({self._ended})
        return self._ended.result()

    async def close(self) -> None:
        """Say goodbye if there is someone to say it to, keeping the session, and release the socket."""
        self._abandoned = True
        if self.live:
            self._client.disconnect()
            await asyncio.wait({self._ended}, timeout=FAREWELL_S)
        self._finish(Lost("closed by this side"))
        self._release()

    def acknowledge(self, receipt: int) -> int:
        """Mark a message as done; return how many acknowledgements could be sent, in order of receipt."""
        sent = 0
        for packet_id in self._receipts.finish(receipt):
            self._client.ack(packet_id, 1)
            sent += 1
        return sent

    @property
    def subscribed(self) -> bool:
        """Whether the broker has answered the subscriptions (perhaps with a refusal of some)."""
        return self.live and self._ready.done()

    @property
    def in_flight(self) -> int:
        """Publications without an answer."""
        return len(self._in_flight)

    @property
    def unacknowledged(self) -> int:
        """QoS 1 messages received and not yet acknowledged."""
        return len(self._receipts)

    def publish(
        self,
        token: int,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: int | None,
        user_properties: Sequence[tuple[str, str]],
        response_topic: str | None,
        correlation_data: bytes | None,
    ) -> bool:
        """Hand a message to the socket; False when there is no room for it now.

        A message that no broker could take is refused through `on_published`, as if the broker had said so:
        sending it would end the connection, again after every reconnect.
        """
        if not self.live or len(self._in_flight) >= self._window:
            return False
        texts = [topic, response_topic or "", *(text for pair in user_properties for text in pair)]
        refusal = _refusal(qos, texts, len(payload) + len(correlation_data or b""), self._packet_bytes_max)
        if refusal is not None:
            self._loop.call_soon(self._guarded, lambda: self._report_published(token, refusal))
            return True
        properties = _packet_properties(
            PacketTypes.PUBLISH,
            MessageExpiryInterval=None if expiry_s is None else max(0, min(expiry_s, UINT32_MAX)),
            UserProperty=list(user_properties) or None,
            ResponseTopic=response_topic,
            CorrelationData=correlation_data,
        )
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._in_flight[info.mid] = token
        return True

    # The socket on the loop.

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages = 0  # the window is ours: paho would queue without a bound
        client.connect_timeout = self._settings.connect_timeout_s
        if self._settings.username is not None:
            client.username_pw_set(self._settings.username, self._settings.password)
        client.on_socket_open = _set_no_delay
        client.on_socket_close = lambda _client, _data, _sock: self._detach()
        client.on_socket_register_write = lambda _client, _data, _sock: self._want_write()
        client.on_socket_unregister_write = lambda _client, _data, _sock: self._want_no_write()
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    def _dial(self) -> None:
        """Resolve, connect and shake hands: blocking, in a thread. Nothing is on the loop yet."""
        context = self._settings.tls_context()
        if context is not None:
            self._client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]  # untyped
        self._client.connect(
            self._settings.host,
            self._settings.port,
            keepalive=self._settings.keepalive_s,
            clean_start=False,  # paho's default wipes what the broker kept for us while we were away
            properties=_packet_properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=self._settings.session_expiry_s,
                ReceiveMaximum=self._settings.receive_maximum,
                MaximumPacketSize=self._settings.packet_bytes_max,
            ),
        )
        if self._abandoned:  # the caller did not wait for a slow handshake
            self._release()

    def _attach(self) -> None:
        sock = self._client.socket()
        if sock is None:
            raise ConnectionError("the socket was closed at once")
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._guarded, self._read)
        self._want_write()  # CONNECT waits in paho's buffer
        self._keepalive_timer = self._loop.call_later(KEEPALIVE_CHECK_S, self._check_keepalive)

    def _detach(self) -> None:
        """Take the descriptor off the loop; must happen before it is closed, for its number is used again."""
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = None

    def _release(self) -> None:
        """Close the socket past paho, whose own way calls back from whichever thread collects the client."""
        self._client.on_socket_close = None
        self._client.on_socket_unregister_write = None
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _want_write(self) -> None:
        if self._fd is not None:
            self._loop.add_writer(self._fd, self._guarded, self._client.loop_write)

    def _want_no_write(self) -> None:
        if self._fd is not None:
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        self._client.loop_read()
        # Bytes that TLS has already decrypted do not make the descriptor readable again.
        while self._fd is not None and _decrypted_bytes(self._client.socket()):
            self._client.loop_read()

    def _check_keepalive(self) -> None:
        if self._ended.done():
            return
        self._keepalive_timer = self._loop.call_later(KEEPALIVE_CHECK_S, self._check_keepalive)
        self._guarded(self._client.loop_misc)

    def _guarded(self, step: Callable[[], object]) -> None:
        """Run one step; an exception ends this connection instead of escaping into the loop."""
        if self._ended.done():
            return
        try:
            step()
        except Exception as error:
            logger.exception("MQTT connection %d ends: a step on it raised", self.generation)
            self._finish(Lost(f"{type(error).__name__} while handling what the broker sent"))

    def _finish(self, lost: Lost) -> None:
        self.live = False
        self._detach()
        if self._keepalive_timer is not None:
            self._keepalive_timer.cancel()
        if not self._ended.done():
            self._ended.set_result(lost)
        if not self._ready.done():
            self._ready.set_result(None)

    # What paho reports.

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._finish(Lost(f"{self._settings.address} refused the connection: {reason}", reason.value))
            return
        if _property(properties, "MaximumQoS", 1) < 1:
            self._finish(Lost(f"{self._settings.address} offers QoS 0 only; acknowledgements need QoS 1"))
            return
        self._window = min(self._window, _property(properties, "ReceiveMaximum", RECEIVE_MAXIMUM_MAX))
        self._packet_bytes_max = min(
            self._packet_bytes_max, _property(properties, "MaximumPacketSize", self._packet_bytes_max)
        )
        expiry_s = _property(properties, "SessionExpiryInterval", self._settings.session_expiry_s)
        if expiry_s < self._settings.session_expiry_s:
            logger.warning(
                "%s keeps our session for %d s, session_expiry_s is %d: a longer absence loses messages",
                self._settings.address,
                expiry_s,
                self._settings.session_expiry_s,
            )
        self.accepted = self.live = True
        self._subscribe()
        self._report_connected(flags.session_present)

    def _subscribe(self) -> None:
        if not self._subscriptions:
            self._ready.set_result(None)
            return
        # Retained messages come with a new subscription only: not again at every reconnect.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        self._client.subscribe([(topic_filter, options) for topic_filter in self._subscriptions])

    def _on_subscribe(
        self,
        _client: Client,
        _data: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        for topic_filter, reason in zip(self._subscriptions, reasons, strict=True):
            if reason.value == 1:
                continue
            text = str(reason) if reason.is_failure else f"granted at QoS {reason.value}, asked for 1"
            self.refused_subscriptions[topic_filter] = text
            logger.error(
                "%s refused the subscription %r: %s. Nothing arrives on it; check its access rules",
                self._settings.address,
                topic_filter,
                text,
            )
        if not self._ready.done():
            self._ready.set_result(None)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        properties = message.properties
        try:
            topic = message.topic
        except UnicodeDecodeError:  # forbidden by MQTT 5.0, 1.5.4; handed on to be put aside
            topic = UNREADABLE_TOPIC
        received = Received(
            topic=topic,
            payload=bytes(message.payload),
            qos=message.qos,
            retain=message.retain,
            duplicate=message.dup,
            packet_id=message.mid,
            generation=self.generation,
            receipt=self._receipts.add(message.mid) if message.qos > 0 else -1,
        )
        if properties is not None:
            received.user_properties = tuple(_property(properties, "UserProperty", ()))
            received.response_topic = _property(properties, "ResponseTopic", None)
            received.correlation_data = _property(properties, "CorrelationData", None)
            received.content_type = _property(properties, "ContentType", None)
        self._report_message(received)

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        token = self._in_flight.pop(mid, None)
        if token is None:
            return
        explanation = _property(properties, "ReasonString", None)
        text = f"{reason}: {explanation}" if explanation else str(reason)
        self._report_published(token, PublishOutcome(not reason.is_failure, reason.value, text))

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._finish(Lost(f"{self._settings.address} disconnected us: {reason}", reason.value))
        else:
            self._finish(Lost(f"connection to {self._settings.address} lost: {reason}"))


def _set_no_delay(_client: Client, _data: Any, sock: SocketLike) -> None:
    """Without it a small answer waits for the peer's delayed acknowledgement: 44 ms instead of 0.3 ms."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _decrypted_bytes(sock: SocketLike | None) -> int:
    return sock.pending() if isinstance(sock, ssl.SSLSocket) else 0


def _packet_properties(packet_type: int, **values: Any) -> Properties:
    """Properties of one packet, without those that are None."""
    properties = Properties(packet_type)  # type: ignore[no-untyped-call]  # paho leaves this class untyped
    for name, value in values.items():
        if value is not None:
            setattr(properties, name, value)
    return properties


def _property(properties: Properties | None, name: str, default: Any) -> Any:
    """One property's value; paho makes an attribute of each that was in the packet and types none of them."""
    return getattr(properties, name, default)


def _refusal(qos: int, texts: Sequence[str], data_bytes: int, packet_bytes_max: int) -> PublishOutcome | None:
    """What makes a message impossible to publish, or None. `texts` begins with the topic.

    The packet's size is estimated, at most 40 bytes too large.
    """
    topic = texts[0]
    if qos not in (0, 1):
        return PublishOutcome(False, QOS_NOT_SUPPORTED, f"QoS {qos} is not supported for publishing; use 1")
    if not topic or any(character in topic for character in "+#\0"):
        return PublishOutcome(False, TOPIC_NAME_INVALID, f"{topic!r} is not a topic name to publish on")
    try:
        sizes = [len(text.encode()) for text in texts]
    except UnicodeEncodeError:
        return PublishOutcome(False, MALFORMED, "the topic or a property is not valid Unicode")
    if max(sizes) > TEXT_BYTES_MAX:
        return PublishOutcome(
            False, MALFORMED, f"the topic or a property is longer than {TEXT_BYTES_MAX} bytes"
        )
    packet_bytes = 40 + sum(sizes) + 3 * len(sizes) + data_bytes
    if packet_bytes > packet_bytes_max:
        text = f"the packet has about {packet_bytes} bytes, the limit is {packet_bytes_max}"
        return PublishOutcome(False, PACKET_TOO_LARGE, text)
    return None
