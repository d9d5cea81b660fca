"""What `overwinter doctor` finds, on good and on bad ground."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overwinter.edge import cli, doctor
from overwinter.edge.doctor import Finding
from overwinter.edge.mqtt_settings import MqttSettings
from overwinter.runtime.display.terminal import Terminal

MOUNTS = """\
/dev/mmcblk0p2 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
//nas/farm /mnt/nas\\040share cifs rw 0 0
"""


@contextlib.contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """A port on which every connection gets `reply` to its first bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(5)
                        if connection.recv(1000) and reply:
                            connection.sendall(reply)
                        connection.recv(1000)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def broker(port: int) -> MqttSettings:
    return MqttSettings(client_id="farm-gate-1", host="127.0.0.1", port=port)


def test_a_state_directory_that_can_be_written_is_measured(tmp_path: Path) -> None:
    found = {finding.check: finding for finding in doctor.check_state_dir(tmp_path / "new")}
    assert set(found) == {"state_dir", "disk", "filesystem", "fsync"}
    assert found["state_dir"].level == "ok"
    assert "p99" in found["fsync"].text
    assert list((tmp_path / "new").iterdir()) == []


def test_a_state_directory_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    (finding,) = doctor.check_state_dir(tmp_path / "state")
    assert finding.level == "problem"
    assert "another state_dir" in finding.advice


@pytest.mark.parametrize(
    ("times_ms", "level"),
    [([0.001] * 50, "warning"), ([2.0] * 50, "ok"), ([2.0] * 48 + [900.0] * 2, "warning")],
)
def test_fsync_is_judged_by_speed_and_belief(times_ms: list[float], level: str) -> None:
    assert doctor.judge_fsync([time / 1000 for time in times_ms]).level == level


def test_fsync_reaches_a_real_disk_more_slowly_than_a_call_costs(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        times = doctor.measure_fsync(file.fileno())
    assert len(times) <= doctor.FSYNC_COUNT
    assert times == sorted(times)
    assert os.path.getsize(tmp_path / "f") == len(times) * doctor.FSYNC_BYTES


@pytest.mark.parametrize(
    ("path", "level"),
    [("/var/lib/overwinter", "ok"), ("/run/overwinter", "warning"), ("/mnt/nas share/state", "problem")],
)
def test_the_file_system_is_named_and_judged(tmp_path: Path, path: str, level: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert doctor.check_filesystem(Path(path), tmp_path / "mounts").level == level


@pytest.mark.parametrize(("free", "level"), [(10 << 20, "problem"), (500 << 20, "warning"), (5 << 30, "ok")])
def test_free_space_is_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, level: str) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=free))
    assert doctor.check_free_space(tmp_path).level == level


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 34, 1), "problem"), ((3, 40, 1), "warning"), ((3, 51, 3), "ok"), ((3, 53, 0), "ok")],
)
def test_an_old_sqlite_is_named(version: tuple[int, int, int], level: str) -> None:
    assert doctor.check_sqlite(version).level == level


def test_a_whole_journal_passes_and_a_damaged_one_is_a_problem(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(journal)) as database:
        database.execute("CREATE TABLE events (data BLOB)")
        database.executemany("INSERT INTO events VALUES (?)", [(os.urandom(3000),)] * 50)
        database.commit()
    assert doctor.check_journal(journal, tmp_path / "none").level == "ok"
    with journal.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096 * 5)
    finding = doctor.check_journal(journal, tmp_path / "none")
    assert finding.level == "problem"
    assert "damaged" in finding.text


def test_a_file_that_is_no_journal_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all" * 1000)
    assert doctor.check_journal(tmp_path / "journal.db", tmp_path / "none").level == "problem"


def test_the_journal_of_a_running_gateway_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"not read")
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(os.fspath(tmp_path / "control.sock"))
        control.listen()
        finding = doctor.check_journal(tmp_path / "journal.db", tmp_path / "control.sock")
    assert finding.level == "ok"
    assert "running" in finding.text


def test_a_clock_from_before_this_program_is_a_problem() -> None:
    assert next(doctor.check_clock(0.0)).level == "problem"
    assert next(doctor.check_clock(1_795_000_000.0)).level == "ok"


def test_a_broker_that_nobody_runs_is_a_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    finding = doctor.check_broker(broker(port))
    assert finding.level == "problem"
    assert "start the broker" in finding.advice


def test_a_broker_that_accepts_mqtt_5_passes() -> None:
    connack = bytes([0x20, 3 + 3 + 5, 0, 0, 8, 0x12, 0, 5]) + b"given"
    with answering(connack) as port:
        finding = doctor.check_broker(broker(port))
    assert finding.level == "ok", finding


def test_a_broker_that_refuses_mqtt_5_says_why() -> None:
    with answering(bytes([0x20, 3, 0, 0x87, 0])) as port:
        finding = doctor.check_broker(broker(port))
    assert finding.level == "problem"
    assert "Not authorized" in finding.text


def test_something_that_is_no_broker_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BROKER_S", 0.5)
    with answering(b"") as port:
        finding = doctor.check_broker(broker(port))
    assert finding.level == "problem"
    assert "did not answer CONNECT" in finding.text


def test_a_gpu_that_is_switched_off_is_no_problem() -> None:
    assert doctor.check_gpu("off").level == "ok"


def test_a_missing_gpu_part_is_a_problem_only_when_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "overwinter.gpu.device", None)
    assert doctor.check_gpu("auto").level == "ok"
    assert doctor.check_gpu("require").level == "problem"


def test_findings_are_readable_and_say_what_to_do() -> None:
    findings = [Finding("disk", "ok", "plenty"), Finding("clock", "problem", "it is 1970\x1b[2J", "set it")]
    text = doctor.render(findings, Terminal(80))
    assert "-> set it" in text
    assert "\x1b" not in text
    assert "2 checks: 1 problem, 0 warnings" in text


def test_doctor_prints_json_and_fails_on_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all" * 1000)
    words = ["doctor", "--json", "--state-dir", str(tmp_path), "--settings", str(tmp_path / "none.toml")]
    assert cli.main(words) == cli.FAILED
    levels = {
        finding["check"]: finding["level"] for finding in json.loads(capsys.readouterr().out)["findings"]
    }
    assert levels["journal"] == "problem"
    assert levels["state_dir"] == "ok"
