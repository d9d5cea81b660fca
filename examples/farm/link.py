"""A device's MQTT session: MQTT 5, QoS 1, one thread, sent until acknowledged.

The logbook decides what is sent. A message leaves it only on PUBACK; after a restart of the process all that
still waits goes out again with the same event id, so that a receiver can tell a repeat from a new reading.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from .logbook import Entry, Logbook

IN_FLIGHT_MAX = 20
SESSION_EXPIRY_S = 24 * 3600
BACKOFF_S_MAX = 5.0
KEEPALIVE_S = 20

Receive = Callable[[str, bytes], None]


class Link:
    """One device process's session with the broker; call `poll` often."""

    def __init__(
        self, host: str, port: int, client_id: str, logbook: Logbook, *, repeat_rate: float = 0.0
    ) -> None:
        self._address = (host, port)
        self._logbook = logbook
        self._repeat_rate = repeat_rate
        self._in_flight: dict[int, str] = {}
        self._subscriptions: dict[str, Receive] = {}
        self._retry_at, self._backoff_s = 0.0, 0.1
        self._is_open = False
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.on_socket_open = _send_small_packets_at_once
        client.on_connect = self._connected
        client.on_publish = self._acknowledged
        client.on_message = self._received
        self._client = client

    @property
    def is_drained(self) -> bool:
        """Nothing in the logbook waits for an acknowledgement."""
        return not self._in_flight and not self._logbook.waiting(1)

    def subscribe(self, topic: str, receive: Receive) -> None:
        """`receive(topic, payload)` is called from inside `poll`; subscribe before the first poll."""
        self._subscriptions[topic] = receive

    def send_loose(self, topic: str, payload: bytes, event_id: str) -> None:
        """Send something that is not in the logbook, as a broken device would; lost without a connection."""
        if self._is_open:
            self._client.publish(topic, payload, qos=1, properties=_properties(event_id))

    def poll(self, timeout_s: float) -> None:
        """Spend at most about `timeout_s` seconds on the network: connect, send what waits, receive."""
        if self._is_open and self._client.is_connected():
            self._send_waiting()
        if not self._is_open and not self._connect(timeout_s):
            return
        if self._client.loop(timeout=min(timeout_s, 0.1)) != mqtt.MQTT_ERR_SUCCESS:
            self._is_open = False
            self._back_off()

    def close(self) -> None:
        """The session stays on the broker, the connection ends."""
        if self._is_open:
            self._client.disconnect()
            self._client.loop(timeout=0.1)
            self._is_open = False

    def _connect(self, timeout_s: float) -> bool:
        wait_s = self._retry_at - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            return False
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            host, port = self._address
            self._client.connect(host, port, KEEPALIVE_S, clean_start=False, properties=properties)
        except OSError:
            self._back_off()
            return False
        self._is_open = True
        return True

    def _back_off(self) -> None:
        self._retry_at = time.monotonic() + random.uniform(0.5, 1.0) * self._backoff_s
        self._backoff_s = min(BACKOFF_S_MAX, 2 * self._backoff_s)

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            return
        self._backoff_s = 0.1
        if self._subscriptions:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._subscriptions])

    def _send_waiting(self) -> None:
        on_the_way = set(self._in_flight.values())
        if len(on_the_way) >= IN_FLIGHT_MAX:
            return
        for entry in self._logbook.waiting(2 * IN_FLIGHT_MAX):
            if entry.event_id not in on_the_way and len(self._in_flight) < IN_FLIGHT_MAX:
                self._send(entry)

    def _send(self, entry: Entry) -> None:
        # Paho sends its unacknowledged messages again after a reconnect, hence the entry stays in flight.
        sent = self._client.publish(entry.topic, entry.payload, qos=1, properties=_properties(entry.event_id))
        self._in_flight[sent.mid] = entry.event_id
        if random.random() < self._repeat_rate:
            self.send_loose(entry.topic, entry.payload, entry.event_id)

    def _acknowledged(self, _client: mqtt.Client, _data: Any, mid: int, reason: Any, _props: Any) -> None:
        event_id = self._in_flight.pop(mid, None)
        if event_id is not None and not reason.is_failure:
            self._logbook.strike(event_id)

    def _received(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        for topic, receive in self._subscriptions.items():
            if mqtt.topic_matches_sub(topic, message.topic):
                receive(message.topic, message.payload)


def _send_small_packets_at_once(_client: mqtt.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _properties(event_id: str) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("event-id", event_id)
    return properties
