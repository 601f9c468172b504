"""Widgets of a mask's inverse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch
from torch import Tensor

from .. import figures
from ..equations import generalized_inverse
from .base import side_by_side, to_png

if TYPE_CHECKING:
    import ipywidgets

WIDTH = 232  # of each panel, in CSS pixels


def paint_mask(
    support: Tensor,
    query: Tensor,
    R: Tensor,
    masks: Mapping[str, Tensor],
    truth: Tensor,
    threshold: float = 0.6,
) -> ipywidgets.VBox:
    """Paint a support mask cell by cell; see its inverse, A_hat and the answer follow.

    Args:
        support: (3, H, W) in [0, 1].
        query: (3, H, W) in [0, 1], of the support's size.
        R: (N_q, N_s), one grid for both.
        masks: title to (h, w) in [0, 1]: masks to start from, a button each; the first is shown.
        truth: the query's object, (H, W) of 0, 1 and 255.
        threshold: A_hat above it is object.
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
    titles = ("support: click to paint", "inverse G⁺", "attention Â over the query", "answer")
    images = [ipw.Image(format="png", layout=_panel(ipw)) for _ in titles]
    said = ipw.Label()

    def draw() -> None:
        inverse = generalized_inverse(g[None, None])[0, :, 0].reshape(h, w)
        A_hat, answer = figures.answer_of_mask(R, g, size, threshold)
        images[0].value = to_png(figures.painted(support, g))
        images[1].value = to_png(_coloured(inverse / inverse.max().clamp_min(1e-5), size))
        images[2].value = to_png(_coloured(A_hat, size))
        images[3].value = to_png(figures.tinted(query, answer))
        said.value = _summary(g, inverse, figures.iou(answer, truth))

    def paint(y: int, x: int) -> None:
        r = brush.value
        g[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1] = value.value
        draw()

    def start(mask: Tensor) -> None:
        g.copy_(mask)
        draw()

    def preset(title: str, mask: Tensor) -> ipw.Button:
        button = ipw.Button(description=title, layout=ipw.Layout(width="auto"))
        button.on_click(lambda _: start(mask))
        return button

    # The picture and a grid of see-through buttons share one place: a click hits the cell that
    # is seen there, and only pictures travel. One layout and one style serve all the buttons.
    cell = ipw.Layout(
        width="auto", height="auto", min_width="0", margin="0", padding="0",
        border="1px solid rgba(255, 255, 255, .35)",
    )  # fmt: skip
    clear = ipw.ButtonStyle(button_color="transparent")
    buttons = []
    for i in range(h * w):
        y, x = divmod(i, w)
        button = ipw.Button(layout=cell, style=clear, tooltip=f"cell ({y}, {x})")
        button.on_click(lambda _, y=y, x=x: paint(y, x))
        buttons.append(button)
    tracks = [
        " ".join(f"minmax(0, {n}fr)" for n in np.bincount(figures.cell_of_pixel(s, m)))
        for s, m in zip(size, (h, w), strict=True)
    ]
    over = ipw.GridBox(
        buttons,
        layout=_panel(
            ipw, grid_template_rows=tracks[0], grid_template_columns=tracks[1], grid_gap="0"
        ),
    )
    canvas = ipw.GridBox([images[0], over], layout=ipw.Layout(margin="0", overflow="hidden"))
    draw()
    shown = [canvas, *images[1:]]
    presets = [preset(t, m) for t, m in masks.items()]
    presets += [preset("everything", torch.ones(h, w)), preset("nothing", torch.zeros(h, w))]
    starts = [ipw.Label("start from", layout=ipw.Layout(flex="none")), *presets]
    wrap = ipw.Layout(flex_flow="row wrap")
    tools = [ipw.HBox([value, brush], layout=wrap), ipw.HBox(starts, layout=wrap)]
    return ipw.VBox([*tools, side_by_side(titles, shown), said])


def _panel(ipw: object, **more: str) -> ipywidgets.Layout:
    """The one size and place of pictures and of the buttons over them."""
    return ipw.Layout(
        width=f"{WIDTH}px",
        height=f"{WIDTH}px",
        margin="0 6px 0 0",
        grid_area="1 / 1 / 2 / 2",
        **more,
    )


def _coloured(values: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """A map of values in [0, 1] at the picture's size, (H, W, 3) uint8."""
    rows, columns = (figures.cell_of_pixel(n, m) for n, m in zip(size, values.shape, strict=True))
    colours = matplotlib.colormaps[figures.A_MAP](values.numpy(), bytes=True)
    return colours[rows][:, columns, :3]


def _summary(g: Tensor, inverse: Tensor, iou: float) -> str:
    n = int((g > 0).sum())
    if n == 0:
        return "Nothing is painted: G G^T = 0. The package answers with zeros; IoU 0.00"
    return (
        f"{n} cells painted, G G^T = {(g * g).sum():.2f}; "
        f"the largest entry of G⁺ is {inverse.max():.3f}; IoU {iou:.2f}"
    )
