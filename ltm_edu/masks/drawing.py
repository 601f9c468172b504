"""Masks drawn over their pictures, with a legend where there are several classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

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
"""The palette of all pictures and figures, whose colours colour-blind readers can tell apart."""

COLOURS = tuple(ImageColor.getrgb(value) for name, value in OKABE_ITO.items() if name != "black")
"""RGB, 0 to 255; a class takes the colour of its place, from the first again after the last."""

OVERLAY_COLOUR = COLOURS[0]
"""Orange, the colour of the object."""


def draw_overlay(
    image: Image.Image, mask: np.ndarray, colour: tuple[int, int, int] = OVERLAY_COLOUR
) -> Image.Image:
    """Tint the masked pixels of a picture and draw the mask's outline.

    Args:
        image: RGB picture.
        mask: (H, W) bool or 0 / 1, at the picture's size.
        colour: RGB, 0 to 255.
    """
    drawn = image.convert("RGB")
    on = np.asarray(mask, dtype=bool)
    tint = Image.blend(drawn, Image.new("RGB", drawn.size, colour), 0.5)
    drawn.paste(tint, mask=Image.fromarray(on))
    border = inner_border(on, max(1, round(min(on.shape) / 150)))
    drawn.paste(colour, mask=Image.fromarray(border))
    return drawn


def draw_labels(image: Image.Image, labels: np.ndarray, classes: Sequence[str]) -> Image.Image:
    """Draw each class of a label map, (H, W) of 0 and class numbers from 1, and a legend."""
    numbers = [n for n in range(1, len(classes) + 1) if (labels == n).any()]
    for n in numbers:
        image = draw_overlay(image, labels == n, COLOURS[(n - 1) % len(COLOURS)])
    if len(classes) > 1:
        image = image.convert("RGB")
        _draw_legend(image, [(classes[n - 1], COLOURS[(n - 1) % len(COLOURS)]) for n in numbers])
    return image


def inner_border(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask within `width` steps of its edge, (H, W) bool; the frame is no edge.

    The width is 1 or more.
    """
    return mask & ~binary_erosion(mask, iterations=width, border_value=1)


def label_palette() -> list[int]:
    """The colours of a label map's palette: black, then those of the overlay, 256 x RGB."""
    colours = [COLOURS[(n - 1) % len(COLOURS)] for n in range(1, 256)]
    return [v for colour in ((0, 0, 0), *colours) for v in colour]


def _draw_legend(image: Image.Image, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
    size = max(10, min(image.size) // 25)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for i, (name, colour) in enumerate(entries):
        left, top, gap = size // 2, size // 2 + i * size * 3 // 2, size // 4
        right = left + 2 * size + round(pen.textlength(name, font))
        pen.rectangle((left, top, right, top + size * 3 // 2), (255, 255, 255))
        pen.rectangle((left + gap, top + gap, left + gap + size, top + gap + size), colour)
        pen.text((left + size * 3 // 2, top + size // 8), name, (0, 0, 0), font)
