import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ltm_edu import figures
from ltm_edu.scores import IoUCounter


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def one():
    picture = np.random.default_rng(0).integers(0, 255, (40, 30, 3)).astype(np.uint8)
    truth = np.zeros((40, 30), np.uint8)
    truth[10:30, 5:20], truth[:5] = 1, 255
    return figures.Answered("disc", picture, truth, picture, truth, truth == 1, 1.0)


def test_each_episode_is_a_dot_and_each_score_a_line():
    axes = figures.episode_ious([0.2, 0.8], [100, 900], {"a": 0.5, "b": 0.6}).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[100, 0.2], [900, 0.8]]
    assert [line.get_ydata()[0] for line in axes.lines] == [0.5, 0.6]


def test_a_line_joins_the_scores_of_a_seed_and_a_bar_marks_each_mean():
    axes = figures.seed_dots({"a": [0.2, 0.4], "b": [0.5, 0.7]}).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines[:2]] == [[0.2, 0.5], [0.4, 0.7]]
    means = [c.get_segments()[0][0][1] for c in axes.collections]
    assert means == pytest.approx([0.3, 0.6])


def test_each_group_of_bars_has_its_panel():
    left, right = figures.named_bars({"x": {"m": 0.1, "n": 0.2}, "y": {"m": 0.3}}).axes
    assert [b.get_height() for b in left.patches] == [0.1, 0.2]
    assert [t.get_text() for t in right.get_xticklabels()] == ["m"]
    assert right.get_title() == "y"


def test_three_scores_are_those_of_the_counter():
    counter = IoUCounter()
    counter.add(np.array([[True, True, False]]), np.array([[1, 0, 0]], np.uint8), 2)
    assert figures.three_scores(counter) == {"mIoU": 0.5, "pooled fg": 0.5, "FB-IoU": 0.5}


def test_flattery_marks_the_choices_and_the_mean_gap():
    t, curves = [0, 0.5, 1], {"base": [0.1, 0.3, 0.0], "novel": [0.1, 0.2, 0.25]}
    left, right = figures.flattery(t, curves, {"base": 0.5, "novel": 1}, [0.1, 0.3]).axes
    assert [line.get_xdata()[0] for line in left.lines[1::2]] == [0.5, 1]
    assert right.lines[1].get_xdata()[0] == pytest.approx(0.2)


def test_a_perfect_answer_is_outlined_by_the_truth(one):
    support, answer = figures.answered_panels(one)
    assert not answer[figures.outline(one.truth)].any()
    np.testing.assert_array_equal(support, figures.tinted(one.support, one.support_mask))
    axes = figures.best_and_worst({"best": one, "worst": one}).axes
    assert [a.get_title() for a in axes[:2]] == ["best: disc", "worst: disc"]
    assert axes[2].get_title() == "answer, IoU 1.00"


def test_scores_can_be_tensors():
    figures.episode_ious(torch.tensor([0.1, 0.2]), torch.tensor([5, 6]), {"a": 0.1})
