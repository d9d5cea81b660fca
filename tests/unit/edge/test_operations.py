"""What a person asks of a running gateway, and what the answers say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from overwinter import workflow
from overwinter.edge.operations import JournalReader, Operations
from overwinter.edge.ports import BadRequest, Json, OperationRefused
from overwinter.runtime.client import Client
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway


@workflow.defn
class Wait:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@asynccontextmanager
async def operations(gateway: Gateway) -> AsyncIterator[tuple[Client, Operations]]:
    async with gateway.on([Wait]) as client:
        asked = Operations(
            client.engine, client.values, task_queue=QUEUE, status=lambda: {"engine": {}, "outbox": {}}
        )
        yield client, asked


async def started(asked: Operations, *ids: str) -> None:
    for workflow_id in ids:
        await asked.start(type="Wait", workflow_id=workflow_id)


def _statuses(answer: Json) -> dict[str, str]:
    return {row["workflow_id"]: row["status"] for row in answer["executions"]}


async def test_what_is_paused_is_listed_counted_and_shown_also_when_the_gateway_is_stopped(
    durable: SqliteGateway,
) -> None:
    async with operations(durable) as (_, asked):
        await started(asked, "a", "b")
        await asked.pause(workflow_id="a", reason="winter", by="maria")
        answer = await asked.list()
        assert _statuses(answer) == {"a": "paused", "b": "running"}
        assert (answer["counts"]["running"], answer["counts"]["paused"]) == (1, 1)
        assert _statuses(await asked.list(status="paused")) == {"a": "paused"}
        assert _statuses(await asked.list(status="running")) == {"b": "running"}
        shown = (await asked.show(workflow_id="a"))["execution"]
        assert (shown["paused"]["by"], shown["paused"]["reason"]) == ("maria", "winter")
        assert shown["waiting_for"].startswith("it to be resumed: winter, paused by maria at ")
        await asked.pause_all(scope="task_queue", name=QUEUE, reason="inspection")
        status = await asked.status()
        assert status["engine"] == {"open": 2, "blocked": 0, "paused": 2}
        assert [(pause["scope"], pause["by"]) for pause in status["pauses"]] == [("task_queue", "operator")]
        journal = JournalReader(asked._journal)  # noqa: SLF001 - as a stopped gateway is read
        assert _statuses(await journal.list(status="paused")) == {"a": "paused", "b": "paused"}
        assert "task queue 'tests' to be resumed" in (await journal.list())["executions"][0]["waiting_for"]
        await asked.resume_all(scope="task_queue", name=QUEUE)
        await asked.resume(workflow_id="a")
        assert _statuses(await asked.list()) == {"a": "running", "b": "running"}


async def test_a_reset_answers_with_the_run_that_it_made(gateway: Gateway) -> None:
    async with operations(gateway) as (_, asked):
        await started(asked, "a")
        first = (await asked.show(workflow_id="a"))["execution"]["run_id"]
        answer = await asked.reset(workflow_id="a", event=1, reason="wrong", by="maria")
        shown = await asked.show(workflow_id="a")
        assert shown["execution"]["run_id"] == answer["run_id"] != first
        reset = next(event for event in shown["events"] if event["type"] == "WorkflowReset")
        assert (reset["attributes"]["base_run_id"], reset["attributes"]["identity"]) == (first, "maria")
        assert (await asked.reset(workflow_id="a", to="LastWorkflowTask"))["run_id"] != answer["run_id"]
        for wrong in ({}, {"to": "Yesterday"}, {"event": 1, "to": "LastWorkflowTask"}, {"event": 99}):
            with pytest.raises(BadRequest):
                await asked.reset(workflow_id="a", **wrong)  # type: ignore[arg-type] - one of them


async def test_a_batch_job_is_previewed_begun_shown_and_stopped(gateway: Gateway) -> None:
    async with operations(gateway) as (client, asked):
        await started(asked, *(f"w{number}" for number in range(3)))
        query, cancel = "WorkflowType = 'Wait'", {"kind": "cancel"}
        preview = await asked.batch_preview(operation=cancel, query=query)
        assert (preview["count"], len(preview["sample"])) == (3, 3)
        job = await asked.batch_start(operation=cancel, query=query, reason="frost", by="maria")
        assert (await asked.status())["batch_jobs"][0]["id"] == job["id"]
        await client.engine.batches.closed(job["id"])
        shown = await asked.batch_show(job_id=job["id"])
        assert (shown["state"], shown["completed"], shown["by"]) == ("completed", 3, "maria")
        assert [each["id"] for each in (await asked.batch_list())["jobs"]] == [job["id"]]
        assert (await asked.batch_stop(job_id=job["id"]))["state"] == "completed"
        signal = {"kind": "signal", "name": "x", "args": [{"a": 1}]}
        again = await asked.batch_start(operation=signal, query="WorkflowId = 'w0'")
        assert (await client.engine.batches.closed(again["id"])).failed == 0
        assert (await asked.status())["batch_jobs"] == []


async def test_a_batch_job_that_makes_no_sense_is_refused(gateway: Gateway) -> None:
    async with operations(gateway) as (_, asked):
        await started(asked, "a")
        for operation, query in (
            ({"kind": "water"}, "WorkflowId = 'a'"),
            ({"kind": "signal"}, "WorkflowId = 'a'"),
            ({"kind": "signal", "name": 3}, "WorkflowId = 'a'"),
            ({"kind": "cancel", "name": "x"}, "WorkflowId = 'a'"),
            ({"kind": "reset"}, "WorkflowId = 'a'"),
            ({"kind": "cancel"}, "WorkflowId ="),
            ({"kind": "cancel"}, ""),
        ):
            with pytest.raises(BadRequest):
                await asked.batch_start(operation=operation, query=query)
        with pytest.raises(BadRequest):
            await asked.batch_start(operation={"kind": "cancel"}, query="WorkflowId = 'a'", per_second=0)
        with pytest.raises(OperationRefused, match="not found"):
            await asked.batch_show(job_id="nothing")
        with pytest.raises(OperationRefused, match="is open"):
            await asked.delete(workflow_id="a")
        await asked.terminate(workflow_id="a")
        await asked.delete(workflow_id="a")
        assert (await asked.list())["executions"] == []


async def test_what_cannot_be_paused_or_resumed_is_refused_with_what_to_do(gateway: Gateway) -> None:
    async with operations(gateway) as (_, asked):
        await started(asked, "a")
        with pytest.raises(OperationRefused, match="not paused") as refused:
            await asked.resume(workflow_id="a")
        assert "overwinter status" in refused.value.hint
        await asked.pause(workflow_id="a")
        with pytest.raises(OperationRefused, match="already paused"):
            await asked.pause(workflow_id="a")
        for scope, name in (("device", "x"), ("everything", "x"), ("workflow_type", None)):
            with pytest.raises(BadRequest, match="is unknown"):
                await asked.pause_all(scope=scope, name=name)
