"""A widget of the backbone's stages: the features of each depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from .. import figures
from .base import draw_on_change, empty_pictures, show, side_by_side

if TYPE_CHECKING:
    import ipywidgets


def stage_slider(
    query: figures.Picture, depths: Mapping[str, figures.Depth], mask: Tensor | None = None
) -> ipywidgets.VBox:
    """Choose a depth of a backbone; see the features of both pictures and their cosines.

    Args:
        query: (3, H, W) in [0, 1].
        depths: title to depth, from the first to the last.
        mask: the query's object, (H, W), 1 inside.
    """
    import ipywidgets as ipw

    titles = list(depths)
    slider = ipw.IntSlider(value=len(titles) - 1, max=len(titles) - 1, description="depth")
    summary = ipw.Label()
    captions = ("support, as colours", "query, as colours", "cosine with the support's object")
    pictures = empty_pictures(*captions, width=260)

    def draw() -> None:
        title = titles[slider.value]
        show(pictures, figures.depth_panels(query, depths[title], mask))
        h, w = depths[title][2].shape
        summary.value = f"{title}: a grid of {h} x {w}"

    draw_on_change(draw, slider)
    return ipw.VBox([ipw.HBox([slider, summary]), side_by_side(pictures)])
