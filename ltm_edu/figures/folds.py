"""Figures of labels, folds and questions: what a mask holds, which classes are novel."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from ..datasets.voc import MaskIndex, VocFolder
from ..episodes import Episode
from ..store.pictures import VOID
from .base import OKABE_ITO, Picture, as_uint8, bare, faded, style, tint, tinted

NOVEL_COLOUR, BASE_COLOUR = OKABE_ITO["vermillion"], OKABE_ITO["blue"]
"""Frames of novel and of base classes."""


def mask_values(
    picture: Picture, mask: np.ndarray, classes: Sequence[str], side: int = 10
) -> Figure:
    """A picture, its mask in colours, and some of the mask's numbers.

    Args:
        picture: (3, H, W) in [0, 1] or uint8.
        mask: class ids, (H, W) of 0, ids and 255.
        classes: names; id c is `classes[c - 1]`.
        side: how many numbers are shown each way.
    """
    ids = [int(i) for i in np.unique(mask) if i not in (0, VOID)]
    tones = [c for c in OKABE_ITO.values() if c != OKABE_ITO["black"]]
    colours = ListedColormap(["#eeeeee", *tones[: len(ids)], "black"])
    bounds = BoundaryNorm([-0.5, *(i - 0.5 for i in ids), VOID - 0.5, VOID + 0.5], colours.N)
    top, left = _border_patch(mask, side)
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(11.4, 3.7))
        bare(axes[0], "picture").imshow(as_uint8(picture), interpolation="antialiased")
        for ax, part in ((axes[1], mask), (axes[2], mask[top : top + side, left : left + side])):
            ax.imshow(part, cmap=colours, norm=bounds, interpolation="nearest")
        bare(axes[1], "mask: light 0, black 255")
        axes[1].add_patch(
            plt.Rectangle((left - 1, top - 1), side + 1, side + 1, fill=False, linewidth=2)
        )
        for i in ids:
            y, x = (int(np.median(at)) for at in np.nonzero(mask == i))
            box = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2}
            axes[1].text(x, y, f"{i} {classes[i - 1]}", ha="center", va="center", bbox=box)
        bare(axes[2], "the small frame's numbers")
        for (y, x), value in np.ndenumerate(mask[top : top + side, left : left + side]):
            ink = "white" if value == VOID else "black"
            axes[2].text(x, y, int(value), ha="center", va="center", color=ink, fontsize=8)
    return figure


def class_crops(dataset: VocFolder, index: MaskIndex, side: int = 76) -> dict[int, np.ndarray]:
    """One picture of each class, cut out square around its largest object.

    Args:
        dataset: where pictures and masks come from.
        index: the list to choose from; the mask with most pixels of a class is taken.
        side: of the result, in pixels.

    Returns:
        Class id to (side, side, 3) uint8.
    """
    crops = {}
    for c in range(1, len(dataset.classes) + 1):
        name = index.names[int(index.pixels[:, c - 1].argmax())]
        pixels, on = as_uint8(dataset.image(name)), dataset.mask(name) == c
        if not on.any():
            crops[c] = np.full((side, side, 3), 255, np.uint8)
            continue
        (top, bottom), (left, right) = (
            (at.min(), at.max() + 1) for at in (np.nonzero(on.any(axis=a))[0] for a in (1, 0))
        )
        half = max(bottom - top, right - left) // 2 + 4
        y, x = (top + bottom) // 2, (left + right) // 2
        # Beyond the picture's edge `crop` would give black: pad with white first.
        wide = np.pad(faded(pixels, on), ((half, half), (half, half), (0, 0)), constant_values=255)
        cut = Image.fromarray(wide).crop((x, y, x + 2 * half, y + 2 * half))
        crops[c] = np.asarray(cut.resize((side, side), Image.Resampling.LANCZOS))
    return crops


def fold_board(
    crops: Mapping[int, np.ndarray],
    classes: Sequence[str],
    novel: Collection[int],
    columns: int = 5,
) -> np.ndarray:
    """All classes as one picture, the novel ones framed, (H, W, 3) uint8.

    Args:
        crops: from `class_crops`.
        classes: names; id c is `classes[c - 1]`.
        novel: ids of the novel classes.
        columns: classes in a row.
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
        at = (left + wide / 2, top + side + 2 * edge + caption / 2)
        pen.text(at, f"{c} {classes[c - 1]}", fill=colour, font=font, anchor="mm")
    return np.asarray(board)


def class_strip(
    dataset: VocFolder, names: Sequence[str], class_id: int, height: int = 150
) -> np.ndarray:
    """Pictures side by side with one class tinted, (height, W, 3) uint8."""
    panels = []
    for name in names:
        pixels = tinted(dataset.image(name), (dataset.mask(name) == class_id).astype(np.uint8))
        wide = round(height * pixels.shape[1] / pixels.shape[0])
        shown = Image.fromarray(pixels).resize((wide, height), Image.Resampling.BILINEAR)
        panels += [np.asarray(shown), np.full((height, 6, 3), 255, np.uint8)]
    return np.concatenate(panels[:-1], axis=1)


def fold_boards(
    crops: Mapping[int, np.ndarray],
    classes: Sequence[str],
    folds: Mapping[str, Collection[int]],
    columns: int = 5,
) -> Figure:
    """Boards of several folds side by side: the novel classes of each are framed.

    Args:
        crops: from `class_crops`.
        classes: names; id c is `classes[c - 1]`.
        folds: title to the ids of the novel classes.
        columns: classes in a row.
    """
    with style():
        figure, axes = plt.subplots(1, len(folds), figsize=(5.2 * len(folds), 5.4), squeeze=False)
        for ax, (title, novel) in zip(axes[0], folds.items(), strict=True):
            board = fold_board(crops, classes, novel, columns)
            bare(ax, title).imshow(board, interpolation="antialiased")
    return figure


def grid_points(scenes: Sequence[tuple[Picture, np.ndarray, int]], titles: Sequence[str]) -> Figure:
    """The pixels that the grid rule looks at, those on the object filled.

    Args:
        scenes: (picture, mask of class ids (H, W), class id).
        titles: one a scene; how many points lie on the object is added.
    """
    with style():
        figure, axes = plt.subplots(1, len(scenes), figsize=(4.2 * len(scenes), 4.0), squeeze=False)
        for ax, (picture, mask, c), title in zip(axes[0], scenes, titles, strict=True):
            H, W = mask.shape
            y, x = (a.ravel() for a in np.mgrid[1:H:32, 1:W:32])
            hit = mask[y, x] == c
            pixels = tint(faded(as_uint8(picture), mask == c), mask == c, "orange")
            bare(ax, f"{title}: {hit.sum()} of {hit.size} points")
            ax.imshow(pixels, interpolation="antialiased")
            edge = {"edgecolors": "black", "linewidths": 1.2}
            ax.scatter(x[~hit], y[~hit], s=30, facecolors="white", **edge)
            ax.scatter(x[hit], y[hit], s=60, facecolors=OKABE_ITO["blue"], **edge)
            ax.set(xlim=(-4, W + 3), ylim=(H + 3, -4))
    return figure


def questions(dataset: VocFolder, episodes: Sequence[Episode]) -> Figure:
    """Episodes as columns: supports with the object tinted above, the query below.

    Args:
        dataset: where pictures and masks come from.
        episodes: of one number of shots.
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
                on = (dataset.mask(support) == e.class_id).astype(np.uint8)
                bare(ax, f"support: {name}" if k == 0 else "")
                ax.imshow(tinted(dataset.image(support), on), interpolation="antialiased")
            bare(column[-1], "query").imshow(dataset.image(e.query), interpolation="antialiased")
    return figure


def seen_bars(scores: Mapping[str, Mapping[str, float]]) -> Figure:
    """IoU of each class, a bar for each network, and each network's mean as a line.

    Args:
        scores: what a bar is called to (class name to IoU); at most two.
    """
    classes = list(next(iter(scores.values())))
    width = 0.8 / len(scores)
    with style():
        figure, ax = plt.subplots(figsize=(1.0 * len(classes) + 3.6, 3.6))
        colours = (BASE_COLOUR, NOVEL_COLOUR)
        for k, (name, score) in enumerate(scores.items()):
            at = np.arange(len(classes)) + (k - (len(scores) - 1) / 2) * width
            ax.bar(at, [score[c] for c in classes], width, color=to_rgb(colours[k]), label=name)
            mean = float(np.mean(list(score.values())))
            ax.axhline(mean, color=to_rgb(colours[k]), linestyle="--", linewidth=1.2)
        ax.set_xticks(range(len(classes)), classes, rotation=20)
        ax.set(ylim=(0, 1), ylabel="IoU", title="the same questions, two networks (dashed: means)")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _border_patch(mask: np.ndarray, side: int) -> tuple[int, int]:
    """The upper left corner of the window in which 0, one class and 255 are shared most evenly."""
    best, at = -1, (0, 0)
    for y in range(0, mask.shape[0] - side + 1, 4):
        for x in range(0, mask.shape[1] - side + 1, 4):
            part = mask[y : y + side, x : x + side]
            values, counts = np.unique(part, return_counts=True)
            if len(values) == 3 and values[0] == 0 and values[2] == VOID and counts.min() > best:
                best, at = int(counts.min()), (y, x)
    return at
