"""What is wrong with a folder in VOC's layout, file by file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from ..store.errors import InputError
from ..store.pictures import VOID, checked_size, read_mask
from .name_lists import list_files, read_list
from .voc import LISTS, VocFolder

T = TypeVar("T")


class Fault(NamedTuple):
    """A file and what is wrong with it.

    Attributes:
        path: the file.
        what: "is missing", "cannot be read as a picture", ...
    """

    path: Path
    what: str


def inspect(
    pairs: Sequence[tuple[Path, Path]], n_classes: int, progress: bool = True
) -> list[Fault]:
    """Read pairs of a picture's file and its mask's, and list what is wrong, in their order.

    Args:
        pairs: the files.
        n_classes: the highest class id that a mask may contain.
        progress: show a bar with the time left.
    """
    faults = []
    for picture, mask in tqdm(pairs, "checking", unit="image", disable=not progress, leave=False):
        size, picture_fault = _attempt(checked_size, picture)
        ids, mask_fault = _attempt(read_mask, mask)
        if ids is not None and size not in (None, ids.shape[::-1]):
            mask_fault = "has another size than its picture"
        elif ids is not None and np.max(ids, where=ids != VOID, initial=0) > n_classes:
            mask_fault = f"holds a class id over {n_classes}"
        both = ((picture, picture_fault), (mask, mask_fault))
        faults += [Fault(path, what) for path, what in both if what]
    return faults


def inspect_folder(dataset: VocFolder, progress: bool = True) -> list[Fault]:
    """Read a folder's lists, and every picture and mask that they name; see `inspect`."""
    lists = ((path, read_list(path).fault) for path in list_files(dataset.root / LISTS))
    pairs = [(dataset.image_path(n), dataset.mask_path(n)) for n in dataset.names("all")]
    return [Fault(path, what) for path, what in lists if what] + [
        Fault(path, what + dataset.elsewhere(path))
        for path, what in inspect(pairs, len(dataset.classes), progress)
    ]


def report(faults: Sequence[Fault], shown: int = 3) -> list[str]:
    """A line for each folder and kind of fault, with the first few file names.

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


def _attempt(read: Callable[[Path], T], path: Path) -> tuple[T | None, str | None]:
    """What `read` returns, and what is wrong with the file; one of them is None."""
    if not path.exists():
        return None, "is missing"
    try:
        return read(path), None
    except InputError as error:
        return None, str(error).removeprefix(f"{path} ").split(" (")[0]
