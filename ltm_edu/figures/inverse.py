"""Figures of a mask's inverse: least squares, attention maps, painted masks."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch.nn.functional as F
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from ..equations import attention, normalize_attention
from ..scores import IoUCounter
from .base import A_MAP, OKABE_ITO, R_MAP, Picture, as_array, bare, cell_of_pixel, style, tinted
from .relation import relation_overlay


def least_squares(values: Tensor, masks: Mapping[str, Tensor]) -> Figure:
    """A row of R against a mask: the line a * g that comes closest, and the error of every a.

    Args:
        values: one row of R, N_s values in any shape.
        masks: title to a mask, N_s values in [0, 1] in any shape; one pair of panels each.
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
            ends, on = np.array([0, 1]), g > 0
            left.scatter(g[~on], r[~on], s=14, color="0.7", label="outside")
            left.scatter(g[on], r[on], s=14, color=OKABE_ITO["orange"], label="on the object")
            left.plot(ends, best * ends, color=OKABE_ITO["blue"], label=r"$a\,g_j$, best $a$")
            left.set(xlabel="$g_j$, mask", ylabel="$R_{ij}$, cosine", title=title)
            left.legend(loc="upper left")
            left.set_ylim(min(r.min(), 0) - 0.05, r.max() + 0.45)
            a = best + np.linspace(-0.5, 0.5, 101)
            error = ((r - a[:, None] * g) ** 2).sum(axis=1)
            right.plot(a, error, color="black")
            right.axvline(best, color=OKABE_ITO["blue"], linestyle="--")
            right.plot(best, error.min(), "o", color=OKABE_ITO["blue"])
            right.set(xlabel="$a$", ylabel="squared error", title="error of every $a$")
    return figure


def explained(support: Picture, row: Tensor, a: float, g: Tensor, mask: Tensor) -> Figure:
    """A row of R over the support, what A G_s makes of it, and what is left.

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
        "what is left": values - a * g,
    }
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(10.2, 3.3))
        for ax, (title, shown) in zip(axes, panels.items(), strict=True):
            bare(ax, title).imshow(relation_overlay(support, shown.clamp(-1, 1), mask))
        bar = figure.colorbar(
            ScalarMappable(Normalize(-1, 1), R_MAP), ax=axes, ticks=[-1, 0, 1], pad=0.01
        )
        bar.ax.set_yticklabels(["-1 opposed", "0", "1 alike"])
    return figure


def attention_maps(
    maps: Mapping[str, Tensor],
    outline: Tensor | None = None,
    pictures: Mapping[str, Picture] | None = None,
    difference: str | None = None,
) -> Figure:
    """Maps of values from 0 to 1 in a row, under one colour map; pictures before them.

    Args:
        maps: title to (h, w) values.
        outline: an object to outline in white on every map, (H, W), 1 inside.
        pictures: title to a picture, drawn first.
        difference: the title of a signed map among `maps`, drawn with colours of its own.
    """
    pictures = pictures or {}
    n = len(pictures) + len(maps)
    side = 3 if n < 5 else 2.5
    with style():
        figure, axes = plt.subplots(1, n, figsize=(side * n + 0.8, side + 0.45), squeeze=False)
        for ax, (title, picture) in zip(axes[0], pictures.items(), strict=False):
            bare(ax, title).imshow(as_array(picture), interpolation="antialiased")
        drawn = []
        for ax, (title, values) in zip(axes[0, len(pictures) :], maps.items(), strict=True):
            size = tuple(values.shape if outline is None else outline.shape)
            bare(ax, title)
            if title == difference:
                top = max(float(values.abs().max()), 1e-6)
                image = ax.imshow(_enlarged(values, size), cmap="PuOr_r", vmin=-top, vmax=top)
                figure.colorbar(image, ax=ax, ticks=[-top, 0, top], format="%.2f", fraction=0.046)
            else:
                ax.imshow(_enlarged(values, size), cmap=A_MAP, vmin=0, vmax=1)
                drawn.append(ax)
            if outline is not None:
                on = (as_array(outline) == 1).astype(float)
                ax.contour(on, levels=[0.5], colors="white", linewidths=1.5)
        scale = ScalarMappable(Normalize(0, 1), A_MAP)
        figure.colorbar(scale, ax=drawn, ticks=[0, 0.5, 1], fraction=0.025, pad=0.01)
    return figure


def painted(picture: Picture, g: Tensor) -> np.ndarray:
    """A picture with a mask's cells painted over it in orange, (H, W, 3) uint8.

    Args:
        picture: (3, H, W) in [0, 1].
        g: mask on the grid, (h, w) in [0, 1]: how strongly to paint.
    """
    pixels = as_array(picture)
    grey = 0.6 * pixels + 0.4 * pixels.mean(axis=2, keepdims=True)
    share = 0.75 * _enlarged(g, pixels.shape[:2])[..., None]
    return (
        (255 * ((1 - share) * grey + share * to_rgb(OKABE_ITO["orange"]))).round().astype("uint8")
    )


def answer_of_mask(
    R: Tensor, g: Tensor, size: tuple[int, int], threshold: float
) -> tuple[Tensor, np.ndarray]:
    """A mask's attention map (h, w) in [0, 1], and that map cut at a threshold, (H, W) bool.

    Args:
        R: (N_q, N_s), the query's grid of the mask's shape.
        g: support mask, (h, w) in [0, 1].
        size: (H, W) of the query.
        threshold: A_hat above it is object.
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
    """Masks painted on one support, and below each its attention map and its answer.

    Args:
        support: (3, H, W) in [0, 1].
        query: (3, H, W) in [0, 1].
        R: (N_q, N_s), one grid for both.
        masks: title to (h, w) in [0, 1].
        truth: the query's object, (H, W) of 0, 1 and 255; outlined in white on the maps.
        threshold: A_hat above it is object.
    """
    size = tuple(truth.shape)
    on = (as_array(truth) == 1).astype(float)
    with style():
        figure, axes = plt.subplots(
            3, len(masks), figsize=(2.9 * len(masks) + 0.8, 8.8), squeeze=False
        )
        for column, (title, g) in zip(axes.T, masks.items(), strict=True):
            A_hat, answer = answer_of_mask(R, g, size, threshold)
            bare(column[0], title).imshow(painted(support, g))
            bare(column[1], r"$\hat{A}$ over the query").imshow(
                _enlarged(A_hat, size), cmap=A_MAP, vmin=0, vmax=1
            )
            column[1].contour(on, levels=[0.5], colors="white", linewidths=1.5)
            bare(column[2], f"answer, IoU {iou(answer, truth):.2f}").imshow(tinted(query, answer))
        scale = ScalarMappable(Normalize(0, 1), A_MAP)
        figure.colorbar(
            scale, ax=axes, ticks=[0, 0.5, 1], label=r"$\hat{A}$", shrink=0.3, aspect=20, pad=0.01
        )
    return figure


def iou(answer: np.ndarray, truth: Tensor) -> float:
    """IoU of one answer, (H, W) bool, with its truth, (H, W) of 0, 1 and 255 (not counted)."""
    counter = IoUCounter()
    counter.add(answer, as_array(truth), 1)
    return counter.miou()


def _enlarged(values: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """A map on the grid, each image pixel with its cell's value."""
    rows, columns = (cell_of_pixel(n, m) for n, m in zip(size, values.shape, strict=True))
    return as_array(values)[rows][:, columns]
