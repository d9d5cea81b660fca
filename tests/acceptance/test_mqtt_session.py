"""The durable MQTT session against real brokers: what is redelivered, acknowledged, refused and survived."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
import ssl
from pathlib import Path

import pytest
from brokers import CONNACK, Broker, MosquittoBroker, Relay, ScriptedBroker, make_certificates
from mqtt_recorder import Recorder, eventually, publish, quiet, running, settings_for

from overwinter.edge.broker import EmbeddedBroker
from overwinter.edge.mqtt import Received


async def test_unacknowledged_messages_come_again_in_order_after_a_dropped_connection(broker: Broker) -> None:
    async with Relay(broker) as relay, running(settings_for(relay, "gw"), "t/#") as gateway:
        await publish(settings_for(broker, "device"), "t/a", [f"m{n}" for n in range(8)])
        await eventually(lambda: len(gateway.messages) == 8, "eight messages")
        for received in gateway.messages[:3]:
            gateway.session.acknowledge(received)
        await eventually(lambda: gateway.session.counters.acknowledged == 3, "three acknowledged")
        await asyncio.sleep(0.1)  # the acknowledgements pass the relay
        relay.cut()
        await eventually(lambda: len(gateway.connections) == 2, "a second connection")
        await eventually(lambda: len(gateway.messages) == 13, "five messages again")
    assert gateway.payloads[8:] == ["m3", "m4", "m5", "m6", "m7"]
    assert gateway.connections[1][0] is True
    assert len(gateway.losses) == 2


async def test_mosquitto_marks_what_it_sends_again(mosquitto: MosquittoBroker) -> None:
    async with Relay(mosquitto) as relay, running(settings_for(relay, "gw"), "t") as gateway:
        await publish(settings_for(mosquitto, "device"), "t", ["m"])
        await eventually(lambda: len(gateway.messages) == 1, "the message")
        relay.cut()
        await eventually(lambda: len(gateway.messages) == 2, "the message again")
    assert [received.duplicate for received in gateway.messages] == [False, True]


async def test_acknowledgements_go_out_as_a_prefix_even_when_marked_out_of_order(broker: Broker) -> None:
    async with Relay(broker) as relay, running(settings_for(relay, "gw"), "t/#") as gateway:
        await publish(settings_for(broker, "device"), "t/a", [f"m{n}" for n in range(6)])
        await eventually(lambda: len(gateway.messages) == 6, "six messages")
        for position in (5, 1, 4):
            gateway.session.acknowledge(gateway.messages[position])
        assert gateway.session.counters.acknowledged == 0
        gateway.session.acknowledge(gateway.messages[0])
        assert gateway.session.counters.acknowledged == 2
        await asyncio.sleep(0.1)
        relay.cut()
        await eventually(lambda: len(gateway.messages) == 10, "four messages again")
    assert gateway.payloads[6:] == ["m2", "m3", "m4", "m5"]


@pytest.mark.parametrize("checked", [True, False], ids=["generation-checked", "check-bypassed"])
async def test_a_late_acknowledgement_never_destroys_a_new_message(tmp_path: Path, checked: bool) -> None:
    """The broker loses its sessions and numbers packets from 1 again: the new message has the old number.

    With the check bypassed the new message must be lost: else this test could not see the fault.
    """
    broker = MosquittoBroker(tmp_path / "broker", persistence=False)
    await broker.start()
    try:
        async with Relay(broker) as relay, running(settings_for(relay, "gw"), "t") as gateway:
            await publish(settings_for(broker, "device"), "t", ["old"])
            await eventually(lambda: gateway.payloads == ["old"], "the old message")
            broker.kill()
            await broker.start()
            await eventually(
                lambda: len(gateway.connections) > 1 and gateway.session.subscribed,
                "subscribed to the new broker",
            )
            assert gateway.connections[-1][0] is False
            await publish(settings_for(broker, "device"), "t", ["new"])
            await eventually(lambda: gateway.payloads == ["old", "new"], "the new message")
            old, new = gateway.messages
            assert old.packet_id == new.packet_id
            late = old if checked else dataclasses.replace(old, generation=new.generation)
            gateway.session.acknowledge(late)
            assert gateway.session.counters.stale_acknowledgements == int(checked)
            await asyncio.sleep(0.2)
            connections = len(gateway.connections)
            relay.cut()
            await eventually(
                lambda: len(gateway.connections) > connections and gateway.session.subscribed,
                "a new connection",
            )
            if checked:
                await eventually(lambda: gateway.payloads == ["old", "new", "new"], "the new message again")
            else:
                await quiet(
                    lambda: len(gateway.messages) > 2, "a message that was acknowledged by mistake came"
                )
    finally:
        await broker.stop()


async def test_receive_maximum_bounds_what_arrives_unacknowledged(mosquitto: MosquittoBroker) -> None:
    settings = settings_for(mosquitto, "gw", receive_maximum=5)
    async with running(settings, "t/#") as gateway:
        await publish(settings_for(mosquitto, "device"), "t/a", [f"m{n}" for n in range(20)])
        await eventually(lambda: len(gateway.messages) == 5, "five messages")
        await quiet(lambda: len(gateway.messages) > 5, "more than the Receive Maximum came")
        assert gateway.session.unacknowledged == 5
        gateway.handle = gateway.session.acknowledge
        for received in list(gateway.messages):
            gateway.session.acknowledge(received)
        await eventually(lambda: len(gateway.messages) == 20, "all of them")
    assert gateway.payloads == [f"m{n}" for n in range(20)]


async def test_the_embedded_broker_sends_at_most_a_hundred_unacknowledged_messages(tmp_path: Path) -> None:
    """It ignores the Receive Maximum; this is the bound that is documented instead."""
    async with EmbeddedBroker(tmp_path) as broker, running(settings_for(broker, "gw"), "t/#") as gateway:
        await publish(settings_for(broker, "device"), "t/a", [f"m{n}" for n in range(250)])
        await eventually(lambda: len(gateway.messages) == 100, "a hundred messages")
        await quiet(lambda: len(gateway.messages) > 100, "more than a hundred came")
        gateway.handle = gateway.session.acknowledge
        for received in list(gateway.messages):
            gateway.session.acknowledge(received)
        await eventually(lambda: len(gateway.messages) == 250, "all of them")
    assert gateway.payloads == [f"m{n}" for n in range(250)]


async def test_messages_published_while_the_client_was_away_arrive(broker: Broker) -> None:
    async with running(settings_for(broker, "gw"), "t/#") as first:
        pass
    assert first.losses == ["this side stops"]
    await publish(settings_for(broker, "device"), "t/a", [f"m{n}" for n in range(10)])
    async with running(settings_for(broker, "gw"), "t/#") as second:
        await eventually(lambda: len(second.messages) == 10, "ten messages")
    assert first.connections == [(False, 1)]
    assert second.connections == [(True, 1)]
    assert second.payloads == [f"m{n}" for n in range(10)]


async def test_an_acknowledged_message_does_not_come_again(broker: Broker) -> None:
    async with running(settings_for(broker, "gw"), "t/#") as first:
        first.handle = first.session.acknowledge
        await publish(settings_for(broker, "device"), "t/a", ["m1", "m2"])
        await eventually(lambda: first.session.counters.acknowledged == 2, "two acknowledged")
    async with running(settings_for(broker, "gw"), "t/#") as second:
        await quiet(lambda: second.messages, "an acknowledged message came again")


async def test_the_session_goes_on_after_the_broker_was_killed_and_started_again(broker: Broker) -> None:
    async with running(settings_for(broker, "gw"), "t/#") as gateway:
        gateway.handle = gateway.session.acknowledge
        await publish(settings_for(broker, "device"), "t/a", ["before"])
        await eventually(lambda: gateway.payloads == ["before"], "the first message")
        broker.kill()
        await eventually(lambda: gateway.losses, "the loss noticed")
        assert not gateway.session.connected
        assert not gateway.session.publish(1, "t/x", b"")
        await eventually(lambda: gateway.session.counters.failed_connects > 0, "a failed attempt")
        await broker.start()
        await eventually(lambda: gateway.session.subscribed, "connected again")
        await publish(settings_for(broker, "device"), "t/a", ["after"])
        await eventually(lambda: "after" in gateway.payloads, "the second message")
        assert gateway.session.counters.reconnects >= 1


async def test_mosquitto_keeps_an_unacknowledged_message_over_its_own_restart(
    mosquitto: MosquittoBroker,
) -> None:
    async with running(settings_for(mosquitto, "gw"), "t") as gateway:
        await publish(settings_for(mosquitto, "device"), "t", ["kept"])
        await eventually(lambda: gateway.payloads == ["kept"], "the message")
        await mosquitto.stop()
        await mosquitto.start()
        await eventually(lambda: gateway.payloads == ["kept", "kept"], "the message again")
    assert gateway.connections[-1][0] is True


async def test_mosquitto_keeps_what_it_queued_for_us_over_its_own_kill(mosquitto: MosquittoBroker) -> None:
    """Only what waits for an absent client: it does not save on delivery, what was in flight may be lost."""
    async with running(settings_for(mosquitto, "gw"), "t"):
        pass
    await publish(settings_for(mosquitto, "device"), "t", ["m1", "m2", "m3"])
    await asyncio.sleep(0.3)  # it writes its store after the acknowledgement, not before
    mosquitto.kill()
    await mosquitto.start()
    async with running(settings_for(mosquitto, "gw"), "t") as gateway:
        await eventually(lambda: len(gateway.messages) == 3, "the queued messages")
    assert gateway.payloads == ["m1", "m2", "m3"]


async def test_a_publication_is_answered_by_the_broker(broker: Broker) -> None:
    async with running(settings_for(broker, "gw"), "t") as gateway:
        assert gateway.session.publish(7, "t", b"on", user_properties=[("event-id", "e-1")])
        assert gateway.outcomes == {}
        await eventually(lambda: 7 in gateway.outcomes, "the answer")
        assert gateway.outcomes[7].accepted
        assert gateway.session.counters.published == 1
        assert gateway.session.in_flight == 0


async def test_the_window_refuses_more_than_its_size_until_an_answer_comes(broker: Broker) -> None:
    async with running(settings_for(broker, "gw", in_flight_max=3)) as gateway:
        assert [gateway.session.publish(n, "t", b"") for n in range(5)] == [True, True, True, False, False]
        await eventually(lambda: len(gateway.outcomes) == 3, "three answers")
        assert gateway.session.publish(3, "t", b"")


async def test_a_publication_without_permission_is_refused_with_the_broker_s_reason(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite allowed/#\n")
    acl.chmod(0o600)
    broker = MosquittoBroker(tmp_path / "broker", lines=[f"acl_file {acl}"])
    await broker.start()
    try:
        async with running(settings_for(broker, "gw"), "allowed/#") as gateway:
            gateway.session.publish(1, "secret/valve", b"open")
            gateway.session.publish(2, "allowed/valve", b"open")
            await eventually(lambda: len(gateway.outcomes) == 2, "both answered")
            assert not gateway.outcomes[1].accepted
            assert gateway.outcomes[1].reason_code == 0x87
            assert "Not authorized" in gateway.outcomes[1].reason
            assert gateway.outcomes[2].accepted
            assert gateway.session.counters.refused == 1
    finally:
        await broker.stop()


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [("a/+/b", b"", 0x90), ("", b"", 0x90), ("a", bytes(4096), 0x95), ("a\udc00", b"", 0x81)],
    ids=["wildcard", "empty", "too-large", "surrogate"],
)
async def test_what_no_broker_can_take_is_refused_and_the_connection_stays(
    broker: Broker, topic: str, payload: bytes, code: int
) -> None:
    async with running(settings_for(broker, "gw", packet_bytes_max=2048)) as gateway:
        assert gateway.session.publish(1, topic, payload)
        await eventually(lambda: 1 in gateway.outcomes, "the refusal")
        assert (gateway.outcomes[1].accepted, gateway.outcomes[1].reason_code) == (False, code)
        assert gateway.session.publish(2, "a", b"")
        await eventually(lambda: 2 in gateway.outcomes, "the answer to a good one")
        assert gateway.session.counters.reconnects == 0


async def test_a_refused_subscription_is_counted_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """Scripted: Mosquitto 2.0.11 grants every filter and then delivers nothing on a forbidden one."""
    suback = bytes([0x90, 5, 0, 1, 0, 1, 0x87])
    async with ScriptedBroker(CONNACK, suback) as broker:
        with caplog.at_level(logging.ERROR):
            async with running(settings_for(broker, "gw"), "allowed/#", "secret/#") as gateway:
                assert dict(gateway.session.refused_subscriptions) == {"secret/#": "Not authorized"}
                assert gateway.session.connected
                assert gateway.session.counters.refused_subscriptions == 1
    assert "'secret/#'" in caplog.text


async def test_a_takeover_is_counted_and_answered_with_the_longest_backoff(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ScriptedBroker(CONNACK, bytes([0xE0, 2, 0x8E, 0])) as broker:
        recorder = Recorder(settings_for(broker, "gw", backoff_s_max=60.0))
        with caplog.at_level(logging.ERROR):
            task = asyncio.create_task(recorder.session.run())
            await eventually(lambda: recorder.session.counters.takeovers == 1, "the takeover counted")
            await quiet(lambda: len(recorder.connections) > 1, "it came back at once")
            task.cancel()
            await asyncio.wait({task})
    assert "Session taken over" in recorder.losses[0]
    assert "another client uses the client id 'gw'" in caplog.text


async def test_two_clients_with_one_id_slow_down_and_are_reported(
    mosquitto: MosquittoBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    settings = settings_for(mosquitto, "gw")
    async with running(settings, "t") as first, running(settings, "t"):
        await eventually(lambda: first.session.counters.unstable >= 5, "short connections counted")
        await eventually(lambda: "perhaps another client" in caplog.text, "the report")


async def test_properties_travel_with_a_message(broker: Broker) -> None:
    async with running(settings_for(broker, "gw"), "t/#") as gateway:
        gateway.session.publish(
            1,
            "t/a",
            b"\x00\xff",
            expiry_s=60,
            user_properties=[("event-id", "e-1"), ("schema", "2")],
            response_topic="t/answer",
            correlation_data=b"\x01\x02",
        )
        await eventually(lambda: gateway.messages, "the message")
    received = gateway.messages[0]
    assert received.event_id == "e-1"
    assert ("schema", "2") in received.user_properties
    assert (received.topic, received.payload, received.qos) == ("t/a", b"\x00\xff", 1)
    assert (received.response_topic, received.correlation_data) == ("t/answer", b"\x01\x02")


async def test_a_message_without_an_event_id_has_none(broker: Broker) -> None:
    async with running(settings_for(broker, "gw"), "t") as gateway:
        gateway.session.publish(1, "t", b"")
        await eventually(lambda: gateway.messages, "the message")
    assert gateway.messages[0].event_id is None


async def test_a_callback_that_raises_does_not_end_the_session_and_its_message_comes_again(
    broker: Broker,
) -> None:
    async with running(settings_for(broker, "gw"), "t") as gateway:

        def fail_once(received: Received) -> None:
            if len(gateway.messages) == 1:
                raise RuntimeError("a bug in the handler")
            gateway.session.acknowledge(received)

        gateway.handle = fail_once
        await publish(settings_for(broker, "device"), "t", ["m1", "m2"])
        await eventually(lambda: gateway.session.counters.acknowledged == 2, "both acknowledged")
    assert gateway.payloads[-2:] == ["m1", "m2"]
    assert gateway.session.counters.callback_errors == 1


async def test_a_retained_message_does_not_come_again_at_every_reconnect(mosquitto: MosquittoBroker) -> None:
    await publish(settings_for(mosquitto, "device"), "t", ["kept"], retain=True)
    async with Relay(mosquitto) as relay, running(settings_for(relay, "gw"), "t") as gateway:
        await eventually(lambda: gateway.messages, "the retained message")
        gateway.session.acknowledge(gateway.messages[0])
        assert gateway.messages[0].retain
        await asyncio.sleep(0.1)
        relay.cut()
        await eventually(
            lambda: len(gateway.connections) == 2 and gateway.session.subscribed, "connected again"
        )
        await quiet(lambda: len(gateway.messages) > 1, "the retained message came again")


async def test_a_message_expires_at_the_broker(mosquitto: MosquittoBroker) -> None:
    async with running(settings_for(mosquitto, "gw"), "t"):
        pass
    await publish(settings_for(mosquitto, "device"), "t", ["stale"], expiry_s=1)
    await publish(settings_for(mosquitto, "device"), "t", ["fresh"])
    await asyncio.sleep(2.1)
    async with running(settings_for(mosquitto, "gw"), "t") as gateway:
        await eventually(lambda: gateway.messages, "a message")
        await quiet(lambda: len(gateway.messages) > 1, "the expired message came")
    assert gateway.payloads == ["fresh"]


async def test_a_broker_that_never_answers_is_given_up_and_tried_again() -> None:
    async with ScriptedBroker() as broker:
        recorder = Recorder(settings_for(broker, "gw", connect_timeout_s=0.2))
        task = asyncio.create_task(recorder.session.run())
        await eventually(lambda: recorder.session.counters.failed_connects >= 2, "two failed attempts")
        assert not recorder.session.connected
        task.cancel()
        await asyncio.wait({task})
    assert recorder.connections == []


@pytest.mark.parametrize(
    "answer",
    [
        bytes([0x20, 3, 0, 0x87, 0]),  # CONNACK: not authorized
        bytes([0x20, 5, 0, 0, 2, 0x24, 0]),  # CONNACK: Maximum QoS 0
        bytes([0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),  # no MQTT at all
        bytes([0x20, 3, 0, 0xEE, 0]),  # a reason code that does not exist
    ],
    ids=["not-authorized", "no-qos-1", "not-mqtt", "unknown-reason"],
)
async def test_a_broker_that_cannot_be_used_is_a_failed_attempt_with_a_reason(answer: bytes) -> None:
    async with ScriptedBroker(answer) as broker:
        recorder = Recorder(settings_for(broker, "gw"))
        task = asyncio.create_task(recorder.session.run())
        await eventually(lambda: recorder.session.counters.failed_connects >= 2, "two failed attempts")
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})
    assert recorder.connections == []


async def test_a_malformed_packet_ends_the_connection_and_not_the_session() -> None:
    broken_publish = bytes([0x32, 4, 0, 200, 0x61, 0x62])
    async with ScriptedBroker(CONNACK, broken_publish) as broker:
        recorder = Recorder(settings_for(broker, "gw"))
        task = asyncio.create_task(recorder.session.run())
        await eventually(lambda: len(recorder.losses) >= 2, "two connections lost")
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})
    assert recorder.messages == []


async def test_messages_arrive_over_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """Bursts, so that decrypted bytes wait where the descriptor does not show them."""
    ca, server, client = make_certificates(tmp_path)
    broker = MosquittoBroker(
        tmp_path / "broker",
        lines=[
            f"cafile {ca}",
            f"certfile {server}.pem",
            f"keyfile {server}.key",
            "require_certificate true",
        ],
    )
    await broker.start()
    files = {"ca_file": ca, "cert_file": Path(f"{client}.pem"), "key_file": Path(f"{client}.key")}
    payloads = [f"m{n}" + "." * (n % 7) * 500 for n in range(200)]
    try:
        async with running(settings_for(broker, "gw", **files), "t") as gateway:
            gateway.handle = gateway.session.acknowledge
            await publish(settings_for(broker, "device", **files), "t", payloads)
            await eventually(lambda: len(gateway.messages) == 200, "all messages")
            assert gateway.payloads == payloads
        stranger = Recorder(settings_for(broker, "stranger", ca_file=ca))
        task = asyncio.create_task(stranger.session.run())
        await eventually(
            lambda: stranger.session.counters.failed_connects > 0, "a refusal without certificate"
        )
        task.cancel()
        await asyncio.wait({task})
        assert stranger.connections == []
    finally:
        await broker.stop()


async def test_messages_of_one_tls_record_are_all_read(tmp_path: Path) -> None:
    """Once TLS has decrypted them, nothing makes the descriptor readable again."""
    ca, server, _client = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{server}.pem", f"{server}.key")
    messages = b"".join(bytes([0x32, 6, 0, 1, 0x74, 0, packet_id, 0]) for packet_id in (1, 2, 3))
    async with ScriptedBroker(CONNACK, messages, tls=context) as broker:
        recorder = Recorder(settings_for(broker, "gw", ca_file=ca))
        task = asyncio.create_task(recorder.session.run())
        await eventually(lambda: len(recorder.messages) == 3, "three messages")
        task.cancel()
        await asyncio.wait({task})
    assert [received.packet_id for received in recorder.messages] == [1, 2, 3]


async def test_a_broker_with_an_unknown_certificate_is_not_talked_to(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ca, _server, _client = make_certificates(tmp_path / "ours")
    _ca, server, _client = make_certificates(tmp_path / "theirs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{server}.pem", f"{server}.key")
    async with ScriptedBroker(CONNACK, tls=context) as broker:
        recorder = Recorder(settings_for(broker, "gw", ca_file=ca, username="u", password="hunter2"))
        task = asyncio.create_task(recorder.session.run())
        await eventually(lambda: recorder.session.counters.failed_connects > 0, "a failed attempt")
        task.cancel()
        await asyncio.wait({task})
    assert recorder.connections == []


async def test_a_silent_connection_is_noticed_by_keepalive() -> None:
    async with ScriptedBroker(CONNACK) as broker:
        recorder = Recorder(settings_for(broker, "gw", keepalive_s=1))
        task = asyncio.create_task(recorder.session.run())
        await eventually(lambda: recorder.losses, "the silence noticed")
        task.cancel()
        await asyncio.wait({task})
    assert "Keep alive timeout" in recorder.losses[0]


async def test_a_publication_without_an_answer_is_not_reported_and_not_sent_again_by_itself() -> None:
    """The caller's outbox does that: the client library's own memory would repeat it as well."""
    goodbye = bytes([0xE0, 0])
    async with ScriptedBroker(CONNACK, goodbye) as broker:
        recorder = Recorder(settings_for(broker, "gw"))
        accepted: list[bool] = []

        def publish_once() -> None:
            if not accepted:
                accepted.append(recorder.session.publish(1, "t", b"m"))

        recorder.connected = publish_once
        task = asyncio.create_task(recorder.session.run())
        await eventually(lambda: len(recorder.losses) >= 2, "two connections lost")
        assert accepted == [True]
        assert recorder.outcomes == {}
        assert recorder.session.in_flight == 0
        task.cancel()
        await asyncio.wait({task})


async def test_small_packets_are_sent_at_once(
    mosquitto: MosquittoBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nagle's algorithm off: with it a command waits tens of milliseconds for the peer's acknowledgement."""
    options: list[tuple[object, ...]] = []
    original = socket.socket.setsockopt

    def record(sock: socket.socket, *arguments: object) -> None:
        options.append(arguments)
        original(sock, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "setsockopt", record, raising=False)
    async with running(settings_for(mosquitto, "gw")):
        assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options
