"""A VOCdevkit that is there already, with the masks that other code calls SegmentationClassAug."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..fetch import put
from ..paths import written_whole
from ..protocol import VOC_CLASSES
from .inspection import Fault, inspect
from .sbd import palette_png
from .voc_layout import read_mask

NAME = r"\d{4}_\d{6}"
"""What VOC's pictures are called, as a regular expression."""
LISTS = "ImageSets/Segmentation"
_MASKS = "SegmentationClassAug"
_LAYOUT = f"JPEGImages/, {_MASKS}/ and {LISTS}/val.txt"


def find_devkit(source: Path) -> Path | None:
    """The VOC2012 folder that holds SegmentationClassAug: the one given, or inside it."""
    places = (source, source / "VOC2012", source / "VOCdevkit/VOC2012")
    return next((p for p in places if (p / _MASKS).is_dir()), None)


def refuse_source(source: Path, archives: Sequence[str]) -> None:
    """Say what was expected in a folder that holds neither the archives nor a whole VOCdevkit.

    Raises:
        InputError: always.
    """
    if not source.is_dir():
        raise InputError(f"--from {source} is not a folder")
    places = (source / "VOCdevkit/VOC2012", source / "VOC2012", source)
    place = next((p for p in places if (p / "JPEGImages").is_dir()), None)
    what = f"--from {source}" if place is None else f"{place} has no {_MASKS}/"
    raise InputError(
        f"{what}: expected {' and '.join(archives)}, or VOCdevkit/VOC2012/ with {_LAYOUT}; "
        f"found {_found(place or source)}"
    )


def check_devkit(
    devkit: Path, counts: Mapping[str, int], progress: bool = True
) -> dict[str, list[str]]:
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
    for part in ("JPEGImages", LISTS):
        if not (devkit / part).is_dir():
            raise InputError(f"{devkit} has no {part}/: expected {_LAYOUT}; found {_found(devkit)}")
    origins = {"train": devkit / LISTS / "trainaug.txt", "val": devkit / LISTS / "val.txt"}
    if not origins["val"].is_file():
        raise InputError(f"{devkit / LISTS} has no val.txt; found {_found(devkit / LISTS)}")
    names = {"val": read_names(origins["val"])}
    if origins["train"].is_file():
        names["train"] = read_names(origins["train"])
    else:
        origins["train"] = devkit / _MASKS
        names["train"] = sorted(set(stems(devkit / _MASKS)) - set(names["val"]))
    _refuse_faults(devkit, names, origins, progress)
    for split, count in counts.items():
        if len(set(names[split])) != count:
            raise InputError(
                f"{origins[split]} gives {len(set(names[split])):,} {split} pictures where "
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
        picture = target / "JPEGImages" / f"{name}.jpg"
        mask = target / "SegmentationClass" / f"{name}.png"
        if not picture.exists():
            _link_or_copy(devkit / "JPEGImages" / picture.name, picture)
        if not mask.exists():
            put(mask, palette_png(read_mask(devkit / _MASKS / mask.name)))


def bytes_to_copy(devkit: Path, target: Path) -> int:
    """How much room `copy_devkit` takes: pictures need none on the same disk."""
    there = next(p for p in target.absolute().parents if p.exists())
    same = there.stat().st_dev == devkit.stat().st_dev
    return sum(map(bytes_in, [devkit / p for p in (_MASKS, "JPEGImages")[: 1 if same else 2]]))


def bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder; 0 if it is not there."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def read_names(path: Path) -> list[str]:
    """Names in a list file; see `names_in`."""
    try:
        return names_in(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None


def names_in(content: bytes, origin: str) -> list[str]:
    """Names, one a line; lines of the form "/JPEGImages/NAME.jpg /Masks/NAME.png" do as well.

    Raises:
        InputError: a line is neither; no list can name a file outside of the folder.
    """
    names = []
    for line in content.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words:
            names.append(re.sub(r"^.*/|\.jpg$", "", words[0]))
            if not re.fullmatch(NAME, names[-1]):
                raise InputError(f"{origin}: {line[:60]!r} is no picture's name (as 2007_000032)")
    return names


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
    devkit: Path, names: Mapping[str, list[str]], origins: Mapping[str, Path], progress: bool
) -> None:
    pictures, masks = devkit / "JPEGImages", devkit / _MASKS
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


def _found(place: Path) -> str:
    return ", ".join(sorted(p.name for p in place.iterdir())[:6]) or "nothing"
