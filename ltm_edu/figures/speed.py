"""Figures of notebook 10 and `ltm-edu bench`: brackets, crossing, rounding, leads and standings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .base import OKABE_ITO, style

if TYPE_CHECKING:
    from ..bench import Row

LINES = tuple(OKABE_ITO[c] for c in ("blue", "vermillion", "green", "purple"))
MARKERS = "osD^"


def two_orders(N: int, D: int) -> Figure:
    """The product u_q^T u_s G^+ to scale, with the bracket on the left and on the right.

    Args:
        N: pixels of either grid.
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
        brackets = ((0, 1), (1, 2))
        for ax, blocks, title, (first, last) in zip(
            axes, (left, right), titles, brackets, strict=True
        ):
            _blocks(ax, blocks, first, last, max(N, D))
            ax.set_title(title, loc="left")
        span = max(ax.get_xlim()[1] for ax in axes)
        for ax in axes:
            ax.set_xlim(-0.05 * max(N, D), span)
    return figure


def _blocks(
    ax: Axes, blocks: Sequence[tuple[str, float, float, str]], first: int, last: int, side: float
) -> None:
    """Rectangles in a row, (name, width, height, colour) each, with brackets round some."""
    gap, x = 0.16 * side, 0.0
    for k, (name, width, height, colour) in enumerate(blocks):
        if name == "=":
            ax.text(x + 0.1 * side, 0, "=", ha="center", va="center", fontsize=16)
            x += 0.2 * side + gap
            continue
        box = (x, -height / 2), width, height
        ax.add_patch(Rectangle(*box, facecolor=OKABE_ITO[colour], edgecolor="black", alpha=0.85))
        ax.text(x + width / 2, -0.6 * side, name, ha="center", va="top")
        for at, sign in ((first, "("), (last, ")")):
            if k == at:
                edge = x - 0.45 * gap if sign == "(" else x + width + 0.45 * gap
                ax.text(edge, 0, sign, ha="center", va="center", fontsize=44, family="DejaVu Sans")
        x += width + gap
    ax.set(xlim=(0, x), ylim=(-0.85 * side, 0.6 * side), xticks=[], yticks=[], aspect="equal")
    for spine in ax.spines.values():
        spine.set_visible(False)


def crossing(rows: Sequence[Row]) -> Figure:
    """How many times faster the Gram form of L_r is, over N, a line for each D.

    A dotted line in each colour stands at N = 2 D, where both forms multiply equally often.

    Args:
        rows: of `bench.loss_rows`, one pass.
    """
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 4))
        _ratios(ax, rows, dotted=True)
        ax.set(ylabel="times faster than the printed form", title="$L_r$ without the matrix")
        ax.legend(title="channels", loc="lower right")
    return figure


def _ratios(ax: Axes, rows: Sequence[Row], dotted: bool = False) -> None:
    """Ratio over N on logarithmic axes; above the grey line, ours is faster."""
    sizes = sorted({(row.sizes["what"], row.sizes["D"]) for row in rows})
    several = len({what for what, _ in sizes}) > 1
    channels = sorted({D for _, D in sizes})
    for what, D in sizes:
        points = sorted(
            (row.sizes["N"], row.ratio)
            for row in rows
            if (row.sizes["what"], row.sizes["D"]) == (what, D)
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
    ax.set(xscale="log", yscale="log", xlabel="N, pixels of a grid")
    seen = sorted({row.sizes["N"] for row in rows})
    ax.set_xticks(seen, [f"{n:,}" for n in seen])
    ax.set_xticks([], minor=True)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.4), max(high, 2.5))
    _plain_numbers(ax.yaxis, ax.get_ylim())
    ax.axhline(1, color="0.5", linewidth=1)


def speed_report(rows: Sequence[Row]) -> Figure:
    """The whole benchmark in one picture: attention, its memory, L_r, and everything else.

    Args:
        rows: of `bench.measure`; parts that were not measured leave no panel.
    """
    attention = [r for r in rows if r.part == "attention"]
    loss = [r for r in rows if r.part == "loss"]
    others = [r for r in rows if r.part not in ("attention", "loss")]
    panels = ["attention", "memory"] * bool(attention) + ["loss"] * bool(loss)
    panels += ["others"] * bool(others)
    with style():
        height = 3.6 * -(-len(panels) // 2) + 0.16 * max(0, len(others) - 6)
        figure, axes = plt.subplots(
            -(-len(panels) // 2), min(2, len(panels)), figsize=(11.5, height), squeeze=False
        )
        for ax in axes.flat[len(panels) :]:
            ax.set_axis_off()
        for ax, panel in zip(axes.flat, panels, strict=False):
            if panel == "attention":
                _ratios(ax, attention)
                ax.set(title="attention without R", ylabel="times faster")
                ax.legend()
            elif panel == "memory":
                _memory(ax, attention)
            elif panel == "loss":
                _ratios(ax, loss)
                ax.set(title="$L_r$ from Gram matrices", ylabel="times faster")
                ax.legend()
            else:
                _bars(ax, others)
    return figure


def _memory(ax: Axes, rows: Sequence[Row]) -> None:
    for k, D in enumerate(sorted({row.sizes["D"] for row in rows})):
        some = sorted((r for r in rows if r.sizes["D"] == D), key=lambda r: r.sizes["N"])
        at = [row.sizes["N"] for row in some]
        for kind, line in (("plain_bytes", "--"), ("our_bytes", "-")):
            label = f"D {D:,}, {'printed' if kind == 'plain_bytes' else 'without R'}"
            values = [getattr(row, kind) / 1e6 for row in some]
            ax.plot(at, values, line, color=LINES[k], marker=MARKERS[k], label=label)
    ax.set(xscale="log", yscale="log", xlabel="N, pixels of a grid", ylabel="MB")
    ax.set_title("attention: peak memory")
    ax.set_xticks(at, [f"{n:,}" for n in at])
    ax.set_xticks([], minor=True)
    ax.legend()


def _bars(ax: Axes, rows: Sequence[Row]) -> None:
    at = range(len(rows))
    # From 1: on a logarithmic axis a bar has no natural foot, and 1 is where nothing is gained.
    bars = ax.barh(at, [row.ratio - 1 for row in rows], left=1, color=OKABE_ITO["sky"])
    ax.bar_label(bars, [f"{row.ratio:.2g}" for row in rows], padding=3)
    ax.set_yticks(at, [row.case for row in rows])
    ax.invert_yaxis()
    ax.axvline(1, color="0.5", linewidth=1)
    ax.set(xscale="log", xlabel="times faster", title="everything else")
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.5), 1.6 * max(high, 2))
    _plain_numbers(ax.xaxis, ax.get_xlim())


def _plain_numbers(axis: Axis, limits: tuple[float, float]) -> None:
    """Mark a logarithmic axis of ratios at 0.5, 1, 2, 5 and so on, as plain numbers."""
    marks = [m * 10.0**e for e in range(-4, 6) for m in (1, 2, 5)]
    marks = [m for m in marks if limits[0] <= m <= limits[1]]
    axis.set_ticks(marks, [f"{m:g}" for m in marks])
    axis.set_ticks([], minor=True)


def cancellation(L_r: Sequence[float], errors: Mapping[str, Sequence[float]]) -> Figure:
    """Relative error of the loss over the loss itself, a line for each way to compute it.

    Args:
        L_r: the exact losses.
        errors: way to its relative errors, one for each loss.
    """
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 3.6))
        for k, (way, values) in enumerate(errors.items()):
            drawn = [max(v, 1e-8) for v in values]  # a logarithmic axis has no 0
            ax.plot(L_r, drawn, color=LINES[k], marker=MARKERS[k], label=way)
        ax.axhline(1e-4, color="0.5", linewidth=1, linestyle=":")
        ax.text(max(L_r), 1.3e-4, "1e-4", color="0.4", ha="right", fontsize=9)
        ax.set(
            xscale="log", yscale="log", xlabel="$L_r$, a mean over pairs", ylabel="relative error"
        )
        ax.set_title("What the Gram form pays where the loss is nearly 0")
        ax.legend(loc="upper right")
    return figure


def leads(by_fold: Mapping[str, Sequence[float]]) -> Figure:
    """Points of lead in each fold, bars of one colour for each name.

    Args:
        by_fold: name to leads, one a fold.
    """
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 3))
        width = 0.8 / len(by_fold)
        for k, (name, ahead) in enumerate(by_fold.items()):
            at = [i + (k - (len(by_fold) - 1) / 2) * width for i in range(len(ahead))]
            bars = ax.bar(at, ahead, 0.92 * width, color=LINES[k], label=name)
            ax.bar_label(bars, [f"{x:+.1f}" for x in ahead], fontsize=9)
        ax.set_xticks(range(len(ahead)), [f"fold {i}" for i in range(len(ahead))])
        ax.axhline(0, color="0.5", linewidth=1)
        ax.margins(y=0.15)
        ax.set(ylabel="points", title="The lead, fold by fold")
        ax.legend()
    return figure


def standings(
    blocks: Mapping[str, Mapping[str, tuple[float, float | None]]], mark: str = ""
) -> Figure:
    """Scores in blocks that do not compare with each other, an axes a block.

    Args:
        blocks: block to {method: (1-shot, 5-shot or None)}.
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
