"""Figures of features and masks on the grid: components as colours, windows, depths, prototypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from .base import OKABE_ITO, R_MAP, Picture, as_array, bare, cell_of_pixel, marked, outline, style
from .relation import relation_overlay

G_MAP = LinearSegmentedColormap.from_list("share", ["#ffffff", OKABE_ITO["orange"]])
"""Colour map of masks on the grid, always from 0 to 1."""

Depth = tuple[np.ndarray, np.ndarray, Tensor]


def principal_colours(maps: Sequence[Tensor]) -> list[np.ndarray]:
    """Feature maps as pictures: their first three principal components become red, green, blue.

    The components are found for all maps together, so equal colours mean equal features.

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
    # A component's sign is arbitrary: let its largest entry be positive.
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
    """What one grid cell's feature depends on: the rest of the picture fades to white.

    Args:
        picture: (3, H, W) in [0, 1].
        weights: title to how much each pixel matters, (H, W), 0 or more.
        pixel: (y, x) of the cell.
        grid: (height, width) of the grid.
    """
    with style():
        figure, axes = plt.subplots(1, len(weights) + 1, figsize=(3 * len(weights) + 3, 3.4))
        bare(axes[0], "picture, one cell framed").imshow(marked(picture, pixel, grid))
        for ax, (title, values) in zip(axes[1:], weights.items(), strict=True):
            smooth = F.avg_pool2d(values[None, None], 9, 1, 4, count_include_pad=False)[0, 0]
            seen = (smooth / smooth.max()).sqrt()[..., None].numpy()
            faded = as_array(picture) * seen + (1 - seen)
            bare(ax, title).imshow(marked(faded, pixel, grid))
    return figure


def mask_on_grid(mask: Tensor, G: Tensor, pixel: tuple[int, int], stride: int = 16) -> Figure:
    """A mask at the picture's size, on the grid, and rounded; one cell's window framed.

    Args:
        mask: (H, W), 1 inside; sides of stride * k + 1 pixels.
        G: (h, w) in [0, 1].
        pixel: (y, x) of the cell.
        stride: image pixels per cell.
    """
    y, x = pixel
    half = stride / 2
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(11.4, 4.3))
        on = (as_array(mask) == 1).astype(float)
        bare(axes[0], "the mask, and one cell's window").imshow(on, cmap=G_MAP, vmin=0, vmax=1)
        corner = (stride * x - half - 0.5, stride * y - half - 0.5)
        axes[0].add_patch(plt.Rectangle(corner, stride + 1, stride + 1, fill=False, linewidth=2.5))
        rounded = (G > 0.5).to(G.dtype)
        for ax, title, values in (
            (axes[1], "on the grid: the share of each cell", G),
            (axes[2], "rounded: 0 or 1", rounded),
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
            for spine in ax.spines.values():
                spine.set_visible(True)
    return figure


def cosine_maps(
    support: Picture,
    support_mask: Tensor,
    query: Picture,
    maps: Mapping[str, Tensor],
    query_mask: Tensor | None = None,
) -> Figure:
    """The support with its object, then cosine maps over the query.

    Args:
        support: (3, H, W) in [0, 1].
        support_mask: its object, (H, W), 1 inside.
        query: (3, H, W) in [0, 1].
        maps: title to cosines, (h, w) in [-1, 1].
        query_mask: the query's object, (H, W), 1 inside; outlined in black.
    """
    with style():
        figure, axes = plt.subplots(1, len(maps) + 2, figsize=(3 * len(maps) + 6.6, 3.3))
        drawn = np.array(as_array(support), dtype=np.float32)
        drawn[outline(support_mask, 3)] = 0
        bare(axes[0], "support").imshow(drawn)
        bare(axes[1], "query").imshow(as_array(query))
        for ax, (title, values) in zip(axes[2:], maps.items(), strict=True):
            bare(ax, title).imshow(relation_overlay(query, values, query_mask))
        _cosine_bar(figure, axes)
    return figure


def depth_panels(query: Picture, depth: Depth, mask: Tensor | None = None) -> list[np.ndarray]:
    """One depth of a backbone as three pictures, (H, W, 3) uint8 each.

    Args:
        query: (3, H, W) in [0, 1].
        depth: the support's colours and the query's, (h, w, 3) in [0, 1], and the cosine of each
            query cell with the support's object, (h, w).
        mask: the query's object, (H, W), 1 inside.
    """
    H, W = as_array(query).shape[:2]
    panels = []
    for colours in depth[:2]:
        rows, columns = cell_of_pixel(H, len(colours)), cell_of_pixel(W, colours.shape[1])
        panels.append((255 * colours[rows][:, columns]).round().astype(np.uint8))
    return [*panels, relation_overlay(query, depth[2], mask)]


def depths(query: Picture, chosen: Mapping[str, Depth], mask: Tensor | None = None) -> Figure:
    """Several depths of a backbone, one a column; see `depth_panels`.

    Args:
        query: (3, H, W) in [0, 1].
        chosen: title to depth.
        mask: the query's object, (H, W), 1 inside.
    """
    lanes = ("support, as colours", "query, as colours", "cosine with the\nsupport's object")
    with style():
        figure, axes = plt.subplots(
            3, len(chosen), figsize=(2.7 * len(chosen) + 1.2, 8.2), squeeze=False
        )
        for column, (title, depth) in zip(axes.T, chosen.items(), strict=True):
            for ax, pixels in zip(column, depth_panels(query, depth, mask), strict=True):
                bare(ax, title if ax is column[0] else "").imshow(pixels)
        for ax, lane in zip(axes[:, 0], lanes, strict=True):
            ax.set_ylabel(lane)
        _cosine_bar(figure, axes[2])
    return figure


def depth_scores(scores: Mapping[str, Sequence[float]]) -> Figure:
    """How well each depth of a backbone finds the object: a dot a question, a line at the mean.

    Args:
        scores: title to a share for each question: how often a pixel of the object has a higher
            cosine than a pixel of the rest. 0.5 is guessing.
    """
    with style():
        figure, ax = plt.subplots(figsize=(1.3 * len(scores) + 1.2, 3.6))
        for k, values in enumerate(scores.values()):
            across = k + np.linspace(-0.25, 0.25, len(values))
            ax.scatter(across, values, s=16, color=OKABE_ITO["sky"])
            ax.hlines(np.mean(values), k - 0.35, k + 0.35, color=OKABE_ITO["blue"], linewidth=3)
        ax.axhline(0.5, color="black", linestyle="--", linewidth=1)
        ax.text(1.01, 0.5, "guessing", va="center", transform=ax.get_yaxis_transform())
        ax.set_xticks(range(len(scores)), scores)
        ax.set(ylim=(0, 1.02), ylabel="object above the rest (share of pairs)")
    return figure


def _cosine_bar(figure: Figure, axes: Sequence[plt.Axes]) -> None:
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), R_MAP), ax=axes, ticks=[-1, 0, 1], fraction=0.025, pad=0.01
    )
    bar.ax.set_yticklabels(["-1 opposed", "0", "1 alike"])
