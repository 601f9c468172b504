import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from helpers import CENTRED

from ltm_edu import figures

SIDE = 33


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def history():
    records = [{"step": s, "L": 3.0 / s, "L_m": 1 / s, "L_a": 1.0, "L_r": 0.1} for s in range(1, 7)]
    records[2]["held_out_miou"], records[5]["held_out_miou"] = 0.3, 0.2
    return records


@pytest.fixture
def question():
    truth = torch.zeros(SIDE, SIDE)
    truth[8:25, 8:25], truth[:4] = 1, 255
    return torch.rand(3, SIDE, SIDE), truth


def frames(*steps):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[8:25, 8:25] = True
    return [figures.Frame(s, torch.eye(3), mask, 1.0) for s in steps]


def test_smoothing_keeps_a_line_and_its_length():
    line = np.arange(20.0)
    np.testing.assert_allclose(figures.smoothed(line, 5)[2:-2], line[2:-2])
    assert figures.smoothed([1.0, 2.0], 9).tolist() == [1.5, 1.5]


def test_curves_show_every_loss_and_every_check(history):
    left, right = figures.learning_curves(history, best_step=3).axes
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["$L_m$", "$L_a$", "$L_r$"]
    np.testing.assert_allclose(left.lines[0].get_ydata(), [r["L_m"] for r in history])
    assert right.lines[0].get_xdata().tolist() == [3, 6]
    assert right.lines[1].get_xdata() == [3, 3]
    assert len(figures.learning_curves(history).axes[1].lines) == 1


def test_the_legend_says_the_weight_of_a_loss(history):
    left = figures.learning_curves(history, lambdas={"L_m": 1.0, "L_r": 10}).axes[0]
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["$L_m$", "$L_a$", "10 $L_r$"]
    np.testing.assert_allclose(left.lines[4].get_ydata(), [1.0] * 6)


def test_the_log_of_a_real_run_can_be_drawn(trained):
    left, right = figures.learning_curves(trained.fitted.history, trained.fitted.best_step).axes
    assert len(left.lines[0].get_xdata()) == 40
    assert trained.fitted.best_step in right.lines[0].get_xdata()
    assert trained.model.config.image_size == CENTRED


def test_frames_are_titled_with_their_steps(question):
    axes = figures.training_frames(*question, frames(0, 7)).axes
    titles = [a.get_title() for a in axes]
    assert titles[:2] == ["before training", "after 7 updates"]
    assert titles[2:] == ["answer, IoU 1.00"] * 2


def test_the_truth_is_outlined_in_black_on_the_answer(question):
    query, truth = question
    pixels = figures.answer_on(query, np.zeros((SIDE, SIDE), bool), truth)
    border = figures.outline(truth)
    assert not pixels[border].any()
    assert pixels[~border].any(axis=1).all()


def test_a_run_that_leaves_a_loss_out_has_no_line_of_it(history):
    without = [{**record, "L_r": 0.0} for record in history]
    panels = figures.run_curves({"all": history, "no $L_r$": without}).axes
    assert [len(a.lines) for a in panels] == [2, 2, 1]


def test_bars_of_runs_are_as_high_as_the_mean_of_their_seeds():
    scores = {"all": [0.5, 0.7], "none": [0.1, 0.2]}
    axes = figures.scored_runs(scores, {"floor": 0.2}).axes[0]
    assert np.allclose([bar.get_height() for bar in axes.patches], [0.6, 0.15])
    assert [text.get_text() for text in axes.texts] == ["0.600", "0.150"]
    first, second, floor = axes.lines
    assert list(first.get_ydata()) == [0.5, 0.1]  # a line joins the runs of one seed
    assert list(second.get_ydata()) == [0.7, 0.2]
    assert floor.get_ydata() == [0.2, 0.2]
