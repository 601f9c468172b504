"""Is the class in the query at all? What equation 6 throws away.

Equation 6 stretches every map to [0, 1]: a query without the object gets a map as bright as a query
with it. The cosines before that step still hold it. The features are those of the frozen backbone
minus their mean, so what is found here does not depend on how the rest of the network was trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MOST_SIMILAR = 1 / 44
"""The part of the query's cells, the most similar ones, whose mean cosine counts: 10 of 21 x 21, 17
of 27 x 27. It is steadier than the cosine of the most similar cell alone."""

CALIBRATION = {1: (13.77, -3.06), 5: (19.24, -5.02)}
"""Supports to slope and offset of the logistic function from that cosine to presence. Measured on
EfficientNet-Lite0's features of photographs, on as many pairs that both show a class as pairs of
which one does not, by `python -m tools.presence --shots 1` and `--shots 5`."""

UNCALIBRATED = (2.0, 0.0)
"""The same for features that were not measured: only the order of the queries means something."""

MIN_PRESENCE = 0.5
"""Queries with less get an empty mask unless something else is asked for."""


def prototype(F_s: Tensor, G_s: Tensor, mean: Tensor | float = 0.0) -> Tensor:
    """What an object looks like: the mean direction of the supports' features on it.

    Args:
        F_s: features of K supports, (K, C, h, w).
        G_s: their masks on the grid, (K, 1, h, w), in [0, 1], none of them empty.
        mean: the mean feature, (C, 1, 1).

    Returns:
        (C,), of length 1. Each support has the same weight, however large its object is.
    """
    u = F.normalize(F_s - mean, dim=1)
    each = F.normalize((u * G_s).sum(dim=(2, 3)), dim=1)
    return F.normalize(each.mean(dim=0), dim=0)


def most_similar_cells(F_q: Tensor, prototypes: Tensor, mean: Tensor | float = 0.0) -> Tensor:
    """The mean cosine of those cells of a query that are most like an object, a fixed part.

    F_q (B, C, h, w), prototypes (n, C) -> (B, n), in [-1, 1].
    """
    u = F.normalize(F_q - mean, dim=1).flatten(2)
    cosines = prototypes @ u
    count = max(1, round(MOST_SIMILAR * cosines.shape[2]))
    return cosines.topk(count, dim=2).values.mean(dim=2)


def presence_of(cosine: Tensor, shots: Sequence[int], calibrated: bool) -> Tensor:
    """From what `most_similar_cells` gives to presence.

    Args:
        cosine: (B, n).
        shots: how many supports each of the n prototypes comes from.
        calibrated: whether the features are those that CALIBRATION was measured on.

    Returns:
        (B, n), in [0, 1].
    """
    measured = [*CALIBRATION.values()] if calibrated else [UNCALIBRATED] * len(CALIBRATION)
    slope, offset = (np.interp(shots, [*CALIBRATION], v) for v in zip(*measured, strict=True))
    return torch.sigmoid(cosine * cosine.new_tensor(slope) + cosine.new_tensor(offset))
