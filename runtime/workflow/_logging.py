"""The logger of workflow code."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from ..core.instance import Instance, current_update
from ..core.loop import running_workflow_loop
from ._context import info


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Logs from workflow code: silent in replay, and says which execution speaks."""

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.workflow_info_on_message = True
        self.workflow_info_on_extra = True
        self.full_workflow_info_on_extra = False
        self.log_during_replay = False
        self.disable_sandbox = False

    @property
    def base_logger(self) -> logging.Logger:
        """The logger that this one adds to."""
        return self.logger

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the execution's identity."""
        loop = running_workflow_loop()
        if loop is None:
            return msg, kwargs
        details = info()
        identity = details._logger_details()  # noqa: SLF001 - of this module
        update = current_update.get()
        if update is not None:
            identity |= {"update_id": update[0], "update_name": update[1]}
        extra: dict[str, Any] = dict(self.extra or {})
        if self.workflow_info_on_extra:
            extra["temporal_workflow"] = identity
        if self.full_workflow_info_on_extra:
            extra["workflow_info"] = details
        kwargs["extra"] = extra | dict(kwargs.get("extra") or {})
        return (f"{msg} ({identity})" if self.workflow_info_on_message else msg), kwargs

    def log(self, level: int, msg: object, *args: Any, stacklevel: int = 1, **kwargs: Any) -> None:
        """Write a record, with the caller's line."""
        super().log(level, msg, *args, stacklevel=stacklevel + 1, **kwargs)

    def unsafe_disable_sandbox(self, value: bool = True) -> None:
        """Nothing to do: handlers may always do what workflow code may not, such as writing files."""
        self.disable_sandbox = value

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name of the standard library
        """Whether a record would be written: not for what an earlier life of this execution has logged."""
        loop = running_workflow_loop()
        if loop is not None and not self.log_during_replay:
            owner = loop.owner
            if isinstance(owner, Instance) and owner.replaying and not owner.read_only:
                return False
        return super().isEnabledFor(level)


logger = LoggerAdapter(logging.getLogger("overwinter.workflow"), None)
"""The logger of workflow code."""
