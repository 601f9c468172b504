"""What is wrong with a folder in VOC's layout, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from ..store.errors import InputError
from ..store.pictures import VOID, read_mask
from .name_lists import list_files, read_list
from .voc import LISTS, PICTURES, VocFolder


class Fault(NamedTuple):
    """One file and what is wrong with it.

    Attributes:
        path: the file.
        what: "is missing", "cannot be read as a picture", ...
    """

    path: Path
    what: str


def inspect(
    pairs: Sequence[tuple[Path, Path]], n_classes: int, progress: bool = True
) -> list[Fault]:
    """Read every picture and mask, and say what does not fit.

    Args:
        pairs: a picture's file and its mask's.
        n_classes: ids over this number are faults, but for 255.
        progress: show a bar with the time left.

    Returns:
        The faults, in the pairs' order; none if all is well.
    """
    faults = []
    for picture, mask in tqdm(pairs, "checking", unit="image", disable=not progress, leave=False):
        size, fault = _picture_size(picture)
        if fault:
            faults.append(Fault(picture, fault))
        fault = _mask_fault(mask, size, n_classes)
        if fault:
            faults.append(Fault(mask, fault))
    return faults


def inspect_folder(dataset: VocFolder, progress: bool = True) -> list[Fault]:
    """Read a folder's lists, and every picture and mask that they name; see `inspect`."""
    lists = ((path, read_list(path).fault) for path in list_files(dataset.root / LISTS))
    pairs = [(_picture(dataset, n), dataset.mask_path(n)) for n in dataset.names("all")]
    return [Fault(path, what) for path, what in lists if what] + [
        Fault(path, what + dataset.elsewhere(path))
        for path, what in inspect(pairs, len(dataset.classes), progress)
    ]


def report(faults: Sequence[Fault], shown: int = 3) -> list[str]:
    """A line for each folder and kind of fault, naming the first few files.

    >>> report([Fault(Path("m") / f"{n}.png", "is missing") for n in "abcde"])
    ['m: is missing: a.png, b.png, c.png and 2 more']
    """
    kinds: dict[tuple[Path, str], list[str]] = {}
    for path, what in faults:
        kinds.setdefault((path.parent, what), []).append(path.name)
    return [
        f"{folder}: {what}: {', '.join(names[:shown])}"
        + (f" and {len(names) - shown} more" if len(names) > shown else "")
        for (folder, what), names in kinds.items()
    ]


def _picture(dataset: VocFolder, name: str) -> Path:
    try:
        return dataset.image_path(name)
    except InputError:  # it is not there: say so under the name that was expected
        return dataset.root / PICTURES / f"{name}.jpg"


def _picture_size(path: Path) -> tuple[tuple[int, int] | None, str | None]:
    try:
        with Image.open(path) as picture:
            size = picture.size
            # Every byte is decoded, so a file cut short is found, but only an eighth is drawn.
            picture.draft("RGB", (size[0] // 8, size[1] // 8))
            picture.load()
    except FileNotFoundError:
        return None, "is missing"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None, "cannot be read as a picture"
    return size, None


def _mask_fault(path: Path, size: tuple[int, int] | None, n_classes: int) -> str | None:
    if not path.exists():
        return "is missing"
    try:
        mask = read_mask(path)
    except InputError as error:
        return str(error).removeprefix(f"{path} ").split(" (")[0]
    if size is not None and size != mask.shape[::-1]:
        return "has another size than its picture"
    if mask[mask != VOID].max(initial=0) > n_classes:
        return f"holds a class id over {n_classes}"
    return None
