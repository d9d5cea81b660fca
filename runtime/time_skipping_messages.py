"""Records of own clocks as the messages that users of Temporal's time skipping know, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .api.common.v1 import TimeSkippingConfig, TimeSkippingInfo
from .core.skipping import OwnClock, TimeSkipping
from .core.state import ExecutionState


def skipping_of(config: TimeSkippingConfig) -> TimeSkipping:
    """The record of a configuration.

    Raises:
        ValueError: it contradicts itself; the message says how.
    """
    forward = config.fast_forward_config
    length = forward.duration.ToTimedelta()
    if config.HasField("fast_forward_config"):
        if not config.enabled:
            raise ValueError("time_skipping_config: cannot set fast_forward when enabled is false")
        if length <= timedelta():
            raise ValueError("time_skipping_config: fast_forward must be positive")
        if not forward.id:
            raise ValueError("time_skipping_config: fast_forward_id must be set")
    if config.max_session_skip_count < 0:
        raise ValueError("time_skipping_config: max_session_skip_count must not be negative")
    return TimeSkipping(
        config.enabled,
        config.disable_propagation,
        config.max_session_skip_count,
        forward.id,
        length // timedelta(microseconds=1),
    )


def config_of(skipping: TimeSkipping) -> TimeSkippingConfig:
    """The configuration of a record."""
    config = TimeSkippingConfig(
        enabled=skipping.enabled,
        disable_propagation=skipping.disable_propagation,
        max_session_skip_count=skipping.skips_max,
    )
    if skipping.forward_id:
        config.fast_forward_config.id = skipping.forward_id
        config.fast_forward_config.duration.FromTimedelta(timedelta(microseconds=skipping.forward_us))
    return config


def info_of(state: ExecutionState, now_us: int) -> TimeSkippingInfo | None:
    """What is told of an execution's clock when the engine's shows `now_us`; None when it was never set."""
    clock = state.clock
    if clock is None:
        return None
    info = TimeSkippingInfo(current_session_skip_count=clock.skips)
    info.current_time.FromDatetime(_instant(now_us + state.skipped_us))
    config = info.effective_config
    config.enabled = clock.skipping.enabled
    config.disable_propagation = clock.skipping.disable_propagation
    config.max_session_skip_count = clock.skips_max
    _tell_forward(clock, info)
    return info


def _tell_forward(clock: OwnClock, info: TimeSkippingInfo) -> None:
    if clock.forward_until_us is None:
        return
    for message in (
        info.effective_config.fast_forward_config.duration,
        info.fast_forward_info.fast_forward_duration,
    ):
        message.FromTimedelta(timedelta(microseconds=clock.skipping.forward_us))
    info.effective_config.fast_forward_config.id = clock.skipping.forward_id
    forward = info.fast_forward_info
    forward.fast_forward_id = clock.skipping.forward_id
    forward.target_time.FromDatetime(_instant(clock.forward_until_us))
    forward.has_completed = clock.forward_reached


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)
