import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from ltm_edu import equations, figures

TERMS = {"L_m": 2.0, "L_a": 1.0, "L_r": 1.0}
PULLS = {
    "T_e": {"L_m": 1.0, "L_a": 2.0, "L_r": 1.0},
    "T_f": {"L_m": 3.0, "L_a": 0.0, "L_r": 0.0},
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_losses_lie_on_their_pixels_and_void_is_masked():
    torch.manual_seed(0)
    truth = torch.zeros(9, 9)
    truth[2:6, 2:6], truth[0] = 1, 255
    each = torch.rand(9, 9).requires_grad_()
    axes = figures.loss_maps(torch.rand(3, 9, 9), truth, {"one": each, "two": 2 * each}).axes
    assert [ax.get_title() for ax in axes[1:3]] == ["one", "two"]
    for ax, factor in zip(axes[1:3], (1, 2), strict=True):
        values = ax.images[0].get_array()
        assert values.mask[0].all()
        assert not values.mask[1:].any()
        np.testing.assert_allclose(values[1:].data, factor * each.detach()[1:])
        assert ax.images[0].get_clim() == (0, 3)  # one scale for all


def test_both_forms_of_l_a_are_drawn_with_their_slopes():
    a, floor = torch.linspace(0.01, 1, 200), 0.3133
    forms = {"printed": -a.log(), "released": torch.nn.functional.softplus(1 - 2 * a)}
    loss, slope = figures.attention_loss_forms(a, forms, floor).axes
    for line, values in zip(loss.lines, forms.values(), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert list(loss.lines[2].get_ydata()) == [floor, floor]
    assert "0.3133" in [t.get_text() for t in loss.texts]
    inner = slice(40, -1)  # differences are coarse where the curve bends most
    printed, released = (line.get_ydata()[inner] for line in slope.lines)
    np.testing.assert_allclose(printed, 1 / a[inner], rtol=0.01)
    np.testing.assert_allclose(released, 2 * torch.sigmoid(1 - 2 * a[inner]), rtol=0.01)
    labels = [t.get_text() for t in loss.get_legend().get_texts()]
    assert labels == ["printed", "released"]


def test_shares_are_of_the_weighted_terms():
    shares = figures.shares(TERMS, PULLS, (1, 2, 0))
    assert shares["value of L"] == {"L_m": 0.5, "L_a": 0.5, "L_r": 0}
    assert shares["T_e"] == pytest.approx({"L_m": 0.2, "L_a": 0.8, "L_r": 0})
    assert shares["T_f"] == {"L_m": 1, "L_a": 0, "L_r": 0}
    assert list(shares) == ["value of L", "T_e", "T_f"]


def test_without_its_loss_nothing_pulls_on_a_module():
    shares = figures.shares(TERMS, PULLS, (0, 1, 1))
    assert not any(shares["T_f"].values())
    assert sum(shares["T_e"].values()) == pytest.approx(1)


def test_shares_need_a_lambda_for_each_loss():
    with pytest.raises(ValueError, match="zip"):
        figures.shares(TERMS, PULLS, (1, 1))


def test_bars_are_as_wide_as_the_shares_and_as_coloured_as_the_losses():
    settings = {"even": (1, 1, 1), "no L_m": (0, 1, 0.01)}
    parts = {title: figures.shares(TERMS, PULLS, w) for title, w in settings.items()}
    axes = figures.loss_shares(parts).axes
    assert [ax.get_title() for ax in axes] == list(settings)
    for ax, shares in zip(axes, parts.values(), strict=True):
        expected = [share for row in shares.values() for share in row.values()]
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(expected)
        colours = [to_hex(bar.get_facecolor()).upper() for bar in ax.patches[:3]]
        assert colours == list(figures.LOSS_COLOURS.values())
        ends = [bar.get_x() + bar.get_width() for bar in ax.patches[2::3]]
        assert ends == pytest.approx([sum(row.values()) for row in shares.values()])
    *wide, empty = (t.get_text() for t in axes[1].texts)
    assert len(wide) == 2  # L_r is too narrow for a label
    assert all("$L_a$" in text for text in wide)
    assert empty == "nothing pulls"  # on T_f
    assert axes[0].yaxis_inverted()


def test_each_run_has_a_curve_and_the_axis_starts_at_zero():
    (axes,) = figures.loss_curves({"falls": [3.0, 2.0, 1.0], "stands": [3.0, 3.0]}, "loss").axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[3, 2, 1], [3, 3]]
    assert list(axes.lines[0].get_xdata()) == [0, 1, 2]
    assert axes.get_ylim() == pytest.approx((0, 3.3))
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["falls", "stands"]


def test_the_marked_floor_is_the_loss_of_a_perfect_map():
    perfect, truth = torch.eye(2)[None, None], torch.eye(2)[None]
    floor = equations.attention_loss(perfect, truth, form="released").item()
    a = torch.linspace(0.1, 1, 5)
    texts = figures.attention_loss_forms(a, {"printed": -a.log()}, floor).axes[0].texts
    assert [t.get_text() for t in texts] == ["0.3133"]
