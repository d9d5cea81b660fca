"""What is accepted as a frame, and what is measured of it, on real photographs."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="the extra gpu is not installed")
Image = pytest.importorskip("PIL.Image", reason="the extra gpu is not installed")

from overwinter.gpu import FrameBounds, FrameRefused, check_frame, decode_frame, encode_jpeg
from overwinter.gpu.encode import PSNR_MAX_DB, psnr
from overwinter.gpu.frames import complexity, difference, luma, resize


def refusal(frame: Any, bounds: FrameBounds | None = None) -> str:
    with pytest.raises(FrameRefused) as caught:
        check_frame(frame, bounds or FrameBounds())
    return caught.value.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def test_a_photograph_is_accepted(chelsea: Any) -> None:
    check_frame(chelsea)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (None, "not_an_array"),
        ([[[1, 2, 3]]], "not_an_array"),
        (np.zeros((64, 64), np.uint8), "shape"),
        (np.zeros((64, 64, 4), np.uint8), "shape"),
        (np.zeros((0, 64, 3), np.uint8), "empty"),
        (np.zeros((64, 7, 3), np.uint8), "too_small"),
        (np.broadcast_to(np.uint8(0), (8193, 64, 3)), "too_large"),
        (np.broadcast_to(np.uint8(0), (8000, 8000, 3)), "too_large"),
        (np.zeros((64, 64, 3), np.uint16), "dtype"),
        (np.zeros((64, 64, 3), np.float32), "dtype"),
        (np.full((64, 64, 3), np.nan), "not_a_number"),
    ],
)
def test_what_is_not_a_frame_is_refused_with_its_reason(frame: Any, reason: str) -> None:
    assert refusal(frame) == reason


def test_bounds_are_settings() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)

    assert refusal(frame, FrameBounds(side_max=63)) == "too_large"
    assert refusal(frame, FrameBounds(pixels_max=64 * 64 - 1)) == "too_large"
    assert refusal(frame, FrameBounds(side_min=65)) == "too_small"


def test_a_picture_file_decodes_to_the_same_pixels_as_pillow_gives(pictures: Path) -> None:
    for name in ("chelsea.png", "rocket.jpg", "camera.png"):
        with Image.open(pictures / name) as image:
            expected = np.asarray(image.convert("RGB"))
        assert np.array_equal(decode_frame((pictures / name).read_bytes()), expected)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\xff\xd8\xff", bytes(1000), b"\x89PNG\r\n\x1a\n" + bytes(64)]
)
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(FrameRefused) as caught:
        decode_frame(data)

    assert caught.value.reason == "not_an_image"


@pytest.mark.parametrize("name", ["rocket.jpg", "chelsea.png"])
def test_a_truncated_picture_is_refused_as_corrupt(pictures: Path, name: str) -> None:
    data = (pictures / name).read_bytes()

    with pytest.raises(FrameRefused) as caught:
        decode_frame(data[: len(data) // 2])

    assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("name", ["rocket.jpg", "chelsea.png"])
def test_a_damaged_picture_gives_a_frame_or_a_refusal_and_nothing_else(pictures: Path, name: str) -> None:
    seed = 20261124
    random = np.random.default_rng(seed)
    data = (pictures / name).read_bytes()
    for _ in range(40):
        damaged = bytearray(data)
        for position in random.integers(0, len(data), 8):
            damaged[position] = random.integers(256)
        try:
            check_frame(decode_frame(bytes(damaged)))
        except FrameRefused as refused:
            assert refused.reason in {"not_an_image", "corrupt", "too_large", "too_small", "empty", "mode"}


@pytest.mark.parametrize(("width", "height"), [(8193, 64), (10_000, 10_000), (30_000, 30_000)])
def test_a_picture_that_announces_too_many_pixels_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(FrameRefused) as caught:
        decode_frame(png_header(width, height))

    assert caught.value.reason == "too_large"


def test_a_picture_with_16_bits_a_channel_is_refused_rather_than_cut_off() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64), 40_000, np.uint16)).save(buffer, "PNG")

    with pytest.raises(FrameRefused) as caught:
        decode_frame(buffer.getvalue())

    assert caught.value.reason == "mode"


def test_area_resize_agrees_with_pillows_box_filter(chelsea: Any) -> None:
    for height, width in [(150, 451), (100, 100), (37, 203), (300, 451), (8, 8)]:
        expected = np.asarray(Image.fromarray(chelsea).resize((width, height), Image.Resampling.BOX))
        found = resize(chelsea, height, width, np)
        error = np.abs(found.astype(int) - expected.astype(int))
        # Pillow gives a source pixel wholly to one side of a border: equal everywhere at whole ratios only.
        assert found.shape == (height, width, 3)
        assert error.mean() < 1.5
        if 300 % height == 0 and 451 % width == 0:
            assert error.max() <= 1


def test_area_resize_keeps_the_mean_brightness(coffee: Any) -> None:
    for height, width in [(200, 300), (123, 77), (11, 13)]:
        assert abs(resize(coffee, height, width, np).mean() - coffee.mean()) < 0.6


def test_bilinear_enlarging_agrees_with_pillow(chelsea: Any) -> None:
    patch = chelsea[100:140, 150:200]
    for height, width in [(80, 100), (97, 131), (40, 50)]:
        expected = np.asarray(Image.fromarray(patch).resize((width, height), Image.Resampling.BILINEAR))
        assert np.abs(resize(patch, height, width, np, "bilinear").astype(int) - expected).max() <= 1


def test_a_frame_resized_to_its_own_size_is_unchanged(chelsea: Any) -> None:
    for method in ("area", "bilinear"):
        assert np.array_equal(resize(chelsea, 300, 451, np, method), chelsea)


def test_resizing_to_nothing_is_an_error(chelsea: Any) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        resize(chelsea, 0, 10, np)


def test_luma_agrees_with_pillows_greyscale(chelsea: Any) -> None:
    expected = np.asarray(Image.fromarray(chelsea).convert("L"), np.float32)

    assert np.abs(luma(chelsea, np) - expected).max() <= 1


def test_a_still_picture_has_no_difference_and_a_moved_one_has(chelsea: Any) -> None:
    brighter = np.minimum(chelsea, 245) + np.uint8(10)

    assert difference(chelsea, chelsea, np) == 0
    assert difference(chelsea, brighter, np) == pytest.approx(10, abs=0.1)
    assert difference(chelsea, np.roll(chelsea, 20, axis=1), np) > 3


def test_frames_of_two_sizes_cannot_be_compared(chelsea: Any, coffee: Any) -> None:
    with pytest.raises(FrameRefused):
        difference(chelsea, coffee, np)


def test_complexity_orders_pictures_as_their_encoded_size_does(chelsea: Any) -> None:
    flat = np.full_like(chelsea, 90)
    soft = np.asarray(Image.fromarray(chelsea).resize((45, 30)).resize((451, 300)))
    noisy = np.random.default_rng(7).integers(0, 256, chelsea.shape, dtype=np.uint8)
    frames = [flat, soft, chelsea, noisy]

    values = [complexity(frame, np) for frame in frames]
    sizes = [len(encode_jpeg(frame).data) for frame in frames]

    assert values[0] == 0
    assert values == sorted(values) and sizes == sorted(sizes)


def test_an_encoded_photograph_decodes_close_to_the_original(chelsea: Any) -> None:
    small, large = (encode_jpeg(chelsea, quality=quality, measure=True) for quality in (40, 95))

    assert decode_frame(large.data).shape == chelsea.shape == (large.height, large.width, 3)
    assert len(small.data) < len(large.data) < chelsea.nbytes / 4
    assert small.psnr_db is not None and large.psnr_db is not None
    assert 28 < small.psnr_db < large.psnr_db < PSNR_MAX_DB


def test_the_same_frame_and_quality_give_the_same_bytes(chelsea: Any) -> None:
    assert encode_jpeg(chelsea) == encode_jpeg(chelsea.copy())
    assert encode_jpeg(chelsea).psnr_db is None


@pytest.mark.parametrize("quality", [0, 96, -1])
def test_a_quality_out_of_range_is_refused(chelsea: Any, quality: int) -> None:
    with pytest.raises(ValueError, match="1 to 95"):
        encode_jpeg(chelsea, quality=quality)


def test_what_is_not_a_frame_is_not_encoded() -> None:
    with pytest.raises(FrameRefused):
        encode_jpeg(np.zeros((64, 64, 3), np.float64))


def test_psnr_follows_its_definition() -> None:
    black = np.zeros((16, 16, 3), np.uint8)

    assert psnr(black, black) == PSNR_MAX_DB
    assert psnr(black, black + np.uint8(255)) == pytest.approx(0)
    assert psnr(black, black + np.uint8(16)) == pytest.approx(20 * np.log10(255 / 16))
