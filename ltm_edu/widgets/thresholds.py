"""A widget of the normalised attention map: the choice of a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .. import figures
from .base import draw_on_change, empty_pictures, show, side_by_side

if TYPE_CHECKING:
    import ipywidgets


def threshold_slider(
    query: Tensor,
    A_hat: Tensor,
    truth: Tensor,
    thresholds: Sequence[float],
    scores: Sequence[float],
    start: float = 0.6,
) -> ipywidgets.VBox:
    """Choose a threshold; see the mask above it, and its IoU among those of the other thresholds.

    Args:
        query: (3, H, W) in [0, 1].
        A_hat: attention map at the query's size, (H, W) in [0, 1].
        truth: the object, (H, W), 1 inside.
        thresholds: evenly spaced.
        scores: IoU at each threshold.
        start: the threshold to begin with.
    """
    import ipywidgets as ipw

    cuts = np.asarray(thresholds, dtype=float)
    ious = np.asarray(scores, dtype=float)
    slider = ipw.SelectionSlider(
        options=[(f"{t:.2f}", k) for k, t in enumerate(cuts)],
        index=int(np.abs(cuts - start).argmin()),
        description="threshold",
    )
    picture = empty_pictures("mask; black: the truth", width=300)
    curve = empty_pictures("IoU at each threshold", width=400)
    summary = ipw.Label()

    def draw() -> None:
        k = slider.value
        show(picture, [figures.cut(query, A_hat, cuts[k], truth)])
        show(curve, [_curve(ious, k)])
        summary.value = f"above {cuts[k]:.2f}: IoU {ious[k]:.2f}; the best is {ious.max():.2f}"

    draw_on_change(draw, slider)
    return ipw.VBox([slider, side_by_side({**picture, **curve}), summary])


def _curve(ious: np.ndarray, chosen: int) -> np.ndarray:
    """Draw one bar for each threshold, the chosen one in orange, (300, 400, 3) uint8."""
    height, width, edge = 300, 400, 12
    pixels = np.full((height, width, 3), 255, np.uint8)
    for share in (0.25, 0.5, 0.75, 1):
        pixels[height - edge - round(share * (height - 2 * edge)), edge:-edge] = 220
    borders = np.linspace(edge, width - edge, len(ious) + 1).round().astype(int)
    for k, (left, right) in enumerate(pairwise(borders)):
        top = height - edge - round(float(ious[k]) * (height - 2 * edge))
        colour = (230, 159, 0) if k == chosen else (0, 114, 178)
        pixels[top : height - edge, left : right - 1] = colour
    pixels[height - edge, edge:-edge] = 0
    return pixels
