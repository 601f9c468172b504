"""Figures of the normalised attention map: its scale, and the choice of a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .base import (
    A_MAP,
    OKABE_ITO,
    R_MAP,
    Picture,
    answer_on,
    as_array,
    bare,
    square_grid,
    style,
    tinted,
)


def raw_and_normalised(queries: Mapping[str, Picture], A: Tensor, A_hat: Tensor) -> Figure:
    """Draw queries, below them their raw maps on one scale, and below these the normalised maps.

    Args:
        queries: title to (3, H, W) in [0, 1].
        A: raw attention, (B, N) in [-1, 1] on a square grid, in the queries' order.
        A_hat: the same maps after equation 6, (B, N) in [0, 1].
    """
    grid, n = square_grid(A.shape[1]), len(queries)
    with style():
        figure, axes = plt.subplots(
            3, n + 1, figsize=(2.3 * n + 0.9, 7.2), width_ratios=[1] * n + [0.07]
        )
        axes[0, n].axis("off")
        for k, (title, picture) in enumerate(queries.items()):
            bare(axes[0, k], title).imshow(as_array(picture))
        for row, name, maps, colours, low in (
            (axes[1], "$A$", A, R_MAP, -1),
            (axes[2], r"$\hat{A}$", A_hat, A_MAP, 0),
        ):
            for ax, values in zip(row, as_array(maps).reshape(n, *grid), strict=False):
                title = f"{name}, at most {values.max():.2f}"
                image = bare(ax, title).imshow(values, colours, vmin=low, vmax=1)
            figure.colorbar(image, cax=row[n], ticks=[low, (low + 1) / 2, 1])
    return figure


def threshold_masks(
    query: Picture,
    A_hat: Tensor,
    truth: Tensor,
    thresholds: Sequence[float],
    scores: Sequence[float],
    shown: Sequence[float],
    others: Sequence[Sequence[float]] = (),
) -> Figure:
    """Draw the IoU as a function of the threshold, and the masks of some thresholds.

    Args:
        query: (3, H, W) in [0, 1].
        A_hat: attention map at the query's size, (H, W) in [0, 1].
        truth: the object, (H, W), 1 inside; outlined in black.
        thresholds: the values of the horizontal axis.
        scores: IoU at each threshold.
        shown: the thresholds whose masks are drawn.
        others: scores of other episodes, drawn in grey.
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
            axes[0].text(t, 0.99, f"{t:g} ", ha="right", va="top", fontsize=8)
            bare(ax, rf"$\hat{{A}} > {t:g}$").imshow(cut(query, A_hat, t, truth))
    return figure


def cut(query: Picture, A_hat: Tensor, threshold: float, truth: Tensor | None = None) -> np.ndarray:
    """Tint everything above a threshold on the query, (H, W, 3) uint8.

    Args:
        query: (3, H, W) in [0, 1].
        A_hat: attention map at the query's size, (H, W) in [0, 1].
        threshold: pixels with a larger A_hat belong to the object.
        truth: the object, (H, W), 1 inside; outlined in black.
    """
    mask = as_array(A_hat) > threshold
    return tinted(query, mask) if truth is None else answer_on(query, mask, truth)
