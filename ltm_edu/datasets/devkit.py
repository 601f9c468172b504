"""A VOCdevkit as a source, with the masks that other code calls SegmentationClassAug."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..store.errors import InputError
from ..store.fetch import Archive, need_room, put
from ..store.files import at_home, existing_parent, written_whole
from ..store.pictures import palette_png, read_mask
from .inspection import inspect
from .name_lists import read_list
from .voc import AUGMENTED, LISTS, MASKS, PICTURES, VOC_CLASSES, VOC_NAME, first_names

_LAYOUT = f"{PICTURES}/, {AUGMENTED}/ and {LISTS}/val.txt"


def read_source(
    source: str | Path | None, archives: Sequence[Archive]
) -> tuple[Path | None, dict[Archive, Path | None]]:
    """What a folder offers for PASCAL-5i: a VOC2012 folder with SegmentationClassAug, or archives.

    The VOC2012 folder may be `source` itself or below it. What the source lacks is None, and all
    is None without a source.

    Raises:
        InputError: the folder has neither; says what is expected and what it has.
    """
    if source is None:
        return None, dict.fromkeys(archives)
    source = at_home(source)
    paths = {a: source / a.name if (source / a.name).is_file() else None for a in archives}
    devkit = _folder_with(AUGMENTED, source)
    if devkit or any(paths.values()):
        return devkit, paths
    if not source.is_dir():
        raise InputError(f"{source} is not a folder: name the one that holds the files")
    place = _folder_with(PICTURES, source)
    problem = f"{place} has no {AUGMENTED}/" if place else str(source)
    above = source.resolve().parent
    advice = f"; {above} has it: name that folder" if (above / AUGMENTED).is_dir() else ""
    raise InputError(
        f"{problem}: expected {' and '.join(a.name for a in archives)}, or VOCdevkit/VOC2012/ with "
        f"{_LAYOUT}; found {first_names(place or source)}{advice}"
    )


def check_devkit(
    devkit: Path,
    target: Path,
    counts: Mapping[str, int],
    progress: bool = True,
    available: bool = False,
) -> dict[str, tuple[str, ...]]:
    """Read every file that will be copied from a VOCdevkit, before anything is written.

    Returns the names of "train" and "val". The training list is
    ImageSets/Segmentation/trainaug.txt; without it, all masks that val.txt does not name. With
    `available`, pictures and masks may be missing, but not damaged.

    Raises:
        InputError: a folder, list, picture or mask is missing or damaged, a list has another
            number of names than `counts`, or the disk of `target` is too small.
    """
    for part in (PICTURES, LISTS):
        if not (devkit / part).is_dir():
            raise InputError(
                f"{devkit} has no {part}/: expected {_LAYOUT}; found {first_names(devkit)}"
            )
    origins = {"val": devkit / LISTS / "val.txt", "train": devkit / LISTS / "trainaug.txt"}
    if not origins["val"].is_file():
        raise InputError(f"{devkit / LISTS} has no val.txt; found {first_names(devkit / LISTS)}")
    names = {s: read_list(path, VOC_NAME).names for s, path in origins.items() if path.is_file()}
    if "train" not in names:
        origins["train"] = devkit / AUGMENTED
        names["train"] = tuple(sorted(set(stems(devkit / AUGMENTED)) - set(names["val"])))
    every = sorted({*names["train"], *names["val"]})
    faults = inspect([pair_in(devkit, n, AUGMENTED) for n in every], len(VOC_CLASSES), progress)
    if available:
        faults = [fault for fault in faults if fault.what != "is missing"]
    if faults:
        path, what = faults[0]
        origin = origins["val" if path.stem in names["val"] else "train"]
        reason = f"{origin / path.stem}.png exists" if origin.is_dir() else f"{origin} names it"
        raise InputError(
            f"{path} {what}, but {reason}{and_more(faults)}: complete {devkit}, fetch the "
            "archives instead, or take only the pictures that are available"
        )
    for split, count in counts.items():
        if len(names[split]) != count:
            raise InputError(
                f"{origins[split]} gives {len(names[split]):,} {split} pictures where "
                f"PASCAL-5i has {count:,}: complete it, or fetch the archives instead"
            )
    same_disk = existing_parent(target).stat().st_dev == devkit.stat().st_dev  # links need no room
    pictures = 0 if same_disk else bytes_in(devkit / PICTURES)
    need_room(target, pictures + bytes_in(devkit / AUGMENTED))
    return names


def copy_devkit(devkit: Path, target: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Copy the pictures and masks that are there and that a folder lacks; masks as palette PNGs.

    On the same disk a picture is not copied but gets a second name (a hard link).

    Raises:
        InputError: the folder cannot be written to.
    """
    for name in sorted({n for part in names.values() for n in part}):
        picture, mask = pair_in(devkit, name, AUGMENTED)
        new_picture, new_mask = pair_in(target, name)
        if picture.exists() and not new_picture.exists():
            try:
                os.link(picture, new_picture)
            except OSError:
                with written_whole(new_picture) as part:
                    shutil.copyfile(picture, part)
        if mask.exists() and not new_mask.exists():
            put(new_mask, palette_png(read_mask(mask)))


def bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder; 0 if it does not exist."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def stems(folder: Path) -> list[str]:
    """Names of the masks in a folder; empty if it does not exist."""
    return [p.stem for p in folder.glob("*.png") if re.fullmatch(VOC_NAME, p.stem)]


def pair_in(folder: Path, name: str, masks: str = MASKS) -> tuple[Path, Path]:
    """The files of a picture and its mask in one of PASCAL-5i's folders."""
    return folder / PICTURES / f"{name}.jpg", folder / masks / f"{name}.png"


def and_more(things: Sequence[object]) -> str:
    """How many things there are besides the first, for an error that names only that one.

    >>> and_more(["a", "b", "c"]), and_more(["a"])
    (' (and 2 more)', '')
    """
    return f" (and {len(things) - 1} more)" if len(things) > 1 else ""


def _folder_with(part: str, source: Path) -> Path | None:
    """The VOC2012 folder that has such a folder: `source` itself, or inside it."""
    places = (source, source / "VOC2012", source / "VOCdevkit/VOC2012")
    return next((p for p in places if (p / part).is_dir()), None)
