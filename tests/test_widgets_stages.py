import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from ltm_edu import figures, widgets

pytest.importorskip("ipywidgets")

SIDE = 225
GRIDS = {"the pixels": 225, "block 5": 29, "block 16": 8}


@pytest.fixture
def pictures():
    """A query, its mask and three depths at the course's size."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    depths = {
        title: (rng.random((n, n, 3)), rng.random((n, n, 3)), 2 * torch.rand(n, n) - 1)
        for title, n in GRIDS.items()
    }
    truth = torch.zeros(SIDE, SIDE)
    truth[40:120, 40:120] = 1
    return torch.rand(3, SIDE, SIDE), depths, truth


class Stages:
    """The widget's parts by name."""

    def __init__(self, pictures):
        tools, panels = widgets.stage_slider(*pictures).children
        self.depth, self.said = tools.children
        self.images = [column.children[1] for column in panels.children]

    def seen(self):
        return tuple(i.value for i in self.images)


def test_it_starts_at_the_last_depth_and_shows_what_the_figure_shows(pictures):
    query, depths, truth = pictures
    stages = Stages(pictures)
    assert stages.said.value == "block 16: a grid of 8 x 8"
    wanted = figures.depth_panels(query, depths["block 16"], truth)
    for image, pixels in zip(stages.images, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image.value))), pixels)


def test_another_depth_changes_every_panel_and_the_words(pictures):
    stages = Stages(pictures)
    seen, said = [], []
    for k in (0, 1, 2, 0):
        stages.depth.value = k
        seen.append(stages.seen())
        said.append(stages.said.value)
    for panel in range(3):
        assert len({row[panel] for row in seen}) == 3
    assert said[:3] == [f"{title}: a grid of {n} x {n}" for title, n in GRIDS.items()]
    assert (seen[3], said[3]) == (seen[0], said[0])


def test_the_slider_ends_where_the_depths_end(pictures):
    stages = Stages(pictures)
    assert (stages.depth.min, stages.depth.max, stages.depth.value) == (0, 2, 2)
    stages.depth.value = 7
    assert stages.depth.value == 2


def test_a_move_is_drawn_in_time(pictures):
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    stages = Stages(pictures)
    taken = []
    for k in (0, 1, 2, 0, 1):
        start = time.process_time()
        stages.depth.value = k
        taken.append(time.process_time() - start)
    print(f"a move took {1000 * float(np.median(taken)):.0f} ms")
    assert np.median(taken) < 0.2
