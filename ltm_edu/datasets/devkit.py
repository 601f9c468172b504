"""A VOCdevkit that is there already, with the masks that other code calls SegmentationClassAug."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..store.errors import InputError
from ..store.fetch import put
from ..store.files import written_whole
from ..store.pictures import read_mask
from .inspection import Fault, inspect
from .name_lists import read_list
from .sbd import palette_png
from .voc import AUGMENTED, LISTS, MASKS, PICTURES, VOC_CLASSES, found_in

NAME = r"\d{4}_\d{6}"
"""What VOC's pictures are called, as a regular expression."""
_LAYOUT = f"{PICTURES}/, {AUGMENTED}/ and {LISTS}/val.txt"


def find_devkit(source: Path) -> Path | None:
    """The VOC2012 folder that holds SegmentationClassAug: the one given, or inside it."""
    places = (source, source / "VOC2012", source / "VOCdevkit/VOC2012")
    return next((p for p in places if (p / AUGMENTED).is_dir()), None)


def refuse_source(source: Path, archives: Sequence[str]) -> None:
    """Say what was expected in a folder that holds neither the archives nor a whole VOCdevkit.

    Raises:
        InputError: always.
    """
    if not source.is_dir():
        raise InputError(f"--from {source} is not a folder: name the one that holds the files")
    places = (source / "VOCdevkit/VOC2012", source / "VOC2012", source)
    place = next((p for p in places if (p / PICTURES).is_dir()), None)
    what = f"--from {source}" if place is None else f"{place} has no {AUGMENTED}/"
    above = source.resolve().parent
    advice = f"; {above} has it: name that folder" if find_devkit(above) == above else ""
    raise InputError(
        f"{what}: expected {' and '.join(archives)}, or VOCdevkit/VOC2012/ with {_LAYOUT}; "
        f"found {found_in(place or source)}{advice}"
    )


def check_devkit(
    devkit: Path, counts: Mapping[str, int], progress: bool = True
) -> dict[str, tuple[str, ...]]:
    """Read every file that a VOCdevkit is to give, before anything is written.

    Train is ImageSets/Segmentation/trainaug.txt, or without it every mask that val does not name.

    Args:
        devkit: from `find_devkit`.
        counts: how many names each list must have.
        progress: show a bar with the time left.

    Returns:
        Names of "train" and "val".

    Raises:
        InputError: a folder, list, picture or mask is missing or broken, or a count differs.
    """
    for part in (PICTURES, LISTS):
        if not (devkit / part).is_dir():
            raise InputError(
                f"{devkit} has no {part}/: expected {_LAYOUT}; found {found_in(devkit)}"
            )
    origins = {"train": devkit / LISTS / "trainaug.txt", "val": devkit / LISTS / "val.txt"}
    if not origins["val"].is_file():
        raise InputError(f"{devkit / LISTS} has no val.txt; found {found_in(devkit / LISTS)}")
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
                f"PASCAL-5i has {count:,}: complete it, or fetch without --from"
            )
    return names


def copy_devkit(devkit: Path, target: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Put the pictures, as second names where the disk can, and the masks into a folder.

    What is there already stays. Masks become palette PNGs if they are not.

    Raises:
        InputError: the folder cannot be written to.
    """
    for name in sorted({n for part in names.values() for n in part}):
        picture = target / PICTURES / f"{name}.jpg"
        mask = target / MASKS / f"{name}.png"
        if not picture.exists():
            _link_or_copy(devkit / PICTURES / picture.name, picture)
        if not mask.exists():
            put(mask, palette_png(read_mask(devkit / AUGMENTED / mask.name)))


def bytes_to_copy(devkit: Path, target: Path) -> int:
    """How much room `copy_devkit` takes: pictures need none on the same disk."""
    there = next(p for p in target.absolute().parents if p.exists())
    same = there.stat().st_dev == devkit.stat().st_dev
    return sum(map(bytes_in, [devkit / p for p in (AUGMENTED, PICTURES)[: 1 if same else 2]]))


def bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder; 0 if it is not there."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def stems(folder: Path) -> list[str]:
    """Names of the pictures or masks in a folder; none if it is not there."""
    if not folder.is_dir():
        return []
    return sorted(p.stem for p in folder.iterdir() if re.fullmatch(NAME, p.stem))


def and_more(things: Sequence[object]) -> str:
    """How an error speaks of all but the first thing.

    >>> and_more(["a", "b", "c"]), and_more(["a"])
    (' (and 2 more)', '')
    """
    return f" (and {len(things) - 1} more)" if len(things) > 1 else ""


def _refuse_faults(
    devkit: Path, names: Mapping[str, Sequence[str]], origins: Mapping[str, Path], progress: bool
) -> None:
    pictures, masks = devkit / PICTURES, devkit / AUGMENTED
    pairs = [
        (pictures / f"{n}.jpg", masks / f"{n}.png")
        for n in sorted({*names["train"], *names["val"]})
    ]
    faults: list[Fault] = inspect(pairs, len(VOC_CLASSES), progress)
    if faults:
        path, what = faults[0]
        origin = origins["val" if path.stem in names["val"] else "train"]
        asked = f"{origin / path.stem}.png is there" if origin == masks else f"{origin} names it"
        raise InputError(
            f"{path} {what}, but {asked}{and_more(faults)}: complete {devkit}, or fetch "
            "without --from"
        )


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    except OSError:
        with written_whole(target) as part:
            shutil.copyfile(source, part)
