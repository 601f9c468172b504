"""The difference of two methods on the same episodes, and how far chance may move it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..episodes import Episode
from ..scores import Counts


class Difference(NamedTuple):
    """A difference of two mIoUs and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired_difference(
    episodes: Sequence[Episode],
    counts: Sequence[Counts],
    other: Sequence[Counts],
    draws: int = 2000,
    seed: int = 0,
) -> Difference:
    """The mIoU of one method minus that of another on the same episodes, and a 95 % interval.

    The queries are drawn again with replacement, each with all of its episodes. Episodes that
    share a query are not independent: drawing episodes would make the interval too narrow.

    Args:
        episodes: the questions, n of them.
        counts: pixels of the first method's answers, one for each episode.
        other: the same for the second method.
        draws: how often the queries are drawn.
        seed: of the draws.

    Returns:
        The difference on the episodes themselves, and the 2.5 % and 97.5 % quantiles.

    >>> episodes = [Episode(1, "a", ("b",)), Episode(1, "b", ("a",))]
    >>> paired_difference(episodes, [Counts(8, 9, 9, 20)] * 2, [Counts(4, 5, 9, 20)] * 2)
    Difference(value=0.4, low=0.4, high=0.4)
    """
    queries = sorted({e.query for e in episodes})
    classes = sorted({e.class_id for e in episodes})
    row = {query: i for i, query in enumerate(queries)}
    column = {class_id: i for i, class_id in enumerate(classes)}
    # Intersections and unions of both methods: (2 methods, 2, queries, classes).
    sums = np.zeros((2, 2, len(queries), len(classes)))
    for method, of_episodes in zip(sums, (counts, other), strict=True):
        for e, c in zip(episodes, of_episodes, strict=True):
            method[:, row[e.query], column[e.class_id]] += (c.both, c.either)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(queries), np.full(len(queries), 1 / len(queries)), size=draws)
    low, high = np.quantile(_difference(sums, weights), (0.025, 0.975))
    value = _difference(sums, np.ones((1, len(queries))))[0]
    return Difference(*(round(float(x), 6) for x in (value, low, high)))


def _difference(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The difference of the mIoUs under each row of weights of the queries."""
    both, either = np.moveaxis(weights @ sums, 1, 0)  # each (2 methods, draws, classes)
    with np.errstate(invalid="ignore"):
        ious = both / either  # NaN for a class whose queries a draw leaves out
    first, second = np.nanmean(ious, axis=2)
    return first - second
