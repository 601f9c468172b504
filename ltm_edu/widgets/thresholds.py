"""A widget of the normalised attention map: where to cut it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .. import figures
from .base import to_png

if TYPE_CHECKING:
    import ipywidgets


def threshold_slider(
    query: Tensor,
    on_image: Tensor,
    truth: Tensor,
    thresholds: Sequence[float],
    scores: Sequence[float],
    start: float = 0.6,
) -> ipywidgets.VBox:
    """Move the threshold; see the mask that it gives, and where it stands on the IoU curve.

    Args:
        query: (3, H, W) in [0, 1].
        on_image: A_hat resized to the query, (H, W).
        truth: the object, (H, W), 1 inside.
        thresholds: evenly spaced, where the curve was scored.
        scores: IoU at each.
        start: threshold to begin with.
    """
    import ipywidgets as ipw

    at = np.asarray(thresholds, dtype=float)
    iou = np.asarray(scores, dtype=float)
    first = int(np.abs(at - start).argmin())
    slider = ipw.SelectionSlider(
        options=[(f"{t:.2f}", k) for k, t in enumerate(at)], index=first, description="threshold"
    )
    picture, curve = (ipw.Image(format="png", height=300, width=w) for w in (300, 400))
    said = ipw.Label()

    def draw(_: object = None) -> None:
        k = slider.value
        picture.value = to_png(figures.cut(query, on_image, at[k], truth))
        curve.value = to_png(_curve(at, iou, k))
        said.value = f"above {at[k]:.2f}: IoU {iou[k]:.2f}; the best is {iou.max():.2f}"

    slider.observe(draw, "value")
    draw()
    wrap = ipw.Layout(flex_flow="row wrap")
    return ipw.VBox([slider, ipw.HBox([picture, curve], layout=wrap), said])


def _curve(at: np.ndarray, iou: np.ndarray, k: int) -> np.ndarray:
    """A bar a threshold, as high as its IoU; the chosen one in orange, (300, 400, 3) uint8."""
    height, width, edge = 300, 400, 12
    pixels = np.full((height, width, 3), 255, np.uint8)
    for share in (0.25, 0.5, 0.75, 1):
        pixels[height - edge - round(share * (height - 2 * edge)), edge:-edge] = 220
    borders = np.linspace(edge, width - edge, len(at) + 1).round().astype(int)
    for i, (left, right) in enumerate(pairwise(borders)):
        top = height - edge - round(float(iou[i]) * (height - 2 * edge))
        pixels[top : height - edge, left : right - 1] = (230, 159, 0) if i == k else (0, 114, 178)
    pixels[height - edge, edge:-edge] = 0
    return pixels
