"""Photographs for the simulated camera, and an ear tag held into them.

The photographs are those inside the scikit-image package; nothing is downloaded. The tag is drawn, tilted and
blurred a little: the reader in `vision.py` knows neither where it is nor what is on it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

PHOTOGRAPHS = ("chelsea.png", "coffee.png", "astronaut.png", "motorcycle_left.png", "rocket.jpg")


def photograph(name: str) -> Path:
    """The path of one of the package's pictures; also ``page.png``, a scanned page of print."""
    return Path(str(files("skimage") / "data" / name))


def with_ear_tag(picture: Image.Image, text: str, *, tilt_degrees: float = 4.0) -> Image.Image:
    """`picture` in RGB with a yellow tag in its lower left quarter that says `text`."""
    tag = _tag(text).rotate(tilt_degrees, Image.Resampling.BICUBIC, expand=True)
    scene = picture.convert("RGB")
    width = min(scene.width // 2, tag.width)
    tag = tag.resize((width, round(tag.height * width / tag.width)), Image.Resampling.LANCZOS)
    tag = tag.filter(ImageFilter.GaussianBlur(0.6))
    scene.paste(tag, (scene.width // 20, scene.height - tag.height - scene.height // 10), tag)
    return scene


def _tag(text: str) -> Image.Image:
    font = ImageFont.load_default(40)
    left, top, right, bottom = font.getbbox(text)
    tag = Image.new("RGBA", (round(right - left) + 48, round(bottom - top) + 44))
    draw = ImageDraw.Draw(tag)
    draw.rounded_rectangle((0, 0, tag.width - 1, tag.height - 1), 14, fill=(250, 205, 40, 255))
    draw.text((24 - left, 22 - top), text, font=font, fill=(25, 20, 10, 255))
    return tag
