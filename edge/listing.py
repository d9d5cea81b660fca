"""Tables for the command line: executions, quarantined messages, and how the gateway is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final, cast

from overwinter.runtime.display.terminal import Terminal, escape, pad, shorten
from overwinter.runtime.display.timeline import duration, event_text, moment, seconds_between

from .ports import Json

_MISFITS_SHOWN: Final = 5
"""Of the executions that do not fit the code, `status` describes so many; `list --status blocked` has all."""


def executions(answer: Json, terminal: Terminal, now: str | None = None) -> str:
    """The counts by status, then one line for each execution: status, id, type, age, what it waits for."""
    lines = [_counts(cast("Json", answer["counts"]), terminal)]
    rows = cast("list[Json]", answer["executions"])
    if not rows:
        return "\n".join([*lines, "no executions fit"]) + "\n"
    id_columns = min(max(len(escape(str(row["workflow_id"]))) for row in rows), 28)
    type_columns = min(max(len(escape(str(row["type"]))) for row in rows), 16)
    rest = terminal.width - 12 - id_columns - type_columns - 2 - 12
    head = f"{pad('status', 12)}{pad('workflow id', id_columns)} {pad('type', type_columns)} started"
    lines += ["", terminal.styled(head.rstrip(), "dim")]
    for row in rows:
        line = (
            terminal.status(str(row["status"]), 12)
            + f"{pad(escape(str(row['workflow_id'])), id_columns)} "
            + f"{pad(escape(str(row['type'])), type_columns)} "
            + f"{pad(_age(row, now), 11)} {shorten(_reason(row), rest)}"
        )
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def _counts(counts: Json, terminal: Terminal) -> str:
    words = [f"{count} {terminal.status(name)}" for name, count in counts.items() if count]
    return ", ".join(words) or "no executions yet"


def _age(row: Json, now: str | None) -> str:
    started = str(row["started_at"])
    return duration(seconds_between(started, now)) if now else moment(started)[5:16]


def _reason(row: Json) -> str:
    blocked = cast("Json | None", row.get("blocked"))
    if blocked and not row.get("paused"):
        return escape(f"{blocked['cause']} at {blocked['where']}")
    if row.get("closed_at"):
        return "ran " + duration(seconds_between(str(row["started_at"]), str(row["closed_at"])))
    return escape(str(row.get("waiting_for") or ""))


def quarantine(answer: Json, terminal: Terminal) -> str:
    """The counts by reason, then each refused message with a preview of what it held."""
    counts = cast("Json", answer["counts"])
    entries = cast("list[Json]", answer["entries"])
    if not counts and not entries:
        return "no message was refused\n"
    lines = [", ".join(f"{count} {escape(str(reason))}" for reason, count in counts.items())]
    for entry in entries:
        head = f"#{entry['id']} {moment(entry['received_at'])} {escape(str(entry['reason']))}: "
        lines += ["", terminal.styled(head, "yellow") + escape(str(entry["topic"]))]
        if entry.get("detail"):
            lines += textwrap.wrap(
                escape(str(entry["detail"])), terminal.width - 2, initial_indent="  ", subsequent_indent="  "
            )
        size = f" ({entry['bytes']} bytes)"
        lines.append("  " + shorten(escape(str(entry["payload"])), terminal.width - 2 - len(size)) + size)
    return "\n".join(lines) + "\n"


def status(answer: Json, terminal: Terminal) -> str:
    """What the gateway is and how it is, by subject."""
    if answer.get("pid") is None:
        lines = [terminal.styled("no gateway is running", "bold") + ", this is what its journal holds"]
    else:
        name = terminal.styled(escape(str(answer.get("gateway"))), "bold")
        lines = [f"{name}  pid {answer['pid']}, version {escape(str(answer.get('version')))}"]
    for subject, text in _status_rows(answer):
        if text:
            lines.append(f"  {subject:<12}{escape(text)}")
    lines += [_misfit(row, terminal) for row in _misfits(answer)[:_MISFITS_SHOWN]]
    return "\n".join(lines) + "\n"


def _status_rows(answer: Json) -> Iterator[tuple[str, str]]:
    now, started = answer.get("now"), answer.get("started_at")
    if now:
        speed = answer.get("clock_speed")
        times = f", running {speed:g} times as fast as the wall clock" if speed not in (None, 1) else ""
        yield "clock", moment(now) + times
    if now and started:
        yield "up", duration(seconds_between(started, now))
    if answer.get("page"):
        yield "page", str(answer["page"])
    journal = _part(answer, "journal")
    if journal:
        size = f"{byte_size(journal.get('bytes'))}, WAL {byte_size(journal.get('wal_bytes'))}"
        yield "journal", f"{journal.get('path')} ({size})"
    yield from _disk_rows(_part(answer, "disk"))
    refused = cast("Json", _part(answer, "limits").get("refused") or {})
    if refused:
        yield "limits", "refused: " + ", ".join(f"{count} by {limit}" for limit, count in refused.items())
    yield from _retention_rows(_part(answer, "retention"))
    mqtt = _part(answer, "mqtt")
    if mqtt:
        place = f"{mqtt.get('broker')}{' (embedded)' if mqtt.get('embedded') else ''}"
        yield "mqtt", f"{'connected to' if mqtt.get('connected') else 'NOT connected to'} {place}"
        yield "", _numbers(mqtt, "received", "acknowledged", "quarantined")
        refused = cast("Json", mqtt.get("refused") or {})
        if refused:
            yield "", "refused: " + ", ".join(f"{count} {reason}" for reason, count in refused.items())
    clients = _part(answer, "clients")
    if clients:
        yield "clients", str(clients.get("socket"))
        yield "", _numbers(clients, "connected", "calls", "refused_connections", "refused_frames")
    if _part(answer, "outbox"):
        yield "outbox", _numbers(_part(answer, "outbox"), "waiting", "sent")
    yield from _engine_rows(answer)


def _disk_rows(disk: Json) -> Iterator[tuple[str, str]]:
    if not disk:
        return
    yield (
        "disk",
        f"{byte_size(disk.get('free_bytes'))} free; " + _numbers(disk, "commits", "syncs", "checkpoints"),
    )
    if disk.get("bytes_per_day") is not None:
        days = disk.get("flash_life_days")
        life = "" if days is None else f", new flash would bear that for {_years(days)}"
        yield (
            "",
            f"{byte_size(disk['bytes_written'])} written, {byte_size(disk['bytes_per_day'])} a day{life}",
        )


def _retention_rows(retention: Json) -> Iterator[tuple[str, str]]:
    if not retention:
        return
    where = "are dropped" if retention.get("archive") is None else f"go to {retention['archive']}"
    yield "retention", f"closed executions {where} after {duration(retention['closed_for_s'])}"
    counts = _numbers(retention, "archived", "dropped", "kept_back", "failures")
    size = (
        ""
        if retention.get("archive") is None
        else f"; the archive has {byte_size(retention['archive_bytes'])}"
    )
    yield "", counts + size


def _years(days: float) -> str:
    return f"{days / 365:.1f} years" if days < 36500 else "more than 100 years"


def _engine_rows(answer: Json) -> Iterator[tuple[str, str]]:
    engine = _part(answer, "engine")
    if engine:
        yield "engine", _numbers(engine, "open", "blocked", "paused", "cached", "activities_running")
        if engine.get("cached_bytes") is not None:
            yield "", f"{byte_size(engine['cached_bytes'])} for code and histories in memory"
        yield "", _numbers(engine, "activations", "steps", "commits", "evictions", "replays", "interruptions")
    for check in cast("list[Json]", answer.get("replay_checks") or []):
        if check["checked"]:
            yield "replay", _replay_check(check)
    for job in cast("list[Json]", answer.get("batch_jobs") or []):
        yield (
            "batch",
            f"{job['operation']} {job['completed']} of {job['total']}, {job['failed']} failed: {job['id']}",
        )
    for pause in cast("list[Json]", answer.get("pauses") or []):
        what = (
            "everything"
            if pause["scope"] == "everything"
            else f"{pause['scope'].replace('_', ' ')} {pause['name']}"
        )
        yield (
            "paused",
            f"{what}, by {pause['by']} since {moment(pause['since'])}: {pause['reason'] or '(no reason)'}",
        )


def _misfits(answer: Json) -> list[Json]:
    checks = cast("list[Json]", answer.get("replay_checks") or [])
    return [row for check in checks for row in cast("list[Json]", check["misfits"])]


def _replay_check(check: Json) -> str:
    time = "under way" if check["took_s"] is None else f"in {check['took_s']:.1f} s"
    counts = _numbers(check, "checked", "fits", "needs_patch", "blocked", "not_checked")
    return f"{check['task_queue']}: {counts}, {time}"


def _part(answer: Json, name: str) -> Json:
    return cast("Json", answer.get(name) or {})


def _numbers(counters: Json, *names: str) -> str:
    known = [name for name in names if counters.get(name) is not None]
    return ", ".join(f"{counters[name]} {name.replace('_', ' ')}" for name in known)


def byte_size(count: Any) -> str:
    """A number of bytes in the unit that fits it, powers of 1024."""
    if count is None:
        return "unknown size"
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def tail_line(event: Json, terminal: Terminal) -> str:
    """One event of any execution, as it happens."""
    type_name = str(event["type"])
    style = "red" if type_name.endswith(("Failed", "TimedOut")) else ""
    head = f"{str(event['at'])[11:19]} {pad(escape(str(event['workflow_id'])), 24)} "
    kind = terminal.styled(pad(escape(type_name), 19), style)
    room = terminal.width - len(head) - 19
    return (head + kind + shorten(event_text(event, {}), room)).rstrip()


def batch_preview(answer: Json, terminal: Terminal, verb: str) -> str:
    """How many executions a batch job would be for, and the newest of them."""
    count, sample = cast("int", answer["count"]), cast("list[Json]", answer["sample"])
    if not count:
        return f"no execution fits: there is nothing to {verb}\n"
    fit = "1 execution fits" if count == 1 else f"{count} executions fit"
    lines = [terminal.styled(fit, "bold")]
    lines += [f"  {escape(str(row['workflow_id']))}  {escape(str(row['type']))}" for row in sample]
    if count > len(sample):
        lines.append(f"  and {count - len(sample)} more")
    return "\n".join(lines) + "\n"


def batch_jobs(answer: Json, terminal: Terminal) -> str:
    """A line for each job, the newest first."""
    jobs = cast("list[Json]", answer["jobs"])
    return "".join(_batch_line(job, terminal) + "\n" for job in jobs) or "no batch jobs\n"


def _batch_line(job: Json, terminal: Terminal) -> str:
    state = terminal.status(str(job["state"]), 10)
    done = f"{job['completed']} of {job['total']}" + (f", {job['failed']} failed" if job["failed"] else "")
    return f"{state} {escape(str(job['id']))}  {job['operation']}  {done}  {escape(str(job['query']))}"


def batch_job(job: Json, terminal: Terminal) -> str:
    """A job with what failed."""
    lines = [_batch_line(job, terminal)]
    if job["reason"]:
        lines.append(f"  reason: {escape(str(job['reason']))}")
    if job["stopped_by"]:
        lines.append(f"  stopped by {escape(str(job['stopped_by']))}: {escape(str(job['stop_reason']))}")
    failures = cast("list[Json]", job["failures"])
    lines += [f"  {escape(str(each['workflow_id']))}: {escape(str(each['message']))}" for each in failures]
    if cast("int", job["failed"]) > len(failures):
        lines.append(f"  and {cast('int', job['failed']) - len(failures)} more failed")
    return "\n".join(lines) + "\n"


def exported(answer: Json) -> str:
    """How many histories were written, and what of them another form could not say."""
    lines = [f"{answer['histories']} histories are in {answer['folder']}"]
    markers = cast("dict[str, int]", answer.get("markers", {}))
    lines += [
        f"{count} {name}: there is no such event in Temporal's histories, so each is a marker"
        for name, count in markers.items()
    ]
    return "\n".join(lines) + "\n"


def replayed(answer: Json, terminal: Terminal) -> str:
    """How many histories fit the code, and for each that does not, both sides of the first difference."""
    fits, count = cast("int", answer["fits"]), cast("int", answer["histories"])
    if not count:
        return "no histories were found: nothing was checked\n"
    lines = [_misfit(row, terminal) for row in cast("list[Json]", answer["misfits"])]
    lines.append(f"{fits} of {count} histories fit the code")
    return "\n".join(lines) + "\n"


def _misfit(row: Json, terminal: Terminal) -> str:
    head = f"{row['workflow_id']}  {row['type']}  run {row['run_id']}"
    lines = [terminal.styled(escape(str(row["verdict"])), "red", "bold") + "  " + escape(head)]
    for label in ("agreed", "recorded", "replayed", "where", "problem"):
        if row.get(label):
            place = f"  at {row[label + '_at']}" if row.get(label + "_at") else ""
            lines.append(f"  {label + ':':10}{escape(str(row[label]) + place)}")
    if row.get("event"):
        reset = f"overwinter reset {row['workflow_id']} --event {row['event']}"
        lines.append(f"  {'or:':10}{escape(reset)}, which begins it anew from there")
    return "\n".join(lines)
