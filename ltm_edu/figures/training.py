"""Figures of training: curves of one run, its answers at several steps, several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .base import (
    A_MAP,
    OKABE_ITO,
    Picture,
    answer_on,
    as_array,
    as_uint8,
    bare,
    legend_beside,
    style,
)
from .loss_terms import LOSS_COLOURS

RUN_COLOURS = tuple(OKABE_ITO[c] for c in ("black", "blue", "orange", "purple", "green", "sky"))
"""Colours of runs, in order; the second to fourth are those of L_m, L_a and L_r."""


@dataclass(frozen=True)
class Frame:
    """The answer of a network in training to one question about a novel class.

    Attributes:
        step: number of updates before the question.
        A_hat: attention map on the grid, (h, w) in [0, 1].
        mask: the answer, (H, W) bool.
        iou: of the answer.
    """

    step: int
    A_hat: Tensor
    mask: Tensor
    iou: float


def smoothed(values: Sequence[float], width: int = 9) -> np.ndarray:
    """Replace each value by its mean with its neighbours; at the ends there are fewer of them.

    >>> smoothed([0.0, 3.0, 6.0], width=3).tolist()
    [1.5, 3.0, 4.5]
    """
    x = np.asarray(values, dtype=float)
    ones, kernel = np.ones(len(x)), np.ones(width)
    half = width // 2
    sums = np.convolve(x, kernel)[half : half + len(x)]
    return sums / np.convolve(ones, kernel)[half : half + len(x)]


def learning_curves(
    history: Sequence[Mapping[str, float]],
    best_step: int = 0,
    lambdas: Mapping[str, float] | None = None,
) -> Figure:
    """Draw the three weighted losses over the updates, and the score on held-out classes.

    Args:
        history: one record for each update, as `fit` returns and logs them.
        best_step: the step whose weights were chosen; a line marks it. 0 draws no line.
        lambdas: loss to its weight; 1 for losses that are not in it.
    """
    lambdas = lambdas or {}
    steps = [record["step"] for record in history]
    checks = [record for record in history if "held_out_miou" in record]
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.4))
        for name, colour in LOSS_COLOURS.items():
            weight = lambdas.get(name, 1)
            values = [weight * record[name] for record in history]
            label = f"${name}$" if weight == 1 else f"{weight:g} ${name}$"
            left.plot(steps, values, color=colour, linewidth=0.7, alpha=0.45)
            left.plot(steps, smoothed(values), color=colour, linewidth=2, label=label)
        left.set(xlabel="updates", ylabel="weighted loss of the batch", ylim=(0, None))
        left.set_title("training episodes, base classes")
        left.legend()
        right.plot(
            [check["step"] for check in checks], [check["held_out_miou"] for check in checks],
            "o-", color=OKABE_ITO["green"], linewidth=2,
        )  # fmt: skip
        if best_step:
            right.axvline(best_step, color="0.4", linestyle=":")
            right.text(best_step, 0.03, "chosen ", ha="right", color="0.3")
        right.set(xlabel="updates", ylabel="mIoU", ylim=(0, 1), xlim=left.get_xlim())
        right.set_title("base classes held out of training")
    return figure


def training_frames(query: Picture, truth: Tensor, frames: Sequence[Frame]) -> Figure:
    """Draw a network's answers to one question at several steps: attention above, mask below.

    Args:
        query: (3, H, W) in [0, 1].
        truth: its object, (H, W) of 0, 1 and 255; outlined in black.
        frames: one for each column.
    """
    n, (H, W) = len(frames), as_uint8(query).shape[:2]
    with style():
        figure, axes = plt.subplots(2, n, figsize=(2.7 * n, 5.8), squeeze=False)
        for k, frame in enumerate(frames):
            title = f"after {frame.step} updates" if frame.step else "before training"
            bare(axes[0, k], title).imshow(
                as_array(frame.A_hat), cmap=A_MAP, vmin=0, vmax=1, extent=(0, W, H, 0)
            )
            bare(axes[1, k], f"answer, IoU {frame.iou:.2f}").imshow(
                answer_on(query, frame.mask, truth)
            )
    return figure


def run_curves(
    runs: Mapping[str, Sequence[Mapping[str, float]]], names: Sequence[str] = ("L_m", "L_a", "L_r")
) -> Figure:
    """Draw the smoothed losses of several runs: one panel for each loss, one line for each run.

    Args:
        runs: title to history. A loss that is 0 in the whole history gets no line.
        names: of the losses.
    """
    with style():
        figure, axes = plt.subplots(
            1, len(names), figsize=(3.7 * len(names) + 1.6, 3.2), squeeze=False
        )
        for ax, name in zip(axes.flat, names, strict=True):
            for (title, history), colour in zip(runs.items(), RUN_COLOURS, strict=False):
                values = [record[name] for record in history]
                if not any(values):  # the run did not compute this loss
                    continue
                steps = [record["step"] for record in history]
                ax.plot(steps, smoothed(values), color=colour, linewidth=2, label=title)
            ax.set(xlabel="updates", title=f"${name}$ in training", ylim=(0, None))
        handles = {}
        for ax in axes.flat:
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside right center")
    return figure


def scored_runs(
    scores: Mapping[str, Sequence[float]], floors: Mapping[str, float], highest: float = 0.8
) -> Figure:
    """Draw the mean score of each kind of run as a bar, and each run as a dot.

    The dots of one seed are joined by a thin line: runs of one seed are compared with each other.

    Args:
        scores: title to the mIoU of its runs, one for each seed, in the same order.
        floors: title to mIoU; each is a dashed line.
        highest: the end of the mIoU axis.
    """
    table = np.array([list(runs) for runs in scores.values()])
    with style():
        figure, axes = plt.subplots(figsize=(1.25 * len(scores) + 3, 3.4))
        colours = [RUN_COLOURS[k % len(RUN_COLOURS)] for k in range(len(scores))]
        axes.bar(range(len(scores)), table.mean(axis=1), 0.6, color=colours, alpha=0.5)
        for k, runs in enumerate(table):  # above the highest dot, where no dot hides it
            axes.text(k, runs.max() + 0.03 * highest, f"{runs.mean():.3f}", ha="center", fontsize=9)
        for seed in table.T:
            axes.plot(
                range(len(scores)), seed, "o-", color="0.25", linewidth=0.6, markersize=5,
                markeredgecolor="white", markeredgewidth=0.8,
            )  # fmt: skip
        for (name, value), dashes in zip(floors.items(), ("--", ":", "-."), strict=False):
            axes.axhline(value, color="0.3", linestyle=dashes, label=f"{name}, {value:.3f}")
        axes.set_xticks(range(len(scores)), list(scores))
        axes.set(ylabel="mIoU", ylim=(0, highest))
        axes.set_title("novel classes, the same episodes: mean (bar) and each seed (dot)")
        legend_beside(axes)
    return figure
