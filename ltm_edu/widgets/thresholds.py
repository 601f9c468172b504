"""A figure of the normalised attention map: the choice of a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..equations import check_in_unit_range, check_shape
from ..store.errors import InputError
from .touched import check_picture, mask_bytes, picture_bytes, share_bytes, touched

if TYPE_CHECKING:
    import anywidget


def threshold_slider(
    query: Tensor,
    A_hat: Tensor,
    truth: Tensor,
    thresholds: Sequence[float],
    scores: Sequence[float],
    start: float = 0.6,
) -> anywidget.AnyWidget:
    """Drag a threshold over the histogram of A_hat; the mask above it and its IoU follow.

    Args:
        query: (3, H, W) in [0, 1].
        A_hat: attention map at the query's size, (H, W) in [0, 1]; it travels as two bytes a pixel,
            so a value is at most 1 / 131,070 wrong.
        truth: the object, (H, W) of 0, 1 and 255.
        thresholds: those of the curve, in ascending order.
        scores: IoU at each of them.
        start: the threshold to begin with.

    Raises:
        ValueError: a shape does not fit the others, or a value is outside [0, 1].
    """
    size = check_picture("query", query)
    check_shape("A_hat", A_hat, *size, hint=", the size of the query")
    check_in_unit_range(A_hat, "A_hat")
    check_shape("truth", truth, *size, hint=", the size of the query")
    if len(thresholds) != len(scores) or not len(scores):
        raise InputError(
            f"there are {len(thresholds)} thresholds and {len(scores)} scores: pass one score for "
            "each threshold"
        )
    if not 0 <= start <= 1:
        raise InputError(f"start is {start:g}: it must lie between 0 and 1")
    state = {
        "kind": "threshold",
        "query": picture_bytes(query),
        "size": [*size],
        "A_hat": share_bytes(A_hat.clamp(0, 1)),
        "truth": mask_bytes(truth),
        "thresholds": [float(t) for t in thresholds],
        "scores": [float(s) for s in scores],
        "start": float(start),
    }
    return touched("An interactive figure: a threshold on A_hat, its mask and its IoU", state)
