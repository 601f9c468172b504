"""Episodes: which pairs may be asked about, and the questions, drawn before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .datasets.voc_layout import MaskIndex
from .errors import InputError
from .paths import written_whole
from .protocol import ListRule

Pair = tuple[str, int]


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
    """Episodes drawn once, so that workers, batch size and hardware cannot change them.

    Attributes:
        episodes: the questions, in order.
        seed: what they were drawn with.
    """

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
    """The (image, class) pairs that count under a rule; see `Protocol.list_rule`.

    Args:
        index: counts of the masks.
        classes: class ids that may be asked about.
        rule: "grid", "area" or "any".

    Returns:
        (image name, class id), in the index's order.
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

    Args:
        pairs: from `find_pairs`.
        shots: K.
        count: how many episodes.
        seed: the same seed and pairs give the same list, anywhere.

    Raises:
        InputError: the seed is negative, or no class has the K + 1 images that an episode needs.
    """
    if seed < 0:
        raise InputError(f"seed {seed}: a seed is 0 or more")
    by_class = images_by_class(pairs)
    queries = [(n, c) for n, c in pairs if len(by_class[c]) > shots]
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
    found: dict[int, list[str]] = {}
    for name, c in pairs:
        found.setdefault(c, []).append(name)
    return found
