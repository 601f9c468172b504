"""Reading masks and pictures, and drawing the miniature."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
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
from .measuring import Row, Way, compare, relative_difference


def data_rows(
    masks: VocFolder, pictures: VocFolder, count: int, repeats: int = 3, size: int = 321
) -> Iterator[Row]:
    """Throughput of reading and drawing, each against the plain way to write it.

    At most `count` masks and pictures are read; a tenth of it is drawn, at most 120 scenes.
    """

    def row(what: str, unit: str, number: int, plain: Way, ours: Way, note: str) -> Row:
        apart = relative_difference(*(torch.as_tensor(way()) for way in (plain, ours)))
        seconds = compare(plain, ours, repeats if number < 5000 else 1)
        rate = number / seconds[1]
        note = f"{rate:,.0f} {unit} a second; plain: {note}"
        sizes = {"count": number, "a_second": rate}
        case = f"{what}, {number:,} {unit}"
        return Row("data", case, *seconds, apart, sizes=sizes, note=note)

    names = masks.names("all")[:count]
    some = replace(masks, splits={"some": names})

    def class_by_class() -> np.ndarray:
        pixels = np.zeros((len(names), len(some.classes)), np.int64)
        for counts, name in zip(pixels, names, strict=True):
            mask = read_mask(some.mask_path(name))
            for c in np.unique(mask):
                if 0 < c < VOID:
                    counts[c - 1] = (mask == c).sum()
        return pixels

    def index() -> np.ndarray:
        return some.index("some").pixels

    yield row("index", "masks", len(names), class_by_class, index, "np.unique, then ==")
    shown = pictures.names("all")[:count]

    def at_full_size() -> list[float]:
        means = []
        for name in shown:
            pixels = torch.from_numpy(np.array(pictures.image(name), np.float32) / 255)[None]
            square = F.interpolate(
                pixels.permute(0, 3, 1, 2), (size, size), mode="bilinear", antialias=True
            )
            means.append(square.mean().item())
        return means

    def as_bytes() -> list[float]:
        return [image_tensor(pictures.image(n), size).mean().item() for n in shown]

    what, note = f"decode + resize to {size}", "to floats at full size first"
    yield row(what, "pictures", len(shown), at_full_size, as_bytes, note)
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
