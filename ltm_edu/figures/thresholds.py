"""Figures of the normalised attention map: what it forgets, and where to cut it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from .base import (
    A_MAP,
    OKABE_ITO,
    R_MAP,
    Picture,
    as_array,
    as_uint8,
    bare,
    faded,
    outline,
    square_grid,
    style,
    tint,
)


def raw_and_normalised(queries: Mapping[str, Picture], A: Tensor, A_hat: Tensor) -> Figure:
    """Queries above, the raw map of each on one scale, and below what equation 6 makes of it.

    Args:
        queries: title to (3, H, W) in [0, 1].
        A: raw attention, (B, N) in [-1, 1] on a square grid, in the queries' order.
        A_hat: the same after equation 6, (B, N) in [0, 1].
    """
    grid, n = square_grid(A.shape[1]), len(queries)
    with style():
        figure, axes = plt.subplots(
            3, n + 1, figsize=(2.3 * n + 0.9, 7.2), width_ratios=[1] * n + [0.07]
        )
        axes[0, n].axis("off")
        for k, (title, picture) in enumerate(queries.items()):
            bare(axes[0, k], title).imshow(as_array(picture))
            raw, stretched = (as_array(x[k]).reshape(grid) for x in (A, A_hat))
            bare(axes[1, k], f"$A$, at most {raw.max():.2f}").imshow(raw, R_MAP, vmin=-1, vmax=1)
            bare(axes[2, k], rf"$\hat{{A}}$, at most {stretched.max():.2f}").imshow(
                stretched, A_MAP, vmin=0, vmax=1
            )
        for row, (colours, ticks) in enumerate(((R_MAP, [-1, 0, 1]), (A_MAP, [0, 0.5, 1])), 1):
            values = ScalarMappable(Normalize(ticks[0], ticks[-1]), colours)
            figure.colorbar(values, cax=axes[row, n], ticks=ticks)
    return figure


def threshold_masks(
    query: Picture,
    on_image: Tensor,
    truth: Tensor,
    thresholds: Sequence[float],
    scores: Sequence[float],
    shown: Sequence[float],
    others: Sequence[Sequence[float]] = (),
) -> Figure:
    """The curve of IoU over the threshold, and the masks that some thresholds give.

    Args:
        query: (3, H, W) in [0, 1].
        on_image: A_hat resized to the query, (H, W).
        truth: the object, (H, W), 1 inside; outlined in black.
        thresholds: where the curve was scored.
        scores: IoU at each.
        shown: thresholds whose masks are drawn.
        others: curves of other episodes, drawn in grey.
    """
    with style():
        figure, axes = plt.subplots(
            1, len(shown) + 1, figsize=(3 * len(shown) + 4.2, 3.3),
            width_ratios=[1.35] + [1] * len(shown),
        )  # fmt: skip
        for curve in others:
            axes[0].plot(thresholds, curve, color="0.8", linewidth=1.2)
        axes[0].plot(thresholds, scores, color=OKABE_ITO["blue"], linewidth=2)
        axes[0].set(xlim=(0, 1), ylim=(0, 1), ylabel="IoU", xlabel=r"threshold on $\hat{A}$")
        axes[0].set_title("this episode" + (", and others in grey" if len(others) else ""))
        for ax, t in zip(axes[1:], shown, strict=True):
            axes[0].axvline(t, color=OKABE_ITO["orange"], linestyle=":")
            bare(ax, rf"$\hat{{A}} > {t:g}$").imshow(cut(query, on_image, t, truth))
    return figure


def cut(
    query: Picture, on_image: Tensor, threshold: float, truth: Tensor | None = None
) -> np.ndarray:
    """The query with everything above a threshold tinted, (H, W, 3) uint8.

    Args:
        query: (3, H, W) in [0, 1].
        on_image: A_hat resized to the query, (H, W).
        threshold: what to cut at.
        truth: the object, (H, W), 1 inside; outlined in black.
    """
    on = as_array(on_image) > threshold
    drawn = np.array(tint(faded(as_uint8(query), on), on, "orange"))
    if truth is not None:
        drawn[outline(truth)] = 0
    return drawn
