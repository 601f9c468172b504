"""Any folder in VOC's layout: pictures, palette masks, lists of names.

- JPEGImages/NAME.jpg: the pictures
- SegmentationClass/NAME.png: 0 background, 1 and up classes, 255 not counted
- ImageSets/Segmentation/SPLIT.txt: train and val; a line is NAME, or its two files as in
  JPEGImages/NAME.jpg SegmentationClass/NAME.png
- classes.txt: a class a line, the first has id 1; VOC's twenty classes without it
"""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ..store.errors import InputError
from ..store.pictures import VOID, check_same_size, read_image, read_mask
from .name_lists import list_files, read_list, read_text

# fmt: off
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle",
    "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on
PICTURES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
AUGMENTED = "SegmentationClassAug"
"""Where other code keeps PASCAL-5i's masks, beside VOC's own."""


@dataclass(frozen=True)
class MaskIndex:
    """What is in each mask of a list, without the masks.

    Attributes:
        names: n image names.
        pixels: (n, C) pixels of each class, column c - 1 for class c.
        grid: (n, C) pixels of each class among mask[1::32, 1::32] (OSLSM's rule).
    """

    names: tuple[str, ...]
    pixels: np.ndarray
    grid: np.ndarray


@dataclass(frozen=True)
class VocFolder:
    """A dataset in VOC's layout; open one with `VocFolder.open(path)`.

    Attributes:
        root: the folder.
        classes: names; class id c is `classes[c - 1]`.
        splits: image names of each list, each once, in the file's order.
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[str, ...]] = field(repr=False)

    @classmethod
    def open(cls, root: str | Path) -> VocFolder:
        """Check the layout and read the lists.

        Raises:
            InputError: a folder, a list or the classes are missing, empty or unreadable; says
                what was expected and what was found.
        """
        root = Path(root).expanduser()
        if not root.is_dir():
            raise InputError(f"{root} is not a folder: --data takes a folder in VOC's layout")
        for part in (PICTURES, MASKS, LISTS):
            if not (root / part).is_dir():
                raise InputError(
                    f"{root} has no {part}/ (it has {found_in(root)}): VOC's layout is "
                    f"{PICTURES}/, {MASKS}/ and {LISTS}/train.txt and val.txt{_advice(root)}"
                )
        splits = {p.stem: read_list(p).names for p in list_files(root / LISTS)}
        if not any(splits.values()):
            raise InputError(
                f"{root / LISTS} has no list with names in it: train.txt and val.txt are expected, "
                f"it has {found_in(root / LISTS)}"
            )
        named = root / "classes.txt"
        classes = VOC_CLASSES
        if named.exists():
            classes = tuple(filter(None, map(str.strip, read_text(named).splitlines())))
        if not 4 <= len(classes) <= 254:
            raise InputError(f"{named} lists {len(classes)} classes: 4 to 254 make four folds")
        return cls(root, classes, splits)

    def names(self, split: str) -> tuple[str, ...]:
        """Image names of a list; "all" is every list, each name once.

        Raises:
            InputError: there is no such list, or nothing in it.
        """
        if split == "all":
            return tuple(dict.fromkeys(n for names in self.splits.values() for n in names))
        if split not in self.splits:
            raise InputError(
                f"{self.root / LISTS} has no {split}.txt: there are {', '.join(self.splits)}"
            )
        if not self.splits[split]:
            raise InputError(f"{self.root / LISTS / split}.txt is empty: it takes a name a line")
        return self.splits[split]

    @cached_property
    def _picture_names(self) -> dict[str, str]:
        # Of several files with one name, .jpg comes last and is taken.
        files = sorted(
            (self.root / PICTURES).iterdir(), key=lambda p: (p.suffix.lower() == ".jpg", p.name)
        )
        return {p.stem: p.name for p in files}

    def image_path(self, name: str) -> Path:
        """The picture's file; raises InputError where the list names one that is not there."""
        file = self._picture_names.get(name)
        if file is None:
            raise self.missing(self.root / PICTURES / f"{name}.jpg")
        return self.root / PICTURES / file

    def mask_path(self, name: str) -> Path:
        """The mask's file."""
        return self.root / MASKS / f"{name}.png"

    def missing(self, path: Path) -> InputError:
        """The error for a picture or mask that a list names and that is not there."""
        advice = self.elsewhere(path) or ": put it there, or take its name out of the list"
        return InputError(f"{path} is missing, but a list names it{advice}")

    def elsewhere(self, path: Path) -> str:
        """Where a missing mask is instead, and what to do, for an error's end; "" if nowhere."""
        there = self.root / AUGMENTED / path.name
        if path.exists() or not there.is_file():
            return ""
        return f": {MASKS}/ must hold it, and only {AUGMENTED}/ does; {_fetch_from(self.root)}"

    def image(self, name: str) -> Image.Image:
        """The picture in RGB; raises InputError if it is missing or cannot be read."""
        return read_image(self.image_path(name))

    def mask(self, name: str) -> np.ndarray:
        """Class ids, (H, W) uint8; raises InputError if unreadable or with an id over the list."""
        path = self.mask_path(name)
        if not path.exists():
            raise self.missing(path)
        mask = read_mask(path)
        ids = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[:VOID])
        if ids.size and ids[-1] > len(self.classes):
            raise InputError(
                f"{path} holds class id {ids[-1]}, but there are {len(self.classes)} classes "
                f"(ids 1 to {len(self.classes)}, 255 not counted): add it to classes.txt"
            )
        return mask

    def pair(self, name: str) -> tuple[Image.Image, np.ndarray]:
        """Picture and mask; raises InputError where their sizes differ."""
        image, mask = self.image(name), self.mask(name)
        check_same_size(image, self.image_path(name), mask, self.mask_path(name))
        return image, mask

    def index(self, split: str) -> MaskIndex:
        """Count each class in each mask of a list; reads every mask once.

        Raises:
            InputError: as `mask` does.
        """
        names = self.names(split)
        pixels = np.zeros((len(names), len(self.classes)), np.int64)
        grid = np.zeros_like(pixels)
        for i, name in enumerate(names):
            mask = self.mask(name)
            for counts, part in ((pixels, mask), (grid, mask[1::32, 1::32])):
                counts[i] = np.bincount(part.ravel(), minlength=256)[1 : len(self.classes) + 1]
        return MaskIndex(names, pixels, grid)

    def fingerprint(self, names: tuple[str, ...]) -> str:
        """A hash of these pictures' and masks' names, sizes and times: what a cache depends on."""
        digest = hashlib.sha256(str(self.root.resolve()).encode())
        for name in names:
            for path in (self.image_path(name), self.mask_path(name)):
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    raise self.missing(path) from None
                digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]


def found_in(folder: Path) -> str:
    """The first few things in a folder, for an error.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        names = sorted(p.name for p in folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror or error})") from None
    more = f" and {len(names) - 6:,} more" if names[6:] else ""
    return ", ".join(names[:6]) + more or "nothing"


def _advice(root: Path) -> str:
    """What to do about a folder that is laid out otherwise, where a guess can be made."""
    if (root / PICTURES).is_dir() and (root / AUGMENTED).is_dir():
        return f"; it has {AUGMENTED}/ instead: {_fetch_from(root)}"
    whole = root.resolve()
    inside = (root / "VOC2012", root / "VOCdevkit/VOC2012", *sorted(root.iterdir()))
    for place in (whole.parent, whole.parent.parent, *inside):
        if all(os.path.isdir(place / part) for part in (PICTURES, LISTS)):
            return f"; {place} looks like it: name that folder"
    return ""


def _fetch_from(root: Path) -> str:
    return f"ltm-edu fetch pascal5i --from {shlex.quote(str(root))} makes PASCAL-5i of it"
