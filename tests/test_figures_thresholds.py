import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from ltm_edu import equations, figures

SIDE, CELLS = 33, 3


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def scene():
    """A query, a map whose values rise from left to right, and an object in the right half."""
    torch.manual_seed(0)
    truth = torch.zeros(SIDE, SIDE)
    truth[8:25, 17:33] = 1
    truth[:4] = 255
    return torch.rand(3, SIDE, SIDE), torch.linspace(0, 1, SIDE).expand(SIDE, SIDE), truth


def test_raw_maps_share_one_scale_and_normalised_maps_another(scene):
    A = torch.stack([torch.linspace(0, 0.5, 9), torch.linspace(0.2, 0.3, 9)])
    A_hat = equations.normalize_attention(A)
    axes = figures.raw_and_normalised({"far": scene[0], "near": scene[0]}, A, A_hat).axes
    pictures, raw, normalised = axes[0:2], axes[3:5], axes[6:8]
    assert [ax.get_title() for ax in pictures] == ["far", "near"]
    for k in (0, 1):
        assert raw[k].images[0].get_clim() == (-1, 1)
        assert normalised[k].images[0].get_clim() == (0, 1)
        np.testing.assert_array_equal(raw[k].images[0].get_array(), A[k].reshape(CELLS, CELLS))
        np.testing.assert_array_equal(
            normalised[k].images[0].get_array(), A_hat[k].reshape(CELLS, CELLS)
        )
    assert [ax.get_title().split()[-1] for ax in raw] == ["0.50", "0.30"]
    assert [ax.get_title().split()[-1] for ax in normalised] == ["1.00", "1.00"]


def test_the_curve_stands_beside_the_masks_of_some_thresholds(scene):
    thresholds, scores, other = [0, 0.5, 1], [0.2, 0.7, 0], [0.1, 0.3, 0]
    figure = figures.threshold_masks(*scene, thresholds, scores, (0.25, 0.75), [other])
    curve, *masks = figure.axes
    grey, ours, *chosen = curve.lines
    assert list(ours.get_ydata()) == scores
    assert list(grey.get_ydata()) == other
    assert grey.get_color() != ours.get_color()
    assert [line.get_xdata()[0] for line in chosen] == [0.25, 0.75]
    assert "others" in curve.get_title()
    query, A_hat, truth = scene
    for ax, t in zip(masks, (0.25, 0.75), strict=True):
        expected = figures.cut(query, A_hat, t, truth)
        np.testing.assert_array_equal(ax.images[0].get_array(), expected)
        assert f"{t:g}" in ax.get_title()
    alone = figures.threshold_masks(*scene, thresholds, scores, (0.5,)).axes[0]
    assert len(alone.lines) == 2
    assert "others" not in alone.get_title()


def test_a_cut_tints_pixels_above_the_threshold_and_fades_the_rest(scene):
    query, A_hat, _ = scene
    pixels = figures.cut(query, A_hat, 0.5).astype(int)
    plain = figures.as_uint8(query).astype(int)
    left, right = pixels[:, :14], pixels[:, 20:]
    assert (left.max(axis=2) - left.min(axis=2)).max() == 0  # grey
    orange = 255 * np.array(to_rgb(figures.OKABE_ITO["orange"]))
    before, after = (np.abs(x[:, 20:] - orange).mean() for x in (plain, pixels))
    assert after < before
    assert (right.max(axis=2) > right.min(axis=2)).all()


def test_a_cut_outlines_only_the_object(scene):
    query, A_hat, truth = scene
    pixels = figures.cut(query, A_hat, 0.5, truth)
    black = (pixels == 0).all(axis=2)
    np.testing.assert_array_equal(black, figures.outline(truth))
    assert black[8, 17:].all()
    assert not black[:8].any()  # void has none


def test_a_threshold_of_one_leaves_nothing(scene):
    query, A_hat, _ = scene
    nothing = figures.cut(query, A_hat, 1.0).astype(int)
    assert (nothing.max(axis=2) == nothing.min(axis=2)).all()
