"""A VOCdevkit as a source, with the masks that other code calls SegmentationClassAug."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..store.errors import InputError
from ..store.fetch import put
from ..store.files import existing_parent, written_whole
from ..store.pictures import palette_png, read_mask
from .inspection import inspect
from .name_lists import read_list
from .voc import AUGMENTED, LISTS, MASKS, PICTURES, VOC_CLASSES, first_names

NAME = r"\d{4}_\d{6}"
"""The form of VOC's picture names, as a regular expression."""
_LAYOUT = f"{PICTURES}/, {AUGMENTED}/ and {LISTS}/val.txt"


def find_devkit(source: Path) -> Path | None:
    """The VOC2012 folder that holds SegmentationClassAug: `source` itself, or inside it."""
    return next((p for p in _places(source) if (p / AUGMENTED).is_dir()), None)


def refuse_source(source: Path, archives: Sequence[str]) -> None:
    """Say what is expected in a folder that holds neither the archives nor a whole VOCdevkit.

    Raises:
        InputError: always.
    """
    if not source.is_dir():
        raise InputError(f"{source} is not a folder: name the one that holds the files")
    place = next((p for p in _places(source) if (p / PICTURES).is_dir()), None)
    problem = str(source) if place is None else f"{place} has no {AUGMENTED}/"
    above = source.resolve().parent
    advice = f"; {above} has it: name that folder" if find_devkit(above) == above else ""
    raise InputError(
        f"{problem}: expected {' and '.join(archives)}, or VOCdevkit/VOC2012/ with {_LAYOUT}; "
        f"found {first_names(place or source)}{advice}"
    )


def check_devkit(
    devkit: Path, counts: Mapping[str, int], progress: bool = True
) -> dict[str, tuple[str, ...]]:
    """Read every file that will be copied from a VOCdevkit, before anything is written.

    The training list is ImageSets/Segmentation/trainaug.txt; without it, all masks that val.txt
    does not name.

    Args:
        devkit: from `find_devkit`.
        counts: how many names each list must have.
        progress: show a bar with the time left.

    Returns:
        Names of "train" and "val".

    Raises:
        InputError: a folder, list, picture or mask is missing or damaged, or a count differs.
    """
    for part in (PICTURES, LISTS):
        if not (devkit / part).is_dir():
            raise InputError(
                f"{devkit} has no {part}/: expected {_LAYOUT}; found {first_names(devkit)}"
            )
    origins = {"train": devkit / LISTS / "trainaug.txt", "val": devkit / LISTS / "val.txt"}
    if not origins["val"].is_file():
        raise InputError(f"{devkit / LISTS} has no val.txt; found {first_names(devkit / LISTS)}")
    names = {"val": read_list(origins["val"], NAME).names}
    if origins["train"].is_file():
        names["train"] = read_list(origins["train"], NAME).names
    else:
        origins["train"] = devkit / AUGMENTED
        names["train"] = tuple(sorted(set(stems(devkit / AUGMENTED)) - set(names["val"])))
    _refuse_faults(devkit, names, origins, progress)
    for split, count in counts.items():
        if len(names[split]) != count:
            raise InputError(
                f"{origins[split]} gives {len(names[split]):,} {split} pictures where "
                f"PASCAL-5i has {count:,}: complete it, or fetch the archives instead"
            )
    return names


def copy_devkit(devkit: Path, target: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Copy the pictures and masks that a folder lacks; masks become palette PNGs.

    On the same disk a picture is not copied but gets a second name (a hard link).

    Raises:
        InputError: the folder cannot be written to.
    """
    for name in sorted({n for part in names.values() for n in part}):
        picture, mask = pair_in(devkit, name, AUGMENTED)
        new_picture, new_mask = pair_in(target, name)
        if not new_picture.exists():
            _link_or_copy(picture, new_picture)
        if not new_mask.exists():
            put(new_mask, palette_png(read_mask(mask)))


def bytes_to_copy(devkit: Path, target: Path) -> int:
    """How much room `copy_devkit` takes: pictures need none on the same disk."""
    same_disk = existing_parent(target).stat().st_dev == devkit.stat().st_dev
    return bytes_in(devkit / AUGMENTED) + (0 if same_disk else bytes_in(devkit / PICTURES))


def bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder; 0 if it does not exist."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def stems(folder: Path) -> list[str]:
    """Names of the pictures or masks in a folder; empty if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(p.stem for p in folder.iterdir() if re.fullmatch(NAME, p.stem))


def pair_in(folder: Path, name: str, masks: str = MASKS) -> tuple[Path, Path]:
    """The files of a picture and its mask in one of PASCAL-5i's folders."""
    return folder / PICTURES / f"{name}.jpg", folder / masks / f"{name}.png"


def and_more(things: Sequence[object]) -> str:
    """How many things there are besides the first, for an error that names only that one.

    >>> and_more(["a", "b", "c"]), and_more(["a"])
    (' (and 2 more)', '')
    """
    return f" (and {len(things) - 1} more)" if len(things) > 1 else ""


def _places(source: Path) -> tuple[Path, ...]:
    return source, source / "VOC2012", source / "VOCdevkit/VOC2012"


def _refuse_faults(
    devkit: Path, names: Mapping[str, Sequence[str]], origins: Mapping[str, Path], progress: bool
) -> None:
    every = sorted({*names["train"], *names["val"]})
    faults = inspect([pair_in(devkit, n, AUGMENTED) for n in every], len(VOC_CLASSES), progress)
    if faults:
        path, what = faults[0]
        origin = origins["val" if path.stem in names["val"] else "train"]
        reason = f"{origin} names it"
        if origin == devkit / AUGMENTED:
            reason = f"{origin / path.stem}.png exists"
        raise InputError(
            f"{path} {what}, but {reason}{and_more(faults)}: complete {devkit}, or fetch the "
            "archives instead"
        )


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    except OSError:
        with written_whole(target) as part:
            shutil.copyfile(source, part)
