"""Episodes: the folds, the protocol, which pairs may be asked about, and the questions.

"PASCAL-5i" is at least four protocols in public code, and their numbers do not compare. One
`Protocol` therefore travels with every score: printed beside it, stored in checkpoints and results.
The questions themselves are drawn before anything runs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from .datasets.voc import MaskIndex, VocFolder
from .store.errors import InputError
from .store.files import read_text, written_whole
from .store.pictures import VOID

FOLDS = 4
SCORED_AT = "original size"
"""The size at which masks are compared."""
_FIXED = {"void": VOID, "scored_at": SCORED_AT}
Pair = tuple[str, int]
ListRule = Literal["grid", "area", "any"]
NovelImages = Literal["keep", "drop", "void"]
Fold = int | tuple[str, ...] | None
"""Which classes are novel: those of fold 0, 1, 2 or 3; those with these names; None: no class."""


class NoEpisodes(InputError):
    """No class has the pictures that an episode needs."""


@dataclass(frozen=True)
class Protocol:
    """Everything that must be equal before two scores may be compared.

    Attributes:
        list_rule: which (image, class) pairs are episodes. "grid" (OSLSM, HSNet): more than 2 of
            the pixels mask[1::32, 1::32]; "area" (PFENet): at least 2,048 pixels; "any": one.
        novel_images: training images that also show novel classes are kept, their novel objects
            counting as background ("keep": CANet, PFENet, HSNet), left out ("drop": BAM, and LTM's
            released code), or kept with the novel objects not counted ("void": ours).
        shots: supports in an episode.
        episodes: test episodes a fold and a seed.
        seeds: one list of episodes is drawn for each.
    """

    list_rule: ListRule = "grid"
    novel_images: NovelImages = "keep"
    shots: int = 1
    episodes: int = 1000
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        if self.list_rule not in get_args(ListRule):
            raise InputError(f"list rule {self.list_rule!r}: choose grid, area or any")
        if self.novel_images not in get_args(NovelImages):
            raise InputError(f"novel images {self.novel_images!r}: choose keep, drop or void")
        if not all(type(n) is int and n >= 1 for n in (self.shots, self.episodes)):
            raise InputError("shots and episodes must be whole numbers, at least 1")
        object.__setattr__(self, "seeds", tuple(self.seeds))
        for seed in self.seeds:
            check_seed(seed)
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


def check_seed(seed: int) -> None:
    """Check that torch and NumPy both take a seed.

    Raises:
        InputError: it is no whole number from 0 to 2^63 - 1.
    """
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise InputError(f"seed {seed}: a seed is a whole number, 0 to 2^63 - 1")


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
        raise InputError(
            f"fold {fold}: there are folds 0, 1, 2 and 3, or a tuple of the novel classes' names"
        )
    if n_classes < FOLDS:
        raise InputError(
            f"{n_classes} classes cannot make {FOLDS} folds: name the novel ones, or use them all"
        )
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


class ClassRoles(NamedTuple):
    """The class ids (1-based) of a data set by their role in a fold.

    Attributes:
        novel: left out of the training.
        base: all others, which are trained on.
    """

    novel: tuple[int, ...]
    base: tuple[int, ...]

    @property
    def asked(self) -> tuple[int, ...]:
        """What a test asks about: the novel classes, or every class where none is novel."""
        return self.novel or self.base


def class_roles(fold: Fold, classes: Sequence[str]) -> ClassRoles:
    """Which classes of a data set are novel in a fold, and which are not.

    Raises:
        InputError: there is no such fold, or a name is not among the classes.

    >>> class_roles(("cat",), ["dog", "cat", "cow"])
    ClassRoles(novel=(2,), base=(1, 3))
    """
    if isinstance(fold, tuple):
        if unknown := [name for name in fold if name not in classes]:
            raise InputError(f"there is no class {unknown[0]!r}: there are {', '.join(classes)}")
        novel = tuple(c for c, name in enumerate(classes, start=1) if name in fold)
    else:
        novel = () if fold is None else novel_classes(fold, len(classes))
    return ClassRoles(novel, tuple(c for c in range(1, len(classes) + 1) if c not in novel))


def fold_label(fold: Fold | str) -> str:
    """A fold as a word, for tables and keys.

    >>> fold_label(2), fold_label(("cat", "dog")), fold_label(None)
    ('2', 'cat+dog', 'all')
    """
    if isinstance(fold, tuple):
        return "+".join(fold)
    return "all" if fold is None else str(fold)


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
    """Episodes in order, and the seed that drew them, before anything runs.

    Attributes:
        episodes: the questions.
        seed: drew them.
        path: the file that they were read from, if they were.
        lines: the line of each episode in that file, from 1 on.
    """

    episodes: tuple[Episode, ...]
    seed: int
    path: str = field(default="", compare=False)
    lines: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    def names(self) -> tuple[str, ...]:
        """Every image that some episode needs, each once."""
        return tuple(dict.fromkeys(n for e in self.episodes for n in (e.query, *e.supports)))

    def place(self, i: int) -> str:
        """Where episode i, from 0 on, comes from: the start of an error."""
        number = f"episode {i + 1} of {len(self)}"
        if self.path:
            return f"{self.path}, line {self.lines[i]} ({number})"
        return f"{number} in the list of seed {self.seed}"

    def save(self, path: str | Path) -> None:
        """Write the list as JSON, whole or not at all."""
        rows = [[e.class_id, e.query, *e.supports] for e in self.episodes]
        with written_whole(Path(path), durable=True) as part:
            part.write_text(json.dumps({"seed": self.seed, "episodes": rows}), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> EpisodeList:
        """Read a list that was saved, or written by hand.

        The file is JSON: {"seed": 0, "episodes": [[CLASS ID, "QUERY", "SUPPORT", ...], ...]}.

        Raises:
            InputError: the file is missing or no list of episodes.
        """
        try:
            text = read_text(path)
            data = json.loads(text)
            seed, rows = data["seed"], data["episodes"]
            check_seed(seed)
            if not isinstance(rows, list):
                raise TypeError('"episodes" is no list [[class id, "query", "support", ...], ...]')
            lines = _lines_of_rows(text, len(rows))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{path} cannot be read as a list of episodes ({error})") from None
        for row, line in zip(rows, lines, strict=True):
            names = row[1:] if isinstance(row, list) else []
            if len(names) < 2 or type(row[0]) is not int or not all(type(n) is str for n in names):
                raise InputError(
                    f"{path} cannot be read as a list of episodes (line {line}: {json.dumps(row)} "
                    'is not [class id, "query", "support", ...])'
                )
        episodes = tuple(Episode(c, query, tuple(supports)) for c, query, *supports in rows)
        return cls(episodes, seed, str(path), lines)


def _lines_of_rows(text: str, count: int) -> tuple[int, ...]:
    """The line on which each row of "episodes" starts in a list's JSON."""
    decoder, between, lines, line = json.JSONDecoder(), re.compile(r"[\s,]*"), [], 1
    before, at = 0, text.index("[", text.index('"episodes"')) + 1
    for _ in range(count):
        at = between.match(text, at).end()
        line += text.count("\n", before, at)
        lines.append(line)
        before, at = at, decoder.raw_decode(text, at)[1]
    return tuple(lines)


_COUNTED = {
    "grid": "more than 2 of the pixels mask[1::32, 1::32] show",
    "area": "at least 2,048 pixels show",
    "any": "a pixel shows",
}
"""What shows a class in a picture that counts under each list rule."""


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

    A class that has fewer distinct episodes than it would get has each of them once, at the end of
    the list, which is then shorter than `count`. The same pairs, shots and seed give the same list,
    anywhere; where no class is that small, a shorter list is its start.

    Raises:
        NoEpisodes: no class has the K + 1 images that an episode needs.
        InputError: the seed is none; see `check_seed`.
    """
    check_seed(seed)
    by_class = images_by_class(pairs)
    queries = [(name, c) for name, c in pairs if len(by_class[c]) > shots]
    if not queries:
        most = max((len(v) for v in by_class.values()), default=0)
        raise NoEpisodes(
            f"no episode with {shots} shots can be drawn: it takes {shots + 1} images of one "
            f"class, and the most that a class has is {most}; use fewer shots or more images"
        )
    rng = np.random.default_rng(seed)
    episodes: list[Episode] = []
    while len(episodes) < count:
        for i in rng.permutation(len(queries))[: count - len(episodes)]:
            name, c = queries[i]
            others = [n for n in by_class[c] if n != name]
            chosen = rng.choice(len(others), shots, replace=False)
            episodes.append(Episode(c, name, tuple(others[j] for j in chosen)))
    drawn = Counter(e.class_id for e in episodes)
    few = {c for c, n in drawn.items() if count_distinct(len(by_class[c]), shots) < n}
    once = [
        Episode(c, name, supports)
        for name, c in queries
        if c in few
        for supports in combinations([n for n in by_class[c] if n != name], shots)
    ]
    return EpisodeList((*(e for e in episodes if e.class_id not in few), *once), seed)


def count_distinct(pictures: int, shots: int) -> int:
    """How many distinct episodes, a query and a set of K supports, some pictures make.

    >>> count_distinct(3, 1), count_distinct(3, 5)
    (6, 0)
    """
    return pictures * comb(max(pictures - 1, 0), shots)


class Asked(NamedTuple):
    """What the score of one class rests on.

    Attributes:
        pictures: how many show the class and count under the list rule.
        distinct: how many distinct episodes they make.
        episodes: how many episodes the list of each seed holds.
        once: each list holds every distinct episode once, so that nothing in it is random.
    """

    pictures: int
    distinct: int
    episodes: tuple[int, ...]
    once: bool

    @classmethod
    def from_dict(cls, values: Mapping) -> Asked:
        """From the fields as JSON holds them, where a tuple is a list."""
        return cls(**{**values, "episodes": tuple(values["episodes"])})


def count_asked(
    lists: Sequence[EpisodeList], pairs: Sequence[Pair], classes: Sequence[int], shots: int
) -> dict[int, Asked]:
    """What lists ask about each class id, of the pairs that they were drawn from."""
    by_class, asked = images_by_class(pairs), {}
    for c in classes:
        pictures = len(by_class.get(c, ()))
        distinct = count_distinct(pictures, shots)
        each = [
            [(e.query, frozenset(e.supports)) for e in part if e.class_id == c] for part in lists
        ]
        once = distinct > 0 and all(len(part) == len(set(part)) == distinct for part in each)
        asked[c] = Asked(pictures, distinct, tuple(map(len, each)), once)
    return asked


def describe_few(asked: Mapping[str, Asked], shown: int = 8) -> list[str]:
    """Lines for a table: classes with few or no episodes, by name, and what that does to it."""

    def listed(texts: list[str]) -> str:
        more = f" and {len(texts) - shown} more" if texts[shown:] else ""
        return ", ".join(texts[:shown]) + more

    few = [f"{c} {a.distinct} ({a.pictures} pictures)" for c, a in asked.items() if a.once]
    none = [f"{c} ({a.pictures})" for c, a in asked.items() if not any(a.episodes)]
    lines = []
    if few:
        sizes = sorted({sum(n) for n in zip(*(a.episodes for a in asked.values()), strict=True)})
        size = " to ".join(f"{n:,}" for n in dict.fromkeys((sizes[0], sizes[-1])))
        lines.append(
            "few pictures, so that every distinct episode is asked once, the same for every seed: "
            f"{listed(few)}; in all {size} episodes a seed"
        )
    if none:
        lines.append(f"too few pictures for an episode: {listed(none)}; mIoU is of the others")
    return lines


def why_no_class(
    dataset: VocFolder,
    index: MaskIndex,
    classes: Sequence[int],
    protocol: Protocol,
    dropped: Collection[str] = (),
) -> str:
    """Why no class has the K + 1 pictures that an episode needs, and what to do: ends an error.

    Args:
        dataset: holds the masks.
        index: of the list that was looked at.
        classes: ids of the classes in question.
        protocol: the rules.
        dropped: names of pictures that were left out because they show novel classes.
    """

    def most(rule: ListRule) -> int:
        by_class = images_by_class(find_pairs(index, classes, rule))
        return max(map(len, by_class.values()), default=0)

    shots, rule = protocol.shots, protocol.list_rule
    if most(rule) > shots:
        shown = {name for name, _ in find_pairs(index, classes, rule)}
        left_out = shown.intersection(dropped)
        return (
            f'novel_images="drop" leaves out {len(left_out)} of the {len(shown)} pictures that '
            "show one, because they also show a novel class; "
            'novel_images="keep" keeps them, with the novel objects as background, '
            'novel_images="void" with those not counted'
        )
    if most("any") > shots:
        mask = dataset.mask(index.names[0])
        grid = f" (a mask of {mask.shape[1]} x {mask.shape[0]} has {mask[1::32, 1::32].size})"
        return (
            f"the {rule} rule counts a picture only where {_COUNTED[rule]} the class"
            f'{grid * (rule == "grid")}; list_rule="any" counts every picture that shows it'
        )
    void = sum(bool((dataset.mask(name) == VOID).any()) for name in index.names)
    if void and not index.pixels.any():
        return (
            f"{void} of the {len(index.names)} masks hold {VOID}, which is void and no class, and "
            "none holds a class id: write the object as 1, or import such masks as binary ones "
            "(ltm-edu import masks --binary)"
        )
    return f"the most that a class has is {most('any')}; use fewer shots or more images"


def images_by_class(pairs: Iterable[Pair]) -> dict[int, list[str]]:
    """Image names of each class, in the pairs' order."""
    names: dict[int, list[str]] = {}
    for name, c in pairs:
        names.setdefault(c, []).append(name)
    return names
