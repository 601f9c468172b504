"""What a score means: the folds, the rule for pairs, the episodes, the seeds, the scoring size.

"PASCAL-5i" is at least four protocols in public code, and their numbers do not compare. One
`Protocol` therefore travels with every score: printed beside it, stored in checkpoints and results.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from .errors import InputError

FOLDS = 4
# fmt: off
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle",
    "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on

ListRule = Literal["grid", "area", "any"]


@dataclass(frozen=True)
class Protocol:
    """Everything that must be equal before two scores may be compared.

    Attributes:
        list_rule: which (image, class) pairs are episodes. "grid" (OSLSM, HSNet): more than 2 of
            the pixels mask[1::32, 1::32]; "area" (PFENet): at least 2,048 pixels; "any": one.
        novel_images: training images that also show novel classes are kept, their novel objects
            counting as background ("keep": CANet, PFENet, HSNet), or left out ("drop": BAM, and
            LTM's released code).
        shots: supports in an episode.
        episodes: test episodes a fold and a seed.
        seeds: one list of episodes is drawn for each.
        void: the label that never counts.
        scored_at: the size at which masks are compared.
    """

    list_rule: ListRule = "grid"
    novel_images: Literal["keep", "drop"] = "keep"
    shots: int = 1
    episodes: int = 1000
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    void: int = 255
    scored_at: Literal["original size"] = "original size"

    def __post_init__(self) -> None:
        if self.list_rule not in ("grid", "area", "any"):
            raise InputError(f"list rule {self.list_rule!r}: choose grid, area or any")
        if self.novel_images not in ("keep", "drop"):
            raise InputError(f"novel images {self.novel_images!r}: choose keep or drop")
        if self.shots < 1 or self.episodes < 1:
            raise InputError("shots and episodes must be at least 1")
        object.__setattr__(self, "seeds", tuple(self.seeds))
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds {', '.join(map(str, self.seeds))}: name each once")

    def __str__(self) -> str:
        seeds = ",".join(map(str, self.seeds))
        return (
            f"{self.shots}-shot, {self.episodes} episodes x seeds {seeds}, pairs by the "
            f"{self.list_rule} rule, novel images in training: {self.novel_images}, "
            f"scored at {self.scored_at}, {self.void} not counted"
        )

    def as_dict(self) -> dict:
        """Plain values, for JSON."""
        return {**asdict(self), "seeds": list(self.seeds)}


def novel_classes(fold: int, n_classes: int = 20) -> tuple[int, ...]:
    """The class ids (1-based) that a fold tests and never trains on.

    Twenty classes are split as PASCAL-5i has them, five neighbours a fold; any other number as
    COCO-20i has its eighty, interleaved: class c is novel in fold (c - 1) % 4.

    Raises:
        InputError: the fold is not 0, 1, 2 or 3, or there are fewer than 4 classes.

    >>> novel_classes(0), novel_classes(3)[:2], novel_classes(1, 80)[:3]
    ((1, 2, 3, 4, 5), (16, 17), (2, 6, 10))
    """
    if fold not in range(FOLDS):
        raise InputError(f"fold {fold}: there are folds 0, 1, 2 and 3")
    if n_classes < FOLDS:
        raise InputError(f"{n_classes} classes cannot make {FOLDS} folds")
    if n_classes == 20:
        return tuple(range(5 * fold + 1, 5 * fold + 6))
    return tuple(c for c in range(1, n_classes + 1) if (c - 1) % FOLDS == fold)


def base_classes(fold: int, n_classes: int = 20) -> tuple[int, ...]:
    """The class ids that a fold trains on: all that are not novel.

    >>> len(base_classes(2)), len(base_classes(2, 80))
    (15, 60)
    """
    novel = set(novel_classes(fold, n_classes))
    return tuple(c for c in range(1, n_classes + 1) if c not in novel)
