"""Widgets of folds: which classes are novel, and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import figures
from ..datasets.voc import VocFolder
from ..episodes import FOLDS, find_pairs, images_by_class, novel_classes
from .base import to_png

if TYPE_CHECKING:
    import ipywidgets

    from ..datasets.voc import MaskIndex


def fold_browser(dataset: VocFolder, index: MaskIndex, pictures: int = 4) -> ipywidgets.VBox:
    """Choose a fold and a class; see what the fold keeps from training, and the class's pictures.

    Args:
        dataset: where pictures and masks come from.
        index: `dataset.index(split)` of the list to show.
        pictures: of the chosen class, at most.
    """
    import ipywidgets as ipw

    n = len(dataset.classes)
    crops = figures.class_crops(dataset, index)
    shown = images_by_class(find_pairs(index, range(1, n + 1)))
    fold = ipw.ToggleButtons(
        options=range(FOLDS), description="fold", style={"button_width": "3em"}
    )
    names = [(f"{c} {name}", c) for c, name in enumerate(dataset.classes, start=1)]
    chosen = ipw.Dropdown(options=names, description="class")
    board, strip = (ipw.Image(format="png") for _ in range(2))
    said = ipw.Label()

    def draw_board(_: object = None) -> None:
        novel = novel_classes(fold.value, n)
        board.value = to_png(figures.fold_board(crops, dataset.classes, novel))
        say()

    def draw_strip(_: object = None) -> None:
        few = shown.get(chosen.value, [])[:pictures]
        strip.value = to_png(figures.class_strip(dataset, few, chosen.value)) if few else b""
        say()

    def say() -> None:
        name = dataset.classes[chosen.value - 1]
        is_novel = chosen.value in novel_classes(fold.value, n)
        role = "novel: asked about, never trained on" if is_novel else "base: trained on"
        said.value = f"fold {fold.value}: {name} is {role}"

    fold.observe(draw_board, "value")
    chosen.observe(draw_strip, "value")
    draw_board()
    draw_strip()
    return ipw.VBox([fold, board, chosen, said, strip])
