import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ltm_edu import figures
from ltm_edu.figures.results import MISSED, RIGHT, WRONG

SCORES = {"disc": 0.25, "wall": 0.75, "mast": 0.0}


def count(pixels, colour):
    """How many pixels have a colour."""
    expected = (255 * np.array(to_rgb(colour))).round()
    return int((abs(pixels.astype(float) - expected).max(axis=2) < 2).sum())


def answered(iou=0.5, name="wall"):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (60, 40, 3)).astype(np.uint8)
    truth = np.zeros((60, 40), np.uint8)
    truth[10:30, 10:30] = 1
    return figures.Answered(name, picture, truth, picture, truth, truth == 1, iou)


def test_bars_are_as_long_as_the_scores():
    lengths = {}
    for iou in (0.25, 0.5, 1.0):
        lengths[iou] = count(figures.class_bars({"wall": iou}), figures.OKABE_ITO["blue"])
    assert lengths[0.5] == pytest.approx(2 * lengths[0.25], rel=0.03)
    assert lengths[1.0] == pytest.approx(2 * lengths[0.5], rel=0.03)


def test_only_the_chosen_class_is_orange():
    orange = figures.OKABE_ITO["orange"]
    assert count(figures.class_bars(SCORES), orange) == 0
    chosen = figures.class_bars(SCORES, "wall")
    rows = np.flatnonzero((chosen == (255 * np.array(to_rgb(orange))).round()).all(2).any(1))
    assert rows.min() > 30
    assert rows.max() < 64  # the second of three bars


def test_a_page_shows_bars_support_and_answer():
    page = figures.Page(SCORES, answered())
    figure = figures.results_pages({"first": page, "second": page})
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["first", "support: wall", "answer, IoU 0.50",
                      "second", "support: wall", "answer, IoU 0.50"]  # fmt: skip
    bars = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(bars, figures.class_bars(SCORES, "wall"))
    plt.close(figure)


def test_right_missed_and_wrong_pixels_have_their_colours():
    white = np.full((4, 6, 3), 255, np.uint8)
    truth = np.zeros((4, 6), np.uint8)
    truth[:, :2], truth[:, 2] = 1, 255
    mask = np.zeros((4, 6), bool)
    mask[:2, :4] = True
    pixels = figures.judged(white, mask, truth).astype(float)
    for (y, x), colour in {(0, 0): RIGHT, (3, 0): MISSED, (0, 3): WRONG}.items():
        expected = 255 * (0.25 + 0.75 * np.array(to_rgb(colour)))
        np.testing.assert_allclose(pixels[y, x], expected, atol=1)
    assert (pixels[:, 2] == 70).all()  # void, whatever the answer
    assert (pixels[3, 5] == 255).all()  # background, rightly not marked


def test_each_reading_has_a_panel_with_its_score():
    e = answered()
    readings = {"not counted": (e.truth, 0.5), "as object": (e.truth, 0.4)}
    figure = figures.border_readings(e.query, e.mask, readings)
    assert [ax.get_title() for ax in figure.axes] == [
        "not counted: IoU 0.50",
        "as object: IoU 0.40",
    ]
    plt.close(figure)
