"""Figures of notebook 10 and of `ltm-edu bench`: speed, memory, rounding, printed results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .base import OKABE_ITO, bare, grouped_bars, style

if TYPE_CHECKING:
    from ..bench import Row

LINES = tuple(OKABE_ITO[c] for c in ("blue", "vermillion", "green", "purple"))
MARKERS = "osD^"
"""Colours and markers of lines, in order."""


def two_orders(N: int, D: int) -> Figure:
    """Draw the product u_q^T u_s G^+ to scale, with the bracket on the left and on the right.

    Args:
        N: pixels of the query's grid, and of the support's grid.
        D: channels.
    """
    with style():
        figure, axes = plt.subplots(2, 1, figsize=(8.2, 5.4))
        thin = max(N, D) / 40
        left = [
            ("$u_q^\\top$", D, N, "sky"), ("$u_s$", N, D, "sky"), ("$G_s^+$", thin, N, "yellow"),
            ("=", 0, 0, ""),
            ("$R$", N, N, "vermillion"), ("$G_s^+$", thin, N, "yellow"), ("=", 0, 0, ""),
            ("$A$", thin, N, "orange"),
        ]  # fmt: skip
        right = [
            *left[:4],
            ("$u_q^\\top$", D, N, "sky"), ("prototype", thin, D, "green"), ("=", 0, 0, ""),
            ("$A$", thin, N, "orange"),
        ]  # fmt: skip
        titles = (
            f"as printed: $(u_q^\\top u_s)\\,G_s^+$, {N * N * D + N * N:,} multiplications",
            f"bracket moved: $u_q^\\top (u_s\\,G_s^+)$, {2 * N * D:,} multiplications",
        )
        for ax, blocks, title, first in zip(axes, (left, right), titles, (0, 1), strict=True):
            _blocks(ax, blocks, first, max(N, D))
            ax.set_title(title, loc="left")
        span = max(ax.get_xlim()[1] for ax in axes)
        for ax in axes:
            ax.set_xlim(-0.05 * max(N, D), span)
    return figure


def _blocks(
    ax: Axes, blocks: Sequence[tuple[str, float, float, str]], first: int, side: float
) -> None:
    """Draw rectangles in a row, and brackets around the two that start at number `first`.

    Args:
        ax: where to draw.
        blocks: (name, width, height, colour) each; the name "=" stands for an equals sign.
        first: number of the first rectangle in the brackets.
        side: the largest width or height.
    """
    bare(ax)
    gap, x = 0.16 * side, 0.0
    for k, (name, width, height, colour) in enumerate(blocks):
        if name == "=":
            ax.text(x + 0.1 * side, 0, "=", ha="center", va="center", fontsize=16)
            x += 0.2 * side + gap
            continue
        box = (x, -height / 2), width, height
        ax.add_patch(Rectangle(*box, facecolor=OKABE_ITO[colour], edgecolor="black", alpha=0.85))
        ax.text(x + width / 2, -0.6 * side, name, ha="center", va="top")
        brackets = {first: ("(", x - 0.45 * gap), first + 1: (")", x + width + 0.45 * gap)}
        if k in brackets:
            sign, edge = brackets[k]
            ax.text(edge, 0, sign, ha="center", va="center", fontsize=44)
        x += width + gap
    ax.set(xlim=(0, x), ylim=(-0.85 * side, 0.6 * side), aspect="equal")


def crossing(measurements: Sequence[Row]) -> Figure:
    """Draw how many times faster the Gram form of L_r is over N, with one line for each D.

    A dotted line in each colour marks N = 2 D, where both forms need equally many multiplications.

    Args:
        measurements: from `bench.loss_row`.
    """
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 4))
        _ratios(ax, measurements, "$L_r$ without the matrix", dotted=True)
        ax.set_ylabel("times faster than the printed form")
        ax.legend(title="channels", loc="lower right")
    return figure


def _ratios(ax: Axes, measurements: Sequence[Row], title: str, dotted: bool = False) -> None:
    """Draw ratios over N on logarithmic axes; above the grey line, our form is faster."""
    sizes = sorted({(m.sizes["what"], m.sizes["D"]) for m in measurements})
    several = len({what for what, _ in sizes}) > 1
    channels = sorted({D for _, D in sizes})
    for what, D in sizes:
        points = sorted(
            (m.sizes["N"], m.ratio)
            for m in measurements
            if (m.sizes["what"], m.sizes["D"]) == (what, D)
        )
        k = channels.index(D) % len(LINES)
        ax.plot(
            *zip(*points, strict=True),
            color=LINES[k],
            marker=MARKERS[k],
            linestyle="--" if "backward" in what else "-",
            label=f"D {D:,}" + (f", {what.removeprefix('L_r ')}" if several else ""),
        )
        if dotted:
            ax.axvline(2 * D, color=LINES[k], linestyle=":", linewidth=1)
    _axes_over_sizes(ax, measurements)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.4), max(high, 2.5))
    _plain_numbers(ax.yaxis, ax.get_ylim())
    ax.axhline(1, color="0.5", linewidth=1)
    ax.set(title=title, ylabel="times faster")
    ax.legend()


def speed_report(measurements: Sequence[Row]) -> Figure:
    """Draw the whole benchmark: attention, its memory, L_r, and everything else.

    Args:
        measurements: from `bench.measure`; only parts that occur in them have a panel.
    """
    attention = [m for m in measurements if m.part == "attention"]
    loss = [m for m in measurements if m.part == "loss"]
    others = [m for m in measurements if m.part not in ("attention", "loss")]
    panels = []
    if attention:
        title = "attention without R"
        panels += [partial(_ratios, measurements=attention, title=title)]
        panels += [partial(_memory, measurements=attention)]
    if loss:
        title = "$L_r$ from Gram matrices"
        panels += [partial(_ratios, measurements=loss, title=title)]
    if others:
        panels += [partial(_bars, measurements=others)]
    rows, columns = -(-len(panels) // 2), min(2, len(panels))
    with style():
        height = 3.6 * rows + 0.16 * max(0, len(others) - 6)
        figure, axes = plt.subplots(rows, columns, figsize=(11.5, height), squeeze=False)
        for ax in axes.flat[len(panels) :]:
            ax.set_axis_off()
        for ax, draw in zip(axes.flat, panels, strict=False):
            draw(ax)
    return figure


def _memory(ax: Axes, measurements: Sequence[Row]) -> None:
    """Draw the peak memory of both forms over N, with one colour for each D."""
    ordered = sorted(measurements, key=lambda m: m.sizes["N"])
    for k, D in enumerate(sorted({m.sizes["D"] for m in ordered})):
        of_D = [m for m in ordered if m.sizes["D"] == D]
        sizes = [m.sizes["N"] for m in of_D]
        for kind, line in (("plain_bytes", "--"), ("our_bytes", "-")):
            label = f"D {D:,}, {'printed' if kind == 'plain_bytes' else 'without R'}"
            values = [getattr(m, kind) / 1e6 for m in of_D]
            ax.plot(sizes, values, line, color=LINES[k], marker=MARKERS[k], label=label)
    _axes_over_sizes(ax, measurements)
    ax.set(ylabel="MB", title="attention: peak memory")
    ax.legend()


def _axes_over_sizes(ax: Axes, measurements: Sequence[Row]) -> None:
    """Make both axes logarithmic, and mark each measured N on the horizontal one."""
    ax.set(xscale="log", yscale="log", xlabel="N, pixels of a grid")
    sizes = sorted({m.sizes["N"] for m in measurements})
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
    ax.set_xticks([], minor=True)


def _bars(ax: Axes, measurements: Sequence[Row]) -> None:
    """Draw the ratio of each case as a bar."""
    positions = range(len(measurements))
    # A logarithmic axis has no 0: the bars start at 1, where both forms are equally fast.
    ratios = [m.ratio for m in measurements]
    bars = ax.barh(positions, [r - 1 for r in ratios], left=1, color=OKABE_ITO["sky"])
    ax.bar_label(bars, [f"{r:.2g}" for r in ratios], padding=3)
    ax.set_yticks(positions, [m.case for m in measurements])
    ax.invert_yaxis()
    ax.axvline(1, color="0.5", linewidth=1)
    ax.set(xscale="log", xlabel="times faster", title="whole episodes and training steps")
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.5), 1.6 * max(high, 2))
    _plain_numbers(ax.xaxis, ax.get_xlim())


def _plain_numbers(axis: Axis, limits: tuple[float, float]) -> None:
    """Mark a logarithmic axis at 0.5, 1, 2, 5 and so on, with plain numbers."""
    marks = [m * 10.0**e for e in range(-4, 6) for m in (1, 2, 5)]
    marks = [m for m in marks if limits[0] <= m <= limits[1]]
    axis.set_ticks(marks, [f"{m:g}" for m in marks])
    axis.set_ticks([], minor=True)


def cancellation(L_r: Sequence[float], errors: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the relative error of the loss over the loss, with one line for each way to compute it.

    Args:
        L_r: the exact losses.
        errors: name of a way to its relative errors, one for each loss.
    """
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 3.6))
        for k, (way, values) in enumerate(errors.items()):
            positive = [max(v, 1e-8) for v in values]  # a logarithmic axis has no 0
            ax.plot(L_r, positive, color=LINES[k], marker=MARKERS[k], label=way)
        ax.axhline(1e-4, color="0.5", linewidth=1, linestyle=":")
        ax.text(max(L_r), 1.3e-4, "1e-4", color="0.4", ha="right", fontsize=9)
        ax.set(
            xscale="log", yscale="log", xlabel="$L_r$, a mean over pairs", ylabel="relative error"
        )
        ax.set_title("Rounding errors where the loss is nearly 0")
        ax.legend(loc="upper right")
    return figure


def leads(by_fold: Mapping[str, Sequence[float]]) -> Figure:
    """Draw leads in each fold as bars, with one colour for each name.

    Args:
        by_fold: name to leads in points, one for each fold.
    """
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 3))
        folds = [f"fold {i}" for i in range(len(next(iter(by_fold.values()))))]
        for bars in grouped_bars(ax, by_fold, folds, LINES):
            ax.bar_label(bars, fmt="%+.1f", fontsize=9)
        ax.axhline(0, color="0.5", linewidth=1)
        ax.margins(y=0.15)
        ax.set(ylabel="points", title="Lead in each fold")
        ax.legend()
    return figure


def standings(
    blocks: Mapping[str, Mapping[str, tuple[float, float | None]]], mark: str = ""
) -> Figure:
    """Draw printed scores in blocks; scores of different blocks cannot be compared.

    Args:
        blocks: title of a block to {method: (1-shot, 5-shot or None)}.
        mark: a method to draw in orange.
    """
    with style():
        heights = [len(methods) for methods in blocks.values()]
        figure, axes = plt.subplots(
            len(blocks),
            1,
            figsize=(7.6, 0.34 * sum(heights) + 0.62 * len(blocks) + 0.5),
            height_ratios=[n + 0.6 for n in heights],
            sharex=True,
            squeeze=False,
        )
        for ax, (title, methods) in zip(axes.flat, blocks.items(), strict=True):
            for y, (name, (one, five)) in enumerate(methods.items()):
                colour = OKABE_ITO["orange"] if name == mark else OKABE_ITO["blue"]
                if five is not None:
                    ax.plot([one, five], [y, y], color=colour, linewidth=1.5)
                    ax.plot(five, y, "s", color=colour, markerfacecolor="white")
                ax.plot(one, y, "o", color=colour)
            ax.set_yticks(range(len(methods)), list(methods))
            ax.set_ylim(len(methods) - 0.4, -0.6)
            ax.set_title(title, loc="left")
            ax.grid(axis="x", color="0.9")
        axes.flat[-1].set_xlabel("printed mIoU: a dot 1-shot, a square 5-shot")
    return figure
