"""Figures of the losses: their values at each pixel, the two forms of L_a, their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ..store.pictures import VOID
from .base import OKABE_ITO, Picture, as_array, bare, draw_contour, style

LOSS_COLOURS = {
    "L_m": OKABE_ITO["blue"],
    "L_a": OKABE_ITO["orange"],
    "L_r": OKABE_ITO["purple"],
}
"""The colour of each loss in every figure and widget."""


def loss_maps(query: Picture, truth: Tensor, losses: Mapping[str, Tensor]) -> Figure:
    """Draw the query with its object outlined, and the value of each loss at each pixel.

    Args:
        query: (3, H, W) in [0, 1].
        truth: (H, W) of 0, 1 and 255; void pixels are white on the maps.
        losses: title to (H, W) values, 0 and up.
    """
    void = as_array(truth) == VOID
    with style():
        figure, axes = plt.subplots(1, len(losses) + 1, figsize=(2.9 * len(losses) + 3.4, 3.2))
        bare(axes[0], "query, object outlined").imshow(as_array(query))
        draw_contour(axes[0], truth, OKABE_ITO["orange"], width=2)
        for ax, (title, values) in zip(axes[1:], losses.items(), strict=True):
            counted = np.ma.masked_array(as_array(values), void)
            image = bare(ax, title).imshow(counted, "magma", vmin=0, vmax=3)
        figure.colorbar(
            image, ax=axes, ticks=[0, 1, 2, 3], extend="max", fraction=0.03, pad=0.01,
            label="loss of the pixel",
        )  # fmt: skip
    return figure


def attention_loss_forms(A_hat: Tensor, forms: Mapping[str, Tensor], floor: float) -> Figure:
    """Draw the loss of a pixel on the object as a function of its A_hat, and that loss's slope.

    Args:
        A_hat: values in (0, 1] in ascending order, (n,).
        forms: name of a form to the loss at each value, (n,).
        floor: a lower bound of the loss, to be marked.
    """
    a = as_array(A_hat)
    colours = [LOSS_COLOURS["L_a"], OKABE_ITO["green"]]
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
        for (name, values), colour, dashes in zip(
            forms.items(), colours, ("-", "--"), strict=False
        ):
            loss = as_array(values)
            axes[0].plot(a, loss, dashes, color=colour, linewidth=2, label=name)
            slope = -np.gradient(loss, a)
            axes[1].plot(a, slope, dashes, color=colour, linewidth=2, label=name)
        axes[0].axhline(floor, color="0.5", linestyle=":")
        axes[0].text(0.02, floor - 0.08, f"{floor:.4f}", color="0.3", va="top")
        axes[0].set(ylabel="loss", ylim=(0, 4), title="loss of a pixel on the object")
        axes[1].set(ylabel="slope times -1", ylim=(0, 8), title="how strongly it pulls")
        for ax in axes:
            ax.set(xlim=(0, 1), xlabel=r"$\hat{A}$ of that pixel")
            ax.legend()
    return figure


def shares(
    terms: Mapping[str, float], pulls: Mapping[str, Mapping[str, float]], lambdas: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Compute the share of each weighted loss in the total, and in the pull on each module.

    Args:
        terms: loss to its value.
        pulls: module to loss to the norm of that loss's gradient there.
        lambdas: one weight for each loss, in the order of `terms`.

    Returns:
        "value of L" and each module, to (loss to share). All shares are 0 where the sum is 0.

    >>> shares({"L_m": 1.0, "L_r": 3.0}, {"T_f": {"L_m": 2.0, "L_r": 0.0}}, [1, 1])["T_f"]
    {'L_m': 1.0, 'L_r': 0.0}
    """
    weights = dict(zip(terms, lambdas, strict=True))
    shares_of = {}
    for name, values in {"value of L": terms, **pulls}.items():
        weighted = {loss: weights[loss] * values[loss] for loss in terms}
        total = sum(weighted.values())
        shares_of[name] = {k: v / total if total > 0 else 0.0 for k, v in weighted.items()}
    return shares_of


def loss_shares(settings: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Draw the `shares` of several settings as bars, one panel for each setting.

    Args:
        settings: title to a result of `shares`.
    """
    with style():
        figure, axes = plt.subplots(
            1, len(settings), figsize=(3.2 * len(settings) + 1, 2.9), sharey=True, squeeze=False
        )
        for ax, (title, shares_of) in zip(axes[0], settings.items(), strict=True):
            for y, parts in enumerate(shares_of.values()):
                left = 0.0
                for loss, share in parts.items():
                    ax.barh(y, share, left=left, height=0.7, color=LOSS_COLOURS[loss])
                    if share > 0.12:
                        text = f"${loss}$ {share:.0%}"
                        ax.text(left + share / 2, y, text, ha="center", va="center", fontsize=9)
                    left += share
                if left == 0:
                    ax.text(0.02, y, "nothing pulls", va="center", color="0.4", fontsize=9)
            ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="share", title=title)
            ax.set_yticks(range(len(shares_of)), [_bar_label(name) for name in shares_of])
        axes[0, 0].invert_yaxis()
    return figure


def loss_curves(runs: Mapping[str, Sequence[float]], ylabel: str) -> Figure:
    """Draw one loss over the updates, with a line for each run.

    Args:
        runs: name of a run to its values; the first value is from before any update.
        ylabel: name of the values.
    """
    with style():
        figure, axes = plt.subplots(figsize=(5.6, 3))
        for (name, values), colour in zip(
            runs.items(), (OKABE_ITO["green"], OKABE_ITO["vermillion"]), strict=False
        ):
            axes.plot(values, "o-", color=colour, label=name)
        top = 1.1 * max(max(values) for values in runs.values())
        axes.set(ylim=(0, top), xlabel="updates", ylabel=ylabel)
        axes.set_title(f"{ylabel} before each update")
        axes.legend()
    return figure


def _bar_label(name: str) -> str:
    if name.startswith("value"):
        return name
    return f"pull on ${name}$" if name.startswith("T_") else f"pull on {name}"
