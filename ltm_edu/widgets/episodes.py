"""A widget of scored episodes, from the best to the worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import figures
from .base import side_by_side, to_png

if TYPE_CHECKING:
    import ipywidgets


def episode_browser(episodes: Sequence[figures.Answered]) -> ipywidgets.VBox:
    """Leaf through answered episodes sorted by IoU, all of them or one class.

    Args:
        episodes: in any order.
    """
    import ipywidgets as ipw

    ranked = sorted(episodes, key=lambda e: -e.iou)
    names = sorted({e.name for e in ranked})
    menu = ipw.Dropdown(options=["all classes", *names], description="class")
    slider = ipw.IntSlider(value=1, min=1, max=len(ranked), description="rank")
    captions = ("support", "answer; black: the truth")
    panels = [ipw.Image(format="png", height=280, layout={"height": "280px"}) for _ in captions]
    said = ipw.Label()

    def listed() -> list[figures.Answered]:
        return [e for e in ranked if menu.value in ("all classes", e.name)]

    def draw(_: object = None) -> None:
        one = listed()[slider.value - 1]
        for panel, pixels in zip(panels, figures.answered_panels(one), strict=True):
            panel.value = to_png(pixels)
        said.value = f"{slider.value} of {slider.max}: {one.name}, IoU {one.iou:.2f}"

    def choose(_: object = None) -> None:
        slider.value = 1
        slider.max = len(listed())
        draw()

    menu.observe(choose, "value")
    slider.observe(draw, "value")
    draw()
    shapes = [figures.as_uint8(e.support).shape for e in ranked]
    widest = max(280 * w // h for h, w, _ in shapes)
    return ipw.VBox([ipw.HBox([menu, slider]), side_by_side(captions, panels, widest), said])
