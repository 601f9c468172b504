"""Every static figure of the course: one function each, arrays or tensors in, a Figure out.

One look everywhere: the Okabe-Ito palette, which colour-blind readers can tell apart; one colour
map for relations (`R_MAP`: purple below 0, white 0, orange above); sizes that no rcParams of the
reader's can change. In a notebook, end the cell with `plt.show()`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from .datasets.voc_layout import VocFolder
from .evaluation import IoUCounter, Results
from .prediction import draw_overlay

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
"""The palette: orange is the object everywhere."""

R_MAP = LinearSegmentedColormap.from_list(
    "relation",
    [
        (0.0, "#2d004b"), (0.25, "#8073ac"), (0.5, "#ffffff"), (0.6, "#fff0b3"), (0.66, "#fed976"),
        (0.73, "#fd8d3c"), (0.81, "#d94801"), (0.91, "#7f2704"), (1.0, "#2b0a00"),
    ],
)  # fmt: skip
"""Colour map of relations, always from -1 to 1: darker is more, orange is alike."""

A_MAP = "cividis"
"""Colour map of attention maps A_hat, always from 0 to 1."""

STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=list(OKABE_ITO.values())[1:]),
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}

Picture = Tensor | np.ndarray | Image.Image


def style() -> AbstractContextManager[None]:
    """The course's rcParams for the length of a `with` block."""
    return plt.rc_context(STYLE)


def as_array(picture: Picture) -> np.ndarray:
    """A picture for `imshow`: (3, H, W) tensors become (H, W, 3); one leading batch axis may stand.

    >>> as_array(torch.zeros(1, 3, 4, 5)).shape
    (4, 5, 3)
    """
    if isinstance(picture, Tensor):
        picture = picture.detach().cpu()
        if picture.dim() == 4:
            picture = picture[0]
        return (picture.permute(1, 2, 0) if picture.dim() == 3 else picture).numpy()
    return np.asarray(picture)


def as_uint8(picture: Picture) -> np.ndarray:
    """Pixels as (H, W, 3) uint8; floats are taken for [0, 1]."""
    pixels = as_array(picture)
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels).round().astype(np.uint8)
    return pixels


def bare(axes: Axes, title: str = "") -> Axes:
    """Take ticks and frame off a picture's axes."""
    axes.set(xticks=[], yticks=[], title=title)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


# Relations: rows and blocks of R ------------------------------------------------------------------

MARKS = tuple(OKABE_ITO[c] for c in ("vermillion", "sky", "green", "yellow"))
"""Colours of marked query pixels, in order."""


def square_grid(n: int) -> tuple[int, int]:
    """The (height, width) of a square grid of n pixels.

    >>> square_grid(225)
    (15, 15)
    """
    side = math.isqrt(n)
    if side * side != n:
        raise ValueError(f"{n} pixels make no square grid: say which (height, width) they have")
    return side, side


def cell_of_pixel(size: int, cells: int) -> np.ndarray:
    """Which grid cell each of `size` image pixels belongs to: the nearest centre."""
    stride = (size - 1) / (cells - 1) if cells > 1 and (size - 1) % (cells - 1) == 0 else 0
    pixels = np.arange(size)
    if stride:  # centred cells, see `ltm_edu.geometry`
        return ((pixels + stride / 2) // stride).astype(int)
    return pixels * cells // size


def relation_overlay(picture: Picture, values: Tensor, mask: Tensor | None = None) -> np.ndarray:
    """A row of R drawn over the grey support picture, as (H, W, 3) uint8.

    Args:
        picture: the support, (3, H, W) in [0, 1].
        values: a row of R as a map, (h, w) in [-1, 1].
        mask: its object, (H, W), 1 inside; drawn as a black outline.
    """
    pixels = as_array(picture).astype(np.float32)
    H, W = pixels.shape[:2]
    rows, columns = cell_of_pixel(H, values.shape[0]), cell_of_pixel(W, values.shape[1])
    colours = R_MAP((as_array(values) + 1) / 2)[..., :3]
    grey = pixels.mean(axis=2, keepdims=True)
    drawn = 0.8 * colours[rows][:, columns] + 0.2 * grey
    if mask is not None:
        drawn[outline(mask)] = 0
    return (255 * drawn).round().astype(np.uint8)


def outline(mask: Tensor | np.ndarray, width: int = 2) -> np.ndarray:
    """The inner border of a mask, (H, W) bool; 255 counts as outside."""
    on = as_array(mask) == 1
    inner = on
    for _ in range(width):
        grown = np.pad(inner, 1, constant_values=True)
        inner = inner & grown[:-2, 1:-1] & grown[2:, 1:-1] & grown[1:-1, :-2] & grown[1:-1, 2:]
    return on & ~inner


def marked(
    picture: Picture, pixel: tuple[int, int], grid: tuple[int, int], colour: str = MARKS[0]
) -> np.ndarray:
    """The picture with one grid cell framed, as (H, W, 3) uint8."""
    pixels = np.array(as_array(picture), dtype=np.float32)
    H, W = pixels.shape[:2]
    inside = np.outer(cell_of_pixel(H, grid[0]) == pixel[0], cell_of_pixel(W, grid[1]) == pixel[1])
    wide = inside.copy()
    for _ in range(3):
        grown = np.pad(wide, 1)
        wide |= grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:]
    pixels[wide & ~inside] = matplotlib.colors.to_rgb(colour)
    return (255 * pixels).round().astype(np.uint8)


def relation_rows(
    query: Picture,
    support: Picture,
    R: Tensor,
    pixels: Sequence[tuple[int, int]],
    mask: Tensor | None = None,
    names: Sequence[str] = (),
) -> Figure:
    """Query pixels, and for each its row of R over the support.

    Args:
        query: (3, H, W) in [0, 1].
        support: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids.
        pixels: (y, x) of each query pixel on its grid, four at most.
        mask: the support's object, (H, W), 1 inside.
        names: what to call each pixel.
    """
    grid_q, grid_s = square_grid(R.shape[0]), square_grid(R.shape[1])
    with style():
        figure, axes = plt.subplots(1, len(pixels) + 1, figsize=(3 * len(pixels) + 3.4, 3.1))
        drawn = as_array(query)
        for pixel, colour in zip(pixels, MARKS, strict=False):
            drawn = marked(drawn, pixel, grid_q, colour) / 255
        bare(axes[0], "query").imshow(drawn)
        for k, ((y, x), colour) in enumerate(zip(pixels, MARKS, strict=False)):
            row = R[y * grid_q[1] + x].reshape(grid_s)
            name = names[k] if names else f"({y}, {x})"
            bare(axes[k + 1], f"its row of R: {name}").imshow(relation_overlay(support, row, mask))
            for spine in axes[k + 1].spines.values():
                spine.set(visible=True, color=colour, linewidth=4)
        _relation_bar(figure, axes)
    return figure


def relation_blocks(matrices: Mapping[str, Tensor], G_q: Tensor, G_s: Tensor) -> Figure:
    """Matrices of relations with the object's pixels first: blocks, if there are any.

    Every pixel of the object is shown and as many others, evenly spread over the picture.

    Args:
        matrices: title to (N_q, N_s) values in [-1, 1].
        G_q: query mask, N_q values in any shape.
        G_s: support mask, N_s values in any shape.
    """
    (rows, n_q), (columns, n_s) = _object_first(G_q), _object_first(G_s)
    with style():
        figure, axes = plt.subplots(
            1, len(matrices), figsize=(3.4 * len(matrices) + 1.4, 3.8), squeeze=False
        )
        for ax, (title, values) in zip(axes[0], matrices.items(), strict=True):
            ax.imshow(
                as_array(values[rows][:, columns]), cmap=R_MAP, vmin=-1, vmax=1, aspect="auto"
            )
            ax.axhline(n_q - 0.5, color="black", linewidth=1)
            ax.axvline(n_s - 0.5, color="black", linewidth=1)
            ax.set_title(title)
            ax.set_xticks([n_s / 2, 1.5 * n_s], ["object", "rest"])
            ax.set_yticks([n_q / 2, 1.5 * n_q], ["object", "rest"], rotation=90, va="center")
            ax.tick_params(length=0)
            ax.set_xlabel("support pixels")
        axes[0, 0].set_ylabel("query pixels")
        _relation_bar(figure, axes)
    return figure


def _object_first(G: Tensor) -> tuple[Tensor, int]:
    """Indices of the object's pixels, then of as many others; and how many each."""
    g = G.flatten()
    on, off = (g > 0.5).nonzero()[:, 0], (g == 0).nonzero()[:, 0]
    n = min(len(on), len(off))
    spread = torch.linspace(0, len(off) - 1, n).round().long()
    return torch.cat([on[:n], off[spread]]), n


def best_matches(support: Picture, lengths: Tensor, relations: Mapping[str, Tensor]) -> Figure:
    """How long each support vector is, and of how many query pixels it is the best match.

    Args:
        support: (3, H, W) in [0, 1].
        lengths: of the support's vectors, (h, w).
        relations: title to (N_q, N_s); a query pixel's best match is its row's largest entry.
    """
    panels = {"length of each\nsupport vector": lengths.detach()}
    for title, values in relations.items():
        counts = torch.bincount(values.argmax(dim=1), minlength=lengths.numel())
        panels[f"best match of how many\nquery pixels: {title}"] = counts.reshape(lengths.shape)
    with style():
        figure, axes = plt.subplots(1, len(panels) + 1, figsize=(2.9 * len(panels) + 2.9, 3.4))
        bare(axes[0], "support\n").imshow(as_array(support))
        for ax, (title, values) in zip(axes[1:], panels.items(), strict=True):
            image = bare(ax, title).imshow(as_array(values), cmap=A_MAP)
            figure.colorbar(image, ax=ax, location="bottom", fraction=0.06, pad=0.02)
    return figure


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


def index_order(
    pixel: tuple[int, int] = (1, 0),
    query_grid: tuple[int, int] = (2, 3),
    support_grid: tuple[int, int] = (2, 2),
) -> Figure:
    """How pixels become rows and columns of R: both grids numbered, one row marked."""
    y, x = pixel
    i = y * query_grid[1] + x
    N_q, N_s = math.prod(query_grid), math.prod(support_grid)
    with style():
        figure, axes = plt.subplots(
            1, 3, figsize=(9, 3), width_ratios=(query_grid[1], N_s, support_grid[1])
        )
        numbers_q, numbers_s = np.arange(N_q).reshape(query_grid), np.arange(N_s)
        _numbered(axes[0], numbers_q, numbers_q == i, f"query pixel ({y}, {x}) is number {i}")
        entries = np.full((N_q, N_s), "", dtype=object)
        entries[i] = [f"{i},{j}" for j in numbers_s]
        _numbered(axes[1], entries, np.arange(N_q)[:, None].repeat(N_s, 1) == i, f"row {i} of R")
        axes[1].set(xlabel="column j: support pixel", ylabel="row i: query pixel")
        grid = numbers_s.reshape(support_grid)
        _numbered(axes[2], grid, np.ones(support_grid, bool), "that row, as a map\nof the support")
    return figure


def _numbered(axes: Axes, entries: np.ndarray, lit: np.ndarray, title: str) -> None:
    bare(axes, title)
    axes.pcolormesh(
        lit, cmap=ListedColormap(["white", OKABE_ITO["yellow"]]), vmin=0, vmax=1,
        edgecolors="black", linewidth=1,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for (row, column), entry in np.ndenumerate(entries):
        axes.text(column + 0.5, row + 0.5, str(entry), ha="center", va="center")


def _relation_bar(figure: Figure, axes: Sequence[Axes]) -> None:
    """The one colour bar of relations."""
    values = ScalarMappable(Normalize(-1, 1), R_MAP)
    bar = figure.colorbar(values, ax=axes, ticks=[-1, 0, 1], fraction=0.025, pad=0.01)
    bar.ax.set_yticklabels(["-1 opposed", "0", "1 alike"])


# Episodes: pictures in, a mask out ----------------------------------------------------------------


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
            pixels = _fade(pixels, np.isin(mask, ids))
            for k, i in enumerate(ids):
                pixels = _tint(pixels, mask == i, colours[k % len(colours)])
            ax.imshow(pixels, interpolation="antialiased")
            ax.set_title(",\n".join(_pairs([dataset.classes[i - 1] for i in ids])), fontsize=9)
    return figure


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


def pipeline() -> Figure:
    """The map of LTM: every symbol where it arises, every equation where it acts."""
    from .diagram import draw_pipeline  # draws with this module's palette

    return draw_pipeline()


def tinted(picture: Picture, mask: np.ndarray | Tensor, colour: str = "orange") -> np.ndarray:
    """The picture with an object tinted and outlined and the rest faded, (H, W, 3) uint8.

    Args:
        picture: of any size.
        mask: its object, (H, W), 1 or True inside.
        colour: a name in `OKABE_ITO`.
    """
    on = as_array(mask) == 1
    return _tint(_fade(as_uint8(picture), on), on, colour)


def _fade(pixels: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Everything but the object in light grey, so that a tint is seen on any colour."""
    grey = (0.45 * pixels.mean(axis=2, keepdims=True) + 0.55 * 255).astype(np.uint8)
    return np.where(on[..., None], pixels, grey)


def _tint(pixels: np.ndarray, on: np.ndarray, colour: str) -> np.ndarray:
    red, green, blue = (round(255 * c) for c in matplotlib.colors.to_rgb(OKABE_ITO[colour]))
    return np.asarray(draw_overlay(Image.fromarray(pixels), on, (red, green, blue)))


def _iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    counter = IoUCounter()
    counter.add(np.asarray(predicted, bool), np.asarray(truth), 1)
    return counter.miou()


def _pairs(words: Sequence[str]) -> list[str]:
    return [", ".join(words[i : i + 2]) for i in range(0, len(words), 2)]
