"""A widget of results: a row of the table, its score of each class, and the answers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .. import figures
from ..scores import Results
from .base import side_by_side, to_png

if TYPE_CHECKING:
    import ipywidgets


def results_browser(
    results: Results, answers: Mapping[str, Sequence[figures.Answered]]
) -> ipywidgets.VBox:
    """Choose a row, a class and an episode; see the class's bar among the others, and the answer.

    Args:
        results: from `evaluate` or a results file.
        answers: row name to answered episodes, in any order; they are shown best first.

    Raises:
        ValueError: a row of the answers is not in the results.
    """
    import ipywidgets as ipw

    scores = {s.method: s for s in results.scores if s.method in answers}
    if unknown := set(answers) - set(scores):
        raise ValueError(f"answers of {', '.join(sorted(unknown))}, but the results have no such")
    ranked = {row: sorted(answers[row], key=lambda e: -e.iou) for row in scores}
    row = ipw.Dropdown(options=list(scores), description="row")
    classes = list(next(iter(scores.values())).per_class)
    chosen = ipw.Dropdown(options=classes, description="class")
    rank = ipw.IntSlider(value=1, min=1, max=1, description="episode")
    captions = ("IoU of each class", "support", "answer; black: the truth")
    bars = ipw.Image(format="png")
    panels = [ipw.Image(format="png", height=260, layout={"height": "260px"}) for _ in range(2)]
    said = ipw.Label()

    def listed() -> list[figures.Answered]:
        return [e for e in ranked[row.value] if e.name == chosen.value]

    def draw(_: object = None) -> None:
        found, iou = listed(), scores[row.value].per_class[chosen.value]
        told = f"{row.value}: {chosen.value} {iou:.2f}"
        if not found:
            for panel in panels:
                panel.value = b""
            said.value = f"{told}; no answer of it is kept"
            return
        one = found[rank.value - 1]
        for panel, pixels in zip(panels, figures.answered_panels(one), strict=True):
            panel.value = to_png(pixels)
        said.value = f"{told}; episode {rank.value} of {len(found)}, best first: IoU {one.iou:.2f}"

    def choose(_: object = None) -> None:
        bars.value = to_png(figures.class_bars(scores[row.value].per_class, chosen.value))
        rank.unobserve(draw, "value")
        rank.value, rank.max = 1, max(1, len(listed()))
        rank.observe(draw, "value")
        draw()

    row.observe(choose, "value")
    chosen.observe(choose, "value")
    choose()
    shown = side_by_side(captions, (bars, *panels))
    return ipw.VBox([ipw.HBox([row, chosen, rank]), shown, said])
