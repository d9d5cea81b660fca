"""What clients ask of an engine: the port that they call, and the engine's side of it.

A client talks to a `Frontend` and to nothing else, so that all of its calls work the same way whether the engine is in
its process or in another one. Requests and answers are records of the core and of `records`; values stay payloads, which
the caller encodes and decodes.
"""

from .engine import EngineFrontend
from .port import Frontend
from .records import (
    ActivityById,
    ActivityCancelled,
    ActivityDetails,
    Begun,
    BegunWithUpdate,
    ConcurrencyStanding,
    CountedGroup,
    EventPage,
    ExecutionDetails,
    ExecutionPage,
    ExecutionSummary,
    PendingActivity,
    PendingChild,
    QueryFailed,
    QueryRejected,
    SchedulePage,
    ScheduleSnapshot,
    UpdateProgress,
    UpdateRejected,
)

__all__ = [
    "ActivityById",
    "ActivityCancelled",
    "ActivityDetails",
    "Begun",
    "BegunWithUpdate",
    "ConcurrencyStanding",
    "CountedGroup",
    "EngineFrontend",
    "EventPage",
    "ExecutionDetails",
    "ExecutionPage",
    "ExecutionSummary",
    "Frontend",
    "PendingActivity",
    "PendingChild",
    "QueryFailed",
    "QueryRejected",
    "SchedulePage",
    "ScheduleSnapshot",
    "UpdateProgress",
    "UpdateRejected",
]
