"""Figures of scores."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Results
from .base import style


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
