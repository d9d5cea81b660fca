"""Workflows with clocks of their own, which skip: through a client that starts them so."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..api.common.v1 import FastForwardConfig as FastForwardMessage
from ..api.common.v1 import TimeSkippingConfig as TimeSkippingMessage
from ..api.common.v1 import TimeSkippingInfo
from ..client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from ..core.state import ExecutionState
from ..frontend.errors import translated
from ..requests import ForwardOvertaken
from ..time_skipping_messages import info_of, skipping_of


@dataclass(frozen=True)
class FastForwardConfig:
    """How far a workflow's clock shall skip from where it is, and then no further."""

    id: str
    duration: timedelta

    def _to_proto(self) -> FastForwardMessage:
        message = FastForwardMessage(id=self.id)
        message.duration.FromTimedelta(self.duration)
        return message


@dataclass(frozen=True)
class TimeSkippingConfig:
    """How a workflow's clock skips.

    Raises:
        ValueError: a fast-forward, and no skipping.
    """

    enabled: bool = True
    fast_forward_config: FastForwardConfig | None = None
    """None skips to the end of the workflow."""
    disable_propagation: bool = False
    """Its children begin with its time, but do not skip by themselves."""
    max_session_skip_count: int = 0
    """After so many skips it stops; 0 is 10,000."""

    def __post_init__(self) -> None:
        if not self.enabled and self.fast_forward_config is not None:
            raise ValueError("fast_forward_config cannot be set when enabled is False")

    def _to_proto(self) -> TimeSkippingMessage:
        message = TimeSkippingMessage(
            enabled=self.enabled,
            disable_propagation=self.disable_propagation,
            max_session_skip_count=self.max_session_skip_count,
        )
        if self.fast_forward_config is not None:
            message.fast_forward_config.CopyFrom(self.fast_forward_config._to_proto())  # noqa: SLF001 - of this module
        return message


_USUAL = TimeSkippingConfig()


class TimeSkipper:
    """A client like another, whose workflows have clocks of their own that skip. The other one is left as it is."""

    def __init__(self, client: Client, *, config: TimeSkippingConfig = _USUAL) -> None:
        self.config = config
        """What workflows are started with from now on."""
        self._on = True
        options = client.config()
        options["interceptors"] = [*options.get("interceptors", ()), _Starts(self)]
        self._client = Client(**options)

    @property
    def client(self) -> Client:
        """The client that starts workflows so."""
        return self._client

    def _stamp(self) -> TimeSkippingMessage | None:
        return self.config._to_proto() if self._on else None  # noqa: SLF001 - of this module

    @contextmanager
    def with_time_skipping_disabled(self) -> Generator[None]:
        """Within this block `client` starts workflows whose clocks do not skip; those that run go on as they do."""
        was_on, self._on = self._on, False
        try:
            yield
        finally:
            self._on = was_on

    async def fast_forward(
        self,
        handle: WorkflowHandle[Any, Any],
        duration: timedelta | float | None = None,
        /,
    ) -> bool:
        """Let a workflow's clock skip so far, and wait until it has; None skips to the end of the run.

        Returns whether it has come so far: False when the chain of runs ended before, and always for None.

        Raises:
            RuntimeError: another fast-forward of the workflow was asked for meanwhile.
            RPCError: there is no such open execution.
        """
        own_clocks = self._client.engine.own_clocks
        if duration is None:
            skipping = skipping_of(replace(self.config, enabled=True, fast_forward_config=None)._to_proto())  # noqa: SLF001 - of this module
            with translated():
                await own_clocks.change(handle.id, handle.run_id, skipping)
            async for _ in handle.fetch_history_events(wait_new_event=True):
                pass
            return False
        length = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
        forward = FastForwardConfig(str(uuid.uuid4()), length)
        skipping = skipping_of(replace(self.config, enabled=True, fast_forward_config=forward)._to_proto())  # noqa: SLF001 - as above
        try:
            with translated():
                return await own_clocks.fast_forward(handle.id, handle.run_id, skipping)
        except ForwardOvertaken as error:
            raise RuntimeError(str(error)) from None

    async def get_time_skipping_info(self, handle: WorkflowHandle[Any, Any]) -> TimeSkippingInfo | None:
        """What a workflow's clock shows, and whether it skips on; None when nobody has ever said that it should.

        Raises:
            RPCError: there is no such execution.
        """
        return info_of(await self._state(handle), self._client.engine.now_us())

    async def get_current_time(self, handle: WorkflowHandle[Any, Any]) -> datetime:
        """What a workflow's clock shows; raises as `get_time_skipping_info`."""
        now_us = self._client.engine.now_us() + (await self._state(handle)).skipped_us
        return datetime.fromtimestamp(now_us / 1_000_000, UTC)

    async def _state(self, handle: WorkflowHandle[Any, Any]) -> ExecutionState:
        engine = self._client.engine
        with translated():
            record = await engine.find(handle.id, handle.run_id)
            return (await engine.journal.history(record)).state


class _Starts(Interceptor):
    def __init__(self, skipper: TimeSkipper) -> None:
        self._skipper = skipper

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next, self._skipper)


class _Outbound(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, skipper: TimeSkipper) -> None:
        super().__init__(next)
        self._skipper = skipper

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        input.time_skipping_config = self._skipper._stamp() or input.time_skipping_config  # noqa: SLF001 - of this module
        return await super().start_workflow(input)

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        start = input.start_workflow_input
        start.time_skipping_config = self._skipper._stamp() or start.time_skipping_config  # noqa: SLF001 - of this module
        return await super().start_update_with_start_workflow(input)
