import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from ltm_edu import figures, widgets

pytest.importorskip("ipywidgets")

SIDE = 129


@pytest.fixture
def question():
    torch.manual_seed(0)
    truth = torch.zeros(SIDE, SIDE)
    truth[40:90, 40:90] = 1
    frames = []
    for k, step in enumerate((0, 5, 20)):
        mask = np.zeros((SIDE, SIDE), bool)
        mask[30 + 5 * k : 90, 30 + 5 * k : 90] = True
        frames.append(figures.Frame(step, torch.rand(9, 9), mask, 0.2 * k))
    return torch.rand(3, SIDE, SIDE), truth, frames


def parts(box):
    slider, panels, said = box.children
    return slider, [column.children[1] for column in panels.children], said


def test_each_step_changes_both_panels_and_the_line(question):
    slider, panels, said = parts(widgets.training_frames(*question))
    seen = []
    for k in (0, 1, 2, 0):
        slider.index = k
        seen.append((*(p.value for p in panels), said.value))
    for part in range(3):
        assert len({row[part] for row in seen}) == 3
    assert seen[0] == seen[3]
    assert seen[1][2] == "after 5 updates: IoU 0.20; the best is 0.40"


def test_it_shows_what_the_figure_shows(question):
    query, truth, frames = question
    slider, panels, _ = parts(widgets.training_frames(*question))
    slider.index = 2
    drawn = [np.asarray(Image.open(io.BytesIO(p.value))) for p in panels]
    np.testing.assert_array_equal(drawn[1], figures.answer_on(query, frames[2].mask, truth))
    assert drawn[0].shape == drawn[1].shape == (SIDE, SIDE, 3)
    assert [label for label, _ in slider.options] == ["0", "5", "20"]


def test_a_step_is_drawn_in_time(question):
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    slider, _, _ = parts(widgets.training_frames(*question))
    taken = []
    for k in (1, 2, 0, 1, 2):
        start = time.process_time()
        slider.index = k
        taken.append(time.process_time() - start)
    print(f"a step took {1000 * float(np.median(taken)):.0f} ms")
    assert np.median(taken) < 0.2
