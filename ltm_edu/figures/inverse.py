"""Figures of the generalized inverse of a mask: least squares, attention maps, painted masks."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch.nn.functional as F
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from ..equations import attention, normalize_attention
from .base import (
    A_MAP,
    OKABE_ITO,
    Picture,
    as_array,
    attention_bar,
    bare,
    draw_contour,
    enlarged,
    relation_bar,
    show,
    style,
    tinted,
)
from .relation import relation_overlay
from .scores import iou


def least_squares(values: Tensor, masks: Mapping[str, Tensor]) -> Figure:
    """Draw a row of R over a mask, the line a * g with the least error, and each a's squared error.

    Args:
        values: one row of R, N_s values in any shape.
        masks: title to a mask, N_s values in [0, 1] in any shape; each has a pair of panels.
    """
    r = as_array(values.flatten())
    with style():
        figure, axes = plt.subplots(
            1, 2 * len(masks), figsize=(4.6 * 2 * len(masks), 3.3), squeeze=False
        )
        for k, (title, mask) in enumerate(masks.items()):
            g = as_array(mask.flatten())
            left, right = axes[0, 2 * k : 2 * k + 2]
            best = float(r @ g / (g @ g))
            inside, orange, blue = g > 0, OKABE_ITO["orange"], OKABE_ITO["blue"]
            left.scatter(g[~inside], r[~inside], s=14, color="0.7", label="outside")
            left.scatter(g[inside], r[inside], s=14, color=orange, label="on the object")
            left.plot([0, 1], [0, best], color=blue, label=r"$a\,g_j$, best $a$")
            left.set(xlabel="$g_j$, mask", ylabel="$R_{ij}$, cosine", title=title)
            left.legend(loc="upper left")
            left.set_ylim(min(r.min(), 0) - 0.05, r.max() + 0.45)
            a = best + np.linspace(-0.5, 0.5, 101)
            error = ((r - a[:, None] * g) ** 2).sum(axis=1)
            right.plot(a, error, color="black")
            right.axvline(best, color=blue, linestyle="--")
            right.plot(best, error.min(), "o", color=blue)
            right.set(xlabel="$a$", ylabel="squared error", title="squared error for each $a$")
    return figure


def explained(support: Picture, row: Tensor, a: float, g: Tensor, mask: Tensor) -> Figure:
    """Draw a row of R over the support, the same row of A G_s, and their difference.

    Args:
        support: (3, H, W) in [0, 1].
        row: one row of R, N_s values in any shape.
        a: that row's entry of A.
        g: the mask on the grid, (h, w).
        mask: the support's object, (H, W), 1 inside; outlined in black.
    """
    values = row.reshape(g.shape)
    panels = {
        "row $i$ of R": values,
        r"row $i$ of $A\,G_s$": a * g,
        "difference": values - a * g,
    }
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(10.2, 3.3))
        for ax, (title, relation) in zip(axes, panels.items(), strict=True):
            bare(ax, title).imshow(relation_overlay(support, relation.clamp(-1, 1), mask))
        relation_bar(figure, axes)
    return figure


def attention_maps(
    maps: Mapping[str, Tensor],
    outline: Tensor | None = None,
    pictures: Mapping[str, Picture] | None = None,
    difference: str | None = None,
) -> Figure:
    """Draw pictures, and then attention maps with one colour map, in a row.

    Args:
        maps: title to (h, w) values in [0, 1].
        outline: an object to outline in white on every map, (H, W), 1 inside.
        pictures: title to a picture.
        difference: the title of a map with values of both signs; it has its own colours.
    """
    pictures = pictures or {}
    n = len(pictures) + len(maps)
    side = 3 if n < 5 else 2.5
    with style():
        figure, axes = plt.subplots(1, n, figsize=(side * n + 0.8, side + 0.45), squeeze=False)
        for ax, (title, picture) in zip(axes[0], pictures.items(), strict=False):
            show(ax, picture, title)
        unsigned = []
        for ax, (title, values) in zip(axes[0, len(pictures) :], maps.items(), strict=True):
            size = tuple(values.shape if outline is None else outline.shape)
            bare(ax, title)
            if title == difference:
                top = max(float(values.abs().max()), 1e-6)
                image = ax.imshow(enlarged(values, size), cmap="PuOr_r", vmin=-top, vmax=top)
                figure.colorbar(image, ax=ax, ticks=[-top, 0, top], format="%.2f", fraction=0.046)
            else:
                ax.imshow(enlarged(values, size), cmap=A_MAP, vmin=0, vmax=1)
                unsigned.append(ax)
            if outline is not None:
                draw_contour(ax, outline)
        attention_bar(figure, unsigned, fraction=0.025)
    return figure


def painted(picture: Picture, g: Tensor) -> np.ndarray:
    """Paint the cells of a mask over a picture in orange, (H, W, 3) uint8.

    Args:
        picture: (3, H, W) in [0, 1].
        g: mask on the grid, (h, w) in [0, 1]; the larger the value, the stronger the colour.
    """
    pixels = as_array(picture)
    grey = 0.6 * pixels + 0.4 * pixels.mean(axis=2, keepdims=True)
    share = 0.75 * enlarged(g, pixels.shape[:2])[..., None]
    mixed = (1 - share) * grey + share * to_rgb(OKABE_ITO["orange"])
    return (255 * mixed).round().astype(np.uint8)


def answer_of_mask(
    R: Tensor, g: Tensor, size: tuple[int, int], threshold: float
) -> tuple[Tensor, np.ndarray]:
    """Compute the attention map of a mask, and the answer above a threshold.

    Args:
        R: (N_q, N_s), the query's grid of the mask's shape.
        g: support mask, (h, w) in [0, 1].
        size: (H, W) of the query.
        threshold: pixels with a larger A_hat belong to the object.

    Returns:
        A_hat, (h, w) in [0, 1], and the answer, (H, W) bool.
    """
    A_hat = normalize_attention(attention(R[None], g[None, None])).reshape(1, 1, *g.shape)
    on_image = F.interpolate(A_hat, size, mode="bilinear", align_corners=True)[0, 0]
    return A_hat[0, 0], (on_image > threshold).numpy()


def painted_masks(
    support: Picture,
    query: Picture,
    R: Tensor,
    masks: Mapping[str, Tensor],
    truth: Tensor,
    threshold: float = 0.6,
) -> Figure:
    """Draw masks on one support, and below each mask its attention map and its answer.

    Args:
        support: (3, H, W) in [0, 1].
        query: (3, H, W) in [0, 1].
        R: (N_q, N_s), one grid for both.
        masks: title to (h, w) in [0, 1].
        truth: the query's object, (H, W) of 0, 1 and 255; outlined in white on the maps.
        threshold: pixels with a larger A_hat belong to the object.
    """
    size = tuple(truth.shape)
    with style():
        figure, axes = plt.subplots(
            3, len(masks), figsize=(2.2 * len(masks) + 0.8, 6.7), squeeze=False
        )
        for column, (title, g) in zip(axes.T, masks.items(), strict=True):
            A_hat, answer = answer_of_mask(R, g, size, threshold)
            bare(column[0], title).imshow(painted(support, g))
            bare(column[1], r"$\hat{A}$ over the query").imshow(
                enlarged(A_hat, size), cmap=A_MAP, vmin=0, vmax=1
            )
            draw_contour(column[1], truth)
            bare(column[2], f"answer, IoU {iou(answer, truth):.2f}").imshow(tinted(query, answer))
        attention_bar(figure, axes, label=r"$\hat{A}$", shrink=0.3, aspect=20)
    return figure
