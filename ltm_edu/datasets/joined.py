"""Several data sets as one, their classes joined by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..store.errors import InputError
from ..store.pictures import VOID
from .voc import VocFolder

SAME = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""What VOC calls the classes that COCO has under another name."""


def common_name(name: str) -> str:
    """The name of a class that VOC and COCO share.

    >>> common_name("sofa"), common_name("cat")
    ('couch', 'cat')
    """
    return SAME.get(name, name)


@dataclass(frozen=True)
class JoinedFolders(VocFolder):
    """Data sets as one; a picture's name is the number of its folder, a slash, and its name there.

    Attributes:
        parts: the folders.
    """

    parts: tuple[VocFolder, ...] = ()

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """See `VocFolder.warnings`."""
        return tuple(line for part in self.parts for line in part.warnings)

    def image_path(self, name: str) -> Path:
        """The picture's file, whether it exists or not."""
        part, own = self._part(name)
        return part.image_path(own)

    def mask_path(self, name: str) -> Path:
        """The mask's file, whether it exists or not."""
        part, own = self._part(name)
        return part.mask_path(own)

    def elsewhere(self, path: Path) -> str:
        """See `VocFolder.elsewhere`."""
        return next(filter(None, (part.elsewhere(path) for part in self.parts)), "")

    def mask(self, name: str) -> np.ndarray:
        """Read the mask: ids of the joined classes, (H, W) uint8, and 255 for void.

        Raises:
            InputError: as `VocFolder.mask` does.
        """
        part, own = self._part(name)
        ids = np.full(256, VOID, np.uint8)
        ids[0] = 0
        joined = [self.classes.index(common_name(c)) + 1 for c in part.classes]
        ids[1 : len(joined) + 1] = joined
        return ids[part.mask(own)]

    def available(self) -> JoinedFolders:
        """The same without the listed names whose picture or mask is missing."""
        parts = [part.available() for part in self.parts]
        return replace(join_folders(parts), missing=_lists([part.missing for part in parts]))

    def _part(self, name: str) -> tuple[VocFolder, str]:
        number, _, own = name.partition("/")
        return self.parts[int(number)], own


def join_folders(parts: Sequence[VocFolder]) -> JoinedFolders:
    """Join data sets: the first one's classes, then those that the others add.

    Raises:
        InputError: there are more classes than a mask has ids.
    """
    classes = tuple(dict.fromkeys(common_name(c) for part in parts for c in part.classes))
    if len(classes) >= VOID:
        raise InputError(f"these data sets have {len(classes)} classes, a mask at most {VOID - 1}")
    root = Path("+".join(part.root.resolve().name for part in parts))
    return JoinedFolders(root, classes, _lists([p.splits for p in parts]), parts=tuple(parts))


def _lists(parts: Sequence[dict[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Lists of equal name, one after the other."""
    splits = dict.fromkeys(split for part in parts for split in part)
    return {
        split: tuple(f"{i}/{n}" for i, part in enumerate(parts) for n in part.get(split, ()))
        for split in splits
    }
