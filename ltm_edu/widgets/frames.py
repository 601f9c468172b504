"""A widget of training: the answers to one question about a novel class at several steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .. import figures
from .base import draw_on_change, empty_pictures, show, side_by_side

if TYPE_CHECKING:
    import ipywidgets


def training_frames(
    query: Tensor, truth: Tensor, frames: Sequence[figures.Frame]
) -> ipywidgets.VBox:
    """Choose the number of updates; see the attention map and the answer.

    Args:
        query: (3, H, W) in [0, 1].
        truth: its object, (H, W) of 0, 1 and 255; outlined in black.
        frames: in the order of their steps.
    """
    import ipywidgets as ipw

    options = [(str(f.step), k) for k, f in enumerate(frames)]
    slider = ipw.SelectionSlider(options=options, index=0, description="updates")
    captions = ("attention Â over the query", "answer; black: the truth")
    pictures = empty_pictures(*captions, height=300)
    summary = ipw.Label()
    best = max(f.iou for f in frames)

    def draw() -> None:
        frame = frames[slider.value]
        attention = figures.attention_pixels(frame.A_hat, query.shape[-2:])
        show(pictures, (attention, figures.answer_on(query, frame.mask, truth)))
        summary.value = f"after {frame.step} updates: IoU {frame.iou:.2f}; the best is {best:.2f}"

    draw_on_change(draw, slider)
    return ipw.VBox([slider, side_by_side(pictures), summary])
