"""Figures of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ..scores import IoUCounter, Results
from .base import OKABE_ITO, Picture, as_uint8, bare, outline, style, tinted


@dataclass(frozen=True)
class Answered:
    """One episode with its answer.

    Attributes:
        name: the class.
        support: a picture of any size.
        support_mask: its object, (H, W), 1 inside.
        query: a picture of any size.
        truth: the query's object, (H, W) of 0, 1 and 255.
        mask: the answer, (H, W) bool.
        iou: the answer's.
    """

    name: str
    support: Picture
    support_mask: np.ndarray
    query: Picture
    truth: np.ndarray
    mask: np.ndarray
    iou: float


def per_class_bars(results: Results) -> Figure:
    """IoU of each class, a bar a method.

    Args:
        results: from `evaluate`.
    """
    classes = list(results.scores[0].per_class)
    width = 0.8 / len(results.scores)
    with style():
        figure, axes = plt.subplots(figsize=(1.4 * len(classes) + 3.5, 3.6))
        for k, score in enumerate(results.scores):
            at = np.arange(len(classes)) + (k - (len(results.scores) - 1) / 2) * width
            axes.bar(at, [score.per_class[c] for c in classes], width, label=score.method)
        axes.set_xticks(range(len(classes)), classes)
        axes.set(ylim=(0, 1), ylabel="IoU", xlabel=f"classes of fold {results.fold}")
        axes.set_title(f"{results.dataset}: IoU of each class")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def episode_ious(
    ious: Sequence[float], sizes: Sequence[int], scores: Mapping[str, float]
) -> Figure:
    """Each episode's IoU over the size of its object, and what the ways to sum up make of them.

    Args:
        ious: one an episode.
        sizes: pixels of the object in its query.
        scores: title to score; a line each.
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
        axes.set_title("an episode a dot")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def seed_dots(scores: Mapping[str, Sequence[float]], ylabel: str = "mIoU") -> Figure:
    """A dot an episode seed, a column a row of the table; a thin line joins one seed's dots.

    Args:
        scores: title to one score a seed, the seeds in one order.
        ylabel: what the scores are.
    """
    table = np.array([list(v) for v in scores.values()])
    with style():
        figure, axes = plt.subplots(figsize=(1.7 * len(scores) + 2.2, 3.5))
        for seed in table.T:
            axes.plot(range(len(scores)), seed, color="0.75", linewidth=1)
        for k, row in enumerate(table):
            axes.plot([k] * len(row), row, "o", color=OKABE_ITO["blue"], markersize=6, alpha=0.7)
            axes.hlines(row.mean(), k - 0.2, k + 0.2, color="black", linewidth=2)
        axes.set_xticks(range(len(scores)), list(scores))
        axes.set(ylim=(0, 0.8), xlim=(-0.5, len(scores) - 0.5), ylabel=ylabel)
        axes.set_title("a dot a seed; the bar is their mean")
    return figure


def three_scores(counter: IoUCounter) -> dict[str, float]:
    """The three scores of a counter, by the names that bars carry."""
    return {
        "mIoU": counter.miou(),
        "pooled fg": counter.pooled_foreground_iou(),
        "FB-IoU": counter.fb_iou(),
    }


def named_bars(groups: Mapping[str, Mapping[str, float]], ylabel: str = "score") -> Figure:
    """Bars in groups, one panel a group, on one scale.

    Args:
        groups: panel title to bar name to value.
        ylabel: what the values are.
    """
    sizes = [len(bars) for bars in groups.values()]
    with style():
        figure, axes = plt.subplots(
            1, len(groups), figsize=(1.3 * sum(sizes) + 1.2, 3.4), sharey=True,
            width_ratios=sizes, squeeze=False,
        )  # fmt: skip
        for ax, (title, bars) in zip(axes[0], groups.items(), strict=True):
            drawn = ax.bar(range(len(bars)), list(bars.values()), 0.65, color=OKABE_ITO["blue"])
            ax.bar_label(drawn, fmt="%.2f", fontsize=9)
            ax.set_xticks(range(len(bars)), list(bars))
            ax.set(title=title, ylim=(0, 1))
        axes[0, 0].set_ylabel(ylabel)
    return figure


def flattery(
    thresholds: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    chosen: Mapping[str, float],
    gaps: Sequence[float],
) -> Figure:
    """Curves to choose a threshold by; and by how much choosing on the test episodes flatters.

    Args:
        thresholds: the candidates.
        curves: name to the score at each.
        chosen: name to the candidate that it would choose.
        gaps: chosen-by score less honest score, one a repetition.
    """
    colours = (OKABE_ITO["blue"], OKABE_ITO["vermillion"])
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.5))
        for (name, values), colour in zip(curves.items(), colours, strict=False):
            left.plot(thresholds, values, color=colour, linewidth=2, label=name)
            left.axvline(chosen[name], color=colour, linestyle=":")
        left.set(xlabel=r"threshold on $\hat{A}$", ylabel="mIoU", ylim=(0, None))
        left.set_title("which threshold? dotted: the best of each")
        left.legend()
        right.hist(gaps, bins=24, color=OKABE_ITO["sky"])
        right.locator_params(axis="x", nbins=5)
        right.axvline(0, color="0.3", linewidth=1)
        right.axvline(float(np.mean(gaps)), color=OKABE_ITO["vermillion"], linewidth=2)
        right.set(xlabel="mIoU as reported, less mIoU on fresh episodes", ylabel="repetitions")
        right.set_title("chosen on the test: flattered (red: mean)")
    return figure


def answered_panels(one: Answered) -> tuple[np.ndarray, np.ndarray]:
    """Support with its object tinted, and query with the answer tinted, the truth in black."""
    answer = np.array(tinted(one.query, one.mask))
    answer[outline(one.truth)] = 0
    return tinted(one.support, one.support_mask), answer


def best_and_worst(episodes: Mapping[str, Answered]) -> Figure:
    """Several answered episodes: the support above, the answer below.

    Args:
        episodes: title to episode.
    """
    n = len(episodes)
    with style():
        figure, axes = plt.subplots(2, n, figsize=(2.5 * n, 5.2), squeeze=False)
        for k, (title, one) in enumerate(episodes.items()):
            for ax, text, pixels in zip(
                axes[:, k],
                (f"{title}: {one.name}", f"answer, IoU {one.iou:.2f}"),
                answered_panels(one),
                strict=True,
            ):
                bare(ax, text).imshow(as_uint8(pixels), interpolation="antialiased")
    return figure
