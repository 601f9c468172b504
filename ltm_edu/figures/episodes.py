"""Figures of episodes: pictures and masks, answers, contact sheets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..datasets.voc import VocFolder
from ..store.pictures import VOID
from .base import (
    A_MAP,
    OKABE_ITO,
    Picture,
    as_array,
    as_uint8,
    attention_bar,
    bare,
    draw_contour,
    faded,
    show,
    style,
    tint,
    tinted,
)
from .scores import iou

_THUMBNAIL = 320  # pixels of the longer side, more than a contact sheet shows


def side_by_side(
    pictures: Mapping[str, Picture], masks: Mapping[str, Tensor] | None = None
) -> Figure:
    """Draw pictures in a row, and outline the object of those that have a mask.

    Args:
        pictures: title to (3, H, W) in [0, 1].
        masks: title to (H, W), 1 inside.
    """
    masks = masks or {}
    with style():
        figure, axes = plt.subplots(
            1, len(pictures), figsize=(3 * len(pictures), 3.3), squeeze=False
        )
        for ax, (title, picture) in zip(axes[0], pictures.items(), strict=True):
            bare(ax, title).imshow(as_array(picture))
            if title in masks:
                draw_contour(ax, masks[title], width=6)
                draw_contour(ax, masks[title], OKABE_ITO["orange"], width=3)
    return figure


def episode(
    support: Picture,
    support_mask: np.ndarray,
    query: Picture,
    truth: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    name: str = "object",
) -> Figure:
    """Draw one episode in a row: support, query, truth and prediction.

    Args:
        support: a picture of any size.
        support_mask: its object, (H, W), 1 inside.
        query: a picture of any size.
        truth: the query's object, (H, W) of 0, 1 and 255; blue. Without it, there is no such panel.
        prediction: the model's answer, (H, W) bool; orange. With a truth, the title says the IoU.
        name: of the object.
    """
    panels: dict[str, np.ndarray] = {
        f"support: this is the {name}": tinted(support, support_mask),
        "query": as_uint8(query),
    }
    if truth is not None:
        panels["truth"] = tinted(query, truth, "blue")
    if prediction is not None:
        score = "" if truth is None else f", IoU {iou(prediction, truth):.2f}"
        panels[f"prediction{score}"] = tinted(query, prediction)
    with style():
        figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3.1))
        for ax, (title, pixels) in zip(axes, panels.items(), strict=True):
            show(ax, pixels, title)
    return figure


def answers(
    queries: Picture | Sequence[Picture],
    supports: Mapping[str, tuple[Picture, np.ndarray]],
    predictions: Sequence[np.ndarray],
    truths: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Draw several questions side by side: the supports above, the answers below.

    Args:
        queries: one picture for all supports, or a list with one for each.
        supports: title to (picture, mask); the mask is (H, W), 1 inside.
        predictions: one answer for each support, (H, W) bool at its query's size.
        truths: (H, W) of 0, 1 and 255 for each query; with them, the titles say the IoU.
    """
    n = len(supports)
    pictures = list(queries) if isinstance(queries, Sequence) else [queries] * n
    side = 3.2 if n < 4 else 2.5
    with style():
        figure, axes = plt.subplots(2, n, figsize=(side * n, 1.9 * side), squeeze=False)
        for k, (title, (picture, mask)) in enumerate(supports.items()):
            score = "" if truths is None else f", IoU {iou(predictions[k], truths[k]):.2f}"
            show(axes[0, k], tinted(picture, mask), f"support: {title}")
            show(axes[1, k], tinted(pictures[k], predictions[k]), f"answer{score}")
    return figure


def steps(query: Picture, A_hat: Tensor, M: Tensor, truth: np.ndarray | None = None) -> Figure:
    """Draw a query, its attention map, and the probability after the decoder.

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
        show(axes[0], pixels, "query")
        for ax, (title, values) in zip(axes[1:], panels.items(), strict=True):
            bare(ax, title).imshow(values, cmap=A_MAP, vmin=0, vmax=1, extent=(0, W, H, 0))
            if truth is not None:
                draw_contour(ax, truth)
        attention_bar(figure, axes, fraction=0.025)
    return figure


def contact_sheet(dataset: VocFolder, names: Sequence[str], columns: int = 6) -> Figure:
    """Draw pictures of a dataset with every object tinted; the titles list the classes.

    Args:
        dataset: holds the pictures and the masks.
        names: of the pictures.
        columns: pictures side by side.
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
            image, mask = dataset.pair(name)
            ids = [int(i) for i in np.unique(mask) if i not in (0, VOID)]
            image.thumbnail((_THUMBNAIL, _THUMBNAIL))
            nearest = Image.Resampling.NEAREST
            mask = np.asarray(Image.fromarray(mask).resize(image.size, nearest))
            pixels = faded(as_uint8(image), np.isin(mask, ids))
            for k, i in enumerate(ids):
                pixels = tint(pixels, mask == i, colours[k % len(colours)])
            ax.imshow(pixels, interpolation="antialiased")
            words = _two_a_line([dataset.classes[i - 1] for i in ids])
            ax.set_title(words, fontsize=9, parse_math=False)  # a class may be called $5
    return figure


def _two_a_line(words: Sequence[str]) -> str:
    return ",\n".join(", ".join(words[i : i + 2]) for i in range(0, len(words), 2))
