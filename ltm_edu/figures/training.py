"""Figures of a training run: its curves, its answers on the way, and runs held side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .base import A_MAP, OKABE_ITO, Picture, as_array, as_uint8, bare, outline, style, tinted
from .loss_terms import LOSS_COLOURS

RUN_COLOURS = tuple(OKABE_ITO[c] for c in ("black", "blue", "orange", "purple", "green", "sky"))
"""Colours of whole runs, in order; the second to fourth fit the loss that a run leaves out."""


@dataclass(frozen=True)
class Frame:
    """One novel question, put to a network in training.

    Attributes:
        step: updates so far.
        A_hat: attention map on the grid, (h, w) in [0, 1].
        mask: the answer, (H, W) bool.
        iou: the answer's.
    """

    step: int
    A_hat: Tensor
    mask: Tensor
    iou: float


def smoothed(values: Sequence[float], width: int = 9) -> np.ndarray:
    """Each value's mean with its neighbours, fewer of them at the ends.

    >>> smoothed([0.0, 3.0, 6.0], width=3).tolist()
    [1.5, 3.0, 4.5]
    """
    x = np.asarray(values, dtype=float)
    ones, kernel = np.ones(len(x)), np.ones(width)
    half = width // 2
    summed = np.convolve(x, kernel)[half : half + len(x)]
    return summed / np.convolve(ones, kernel)[half : half + len(x)]


def learning_curves(
    history: Sequence[Mapping[str, float]],
    best_step: int = 0,
    lambdas: Mapping[str, float] | None = None,
) -> Figure:
    """The three losses over the updates, weighted, and the score on held-out classes.

    Args:
        history: a row an update, as `fit` returns and logs them.
        best_step: the step that was chosen; marked. 0 marks none.
        lambdas: loss to its weight, 1 where none is given.
    """
    weights = lambdas or {}
    steps = [row["step"] for row in history]
    checks = [row for row in history if "held_out_miou" in row]
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.4))
        for name, colour in LOSS_COLOURS.items():
            weight = weights.get(name, 1)
            values = [weight * row[name] for row in history]
            label = f"${name}$" if weight == 1 else f"{weight:g} ${name}$"
            left.plot(steps, values, color=colour, linewidth=0.7, alpha=0.45)
            left.plot(steps, smoothed(values), color=colour, linewidth=2, label=label)
        left.set(xlabel="updates", ylabel="weighted loss of the batch", ylim=(0, None))
        left.set_title("training episodes, base classes")
        left.legend()
        right.plot(
            [row["step"] for row in checks], [row["held_out_miou"] for row in checks],
            "o-", color=OKABE_ITO["green"], linewidth=2,
        )  # fmt: skip
        if best_step:
            right.axvline(best_step, color="0.4", linestyle=":")
            right.text(best_step, 0.03, "chosen ", ha="right", color="0.3")
        right.set(xlabel="updates", ylabel="mIoU", ylim=(0, 1), xlim=left.get_xlim())
        right.set_title("base classes held out of training")
    return figure


def training_frames(query: Picture, truth: Tensor, frames: Sequence[Frame]) -> Figure:
    """What a network answers to one question at several steps: attention above, mask below.

    Args:
        query: (3, H, W) in [0, 1].
        truth: its object, (H, W) of 0, 1 and 255; outlined in black.
        frames: the steps to show.
    """
    n = len(frames)
    with style():
        figure, axes = plt.subplots(2, n, figsize=(2.7 * n, 5.8), squeeze=False)
        for k, frame in enumerate(frames):
            title = f"after {frame.step} updates" if frame.step else "before training"
            H, W = as_uint8(query).shape[:2]
            bare(axes[0, k], title).imshow(
                as_array(frame.A_hat), cmap=A_MAP, vmin=0, vmax=1, extent=(0, W, H, 0)
            )
            bare(axes[1, k], f"answer, IoU {frame.iou:.2f}").imshow(
                answer_on(query, frame.mask, truth)
            )
    return figure


def answer_on(query: Picture, mask: Tensor | np.ndarray, truth: Tensor | np.ndarray) -> np.ndarray:
    """The query with an answer tinted and the true object outlined in black, (H, W, 3) uint8."""
    drawn = np.array(tinted(query, mask))
    drawn[outline(truth)] = 0
    return drawn


def run_curves(
    runs: Mapping[str, Sequence[Mapping[str, float]]], names: Sequence[str] = ("L_m", "L_a", "L_r")
) -> Figure:
    """Losses of several runs over the updates, smoothed, a panel a loss and a line a run.

    Args:
        runs: title to history; a loss that a run left out of its sum is drawn as far as logged.
        names: which losses.
    """
    with style():
        figure, axes = plt.subplots(1, len(names), figsize=(3.7 * len(names) + 1.6, 3.2))
        for ax, name in zip(np.atleast_1d(axes), names, strict=True):
            for (title, history), colour in zip(runs.items(), RUN_COLOURS, strict=False):
                values = [row[name] for row in history]
                if not any(values):  # left out and never computed
                    continue
                steps = [row["step"] for row in history]
                ax.plot(steps, smoothed(values), color=colour, linewidth=2, label=title)
            ax.set(xlabel="updates", title=f"${name}$ in training", ylim=(0, None))
        handles = {}
        for ax in np.atleast_1d(axes):
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside right center")
    return figure


def scored_runs(scores: Mapping[str, float], floors: Mapping[str, float]) -> Figure:
    """A bar a run and a dashed line a floor.

    Args:
        scores: title to mIoU.
        floors: title to mIoU.
    """
    with style():
        figure, axes = plt.subplots(figsize=(1.25 * len(scores) + 3, 3.2))
        colours = [RUN_COLOURS[k % len(RUN_COLOURS)] for k in range(len(scores))]
        axes.bar(range(len(scores)), list(scores.values()), 0.6, color=colours)
        for (name, value), dashes in zip(floors.items(), ("--", ":", "-."), strict=False):
            axes.axhline(value, color="0.3", linestyle=dashes, label=name)
        axes.set_xticks(range(len(scores)), list(scores))
        axes.set(ylabel="mIoU", ylim=(0, 0.8), title="novel classes, the same episodes")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
