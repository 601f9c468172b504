import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ltm_edu import equations, figures

SIDE, CELLS = 33, 3  # cells of stride 16, centred on pixels 0, 16 and 32


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def pictures():
    torch.manual_seed(0)
    truth = torch.zeros(SIDE, SIDE)
    truth[8:25, 8:25] = 1
    return torch.rand(3, SIDE, SIDE), torch.rand(3, SIDE, SIDE), torch.rand(9, 9), truth


def test_the_line_of_least_squares_has_the_slope_of_lstsq():
    row, g = torch.rand(9), torch.tensor([0, 0, 1, 1, 0.5, 0, 0.25, 0, 1])
    left, right = figures.least_squares(row, {"soft": g}).axes
    slope = np.diff(left.lines[0].get_ydata())[0]
    assert slope == pytest.approx(torch.linalg.lstsq(g[:, None], row[:, None]).solution.item())
    a, error = right.lines[0].get_data()
    assert abs(a[error.argmin()] - slope) < 0.011  # the curve's step


def test_the_middle_panel_is_the_row_of_a_g(pictures):
    support, _, R, truth = pictures
    g = torch.eye(CELLS)
    a = equations.attention(R[None], g[None, None])[0, 4].item()
    whole, part, _ = figures.explained(support, R[4], a, g, truth).axes[:3]
    expected = figures.relation_overlay(support, a * g, truth)
    np.testing.assert_array_equal(part.images[0].get_array(), expected)
    assert (whole.images[0].get_array() != expected).any()


def test_maps_lie_on_the_picture_cell_by_cell(pictures):
    query, _, _, truth = pictures
    maps = {"one": torch.eye(CELLS), "minus": -0.1 * torch.eye(CELLS)}
    axes = figures.attention_maps(maps, truth, {"query": query}, difference="minus").axes
    assert [a.get_title() for a in axes[:3]] == ["query", "one", "minus"]
    values = np.asarray(axes[1].images[0].get_array())
    assert values.shape == (SIDE, SIDE)
    assert values[16, 16] == 1
    assert values[0, 16] == 0
    assert axes[1].images[0].get_clim() == (0, 1)
    assert axes[2].images[0].get_clim() == pytest.approx((-0.1, 0.1))
    assert figures.attention_maps({"one": torch.eye(CELLS)}).axes[0].images[0].get_array().size == 9


def test_an_answer_is_the_attention_above_the_threshold(pictures):
    _, _, R, _ = pictures
    g = torch.tensor([[1.0, 0.5, 0], [0, 0, 0], [0, 0, 0]])
    A_hat, answer = figures.answer_of_mask(R, g, (SIDE, SIDE), 0.5)
    by_hand = equations.normalize_attention((R @ g.flatten())[None] / 1.25)[0].reshape(3, 3)
    torch.testing.assert_close(A_hat, by_hand, atol=1e-4, rtol=0)
    np.testing.assert_array_equal(answer[::16, ::16], (A_hat > 0.5).numpy())  # cells' centres


def test_an_empty_mask_gives_an_empty_answer(pictures):
    support, query, R, truth = pictures
    empty = torch.zeros(CELLS, CELLS)
    A_hat, answer = figures.answer_of_mask(R, empty, (SIDE, SIDE), 0.5)
    assert not A_hat.any()
    assert not answer.any()
    figure = figures.painted_masks(support, query, R, {"nothing": empty}, truth)
    assert "IoU 0.00" in [a.get_title() for a in figure.axes][2]


def test_painting_changes_the_painted_cells_most(pictures):
    support = pictures[0]
    g = torch.zeros(CELLS, CELLS)
    plain = figures.painted(support, g).astype(int)
    g[1, 1] = 1
    changed = (figures.painted(support, g) != plain).any(axis=2)
    assert changed[8:24, 8:24].mean() > 0.99
    assert not changed[:8].any()
    assert not changed[24:].any()


def test_iou_does_not_count_void():
    answer = np.array([[True, True], [False, True]])
    assert figures.iou(answer, torch.tensor([[1, 0], [0, 255]])) == 0.5
