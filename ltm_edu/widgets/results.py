"""A widget of results: a method's IoU of each class, and the answers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .. import figures
from ..scores import Results
from .base import draw_on_change, empty_pictures, show, side_by_side
from .episodes import RankedAnswers

if TYPE_CHECKING:
    import ipywidgets


def results_browser(
    results: Results, answers: Mapping[str, Sequence[figures.Answered]]
) -> ipywidgets.VBox:
    """Choose a method, a class and an episode; see the IoU of the class, and the answer.

    Args:
        results: from `evaluate` or a results file.
        answers: method to answered episodes, in any order.

    Raises:
        ValueError: the results have no score of a method in `answers`.
    """
    import ipywidgets as ipw

    scores = {s.method: s.per_class for s in results.scores if s.method in answers}
    if unknown := sorted(set(answers) - set(scores)):
        raise ValueError(f"no score of {', '.join(unknown)} in the results: remove those answers")
    method = ipw.Dropdown(options=list(scores), description="method")
    class_name = ipw.Dropdown(options=list(next(iter(scores.values()))), description="class")
    bars = empty_pictures("IoU of each class")
    episodes = RankedAnswers([e for listed in answers.values() for e in listed])

    def draw() -> None:
        per_class, name = scores[method.value], class_name.value
        show(bars, [figures.class_bars(per_class, name)])
        of_class = [e for e in answers[method.value] if e.name == name]
        episodes.choose(of_class, f"{method.value}: {name} {per_class[name]:.2f}; ")

    draw_on_change(draw, method, class_name)
    return ipw.VBox(
        [
            ipw.HBox([method, class_name, episodes.slider]),
            side_by_side({**bars, **episodes.pictures}, episodes.widths),
            episodes.summary,
        ]
    )
