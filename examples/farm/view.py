"""What the demo shows: a compact live view on a terminal, one plain line elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .logbook import Account

Json = dict[str, Any]
EVENTS_SHOWN = 8
EXECUTIONS_SHOWN = 10


@dataclass
class Scene:
    """Everything that the view shows; the launcher keeps it up to date."""

    speed: float
    gateway_pid: int | None = None
    gateway_up_s: float = 0.0
    restarts: int = 0
    notice: str = ""
    page: str | None = None
    command_line: str = "overwinter"
    state_dir: str = ""
    status: Json = field(default_factory=dict[str, Any])
    counts: Json = field(default_factory=dict[str, Any])
    executions: list[Json] = field(default_factory=list[Json])
    devices: list[tuple[str, int | None, list[Account]]] = field(default_factory=list[Any])
    events: deque[Json] = field(default_factory=lambda: deque[Json](maxlen=EVENTS_SHOWN))


def render(scene: Scene) -> RenderableType:
    """The scene as one picture of the terminal's width."""
    return Group(
        _gateway(scene),
        _devices(scene),
        _executions(scene),
        _events(scene),
        _what_to_try(scene),
    )


def plain_line(scene: Scene, elapsed_s: float) -> str:
    """The scene in one line without colours, for logs."""
    mqtt, outbox = scene.status.get("mqtt", {}), scene.status.get("outbox", {})
    sent = sum(account.acknowledged for _, _, accounts in scene.devices for account in accounts)
    gateway = f"gateway {scene.gateway_pid}" if scene.gateway_pid is not None else "gateway down"
    line = (
        f"{elapsed_s:5.0f} s  {gateway} (restarts {scene.restarts})  devices sent {sent}"
        f"  received {mqtt.get('received', 0)}  acknowledged {mqtt.get('acknowledged', 0)}"
        f"  quarantine {mqtt.get('quarantined', 0)}  outbox {outbox.get('waiting', 0)}"
        f"  running {scene.counts.get('running', 0)}  completed {scene.counts.get('completed', 0)}"
        f"  failed {scene.counts.get('failed', 0)}  blocked {scene.counts.get('blocked', 0)}"
    )
    return f"{line}  {scene.notice}" if scene.notice else line


def _gateway(scene: Scene) -> RenderableType:
    mqtt, journal = scene.status.get("mqtt", {}), scene.status.get("journal", {})
    outbox, engine = scene.status.get("outbox", {}), scene.status.get("engine", {})
    if scene.gateway_pid is None:
        head = Text("the gateway is down", style="bold red")
    else:
        head = Text.assemble(
            ("gateway ", "bold"),
            (f"pid {scene.gateway_pid}", "bold green"),
            f"  up {scene.gateway_up_s:.0f} s  restarts {scene.restarts}"
            f"  clock x{scene.speed:g}: {str(scene.status.get('now', ''))[:16].replace('T', ' ')}",
        )
    numbers = (
        f"MQTT {mqtt.get('broker', '')}  in {mqtt.get('received', 0)}  acked {mqtt.get('acknowledged', 0)}"
        f"  quarantine {mqtt.get('quarantined', 0)}  outbox {outbox.get('waiting', 0)} waiting"
        f" {outbox.get('sent', 0)} sent\njournal {_size(journal.get('bytes', 0))}"
        f" + WAL {_size(journal.get('wal_bytes', 0))}  commits {engine.get('commits', 0)}"
        f"  steps {engine.get('steps', 0)}  activities running {engine.get('activities_running', 0)}"
        f"  blocked {engine.get('blocked', 0)}"
    )
    rows: list[RenderableType] = [head, Text(numbers)]
    if scene.notice:
        rows.append(Text(scene.notice, style="bold yellow"))
    return Panel(Group(*rows), title="Overwinter: a farm through one night", border_style="green")


def _devices(scene: Scene) -> RenderableType:
    line = Text("devices  ", style="bold")
    for kind, pid, accounts in scene.devices:
        sent, waiting = sum(a.acknowledged for a in accounts), sum(len(a.waiting) for a in accounts)
        line.append(f"{kind} ", "cyan" if pid is not None else "red")
        line.append(f"{sent} sent" + (f" {waiting} waiting" if waiting else "") + "   ", "default")
    return line


def _executions(scene: Scene) -> RenderableType:
    table = Table(box=None, padding=(0, 1), expand=True, show_edge=False)
    table.add_column("execution", style="cyan", no_wrap=True, ratio=3)
    table.add_column("type", no_wrap=True, ratio=2)
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("waits for", no_wrap=True, ratio=6)
    for execution in scene.executions[:EXECUTIONS_SHOWN]:
        blocked = execution.get("blocked")
        waits = (
            f"[red]{escape(blocked['cause'])}[/]" if blocked else escape(execution.get("waiting_for") or "")
        )
        table.add_row(
            escape(execution["workflow_id"]), execution["type"], str(execution["history_length"]), waits
        )
    done = "  ".join(f"{name} {number}" for name, number in scene.counts.items() if number)
    return Panel(table, title=f"executions: {done or 'none yet'}", title_align="left", border_style="dim")


def _events(scene: Scene) -> RenderableType:
    lines = Text()
    for event in scene.events:
        what = event_sentence(event)
        lines.append(f"{str(event.get('at', ''))[11:16]}  ", "dim")
        lines.append(f"{event.get('workflow_id', ''):<24.24} ", "cyan")
        lines.append(f"{what}\n"[:100])
    lines.append("" if scene.events else "no events yet\n")
    return Panel(lines, title="last events", title_align="left", border_style="dim", height=EVENTS_SHOWN + 2)


def event_sentence(event: Json) -> str:
    """One event in a few words: its type, and the name, topic or failure that it carries."""
    attributes = event.get("attributes", {})
    words = [str(event.get("type", ""))]
    for key in ("name", "topic"):
        if attributes.get(key):
            words.append(str(attributes[key]))
    failure = attributes.get("failure")
    if failure:
        words.append(str(failure.get("message", "")))
    return " ".join(words)


def _what_to_try(scene: Scene) -> RenderableType:
    pid = scene.gateway_pid if scene.gateway_pid is not None else "PID"
    where = f"--state-dir {scene.state_dir}"
    lines = [
        (f"kill -9 {pid}", "the gateway comes back, and the same executions go on"),
        (f"{scene.command_line} list {where}", "what runs"),
        (f"{scene.command_line} show diary-north {where}", "a history"),
        (
            f"""{scene.command_line} signal frost-north acknowledged '"me"' {where}""",
            "answer the frost alarm",
        ),
        (f"{scene.command_line} quarantine {where}", "messages that were refused, and why"),
    ]
    if scene.page:
        lines.append((scene.page, "the same in a browser"))
    text = Text("what to try\n", style="bold")
    for command, meaning in lines:
        text.append(f"  {command}", "green")
        text.append(f"   {meaning}\n", "dim")
    return text


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def summary(lines: Sequence[tuple[str, str]]) -> RenderableType:
    """The reckoning as a table of two columns."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, value in lines:
        table.add_row(Text(name, style="bold"), Text(value))
    return table
