import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import CLASSES

from ltm_edu import figures
from ltm_edu.episodes import draw_episodes, find_pairs
from ltm_edu.figures.folds import BASE_COLOUR, NOVEL_COLOUR


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def pixels_of(axes):
    return np.asarray(axes.images[0].get_array())


def rgb(colour):
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def test_the_numbers_are_those_of_the_framed_window():
    mask = np.zeros((40, 40), np.uint8)
    mask[20:, 20:] = 255
    mask[23:, 23:] = 7
    picture = np.full((40, 40, 3), 200, np.uint8)
    _, whole, close = figures.mask_values(picture, mask, [f"class {c}" for c in range(1, 9)]).axes
    (frame,) = whole.patches
    left, top = (int(corner) + 1 for corner in frame.get_xy())
    window = mask[top : top + 10, left : left + 10]
    assert set(np.unique(window)) == {0, 7, 255}
    np.testing.assert_array_equal(pixels_of(close), window)
    written = {(int(y), int(x)): t.get_text() for t in close.texts for x, y in [t.get_position()]}
    assert all(written[pixel] == str(value) for pixel, value in np.ndenumerate(window))
    assert [t.get_text() for t in whole.texts] == ["7 class 7"]


def test_a_crop_shows_its_class_in_colour(tiny):
    crops = figures.class_crops(tiny, tiny.index("val"), side=40)
    assert list(crops) == list(range(1, len(CLASSES) + 1))
    expected = {1: (220, 40, 40), 3: (50, 80, 230)}  # a red disc, a blue tower; all else is grey
    for c, colour in expected.items():
        assert crops[c].shape == (40, 40, 3)
        np.testing.assert_allclose(crops[c][20, 20], colour, atol=30)
        assert np.ptp(crops[c][0, 0].astype(int)) < 30
    assert crops[7].min() > 150  # a white mast before the faded background


def test_only_novel_classes_are_framed():
    crops = {c: np.full((20, 20, 3), 128, np.uint8) for c in range(1, 9)}
    board = figures.fold_board(crops, CLASSES, {2, 6}, columns=4)
    tall, wide = board.shape[0] // 2, board.shape[1] // 4
    for c in crops:
        corner = board[(c - 1) // 4 * tall, (c - 1) % 4 * wide]
        assert tuple(corner) == (rgb(NOVEL_COLOUR) if c in (2, 6) else (255, 255, 255)), c
    boards = figures.fold_boards(crops, CLASSES, {"a": {2, 6}, "b": set()}, columns=4).axes
    assert [a.get_title() for a in boards] == ["a", "b"]
    np.testing.assert_array_equal(pixels_of(boards[0]), board)
    assert not (pixels_of(boards[1]) == rgb(NOVEL_COLOUR)).all(axis=2).any()


def test_the_points_of_the_grid_rule_are_counted_on_the_object():
    mask = np.zeros((70, 100), np.uint8)
    mask[30:, 30:] = 3  # of rows 1, 33, 65 and columns 1, 33, 65, 97
    picture = np.full((70, 100, 3), 200, np.uint8)
    (axes,) = figures.grid_points([(picture, mask, 3)], ["tower"]).axes
    assert axes.get_title() == "tower: 6 of 12 points"
    outside, inside = (points.get_offsets() for points in axes.collections)
    assert {tuple(p) for p in inside} == {(x, y) for x in (33, 65, 97) for y in (33, 65)}
    assert len(outside) == 6


def test_a_question_shows_its_supports_above_its_query(tiny):
    pairs = find_pairs(tiny.index("val"), (1, 3), "any")
    episodes = draw_episodes(pairs, shots=2, count=3, seed=0).episodes
    axes = np.array(figures.questions(tiny, episodes).axes).reshape(3, 3)
    for column, e in zip(axes.T, episodes, strict=True):
        assert column[0].get_title() == f"support: {CLASSES[e.class_id - 1]}"
        np.testing.assert_array_equal(pixels_of(column[2]), np.asarray(tiny.image(e.query)))
        for ax, name in zip(column, e.supports, strict=False):
            mask = (tiny.mask(name) == e.class_id).astype(np.uint8)
            np.testing.assert_array_equal(pixels_of(ax), figures.tinted(tiny.image(name), mask))


def test_bars_are_as_high_as_the_scores_and_the_lines_are_their_means():
    scores = {"trained": {"bus": 0.8, "cat": 0.6}, "never": {"bus": 0.5, "cat": 0.1}}
    (axes,) = figures.seen_bars(scores).axes
    assert [[b.get_height() for b in bars] for bars in axes.containers] == [[0.8, 0.6], [0.5, 0.1]]
    assert [line.get_ydata()[0] for line in axes.lines] == pytest.approx([0.7, 0.3])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["bus", "cat"]
    tones = [bars[0].get_facecolor()[:3] for bars in axes.containers]
    for tone, colour in zip(tones, (BASE_COLOUR, NOVEL_COLOUR), strict=True):
        np.testing.assert_allclose(255 * np.array(tone), rgb(colour))
