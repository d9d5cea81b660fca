"""The command line against a running gateway, a stopped one, and none."""

from __future__ import annotations

import asyncio
import getpass
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.abc import TaskStatus

from overwinter.edge import cli
from overwinter.edge.command_line import JOURNAL_NAME
from overwinter.edge.control import serve
from overwinter.edge.ports import OperationRefused
from overwinter.runtime.journal import SqliteJournal, StorageFull
from tests.unit.console.conftest import SampleGateway

Run = Callable[..., Awaitable[int]]
CONTROL_CHARACTERS = {chr(code) for code in (*range(32), *range(127, 160), 0x202E)} - {"\n"}


class Opened(TaskStatus[None]):
    def __init__(self) -> None:
        self.event = asyncio.Event()

    def started(self, value: None = None) -> None:
        self.event.set()


@pytest.fixture
async def overwinter(tmp_path: Path, gateway: Any) -> AsyncIterator[Run]:
    """The command, in the presence of a running gateway."""
    opened = Opened()
    server = asyncio.create_task(serve(tmp_path / "control.sock", gateway, task_status=opened))
    await asyncio.wait_for(opened.event.wait(), 5)

    async def run(*words: str) -> int:
        return await asyncio.to_thread(cli.main, [words[0], "--state-dir", str(tmp_path), *words[1:]])

    yield run
    server.cancel()
    await asyncio.wait([server])


READS = [
    ("list",),
    ("list", "--status", "failed"),
    ("show", "irrigation/north-3"),
    ("show", "poll/weather"),
    ("quarantine",),
    ("status",),
]


@pytest.mark.parametrize("words", READS)
async def test_json_output_is_one_json_value_and_nothing_else(
    overwinter: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert await overwinter(*words, "--json") == 0
    out, err = capsys.readouterr()
    assert isinstance(json.loads(out), dict)
    assert err == ""


@pytest.mark.parametrize("words", [*READS, ("show", "evil/\x1b[2J<img src=x onerror=alert(1)>")])
async def test_text_output_fits_and_cannot_drive_the_terminal(
    overwinter: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert await overwinter(*words) == 0
    out = capsys.readouterr().out
    assert not CONTROL_CHARACTERS & set(out)
    assert max(map(len, out.splitlines())) <= 110


async def test_an_error_is_json_too(overwinter: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert await overwinter("show", "nowhere", "--json") == cli.FAILED
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "UnknownExecution"
    assert err == ""


async def test_an_unknown_execution_comes_with_near_ids(
    overwinter: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await overwinter("show", "irigation/north-3") == cli.FAILED
    assert "near ids: irrigation/north-3" in capsys.readouterr().err


async def test_a_signal_carries_json_arguments(overwinter: Run, gateway: Any) -> None:
    assert await overwinter("signal", "irrigation/north-3", "rain", "4", '"text"', '{"mm": [1.5, null]}') == 0
    assert gateway.calls[0][1]["args"] == [4, "text", {"mm": [1.5, None]}]


async def test_an_argument_that_is_no_json_is_a_usage_error(
    overwinter: Run, gateway: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await overwinter("signal", "irrigation/north-3", "rain", "text") == cli.USAGE
    assert "a text needs its quotes" in capsys.readouterr().err
    assert gateway.calls == []


async def test_cancel_and_terminate_carry_their_reason(overwinter: Run, gateway: Any) -> None:
    assert await overwinter("cancel", "irrigation/north-3", "--reason", "rain") == 0
    assert await overwinter("terminate", "poll/weather") == 0
    assert [(op, args["reason"]) for op, args in gateway.calls] == [("cancel", "rain"), ("terminate", None)]


async def test_pause_and_resume_are_for_one_execution_or_for_many(overwinter: Run, gateway: Any) -> None:
    assert await overwinter("pause", "irrigation/north-3", "--reason", "winter") == 0
    assert await overwinter("resume", "irrigation/north-3") == 0
    assert await overwinter("pause", "--type", "Irrigate", "--reason", "winter") == 0
    assert await overwinter("pause", "--task-queue", "gpu") == 0
    assert await overwinter("pause", "--all") == 0
    assert await overwinter("unpause", "--all") == 0
    calls = [(op, args.get("scope", args.get("workflow_id")), args.get("name")) for op, args in gateway.calls]
    assert calls == [
        ("pause", "irrigation/north-3", None),
        ("resume", "irrigation/north-3", None),
        ("pause_all", "workflow_type", "Irrigate"),
        ("pause_all", "task_queue", "gpu"),
        ("pause_all", "everything", None),
        ("resume_all", "everything", None),
    ]
    assert gateway.calls[0][1]["reason"] == "winter"
    assert getpass.getuser() in gateway.calls[0][1]["by"]


@pytest.mark.parametrize(
    "words", [(), ("poll/weather", "--all"), ("--type", "Irrigate", "--task-queue", "gpu")]
)
async def test_what_is_to_be_paused_must_be_said(
    overwinter: Run, gateway: Any, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert await overwinter("pause", *words) == cli.USAGE
    assert "expected one of" in capsys.readouterr().err
    assert gateway.calls == []


async def test_reset_goes_to_an_event_or_to_a_place_with_a_name(
    overwinter: Run, gateway: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await overwinter("reset", "irrigation/north-3", "--event", "5", "--reason", "wrong valve") == 0
    assert "run 0193a4c2-eeee" in capsys.readouterr().out
    words = ("--type", "FailedActivity", "--activity", "open", "--reapply-exclude", "Signal")
    assert await overwinter("reset", "irrigation/north-3", *words) == 0
    first, second = (args for _, args in gateway.calls)
    assert (first["event"], first["reason"], first.get("to")) == (5, "wrong valve", None)
    assert (second["to"], second["activity"], second["signals"]) == ("FailedActivity", "open", "exclude")
    assert "updates" not in second
    for wrong in ((), ("--event", "5", "--type", "LastWorkflowTask"), ("--event", "5", "--activity", "x")):
        assert await overwinter("reset", "irrigation/north-3", *wrong) == cli.USAGE


async def test_many_executions_are_shown_and_begun_only_when_someone_is_sure(
    overwinter: Run, gateway: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "WorkflowType = 'Irrigate'"
    assert await overwinter("cancel", "--query", query, "--dry-run") == 0
    assert "100 executions fit" in (shown := capsys.readouterr().out)
    assert "and 98 more" in shown
    assert await overwinter("cancel", "--query", query) == cli.USAGE
    assert "give --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", _Terminal("no\n"))
    assert await overwinter("cancel", "--query", query) == cli.FAILED
    assert "nothing was done" in capsys.readouterr().err
    assert [op for op, _ in gateway.calls] == ["batch_preview"] * 3
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    assert await overwinter("cancel", "--query", query, "--reason", "frost", "--rps", "10") == 0
    op, args = gateway.calls[-1]
    assert (op, args["operation"], args["query"]) == ("batch_start", {"kind": "cancel"}, query)
    assert (args["reason"], args["per_second"]) == ("frost", 10.0)
    assert "99 of 100" in capsys.readouterr().out


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_each_command_says_what_is_done_to_many(overwinter: Run, gateway: Any) -> None:
    query = ("--query", "Field = 'north'", "--yes")
    assert await overwinter("signal", "water", "3", '"text"', *query) == 0
    assert await overwinter("terminate", *query) == 0
    assert await overwinter("pause", *query) == 0
    assert await overwinter("resume", *query) == 0
    assert await overwinter("delete", *query) == 0
    words = ("--type", "FailedActivity", "--activity", "open", "--reapply-exclude", "All")
    assert await overwinter("reset", *words, *query) == 0
    assert [args["operation"] for op, args in gateway.calls if op == "batch_start"] == [
        {"kind": "signal", "name": "water", "args": [3, "text"]},
        {"kind": "terminate"},
        {"kind": "pause"},
        {"kind": "unpause"},
        {"kind": "delete"},
        {
            "kind": "reset",
            "to": "FailedActivity",
            "activity": "open",
            "signals": "exclude",
            "updates": "exclude",
        },
    ]
    assert await overwinter("delete", "poll/weather") == 0
    assert gateway.calls[-1][0] == "delete"


async def test_a_batch_that_fails_in_part_says_where_and_exits_with_1(
    overwinter: Run, gateway: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.failing = 3
    assert await overwinter("cancel", "--query", "Field = 'north'", "--yes") == cli.FAILED
    out = capsys.readouterr().out
    assert "stuck" in out
    assert "and 2 more failed" in out
    assert not set(out) & CONTROL_CHARACTERS
    gateway.failing = 0
    assert await overwinter("cancel", "--query", "Field = 'north'", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["completed"] == 99
    assert await overwinter("cancel", "--query", "nothing", "--yes") == 0
    assert "there is nothing to cancel" in capsys.readouterr().out


async def test_batch_jobs_are_listed_shown_and_stopped(
    overwinter: Run, gateway: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await overwinter("batch", "list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert await overwinter("batch", "show", "j1") == 0
    assert "40 of 100" in capsys.readouterr().out
    assert await overwinter("batch", "stop", "j1", "--reason", "enough") == 0
    assert gateway.calls[-1][1]["reason"] == "enough"
    assert "enough" in capsys.readouterr().out
    assert await overwinter("batch", "show", "j1", "--wait") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("cancel",),
        ("cancel", "poll/weather", "--query", "x"),
        ("cancel", "poll/weather", "--dry-run"),
        ("terminate", "--query", "x", "--run", "r"),
        ("signal", "poll/weather"),
        ("reset", "--query", "x", "--event", "3"),
        ("batch", "list", "j1"),
        ("batch", "show"),
    ],
)
async def test_a_command_line_for_one_and_for_many_at_once_is_refused(
    overwinter: Run, gateway: Any, words: tuple[str, ...]
) -> None:
    assert await overwinter(*words) == cli.USAGE
    assert gateway.calls == []


async def test_start_prints_the_run_id(overwinter: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert await overwinter("start", "Irrigate", '"north-4"', "--id", "irrigation/north-4") == 0
    assert "0193a4c2-ffff" in capsys.readouterr().out


async def test_a_refused_change_exits_with_1_and_its_hint(
    overwinter: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await overwinter("cancel", "valve/9") == cli.FAILED
    assert "start it again under another id" in capsys.readouterr().err


async def test_a_hint_that_an_error_says_itself_is_printed_once(
    overwinter: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = StorageFull("the journal could not be written")

    async def refused(*_args: Any, **_options: Any) -> None:
        raise OperationRefused(str(full), hint=full.hint)

    monkeypatch.setattr(SampleGateway, "_change", refused)
    assert await overwinter("cancel", "valve/9") == cli.FAILED
    assert capsys.readouterr().err.count(full.hint) == 1


def test_without_a_gateway_and_without_a_journal_the_exit_status_is_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["list"], ["show", "x"], ["cancel", "x"], ["tail"]):
        assert cli.main([*words, "--state-dir", str(tmp_path)]) == cli.NOT_RUNNING
        assert "overwinter run" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("list",), ("show", "valve/9"), ("quarantine",), ("status",)])
def test_a_stopped_gateway_is_read_from_its_journal(
    tmp_path: Path,
    gateway: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    @asynccontextmanager
    async def open_journal(path: Path, _converter: Any) -> AsyncIterator[Any]:
        assert path == tmp_path / JOURNAL_NAME
        yield gateway

    monkeypatch.setattr(cli, "open_journal", open_journal)
    (tmp_path / JOURNAL_NAME).touch()
    assert cli.main([*words, "--json", "--state-dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert isinstance(json.loads(out), dict)
    assert "the gateway is stopped" in err


def test_a_file_that_is_no_journal_is_an_error_and_not_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / JOURNAL_NAME).write_bytes(b"no database at all" * 1000)
    assert cli.main(["list", "--json", "--state-dir", str(tmp_path)]) == cli.FAILED
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "OperationRefused"


async def test_an_empty_journal_of_a_stopped_gateway_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = await SqliteJournal.open(tmp_path / JOURNAL_NAME)
    await journal.close()
    for words in (["list"], ["quarantine"], ["status"]):
        assert await asyncio.to_thread(cli.main, [*words, "--state-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "no executions yet" in out
    assert "no message was refused" in out
    assert "no gateway is running" in out


def test_missing_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OVERWINTER_SETTINGS", str(tmp_path / "none.toml"))
    assert cli.main(["list"]) == cli.USAGE
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [[], ["nothing"], ["show"], ["list", "--limit", "0"], ["list", "--status", "dead"], ["start", "T"]],
)
def test_a_wrong_command_line_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == cli.USAGE


async def test_tail_prints_events_until_interrupted(tmp_path: Path, overwinter: Run, gateway: Any) -> None:
    event = {
        "lsn": 7,
        "workflow_id": "irrigation/north-3",
        "workflow_type": "Irrigate",
        "at": "2026-11-24T03:00:04Z",
        "type": "Signaled",
        "attributes": {"name": "rain\x1b[2J", "input": [4]},
    }
    command = [sys.executable, "-c", "import sys; from overwinter.edge.cli import main; sys.exit(main())"]
    process = await asyncio.create_subprocess_exec(
        *command,
        "tail",
        "--state-dir",
        str(tmp_path),
        stdout=subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
        cwd=tmp_path,
    )
    assert process.stdout is not None
    try:
        gateway.feed.put_nowait(event)
        line = (await asyncio.wait_for(process.stdout.readline(), 15)).decode()
        assert line.startswith("03:00:04 irrigation/north-3")
        assert r"rain\x1b[2J (4)" in line
    finally:
        process.terminate()
        await process.wait()


async def test_output_to_a_reader_that_has_gone_is_no_error(tmp_path: Path, overwinter: Run) -> None:
    words = f"{sys.executable} -c 'from overwinter.edge.cli import main; raise SystemExit(main())' show"
    shell = f"set -o pipefail; {words} poll/weather --state-dir {tmp_path} | head -1"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert out.startswith(b"poll/weather")
    assert err == b""
    assert process.returncode == 0
