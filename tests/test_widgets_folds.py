import io
import time

import numpy as np
import pytest
from helpers import CLASSES
from PIL import Image

from ltm_edu import figures, widgets
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import find_pairs, images_by_class, novel_classes

pytest.importorskip("ipywidgets")


class Browser:
    """The widget's parts by name."""

    def __init__(self, dataset: VocFolder, pictures: int = 4):
        self.index = dataset.index("val")
        box = widgets.fold_browser(dataset, self.index, pictures)
        self.fold, self.board, self.chosen, self.said, self.strip = box.children


def pixels(image):
    return np.asarray(Image.open(io.BytesIO(image.value)))


def test_it_shows_the_folds_board_and_the_classes_pictures(tiny):
    browser = Browser(tiny, pictures=2)
    crops = figures.class_crops(tiny, browser.index)
    wanted = figures.fold_board(crops, CLASSES, novel_classes(0, len(CLASSES)))
    np.testing.assert_array_equal(pixels(browser.board), wanted)
    names = images_by_class(find_pairs(browser.index, [1]))[1][:2]
    np.testing.assert_array_equal(pixels(browser.strip), figures.class_strip(tiny, names, 1))


def test_another_fold_changes_the_board_alone(tiny):
    browser = Browser(tiny)
    strip, boards = browser.strip.value, set()
    for fold in range(4):
        browser.fold.value = fold
        boards.add(browser.board.value)
    assert len(boards) == 4
    assert browser.strip.value == strip


def test_another_class_changes_the_pictures_alone(tiny):
    browser = Browser(tiny)
    board, strips = browser.board.value, set()
    for c in range(1, len(CLASSES) + 1):
        browser.chosen.value = c
        strips.add(browser.strip.value)
    assert len(strips) == len(CLASSES)
    names = images_by_class(find_pairs(browser.index, [c]))[c][:4]
    np.testing.assert_array_equal(pixels(browser.strip), figures.class_strip(tiny, names, c))
    assert browser.board.value == board


def test_it_says_what_the_class_is_to_the_fold(tiny):
    browser = Browser(tiny)
    for fold in range(4):
        for c, name in enumerate(CLASSES, start=1):
            browser.fold.value, browser.chosen.value = fold, c
            novel = c in novel_classes(fold, len(CLASSES))
            role = "novel: asked about, never trained on" if novel else "base: trained on"
            assert browser.said.value == f"fold {fold}: {name} is {role}"


def test_a_class_that_no_picture_shows_leaves_the_strip_empty(voc):
    for path in (voc / "SegmentationClass").glob("val_coin_*.png"):
        mask = np.array(Image.open(path))
        mask[mask == 5] = 0
        Image.fromarray(mask).save(path)
    browser = Browser(VocFolder.open(voc))
    browser.chosen.value = 5
    assert browser.strip.value == b""
    browser.chosen.value = 6
    assert browser.strip.value != b""


def test_a_choice_is_drawn_in_time(tiny):
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    browser = Browser(tiny)
    taken = []
    for k in (1, 2, 3):
        for choose, value in ((browser.fold, k), (browser.chosen, k + 1)):
            start = time.process_time()
            choose.value = value
            taken.append(time.process_time() - start)
    print(f"a choice took {1000 * max(taken):.0f} ms at most")
    assert np.median(taken) < 0.2
