"""Figures of features and of masks on the grid: colours of components, windows, depths, cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from .base import (
    OKABE_ITO,
    Picture,
    as_array,
    bare,
    enlarged,
    marked,
    outline,
    relation_bar,
    style,
)
from .relation import relation_overlay

G_MAP = LinearSegmentedColormap.from_list("share", ["#ffffff", OKABE_ITO["orange"]])
"""Colour map of masks on the grid, always from 0 to 1."""

Depth = tuple[np.ndarray, np.ndarray, Tensor]
"""One depth of a backbone.

The support's colours and the query's colours, (h, w, 3) in [0, 1] each, and the cosine of each
query cell with the support's object, (h, w).
"""


def principal_colours(maps: Sequence[Tensor]) -> list[np.ndarray]:
    """Turn feature maps into pictures: three principal components become red, green and blue.

    All maps share the same components, so equal colours mean equal features.

    Args:
        maps: (C, h, w) each, of one C.

    Returns:
        (h, w, 3) in [0, 1] each.

    >>> [colours.shape for colours in principal_colours([torch.rand(8, 3, 4), torch.rand(8, 2, 2)])]
    [(3, 4, 3), (2, 2, 3)]
    """
    points = torch.cat([m.flatten(1).T for m in maps]).double()
    centred = points - points.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    # The sign of a component is arbitrary: make its largest entry positive.
    top = directions[:3]
    top = top * top.gather(1, top.abs().argmax(dim=1, keepdim=True)).sign()
    shades = centred @ top.T
    low, high = shades.quantile(0.02, dim=0), shades.quantile(0.98, dim=0)
    shades = ((shades - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    parts = shades.split([m[0].numel() for m in maps])
    return [p.reshape(*m.shape[1:], 3).numpy() for p, m in zip(parts, maps, strict=True)]


def sight(
    picture: Picture, weights: Mapping[str, Tensor], pixel: tuple[int, int], grid: tuple[int, int]
) -> Figure:
    """Draw the pixels on which the feature of one grid cell depends; all others are white.

    Args:
        picture: (3, H, W) in [0, 1].
        weights: title to the influence of each pixel, (H, W), 0 or more.
        pixel: (y, x) of the cell.
        grid: (height, width) of the grid.
    """
    with style():
        figure, axes = plt.subplots(1, len(weights) + 1, figsize=(3 * len(weights) + 3, 3.4))
        bare(axes[0], "picture, one cell framed").imshow(marked(picture, pixel, grid))
        for ax, (title, values) in zip(axes[1:], weights.items(), strict=True):
            smooth = F.avg_pool2d(values[None, None], 9, 1, 4, count_include_pad=False)[0, 0]
            share = (smooth / smooth.max()).sqrt()[..., None].numpy()
            pixels = as_array(picture) * share + (1 - share)
            bare(ax, title).imshow(marked(pixels, pixel, grid))
    return figure


def mask_on_grid(mask: Tensor, G: Tensor, pixel: tuple[int, int], stride: int = 16) -> Figure:
    """Draw a mask at the picture's size, on the grid, and rounded, with one cell's window framed.

    Args:
        mask: (H, W), 1 inside; sides of stride * k + 1 pixels.
        G: (h, w) in [0, 1].
        pixel: (y, x) of the cell.
        stride: image pixels from one cell to the next.
    """
    y, x = pixel
    half = stride / 2
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(11.4, 4.3))
        inside = (as_array(mask) == 1).astype(float)
        bare(axes[0], "the mask, and one cell's window").imshow(inside, cmap=G_MAP, vmin=0, vmax=1)
        corner = (stride * x - half - 0.5, stride * y - half - 0.5)
        axes[0].add_patch(plt.Rectangle(corner, stride + 1, stride + 1, fill=False, linewidth=2.5))
        for ax, title, values in (
            (axes[1], "on the grid: the share of each cell", G),
            (axes[2], "rounded: 0 or 1", (G > 0.5).to(G.dtype)),
        ):
            bare(ax, title).imshow(as_array(values), cmap=G_MAP, vmin=0, vmax=1)
            for i in range(1, max(G.shape)):
                ax.axhline(i - 0.5, color="#bbbbbb", linewidth=0.6)
                ax.axvline(i - 0.5, color="#bbbbbb", linewidth=0.6)
            ax.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, linewidth=2.5))
        for (i, j), value in np.ndenumerate(as_array(G)):
            if value >= 0.05:
                text = f"{value:.1f}".removeprefix("0")
                axes[1].text(j, i, text, ha="center", va="center", fontsize=7)
        for ax in axes:
            ax.spines[:].set_visible(True)
    return figure


def cosine_maps(
    support: Picture,
    support_mask: Tensor,
    query: Picture,
    maps: Mapping[str, Tensor],
    query_mask: Tensor | None = None,
) -> Figure:
    """Draw the support with its object, the query, and cosine maps over the query.

    Args:
        support: (3, H, W) in [0, 1].
        support_mask: its object, (H, W), 1 inside; outlined in black.
        query: (3, H, W) in [0, 1].
        maps: title to cosines, (h, w) in [-1, 1].
        query_mask: the query's object, (H, W), 1 inside; outlined in black on the maps.
    """
    with style():
        figure, axes = plt.subplots(1, len(maps) + 2, figsize=(3 * len(maps) + 6.6, 3.3))
        pixels = np.array(as_array(support), dtype=np.float32)
        pixels[outline(support_mask, 3)] = 0
        bare(axes[0], "support").imshow(pixels)
        bare(axes[1], "query").imshow(as_array(query))
        for ax, (title, values) in zip(axes[2:], maps.items(), strict=True):
            bare(ax, title).imshow(relation_overlay(query, values, query_mask))
        relation_bar(figure, axes)
    return figure


def depth_panels(query: Picture, depth: Depth, mask: Tensor | None = None) -> list[np.ndarray]:
    """Draw one depth of a backbone as three pictures, (H, W, 3) uint8 each.

    Args:
        query: (3, H, W) in [0, 1].
        depth: see `Depth`.
        mask: the query's object, (H, W), 1 inside; outlined in black on the cosines.
    """
    size = as_array(query).shape[:2]
    *colours, cosines = depth
    panels = [(255 * enlarged(c, size)).round().astype(np.uint8) for c in colours]
    return [*panels, relation_overlay(query, cosines, mask)]


def depths(query: Picture, chosen: Mapping[str, Depth], mask: Tensor | None = None) -> Figure:
    """Draw several depths of a backbone, one in each column; see `depth_panels`.

    Args:
        query: (3, H, W) in [0, 1].
        chosen: title to depth.
        mask: the query's object, (H, W), 1 inside.
    """
    labels = ("support, as colours", "query, as colours", "cosine with the\nsupport's object")
    with style():
        figure, axes = plt.subplots(
            3, len(chosen), figsize=(2.7 * len(chosen) + 1.2, 8.2), squeeze=False
        )
        for column, (title, depth) in zip(axes.T, chosen.items(), strict=True):
            for ax, pixels in zip(column, depth_panels(query, depth, mask), strict=True):
                bare(ax, title if ax is column[0] else "").imshow(pixels)
        for ax, label in zip(axes[:, 0], labels, strict=True):
            ax.set_ylabel(label)
        relation_bar(figure, axes[2])
    return figure


def depth_scores(scores: Mapping[str, Sequence[float]]) -> Figure:
    """Draw how well each depth of a backbone finds the object: questions as dots, means as lines.

    Args:
        scores: title to one share for each question: how often a pixel of the object has a higher
            cosine than a pixel of the rest. 0.5 is the score of a guess.
    """
    with style():
        figure, ax = plt.subplots(figsize=(1.3 * len(scores) + 1.2, 3.6))
        for k, values in enumerate(scores.values()):
            x = k + np.linspace(-0.25, 0.25, len(values))
            ax.scatter(x, values, s=16, color=OKABE_ITO["sky"])
            ax.hlines(np.mean(values), k - 0.35, k + 0.35, color=OKABE_ITO["blue"], linewidth=3)
        ax.axhline(0.5, color="black", linestyle="--", linewidth=1)
        ax.text(1.01, 0.5, "guessing", va="center", transform=ax.get_yaxis_transform())
        ax.set_xticks(range(len(scores)), scores)
        ax.set(ylim=(0, 1.02), ylabel="object above the rest (share of pairs)")
    return figure
