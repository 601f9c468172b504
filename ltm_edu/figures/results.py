"""Figures of a results file: IoU of each class with examples, and the effect of void pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from ..store.pictures import VOID
from .base import OKABE_ITO, Picture, as_uint8, show, style
from .scores import Answered, answered_panels

RIGHT, MISSED, WRONG = (OKABE_ITO[c] for c in ("green", "sky", "vermillion"))
"""Colours of an answer's pixels: object found, object missed, rest that was called object."""


def class_bars(per_class: Mapping[str, float], chosen: str = "", width: int = 340) -> np.ndarray:
    """Draw the IoU of each class as bars with names and numbers, (H, width, 3) uint8.

    Args:
        per_class: class name to IoU, 0 to 1.
        chosen: the class whose bar is orange; the others are blue.
        width: of the picture, in pixels.
    """
    step, left, right = 30, 104, 46
    board = Image.new("RGB", (width, step * len(per_class) + 4), "white")
    pen, font = ImageDraw.Draw(board), ImageFont.load_default(size=14)
    longest = width - left - right
    for k, (name, iou) in enumerate(per_class.items()):
        top, colour = step * k + 2, OKABE_ITO["orange" if name == chosen else "blue"]
        pen.rectangle((left, top + 4, left + longest, top + step - 5), fill="#eeeeee")
        pen.rectangle((left, top + 4, left + round(iou * longest), top + step - 5), fill=colour)
        middle = top + step / 2
        pen.text((left - 8, middle), name, fill="black", font=font, anchor="rm")
        pen.text((left + longest + 8, middle), f"{iou:.2f}", fill="black", font=font, anchor="lm")
    return np.asarray(board)


@dataclass(frozen=True)
class Page:
    """One page of the results browser.

    Attributes:
        per_class: one method's IoU of each class.
        episode: one of the method's answers.
    """

    per_class: Mapping[str, float]
    episode: Answered


def results_pages(pages: Mapping[str, Page]) -> Figure:
    """Draw pages of the results browser below each other: bars, support, answer.

    Args:
        pages: title to page.
    """
    n = len(pages)
    with style():
        figure, axes = plt.subplots(
            n, 3, figsize=(10.6, 2.9 * n), squeeze=False, width_ratios=(1.5, 1, 1)
        )
        for (left, middle, right), (title, page) in zip(axes, pages.items(), strict=True):
            e = page.episode
            support, answer = answered_panels(e)
            show(left, class_bars(page.per_class, e.name), title)
            show(middle, support, f"support: {e.name}")
            show(right, answer, f"answer, IoU {e.iou:.2f}")
    return figure


def judged(query: Picture, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Draw the query with the answer's right and wrong pixels in colour, (H, W, 3) uint8.

    Args:
        query: a picture of the truth's size.
        mask: the answer, (H, W) bool.
        truth: (H, W) of 0, 1 and 255; void pixels are dark grey.
    """
    grey = as_uint8(query).mean(axis=2, keepdims=True)
    pixels = np.repeat(0.4 * grey + 0.6 * 255, 3, axis=2)
    parts = ((mask & (truth == 1), RIGHT), (~mask & (truth == 1), MISSED))
    for part, colour in (*parts, (mask & (truth == 0), WRONG)):
        pixels[part] = 0.25 * pixels[part] + 0.75 * 255 * np.array(to_rgb(colour))
    pixels[truth == VOID] = 70
    return pixels.round().astype(np.uint8)


def border_readings(
    query: Picture, mask: np.ndarray, readings: Mapping[str, tuple[np.ndarray, float]]
) -> Figure:
    """Draw one answer, judged by several readings of the mask's border.

    Args:
        query: a picture of the masks' size.
        mask: the answer, (H, W) bool.
        readings: title to a truth, (H, W) of 0, 1 and 255, and the answer's IoU with that truth.
    """
    n = len(readings)
    with style():
        figure, axes = plt.subplots(1, n, figsize=(3.4 * n, 4.1), squeeze=False)
        for ax, (title, (truth, iou)) in zip(axes[0], readings.items(), strict=True):
            show(ax, judged(query, mask, truth), f"{title}: IoU {iou:.2f}")
        colours = {
            "object, found": RIGHT,
            "object, missed": MISSED,
            "rest, called object": WRONG,
            "not counted": "#464646",
        }
        patches = [plt.Rectangle((0, 0), 1, 1, color=c) for c in colours.values()]
        figure.legend(patches, list(colours), loc="outside lower center", ncols=len(colours))
    return figure
