"""A widget of folds: which classes are novel, and their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import figures
from ..datasets.voc import VocFolder
from ..episodes import FOLDS, find_pairs, images_by_class, novel_classes
from .base import draw_on_change, empty_pictures, show

if TYPE_CHECKING:
    import ipywidgets

    from ..datasets.voc import MaskIndex


def fold_browser(dataset: VocFolder, index: MaskIndex, pictures: int = 4) -> ipywidgets.VBox:
    """Choose a fold and a class; see the fold's novel classes, and pictures of the class.

    Args:
        dataset: holds the pictures and the masks.
        index: `dataset.index(split)` of the split to show.
        pictures: the largest number of pictures of the class.
    """
    import ipywidgets as ipw

    n = len(dataset.classes)
    crops = figures.class_crops(dataset, index)
    names = images_by_class(find_pairs(index, range(1, n + 1)))
    fold = ipw.ToggleButtons(
        options=range(FOLDS), description="fold", style={"button_width": "3em"}
    )
    options = [(f"{c} {name}", c) for c, name in enumerate(dataset.classes, start=1)]
    menu = ipw.Dropdown(options=options, description="class")
    board = empty_pictures("all classes, a frame around the novel ones")
    strip = empty_pictures("pictures of the class")
    summary = ipw.Label()

    def draw_board() -> None:
        novel = novel_classes(fold.value, n)
        show(board, [figures.fold_board(crops, dataset.classes, novel)])

    def draw_strip() -> None:
        few = names.get(menu.value, [])[:pictures]
        show(strip, [figures.class_strip(dataset, few, menu.value) if few else None])

    def summarise() -> None:
        is_novel = menu.value in novel_classes(fold.value, n)
        role = "novel: only in test questions" if is_novel else "base: for training"
        summary.value = f"fold {fold.value}: {dataset.classes[menu.value - 1]} is {role}"

    draw_on_change(draw_board, fold)
    draw_on_change(draw_strip, menu)
    draw_on_change(summarise, fold, menu)
    return ipw.VBox([fold, *board.values(), menu, summary, *strip.values()])
