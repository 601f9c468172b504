"""Figures of the relationship matrix: rows, blocks, best matches, the order of its indices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from .base import (
    A_MAP,
    MARKS,
    OKABE_ITO,
    R_MAP,
    Picture,
    as_array,
    bare,
    cell_of_pixel,
    marked,
    outline,
    square_grid,
    style,
)


def relation_overlay(picture: Picture, values: Tensor, mask: Tensor | None = None) -> np.ndarray:
    """A row of R drawn over the grey support picture, as (H, W, 3) uint8.

    Args:
        picture: the support, (3, H, W) in [0, 1].
        values: a row of R as a map, (h, w) in [-1, 1].
        mask: its object, (H, W), 1 inside; drawn as a black outline.
    """
    pixels = as_array(picture).astype(np.float32)
    H, W = pixels.shape[:2]
    rows, columns = cell_of_pixel(H, values.shape[0]), cell_of_pixel(W, values.shape[1])
    colours = R_MAP((as_array(values) + 1) / 2)[..., :3]
    grey = pixels.mean(axis=2, keepdims=True)
    drawn = 0.8 * colours[rows][:, columns] + 0.2 * grey
    if mask is not None:
        drawn[outline(mask)] = 0
    return (255 * drawn).round().astype(np.uint8)


def relation_rows(
    query: Picture,
    support: Picture,
    R: Tensor,
    pixels: Sequence[tuple[int, int]],
    mask: Tensor | None = None,
    names: Sequence[str] = (),
) -> Figure:
    """Query pixels, and for each its row of R over the support.

    Args:
        query: (3, H, W) in [0, 1].
        support: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids.
        pixels: (y, x) of each query pixel on its grid, four at most.
        mask: the support's object, (H, W), 1 inside.
        names: what to call each pixel.
    """
    grid_q, grid_s = square_grid(R.shape[0]), square_grid(R.shape[1])
    with style():
        figure, axes = plt.subplots(1, len(pixels) + 1, figsize=(3 * len(pixels) + 3.4, 3.1))
        drawn = as_array(query)
        for pixel, colour in zip(pixels, MARKS, strict=False):
            drawn = marked(drawn, pixel, grid_q, colour) / 255
        bare(axes[0], "query").imshow(drawn)
        for k, ((y, x), colour) in enumerate(zip(pixels, MARKS, strict=False)):
            row = R[y * grid_q[1] + x].reshape(grid_s)
            name = names[k] if names else f"({y}, {x})"
            bare(axes[k + 1], f"its row of R: {name}").imshow(relation_overlay(support, row, mask))
            for spine in axes[k + 1].spines.values():
                spine.set(visible=True, color=colour, linewidth=4)
        _relation_bar(figure, axes)
    return figure


def relation_blocks(matrices: Mapping[str, Tensor], G_q: Tensor, G_s: Tensor) -> Figure:
    """Matrices of relations with the object's pixels first: blocks, if there are any.

    Every pixel of the object is shown and as many others, evenly spread over the picture.

    Args:
        matrices: title to (N_q, N_s) values in [-1, 1].
        G_q: query mask, N_q values in any shape.
        G_s: support mask, N_s values in any shape.
    """
    (rows, n_q), (columns, n_s) = _object_first(G_q), _object_first(G_s)
    with style():
        figure, axes = plt.subplots(
            1, len(matrices), figsize=(3.4 * len(matrices) + 1.4, 3.8), squeeze=False
        )
        for ax, (title, values) in zip(axes[0], matrices.items(), strict=True):
            ax.imshow(
                as_array(values[rows][:, columns]), cmap=R_MAP, vmin=-1, vmax=1, aspect="auto"
            )
            ax.axhline(n_q - 0.5, color="black", linewidth=1)
            ax.axvline(n_s - 0.5, color="black", linewidth=1)
            ax.set_title(title)
            ax.set_xticks([n_s / 2, 1.5 * n_s], ["object", "rest"])
            ax.set_yticks([n_q / 2, 1.5 * n_q], ["object", "rest"], rotation=90, va="center")
            ax.tick_params(length=0)
            ax.set_xlabel("support pixels")
        axes[0, 0].set_ylabel("query pixels")
        _relation_bar(figure, axes)
    return figure


def best_matches(support: Picture, lengths: Tensor, relations: Mapping[str, Tensor]) -> Figure:
    """How long each support vector is, and of how many query pixels it is the best match.

    Args:
        support: (3, H, W) in [0, 1].
        lengths: of the support's vectors, (h, w).
        relations: title to (N_q, N_s); a query pixel's best match is its row's largest entry.
    """
    panels = {"length of each\nsupport vector": lengths.detach()}
    for title, values in relations.items():
        counts = torch.bincount(values.argmax(dim=1), minlength=lengths.numel())
        panels[f"best match of how many\nquery pixels: {title}"] = counts.reshape(lengths.shape)
    with style():
        figure, axes = plt.subplots(1, len(panels) + 1, figsize=(2.9 * len(panels) + 2.9, 3.4))
        bare(axes[0], "support\n").imshow(as_array(support))
        for ax, (title, values) in zip(axes[1:], panels.items(), strict=True):
            image = bare(ax, title).imshow(as_array(values), cmap=A_MAP)
            figure.colorbar(image, ax=ax, location="bottom", fraction=0.06, pad=0.02)
    return figure


def index_order(
    pixel: tuple[int, int] = (1, 0),
    query_grid: tuple[int, int] = (2, 3),
    support_grid: tuple[int, int] = (2, 2),
) -> Figure:
    """How pixels become rows and columns of R: both grids numbered, one row marked."""
    y, x = pixel
    i = y * query_grid[1] + x
    N_q, N_s = math.prod(query_grid), math.prod(support_grid)
    with style():
        figure, axes = plt.subplots(
            1, 3, figsize=(9, 3), width_ratios=(query_grid[1], N_s, support_grid[1])
        )
        numbers_q, numbers_s = np.arange(N_q).reshape(query_grid), np.arange(N_s)
        _numbered(axes[0], numbers_q, numbers_q == i, f"query pixel ({y}, {x}) is number {i}")
        entries = np.full((N_q, N_s), "", dtype=object)
        entries[i] = [f"{i},{j}" for j in numbers_s]
        _numbered(axes[1], entries, np.arange(N_q)[:, None].repeat(N_s, 1) == i, f"row {i} of R")
        axes[1].set(xlabel="column j: support pixel", ylabel="row i: query pixel")
        grid = numbers_s.reshape(support_grid)
        _numbered(axes[2], grid, np.ones(support_grid, bool), "that row, as a map\nof the support")
    return figure


def _object_first(G: Tensor) -> tuple[Tensor, int]:
    """Indices of the object's pixels, then of as many others; and how many each."""
    g = G.flatten()
    on, off = (g > 0.5).nonzero()[:, 0], (g == 0).nonzero()[:, 0]
    n = min(len(on), len(off))
    spread = torch.linspace(0, len(off) - 1, n).round().long()
    return torch.cat([on[:n], off[spread]]), n


def _numbered(axes: Axes, entries: np.ndarray, lit: np.ndarray, title: str) -> None:
    bare(axes, title)
    axes.pcolormesh(
        lit, cmap=ListedColormap(["white", OKABE_ITO["yellow"]]), vmin=0, vmax=1,
        edgecolors="black", linewidth=1,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for (row, column), entry in np.ndenumerate(entries):
        axes.text(column + 0.5, row + 0.5, str(entry), ha="center", va="center")


def _relation_bar(figure: Figure, axes: Sequence[Axes]) -> None:
    """The one colour bar of relations."""
    values = ScalarMappable(Normalize(-1, 1), R_MAP)
    bar = figure.colorbar(values, ax=axes, ticks=[-1, 0, 1], fraction=0.025, pad=0.01)
    bar.ax.set_yticklabels(["-1 opposed", "0", "1 alike"])
