"""The logger of workflow code: who speaks, and once."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime.client import WorkflowUpdateStage
from tests.unit.gateways import QUEUE, SqliteGateway


@workflow.defn
class Speaks:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> None:
        workflow.logger.info("begun")
        await workflow.wait_condition(lambda: self.done)
        workflow.logger.info("ends")

    @workflow.signal
    def finish(self) -> None:
        workflow.logger.info("signalled", extra={"mine": 7})
        self.done = True

    @workflow.update
    async def change(self) -> None:
        await workflow.sleep(timedelta(milliseconds=1))
        workflow.logger.info("changed")

    @workflow.query
    def ask(self) -> bool:
        workflow.logger.info("asked")
        return workflow.unsafe.is_replaying()


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        str(record.msg).split(" ")[0] for record in caplog.records if record.name == "overwinter.workflow"
    ]


async def test_what_was_logged_is_not_logged_again_by_code_that_is_rebuilt(
    durable: SqliteGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "overwinter.workflow")
    async with durable.on([Speaks]) as client:
        handle = await client.start_workflow(Speaks.run, id="w", task_queue=QUEUE)
        assert await handle.query(Speaks.ask) is False
    async with durable.on([Speaks]) as client:
        handle = client.get_workflow_handle("w")
        assert _said(caplog) == ["begun", "asked"]
        await handle.query(Speaks.ask)  # of code that is rebuilt for it: a query is always news
        await handle.signal(Speaks.finish)
        await handle.result()
    assert _said(caplog) == ["begun", "asked", "asked", "signalled", "ends"]


async def test_a_record_says_of_which_execution_and_update_it_is(
    durable: SqliteGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "overwinter.workflow")
    async with durable.on([Speaks]) as client:
        handle = await client.start_workflow(Speaks.run, id="w", task_queue=QUEUE)
        update = await handle.start_update(Speaks.change, id="u", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        durable.advance(client, 1)
        await update.result()
        await handle.signal(Speaks.finish)
        await handle.result()
    records: dict[str, Any] = {str(record.msg).split(" ")[0]: record for record in caplog.records}
    begun = records["begun"].temporal_workflow
    assert begun == {
        "attempt": 1,
        "namespace": "default",
        "run_id": handle.first_execution_run_id,
        "task_queue": QUEUE,
        "workflow_id": "w",
        "workflow_type": "Speaks",
    }
    assert str(begun) in records["begun"].getMessage()
    assert records["changed"].temporal_workflow == {**begun, "update_id": "u", "update_name": "change"}
    assert (records["signalled"].mine, records["signalled"].temporal_workflow) == (7, begun)
