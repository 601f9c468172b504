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
    counts: Sequence[Sequence[Counts]],
    other: Sequence[Sequence[Counts]],
    draws: int = 2000,
    seed: int = 0,
) -> Difference:
    """The mIoU of one method minus that of another on the same episodes, and a 95 % interval.

    The queries are drawn again with replacement, each with all of its episodes, and so are the
    trainings. Episodes that share a query are not independent: drawing episodes would make the
    interval too narrow. Training number t of one method is paired with number t of the other.

    Args:
        episodes: the questions, n of them.
        counts: for each training, pixels of the first method's answers, one for each episode; a
            method without training has one list.
        other: the same for the second method.
        draws: how often the queries and the trainings are drawn.
        seed: of the draws.

    Returns:
        The mean difference over the trainings, and the 2.5 % and 97.5 % quantiles.

    >>> episodes = [Episode(1, "a", ("b",)), Episode(1, "b", ("a",))]
    >>> paired_difference(episodes, [[Counts(8, 9, 9, 20)] * 2], [[Counts(4, 5, 9, 20)] * 2])
    Difference(value=0.4, low=0.4, high=0.4)
    """
    queries = sorted({e.query for e in episodes})
    classes = sorted({e.class_id for e in episodes})
    row = {query: i for i, query in enumerate(queries)}
    column = {class_id: i for i, class_id in enumerate(classes)}
    n, trainings = len(queries), len(counts)
    rng = np.random.default_rng(seed)
    weights = np.vstack([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=draws)])
    each = np.zeros((trainings, draws + 1))  # the difference in each training and draw
    for sign, method in ((1, counts), (-1, other)):
        for t, of_episodes in enumerate(method):
            sums = np.zeros((2, n, len(classes)))  # intersections and unions
            for e, c in zip(episodes, of_episodes, strict=True):
                sums[:, row[e.query], column[e.class_id]] += (c.both, c.either)
            both, either = weights @ sums
            with np.errstate(invalid="ignore"):
                ious = both / either  # NaN for a class whose queries a draw leaves out
            each[t] += sign * np.nanmean(ious, axis=1)
    times = rng.multinomial(trainings, np.full(trainings, 1 / trainings), size=draws) / trainings
    low, high = np.quantile((times.T * each[:, 1:]).sum(axis=0), (0.025, 0.975))
    return Difference(*(round(float(x), 6) for x in (each[:, 0].mean(), low, high)))
