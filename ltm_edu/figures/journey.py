"""The whole path of one question in one figure: two pictures, R, A, its map, A_hat, the mask."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .. import equations
from .base import (
    A_MAP,
    MARKS,
    OKABE_ITO,
    R_MAP,
    Picture,
    as_array,
    bare,
    draw_contour,
    enlarged,
    marked,
    relation_bar,
    square_grid,
    style,
    tinted,
)

STAGES = ("R", "sorted", "A", "map", "A_hat", "M")
"""The stages of `journey`, in order."""

_TITLES = {
    "R": "1. R: a row for each query pixel\n(equation 2)\n",
    "sorted": "2. the same R, columns sorted:\nthe support's object first\n",
    "A": "3. A\n(eq. 5)\n",
    "map": "4. A, put back on the query's grid",
    "A_hat": r"5. $\hat{A}$: A stretched to 0 ... 1 (eq. 6)",
    "M": "6. M: the decoder's probability",
}


_NOTEBOOKS = {"R": "03", "sorted": "03", "A": "04", "map": "04", "A_hat": "05", "M": "06"}


def object_first(G_s: Tensor) -> Tensor:
    """Order the support's pixels so that the mask falls from 1 to 0; equal values keep their order.

    >>> object_first(torch.tensor([[0.0, 1.0, 0.5, 1.0]])).tolist()
    [1, 3, 2, 0]
    """
    return G_s.flatten().argsort(descending=True, stable=True)


def journey(
    support: Picture,
    support_mask: Tensor,
    query: Picture,
    R: Tensor,
    G_s: Tensor,
    M: Tensor | None = None,
    truth: Tensor | None = None,
    until: str = "M",
    highlight: str | None = None,
    pixel: tuple[int, int] | None = None,
) -> Figure:
    """Draw one question from R to the mask; one query pixel can be followed through all stages.

    The stages are those of `STAGES`: "R"; "sorted", R with the columns of the object first; "A",
    one number for each row of R; "map", A on the query's grid; "A_hat"; "M". A and A_hat are
    computed from R and G_s. Stages after `until` are frames that name the notebook of the stage.

    Args:
        support: (3, H, W) in [0, 1].
        support_mask: its object, (H, W), 1 inside.
        query: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids.
        G_s: the support's mask on the grid, N_s values in [0, 1] in any shape.
        M: the decoder's logits, (2, H, W); only the last stage needs them.
        truth: the query's object, (H, W), 1 inside; outlined in white on the maps.
        until: the last stage that is drawn.
        highlight: a stage that gets an orange frame.
        pixel: (y, x) of a query pixel on its grid; its place is marked at stages 1 to 5.

    Raises:
        ValueError: a stage is unknown, or the last one is asked for without M.
    """
    for stage in (until, highlight):
        if stage is not None and stage not in STAGES:
            raise ValueError(f"{stage!r} is no stage: choose from {', '.join(STAGES)}")
    if until == "M" and M is None:
        raise ValueError('M is missing: give the decoder\'s logits, or until="A_hat"')
    grid = square_grid(R.shape[0])
    R, g = R.detach(), G_s.detach().flatten()
    A = equations.attention(R[None], g[None, None])
    A_hat = equations.normalize_attention(A)
    half = max(0.01, A.abs().max().item())
    size = as_array(query).shape[:2]
    drawn = STAGES[: STAGES.index(until) + 1]

    with style():
        figure = plt.figure(figsize=(12.6, 6.2))
        above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1))
        first = above.subplots(1, 5, width_ratios=(0.9, 0.9, 1, 1, 0.2))
        second = below.subplots(1, 3)
        axes = dict(zip(STAGES, [*first[2:], *second], strict=True))

        on_query = as_array(query)
        if pixel is not None:
            on_query = marked(query, pixel, grid, MARKS[0])
        bare(first[0], "support: the marked object\n\n").imshow(tinted(support, support_mask))
        bare(first[1], "query\n\n").imshow(on_query)

        for stage, columns in {"R": torch.arange(len(g)), "sorted": object_first(g)}.items():
            if stage in drawn:
                _draw_relation(axes[stage], R[:, columns], g[columns], stage == "sorted")
        relation_bar(above, first[2:4])
        if "A" in drawn:
            column = as_array(A.T)
            axes["A"].imshow(column, cmap=R_MAP, vmin=-half, vmax=half, aspect="auto")
            axes["A"].set_xlabel(f"\none per\nrow, ±{half:.2g}")
        maps = {"map": (A, R_MAP, -half, half), "A_hat": (A_hat, A_MAP, 0, 1)}
        for stage, (values, colours, low, high) in maps.items():
            if stage in drawn:
                pixels = enlarged(values.reshape(grid), size)
                image = axes[stage].imshow(pixels, cmap=colours, vmin=low, vmax=high)
                below.colorbar(image, ax=axes[stage], fraction=0.045, pad=0.02)
        if "M" in drawn:
            probability = as_array(M.detach().softmax(dim=0)[1])
            image = axes["M"].imshow(probability, cmap=A_MAP, vmin=0, vmax=1)
            below.colorbar(image, ax=axes["M"], fraction=0.045, pad=0.02)

        for stage, ax in axes.items():
            _finish(ax, stage, stage in drawn, stage == highlight)
            if stage not in drawn:
                where = f"notebook\n{_NOTEBOOKS[stage]}"
                ax.text(0.5, 0.5, where, transform=ax.transAxes, ha="center", color="0.5")
            if stage in ("map", "A_hat", "M"):
                ax.set_aspect("equal")
                ax.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))
                if stage in drawn and truth is not None:
                    draw_contour(ax, truth, "black" if stage == "map" else "white")
        if pixel is not None:
            _mark_pixel(axes, drawn, pixel, grid, size)
    return figure


def _draw_relation(axes: Axes, R: Tensor, g: Tensor, is_sorted: bool) -> None:
    """Draw R, and above it a strip with the mask's value of each column (black is 1)."""
    axes.imshow(as_array(R), cmap=R_MAP, vmin=-1, vmax=1, aspect="auto")
    strip = axes.inset_axes((0, 1.015, 1, 0.05))
    strip.imshow(as_array(g[None]), cmap="Greys", vmin=0, vmax=1, aspect="auto")
    strip.set(xticks=[], yticks=[])
    strip.set_label("mask")
    if is_sorted:
        edge = int((g > 0).sum())
        axes.axvline(edge - 0.5, color="black", linewidth=1)
        axes.set_xlabel(f"object: {edge} columns | rest: {len(g) - edge}")
    else:
        axes.set(xlabel="support pixels j (strip: their mask)", ylabel="query pixels i")


def _finish(axes: Axes, stage: str, is_drawn: bool, is_highlighted: bool) -> None:
    """Set a stage's title and frame."""
    axes.set(xticks=[], yticks=[])
    axes.set_title(_TITLES[stage], color="black" if is_drawn else "0.5", fontsize=10)
    axes.spines[:].set(visible=True, color="0.7", linewidth=1)
    if is_highlighted:
        axes.spines[:].set(color=OKABE_ITO["orange"], linewidth=4)
        axes.title.set_fontweight("bold")


def _mark_pixel(
    axes: dict[str, Axes],
    drawn: tuple[str, ...],
    pixel: tuple[int, int],
    grid: tuple[int, int],
    size: tuple[int, ...],
) -> None:
    """Mark one query pixel: a line on its row in R and A, a square on the maps."""
    row = pixel[0] * grid[1] + pixel[1]
    for stage in drawn:
        ax = axes[stage]
        if stage in ("R", "sorted", "A"):
            ax.axhline(row, color=MARKS[0], linewidth=1.2)
        elif stage != "M":
            y, x = (p * (n - 1) / max(1, m - 1) for p, n, m in zip(pixel, size, grid, strict=True))
            ax.plot(x, y, "s", color=MARKS[0], markersize=8, fillstyle="none", markeredgewidth=2)
