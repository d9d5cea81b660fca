"""An execution as a person reads it: why it is where it is, bars drawn to scale, and each event on a line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, cast

from . import Json
from .terminal import Terminal, cell_width, compact, escape, pad, shorten

GAP_COLUMNS: Final = 5
BARS_MAX: Final = 40
STACK_LINES_MAX: Final = 12
_LABEL_COLUMNS: Final = 22
_ENDINGS: Final = {
    "ActivityCompleted": "completed",
    "ActivityFailed": "failed",
    "ActivityTimedOut": "failed",
    "ActivityCanceled": "canceled",
    "ChildCompleted": "completed",
    "ChildFailed": "failed",
    "ChildTimedOut": "failed",
    "ChildTerminated": "failed",
    "ChildCanceled": "canceled",
    "ChildStartFailed": "failed",
    "TimerFired": "fired",
    "TimerCanceled": "canceled",
}


@dataclass(slots=True)
class Span:
    """Something with a lifetime: an activity or a child that ran, or a timer that waited. Seconds since the start."""

    id: int
    kind: str
    name: str
    begin_s: float
    end_s: float | None = None
    outcome: str = "open"
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time in which nothing ran; it is drawn narrower than it was."""

    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Seconds to columns, with long idle gaps collapsed to a fixed width."""

    gaps: tuple[Gap, ...]
    end_s: float
    columns: int

    def column(self, at_s: float) -> float:
        """The place of an instant, from 0 to `columns`."""
        idle = sum(gap.end_s - gap.begin_s for gap in self.gaps)
        busy_s = max(self.end_s - idle, 0.0)
        gap_columns = min(GAP_COLUMNS, self.columns / (len(self.gaps) + 1))
        if busy_s <= 0 and self.gaps:
            gap_columns = self.columns / len(self.gaps)
        per_second = (self.columns - gap_columns * len(self.gaps)) / busy_s if busy_s > 0 else 0.0
        place, past = 0.0, 0.0
        for gap in self.gaps:
            if at_s <= gap.begin_s:
                break
            place += (gap.begin_s - past) * per_second
            inside = min(at_s, gap.end_s) - gap.begin_s
            place += gap_columns * inside / (gap.end_s - gap.begin_s)
            past = gap.end_s
        if at_s > past:
            place += (at_s - past) * per_second
        return min(place, float(self.columns))


def seconds_between(begin: str, end: str) -> float:
    """From one ISO 8601 instant to another, in seconds."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def duration(seconds: float) -> str:
    """A length of time in at most two units: ``4.5 s``, ``2 h 3 min``."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit, part, size in (("min", "s", 60), ("h", "min", 3600), ("d", "h", 86400)):
        if unit == "d" or seconds < size * (60 if unit == "min" else 24):
            whole, rest = divmod(int(seconds), size)
            rest //= {"min": 1, "h": 60, "d": 3600}[unit]
            return f"{whole} {unit} {rest} {part}" if rest else f"{whole} {unit}"
    raise AssertionError("every duration has a unit")


def elapsed(seconds: float) -> str:
    """A distance from the start that lines up in a column: ``+2:00:14.110``, ``+3d 04:00:00``."""
    milliseconds = round(seconds * 1000)
    sign, milliseconds = ("-" if milliseconds < 0 else "+"), abs(milliseconds)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{sign}{hours // 24}d {hours % 24:02}:{minutes:02}:{rest // 1000:02}"
    return f"{sign}{hours}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def spans_of(answer: Json) -> list[Span]:
    """The activities and timers of a history, in the order they began."""
    events = cast("list[Json]", answer["events"])
    begin = str(events[0]["at"]) if events else ""
    spans: dict[tuple[str, int], Span] = {}
    for event in events:
        kind = _kind_of(str(event["type"]))
        attributes = cast("Json", event["attributes"])
        key, at_s = (kind, attributes.get("id", 0)), seconds_between(begin, str(event["at"]))
        if event["type"] in ("ActivityScheduled", "ChildScheduled", "TimerStarted"):
            spans[key] = Span(key[1], kind, _span_name(kind, attributes), at_s)
        elif event["type"] in _ENDINGS and key in spans:
            span = spans[key]
            span.end_s, span.outcome = at_s, _ENDINGS[event["type"]]
            span.attempts = int(attributes.get("attempt") or 1)
    for pending in cast("list[Json]", answer.get("pending_activities") or []):
        started = spans.get(("activity", pending["id"]))
        if started is not None:
            started.attempts = int(pending.get("attempt") or 1)
    return list(spans.values())


def _kind_of(type_name: str) -> str:
    return next((kind for kind in ("activity", "child") if kind.title() in type_name), "timer")


def _span_name(kind: str, attributes: Json) -> str:
    name = attributes.get("name") or attributes.get("workflow_type") or attributes.get("summary")
    return str(name or kind)


def scale_of(spans: Sequence[Span], moments_s: Iterable[float], end_s: float, columns: int) -> TimeScale:
    """A scale from 0 to `end_s` in which idle stretches that would dwarf the rest are collapsed."""
    busy = sorted((s.begin_s, end_s if s.end_s is None else s.end_s) for s in spans if s.kind == "activity")
    moments = sorted({0.0, end_s, *moments_s, *(edge for pair in busy for edge in pair)})
    idle: list[Gap] = []
    running, following = 0.0, 0
    for begin, end in pairwise(moments):
        while following < len(busy) and busy[following][0] <= begin:
            running = max(running, busy[following][1])
            following += 1
        if running <= begin and end > begin:
            idle.append(Gap(begin, end))
    active_s = end_s - sum(gap.end_s - gap.begin_s for gap in idle)
    wide = tuple(gap for gap in idle if gap.end_s - gap.begin_s > active_s / 4)
    return TimeScale(wide, end_s, columns)


def render(answer: Json, terminal: Terminal, now: str | None = None) -> str:
    """The whole page of an execution as text. `now` is the gateway's clock, to tell how long things wait."""
    events = cast("list[Json]", answer["events"])
    lines = [*_header(answer["execution"], terminal, now)]
    lines += _pending(answer, terminal)
    if events:
        lines += _bars(answer, terminal, now)
        lines += ["", terminal.styled("Events", "bold")]
        begin, names = str(events[0]["at"]), {(s.kind, s.id): s.name for s in spans_of(answer)}
        for event in events:
            lines += _event(event, begin, names, terminal)
    if answer.get("failure"):
        lines += ["", terminal.styled("Failure", "bold"), *_failure(answer["failure"], terminal, "  ")]
    elif answer["execution"]["status"] == "completed":
        lines += ["", "Result " + compact(answer.get("result"), terminal.width - 7)]
    return "\n".join(lines) + "\n"


def _header(execution: Json, terminal: Terminal, now: str | None) -> Iterator[str]:
    status = str(execution["status"])
    title = shorten(escape(str(execution["workflow_id"])), terminal.width - len(status) - 2)
    space = " " * (terminal.width - cell_width(title) - len(status))
    yield terminal.styled(title, "bold") + space + terminal.status(status)
    yield shorten(f"{escape(str(execution['type']))}, run {escape(str(execution['run_id']))}", terminal.width)
    closed = execution.get("closed_at")
    end = closed or now or ""
    length = f", {'ran' if closed else 'open for'} {_length(execution, end)}"
    count = execution["history_length"]
    yield shorten(
        f"started {moment(execution['started_at'])}{length if end else ', still open'},"
        f" {count} {'event' if count == 1 else 'events'}, queue {escape(str(execution['task_queue']))}"
        + (f", durability {execution['durability']}" if execution.get("durability") else ""),
        terminal.width,
    )
    blocked = cast("Json | None", execution.get("blocked"))
    if blocked:
        yield terminal.styled("blocked: ", "magenta", "bold") + escape(str(blocked["cause"]))
        count = blocked["attempts"]
        tries = f"{count} {'attempt' if count == 1 else 'attempts'} since {moment(blocked['since'])}"
        yield f"  at {escape(str(blocked['where']))}, {tries}; it goes on once the code is mended"
    if execution.get("waiting_for") and (execution.get("paused") or not blocked):
        yield "waiting for " + terminal.styled(escape(str(execution["waiting_for"])), "cyan")


def _length(execution: Json, end: str) -> str:
    return duration(seconds_between(str(execution["started_at"]), end)) if end else ""


def moment(at: str) -> str:
    """An instant to the second, in UTC."""
    return at[:19].replace("T", " ") + "Z"


def _pending(answer: Json, terminal: Terminal) -> Iterator[str]:
    for activity in cast("list[Json]", answer.get("pending_activities") or []):
        again = f", next at {moment(activity['next_attempt_at'])}" if activity.get("next_attempt_at") else ""
        state = str(activity["state"]).replace("_", " ")
        name = escape(str(activity["name"]))
        yield f"  activity #{activity['id']} {name}: {state}, attempt {activity['attempt']}{again}"
        if activity.get("last_failure"):
            yield from _failure(activity["last_failure"], terminal, "    last failure: ")
        if activity.get("heartbeat") is not None:
            yield "    heartbeat: " + compact(activity["heartbeat"], terminal.width - 15)
    for timer in cast("list[Json]", answer.get("pending_timers") or []):
        summary = f" ({escape(str(timer['summary']))})" if timer.get("summary") else ""
        yield f"  timer #{timer['id']} due {moment(timer['due_at'])}{summary}"


def _bars(answer: Json, terminal: Terminal, now: str | None) -> Iterator[str]:
    events = cast("list[Json]", answer["events"])
    begin = str(events[0]["at"])
    moments = [seconds_between(begin, str(event["at"])) for event in events]
    end_s = moments[-1]
    if not answer["execution"].get("closed_at") and now:
        end_s = max(end_s, seconds_between(begin, now))
    spans = spans_of(answer)
    if not spans:
        return
    shown = spans[-BARS_MAX:]
    since_s = 0.0 if len(shown) == len(spans) else shown[0].begin_s
    columns = terminal.width - _LABEL_COLUMNS - 19
    scale = scale_of(shown, [one for one in moments if one >= since_s], end_s, columns)
    yield ""
    yield (
        terminal.styled("Timeline", "bold")
        + f"  {duration(end_s)}"
        + (", idle stretches are drawn short" if scale.gaps else "")
    )
    if len(shown) < len(spans):
        yield f"the last {len(shown)} of {len(spans)} activities and timers"
    for span in shown:
        yield _bar(span, scale, end_s, terminal)
    if scale.gaps:
        yield _gap_line(scale, terminal)


def _bar(span: Span, scale: TimeScale, end_s: float, terminal: Terminal) -> str:
    glyphs = {"activity": "█", "retried": "▓", "child": "▒", "timer": "─"} if terminal.is_unicode else {}
    ascii_glyphs = {"activity": "#", "retried": "%", "child": "=", "timer": "-"}
    kind = "retried" if span.kind == "activity" and span.attempts > 1 else span.kind
    until = end_s if span.end_s is None else span.end_s
    left = min(int(scale.column(span.begin_s)), scale.columns - 1)
    width = max(1, round(scale.column(until)) - left)
    ink = glyphs.get(kind, ascii_glyphs[kind]) * min(width, scale.columns - left)
    if span.end_s is None:
        ink = ink[:-1] + ("▶" if terminal.is_unicode else ">")
    style = {"failed": "red", "canceled": "yellow", "open": "blue"}.get(span.outcome, "green")
    if span.kind == "timer":
        style = "yellow" if span.outcome == "canceled" else "cyan"
    label = pad(escape(f"#{span.id} {span.name}"), _LABEL_COLUMNS - 1)
    bar = " " * left + terminal.styled(ink, style) + " " * (scale.columns - left - len(ink))
    return f"{label} {bar} {_bar_note(span, until)}".rstrip()


def _bar_note(span: Span, until_s: float) -> str:
    note = duration(until_s - span.begin_s)
    if span.attempts > 1:
        note += f" x{span.attempts}"
    if span.outcome in ("failed", "canceled"):
        note += f" {span.outcome}"
    return note


def _gap_line(scale: TimeScale, terminal: Terminal) -> str:
    """Under the bars: where time was collapsed, and how much of it."""
    row = [" "] * scale.columns
    for gap in scale.gaps:
        left, right = int(scale.column(gap.begin_s)), round(scale.column(gap.end_s))
        for column in range(left, min(right, scale.columns)):
            row[column] = "╌" if terminal.is_unicode else "."
    widest = max(scale.gaps, key=lambda gap: gap.end_s - gap.begin_s)
    note = f"idle, up to {duration(widest.end_s - widest.begin_s)}"
    return terminal.styled(pad(note, _LABEL_COLUMNS) + "".join(row), "dim").rstrip()


def _event(
    event: Json, begin: str, names: Mapping[tuple[str, int], str], terminal: Terminal
) -> Iterator[str]:
    attributes = cast("Json", event["attributes"])
    since = elapsed(seconds_between(begin, str(event["at"])))
    type_name = str(event["type"])
    is_bad = type_name.endswith(("Failed", "TimedOut"))
    text = event_text(event, names)
    prefix = f"{event['sequence']:>5}  {since:>12}  {pad(escape(type_name), 18)} "
    room = terminal.width - cell_width(prefix)
    style = "red" if is_bad else "yellow" if "Cancel" in type_name or "Terminat" in type_name else ""
    if text:
        yield terminal.styled(prefix, style) + shorten(text, room)
    else:
        yield terminal.styled(prefix.rstrip(), style)
    if attributes.get("failure") and type_name != "WorkflowFailed":
        yield from _failure(attributes["failure"], terminal, " " * 21)


def event_text(event: Json, names: Mapping[tuple[str, int], str]) -> str:
    """What an event says besides its type, in one line. `names`: of activities, children and timers, by kind and id."""
    attributes = cast("Json", event["attributes"])
    type_name = str(event["type"])
    kind = _kind_of(type_name)
    if kind != "timer" or type_name.startswith("Timer"):
        name = names.get((kind, attributes.get("id", 0)), _span_name(kind, attributes))
        words = [f"#{attributes.get('id', '?')}", escape(name)]
    else:
        words = [
            escape(str(attributes[key]))
            for key in ("workflow_type", "name", "topic", "update_id", "patch_id", "workflow_id")
            if attributes.get(key)
        ]
    attempt = attributes.get("attempt") or 1
    if attempt > 1 and type_name != "WorkflowStarted":
        words.append(f"attempt {attempt}")
    if type_name == "TimerStarted":
        words.append(_timer_length(attributes))
    if type_name == "TimeSkipped":
        words.append(duration(float(attributes["seconds"])))
    if attributes.get("groups"):
        groups = cast("dict[str, str]", attributes["groups"])
        words.append("[" + escape(", ".join(label or name for name, label in groups.items())) + "]")
    if attributes.get("input"):
        words.append(
            "(" + ", ".join(compact(one, 120) for one in cast("list[object]", attributes["input"])) + ")"
        )
    if attributes.get("body"):
        words.append(escape(str(attributes["body"])))
    if "result" in attributes:
        words.append("-> " + compact(attributes["result"], 200))
    if attributes.get("reason"):
        words.append(escape(str(attributes["reason"])))
    return " ".join(word for word in words if word)


def _timer_length(attributes: Json) -> str:
    if "seconds" in attributes:
        return "for " + duration(float(attributes["seconds"]))
    return f"until {moment(str(attributes['due_at']))}" if attributes.get("due_at") else ""


def _failure(failure: Json, terminal: Terminal, indent: str) -> Iterator[str]:
    """The failure and its causes, outermost first, each with the source line it came from."""
    current: Json | None = failure
    lead = indent
    depth = 0
    while current is not None and depth < 20:
        kind, message = escape(str(current.get("type") or "")), escape(str(current.get("message") or ""))
        text = f"{kind}: {message}" if kind else message
        room = max(terminal.width - len(lead), 20)
        first, *rest = textwrap.wrap(text, room, break_long_words=False) or [""]
        yield lead + terminal.styled(first, "red")
        yield from (" " * len(lead) + terminal.styled(line, "red") for line in rest)
        blank = " " * len(indent)
        stack = str(current.get("stack") or "").rstrip().splitlines()
        for line in stack[-STACK_LINES_MAX:]:
            yield blank + "  " + terminal.styled(escape(line), "dim")
        current = cast("Json | None", current.get("cause"))
        lead, depth = blank + "caused by ", depth + 1
