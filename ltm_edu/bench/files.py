"""Rows 5: reading masks and pictures, and drawing the miniature."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..datasets.emoji5i import PRESETS, draw_listed, generate
from ..datasets.voc import VocFolder
from ..geometry import image_tensor
from ..store.errors import InputError
from ..store.pictures import VOID, read_mask
from .measuring import Way, compare, relative_difference
from .rows import Row


def data_rows(
    masks: VocFolder, pictures: VocFolder, count: int, repeats: int = 3, size: int = 321
) -> Iterator[Row]:
    """Throughput of reading and drawing, each against the plain way to write it.

    At most `count` masks and pictures are read; a tenth of it is drawn, at most 120 scenes.
    """
    names = masks.names("all")[:count]
    some = replace(masks, splits={"some": names})

    def class_by_class() -> np.ndarray:
        pixels = np.zeros((len(names), len(some.classes)), np.int64)
        for row, name in zip(pixels, names, strict=True):
            mask = read_mask(some.mask_path(name))
            for c in np.unique(mask):
                if 0 < c < VOID:
                    row[c - 1] = (mask == c).sum()
        return pixels

    ways = class_by_class, lambda: some.index("some").pixels
    yield _throughput("index", "masks", len(names), ways, repeats, "plain: np.unique, then ==")

    shown = pictures.names("all")[:count]

    def at_full_size() -> np.ndarray:
        means = []
        for name in shown:
            pixels = torch.from_numpy(np.array(pictures.image(name), np.float32) / 255)[None]
            square = F.interpolate(
                pixels.permute(0, 3, 1, 2), (size, size), mode="bilinear", antialias=True
            )
            means.append(square.mean().item())
        return np.array(means)

    def as_bytes() -> np.ndarray:
        return np.array([image_tensor(pictures.image(n), size).mean().item() for n in shown])

    what, note = f"decode + resize to {size}", "plain: to floats at full size first"
    yield _throughput(what, "pictures", len(shown), (at_full_size, as_bytes), repeats, note)

    drawn = min(120, max(2, count // 10))
    with tempfile.TemporaryDirectory() as folder:
        turn = itertools.count()

        def in_turn() -> np.ndarray:
            found = []
            for i in range(drawn):
                image, mask = draw_listed(0, 0, i, PRESETS["standard"])
                image.save(Path(folder) / f"{i}.jpg", quality=90)
                Image.fromarray(mask).save(Path(folder) / f"{i}.png")
                found.append(int(mask.sum()))
            return np.array(found)

        def generated() -> np.ndarray:
            root = Path(folder) / str(next(turn))
            made = VocFolder.open(generate(root, train=drawn, val=1, progress=False))
            return np.array([int(made.mask(name).sum()) for name in made.names("train")])

        ways, note = (in_turn, generated), "plain: one scene after another, one thread"
        yield _throughput("emoji5i drawn", "scenes", drawn, ways, repeats, note)


def _throughput(
    what: str, unit: str, count: int, ways: Sequence[Way], repeats: int, note: str
) -> Row:
    """A row about `count` things; the ways return an array to compare."""
    apart = relative_difference(*(torch.from_numpy(way()) for way in ways))
    seconds = compare(*ways, repeats if count < 5000 else 1)
    rate = count / seconds[1]
    sizes = {"count": count, "a_second": rate}
    note = f"{rate:,.0f} {unit} a second; {note}"
    return Row("data", f"{what}, {count:,} {unit}", *seconds, apart, sizes=sizes, note=note)


class _MaskFolder(VocFolder):
    """Masks alone, in any folder."""

    def mask_path(self, name: str) -> Path:
        """The mask's file."""
        return self.root / f"{name}.png"


def open_masks(folder: Path) -> VocFolder:
    """A folder of mask PNGs, or one in VOC's layout whose pictures may be missing.

    Raises:
        InputError: there are none.
    """
    for place in (folder / "SegmentationClassAug", folder / "SegmentationClass", folder):
        names = tuple(sorted(p.stem for p in place.glob("*.png")))
        if names:
            return _MaskFolder(place, tuple(map(str, range(1, 255))), {"all": names})
    raise InputError(f"{folder} holds no masks: --masks takes a folder of PNGs")
