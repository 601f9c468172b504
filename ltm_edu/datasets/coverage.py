"""How much of a data set is there, where some of the pictures that its lists name are missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .voc import VocFolder


@dataclass(frozen=True)
class Coverage:
    """How much of a list is there.

    Attributes:
        split: the list.
        available: how many of its pictures are there, with their masks.
        listed: how many it names.
        unknown: of how many missing pictures the mask is missing as well, so that nobody knows
            what they show.
        of_classes: class name to the pictures that show it: those that are there, and all whose
            mask is there.
    """

    split: str
    available: int
    listed: int
    unknown: int
    of_classes: dict[str, tuple[int, int]]

    @classmethod
    def from_dict(cls, values: dict) -> Coverage:
        """From the fields as JSON holds them, where a pair is a list."""
        pairs = {name: tuple(pair) for name, pair in values["of_classes"].items()}
        return cls(**{**values, "of_classes": pairs})

    def __str__(self) -> str:
        classes = ", ".join(f"{c} {n} of {m}" for c, (n, m) in self.of_classes.items())
        text = f"only {self.available:,} of the {self.listed:,} pictures in {self.split} are there"
        text += f"; pictures that show a class: {classes}"
        if self.unknown:
            text += f" (without {self.unknown:,} whose masks are missing too)"
        return text


def coverage(dataset: VocFolder, split: str, classes: Iterable[int]) -> Coverage | None:
    """How much of a list is there after `VocFolder.available`; None if nothing is missing.

    Args:
        dataset: the folder.
        split: the list; "all" for every list.
        classes: ids of the classes to look at.

    Raises:
        InputError: a mask cannot be read.
    """
    splits = dataset.missing if split == "all" else {split: dataset.missing.get(split, ())}
    missing = list(dict.fromkeys(n for names in splits.values() for n in names))
    if not missing:
        return None
    with_mask = [n for n in missing if dataset.mask_path(n).exists()]
    present = (dataset.index(split).pixels > 0).sum(axis=0)
    absent = (dataset.count(with_mask).pixels > 0).sum(axis=0)
    of_classes = {
        dataset.classes[c - 1]: (int(present[c - 1]), int(present[c - 1] + absent[c - 1]))
        for c in classes
    }
    available = len(dataset.names(split))
    listed = available + len(missing)
    return Coverage(split, available, listed, len(missing) - len(with_mask), of_classes)
