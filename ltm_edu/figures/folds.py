"""Figures of labels, folds and questions: the values of a mask, the novel classes of a fold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from ..datasets.voc import MaskIndex, VocFolder
from ..episodes import Episode
from ..store.pictures import VOID
from .base import (
    OKABE_ITO,
    Picture,
    as_uint8,
    bare,
    faded,
    grouped_bars,
    legend_beside,
    show,
    style,
    tinted,
)

NOVEL_COLOUR, BASE_COLOUR = OKABE_ITO["vermillion"], OKABE_ITO["blue"]
"""Colours of novel and of base classes."""


def mask_values(
    picture: Picture, mask: np.ndarray, classes: Sequence[str], side: int = 10
) -> Figure:
    """Draw a picture, its mask in colours, and a small part of the mask as numbers.

    Args:
        picture: (3, H, W) in [0, 1] or uint8.
        mask: class ids, (H, W) of 0, ids and 255.
        classes: names; id c is `classes[c - 1]`.
        side: how many rows and columns of numbers to write.
    """
    ids = [int(i) for i in np.unique(mask) if i not in (0, VOID)]
    palette = [c for name, c in OKABE_ITO.items() if name != "black"]
    colours = ListedColormap(["#eeeeee", *palette[: len(ids)], "black"])
    bounds = BoundaryNorm([-0.5, *(i - 0.5 for i in ids), VOID - 0.5, VOID + 0.5], colours.N)
    top, left = _border_window(mask, side)
    window = mask[top : top + side, left : left + side]
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(11.4, 3.7))
        show(axes[0], as_uint8(picture), "picture")
        for ax, title, values in (
            (axes[1], "mask: light 0, black 255", mask),
            (axes[2], "the numbers in the small frame", window),
        ):
            bare(ax, title).imshow(values, cmap=colours, norm=bounds)
        axes[1].add_patch(
            plt.Rectangle((left - 1, top - 1), side + 1, side + 1, fill=False, linewidth=2)
        )
        for i in ids:
            y, x = (int(np.median(indices)) for indices in np.nonzero(mask == i))
            box = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2}
            axes[1].text(x, y, f"{i} {classes[i - 1]}", ha="center", va="center", bbox=box)
        for (y, x), value in np.ndenumerate(window):
            ink = "white" if value == VOID else "black"
            axes[2].text(x, y, int(value), ha="center", va="center", color=ink, fontsize=8)
    return figure


def class_crops(dataset: VocFolder, index: MaskIndex, side: int = 76) -> dict[int, np.ndarray]:
    """Cut a square around the largest object of each class; the rest of the square is grey.

    Args:
        dataset: holds the pictures and the masks.
        index: of one split; its mask with most pixels of a class serves for that class.
        side: of the result, in pixels.

    Returns:
        Class id to (side, side, 3) uint8.
    """
    crops = {}
    for c in range(1, len(dataset.classes) + 1):
        name = index.names[int(index.pixels[:, c - 1].argmax())]
        pixels, inside = as_uint8(dataset.image(name)), dataset.mask(name) == c
        if not inside.any():
            crops[c] = np.full((side, side, 3), 255, np.uint8)
            continue
        (top, bottom), (left, right) = (
            (indices.min(), indices.max() + 1)
            for indices in (np.nonzero(inside.any(axis=a))[0] for a in (1, 0))
        )
        half = max(bottom - top, right - left) // 2 + 4
        y, x = (top + bottom) // 2, (left + right) // 2
        # `crop` fills what lies beyond the picture with black: pad with white first.
        padding = ((half, half), (half, half), (0, 0))
        wide = np.pad(faded(pixels, inside), padding, constant_values=255)
        crop = Image.fromarray(wide).crop((x, y, x + 2 * half, y + 2 * half))
        crops[c] = np.asarray(crop.resize((side, side), Image.Resampling.LANCZOS))
    return crops


def fold_board(
    crops: Mapping[int, np.ndarray],
    classes: Sequence[str],
    novel: Collection[int],
    columns: int = 5,
) -> np.ndarray:
    """Draw all classes as one picture with a frame around each novel class, (H, W, 3) uint8.

    Args:
        crops: from `class_crops`.
        classes: names; id c is `classes[c - 1]`.
        novel: ids of the novel classes.
        columns: classes side by side.
    """
    side, edge, caption = len(next(iter(crops.values()))), 4, 17
    tall, wide = side + 2 * edge + caption, side + 2 * edge
    font = ImageFont.load_default(size=12)
    rows = -(-len(crops) // columns)
    board = Image.new("RGB", (columns * wide, rows * tall), "white")
    pen = ImageDraw.Draw(board)
    for k, c in enumerate(sorted(crops)):
        left, top = k % columns * wide, k // columns * tall
        colour = NOVEL_COLOUR if c in novel else BASE_COLOUR
        if c in novel:
            pen.rectangle((left, top, left + wide - 1, top + side + 2 * edge - 1), fill=colour)
        board.paste(Image.fromarray(crops[c]), (left + edge, top + edge))
        middle = (left + wide / 2, top + side + 2 * edge + caption / 2)
        pen.text(middle, f"{c} {classes[c - 1]}", fill=colour, font=font, anchor="mm")
    return np.asarray(board)


def fold_boards(
    crops: Mapping[int, np.ndarray],
    classes: Sequence[str],
    folds: Mapping[str, Collection[int]],
    columns: int = 5,
) -> Figure:
    """Draw the boards of several folds side by side; see `fold_board`.

    Args:
        crops: from `class_crops`.
        classes: names; id c is `classes[c - 1]`.
        folds: title to the ids of the novel classes.
        columns: classes side by side on each board.
    """
    with style():
        figure, axes = plt.subplots(1, len(folds), figsize=(5.2 * len(folds), 5.4), squeeze=False)
        for ax, (title, novel) in zip(axes[0], folds.items(), strict=True):
            show(ax, fold_board(crops, classes, novel, columns), title)
    return figure


def grid_points(scenes: Sequence[tuple[Picture, np.ndarray, int]], titles: Sequence[str]) -> Figure:
    """Draw the pixels that the grid rule examines; those on the object are blue.

    Args:
        scenes: (picture, mask of class ids (H, W), class id).
        titles: one for each scene; the number of points on the object is added.
    """
    with style():
        figure, axes = plt.subplots(1, len(scenes), figsize=(4.2 * len(scenes), 4.0), squeeze=False)
        for ax, (picture, mask, c), title in zip(axes[0], scenes, titles, strict=True):
            H, W = mask.shape
            y, x = (a.ravel() for a in np.mgrid[1:H:32, 1:W:32])
            inside = mask[y, x] == c
            pixels = tinted(picture, mask == c)
            show(ax, pixels, f"{title}: {inside.sum()} of {inside.size} points")
            edge = {"edgecolors": "black", "linewidths": 1.2}
            ax.scatter(x[~inside], y[~inside], s=30, facecolors="white", **edge)
            ax.scatter(x[inside], y[inside], s=60, facecolors=OKABE_ITO["blue"], **edge)
            ax.set(xlim=(-4, W + 3), ylim=(H + 3, -4))
    return figure


def questions(dataset: VocFolder, episodes: Sequence[Episode]) -> Figure:
    """Draw episodes as columns: the supports with their object above, the query below.

    Args:
        dataset: holds the pictures and the masks.
        episodes: all with the same number of shots.
    """
    shots = len(episodes[0].supports)
    with style():
        figure, axes = plt.subplots(
            shots + 1, len(episodes), figsize=(2.5 * len(episodes), 2.5 * shots + 2.6),
            squeeze=False,
        )  # fmt: skip
        for column, e in zip(axes.T, episodes, strict=True):
            name = dataset.classes[e.class_id - 1]
            for k, (ax, support) in enumerate(zip(column, e.supports, strict=False)):
                pixels = tinted(dataset.image(support), dataset.mask(support) == e.class_id)
                show(ax, pixels, f"support: {name}" if k == 0 else "")
            show(column[-1], dataset.image(e.query), "query")
    return figure


def seen_bars(scores: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the IoU of each class as one labelled bar for each network, means dashed.

    Args:
        scores: name of a network to (class name to IoU); at most two networks.
    """
    classes = list(next(iter(scores.values())))
    colours = (BASE_COLOUR, NOVEL_COLOUR)
    bars = {name: [score[c] for c in classes] for name, score in scores.items()}
    with style():
        figure, ax = plt.subplots(figsize=(1.0 * len(classes) + 3.6, 3.6))
        for drawn in grouped_bars(ax, bars, classes, colours):
            for text in ax.bar_label(drawn, fmt="%.2f", fontsize=8, padding=2):
                text.set(bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5}, zorder=4)
        for values, colour in zip(bars.values(), colours, strict=False):
            ax.axhline(float(np.mean(values)), color=colour, linestyle="--", linewidth=1.2)
        ax.tick_params(axis="x", labelrotation=20)
        ax.set(ylim=(0, 1), ylabel="IoU", title="the same questions, two networks (dashed: means)")
        legend_beside(ax)
    return figure


def _border_window(mask: np.ndarray, side: int) -> tuple[int, int]:
    """Find the upper left corner (y, x) of the window that shows 0, one class and 255 best.

    Of all windows with these three values it is the one whose rarest value is most frequent.
    """
    best, corner = -1, (0, 0)
    for y in range(0, mask.shape[0] - side + 1, 4):
        for x in range(0, mask.shape[1] - side + 1, 4):
            values, counts = np.unique(mask[y : y + side, x : x + side], return_counts=True)
            if len(values) == 3 and values[0] == 0 and values[2] == VOID and counts.min() > best:
                best, corner = int(counts.min()), (y, x)
    return corner
