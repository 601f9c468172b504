"""A widget of episodes with their answers, in the order of their IoU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import figures
from .base import draw_on_change, empty_pictures, largest_width, show, side_by_side

if TYPE_CHECKING:
    import ipywidgets

HEIGHT = 270
"""Height of the pictures, in CSS pixels."""


class RankedAnswers:
    """A slider through answers from the highest IoU to the lowest, and the pictures of one answer.

    Attributes:
        slider: the rank, from 1.
        summary: a line of text on the answer.
        pictures: caption to picture: the support, and the answer on the query.
        widths: caption to the place that the support needs; for `side_by_side`.
    """

    def __init__(self, episodes: Sequence[figures.Answered]) -> None:
        """Create the parts; `episodes` are all that will ever be listed."""
        import ipywidgets as ipw

        self.slider = ipw.IntSlider(value=1, min=1, max=1, description="rank")
        self.summary = ipw.Label()
        self.pictures = empty_pictures("support", "answer; black: the truth", height=HEIGHT)
        self.widths = {"support": largest_width((e.support for e in episodes), HEIGHT)}
        self._ranked: list[figures.Answered] = []
        self._heading = ""
        self.slider.observe(self._draw, "value")

    def choose(self, episodes: Sequence[figures.Answered], heading: str = "") -> None:
        """List other episodes and draw the best of them.

        Args:
            episodes: in any order; there may be none.
            heading: start of the summary.
        """
        self._ranked, self._heading = sorted(episodes, key=lambda e: -e.iou), heading
        self.slider.unobserve(self._draw, "value")  # otherwise a new value would draw it twice
        self.slider.value, self.slider.max = 1, max(1, len(self._ranked))
        self.slider.observe(self._draw, "value")
        self._draw()

    def _draw(self, _: object = None) -> None:
        n = len(self._ranked)
        if n == 0:
            show(self.pictures, (None, None))
            self.summary.value = f"{self._heading}there is no answer to show"
            return
        episode = self._ranked[self.slider.value - 1]
        show(self.pictures, figures.answered_panels(episode))
        rank = f"rank {self.slider.value} of {n}"
        self.summary.value = f"{self._heading}{rank}: {episode.name}, IoU {episode.iou:.2f}"


def episode_browser(episodes: Sequence[figures.Answered]) -> ipywidgets.VBox:
    """Browse answered episodes from the highest IoU to the lowest: all of them, or one class.

    Args:
        episodes: in any order.
    """
    import ipywidgets as ipw

    classes = sorted({e.name for e in episodes})
    menu = ipw.Dropdown(options=["all classes", *classes], description="class")
    answers = RankedAnswers(episodes)
    draw_on_change(
        lambda: answers.choose([e for e in episodes if menu.value in ("all classes", e.name)]), menu
    )
    return ipw.VBox(
        [
            ipw.HBox([menu, answers.slider]),
            side_by_side(answers.pictures, answers.widths),
            answers.summary,
        ]
    )
