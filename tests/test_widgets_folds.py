import numpy as np
import pytest
from helpers import CLASSES
from PIL import Image
from seen import Screen, one_drawing

from ltm_edu import figures, widgets
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import find_pairs, images_by_class, novel_classes

BOARD, STRIP = "all classes, a frame around the novel ones", "pictures of the class"


@pytest.fixture
def screen(tiny):
    return Screen(widgets.fold_browser(tiny, tiny.index("val")))


def strip_of(dataset, class_id, pictures):
    names = images_by_class(find_pairs(dataset.index("val"), [class_id]))[class_id][:pictures]
    return figures.class_strip(dataset, names, class_id)


def test_it_shows_the_board_of_the_fold_and_pictures_of_the_class(tiny):
    screen = Screen(widgets.fold_browser(tiny, tiny.index("val"), pictures=2))
    crops = figures.class_crops(tiny, tiny.index("val"))
    board = figures.fold_board(crops, CLASSES, novel_classes(0, len(CLASSES)))
    np.testing.assert_array_equal(screen.pixels(BOARD), board)
    np.testing.assert_array_equal(screen.pixels(STRIP), strip_of(tiny, 1, 2))


def test_another_fold_changes_only_the_board(screen):
    strip, boards = screen.pictures[STRIP], set()
    for fold in range(4):
        screen.choice("fold").label = str(fold)
        boards.add(screen.pictures[BOARD])
    assert len(boards) == 4
    assert screen.pictures[STRIP] == strip


def test_another_class_changes_only_the_pictures(screen, tiny):
    board, strips = screen.pictures[BOARD], set()
    for c, name in enumerate(CLASSES, start=1):
        screen.menu("class").label = f"{c} {name}"
        strips.add(screen.pictures[STRIP])
    assert len(strips) == len(CLASSES)
    np.testing.assert_array_equal(screen.pixels(STRIP), strip_of(tiny, len(CLASSES), 4))
    assert screen.pictures[BOARD] == board


def test_it_says_what_the_class_is_in_the_fold(screen):
    for fold in range(4):
        for c, name in enumerate(CLASSES, start=1):
            screen.choice("fold").label = str(fold)
            screen.menu("class").label = f"{c} {name}"
            is_novel = c in novel_classes(fold, len(CLASSES))
            role = "novel: only in test questions" if is_novel else "base: for training"
            assert f"fold {fold}: {name} is {role}" in screen.texts


def test_the_strip_is_empty_for_a_class_without_pictures(voc):
    for path in (voc / "SegmentationClass").glob("val_coin_*.png"):
        mask = np.array(Image.open(path))
        mask[mask == 5] = 0
        Image.fromarray(mask).save(path)
    dataset = VocFolder.open(voc)
    screen = Screen(widgets.fold_browser(dataset, dataset.index("val")))
    screen.menu("class").label = "5 coin"
    assert screen.pictures[STRIP] == b""
    screen.menu("class").label = "6 tile"
    assert screen.pictures[STRIP] != b""


def test_a_fold_or_a_class_is_drawn_once(screen):
    for k in (1, 2, 3):
        with one_drawing(screen):
            screen.choice("fold").label = str(k)
        with one_drawing(screen):
            screen.menu("class").label = f"{k + 1} {CLASSES[k]}"
