import numpy as np
import pytest
import torch
from seen import Screen, one_drawing

from ltm_edu import figures, widgets

SIDE = 225
GRIDS = {"the pixels": 225, "block 5": 29, "block 16": 8}
PICTURES = ("support, as colours", "query, as colours", "cosine with the support's object")


@pytest.fixture
def question():
    """A query, three depths at the course's size, and the query's mask."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    depths = {
        title: (rng.random((n, n, 3)), rng.random((n, n, 3)), 2 * torch.rand(n, n) - 1)
        for title, n in GRIDS.items()
    }
    truth = torch.zeros(SIDE, SIDE)
    truth[40:120, 40:120] = 1
    return torch.rand(3, SIDE, SIDE), depths, truth


def test_it_starts_at_the_last_depth_and_shows_what_the_figure_shows(question):
    query, depths, truth = question
    screen = Screen(widgets.stage_slider(*question))
    assert "block 16: a grid of 8 x 8" in screen.texts
    panels = figures.depth_panels(query, depths["block 16"], truth)
    for name, pixels in zip(PICTURES, panels, strict=True):
        np.testing.assert_array_equal(screen.pixels(name), pixels)


def test_another_depth_changes_every_picture_and_the_text(question):
    screen = Screen(widgets.stage_slider(*question))
    moments = []
    for k, (title, n) in enumerate([*GRIDS.items(), *GRIDS.items()][:4]):
        screen.slider("depth").value = k % 3
        moments.append(screen.seen())
        assert f"{title}: a grid of {n} x {n}" in screen.texts
    for name in PICTURES:
        assert len({pictures[name] for pictures, _ in moments}) == 3
    assert moments[3] == moments[0]


def test_the_slider_ends_at_the_last_depth(question):
    slider = Screen(widgets.stage_slider(*question)).slider("depth")
    assert (slider.min, slider.max, slider.value) == (0, 2, 2)
    slider.value = 7
    assert slider.value == 2


def test_a_depth_is_drawn_once(question):
    screen = Screen(widgets.stage_slider(*question))
    for k in (0, 1, 2):
        with one_drawing(screen):
            screen.slider("depth").value = k
