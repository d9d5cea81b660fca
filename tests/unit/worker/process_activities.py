"""Activities that run in child processes, which find them by this module's name."""

from __future__ import annotations

from overwinter import activity


@activity.defn(no_thread_cancel_exception=True)
def wait_for_shutdown() -> str:
    """Says what it sees when its worker begins to stop."""
    activity.wait_for_worker_shutdown_sync(20)
    return f"shutdown {activity.is_worker_shutdown()}, cancelled {activity.is_cancelled()}"


@activity.defn(no_thread_cancel_exception=True)
def wait_for_cancellation() -> str:
    """Says why it was cancelled."""
    activity.wait_for_cancelled_sync(20)
    details = activity.cancellation_details()
    return f"cancelled by the shutdown: {details is not None and details.worker_shutdown}"
