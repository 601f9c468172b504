"""A widget of the relationship matrix: one row of R for each query pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .. import figures
from .base import draw_on_change, empty_pictures, show, side_by_side

if TYPE_CHECKING:
    import ipywidgets


def pick_pixel(
    query: Tensor,
    support: Tensor,
    R: Tensor,
    mask: Tensor | None = None,
    start: tuple[int, int] | None = None,
) -> ipywidgets.VBox:
    """Choose a query pixel with sliders or arrows; see its row of R over the support.

    Args:
        query: (3, H, W) in [0, 1].
        support: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids.
        mask: the support's object, (H, W), 1 inside.
        start: (y, x) of the first query pixel; without it, the middle of the grid.
    """
    import ipywidgets as ipw

    (h, w), grid_s = figures.square_grid(R.shape[0]), figures.square_grid(R.shape[1])
    y, x = start or (h // 2, w // 2)
    row = ipw.IntSlider(value=y, max=h - 1, description="row y")
    column = ipw.IntSlider(value=x, max=w - 1, description="column x")
    pictures = empty_pictures("query", "its row of R, over the support", width=300)
    summary = ipw.Label()

    def draw() -> None:
        y, x = row.value, column.value
        i = y * w + x
        values = R[i].reshape(grid_s)
        frame = figures.marked(query, (y, x), (h, w))
        show(pictures, (frame, figures.relation_overlay(support, values, mask)))
        largest = f"its largest entry is {values.max():.2f}"
        summary.value = f"query pixel ({y}, {x}) is row {i} of R; {largest}"

    def arrow(text: str, slider: ipywidgets.IntSlider, step: int) -> ipywidgets.Button:
        button = ipw.Button(description=text, layout=ipw.Layout(width="42px"))
        # The slider itself stops at its ends.
        button.on_click(lambda _: setattr(slider, "value", slider.value + step))
        return button

    draw_on_change(draw, row, column)
    arrows = [arrow("←", column, -1), arrow("→", column, 1), arrow("↑", row, -1)]
    controls = ipw.HBox([row, column, *arrows, arrow("↓", row, 1)])
    return ipw.VBox([controls, side_by_side(pictures), summary])
