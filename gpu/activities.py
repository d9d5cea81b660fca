"""Ready-made activities on frames: encode them, classify them.

A workflow passes references to files in the spool, never pixels. One bad frame does not fail its request: it
is listed as refused, with the reason, and the others go on. A bad request fails without retries, since
repeating cannot mend it.

Wire them up where the worker is made::

    frames = FrameActivities(Spool(Path("/var/lib/overwinter/spool")), classifiers={"upright": classifier})
    Worker(..., activities=[frames.encode_frames, frames.classify_frames])
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from overwinter.runtime import activity
from overwinter.runtime.exceptions import ApplicationError

from .classify import Classifier, Label
from .device import Device, select_device
from .encode import check_quality, encode_jpeg
from .frames import FrameRefused, complexity, decode_frame, resize
from .spool import ReferenceRefused, Spool

FRAMES_MAX = 256
"""The most frames in one request: it bounds the heartbeat details, which carry the results so far."""

_ENCODED_FOLDER = "encoded"


@dataclass(frozen=True)
class EncodeRequest:
    """`frames` are references to JPEG or PNG files. A frame larger than `side_max` pixels is shrunk to it."""

    frames: list[str]
    quality: int = 85
    side_max: int = 1280
    measure: bool = False


@dataclass(frozen=True)
class EncodedFrame:
    """`encoded` is the reference of the JPEG. `complexity` is 0 to 255; `psnr_db` is None unless measured."""

    frame: str
    encoded: str
    bytes: int
    height: int
    width: int
    complexity: float
    psnr_db: float | None


@dataclass(frozen=True)
class RefusedFrame:
    """`reason` is a code of `FrameRefused` or `ReferenceRefused`."""

    frame: str
    reason: str
    message: str


@dataclass(frozen=True)
class EncodeResult:
    """Every frame of the request is in exactly one of the two lists, in the order of the request."""

    encoded: list[EncodedFrame]
    refused: list[RefusedFrame]


@dataclass(frozen=True)
class ClassifyRequest:
    """`classifier` is a name under which the gateway has set one up."""

    frames: list[str]
    classifier: str


@dataclass(frozen=True)
class ClassifiedFrame:
    """`labels` has every label of the classifier, the likeliest first."""

    frame: str
    labels: list[Label]


@dataclass(frozen=True)
class ClassifyResult:
    """Every frame of the request is in exactly one of the two lists, in the order of the request."""

    classified: list[ClassifiedFrame]
    refused: list[RefusedFrame]


_Outcome = TypeVar("_Outcome", bound=EncodedFrame | ClassifiedFrame)


def _cpu() -> Device:
    return select_device("off")


@dataclass(frozen=True)
class FrameActivities:
    """The activities with what they work on. They are synchronous: a worker runs them in threads."""

    spool: Spool
    device: Device = field(default_factory=_cpu)
    classifiers: Mapping[str, Classifier] = field(default_factory=dict[str, Classifier])

    @activity.defn
    def encode_frames(self, request: EncodeRequest) -> EncodeResult:
        """Each frame as a JPEG in the spool's folder ``encoded``.

        The file is named by the frame's bytes and the settings, so that a repeated attempt writes the same
        names. A retry goes on after the last frame that a heartbeat of an earlier attempt has reported.
        """
        try:
            check_quality(request.quality)
        except ValueError as error:
            raise _bad_request(str(error)) from error
        if request.side_max < 8:
            raise _bad_request(f"side_max is {request.side_max}, expected at least 8 pixels")
        encoded, refused = _each_frame(
            request.frames, lambda reference: self._encode(reference, request), self._encoded_before
        )
        return EncodeResult(encoded, refused)

    @activity.defn
    def classify_frames(self, request: ClassifyRequest) -> ClassifyResult:
        """The labels of each frame. A retry goes on after the last frame that a heartbeat has reported."""
        classifier = self.classifiers.get(request.classifier)
        if classifier is None:
            known = ", ".join(sorted(self.classifiers)) or "none"
            raise _bad_request(f"unknown classifier {request.classifier!r}; set up are: {known}")
        classified, refused = _each_frame(
            request.frames,
            lambda reference: ClassifiedFrame(
                reference, classifier.classify(decode_frame(self.spool.read(reference)))
            ),
            _classified_before,
        )
        return ClassifyResult(classified, refused)

    def _encode(self, reference: str, request: EncodeRequest) -> EncodedFrame:
        data = self.spool.read(reference)
        frame = self.device.to_device(decode_frame(data))
        height, width = _fit(frame.shape[0], frame.shape[1], request.side_max)
        if (height, width) != frame.shape[:2]:
            frame = resize(frame, height, width, self.device.xp)
        image = encode_jpeg(self.device.to_host(frame), quality=request.quality, measure=request.measure)
        target = _encoded_name(data, request)
        self.spool.store(target, image.data)
        return EncodedFrame(
            frame=reference,
            encoded=target,
            bytes=len(image.data),
            height=height,
            width=width,
            complexity=complexity(frame, self.device.xp),
            psnr_db=image.psnr_db,
        )

    def _encoded_before(self, stored: Mapping[str, Any]) -> EncodedFrame | None:
        outcome = EncodedFrame(**stored)
        return outcome if self.spool.holds(outcome.encoded) else None


def _each_frame(
    references: Sequence[str],
    work: Callable[[str], _Outcome],
    restore: Callable[[Mapping[str, Any]], _Outcome | None],
) -> tuple[list[_Outcome], list[RefusedFrame]]:
    """`work` on each frame that no earlier attempt has reported, with a heartbeat after each.

    A heartbeat carries ``{"done": [...], "refused": [...]}``, all outcomes so far: their number is the index
    to go on from.
    """
    if not 1 <= len(references) <= FRAMES_MAX:
        raise _bad_request(f"the request has {len(references)} frames, expected 1 to {FRAMES_MAX}")
    done, refused = _reported_before(restore)
    reported = {outcome.frame for outcome in (*done, *refused)}
    for reference in dict.fromkeys(references):
        if reference in reported:
            continue
        try:
            done.append(work(reference))
        except (FrameRefused, ReferenceRefused) as error:
            refused.append(RefusedFrame(reference, error.reason, str(error)))
        activity.heartbeat(_report(done, refused))
    order = {reference: index for index, reference in enumerate(references)}
    # A reported frame whose file has gone was done again, after those that came later in the request.
    done.sort(key=lambda outcome: order[outcome.frame])
    return done, refused


def _report(done: Sequence[_Outcome], refused: Sequence[RefusedFrame]) -> dict[str, list[dict[str, Any]]]:
    return {"done": [asdict(outcome) for outcome in done], "refused": [asdict(frame) for frame in refused]}


def _reported_before(
    restore: Callable[[Mapping[str, Any]], _Outcome | None],
) -> tuple[list[_Outcome], list[RefusedFrame]]:
    details = activity.info().heartbeat_details
    if not details:
        return [], []
    restored = [restore(stored) for stored in details[0]["done"]]
    refused = [RefusedFrame(**stored) for stored in details[0]["refused"]]
    return [outcome for outcome in restored if outcome is not None], refused


def _classified_before(stored: Mapping[str, Any]) -> ClassifiedFrame:
    return ClassifiedFrame(stored["frame"], [Label(**label) for label in stored["labels"]])


def _encoded_name(data: bytes, request: EncodeRequest) -> str:
    digest = hashlib.sha256(data).hexdigest()
    return f"{_ENCODED_FOLDER}/{digest}-q{request.quality}-s{request.side_max}.jpg"


def _fit(height: int, width: int, side_max: int) -> tuple[int, int]:
    """The size with the same proportions whose longer side is at most `side_max`."""
    longer = max(height, width)
    if longer <= side_max:
        return height, width
    return max(8, round(height * side_max / longer)), max(8, round(width * side_max / longer))


def _bad_request(message: str) -> ApplicationError:
    return ApplicationError(message, type="BadRequest", non_retryable=True)
