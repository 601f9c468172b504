"""What the widgets share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import ipywidgets


def to_png(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as PNG: a few milliseconds, where a Figure takes a hundred."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def side_by_side(
    captions: Sequence[str], panels: Sequence[ipywidgets.Widget], first_width: int | None = None
) -> ipywidgets.HBox:
    """Panels under their captions; where the window is too narrow they wrap, and never squeeze.

    Args:
        captions: one a panel.
        panels: with sizes of their own.
        first_width: of the first panel's place in CSS pixels, if its pictures are not all of one
            width: the others then stay where they are.
    """
    import ipywidgets as ipw

    boxes = []
    for caption, panel in zip(captions, panels, strict=True):
        layout = ipw.Layout(flex="none", align_items="flex-start")  # "stretch" would widen pictures
        boxes.append(ipw.VBox([ipw.Label(caption), panel], layout=layout))
    if first_width:
        boxes[0].layout.width = f"{first_width + 4}px"
    return ipw.HBox(boxes, layout=ipw.Layout(flex_flow="row wrap"))
