"""The look of the course's figures: palette, colour maps, rcParams, and pictures as arrays.

The palette is Okabe and Ito's, which colour-blind readers can tell apart. All relations share one
colour map (`R_MAP`: purple below 0, white at 0, orange above 0). The size and the fonts of a figure
do not depend on the reader's own rcParams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..masks.drawing import OKABE_ITO, draw_overlay, inner_border

R_MAP = LinearSegmentedColormap.from_list(
    "relation",
    [
        (0.0, "#2d004b"), (0.25, "#8073ac"), (0.5, "#ffffff"), (0.6, "#fff0b3"), (0.66, "#fed976"),
        (0.73, "#fd8d3c"), (0.81, "#d94801"), (0.91, "#7f2704"), (1.0, "#2b0a00"),
    ],
)  # fmt: skip
"""Colour map of relations, always from -1 to 1: darker is stronger, orange is alike."""

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
"""A picture: a tensor (3, H, W) in [0, 1], an array (H, W, 3), or an image of PIL."""

MARKS = tuple(OKABE_ITO[c] for c in ("vermillion", "sky", "green", "yellow"))
"""Colours that mark query pixels, in order."""


def style() -> AbstractContextManager[None]:
    """Set the course's rcParams inside a `with` block."""
    return plt.rc_context(STYLE)


# Pictures as arrays -------------------------------------------------------------------------------


def as_array(picture: Picture) -> np.ndarray:
    """Convert a picture for `imshow`: a tensor (3, H, W) or (1, 3, H, W) becomes (H, W, 3).

    >>> import torch
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
    """Convert a picture to (H, W, 3) uint8; floats must lie in [0, 1]."""
    pixels = as_array(picture)
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels).round().astype(np.uint8)
    return pixels


def square_grid(n: int) -> tuple[int, int]:
    """Return the (height, width) of a square grid of n cells.

    Raises:
        ValueError: n is no square number.

    >>> square_grid(225)
    (15, 15)
    """
    side = math.isqrt(n)
    if side * side != n:
        raise ValueError(f"{n} cells do not fill a square grid: reshape them to (height, width)")
    return side, side


def cell_of_pixel(size: int, cells: int) -> np.ndarray:
    """Find the grid cell whose centre is nearest to each image pixel, along one side.

    Args:
        size: image pixels along the side.
        cells: grid cells along the side.

    Returns:
        (size,) integers from 0 to cells - 1.
    """
    stride = (size - 1) / (cells - 1) if cells > 1 and (size - 1) % (cells - 1) == 0 else 0
    pixels = np.arange(size)
    if stride:  # centred cells, see `ltm_edu.geometry`
        return ((pixels + stride / 2) // stride).astype(int)
    return pixels * cells // size


def enlarged(values: Picture, size: Sequence[int]) -> np.ndarray:
    """Enlarge a map on the grid to the picture's size: each image pixel gets its cell's value.

    Args:
        values: (h, w), or an array (h, w, channels).
        size: (H, W) of the picture.

    Returns:
        (H, W) or (H, W, channels).
    """
    on_grid = as_array(values)
    rows, columns = (cell_of_pixel(n, m) for n, m in zip(size, on_grid.shape[:2], strict=True))
    return on_grid[rows][:, columns]


def attention_pixels(A_hat: Tensor, size: Sequence[int]) -> np.ndarray:
    """Draw an attention map in the colours of `A_MAP`, (H, W, 3) uint8.

    Args:
        A_hat: (h, w) in [0, 1].
        size: (H, W) of the result.
    """
    return enlarged(matplotlib.colormaps[A_MAP](as_array(A_hat), bytes=True)[..., :3], size)


def outline(mask: Tensor | np.ndarray, width: int = 2) -> np.ndarray:
    """Return the inner border of a mask, (H, W) bool; void (255) lies outside."""
    return inner_border(as_array(mask) == 1, width)


def marked(
    picture: Picture, pixel: tuple[int, int], grid: tuple[int, int], colour: str = MARKS[0]
) -> np.ndarray:
    """Draw a frame around one grid cell of a picture, (H, W, 3) uint8.

    Args:
        picture: (3, H, W) in [0, 1].
        pixel: (y, x) of the cell.
        grid: (height, width) of the grid.
        colour: of the frame.
    """
    pixels = np.array(as_array(picture), dtype=np.float32)
    H, W = pixels.shape[:2]
    inside = np.outer(cell_of_pixel(H, grid[0]) == pixel[0], cell_of_pixel(W, grid[1]) == pixel[1])
    pixels[inner_border(~inside, 3)] = to_rgb(colour)
    return (255 * pixels).round().astype(np.uint8)


def tinted(picture: Picture, mask: np.ndarray | Tensor, colour: str = "orange") -> np.ndarray:
    """Tint and outline the object of a picture, and draw the rest in light grey.

    Args:
        picture: of any size.
        mask: its object, (H, W), 1 or True inside.
        colour: a name in `OKABE_ITO`.

    Returns:
        (H, W, 3) uint8.
    """
    inside = as_array(mask) == 1
    return tint(faded(as_uint8(picture), inside), inside, colour)


def faded(pixels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Draw everything outside of an object in light grey, (H, W, 3) uint8.

    A tint is visible beside grey, whatever colours the picture has.
    """
    grey = (0.45 * pixels.mean(axis=2, keepdims=True) + 0.55 * 255).astype(np.uint8)
    return np.where(inside[..., None], pixels, grey)


def tint(pixels: np.ndarray, inside: np.ndarray, colour: str) -> np.ndarray:
    """Tint and outline an object, (H, W) bool, on pixels, (H, W, 3) uint8."""
    red, green, blue = (round(255 * c) for c in to_rgb(OKABE_ITO[colour]))
    return np.asarray(draw_overlay(Image.fromarray(pixels), inside, (red, green, blue)))


def answer_on(query: Picture, mask: Tensor | np.ndarray, truth: Tensor | np.ndarray) -> np.ndarray:
    """Tint the answer on the query, and outline the true object in black, (H, W, 3) uint8."""
    pixels = np.array(tinted(query, mask))
    pixels[outline(truth)] = 0
    return pixels


# On axes ------------------------------------------------------------------------------------------


def bare(axes: Axes, title: str = "") -> Axes:
    """Remove ticks and frame from a picture's axes, and set their title."""
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)
    return axes


def show(axes: Axes, picture: Picture, title: str = "") -> None:
    """Draw a picture of any size without ticks and frame."""
    bare(axes, title).imshow(as_array(picture), interpolation="antialiased")


def draw_contour(
    axes: Axes, mask: Tensor | np.ndarray, colour: str = "white", width: float = 1.5
) -> None:
    """Outline the object of a mask, (H, W) with 1 inside, on axes."""
    inside = (as_array(mask) == 1).astype(float)
    axes.contour(inside, levels=[0.5], colors=colour, linewidths=width)


def relation_bar(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add the colour bar of relations, which all figures share."""
    values = ScalarMappable(Normalize(-1, 1), R_MAP)
    bar = figure.colorbar(values, ax=axes, ticks=[-1, 0, 1], fraction=0.025, pad=0.01)
    bar.ax.set_yticklabels(["-1 opposed", "0", "1 alike"])


def attention_bar(figure: Figure, axes: Sequence[Axes], **options: object) -> None:
    """Add the colour bar of attention maps; `options` go to `Figure.colorbar`."""
    values = ScalarMappable(Normalize(0, 1), A_MAP)
    figure.colorbar(values, ax=axes, ticks=[0, 0.5, 1], **{"pad": 0.01, **options})


def grouped_bars(
    axes: Axes,
    series: Mapping[str, Sequence[float]],
    ticks: Sequence[str],
    colours: Sequence[str] | None = None,
) -> list[BarContainer]:
    """Draw bars in groups, and one bar of each series in every group.

    Args:
        axes: where to draw.
        series: label to one value for each group.
        ticks: names of the groups.
        colours: one for each series; without them, the palette in its order.
    """
    width = 0.8 / len(series)
    containers = []
    for k, (label, values) in enumerate(series.items()):
        positions = np.arange(len(ticks)) + (k - (len(series) - 1) / 2) * width
        colour = {"color": colours[k]} if colours else {}
        containers.append(axes.bar(positions, values, width, label=label, **colour))
    axes.set_xticks(range(len(ticks)), ticks)
    return containers


def legend_beside(axes: Axes) -> None:
    """Put the legend to the right of the axes."""
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
