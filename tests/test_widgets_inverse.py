import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from ltm_edu import figures, widgets

pytest.importorskip("ipywidgets")

SIDE, CELLS, THRESHOLD = 225, 15, 0.6


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


class Painter:
    """The widget's parts by name."""

    def __init__(self, question):
        box = widgets.paint_mask(*question, threshold=THRESHOLD)
        tools, starts, panels, self.said = box.children
        self.value, self.brush = tools.children
        self.presets = {b.description: b for b in starts.children[1:]}
        canvas, *others = (panel.children[1] for panel in panels.children)
        picture, over = canvas.children
        self.images, self.cells = [picture, *others], over.children

    def click(self, y, x):
        self.cells[y * CELLS + x].click()

    def seen(self):
        return tuple(i.value for i in self.images)

    def pixels(self, k):
        return np.asarray(Image.open(io.BytesIO(self.images[k].value)))


def test_it_starts_with_the_first_mask_and_shows_what_the_figures_show(question):
    support, query, R, masks, truth = question
    painter = Painter(question)
    _, answer = figures.answer_of_mask(R, masks["block"], (SIDE, SIDE), THRESHOLD)
    np.testing.assert_array_equal(painter.pixels(0), figures.painted(support, masks["block"]))
    np.testing.assert_array_equal(painter.pixels(3), figures.tinted(query, answer))
    assert painter.pixels(2).shape == (SIDE, SIDE, 3)
    assert "25 cells painted" in painter.said.value
    assert f"IoU {figures.iou(answer, truth):.2f}" in painter.said.value


def test_a_click_paints_its_cell_and_erasing_takes_it_back(question):
    painter = Painter(question)
    before, text = painter.seen(), painter.said.value
    painter.brush.value = 0
    painter.click(12, 13)
    assert "26 cells painted" in painter.said.value
    changed = (painter.pixels(0) != np.asarray(Image.open(io.BytesIO(before[0])))).any(axis=2)
    rows, columns = changed.nonzero()
    assert (rows.min(), rows.max()) == (12 * 16 - 8, 12 * 16 + 7)
    assert (columns.min(), columns.max()) == (13 * 16 - 8, 13 * 16 + 7)
    assert all(a != b for a, b in zip(before[:3], painter.seen()[:3], strict=True))
    painter.value.value = 0.0
    painter.click(12, 13)
    assert painter.seen() == before
    assert painter.said.value == text


def test_the_wide_brush_stops_at_the_border(question):
    painter = Painter(question)
    painter.presets["nothing"].click()
    painter.click(0, 0)
    assert "4 cells painted, G G^T = 4.00" in painter.said.value
    painter.value.value = 0.5
    painter.click(14, 7)
    assert "10 cells painted, G G^T = 5.50" in painter.said.value


def test_nothing_is_safe_and_the_buttons_bring_masks_back(question):
    _, query, _, masks, _ = question
    given = masks["block"].clone()
    painter = Painter(question)
    start = painter.seen()
    painter.presets["nothing"].click()
    assert "zeros; IoU 0.00" in painter.said.value
    np.testing.assert_array_equal(painter.pixels(3), figures.tinted(query, np.zeros((SIDE, SIDE))))
    painter.presets["corner"].click()
    painter.click(7, 7)
    painter.presets["everything"].click()
    assert "225 cells painted" in painter.said.value
    painter.presets["block"].click()
    assert painter.seen() == start
    assert torch.equal(masks["block"], given)  # painting works on a copy


def test_the_buttons_lie_on_the_cells_that_are_drawn(question):
    """Tracks of the button grid, in pixels of the picture: half a cell at either edge."""
    box = widgets.paint_mask(*question)
    picture, over = box.children[2].children[0].children[1].children
    tracks = over.layout.grid_template_columns
    assert tracks.split(" minmax")[0] == "minmax(0, 8fr)"
    assert [int(t.split()[1][:-3]) for t in tracks.split("minmax(")[1:]] == [8, *[16] * 13, 9]
    assert picture.layout.grid_area == over.layout.grid_area
    assert (picture.layout.width, picture.layout.height) == (over.layout.width, over.layout.height)
    assert over.children[17].tooltip == "cell (1, 2)"


def test_a_click_is_drawn_in_time(question):
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    painter = Painter(question)
    taken = []
    for k in range(9):
        start = time.process_time()
        painter.click(k, 14 - k)
        taken.append(time.process_time() - start)
    print(f"a click took {1000 * float(np.median(taken)):.0f} ms")
    assert np.median(taken) < 0.2
