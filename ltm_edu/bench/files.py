"""Counting what masks hold, and drawing the miniature."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.emoji5i import PRESETS, draw_listed, generate
from ..datasets.voc import VocFolder
from ..store.errors import InputError
from ..store.pictures import VOID, read_mask
from .measuring import Row, Way, compare


def data_rows(masks: VocFolder, count: int, repeats: int = 3) -> Iterator[Row]:
    """Throughput of the index and of drawing, each against the plain way to write it.

    At most `count` masks are read; a tenth of it is drawn, at most 120 scenes.
    """

    def row(what: str, unit: str, number: int, plain: Way, ours: Way, note: str) -> Row:
        case, often = f"{what}, {number:,} {unit}", repeats if number < 5000 else 1
        compared = compare("data", case, (plain, ours), often)
        rate = number / compared.our_seconds
        note = f"{rate:,.0f} {unit} a second; plain: {note}"
        return replace(compared, sizes={"count": number, "a_second": rate}, note=note)

    names = masks.names("all")[:count]

    def class_by_class() -> np.ndarray:
        pixels = np.zeros((len(names), len(masks.classes)), np.int64)
        for counts, name in zip(pixels, names, strict=True):
            mask = read_mask(masks.mask_path(name))
            for c in np.unique(mask):
                if 0 < c < VOID:
                    counts[c - 1] = (mask == c).sum()
        return pixels

    def index() -> np.ndarray:
        return masks.count(names).pixels

    yield row("index", "masks", len(names), class_by_class, index, "np.unique, then ==")
    drawn = min(120, max(2, count // 10))
    with tempfile.TemporaryDirectory() as folder:
        turn = itertools.count()

        def in_turn() -> list[int]:
            sums = []
            for i in range(drawn):
                image, mask = draw_listed(0, 0, i, PRESETS["standard"])
                image.save(Path(folder) / f"{i}.jpg", quality=90)
                Image.fromarray(mask).save(Path(folder) / f"{i}.png")
                sums.append(int(mask.sum()))
            return sums

        def generated() -> list[int]:
            root = generate(Path(folder) / str(next(turn)), train=drawn, val=1, progress=False)
            scenes = VocFolder.open(root)
            return [int(scenes.mask(name).sum()) for name in scenes.names("train")]

        note = "one scene after another, one thread"
        yield row("emoji5i drawn", "scenes", drawn, in_turn, generated, note)


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
    raise InputError(f"{folder} holds no masks: name a folder of PNGs")
