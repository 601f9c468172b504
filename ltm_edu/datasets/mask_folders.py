"""Two folders, one of pictures and one of masks with the same names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..store.errors import InputError
from ..store.marks import object_mask
from ..store.pictures import VOID, read_mask
from .importing import Imported, Scene, Target, drawn_size, turned, write_import
from .name_lists import files_by_name, free_name, unused_name

_ENDING = r"(?i)[_.-](mask|masks|label|labels|gt)$"


def import_masks(
    images: str | Path,
    masks: str | Path,
    target: Target,
    binary: bool = False,
    classes: Sequence[str] = (),
) -> Imported:
    """Write a folder in VOC's layout from pictures and masks.

    The mask of NAME.jpg is NAME.png or NAME_mask.png, in the same folder or in another.

    Args:
        images: the folder of the pictures.
        masks: the folder of the masks: class ids, 255 for void, as `read_mask` reads them.
        target: where to write.
        binary: each mask marks one object, as `object_mask` reads it.
        classes: the name of id 1, of id 2, and so on; "class 7" and "object" without them.

    Raises:
        InputError: a folder is missing or has nothing that can be used, an id has no name, or as
            `Target.check`.
    """
    images, masks, problems = Path(images), Path(masks), []
    target.check(images, masks)
    if len(set(classes)) < len(classes):
        raise InputError("two classes have one name: give each a name of its own")
    read = object_mask if binary else read_mask
    found: dict[str, set[int]] = {}
    pairs = _pairs(images, masks, problems)
    for name, (_, path) in pairs.items():
        try:
            found[name] = set(np.unique(read(path)).tolist())
        except InputError as error:
            problems.append(str(error))
    values = set().union(*found.values())
    ids = sorted(values - {0, VOID})
    if not ids and VOID in values:
        raise InputError(
            f"{masks} has no mask with a class: classes have ids from 1 up, and {VOID} is void; if "
            f"{VOID} is the object here, import the masks as binary ones"
        )
    names = [_class_name(c, classes, binary, masks) for c in ids]
    contiguous = np.zeros(256, np.uint8)
    contiguous[[*ids, VOID]] = [*range(1, len(ids) + 1), VOID]
    scenes, taken = [], set()
    for name in found:
        picture, path = pairs[name]

        def label(shown: tuple[int, int], picture: Path = picture, path: Path = path) -> np.ndarray:
            mask = contiguous[read(path)]
            return turned(mask, drawn_size(picture, mask.shape[::-1], shown)[1])

        name = free_name(name, taken)
        taken.add(name)
        scenes.append(Scene(name, picture, str(path), label))
    return write_import(target, masks, names, scenes, problems)


def _pairs(images: Path, masks: Path, problems: list[str]) -> dict[str, tuple[Path, Path]]:
    """Name to the picture and its mask; a line for each picture and each mask without the other."""
    pictures, files = files_by_name(images, "jpg"), files_by_name(masks, "png")
    one_folder = images.resolve() == masks.resolve()
    pairs: dict[str, tuple[Path, Path]] = {}
    lonely = []
    for mask, file in files.items():
        names = (mask, re.sub(_ENDING, "", mask))
        fitting = [
            n
            for n in names
            if n in pictures and n not in pairs and not (one_folder and pictures[n] == file)
        ]
        if fitting:
            pairs[fitting[0]] = images / pictures[fitting[0]], masks / file
        elif not one_folder:
            lonely.append(masks / file)
    used = {path.name for _, path in pairs.values()} if one_folder else set()
    problems += [f"{path}: it has no picture in {images}" for path in lonely]
    problems += [
        f"{images / file}: it has no mask in {masks}"
        for name, file in pictures.items()
        if name not in pairs and file not in used
    ]
    return pairs


def _class_name(class_id: int, classes: Sequence[str], binary: bool, masks: Path) -> str:
    if not classes:
        return "object" if binary else f"class {class_id}"
    if class_id > len(classes) or classes[class_id - 1] == unused_name(class_id):
        raise InputError(f"{masks} has masks with id {class_id}, for which no class is named")
    return classes[class_id - 1]
