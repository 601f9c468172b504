import numpy as np
import pytest
import torch
from seen import Screen, one_drawing

from ltm_edu import figures, widgets

SIDE = 129
ATTENTION, ANSWER = "attention Â over the query", "answer; black: the truth"


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


def test_each_step_changes_both_pictures_and_the_text(question):
    screen = Screen(widgets.training_frames(*question))
    moments = []
    for step in ("0", "5", "20", "0"):
        screen.slider("updates").label = step
        moments.append(screen.seen())
    for name in (ATTENTION, ANSWER):
        assert len({pictures[name] for pictures, _ in moments}) == 3
    assert len({tuple(texts) for _, texts in moments}) == 3
    assert moments[0] == moments[3]
    assert "after 5 updates: IoU 0.20; the best is 0.40" in moments[1][1]


def test_it_shows_what_the_figure_shows(question):
    query, truth, frames = question
    screen = Screen(widgets.training_frames(*question))
    assert [label for label, _ in screen.slider("updates").options] == ["0", "5", "20"]
    screen.slider("updates").label = "20"
    answer = figures.answer_on(query, frames[2].mask, truth)
    np.testing.assert_array_equal(screen.pixels(ANSWER), answer)
    attention = figures.attention_pixels(frames[2].A_hat, (SIDE, SIDE))
    np.testing.assert_array_equal(screen.pixels(ATTENTION), attention)
    assert attention.shape == answer.shape == (SIDE, SIDE, 3)


def test_a_step_is_drawn_once(question):
    screen = Screen(widgets.training_frames(*question))
    for step in ("5", "20", "0"):
        with one_drawing(screen):
            screen.slider("updates").label = step
