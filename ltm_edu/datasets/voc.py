"""Any folder in VOC's layout: pictures, palette masks, lists of names.

- JPEGImages/NAME.jpg: the pictures; or .png, .webp, .tif and others, in small or capital letters
- SegmentationClass/NAME.png: 0 background, 1 and up classes, 255 void
- ImageSets/Segmentation/SPLIT.txt: train and val; a line is NAME, or its two files as in
  JPEGImages/NAME.jpg SegmentationClass/NAME.png
- classes.txt: a class a line, the first has id 1; a blank line's id is unused; without this file,
  VOC's twenty classes
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

import numpy as np
from PIL import Image

from ..store.errors import InputError
from ..store.files import at_home, entries, made_whole
from ..store.pictures import (
    VOID,
    check_same_size,
    joint_fingerprint,
    palette_png,
    read_image,
    read_mask,
)
from .name_lists import (
    files_by_name,
    is_background,
    list_files,
    read_classes,
    read_list,
    unused_name,
)

# fmt: off
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle",
    "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on
PICTURES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
CLASS_LIST = "classes.txt"
VOC_NAME = r"\d{4}_\d{6}"
"""The form of VOC's picture names, as a regular expression."""
AUGMENTED = "SegmentationClassAug"
"""Where other code stores PASCAL-5i's masks, beside VOC's own."""


@dataclass(frozen=True)
class MaskIndex:
    """How many pixels of each class are in each mask of a list.

    Attributes:
        names: n picture names.
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
        splits: picture names of each list, each once, in the file's order.
        missing: names of each list that `available` has left out.
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[str, ...]] = field(repr=False)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, root: str | Path) -> VocFolder:
        """Check the layout and read the lists.

        Raises:
            InputError: a folder, a list or the classes are missing, empty or unreadable; says
                what is expected and what the folder contains.
        """
        root = at_home(root)
        if not root.is_dir():
            raise InputError(f"{root} is not a folder: give a folder in VOC's layout")
        for part in (PICTURES, MASKS, LISTS):
            if not (root / part).is_dir():
                raise InputError(
                    f"{root} has no {part}/ (it has {first_names(root)}): VOC's layout is "
                    f"{PICTURES}/, {MASKS}/ and {LISTS}/train.txt and val.txt{_advice(root)}"
                )
        splits = {p.stem: read_list(p).names for p in list_files(root / LISTS)}
        if not any(splits.values()):
            raise InputError(
                f"{root / LISTS} has no list with names in it: train.txt and val.txt are expected, "
                f"it has {first_names(root / LISTS)}"
            )
        class_list = root / CLASS_LIST
        classes = read_classes(class_list) if class_list.exists() else VOC_CLASSES
        if not 1 <= len(classes) < VOID:
            raise InputError(
                f"{class_list} lists {len(classes)} classes: masks have ids for 1 to {VOID - 1}"
            )
        return cls(root, classes, splits)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is probably not meant in the list of classes, a line each."""
        path = self.root / CLASS_LIST
        lines = []
        if is_background(self.classes[0]):
            lines.append(
                f"{path}: line 1 is {self.classes[0]}, and line 1 names id 1: if the background of "
                "the masks is 0, remove this line, for all names are shifted by one"
            )
        if not path.exists() and not all(re.fullmatch(VOC_NAME, n) for n in self.names("all")):
            lines.append(
                f"{path} is not there: VOC's twenty classes are assumed; write a class a line, the "
                "first has id 1"
            )
        return tuple(lines)

    @cached_property
    def unused(self) -> tuple[int, ...]:
        """The class ids whose line is blank."""
        names = enumerate(self.classes, start=1)
        return tuple(c for c, name in names if name == unused_name(c))

    def available(self) -> VocFolder:
        """The same folder without the listed names whose picture or mask is missing."""
        present = self._mask_files.keys() & self._picture_files.keys()
        kept, missing = (
            {
                split: tuple(n for n in names if (n in present) == wanted)
                for split, names in self.splits.items()
            }
            for wanted in (True, False)
        )
        return replace(self, splits=kept, missing=missing)

    def names(self, split: str) -> tuple[str, ...]:
        """Picture names of a list; "all" is every list, each name once.

        Raises:
            InputError: there is no such list, or it is empty.
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
    def _picture_files(self) -> dict[str, str]:
        return files_by_name(self.root / PICTURES, "jpg")

    @cached_property
    def _mask_files(self) -> dict[str, str]:
        return files_by_name(self.root / MASKS, "png")

    def image_path(self, name: str) -> Path:
        """The picture's file, whether it exists or not."""
        return self.root / PICTURES / self._picture_files.get(_key(name), f"{name}.jpg")

    def mask_path(self, name: str) -> Path:
        """The mask's file, whether it exists or not."""
        return self.root / MASKS / self._mask_files.get(_key(name), f"{name}.png")

    def elsewhere(self, path: Path) -> str:
        """The end of an error if only SegmentationClassAug has a mask: that, and what to do."""
        if path.exists() or not (self.root / AUGMENTED / path.name).is_file():
            return ""
        return f": {MASKS}/ must hold it, and only {AUGMENTED}/ does; {_fetch_from(self.root)}"

    def image(self, name: str) -> Image.Image:
        """Read the picture as RGB.

        Raises:
            InputError: it is missing or cannot be read.
        """
        return read_image(self._existing(self.image_path(name)))

    def mask(self, name: str) -> np.ndarray:
        """Read the mask: class ids, (H, W) uint8, and 255 for void.

        Raises:
            InputError: it is missing, cannot be read, or contains an id that no class has.
        """
        path = self._existing(self.mask_path(name))
        mask = read_mask(path)
        highest = np.max(mask, where=mask != VOID, initial=0)
        if highest > len(self.classes):
            raise InputError(
                f"{path} holds class id {highest}, but there are {len(self.classes)} classes "
                f"(ids 1 to {len(self.classes)}, {VOID} for void): add it to {CLASS_LIST}"
            )
        if self.unused and (found := np.intersect1d(mask, self.unused)).size:
            raise InputError(
                f"{path} holds class id {found[0]}, whose line in {CLASS_LIST} is blank: name it"
            )
        return mask

    def pair(self, name: str) -> tuple[Image.Image, np.ndarray]:
        """Read picture and mask.

        Raises:
            InputError: as `image` and `mask` do, or the two differ in size.
        """
        image, mask = self.image(name), self.mask(name)
        check_same_size(image, self.image_path(name), mask, self.mask_path(name))
        return image, mask

    def index(self, split: str) -> MaskIndex:
        """Count each class in each mask of a list; they are read once, at the first call.

        Raises:
            InputError: as `mask` does.
        """
        if split not in self._indices:
            self._indices[split] = self.count(self.names(split))
        return self._indices[split]

    @cached_property
    def _indices(self) -> dict[str, MaskIndex]:
        return {}

    def count(self, names: Sequence[str]) -> MaskIndex:
        """The same for some names; their masks are read at every call.

        Raises:
            InputError: as `mask` does.
        """

        def counts(name: str) -> list[np.ndarray]:
            mask = self.mask(name)
            parts = (mask, mask[1::32, 1::32])
            return [np.bincount(p.ravel(), minlength=256)[1 : len(self.classes) + 1] for p in parts]

        with ThreadPoolExecutor(8) as pool:
            table = list(pool.map(counts, names))
        pixels, grid = np.reshape(table, (len(names), 2, len(self.classes))).swapaxes(0, 1)
        return MaskIndex(tuple(names), pixels, grid)

    def fingerprint(self, names: Sequence[str]) -> str:
        """A hash of the names and the content of these pictures and masks: the key of a cache.

        Every file is read. The data set's folder and the files' times do not count.

        Raises:
            InputError: a file is missing or cannot be read.
        """
        kinds = (self.image_path, self.mask_path)
        return joint_fingerprint([self._existing(path(n)) for n in names for path in kinds])

    def _existing(self, path: Path) -> Path:
        if not path.exists():
            advice = self.elsewhere(path) or ": put it there, or take its name out of the list"
            raise InputError(f"{path} is missing, but a list names it{advice}")
        return path


def _key(name: str) -> str:
    return normalize("NFC", name)


def first_names(folder: Path) -> str:
    """The first few names in a folder, for an error.

    Raises:
        InputError: the folder cannot be read.
    """
    names = [path.name for path in entries(folder)]
    more = f" and {len(names) - 6:,} more" if names[6:] else ""
    return ", ".join(names[:6]) + more or "nothing"


def _advice(root: Path) -> str:
    """What to do about a folder with another layout, if a guess can be made."""
    if (root / PICTURES).is_dir() and (root / AUGMENTED).is_dir():
        return f"; it has {AUGMENTED}/ instead: {_fetch_from(root)}"
    folder = root.resolve()
    inside = (root / "VOC2012", root / "VOCdevkit/VOC2012", *sorted(root.iterdir()))
    for place in (folder.parent, folder.parent.parent, *inside):
        if all(os.path.isdir(place / part) for part in (PICTURES, LISTS)):
            return f"; {place} looks like it: name that folder"
    return ""


def _fetch_from(root: Path) -> str:
    return f"ltm-edu fetch pascal5i --from {shlex.quote(str(root))} makes PASCAL-5i of it"


def write_voc_folder(
    root: Path,
    classes: Sequence[str],
    splits: Mapping[str, Iterable[tuple[str, Image.Image, np.ndarray]]],
    texts: Mapping[str, str] | None = None,
    quality: int = 95,
) -> None:
    """Write a data set in VOC's layout; the folder appears when it is complete.

    Args:
        root: the folder, which must not exist.
        classes: names; class id c is `classes[c - 1]`.
        splits: list name ("train", "val") to the pictures: name, RGB picture, and mask of class
            ids, (H, W) uint8, 0 background, 255 not counted.
        texts: further files, name to content, such as a licence.
        quality: of the JPEG files, 1 to 95.

    Raises:
        InputError: the folder cannot be written, or a mask has another size than its picture.
    """
    with made_whole(root) as part:
        make_folders(part)
        lists: dict[str, list[str]] = {}
        for split, pictures in splits.items():
            lists[split] = []
            for name, image, mask in pictures:
                check_same_size(image, f"picture {name}", mask, f"mask {name}")
                write_picture(part, name, image, quality)
                write_mask(part, name, mask)
                lists[split].append(name)
        write_texts(part, classes, lists, texts or {})


def make_folders(root: Path) -> None:
    """Create the folders of VOC's layout."""
    for folder in (PICTURES, MASKS, LISTS):
        (root / folder).mkdir(parents=True)


def write_picture(root: Path, name: str, image: Image.Image, quality: int = 95) -> None:
    """Write a picture into a folder of this layout, as a JPEG."""
    image.convert("RGB").save(root / PICTURES / f"{name}.jpg", quality=quality)


def write_mask(root: Path, name: str, mask: np.ndarray) -> None:
    """Write a mask of class ids, (H, W) uint8, into a folder of this layout."""
    (root / MASKS / f"{name}.png").write_bytes(palette_png(mask))


def write_texts(
    root: Path,
    classes: Sequence[str],
    lists: Mapping[str, Sequence[str]],
    texts: Mapping[str, str],
) -> None:
    """Write the classes, the lists (names by list), and further files (content by name)."""
    texts = {CLASS_LIST: lines_of(classes), **texts}
    texts |= {f"{LISTS}/{split}.txt": lines_of(names) for split, names in lists.items()}
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8", newline="\n")


def lines_of(words: Iterable[str]) -> str:
    """Words as the lines of a text."""
    return "".join(f"{word}\n" for word in words)
