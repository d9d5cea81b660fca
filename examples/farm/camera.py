"""The camera round: check the frames, encode them, read the ear tags, tell who was seen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overwinter import activity, messages, workflow
from overwinter.gpu import FrameRefused, ReferenceRefused, Spool, decode_frame
from overwinter.gpu.activities import EncodeRequest, EncodeResult, FrameActivities
from overwinter.runtime.common import RetryPolicy

from .readings import Frame, FrameReport

if TYPE_CHECKING:
    from .vision import TextReader

SPOOL_VARIABLE = "FARM_SPOOL"
TRY_THREE_TIMES = RetryPolicy(maximum_attempts=3)
WORK_AT_MOST = timedelta(minutes=2)
SILENT_AT_MOST = timedelta(seconds=30)


@dataclass
class Tag:
    """The number on an ear tag in a frame; `score` is the reader's own certainty, 0 to 1."""

    frame: str
    number: str
    score: float


@dataclass
class CheckedFrames:
    """Which frames are what the camera reported, and why the others are not used."""

    sound: list[str]
    refused: dict[str, str]


@dataclass
class Round:
    """What one round has brought."""

    field: str
    tags: list[Tag]
    jpeg_bytes: int
    refused: dict[str, str]


@workflow.defn
class CameraRound:
    """Looks through the frames of one report. Pixels stay in the spool; only their names travel."""

    @workflow.run
    async def run(self, report: FrameReport) -> Round:
        """Check, encode, read; then publish what was seen."""
        checked = await workflow.execute_activity(
            check_frames,
            report.frames,
            start_to_close_timeout=WORK_AT_MOST,
            retry_policy=TRY_THREE_TIMES,
        )
        if not checked.sound:
            return Round(report.field, [], 0, checked.refused)
        encoded: EncodeResult = await workflow.execute_activity_method(
            FrameActivities.encode_frames,
            EncodeRequest(frames=checked.sound, quality=80, side_max=640),
            start_to_close_timeout=WORK_AT_MOST,
            heartbeat_timeout=SILENT_AT_MOST,
            retry_policy=TRY_THREE_TIMES,
        )
        tags = await workflow.execute_activity(
            read_tags,
            checked.sound,
            start_to_close_timeout=WORK_AT_MOST,
            heartbeat_timeout=SILENT_AT_MOST,
            retry_policy=TRY_THREE_TIMES,
        )
        refused = checked.refused | {frame.frame: frame.reason for frame in encoded.refused}
        seen = Round(report.field, tags, sum(frame.bytes for frame in encoded.encoded), refused)
        messages.publish(
            f"farm/{report.field}/camera/seen",
            {"serial": report.serial, "tags": [tag.number for tag in tags], "refused": len(refused)},
        )
        return seen


@activity.defn
def check_frames(frames: list[Frame]) -> CheckedFrames:
    """Compare each frame in the spool with its reported checksum and shape."""
    checked = CheckedFrames(sound=[], refused={})
    for frame in frames:
        reason = _reason_to_refuse(frame)
        if reason is None:
            checked.sound.append(frame.name)
        else:
            checked.refused[frame.name] = reason
    return checked


@activity.defn
def read_tags(frames: list[str]) -> list[Tag]:
    """Read the ear tags; a repeated attempt goes on after the last frame that a heartbeat has reported."""
    seen, done = _progress_of_last_attempt()
    for position, name in enumerate(frames[done:], start=done + 1):
        line = _reader().read_number(decode_frame(spool().read(name)))
        if line is not None:
            seen.append(Tag(name, line.text, round(line.score, 3)))
        activity.heartbeat(position, [[tag.frame, tag.number, tag.score] for tag in seen])
    return seen


def _progress_of_last_attempt() -> tuple[list[Tag], int]:
    details = activity.info().heartbeat_details
    if not details:
        return [], 0
    done, seen = details
    return [Tag(*tag) for tag in seen], int(done)


def _reason_to_refuse(frame: Frame) -> str | None:
    try:
        data = spool().read(frame.name)
        if hashlib.sha256(data).hexdigest() != frame.sha256:
            return "the file is not the one that the camera reported: its sha256 differs"
        shape = list(decode_frame(data).shape)
    except (FrameRefused, ReferenceRefused) as error:
        return str(error)
    return None if shape == frame.shape else f"shape {shape}, the camera reported {frame.shape}"


@cache
def spool() -> Spool:
    """The folder that camera and gateway share: `$FARM_SPOOL`, or `.farm/spool` here."""
    folder = Path(os.environ.get(SPOOL_VARIABLE, ".farm/spool"))
    folder.mkdir(parents=True, exist_ok=True)
    return Spool(folder.resolve())


def ACTIVITIES() -> list[Callable[..., Any]]:  # noqa: N802 - the name by which a gateway finds it
    """The ready-made activities that the round uses, on the farm's spool; the gateway calls this once."""
    return [FrameActivities(spool()).encode_frames]


@cache
def _reader() -> TextReader:
    from .vision import TextReader  # loads ONNX Runtime: only the first round pays for it

    return TextReader.from_package()
