import numpy as np
import pytest
import torch
from seen import Screen, one_drawing

from ltm_edu import figures, widgets

SIDE = 225
THRESHOLDS = [k / 20 for k in range(21)]
SCORES = [k / 20 if k < 17 else 0.1 for k in range(21)]  # the best, 0.80, at 0.8
MASK, CURVE = "mask; black: the truth", "IoU at each threshold"


@pytest.fixture
def question():
    torch.manual_seed(0)
    truth = torch.zeros(SIDE, SIDE)
    truth[40:120, 120:200] = 1
    return torch.rand(3, SIDE, SIDE), torch.linspace(0, 1, SIDE).expand(SIDE, SIDE), truth


def screen_of(question, **options):
    return Screen(widgets.threshold_slider(*question, THRESHOLDS, SCORES, **options))


def orange_bar(curve):
    """The left edge and the height of the orange bar."""
    rows, columns = (curve == (230, 159, 0)).all(axis=2).nonzero()
    return columns.min(), rows.max() - rows.min() + 1


def test_it_starts_at_the_requested_threshold_and_shows_what_the_figure_shows(question):
    query, A_hat, truth = question
    screen = screen_of(question)
    np.testing.assert_array_equal(screen.pixels(MASK), figures.cut(query, A_hat, 0.6, truth))
    assert "above 0.60: IoU 0.60; the best is 0.80" in screen.texts
    assert "above 0.80: IoU 0.80; the best is 0.80" in screen_of(question, start=0.8).texts


def test_every_move_changes_both_pictures_and_the_text(question):
    query, A_hat, truth = question
    screen = screen_of(question)
    pictures, texts = first = screen.seen()
    screen.slider("threshold").label = "0.20"
    assert all(screen.pictures[name] != pictures[name] for name in (MASK, CURVE))
    assert screen.texts != texts
    np.testing.assert_array_equal(screen.pixels(MASK), figures.cut(query, A_hat, 0.2, truth))
    screen.slider("threshold").label = "0.60"
    assert screen.seen() == first


def test_the_chosen_bar_is_orange_and_as_high_as_its_iou(question):
    screen = screen_of(question)
    lefts = []
    for label, iou in (("0.25", 0.25), ("0.50", 0.5), ("0.75", 0.75)):
        screen.slider("threshold").label = label
        left, height = orange_bar(screen.pixels(CURVE))
        lefts.append(left)
        assert abs(height - iou * 276) <= 2  # 276 pixels are an IoU of 1
    assert lefts[1] - lefts[0] == pytest.approx(lefts[2] - lefts[1], abs=1)
    assert lefts[0] < lefts[1]


def test_a_threshold_is_drawn_once(question):
    screen = screen_of(question)
    for k in range(0, 20, 2):
        with one_drawing(screen):
            screen.slider("threshold").label = f"{k / 20:.2f}"
