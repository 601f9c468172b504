"""Widgets of the backbone's stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from .. import figures
from ..figures import Picture
from ..figures.features import Depth
from .base import side_by_side, to_png

if TYPE_CHECKING:
    import ipywidgets


def stage_slider(
    query: Picture, depths: Mapping[str, Depth], mask: Tensor | None = None
) -> ipywidgets.VBox:
    """Go through a backbone's depths; see both pictures' features and where the object is found.

    Args:
        query: (3, H, W) in [0, 1].
        depths: what the label calls it to the support's colours and the query's, (h, w, 3) in
            [0, 1], and the cosine of each query cell with the support's object, (h, w).
        mask: the query's object, (H, W), 1 inside.
    """
    import ipywidgets as ipw

    titles = list(depths)
    depth = ipw.IntSlider(value=len(titles) - 1, max=len(titles) - 1, description="depth")
    said = ipw.Label()
    captions = ("support, as colours", "query, as colours", "cosine with the support's object")
    panels = [ipw.Image(format="png", width=260) for _ in captions]

    def draw(_: object = None) -> None:
        title = titles[depth.value]
        for panel, pixels in zip(
            panels, figures.depth_panels(query, depths[title], mask), strict=True
        ):
            panel.value = to_png(pixels)
        h, w = depths[title][2].shape
        said.value = f"{title}: a grid of {h} x {w}"

    depth.observe(draw, "value")
    draw()
    return ipw.VBox([ipw.HBox([depth, said]), side_by_side(captions, panels)])
