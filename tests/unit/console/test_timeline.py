"""How an execution is drawn as text."""

from __future__ import annotations

import random
from typing import Any

import pytest

from overwinter.runtime.display.terminal import Terminal, cell_width, escape, shorten
from overwinter.runtime.display.timeline import duration, elapsed, event_text, render, scale_of, spans_of

GOLDEN = """\
irrigation/north-3                                                       running
Irrigate, run 0193a4c2-7d1e-7b6a-9c00-1f2e3d4c5b6a
started 2026-11-24 03:00:00Z, open for 2 h 30 min, 12 events, queue farm
waiting for timer 6 until 2026-11-24T06:00:14Z
  timer #6 due 2026-11-24 06:00:14Z (try again)

Timeline  2 h 30 min, idle stretches are drawn short
#1 read_moisture      ▓▓▓▓▓▓▓▓                                4.5 s x3
#3 verify_flow               ██████████                       5.7 s
#4 water for two h...                  ──────────             2 h
#5 close_valve                                   ▓▓▓▓▓▓▓      3.8 s x2 failed
#6 try again                                            ────▶ 29 min 45 s
idle, up to 1 h                        ╌╌╌╌╌╌╌╌╌╌       ╌╌╌╌╌

Events
    1  +0:00:00.000  WorkflowStarted    Irrigate ("north-3")
    2  +0:00:00.002  ActivityScheduled  #1 read_moisture ("north-3")
    3  +0:00:04.500  ActivityCompleted  #1 read_moisture attempt 3 -> 0.18
    4  +0:00:04.502  MessagePublished   farm/valve-3/command {"open": true}
    5  +0:00:04.502  ActivityScheduled  #3 verify_flow ("valve-3", 2.5)
    6  +0:00:10.250  ActivityCompleted  #3 verify_flow -> {"litres_per_min": ...
    7  +0:00:10.252  TimerStarted       #4 water for two hours for 2 h
    8  +1:00:00.000  Signaled           rain_forecast ({"mm": 4, "confidence"...
    9  +2:00:10.260  TimerFired         #4 water for two hours
   10  +2:00:10.270  ActivityScheduled  #5 close_valve ("valve-3")
   11  +2:00:14.100  ActivityFailed     #5 close_valve attempt 2
                     ActivityError: Activity task failed
                     caused by ApplicationError: no flow after 30 s although the
                               valve reports open
                       Traceback (most recent call last):
                         File "/srv/farm/valves.py", line 58, in verify_flow
                           raise ApplicationError(text)
                     caused by TimeoutError: timed out
   12  +2:00:14.110  TimerStarted       #6 try again for 1 h
"""


async def test_a_history_reads_like_this(gateway: Any) -> None:
    answer = await gateway.show(workflow_id="irrigation/north-3")
    assert render(answer, Terminal(80), "2026-11-24T05:30:00Z") == GOLDEN


async def test_a_terminal_without_unicode_gets_ascii(gateway: Any) -> None:
    answer = await gateway.show(workflow_id="irrigation/north-3")
    assert render(answer, Terminal(80, is_unicode=False), "2026-11-24T05:30:00Z").isascii()


async def test_colours_change_nothing_but_colours(gateway: Any) -> None:
    answer = await gateway.show(workflow_id="valve/9")
    colored = render(answer, Terminal(80, is_colored=True))
    assert "\x1b[31m" in colored
    for code in ("0", "1", "2", "31", "32", "33", "34", "35", "36", "31;1", "35;1"):
        colored = colored.replace(f"\x1b[{code}m", "")
    assert colored == render(answer, Terminal(80))


async def test_a_blocked_execution_says_cause_place_and_what_helps(gateway: Any) -> None:
    text = render(await gateway.show(workflow_id="frost/greenhouse-2"), Terminal(80))
    assert "blocked: KeyError: 'celcius'" in text
    assert "at frost.py:41 in run, 17 attempts" in text
    assert "once the code is mended" in text


async def test_a_failure_shows_its_causes_and_source_line(gateway: Any) -> None:
    text = render(await gateway.show(workflow_id="valve/9"), Terminal(80))
    assert "caused by ApplicationError: no flow after 30 s" in text
    assert 'File "/srv/farm/valves.py", line 58, in verify_flow' in text
    assert "caused by TimeoutError: timed out" in text


async def test_a_pending_activity_shows_attempt_failure_and_heartbeat(gateway: Any) -> None:
    text = render(await gateway.show(workflow_id="poll/weather"), Terminal(80))
    assert "activity #5001 poll: backing off, attempt 4, next at 2026-11-24 05:30:30Z" in text
    assert "last failure: OSError: connection refused" in text
    assert 'heartbeat: {"page": 12}' in text


async def test_an_execution_without_events_is_still_shown(gateway: Any) -> None:
    answer = dict(await gateway.show(workflow_id="valve/9"), events=[])
    assert "valve/9" in render(answer, Terminal(80))


def test_a_scale_never_goes_back_and_stays_inside() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    source = random.Random(seed)
    for _ in range(200):
        history = random_spans(source)
        end_s = max(span.end_s or span.begin_s for span in history) + source.choice([0.1, 5.0, 1e6])
        scale = scale_of(history, [], end_s, 40)
        instants = [*sorted(source.uniform(0, end_s) for _ in range(50)), end_s]
        columns = [scale.column(instant) for instant in instants]
        assert columns == sorted(columns)
        assert columns[0] >= 0
        assert columns[-1] == pytest.approx(40)


def random_spans(source: random.Random) -> list[Any]:
    events: list[Any] = [{"at": "2026-11-24T00:00:00Z", "type": "WorkflowStarted", "attributes": {}}]
    second = 0.0
    for number in range(source.randint(1, 12)):
        kind = source.choice([("ActivityScheduled", "ActivityCompleted"), ("TimerStarted", "TimerFired")])
        for type_name in kind:
            second += source.choice([0.0, 0.001, 1.0, 60.0, 5000.0])
            at = f"2026-11-24T{int(second // 3600) % 24:02}:{int(second // 60) % 60:02}:{second % 60:09.6f}Z"
            events.append({"at": at, "type": type_name, "attributes": {"id": number}})
        if second > 70_000:
            break
    return spans_of({"events": events})


def test_an_idle_night_is_drawn_short_and_the_minute_of_work_wide() -> None:
    at = "2026-11-24T{}Z".format
    events = [
        {"at": at("00:00:00"), "type": "ActivityScheduled", "attributes": {"id": 1, "name": "a"}},
        {"at": at("00:01:00"), "type": "ActivityCompleted", "attributes": {"id": 1}},
        {"at": at("08:00:00"), "type": "ActivityScheduled", "attributes": {"id": 2, "name": "b"}},
        {"at": at("08:01:00"), "type": "ActivityCompleted", "attributes": {"id": 2}},
    ]
    scale = scale_of(spans_of({"events": events}), [], 28_860, 45)
    assert [round(scale.column(second)) for second in (0, 60, 28_800, 28_860)] == [0, 20, 25, 45]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("Grüße, 温室", "Grüße, 温室"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\ufeff\u200b", r"\ufeff\u200b"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_characters_that_drive_a_terminal_are_escaped(text: str, expected: str) -> None:
    assert escape(text) == expected


@pytest.mark.parametrize("text", ["short", "exactly ten", "温室温室温室温室", "e\u0301" * 30])
def test_shortened_text_fits(text: str) -> None:
    for width in range(12):
        assert cell_width(shorten(text, width)) <= width


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (4.5, "4.5 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (7200, "2 h"),
        (90_000, "1 d 1 h"),
        (-30, "-30.0 s"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_elapsed_time_lines_up() -> None:
    assert elapsed(7214.11) == "+2:00:14.110"
    assert elapsed(-0.5) == "-0:00:00.500"
    assert elapsed(273_600) == "+3d 04:00:00"


def test_children_are_drawn_and_named() -> None:
    def event(sequence: int, kind: str, second: int, **attributes: Any) -> dict[str, Any]:
        at = f"2026-11-24T10:00:0{second}Z"
        return {"sequence": sequence, "activation": 1, "at": at, "type": kind, "attributes": attributes}

    events = [
        event(1, "WorkflowStarted", 0),
        event(2, "ChildScheduled", 1, id=1, workflow_type="Irrigate", workflow_id="north"),
        event(3, "ChildStarted", 2, id=1),
        event(4, "ChildTerminated", 5, id=1),
    ]
    (span,) = spans_of({"events": events})
    assert (span.kind, span.name, span.begin_s, span.end_s, span.outcome) == (
        "child",
        "Irrigate",
        1,
        5,
        "failed",
    )
    assert event_text(events[2], {("child", 1): "Irrigate"}) == "#1 Irrigate"
