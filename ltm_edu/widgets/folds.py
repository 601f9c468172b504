"""A figure of folds: which classes are novel, and their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .. import figures
from ..datasets.voc import VocFolder
from ..episodes import FOLDS, find_pairs, images_by_class, novel_classes
from ..store.errors import InputError
from .touched import to_webp, touched

if TYPE_CHECKING:
    import anywidget

    from ..datasets.voc import MaskIndex


def fold_browser(dataset: VocFolder, index: MaskIndex, pictures: int = 4) -> anywidget.AnyWidget:
    """Choose a fold and a class; see the fold's novel classes, and pictures of the class.

    Args:
        dataset: holds the pictures and the masks.
        index: `dataset.index(split)` of the split to show.
        pictures: the largest number of pictures of a class; each adds about 2 kB a class to the
            notebook.

    Raises:
        ValueError: `pictures` is below 1.
    """
    if pictures < 1:
        raise InputError(f"pictures is {pictures}: it must be 1 or more")
    n = len(dataset.classes)
    crops = figures.class_crops(dataset, index)
    names = images_by_class(find_pairs(index, range(1, n + 1)))
    state = {
        "kind": "folds",
        "classes": [*dataset.classes],
        "novel": [[*novel_classes(fold, n)] for fold in range(FOLDS)],
        "crops": [to_webp(crops[c], quality=80) for c in range(1, n + 1)],
        "pictures": [
            [_thumbnail(dataset, name, c) for name in names.get(c, [])[:pictures]]
            for c in range(1, n + 1)
        ],
    }
    return touched("An interactive figure: the folds, their classes and pictures of these", state)


def _thumbnail(dataset: VocFolder, name: str, class_id: int, height: int = 150) -> bytes:
    """A picture with the objects of one class tinted, as WebP."""
    pixels = figures.tinted(dataset.image(name), dataset.mask(name) == class_id)
    width = round(height * pixels.shape[1] / pixels.shape[0])
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return to_webp(np.asarray(small), quality=70)
