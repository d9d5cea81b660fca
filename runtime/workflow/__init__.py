"""What workflow code imports: ``from overwinter import workflow``.

The names, signatures and meanings are those of ``temporalio.workflow``; `docs/temporal.md` says what differs.
"""

from ..core.activities import ActivityCancellationType, ActivityHandle
from ..core.instance import ReadOnlyContext as ReadOnlyContextError
from ..core.loop import DeterminismViolation
from ..core.replay import HistoryDiverged as NondeterminismError
from ._activities import (
    ActivityConfig,
    execute_activity,
    execute_activity_class,
    execute_activity_method,
    start_activity,
    start_activity_class,
    start_activity_method,
)
from ._context import (
    Info,
    LoggerAdapter,
    ParentInfo,
    cancellation_reason,
    info,
    instance,
    logger,
    now,
    random,
    time,
    time_ns,
    unsafe,
    uuid4,
)
from ._continuing import ContinueAsNewError, continue_as_new
from ._current import in_workflow
from ._definition import defn, init, query, run, signal
from ._handlers import (
    get_dynamic_query_handler,
    get_dynamic_signal_handler,
    get_query_handler,
    get_signal_handler,
    set_dynamic_query_handler,
    set_dynamic_signal_handler,
    set_query_handler,
    set_signal_handler,
)
from ._waiting import as_completed, sleep, wait, wait_condition

__all__ = [
    "ActivityCancellationType",
    "ActivityConfig",
    "ActivityHandle",
    "ContinueAsNewError",
    "DeterminismViolation",
    "Info",
    "LoggerAdapter",
    "NondeterminismError",
    "ParentInfo",
    "ReadOnlyContextError",
    "as_completed",
    "cancellation_reason",
    "continue_as_new",
    "defn",
    "execute_activity",
    "execute_activity_class",
    "execute_activity_method",
    "get_dynamic_query_handler",
    "get_dynamic_signal_handler",
    "get_query_handler",
    "get_signal_handler",
    "in_workflow",
    "info",
    "init",
    "instance",
    "logger",
    "now",
    "query",
    "random",
    "run",
    "set_dynamic_query_handler",
    "set_dynamic_signal_handler",
    "set_query_handler",
    "set_signal_handler",
    "signal",
    "sleep",
    "start_activity",
    "start_activity_class",
    "start_activity_method",
    "time",
    "time_ns",
    "unsafe",
    "uuid4",
    "wait",
    "wait_condition",
]
