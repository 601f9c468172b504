"""Figures of episodes: pictures and masks in, answers out; contact sheets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ..datasets.voc import VocFolder
from ..scores import IoUCounter
from .base import A_MAP, OKABE_ITO, Picture, as_array, as_uint8, bare, faded, style, tint, tinted


def side_by_side(
    pictures: Mapping[str, Picture], masks: Mapping[str, Tensor] | None = None
) -> Figure:
    """Pictures in a row, some with an object outlined.

    Args:
        pictures: title to (3, H, W) in [0, 1].
        masks: title to (H, W), 1 inside.
    """
    with style():
        figure, axes = plt.subplots(
            1, len(pictures), figsize=(3 * len(pictures), 3.3), squeeze=False
        )
        for ax, (title, picture) in zip(axes[0], pictures.items(), strict=True):
            drawn = np.array(as_array(picture))
            bare(ax, title).imshow(drawn)
            if masks and title in masks:
                on = (as_array(masks[title]) == 1).astype(float)
                ax.contour(on, levels=[0.5], colors="white", linewidths=6)
                ax.contour(on, levels=[0.5], colors=OKABE_ITO["orange"], linewidths=3)
    return figure


def episode(
    support: Picture,
    support_mask: np.ndarray,
    query: Picture,
    truth: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    name: str = "object",
) -> Figure:
    """One episode in a row: support, query, the truth, the prediction; what is None is left out.

    Args:
        support: a picture of any size, (3, H, W) in [0, 1] or uint8.
        support_mask: its object, (H, W), 1 inside.
        query: a picture of any size.
        truth: the query's object, (H, W) of 0, 1 and 255; blue.
        prediction: what the model says, (H, W) bool; orange, titled with its IoU if truth is there.
        name: what the object is called.
    """
    panels: dict[str, np.ndarray] = {
        f"support: this is the {name}": tinted(support, support_mask),
        "query": as_uint8(query),
    }
    if truth is not None:
        panels["truth"] = tinted(query, truth, "blue")
    if prediction is not None:
        score = "" if truth is None else f", IoU {_iou(prediction, truth):.2f}"
        panels[f"prediction{score}"] = tinted(query, prediction)
    with style():
        figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3.1))
        for ax, (title, pixels) in zip(axes, panels.items(), strict=True):
            bare(ax, title).imshow(pixels, interpolation="antialiased")
    return figure


def answers(
    queries: Picture | Sequence[Picture],
    supports: Mapping[str, tuple[Picture, np.ndarray]],
    predictions: Sequence[np.ndarray],
    truths: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Several questions side by side: supports above, the answer to each below.

    Args:
        queries: one picture that is asked about every time, or a list, one a support.
        supports: title to (picture, mask); the mask is (H, W), 1 inside.
        predictions: an answer a support, (H, W) bool at its query's size.
        truths: with them, each answer is titled with its IoU; (H, W) of 0, 1 and 255.
    """
    n = len(supports)
    asked = list(queries) if isinstance(queries, Sequence) else [queries] * n
    side = 3.2 if n < 4 else 2.5
    with style():
        figure, axes = plt.subplots(2, n, figsize=(side * n, 1.9 * side), squeeze=False)
        for k, (title, (picture, mask)) in enumerate(supports.items()):
            score = "" if truths is None else f", IoU {_iou(predictions[k], truths[k]):.2f}"
            for ax, text, pixels in (
                (axes[0, k], f"support: {title}", tinted(picture, mask)),
                (axes[1, k], f"answer{score}", tinted(asked[k], predictions[k])),
            ):
                bare(ax, text).imshow(pixels, interpolation="antialiased")
    return figure


def steps(query: Picture, A_hat: Tensor, M: Tensor, truth: np.ndarray | None = None) -> Figure:
    """What the model makes of a query: picture, attention map, probability after the decoder.

    Args:
        query: a picture of any size.
        A_hat: (1, 1, h, w) in [0, 1].
        M: logits, (1, 2, H, W).
        truth: the query's object, (H, W), 1 inside; outlined in white.
    """
    pixels = as_uint8(query)
    H, W = pixels.shape[:2]
    panels = {
        r"attention $\hat{A}$, on the feature grid": as_array(A_hat[0, 0]),
        "after Upsam: probability of the object": as_array(M.softmax(dim=1)[0, 1]),
    }
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(11, 3.3))
        bare(axes[0], "query").imshow(pixels, interpolation="antialiased")
        for ax, (title, values) in zip(axes[1:], panels.items(), strict=True):
            drawn = bare(ax, title).imshow(
                values, cmap=A_MAP, vmin=0, vmax=1, extent=(0, W, H, 0), aspect="equal"
            )
            if truth is not None:
                on = (np.asarray(truth) == 1).astype(float)
                ax.contour(on, levels=[0.5], colors="white", linewidths=1.5)
        figure.colorbar(drawn, ax=axes, ticks=[0, 0.5, 1], fraction=0.025, pad=0.01)
    return figure


def contact_sheet(dataset: VocFolder, names: Sequence[str], columns: int = 6) -> Figure:
    """Pictures of a dataset, each object in a colour of its own and named in the title.

    Args:
        dataset: where pictures and masks come from.
        names: which pictures.
        columns: pictures in a row.
    """
    colours = [c for c in OKABE_ITO if c != "black"]
    rows = math.ceil(len(names) / columns)
    with style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(2.1 * columns, 2.2 * rows), squeeze=False
        )
        for ax in axes.flat:
            ax.axis("off")
        for ax, name in zip(axes.flat, names, strict=False):
            pixels, mask = as_uint8(dataset.image(name)), dataset.mask(name)
            ids = [int(i) for i in np.unique(mask) if i not in (0, 255)]
            pixels = faded(pixels, np.isin(mask, ids))
            for k, i in enumerate(ids):
                pixels = tint(pixels, mask == i, colours[k % len(colours)])
            ax.imshow(pixels, interpolation="antialiased")
            ax.set_title(",\n".join(_pairs([dataset.classes[i - 1] for i in ids])), fontsize=9)
    return figure


def _iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    counter = IoUCounter()
    counter.add(np.asarray(predicted, bool), np.asarray(truth), 1)
    return counter.miou()


def _pairs(words: Sequence[str]) -> list[str]:
    return [", ".join(words[i : i + 2]) for i in range(0, len(words), 2)]
