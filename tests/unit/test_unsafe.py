"""The logger of workflow code, and the names that code for a sandbox asks about."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from overwinter import workflow
from tests.unit.gateways import QUEUE, Gateway

LOG = workflow.LoggerAdapter(logging.getLogger("tests.workflow"), {"farm": "north"})


class Opening(logging.Handler):
    """Opens its file for each record, which workflow code may not."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        with self.path.open("a") as file:
            file.write(record.getMessage() + "\n")


@workflow.defn
class Logging:
    @workflow.run
    async def run(self) -> None:
        LOG.warning("one", extra={"farm": "south"})
        LOG.log(logging.WARNING, "two")


@workflow.defn
class Asking:
    @workflow.run
    async def run(self) -> list[Any]:
        unsafe = workflow.unsafe
        silent = workflow.SandboxImportNotificationPolicy.SILENT
        found: list[Any] = [unsafe.in_sandbox(), unsafe.is_sandbox_unrestricted()]
        with unsafe.sandbox_unrestricted(), unsafe.imports_passed_through():
            found += [unsafe.is_sandbox_unrestricted(), unsafe.is_imports_passed_through()]
        with unsafe.sandbox_import_notification_policy(silent):
            found.append(unsafe.current_import_notification_policy_override() == silent)
        return [
            *found,
            unsafe.is_sandbox_unrestricted(),
            unsafe.is_imports_passed_through(),
            unsafe.current_import_notification_policy_override() is None,
        ]


async def test_what_code_for_a_sandbox_asks_has_an_answer(gateway: Gateway) -> None:
    async with gateway.on([Asking]) as client:
        found = await client.execute_workflow(Asking.run, id="asking", task_queue=QUEUE)
    assert found == [False, False, True, True, True, False, False, True]


async def test_a_record_has_the_line_and_the_extra_of_the_call(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway.on([Logging]) as client:
        await client.execute_workflow(Logging.run, id="logging", task_queue=QUEUE)
    one, two = caplog.records
    assert [(record.filename, record.funcName) for record in (one, two)] == [("test_unsafe.py", "run")] * 2
    assert two.lineno == one.lineno + 1
    assert vars(one)["farm"] == "south"
    assert vars(two)["farm"] == "north"
    assert vars(two)["temporal_workflow"]["workflow_id"] == "logging"


@pytest.mark.parametrize("disabled", [True, False])
async def test_a_handler_may_open_files_whatever_the_logger_says(
    gateway: Gateway, tmp_path: Path, disabled: bool
) -> None:
    handler = Opening(tmp_path / "log")
    logging.getLogger("tests.workflow").addHandler(handler)
    LOG.unsafe_disable_sandbox(disabled)
    try:
        async with gateway.on([Logging]) as client:
            await client.execute_workflow(Logging.run, id="logging", task_queue=QUEUE)
    finally:
        LOG.unsafe_disable_sandbox(False)
        logging.getLogger("tests.workflow").removeHandler(handler)
    assert [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()] == ["one", "two"]
