"""Updates as Temporal's histories keep them."""

from __future__ import annotations

from typing import ClassVar

from ..common.v1 import Header, Payloads, WorkflowExecution
from ..enums.v1 import UpdateWorkflowExecutionLifecycleStage
from ..failure.v1 import Failure
from ..message import Message


class Request(Message):
    """An update as it was asked for."""

    meta: Meta
    input: Input
    request_id: str


class Meta(Message):
    """Which update, and who asked."""

    update_id: str
    identity: str


class Input(Message):
    """What its handler is called with."""

    header: Header
    name: str
    args: Payloads


class Outcome(Message):
    """How the handler of an update ended."""

    success: Payloads
    failure: Failure

    ONEOFS: ClassVar = {
        "value": (
            "success",
            "failure",
        )
    }


class UpdateRef(Message):
    """An update of a run."""

    workflow_execution: WorkflowExecution
    update_id: str


class WaitPolicy(Message):
    """How far an update shall have come before a call answers."""

    lifecycle_stage: UpdateWorkflowExecutionLifecycleStage
