"""Testing workflows and activities: ``from overwinter.runtime.testing import WorkflowEnvironment``.

The names are those of ``temporalio.testing``. Everything runs in the process of the test, in memory; as many
environments as a test run wants live side by side.
"""

from ._activity import ActivityEnvironment
from ._timeskipping import TimeSkipper, TimeSkippingConfig
from ._workflow import WorkflowEnvironment

__all__ = ["ActivityEnvironment", "TimeSkipper", "TimeSkippingConfig", "WorkflowEnvironment"]
