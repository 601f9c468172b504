import numpy as np
import pytest
import torch
from seen import Screen, one_drawing

from ltm_edu import figures, widgets

SIDE, CELLS = 225, 15
QUERY, ROW = "query", "its row of R, over the support"


@pytest.fixture
def question():
    """Two pictures, R on a grid of 15 x 15, and the support's mask."""
    torch.manual_seed(0)
    mask = torch.zeros(SIDE, SIDE)
    mask[60:170, 60:170] = 1
    return torch.rand(3, SIDE, SIDE), torch.rand(3, SIDE, SIDE), torch.rand(225, 225), mask


def test_a_slider_changes_both_pictures_and_the_text(question):
    screen = Screen(widgets.pick_pixel(*question, start=(0, 0)))
    moments = set()
    for y in range(1, 6):
        with one_drawing(screen):
            screen.slider("row y").value = y
        moments.add(tuple(screen.pictures.values()))
        assert f"query pixel ({y}, 0) is row {15 * y} of R" in screen.text
    assert len(moments) == 5


def test_arrows_move_by_one_and_stop_at_the_border(question):
    screen = Screen(widgets.pick_pixel(*question, start=(5, 0)))
    for arrow, pixel in (("→", (5, 1)), ("↓", (6, 1)), ("←", (6, 0)), ("←", (6, 0)), ("↑", (5, 0))):
        screen.press(arrow)
        assert (screen.slider("row y").value, screen.slider("column x").value) == pixel
        assert f"query pixel {pixel} is row {15 * pixel[0] + pixel[1]} of R" in screen.text


def test_it_shows_the_row_that_the_figure_shows(question):
    query, support, R, mask = question
    screen = Screen(widgets.pick_pixel(*question, start=(2, 1)))
    values = R[31].reshape(CELLS, CELLS)
    np.testing.assert_array_equal(
        screen.pixels(ROW), figures.relation_overlay(support, values, mask)
    )
    frame = figures.marked(query, (2, 1), (CELLS, CELLS))
    np.testing.assert_array_equal(screen.pixels(QUERY), frame)
    assert f"its largest entry is {values.max():.2f}" in screen.text


def test_it_starts_in_the_middle_if_no_pixel_is_named(question):
    screen = Screen(widgets.pick_pixel(*question))
    assert "query pixel (7, 7) is row 112 of R" in screen.text
