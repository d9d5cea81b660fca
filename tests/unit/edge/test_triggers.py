"""What a message calls for, and what is refused before it can have an effect."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.edge.decoding import BYTES_MAX, DEPTH_MAX, MessageRefused, decode
from overwinter.edge.topics import PatternError, TopicPattern
from overwinter.edge.triggers import (
    ConcurrencySettings,
    Ignored,
    Refused,
    SignalWithStart,
    SignalWorkflow,
    StartWorkflow,
    Triggers,
    TriggerSettings,
)
from overwinter.runtime.common import ConcurrencyKey, ConcurrencyPolicy


def triggers(**changes: Any) -> Triggers:
    return Triggers(
        [
            TriggerSettings(
                **({"topic": "farm/{field}/soil", "id": "i-{field}", "workflow": "Irrigate"} | changes)
            )
        ]
    )


def decide(found: Triggers, payload: Any, topic: str = "farm/north/soil", **more: Any) -> Any:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return found.decide(topic, body, retained=more.get("retained", False), event_id=more.get("event_id"))


# -- topics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "subscription", "topic", "parts"),
    [
        ("farm/{field}/soil", "farm/+/soil", "farm/north/soil", {"field": "north"}),
        ("farm/{field}/soil", "farm/+/soil", "farm//soil", {"field": ""}),
        ("farm/{field}/soil", "farm/+/soil", "farm/north/soil/x", None),
        ("farm/{field}/soil", "farm/+/soil", "farm/north", None),
        ("farm/{rest...}", "farm/#", "farm/a/b/c", {"rest": "a/b/c"}),
        ("farm/{rest...}", "farm/#", "farm", None),
        ("{any...}", "#", "$SYS/broker", None),
        ("{a}/b", "+/b", "$SYS/b", None),
        ("$SYS/{a}", "$SYS/+", "$SYS/b", {"a": "b"}),
    ],
)
def test_a_pattern_is_a_subscription_and_takes_topics_apart(
    pattern: str, subscription: str, topic: str, parts: dict[str, str] | None
) -> None:
    parsed = TopicPattern.parse(pattern)
    assert parsed.subscription == subscription
    assert parsed.match(topic) == parts


@pytest.mark.parametrize("pattern", ["", "a/+/b", "a/#", "a/x{b}", "{a}/{a}", "{rest...}/a", "a\0b"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        TopicPattern.parse(pattern)


# -- decisions ---------------------------------------------------------------------------------------


def test_a_message_starts_a_workflow_with_its_fields_and_the_parts_of_its_topic() -> None:
    assert decide(triggers(), {"moisture": 0.2, "field": "forged"}) == [
        StartWorkflow("Irrigate", "i-north", {"moisture": 0.2, "field": "north"}, None, "ignore")
    ]


def test_what_is_no_object_stands_under_value() -> None:
    (effect,) = decide(triggers(), 0.2)
    assert effect.argument == {"value": 0.2, "field": "north"}


def test_a_message_signals() -> None:
    found = triggers(action="signal", signal="flow")
    assert decide(found, {"l": 1}) == [
        SignalWorkflow("Irrigate", "i-north", "flow", {"l": 1, "field": "north"})
    ]


def test_a_message_signals_or_starts() -> None:
    (effect,) = decide(triggers(action="signal_with_start", signal="flow"), {"l": 1})
    assert isinstance(effect, SignalWithStart)
    assert (effect.workflow_id, effect.signal) == ("i-north", "flow")


def test_the_id_may_come_from_the_payload_and_the_event() -> None:
    (effect,) = decide(triggers(id="{payload.serial}-{event_id}"), {"serial": 7}, event_id="e1")
    assert effect.workflow_id == "7-e1"


@pytest.mark.parametrize(
    ("where", "moisture", "fires"),
    [
        ({"below": 0.25}, 0.2, True),
        ({"below": 0.25}, 0.25, False),
        ({"above": 0.25}, 0.3, True),
        ({"at_least": 0.25}, 0.25, True),
        ({"at_most": 0.25}, 0.26, False),
        ({"equals": 1}, 1, True),
        ({"one_of": [1, 2]}, 3, False),
        ({"above": 0.1, "below": 0.3}, 0.2, True),
        ({"above": 0.1, "below": 0.3}, 0.4, False),
    ],
)
def test_a_trigger_fires_only_when_all_its_tests_hold(
    where: dict[str, Any], moisture: float, fires: bool
) -> None:
    decision = decide(triggers(where={"moisture": where}), {"moisture": moisture})
    assert isinstance(decision, list) == fires
    assert isinstance(decision, Ignored) != fires


def test_retained_messages_are_ignored_unless_they_are_wanted() -> None:
    assert isinstance(decide(triggers(), {}, retained=True), Ignored)
    assert isinstance(decide(triggers(live_only=False), {}, retained=True), list)


def test_several_triggers_for_a_topic_all_fire() -> None:
    both = Triggers(
        [
            TriggerSettings(topic="farm/{field}/soil", id="a-{field}", workflow="A"),
            TriggerSettings(topic="farm/{rest...}", id="b-{rest}", workflow="B"),
        ]
    )
    assert [effect.workflow_id for effect in decide(both, {})] == ["a-north", "b-north/soil"]
    assert both.filters == ["farm/+/soil", "farm/#"]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"moisture": ', "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"moisture": NaN}', "invalid_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b"[" * 100 + b"]" * 100, "too_deep"),
        (b'"' + b"x" * BYTES_MAX + b'"', "payload_too_large"),
        (b'{"moisture": ' + b"9" * 50 + b"}", "wrong_type"),
        (b'{"moisture": "wet"}', "wrong_type"),
        (b'{"moisture": true}', "wrong_type"),
        (b"{}", "missing_field"),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_with_its_reason(payload: bytes, code: str) -> None:
    decision = decide(triggers(where={"moisture": {"below": 0.25}}), payload)
    assert isinstance(decision, Refused)
    assert decision.code == code


def test_a_topic_that_no_trigger_is_for_is_refused() -> None:
    assert decide(triggers(), {}, topic="farm/x/y/z").code == "unknown_topic"


@pytest.mark.parametrize("action", ["start", "signal_with_start"])
def test_a_concurrency_key_is_made_of_the_message(action: str) -> None:
    signal = {"signal": "flow"} if action != "start" else {}
    concurrency = ConcurrencySettings(key="{field}/{payload.pump}", limit=2, policy="replace")
    (effect,) = decide(triggers(action=action, concurrency=concurrency, **signal), {"pump": 7})
    assert effect.concurrency == ConcurrencyKey("north/7", 2, ConcurrencyPolicy.REPLACE)


def test_a_concurrency_key_that_the_message_does_not_fill_is_refused() -> None:
    concurrency = ConcurrencySettings(key="{payload.pump}")
    assert decide(triggers(concurrency=concurrency), {"pump": ""}).code == "bad_id"
    assert decide(triggers(concurrency=concurrency), {}).code == "missing_field"


@pytest.mark.parametrize("serial", ["", "a\nb", "x" * 300])
def test_a_workflow_id_is_bounded_and_printable(serial: str) -> None:
    assert decide(triggers(id="{payload.serial}"), {"serial": serial}).code == "bad_id"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\xc1", "invalid_msgpack"),
        (b"\xdf\xff\xff\xff\xff", "invalid_msgpack"),
        (msgpack.packb(msgpack.ExtType(5, b"x")), "invalid_msgpack"),
        (msgpack.packb({"a": float("nan")}), "invalid_msgpack"),
        (b"\x82\xa1a\x01\xa1a\x02", "duplicate_key"),
        (b"\x91" * (DEPTH_MAX + 2) + b"\x01", "too_deep"),
        (b"\x81\x01\x02", "invalid_msgpack"),
    ],
)
def test_msgpack_is_bounded_too(payload: bytes, code: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        decode("msgpack", payload)
    assert refused.value.code == code


@settings(max_examples=300, deadline=None)
@given(
    payload=st.binary(max_size=200),
    form=st.sampled_from(["json", "msgpack", "text"]),
    topic=st.text(max_size=40),
)
def test_whatever_comes_the_answer_is_one_of_three(payload: bytes, form: str, topic: str) -> None:
    found = triggers(topic="{rest...}", id="x", format=form, where={"a": {"below": 1}})
    assert isinstance(decide(found, payload, topic=topic), list | Ignored | Refused)


@settings(max_examples=100, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_json_and_msgpack_can_say_is_understood(value: Any) -> None:
    assert decode("json", json.dumps(value).encode()) == value
    assert decode("msgpack", msgpack.packb(value)) == value
