"""The parts of the MQTT session that need no broker: order of acknowledgement, backoff, settings."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overwinter.edge.mqtt import Backoff, MqttSettings, MqttSettingsError, Received, check_subscription
from overwinter.edge.mqtt_messages import Receipts


@given(order=st.permutations(range(12)), packet_ids=st.permutations(range(1, 13)))
def test_acknowledgements_are_always_a_prefix(order: list[int], packet_ids: list[int]) -> None:
    receipts = Receipts()
    assert [receipts.add(packet_id) for packet_id in packet_ids] == list(range(12))
    sent: list[int] = []
    finished: set[int] = set()
    for receipt in order:
        sent.extend(receipts.finish(receipt))
        finished.add(receipt)
        prefix = next((n for n in range(12) if n not in finished), 12)
        assert sent == packet_ids[:prefix]
        assert len(receipts) == 12 - prefix


def test_finishing_a_message_twice_acknowledges_it_once() -> None:
    receipts = Receipts()
    first, second = receipts.add(7), receipts.add(8)
    assert list(receipts.finish(first)) == [7]
    assert list(receipts.finish(first)) == []
    assert list(receipts.finish(second)) == [8]


def test_a_qos_0_message_releases_nothing() -> None:
    receipts = Receipts()
    receipts.add(7)
    assert list(receipts.finish(-1)) == []
    assert len(receipts) == 1


def test_backoff_doubles_up_to_its_maximum_with_full_jitter() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            assert a == 0
            return b

    backoff = Backoff(0.5, 30, Highest())
    assert [backoff.next_s() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_backoff_survives_years_of_attempts() -> None:
    backoff = Backoff(0.5, 30, random.Random(1))
    assert all(0 <= backoff.next_s() <= 30 for _ in range(5_000))


def test_the_longest_backoff_is_at_least_half_of_the_maximum() -> None:
    backoff = Backoff(0.5, 30, random.Random(1))
    assert all(15 <= backoff.longest_s() <= 30 for _ in range(200))


def test_the_password_is_not_shown() -> None:
    assert "hunter2" not in repr(MqttSettings(client_id="gw", username="u", password="hunter2"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"client_id": ""}, "client_id"),
        ({"host": ""}, "host"),
        ({"receive_maximum": 0}, "receive_maximum"),
        ({"receive_maximum": 65_536}, "receive_maximum"),
        ({"session_expiry_s": 0}, "session_expiry_s"),
        ({"keepalive_s": 0}, "keepalive_s"),
        ({"backoff_s_first": 40.0}, "backoff_s_first"),
        ({"cert_file": Path("a")}, "cert_file"),
        ({"password": "x"}, "username"),
    ],
)
def test_a_setting_outside_its_bounds_is_refused_by_name(changes: dict[str, object], named: str) -> None:
    values: dict[str, object] = {"client_id": "gw"}
    with pytest.raises(MqttSettingsError, match=named):
        MqttSettings(**{**values, **changes})  # type: ignore[arg-type]


def test_a_subscription_at_qos_2_is_refused_with_the_reason() -> None:
    with pytest.raises(MqttSettingsError, match=r"can lose messages.*Use qos = 1"):
        check_subscription("farm/#", 2)


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a/b+", "#/a", "a\0b", "a/##"])
def test_a_malformed_filter_is_refused(topic_filter: str) -> None:
    with pytest.raises(MqttSettingsError):
        check_subscription(topic_filter)


@pytest.mark.parametrize("topic_filter", ["a", "#", "+", "a/+/b", "+/a/#", "/", "a//b", "ä/ö"])
def test_a_good_filter_is_returned(topic_filter: str) -> None:
    assert check_subscription(topic_filter, 1) == topic_filter


def test_the_event_id_is_the_first_user_property_of_that_name() -> None:
    received = Received(
        "t", b"", 1, False, False, 1, 1, 0, (("a", "x"), ("event-id", "e1"), ("event-id", "e2"))
    )
    assert received.event_id == "e1"
