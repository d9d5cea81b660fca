"""Histories of each engine replay on the other, with the code that made them and with no other."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .engines import FILE_S, START_S, EngineProcess

Engines = Callable[[str], EngineProcess]

pytestmark = pytest.mark.timeout(2 * (START_S + 3 * FILE_S))

OTHER_CLIENTS = {
    "contexts": "its clients have converters of their own, and queues",
    "changing": "the code of its executions changes, and each has a queue of its own",
    "schedules": "it compares no runs",
    "standalone": "it has no workflows",
}
FILES = sorted(
    path.stem
    for path in (Path(__file__).parent / "cases").glob("*.py")
    if path.stem not in ("__init__", *OTHER_CLIENTS)
)
NOT_SAID = {"local-cancelled_in_its_step": "what is withdrawn in the step that asked for it is in no history"}
"""Workflow ids whose histories here lack what Temporal writes."""


@pytest.mark.parametrize("file", FILES)
def test_our_histories_are_messages_of_temporals_protocol(overwinter: Engines, file: str) -> None:
    json_format = pytest.importorskip("google.protobuf.json_format")
    from temporalio.api.history.v1 import History

    for found in overwinter("cases").histories(file):
        history = {"events": found["events"]}
        assert json_format.MessageToDict(json_format.ParseDict(history, History())) == history


@pytest.mark.parametrize("file", FILES)
def test_our_histories_replay_with_temporals_sdk(temporal: Engines, overwinter: Engines, file: str) -> None:
    found = overwinter("cases").histories(file)
    assert found
    misfits = temporal("cases").replayed(file, found)
    assert {key: why for key, why in misfits.items() if key not in NOT_SAID} == {}
    assert set(NOT_SAID) & {history["workflow_id"] for history in found} <= set(misfits), "said after all"


@pytest.mark.parametrize("file", FILES)
def test_our_histories_replay_here_when_they_come_back(overwinter: Engines, file: str) -> None:
    assert overwinter("cases").replayed(file, overwinter("cases").histories(file)) == {}


@pytest.mark.parametrize("file", FILES)
def test_temporals_histories_replay_here(temporal: Engines, overwinter: Engines, file: str) -> None:
    found = temporal("cases").histories(file)
    assert found
    assert overwinter("cases").replayed(file, found) == {}


@pytest.mark.parametrize("file", ["cancellation", "children", "local_activities", "timeouts", "whole"])
def test_a_history_of_other_code_is_noticed_by_both(
    temporal: Engines, overwinter: Engines, file: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    source = random.Random(seed)
    for made_by in (overwinter, temporal):
        changed = [
            other for one in made_by("cases").histories(file) if (other := _of_other_code(one, source))
        ]
        assert changed
        ids = {history["workflow_id"] for history in changed}
        assert set(overwinter("cases").replayed(file, changed)) == ids
        assert set(temporal("cases").replayed(file, changed)) == ids


_NAMES = {
    "activityTaskScheduledEventAttributes": "activityType",
    "startChildWorkflowExecutionInitiatedEventAttributes": "workflowType",
}


def _of_other_code(history: dict[str, Any], source: random.Random) -> dict[str, Any] | None:
    """The history with another activity or child in it; None when it has none."""
    changed = copy.deepcopy(history)
    asked = [(event, key) for event in changed["events"] for key in _NAMES if key in event]
    if not asked:
        return None
    event, key = source.choice(asked)
    event[key][_NAMES[key]]["name"] += "_of_other_code"
    return changed
