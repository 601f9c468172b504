import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from ltm_edu import figures, widgets

pytest.importorskip("ipywidgets")

SIDE = 225
THRESHOLDS = [k / 20 for k in range(21)]
SCORES = [k / 20 if k < 17 else 0.1 for k in range(21)]  # the best, 0.80, at 0.8


@pytest.fixture
def question():
    torch.manual_seed(0)
    truth = torch.zeros(SIDE, SIDE)
    truth[40:120, 120:200] = 1
    return torch.rand(3, SIDE, SIDE), torch.linspace(0, 1, SIDE).expand(SIDE, SIDE), truth


class Slider:
    """The widget's parts by name."""

    def __init__(self, question, **options):
        box = widgets.threshold_slider(*question, THRESHOLDS, SCORES, **options)
        self.slider, panels, self.said = box.children
        self.picture, self.curve = panels.children

    def seen(self):
        return self.picture.value, self.curve.value, self.said.value


def pixels(image):
    return np.asarray(Image.open(io.BytesIO(image.value))).astype(int)


def orange_bar(curve):
    """Columns and height of the bar that is drawn in orange."""
    rows, columns = (pixels(curve) == (230, 159, 0)).all(axis=2).nonzero()
    return columns.min(), columns.max(), rows.max() - rows.min() + 1


def test_it_starts_where_it_is_told_and_shows_what_the_figures_show(question):
    query, on_image, truth = question
    widget = Slider(question)
    np.testing.assert_array_equal(
        pixels(widget.picture), figures.cut(query, on_image, 0.6, truth).astype(int)
    )
    assert widget.said.value == "above 0.60: IoU 0.60; the best is 0.80"
    assert Slider(question, start=0.8).said.value.startswith("above 0.80: IoU 0.80")


def test_every_move_redraws_picture_curve_and_text(question):
    widget = Slider(question)
    first = widget.seen()
    widget.slider.value = 4
    assert all(a != b for a, b in zip(first, widget.seen(), strict=True))
    np.testing.assert_array_equal(
        pixels(widget.picture), figures.cut(question[0], question[1], 0.2, question[2]).astype(int)
    )
    widget.slider.value = 12
    assert widget.seen() == first


def test_the_chosen_bar_is_orange_and_as_high_as_its_iou(question):
    widget = Slider(question)
    lefts = []
    for k in (5, 10, 15):
        widget.slider.value = k
        left, _, height = orange_bar(widget.curve)
        lefts.append(left)
        assert abs(height - SCORES[k] * 276) <= 2  # 276 pixels are an IoU of 1
    assert lefts[1] - lefts[0] == pytest.approx(lefts[2] - lefts[1], abs=1)
    assert lefts[0] < lefts[1]


def test_a_move_is_drawn_in_time(question):
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    widget = Slider(question)
    taken = []
    for k in range(0, 20, 2):
        start = time.process_time()
        widget.slider.value = k
        taken.append(time.process_time() - start)
    print(f"a move took {1000 * float(np.median(taken)):.0f} ms")
    assert np.median(taken) < 0.2
