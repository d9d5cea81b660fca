"""Histories that were recorded once, on Temporal's server and here, replay with the programs that made them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from overwinter.runtime.client import WorkflowHistory
from overwinter.runtime.core.events import Event
from overwinter.runtime.histories import from_lines, to_lines
from overwinter.runtime.temporal.reading import read
from overwinter.runtime.temporal.writing import HistoryWriter
from overwinter.runtime.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    Replayer,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)
from overwinter.runtime.workflow import NondeterminismError

from . import programs
from .record import FOLDER

JSON = sorted(FOLDER.glob("*/*.json"))
LINES = sorted(FOLDER.glob("*/*.jsonl"))
IDS = {"ids": lambda path: f"{path.parent.name}-{path.name}"}


class Results(Interceptor):
    """What the run methods have returned."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type:
        found = self.found

        class Inbound(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
                found.append(await super().execute_workflow(input))
                return found[-1]

        return Inbound


def history_of(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))


def records_of(file: Path) -> tuple[str, list[Event]]:
    return from_lines(file.read_text(encoding="utf-8").splitlines(keepends=True))


def test_there_are_recorded_histories_of_both() -> None:
    assert {path.parent.name for path in JSON} == {"temporal", "overwinter"}
    assert {path.stem for path in JSON} == {path.name.split(".")[0] for path in LINES}


@pytest.mark.parametrize("file", [*JSON, *LINES], **IDS)
async def test_a_recorded_history_fits_and_gives_the_recorded_result(file: Path) -> None:
    results = Results()
    history = history_of(file)
    await Replayer(workflows=programs.WORKFLOWS, interceptors=[results]).replay_workflow(history)
    last = history.events[-1]
    if last.HasField("workflow_execution_completed_event_attributes"):
        (payload,) = last.workflow_execution_completed_event_attributes.result.payloads
        assert json.loads(payload.data) == results.found[0]
    else:
        assert results.found == []


@pytest.mark.parametrize("file", [f for f in [*JSON, *LINES] if f.name.startswith("irrigate.")], **IDS)
async def test_code_that_asks_for_something_else_is_told_with_its_lines(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "changed", True)
    with pytest.raises(NondeterminismError, match="ActivityScheduled 'moisture'.*'renamed'") as raised:
        await Replayer(workflows=programs.WORKFLOWS).replay_workflow(history_of(file))
    error = raised.value
    source = Path(programs.__file__).read_text(encoding="utf-8").splitlines()
    for place, words in [(error.replayed_at, "execute_activity("), (error.agreed_at, "upsert_memo(")]:
        path, number = place.removesuffix(" in run").rsplit(":", 1)
        assert path == programs.__file__
        assert words in source[int(number) - 1] or words in source[int(number) - 2]
    assert error.recorded is not None
    assert error.recorded.sequence > 0
    assert "MemoUpserted" in error.agreed_text


@pytest.mark.parametrize("file", [path for path in JSON if path.parent.name == "temporal"], **IDS)
async def test_each_command_of_a_history_is_missed_when_it_is_left_out(file: Path) -> None:
    whole = json.loads(file.read_text(encoding="utf-8"))
    commands = [
        index for index, event in enumerate(whole["events"]) if _is_command(event) and not _is_free(event)
    ]
    for index in commands:
        events = [event for number, event in enumerate(whole["events"]) if number != index]
        history = WorkflowHistory.from_json(file.stem, {"events": events})
        result = await Replayer(workflows=programs.WORKFLOWS).replay_workflow(
            history, raise_on_replay_failure=False
        )
        assert result.replay_failure is not None, whole["events"][index]["eventType"]


def _is_command(event: dict[str, Any]) -> bool:
    attributes = next(value for key, value in event.items() if key.endswith("Attributes"))
    return "workflowTaskCompletedEventId" in attributes and "FAILED" not in event["eventType"]


def _is_free(event: dict[str, Any]) -> bool:
    """Markers have no place of their own; nor has what Temporal's SDK adds to one of a patch."""
    return event["eventType"] == "EVENT_TYPE_MARKER_RECORDED" or "TemporalChangeVersion" in str(event)


# -- our own form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", LINES, **IDS)
def test_our_records_are_written_to_temporals_form_as_they_were(file: Path) -> None:
    workflow_id, records = records_of(file)
    wanted = json.loads(file.with_name(file.name.replace(".history.jsonl", ".json")).read_text("utf-8"))
    assert WorkflowHistory.of_records(workflow_id, records).to_json_dict() == wanted


@pytest.mark.parametrize("file", LINES, **IDS)
def test_what_is_written_of_a_beginning_is_the_beginning_of_the_whole(file: Path) -> None:
    _, records = records_of(file)
    whole = list(HistoryWriter().write(records))
    writer, found = HistoryWriter(), []
    for _, events in groupby(records, lambda event: event.activation):
        found += writer.write(list(events))
        assert found == whole[: len(found)]
    assert found == whole
    assert [event.event_id for event in whole] == list(range(1, len(whole) + 1))


@pytest.mark.parametrize("file", LINES, **IDS)
def test_what_was_written_is_read_as_it_was_but_for_ids(file: Path) -> None:
    workflow_id, records = records_of(file)
    reading = read(workflow_id, list(HistoryWriter().write(records)))
    local = {e.body.id for e in records if getattr(e.body, "local", False)}
    ended = {each.id for several in reading.local_activities.values() for each in several}
    assert _kinds(reading.records, ended) == _kinds(records, local)
    assert len(ended) == len(local)


def _kinds(records: list[Event], without: set[int]) -> list[str]:
    """What code hears and says; where a local activity was asked for is not written."""
    bodies = [event.body for event in records if getattr(event.body, "id", None) not in without]
    return sorted(name for name in (type(body).__name__ for body in bodies) if name != "ActivationStarted")


@pytest.mark.parametrize("file", LINES, **IDS)
def test_our_form_is_written_and_read_without_a_difference(file: Path) -> None:
    workflow_id, records = records_of(file)
    assert from_lines(to_lines(workflow_id, records)) == (workflow_id, records)


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    assert programs.changed is False
    yield
