"""A widget of a training run: one novel question, asked again and again on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from torch import Tensor

from .. import figures
from .base import side_by_side, to_png

if TYPE_CHECKING:
    import ipywidgets


def training_frames(
    query: Tensor, truth: Tensor, frames: Sequence[figures.Frame]
) -> ipywidgets.VBox:
    """Move through the updates; see the attention map and the answer change.

    Args:
        query: (3, H, W) in [0, 1].
        truth: its object, (H, W) of 0, 1 and 255; outlined in black.
        frames: in order of their steps.
    """
    import ipywidgets as ipw

    H, W = query.shape[-2:]
    options = [(str(f.step), k) for k, f in enumerate(frames)]
    slider = ipw.SelectionSlider(options=options, index=0, description="updates")
    captions = ("attention Â over the query", "answer; black: the truth")
    panels = [ipw.Image(format="png", height=300, layout={"height": "300px"}) for _ in captions]
    said = ipw.Label()

    def draw(_: object = None) -> None:
        frame = frames[slider.value]
        on_grid = frame.A_hat.detach().numpy()
        rows, columns = (
            figures.cell_of_pixel(n, m) for n, m in zip((H, W), on_grid.shape, strict=True)
        )
        colours = matplotlib.colormaps[figures.A_MAP](on_grid, bytes=True)
        panels[0].value = to_png(np.ascontiguousarray(colours[rows][:, columns, :3]))
        panels[1].value = to_png(figures.answer_on(query, frame.mask, truth))
        best = max(f.iou for f in frames)
        said.value = f"after {frame.step} updates: IoU {frame.iou:.2f}; the best is {best:.2f}"

    slider.observe(draw, "value")
    draw()
    return ipw.VBox([slider, side_by_side(captions, panels), said])
