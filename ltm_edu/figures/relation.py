"""Figures of the relationship matrix R: its rows, blocks, best matches and indices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
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
    enlarged,
    marked,
    outline,
    relation_bar,
    square_grid,
    style,
)


def relation_overlay(picture: Picture, values: Tensor, mask: Tensor | None = None) -> np.ndarray:
    """Draw a row of R in colours over the grey support picture, (H, W, 3) uint8.

    Args:
        picture: the support, (3, H, W) in [0, 1].
        values: a row of R as a map, (h, w) in [-1, 1].
        mask: the support's object, (H, W), 1 inside; outlined in black.
    """
    pixels = as_array(picture).astype(np.float32)
    colours = R_MAP((as_array(values) + 1) / 2)[..., :3]
    mixed = 0.8 * enlarged(colours, pixels.shape[:2]) + 0.2 * pixels.mean(axis=2, keepdims=True)
    if mask is not None:
        mixed[outline(mask)] = 0
    return (255 * mixed).round().astype(np.uint8)


def relation_rows(
    query: Picture,
    support: Picture,
    R: Tensor,
    pixels: Sequence[tuple[int, int]],
    mask: Tensor | None = None,
    names: Sequence[str] = (),
) -> Figure:
    """Draw the query with some pixels framed, and the row of R of each over the support.

    Args:
        query: (3, H, W) in [0, 1].
        support: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids.
        pixels: (y, x) of each query pixel on its grid; at most four.
        mask: the support's object, (H, W), 1 inside.
        names: one for each pixel; without them, the titles say (y, x).
    """
    grid_q, grid_s = square_grid(R.shape[0]), square_grid(R.shape[1])
    with style():
        figure, axes = plt.subplots(1, len(pixels) + 1, figsize=(3 * len(pixels) + 3.4, 3.1))
        picture = as_array(query)
        for k, ((y, x), colour) in enumerate(zip(pixels, MARKS, strict=False)):
            picture = marked(picture, (y, x), grid_q, colour) / 255
            row = R[y * grid_q[1] + x].reshape(grid_s)
            name = names[k] if names else f"({y}, {x})"
            bare(axes[k + 1], f"row of R: {name}").imshow(relation_overlay(support, row, mask))
            axes[k + 1].spines[:].set(visible=True, color=colour, linewidth=4)
        bare(axes[0], "query").imshow(picture)
        relation_bar(figure, axes)
    return figure


def relation_blocks(matrices: Mapping[str, Tensor], G_q: Tensor, G_s: Tensor) -> Figure:
    """Draw matrices of relations whose first rows and columns are the object's pixels.

    Each matrix shows all pixels of the object, and as many others, evenly spread over the picture.
    Where the relation depends on the object, blocks appear.

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
            ax.set_xticks([n_s / 2, 1.5 * n_s], ["object", "rest (sample)"])
            ax.set_yticks(
                [n_q / 2, 1.5 * n_q], ["object", "rest (sample)"], rotation=90, va="center"
            )
            ax.tick_params(length=0)
            ax.set_xlabel("support pixels")
        axes[0, 0].set_ylabel("query pixels")
        relation_bar(figure, axes)
    return figure


def best_matches(support: Picture, lengths: Tensor, relations: Mapping[str, Tensor]) -> Figure:
    """Draw the length of each support vector, and how many query pixels it matches best.

    Args:
        support: (3, H, W) in [0, 1].
        lengths: norms of the support's vectors, (h, w).
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
    """Draw how pixels become rows and columns of R: both grids with numbers, and one row of R.

    Args:
        pixel: (y, x) of the query pixel whose row is coloured.
        query_grid: (height, width).
        support_grid: (height, width).
    """
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
    """Return the indices of n pixels of the object and of n others, and n."""
    g = G.flatten()
    inside, outside = (g > 0.5).nonzero()[:, 0], (g == 0).nonzero()[:, 0]
    n = min(len(inside), len(outside))
    spread = torch.linspace(0, len(outside) - 1, n).round().long()
    return torch.cat([inside[:n], outside[spread]]), n


def _numbered(axes: Axes, entries: np.ndarray, is_coloured: np.ndarray, title: str) -> None:
    """Draw a table of entries in which some cells are yellow."""
    bare(axes, title)
    axes.pcolormesh(
        is_coloured, cmap=ListedColormap(["white", OKABE_ITO["yellow"]]), vmin=0, vmax=1,
        edgecolors="black", linewidth=1,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for (row, column), entry in np.ndenumerate(entries):
        axes.text(column + 0.5, row + 0.5, str(entry), ha="center", va="center")
