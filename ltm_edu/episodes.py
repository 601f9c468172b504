"""Episodes: the folds, the protocol, which pairs may be asked about, and the questions.

"PASCAL-5i" is at least four protocols in public code, and their numbers do not compare. One
`Protocol` therefore travels with every score: printed beside it, stored in checkpoints and results.
The questions themselves are drawn before anything runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .datasets.voc import MaskIndex
from .store.errors import InputError
from .store.files import written_whole
from .store.pictures import VOID

FOLDS = 4
SCORED_AT = "original size"
"""The size at which masks are compared."""
_FIXED = {"void": VOID, "scored_at": SCORED_AT}
Pair = tuple[str, int]
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
    """

    list_rule: ListRule = "grid"
    novel_images: Literal["keep", "drop"] = "keep"
    shots: int = 1
    episodes: int = 1000
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

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
            f"scored at {SCORED_AT}, {VOID} not counted"
        )

    def as_dict(self) -> dict:
        """Plain values, for JSON; what no option changes is in them as well."""
        return {**asdict(self), "seeds": list(self.seeds), **_FIXED}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Protocol:
        """The inverse of `as_dict`.

        Raises:
            InputError: a value that this code cannot follow.
            TypeError: an unknown field.
        """
        for name, value in _FIXED.items():
            if values.get(name, value) != value:
                raise InputError(f"{name} {values[name]!r}: this code knows {value!r} only")
        return cls(**{k: v for k, v in values.items() if k not in _FIXED})


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


def asked_classes(fold: int | None, n_classes: int = 20) -> tuple[int, ...]:
    """The class ids that a test asks about: a fold's novel classes, or all of them for None."""
    return tuple(range(1, n_classes + 1)) if fold is None else novel_classes(fold, n_classes)


@dataclass(frozen=True)
class Episode:
    """One question: find `class_id` in `query`, given `supports` that show it.

    Attributes:
        class_id: the class, 1-based.
        query: image name.
        supports: K distinct image names, none of them the query.
    """

    class_id: int
    query: str
    supports: tuple[str, ...]


@dataclass(frozen=True)
class EpisodeList:
    """Episodes in order, and the seed that drew them, before anything runs."""

    episodes: tuple[Episode, ...]
    seed: int

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    def names(self) -> tuple[str, ...]:
        """Every image that some episode needs, each once."""
        return tuple(dict.fromkeys(n for e in self.episodes for n in (e.query, *e.supports)))

    def save(self, path: str | Path) -> None:
        """Write the list as JSON, whole or not at all."""
        rows = [[e.class_id, e.query, *e.supports] for e in self.episodes]
        with written_whole(Path(path)) as part:
            part.write_text(json.dumps({"seed": self.seed, "episodes": rows}), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> EpisodeList:
        """Read a saved list.

        Raises:
            InputError: the file is missing or no list of episodes.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            rows = [Episode(int(c), str(q), tuple(map(str, s))) for c, q, *s in data["episodes"]]
            return cls(tuple(rows), int(data["seed"]))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} cannot be read as a list of episodes ({error})") from None


def find_pairs(index: MaskIndex, classes: Iterable[int], rule: ListRule = "grid") -> list[Pair]:
    """The (image name, class id) pairs of some classes that count under a `Protocol.list_rule`.

    They come in the index's order, the classes of an image in ascending order.
    """
    keep = {"grid": index.grid > 2, "area": index.pixels >= 2048, "any": index.pixels > 0}[rule]
    wanted = sorted(classes)
    rows = zip(index.names, keep, strict=True)
    return [(name, c) for name, row in rows for c in wanted if row[c - 1]]


def drop_images(index: MaskIndex, classes: Iterable[int]) -> set[str]:
    """Images with at least one pixel of any of these classes: those that "drop" leaves out."""
    shown = index.pixels[:, [c - 1 for c in classes]].any(axis=1)
    return {name for name, drop in zip(index.names, shown, strict=True) if drop}


def draw_episodes(pairs: Sequence[Pair], shots: int, count: int, seed: int) -> EpisodeList:
    """Draw test episodes: every pair is a query once before any is twice, supports at random.

    The same pairs, shots and seed give the same list, anywhere; a shorter list is its start.

    Raises:
        InputError: the seed is negative, or no class has the K + 1 images that an episode needs.
    """
    if seed < 0:
        raise InputError(f"seed {seed}: a seed is 0 or more")
    by_class = images_by_class(pairs)
    queries = [(name, c) for name, c in pairs if len(by_class[c]) > shots]
    if not queries:
        most = max((len(v) for v in by_class.values()), default=0)
        raise InputError(
            f"no episode with {shots} shots can be drawn: it takes {shots + 1} images of one "
            f"class, and the most that a class has is {most}; use fewer shots or more images"
        )
    rng = np.random.default_rng(seed)
    episodes = []
    while len(episodes) < count:
        for i in rng.permutation(len(queries))[: count - len(episodes)]:
            name, c = queries[i]
            others = [n for n in by_class[c] if n != name]
            chosen = rng.choice(len(others), shots, replace=False)
            episodes.append(Episode(c, name, tuple(others[j] for j in chosen)))
    return EpisodeList(tuple(episodes), seed)


def images_by_class(pairs: Iterable[Pair]) -> dict[int, list[str]]:
    """Image names of each class, in the pairs' order."""
    names: dict[int, list[str]] = {}
    for name, c in pairs:
        names.setdefault(c, []).append(name)
    return names
