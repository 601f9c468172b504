import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ltm_edu import equations, figures

SIDE, CELLS = 33, 3


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def question():
    torch.manual_seed(0)
    mask = torch.zeros(SIDE, SIDE)
    mask[:17] = 1
    g = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.25, 0.0])
    R = 2 * torch.rand(9, 9) - 1
    return (torch.rand(3, SIDE, SIDE), mask, torch.rand(3, SIDE, SIDE), R, g)


def panels(figure):
    """Stage to axes, by the number in the title."""
    by_title = {ax.get_title()[:2]: ax for ax in figure.get_axes()}
    return {stage: by_title[f"{k}."] for k, stage in enumerate(figures.STAGES, start=1)}


def pixels(ax):
    return np.asarray(ax.images[0].get_array())


def test_the_stages_hold_the_equations_values(question):
    *_, R, g = question
    M = torch.randn(2, SIDE, SIDE)
    drawn = panels(figures.journey(*question, M))
    A = equations.attention(R[None], g[None, None])
    A_hat = equations.normalize_attention(A).reshape(CELLS, CELLS)
    np.testing.assert_allclose(pixels(drawn["R"]), R)
    np.testing.assert_allclose(pixels(drawn["A"]), A.T)
    np.testing.assert_allclose(pixels(drawn["map"])[::16, ::16], A.reshape(CELLS, CELLS))
    np.testing.assert_allclose(pixels(drawn["A_hat"])[::16, ::16], A_hat)
    np.testing.assert_allclose(pixels(drawn["M"]), M.softmax(dim=0)[1])


def test_sorting_puts_the_objects_columns_first_and_loses_none(question):
    *_, R, g = question
    drawn = panels(figures.journey(*question, until="sorted"))
    order = figures.object_first(g)
    assert order.tolist() == [1, 4, 2, 7, 0, 3, 5, 6, 8]
    np.testing.assert_allclose(pixels(drawn["sorted"]), R[:, order])
    (edge,) = drawn["sorted"].lines
    assert edge.get_xdata()[0] == 3.5  # four columns have some of the object
    for stage, mask in {"R": g, "sorted": g[order]}.items():
        (strip,) = drawn[stage].child_axes
        np.testing.assert_allclose(pixels(strip)[0], mask)


@pytest.mark.parametrize("until", figures.STAGES[:-1])
def test_later_stages_are_empty_frames(question, until):
    drawn = panels(figures.journey(*question, until=until))
    last = figures.STAGES.index(until)
    assert [bool(ax.images) for ax in drawn.values()] == [k <= last for k in range(6)]


def test_one_stage_is_highlighted(question):
    drawn = panels(figures.journey(*question, until="A_hat", highlight="map"))
    widths = {stage: ax.spines["top"].get_linewidth() for stage, ax in drawn.items()}
    assert max(widths, key=widths.get) == "map"
    assert sorted(widths.values())[-2] < widths["map"]


def test_the_followed_pixel_is_at_its_row_and_at_its_place(question):
    drawn = panels(figures.journey(*question, until="A_hat", pixel=(2, 1)))
    for stage in ("R", "sorted", "A"):
        assert drawn[stage].lines[-1].get_ydata()[0] == 7
    for stage in ("map", "A_hat"):
        assert drawn[stage].lines[-1].get_xydata().tolist() == [[16, 32]]


def test_it_fits_a_laptops_screen(question):
    width, height = figures.journey(*question, until="R").get_size_inches() * 100
    assert width <= 1300
    assert height <= 640


def test_a_wrong_stage_and_a_missing_mask_are_named(question):
    with pytest.raises(ValueError, match="'end' is no stage"):
        figures.journey(*question, until="end")
    with pytest.raises(ValueError, match="M is missing"):
        figures.journey(*question)
