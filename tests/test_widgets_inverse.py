import numpy as np
import pytest
import torch
from seen import Screen, decoded, one_drawing

from ltm_edu import figures, widgets
from ltm_edu.equations import generalized_inverse

SIDE, CELLS, THRESHOLD = 225, 15, 0.6
SUPPORT, INVERSE, ATTENTION, ANSWER = (
    "support: click to paint",
    "inverse G⁺",
    "attention Â over the query",
    "answer",
)


@pytest.fixture
def question():
    """Two pictures, a relation and masks at the course's size."""
    torch.manual_seed(0)
    truth = torch.zeros(SIDE, SIDE)
    truth[40:120, 40:120] = 1
    block = torch.zeros(CELLS, CELLS)
    block[3:8, 3:8] = 1
    R = torch.rand(CELLS**2, CELLS**2)
    R[block.flatten() == 1] += block.flatten()
    masks = {"block": block, "corner": block.flip(0)}
    return torch.rand(3, SIDE, SIDE), torch.rand(3, SIDE, SIDE), R / 2, masks, truth


@pytest.fixture
def screen(question):
    return Screen(widgets.paint_mask(*question, threshold=THRESHOLD))


def test_it_starts_with_the_first_mask_and_shows_what_the_figures_show(question, screen):
    support, query, R, masks, truth = question
    A_hat, answer = figures.answer_of_mask(R, masks["block"], (SIDE, SIDE), THRESHOLD)
    inverse = generalized_inverse(masks["block"][None, None])[0, :, 0].reshape(CELLS, CELLS)
    for name, expected in {
        SUPPORT: figures.painted(support, masks["block"]),
        INVERSE: figures.attention_pixels(inverse / inverse.max(), (SIDE, SIDE)),
        ATTENTION: figures.attention_pixels(A_hat, (SIDE, SIDE)),
        ANSWER: figures.tinted(query, answer),
    }.items():
        np.testing.assert_array_equal(screen.pixels(name), expected)
    assert "25 cells painted" in screen.text
    assert f"IoU {figures.iou(answer, truth):.2f}" in screen.text


def test_a_click_paints_its_cell_and_erasing_removes_it(screen):
    before = screen.seen()
    screen.press("1 cell")
    screen.press("cell (12, 13)")
    assert "26 cells painted" in screen.text
    changed = (screen.pixels(SUPPORT) != decoded(before[0][SUPPORT])).any(axis=2)
    rows, columns = changed.nonzero()
    assert (rows.min(), rows.max()) == (12 * 16 - 8, 12 * 16 + 7)
    assert (columns.min(), columns.max()) == (13 * 16 - 8, 13 * 16 + 7)
    for name in (SUPPORT, INVERSE, ATTENTION):
        assert screen.pictures[name] != before[0][name]
    screen.press("erase")
    screen.press("cell (12, 13)")
    assert screen.seen() == before


def test_the_wide_brush_stops_at_the_border(screen):
    screen.press("nothing")
    screen.press("cell (0, 0)")
    assert "4 cells painted, G G^T = 4.00" in screen.text
    screen.press("paint half")
    screen.press("cell (14, 7)")
    assert "10 cells painted, G G^T = 5.50" in screen.text


def test_an_empty_mask_is_safe_and_the_buttons_bring_masks_back(question):
    _, query, _, masks, _ = question
    original = masks["block"].clone()
    screen = Screen(widgets.paint_mask(*question, threshold=THRESHOLD))
    start = screen.seen()
    screen.press("nothing")
    assert "0 cells painted, G G^T = 0: the package sets G⁺ to 0; IoU 0.00" in screen.texts
    nothing = figures.tinted(query, np.zeros((SIDE, SIDE)))
    np.testing.assert_array_equal(screen.pixels(ANSWER), nothing)
    screen.press("corner")
    screen.press("cell (7, 7)")
    screen.press("everything")
    assert "225 cells painted" in screen.text
    screen.press("block")
    assert screen.seen() == start
    assert torch.equal(masks["block"], original)  # painting works on a copy


def test_each_button_covers_the_pixels_of_its_cell(screen):
    cells = figures.cell_of_pixel(SIDE, CELLS)
    for y, x in ((0, 0), (1, 2), (7, 7), (14, 0), (14, 14)):
        rows, columns = screen.pixels_below(f"cell ({y}, {x})", SUPPORT)
        assert np.arange(SIDE)[rows].tolist() == np.flatnonzero(cells == y).tolist()
        assert np.arange(SIDE)[columns].tolist() == np.flatnonzero(cells == x).tolist()


def test_a_click_is_drawn_once(screen):
    for k in range(9):
        with one_drawing(screen):
            screen.press(f"cell ({k}, {14 - k})")
