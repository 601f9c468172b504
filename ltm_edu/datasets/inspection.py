"""What a folder in VOC's layout holds, and what is wrong with it, file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from ..store.errors import InputError
from ..store.pictures import VOID, checked_size, picture_files, read_mask
from .name_lists import files_by_name, list_files, read_list
from .voc import LISTS, MASKS, PICTURES, VocFolder

T = TypeVar("T")


class Fault(NamedTuple):
    """A file and what is wrong with it.

    Attributes:
        path: the file.
        what: "is missing", "cannot be read as a picture", ...
    """

    path: Path
    what: str


@dataclass(frozen=True)
class Survey:
    """What a folder holds; n pictures are named in its lists, C classes in its list of classes.

    Attributes:
        dataset: the folder.
        names: the n names.
        sizes: (n, 2) width and height of each picture in pixels; 0 where it cannot be read.
        pixels: (n, 256) pixels of each id in each mask; 0 where it cannot be read.
        faults: files that are missing or damaged, or hold ids without a class.
        doubts: files that can be used, but are probably not as they were meant.
    """

    dataset: VocFolder
    names: tuple[str, ...]
    sizes: np.ndarray
    pixels: np.ndarray
    faults: list[Fault]
    doubts: list[Fault]

    def table(self) -> str:
        """Lists and sizes, and for each class how many pictures and which part of all pixels."""
        data, whole = self.dataset, max(1, self.pixels.sum())
        lists = {split: np.isin(self.names, names) for split, names in data.splits.items()}
        counts = ", ".join(f"{split} {int(chosen.sum()):,}" for split, chosen in lists.items())
        lines = [f"{data.root}: {len(self.names):,} pictures ({counts})"]
        if (sizes := self.sizes[self.sizes.min(axis=1) > 0]).size:
            ends = sizes[np.argsort(sizes.prod(axis=1), kind="stable")[[0, -1]]]
            lines.append("sizes: " + " to ".join(f"{w}x{h}" for w, h in ends))
        labels = [*enumerate(data.classes, start=1), (VOID, "void")]
        width = max(len(name) for _, name in labels)
        rows = [("id", "class", lists, "pixels")]
        for i, name in labels:
            shown = [f"{(self.pixels[chosen, i] > 0).sum():,}" for chosen in lists.values()]
            rows.append((i, name, shown, f"{self.pixels[:, i].sum() / whole:.1%}"))
        for i, name, shown, part in rows:
            lines.append(
                f"{i:>3} {name:{width}}" + "".join(f"{n:>9}" for n in shown) + f"{part:>9}"
            )
        return "\n".join(lines)

    def examples(self, most: int = 48) -> list[str]:
        """Names of pictures to look at: for each class in turn the next that shows most of it."""
        data, classes = self.dataset, range(1, len(self.dataset.classes) + 1)
        bad = {path for path, _ in self.faults}
        usable = [bad.isdisjoint((data.image_path(n), data.mask_path(n))) for n in self.names]
        order = {c: np.argsort(-self.pixels[:, c], kind="stable") for c in classes}
        chosen: dict[str, None] = {}
        for rank in range(len(self.names)):
            for c in classes:
                i = order[c][rank]
                if len(chosen) < most and self.pixels[i, c] and usable[i]:
                    chosen[self.names[i]] = None
        return list(chosen)


def survey(dataset: VocFolder, progress: bool = True) -> Survey:
    """Read a folder's lists, and every picture and mask that they name.

    Raises:
        InputError: a list cannot be read.
    """
    names = dataset.names("all")
    pairs = [(dataset.image_path(n), dataset.mask_path(n)) for n in names]
    files = list(_examine(pairs, len(dataset.classes), progress))
    pixels = np.reshape([f.pixels for f in files], (len(files), 256))
    lists = [(path, read_list(path).fault) for path in list_files(dataset.root / LISTS)]
    faults = [Fault(path, what) for path, what in lists if what]
    for c in dataset.unused:
        what = f"holds class id {c}, whose line in classes.txt is blank"
        faults += [Fault(pairs[i][1], what) for i in np.flatnonzero(pixels[:, c])]
    faults += [
        Fault(path, what + dataset.elsewhere(path)) for f in files for path, what in f.faults
    ]
    doubts = _odd_masks(pairs, pixels) + _odd_files(dataset)
    if not pixels[:, 1:VOID].any() and pixels.any():
        what = f"no mask shows a class: classes have ids from 1 up, and {VOID} is void"
        if pixels[:, VOID].any():
            what += f"; if {VOID} is the object here, import the masks as binary ones"
        faults.append(Fault(dataset.root / MASKS, what))
    return Survey(
        dataset, names, np.reshape([f.size for f in files], (-1, 2)), pixels, faults, doubts
    )


def inspect(
    pairs: Sequence[tuple[Path, Path]], n_classes: int, progress: bool = True
) -> list[Fault]:
    """Read pairs of a picture's file and its mask's, and list what is wrong, in their order.

    Args:
        pairs: the files.
        n_classes: the highest class id that a mask may contain.
        progress: show a bar with the time left.
    """
    return [fault for files in _examine(pairs, n_classes, progress) for fault in files.faults]


def inspect_folder(dataset: VocFolder, progress: bool = True) -> list[Fault]:
    """What is missing or damaged in a folder; see `survey`."""
    return survey(dataset, progress).faults


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


def _odd_masks(pairs: Sequence[tuple[Path, Path]], pixels: np.ndarray) -> list[Fault]:
    """Masks that can be read and show no class."""
    shows, void = pixels[:, 1:VOID].any(axis=1), pixels[:, VOID] > 0
    kinds = {
        f"shows nothing but {VOID}, which is void, and no class": ~shows & void,
        "shows no class": ~shows & ~void & pixels.any(axis=1),
    }
    return [Fault(pairs[i][1], what) for what, odd in kinds.items() for i in np.flatnonzero(odd)]


def _odd_files(dataset: VocFolder) -> list[Fault]:
    """Pictures and masks that no list names, and names that two lists or two files have."""
    root, listed = dataset.root, set(dataset.names("all"))
    pictures = files_by_name(root / PICTURES, "jpg")
    masks = files_by_name(root / MASKS, "png")
    doubts = [
        Fault(root / PICTURES / file, "is in no list" if name in masks else "has no mask")
        for name, file in pictures.items()
        if name not in listed
    ]
    doubts += [
        Fault(root / MASKS / file, "has no picture")
        for name, file in masks.items()
        if name not in listed | pictures.keys()
    ]
    doubts += [
        Fault(path, "is not read: another file has its name")
        for folder, read in ((PICTURES, pictures), (MASKS, masks))
        for path in picture_files(root / folder)
        if path.name not in read.values()
    ]
    splits = list(dataset.splits.items())
    for i, (split, names) in enumerate(splits):
        for other, others in splits[i + 1 :]:
            if both := len(set(names) & set(others)):
                doubts.append(
                    Fault(root / LISTS / f"{split}.txt", f"shares {both:,} names with {other}.txt")
                )
    return doubts


class _Files(NamedTuple):
    """What is in the files of a picture and its mask."""

    size: tuple[int, int]
    pixels: np.ndarray
    faults: list[Fault]


def _examine(
    pairs: Sequence[tuple[Path, Path]], n_classes: int, progress: bool
) -> Iterator[_Files]:
    """Read pairs of files, several at once."""

    def examine(pair: tuple[Path, Path]) -> _Files:
        picture, mask = pair
        size, picture_fault = _attempt(checked_size, picture)
        ids, mask_fault = _attempt(read_mask, mask)
        pixels = np.bincount(() if ids is None else ids.ravel(), minlength=256)
        if ids is not None and size not in (None, ids.shape[::-1]):
            mask_fault = "has another size than its picture"
        elif pixels[n_classes + 1 : VOID].any():
            mask_fault = f"holds a class id over {n_classes}"
        both = ((picture, picture_fault), (mask, mask_fault))
        return _Files(size or (0, 0), pixels, [Fault(path, what) for path, what in both if what])

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(examine, pairs)
        yield from tqdm(
            found, "checking", len(pairs), unit="image", disable=not progress, leave=False
        )


def _attempt(read: Callable[[Path], T], path: Path) -> tuple[T | None, str | None]:
    """What `read` returns, and what is wrong with the file; one of them is None."""
    if not path.exists():
        return None, "is missing"
    try:
        return read(path), None
    except InputError as error:
        return None, str(error).removeprefix(f"{path} ").split(" (")[0]
