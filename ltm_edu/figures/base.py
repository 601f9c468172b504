"""The course's look: palette, colour maps, rcParams, and pictures as arrays.

The Okabe-Ito palette, which colour-blind readers can tell apart; one colour map for relations
(`R_MAP`: purple below 0, white 0, orange above); sizes that no rcParams of the reader's can change.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image
from torch import Tensor

from ..segmenter import draw_overlay

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


MARKS = tuple(OKABE_ITO[c] for c in ("vermillion", "sky", "green", "yellow"))
"""Colours of marked query pixels, in order."""


def style() -> AbstractContextManager[None]:
    """The course's rcParams for the length of a `with` block."""
    return plt.rc_context(STYLE)


def as_array(picture: Picture) -> np.ndarray:
    """A picture for `imshow`: (3, H, W) tensors become (H, W, 3); one leading batch axis may stand.

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


def tinted(picture: Picture, mask: np.ndarray | Tensor, colour: str = "orange") -> np.ndarray:
    """The picture with an object tinted and outlined and the rest faded, (H, W, 3) uint8.

    Args:
        picture: of any size.
        mask: its object, (H, W), 1 or True inside.
        colour: a name in `OKABE_ITO`.
    """
    on = as_array(mask) == 1
    return tint(faded(as_uint8(picture), on), on, colour)


def faded(pixels: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Everything but the object in light grey, so that a tint is seen on any colour."""
    grey = (0.45 * pixels.mean(axis=2, keepdims=True) + 0.55 * 255).astype(np.uint8)
    return np.where(on[..., None], pixels, grey)


def tint(pixels: np.ndarray, on: np.ndarray, colour: str) -> np.ndarray:
    """An object tinted and outlined on (H, W, 3) uint8 pixels; `on` is (H, W) bool."""
    red, green, blue = (round(255 * c) for c in matplotlib.colors.to_rgb(OKABE_ITO[colour]))
    return np.asarray(draw_overlay(Image.fromarray(pixels), on, (red, green, blue)))
