"""Widgets of the relationship matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .. import figures
from .base import side_by_side, to_png

if TYPE_CHECKING:
    import ipywidgets


def pick_pixel(
    query: Tensor,
    support: Tensor,
    R: Tensor,
    mask: Tensor | None = None,
    start: tuple[int, int] | None = None,
) -> ipywidgets.VBox:
    """Pick a query pixel with sliders or arrows; see its row of R over the support.

    Args:
        query: (3, H, W) in [0, 1].
        support: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids.
        mask: the support's object, (H, W), 1 inside.
        start: (y, x) to begin with; the middle without it.
    """
    import ipywidgets as ipw

    (h, w), grid_s = figures.square_grid(R.shape[0]), figures.square_grid(R.shape[1])
    y, x = start or (h // 2, w // 2)
    row = ipw.IntSlider(value=y, max=h - 1, description="row y")
    column = ipw.IntSlider(value=x, max=w - 1, description="column x")
    left, right = (ipw.Image(format="png", width=300) for _ in range(2))
    said = ipw.Label()

    def draw(_: object = None) -> None:
        y, x = row.value, column.value
        i = y * w + x
        values = R[i].reshape(grid_s)
        left.value = to_png(figures.marked(query, (y, x), (h, w)))
        right.value = to_png(figures.relation_overlay(support, values, mask))
        said.value = f"query pixel ({y}, {x}) is row {i} of R; its largest entry {values.max():.2f}"

    def arrow(text: str, slider: ipw.IntSlider, step: int) -> ipw.Button:
        button = ipw.Button(description=text, layout=ipw.Layout(width="42px"))
        # A slider keeps itself within its ends.
        button.on_click(lambda _: setattr(slider, "value", slider.value + step))
        return button

    row.observe(draw, "value")
    column.observe(draw, "value")
    draw()
    arrows = [arrow("←", column, -1), arrow("→", column, 1), arrow("↑", row, -1)]
    controls = ipw.HBox([row, column, *arrows, arrow("↓", row, 1)])
    captions = ("query", "its row of R, over the support")
    return ipw.VBox([controls, side_by_side(captions, (left, right)), said])
