"""What all widgets share: pictures with names, their places, and when they are drawn."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .. import figures

if TYPE_CHECKING:
    import ipywidgets


def to_png(pixels: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 as PNG.

    This takes a few milliseconds, where a matplotlib Figure takes a hundred.
    """
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def empty_pictures(*names: str, **options: Any) -> dict[str, ipywidgets.Image]:
    """Create pictures without content yet.

    Args:
        names: one for each picture. A name is the tooltip, which screen readers say, and the
            caption in `side_by_side`.
        options: of `ipywidgets.Image`, for all pictures: `width` or `height` in CSS pixels, or
            `layout`.

    Returns:
        Name to picture, in order.
    """
    import ipywidgets as ipw
    from traitlets import Unicode

    if "height" in options:  # a picture without content has its height too
        options["layout"] = {"height": f"{options['height']}px"}

    class NamedImage(ipw.Image):
        # The front end reads the description of everything that has a tooltip.
        description = Unicode("").tag(sync=True)

    return {name: NamedImage(format="png", tooltip=name, **options) for name in names}


def show(pictures: Mapping[str, ipywidgets.Image], contents: Iterable[np.ndarray | None]) -> None:
    """Put pixels, (H, W, 3) uint8, into pictures; None removes the content of a picture."""
    for picture, pixels in zip(pictures.values(), contents, strict=True):
        picture.value = b"" if pixels is None else to_png(pixels)


def draw_on_change(draw: Callable[[], None], *controls: ipywidgets.Widget) -> None:
    """Call `draw` now, and whenever the value of a control changes."""
    for control in controls:
        control.observe(lambda _: draw(), "value")
    draw()


def in_rows(*parts: ipywidgets.Widget) -> ipywidgets.HBox:
    """Place parts beside each other; in a narrow window they continue on the next row."""
    import ipywidgets as ipw

    return ipw.HBox(parts, layout=ipw.Layout(flex_flow="row wrap"))


def side_by_side(
    panels: Mapping[str, ipywidgets.Widget], widths: Mapping[str, int] | None = None
) -> ipywidgets.HBox:
    """Place panels beside each other, each below its caption; they never shrink.

    Args:
        panels: caption to panel.
        widths: caption to the width of the panel's place in CSS pixels, for a panel whose pictures
            differ in width: the panels to the right of it do not move.
    """
    import ipywidgets as ipw

    boxes = []
    for caption, panel in panels.items():
        layout = ipw.Layout(flex="none", align_items="flex-start")  # "stretch" would widen pictures
        if widths and caption in widths:
            layout.width = f"{widths[caption] + 4}px"
        boxes.append(ipw.VBox([ipw.Label(caption), panel], layout=layout))
    return in_rows(*boxes)


def largest_width(pictures: Iterable[figures.Picture], height: int) -> int:
    """Compute the width of the widest picture, in CSS pixels, when all have the same height."""
    shapes = (figures.as_uint8(p).shape for p in pictures)
    return max(height * w // h for h, w, _ in shapes)
