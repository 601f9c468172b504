"""A widget of the generalized inverse: a support mask that the reader paints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import figures
from ..equations import generalized_inverse
from .base import empty_pictures, in_rows, show, side_by_side

if TYPE_CHECKING:
    import ipywidgets

PLACE = {"width": "232px", "height": "232px", "margin": "0 6px 0 0", "grid_area": "1 / 1 / 2 / 2"}
"""Layout of every picture, and of the buttons over the first one."""


def paint_mask(
    support: Tensor,
    query: Tensor,
    R: Tensor,
    masks: Mapping[str, Tensor],
    truth: Tensor,
    threshold: float = 0.6,
) -> ipywidgets.VBox:
    """Paint a support mask cell by cell; see its inverse, A_hat and the answer.

    Args:
        support: (3, H, W) in [0, 1].
        query: (3, H, W) in [0, 1], of the support's size.
        R: (N_q, N_s), both grids of the masks' size.
        masks: title to (h, w) in [0, 1]. Each has a button that copies it; the widget starts with
            the first.
        truth: the query's object, (H, W) of 0, 1 and 255.
        threshold: pixels with a larger A_hat belong to the object.
    """
    import ipywidgets as ipw

    size = tuple(truth.shape)
    g = next(iter(masks.values())).clone()
    h, w = g.shape
    value = ipw.ToggleButtons(
        options=[("paint", 1.0), ("paint half", 0.5), ("erase", 0.0)],
        style={"button_width": "96px"},
    )
    brush = ipw.ToggleButtons(
        options=[("1 cell", 0), ("3 x 3", 1)], index=1, style={"button_width": "64px"}
    )
    captions = ("support: click to paint", "inverse G⁺", "attention Â over the query", "answer")
    pictures = empty_pictures(*captions, layout=PLACE)
    summary = ipw.Label()

    def draw() -> None:
        inverse = generalized_inverse(g[None, None])[0, :, 0].reshape(h, w)
        A_hat, answer = figures.answer_of_mask(R, g, size, threshold)
        relative = inverse / inverse.max().clamp_min(1e-5)
        contents = (
            figures.painted(support, g),
            figures.attention_pixels(relative, size),
            figures.attention_pixels(A_hat, size),
            figures.tinted(query, answer),
        )
        show(pictures, contents)
        summary.value = _summary(g, inverse, figures.iou(answer, truth))

    def paint(y: int, x: int) -> None:
        r = brush.value
        g[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1] = value.value
        draw()

    def start_button(title: str, mask: Tensor) -> ipywidgets.Button:
        def start(_: object) -> None:
            g.copy_(mask)
            draw()

        button = ipw.Button(description=title, layout=ipw.Layout(width="auto"))
        button.on_click(start)
        return button

    # A grid of transparent buttons lies over the picture, and each button covers one cell.
    # All buttons share one layout and one style, which keeps the widget's messages small.
    cell = ipw.Layout(
        width="auto", height="auto", min_width="0", margin="0", padding="0",
        border="1px solid rgba(255, 255, 255, .35)",
    )  # fmt: skip
    transparent = ipw.ButtonStyle(button_color="transparent")
    buttons = []
    for y, x in np.ndindex(h, w):
        button = ipw.Button(layout=cell, style=transparent, tooltip=f"cell ({y}, {x})")
        button.on_click(lambda _, y=y, x=x: paint(y, x))
        buttons.append(button)
    rows, columns = (
        " ".join(f"minmax(0, {n}fr)" for n in np.bincount(figures.cell_of_pixel(s, m)))
        for s, m in zip(size, (h, w), strict=True)
    )
    layout = ipw.Layout(
        **PLACE, grid_template_rows=rows, grid_template_columns=columns, grid_gap="0"
    )
    over = ipw.GridBox(buttons, layout=layout)
    canvas = ipw.GridBox(
        [pictures[captions[0]], over], layout=ipw.Layout(margin="0", overflow="hidden")
    )
    draw()
    starts = {**masks, "everything": torch.ones(h, w), "nothing": torch.zeros(h, w)}
    label = ipw.Label("start from", layout=ipw.Layout(flex="none"))
    return ipw.VBox(
        [
            in_rows(value, brush),
            in_rows(label, *(start_button(title, mask) for title, mask in starts.items())),
            side_by_side({**pictures, captions[0]: canvas}),
            summary,
        ]
    )


def _summary(g: Tensor, inverse: Tensor, iou: float) -> str:
    n = int((g > 0).sum())
    if n == 0:
        return f"0 cells painted, G G^T = 0: the package sets G⁺ to 0; IoU {iou:.2f}"
    return (
        f"{n} cells painted, G G^T = {(g * g).sum():.2f}; "
        f"the largest entry of G⁺ is {inverse.max():.3f}; IoU {iou:.2f}"
    )
