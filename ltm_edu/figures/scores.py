"""Figures of scores, and of the answers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ..episodes import fold_label
from ..scores import IoUCounter, Results
from .base import (
    OKABE_ITO,
    Picture,
    answer_on,
    as_array,
    grouped_bars,
    legend_beside,
    show,
    style,
    tinted,
)


@dataclass(frozen=True)
class Answered:
    """One episode with a model's answer.

    Attributes:
        name: of the class.
        support: a picture of any size.
        support_mask: its object, (H, W), 1 inside.
        query: a picture of any size.
        truth: the query's object, (H, W) of 0, 1 and 255.
        mask: the answer, (H, W) bool.
        iou: of the answer.
    """

    name: str
    support: Picture
    support_mask: np.ndarray
    query: Picture
    truth: np.ndarray
    mask: np.ndarray
    iou: float


def iou(answer: np.ndarray, truth: np.ndarray | Tensor) -> float:
    """Compute the IoU of one answer.

    Args:
        answer: (H, W) bool.
        truth: (H, W) of 0, 1 and 255; pixels of 255 do not count.

    >>> iou(np.array([[True, True, True]]), np.array([[1, 0, 255]]))
    0.5
    """
    counter = IoUCounter()
    counter.add(np.asarray(answer, bool), as_array(truth), 1)
    return counter.miou()


def per_class_bars(results: Results) -> Figure:
    """Draw the IoU of each class, with one bar for each method.

    Args:
        results: from `evaluate`.
    """
    classes = list(results.scores[0].per_class)
    heights = {s.method: [s.per_class[c] for c in classes] for s in results.scores}
    with style():
        figure, axes = plt.subplots(figsize=(1.4 * len(classes) + 3.5, 3.6))
        for bars in grouped_bars(axes, heights, classes):
            axes.bar_label(bars, fmt="%.2f", fontsize=7)
        axes.set(ylim=(0, 1), ylabel="IoU", xlabel=f"classes of fold {fold_label(results.fold)}")
        axes.set_title(f"{results.dataset}: IoU of each class")
        legend_beside(axes)
    return figure


def episode_ious(
    ious: Sequence[float], sizes: Sequence[int], scores: Mapping[str, float]
) -> Figure:
    """Draw the IoU of each episode over the size of its object, and several summary scores.

    Args:
        ious: one for each episode.
        sizes: the number of object pixels in each query.
        scores: title to score; each is a horizontal line.
    """
    colours = (OKABE_ITO["blue"], OKABE_ITO["vermillion"], OKABE_ITO["green"])
    with style():
        figure, axes = plt.subplots(figsize=(7.2, 3.6))
        axes.scatter(sizes, ious, s=16, color="0.45", alpha=0.7, linewidths=0)
        for (title, value), colour, dashes in zip(
            scores.items(), colours, ("-", "--", ":"), strict=False
        ):
            axes.axhline(value, color=colour, linestyle=dashes, linewidth=2, label=title)
        axes.set(ylim=(0, 1), xlabel="pixels of the object", ylabel="IoU")
        axes.set_title("one dot for each episode")
        legend_beside(axes)
    return figure


def seed_dots(
    scores: Mapping[str, Sequence[float]], ylabel: str = "mIoU", together: int = 0
) -> Figure:
    """Draw the scores of several methods, one dot for each episode seed.

    A thin line connects the dots of one seed, and a black bar marks each method's mean.

    Args:
        scores: method to one score for each seed; all methods list the seeds in the same order.
        ylabel: the name of the score.
        together: lines join only so many neighbouring methods; 0 joins all.
    """
    table = np.array([list(v) for v in scores.values()])
    with style():
        figure, axes = plt.subplots(figsize=(1.7 * len(scores) + 2.2, 3.5))
        places = range(len(scores))
        for k in range(0, len(scores), together or len(scores)):
            part = slice(k, k + (together or len(scores)))
            axes.plot(places[part], table[part], color="0.75", linewidth=1)
        for k, row in enumerate(table):
            axes.plot([k] * len(row), row, "o", color=OKABE_ITO["blue"], markersize=6, alpha=0.7)
            axes.hlines(row.mean(), k - 0.2, k + 0.2, color="black", linewidth=2)
            axes.text(k + 0.24, row.mean(), f"{row.mean():.3f}", va="center", fontsize=9)
        axes.set_xticks(range(len(scores)), list(scores))
        axes.set(ylim=(0, 0.8), xlim=(-0.5, len(scores) - 0.5), ylabel=ylabel)
        axes.set_title("one dot for each seed; the bar is their mean")
    return figure


def three_scores(counter: IoUCounter) -> dict[str, float]:
    """Return mIoU, pooled foreground IoU and FB-IoU, under the short names that figures use."""
    return {
        "mIoU": counter.miou(),
        "pooled fg": counter.pooled_foreground_iou(),
        "FB-IoU": counter.fb_iou(),
    }


def named_bars(
    groups: Mapping[str, Mapping[str, float]], ylabel: str = "score", digits: int = 2
) -> Figure:
    """Draw bars in groups, one panel for each group, all on the same scale.

    Args:
        groups: panel title to bar name to value.
        ylabel: the name of the values.
        digits: of the number over each bar.
    """
    sizes = [len(bars) for bars in groups.values()]
    with style():
        figure, axes = plt.subplots(
            1, len(groups), figsize=(1.3 * sum(sizes) + 1.2, 3.4), sharey=True,
            width_ratios=sizes, squeeze=False,
        )  # fmt: skip
        for ax, (title, values) in zip(axes[0], groups.items(), strict=True):
            bars = ax.bar(range(len(values)), list(values.values()), 0.65, color=OKABE_ITO["blue"])
            ax.bar_label(bars, fmt=f"%.{digits}f", fontsize=9)
            ax.set_xticks(range(len(values)), list(values))
            ax.set(title=title, ylim=(0, 1))
        axes[0, 0].set_ylabel(ylabel)
    return figure


def flattery(
    thresholds: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    chosen: Mapping[str, float],
    gaps: Sequence[float],
) -> Figure:
    """Draw how a threshold is chosen, and how much the choice on test episodes raises the score.

    Args:
        thresholds: the candidates.
        curves: name to the score at each candidate.
        chosen: name to the candidate with the highest score.
        gaps: the reported score minus the score on new episodes, one for each repetition.
    """
    colours = (OKABE_ITO["blue"], OKABE_ITO["vermillion"])
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.5))
        for (name, values), colour in zip(curves.items(), colours, strict=False):
            left.plot(thresholds, values, color=colour, linewidth=2, label=name)
            left.axvline(chosen[name], color=colour, linestyle=":")
        left.set(xlabel=r"threshold on $\hat{A}$", ylabel="mIoU", ylim=(0, None))
        left.set_title("score of each threshold (dotted: the best)")
        left.legend()
        right.hist(gaps, bins=24, color=OKABE_ITO["sky"])
        right.locator_params(axis="x", nbins=5)
        right.axvline(0, color="0.3", linewidth=1)
        right.axvline(float(np.mean(gaps)), color=OKABE_ITO["vermillion"], linewidth=2)
        right.set(xlabel="reported mIoU minus mIoU on new episodes", ylabel="repetitions")
        right.set_title("threshold chosen on the test episodes (orange line: mean)")
    return figure


def answered_panels(episode: Answered) -> tuple[np.ndarray, np.ndarray]:
    """Draw the support with its object, and the query with the answer and the truth in black.

    Returns:
        Two pictures, (H, W, 3) uint8 each.
    """
    support = tinted(episode.support, episode.support_mask)
    return support, answer_on(episode.query, episode.mask, episode.truth)


def best_and_worst(episodes: Mapping[str, Answered]) -> Figure:
    """Draw several answered episodes: the support above, the answer below.

    Args:
        episodes: title to episode.
    """
    n = len(episodes)
    with style():
        figure, axes = plt.subplots(2, n, figsize=(2.5 * n, 5.2), squeeze=False)
        for (upper, lower), (title, episode) in zip(axes.T, episodes.items(), strict=True):
            support, answer = answered_panels(episode)
            show(upper, support, f"{title}: {episode.name}")
            show(lower, answer, f"answer, IoU {episode.iou:.2f}")
    return figure
