import io
import time

import numpy as np
import pytest
from PIL import Image

from ltm_edu import figures, widgets

pytest.importorskip("ipywidgets")


@pytest.fixture
def episodes():
    """Five answers of two classes, in no order."""
    rng = np.random.default_rng(0)
    made = []
    for iou, name in ((0.3, "disc"), (0.9, "wall"), (0.1, "disc"), (0.6, "wall"), (0.7, "disc")):
        picture = rng.integers(0, 255, (300, 260, 3)).astype(np.uint8)
        truth = np.zeros((300, 260), np.uint8)
        truth[60:200, 50:180] = 1
        mask = np.zeros((300, 260), bool)
        mask[60 : 60 + round(140 * iou), 50:180] = True
        made.append(figures.Answered(name, picture, truth, picture[::-1], truth, mask, iou))
    return made


def parts(box):
    tools, panels, said = box.children
    return *tools.children, [column.children[1] for column in panels.children], said


def test_ranks_go_from_the_best_to_the_worst(episodes):
    _, slider, panels, said = parts(widgets.episode_browser(episodes))
    lines, seen = [], set()
    for k in range(1, 6):
        slider.value = k
        lines.append(said.value)
        seen.add(tuple(p.value for p in panels))
    assert lines[0] == "1 of 5: wall, IoU 0.90"
    assert lines[-1] == "5 of 5: disc, IoU 0.10"
    assert len(seen) == 5


def test_a_class_lists_its_own_and_starts_at_its_best(episodes):
    menu, slider, _, said = parts(widgets.episode_browser(episodes))
    slider.value = 5
    menu.value = "disc"
    assert (slider.value, slider.max) == (1, 3)
    assert said.value == "1 of 3: disc, IoU 0.70"
    slider.value = 3
    menu.value = "wall"
    assert said.value == "1 of 2: wall, IoU 0.90"
    menu.value = "all classes"
    assert said.value == "1 of 5: wall, IoU 0.90"


def test_it_shows_what_the_figure_shows(episodes):
    _, slider, panels, _ = parts(widgets.episode_browser(episodes))
    slider.value = 2
    wanted = figures.answered_panels(episodes[4])
    for panel, pixels in zip(panels, wanted, strict=True):
        drawn = np.asarray(Image.open(io.BytesIO(panel.value)))
        np.testing.assert_array_equal(drawn, pixels)


def test_an_episode_is_drawn_in_time(episodes):
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    _, slider, _, _ = parts(widgets.episode_browser(episodes))
    taken = []
    for k in (2, 3, 4, 5, 1):
        start = time.process_time()
        slider.value = k
        taken.append(time.process_time() - start)
    print(f"an episode took {1000 * float(np.median(taken)):.0f} ms")
    assert np.median(taken) < 0.2
