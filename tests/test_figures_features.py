import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ltm_edu import figures
from ltm_edu.geometry import mask_to_grid

SIDE, CELLS = 33, 3  # cells of stride 16, centred on pixels 0, 16 and 32


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def picture():
    torch.manual_seed(0)
    return torch.rand(3, SIDE, SIDE)


@pytest.fixture
def truth():
    mask = torch.zeros(SIDE, SIDE)
    mask[8:25, 8:25] = 1
    return mask


def pixels_of(axes):
    return np.asarray(axes.images[0].get_array())


def test_equal_features_get_equal_colours_in_every_map():
    torch.manual_seed(0)
    one, other = torch.randn(8, 5, 5), torch.randn(8, 4, 6)
    other[:, 2, 3] = one[:, 1, 4]
    first, second = figures.principal_colours([one, other])
    assert (first.shape, second.shape) == ((5, 5, 3), (4, 6, 3))
    np.testing.assert_allclose(first[1, 4], second[2, 3])
    both = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])
    assert (both.min(), both.max()) == (0, 1)
    assert len(np.unique(both.round(6))) > 100


def test_red_is_the_direction_in_which_features_vary_most():
    torch.manual_seed(0)
    steps = torch.linspace(0, 1, 25)
    # The third channel is large, but it is the same everywhere.
    features = torch.stack([0.1 * torch.rand(25), steps, torch.full((25,), 9.0)]).reshape(3, 5, 5)
    (colours,) = figures.principal_colours([features])
    red = colours[..., 0].flatten()
    assert (np.diff(red) >= 0).all()  # the largest entry of a component is positive
    assert np.corrcoef(red, steps)[0, 1] > 0.99


def test_a_constant_map_has_colours_too():
    (colours,) = figures.principal_colours([torch.ones(4, 2, 2)])
    assert np.isfinite(colours).all()


def test_a_pixel_that_does_not_matter_to_the_cell_is_white(picture):
    weight = torch.zeros(SIDE, SIDE)
    weight[20:, 20:] = 1
    first, second = figures.sight(picture, {"corner": weight}, (1, 1), (CELLS, CELLS)).axes
    assert (first.get_title(), second.get_title()) == ("picture, one cell framed", "corner")
    pixels = pixels_of(second)
    assert (pixels[0, 0] == 255).all()
    expected = (255 * picture[:, 30, 30]).round().numpy()
    np.testing.assert_allclose(pixels[30, 30], expected, atol=1)
    assert (pixels_of(first) != 255).any(axis=2)[:5].all()


def test_the_shares_are_written_into_their_cells(truth):
    G = mask_to_grid(truth[None, None], (CELLS, CELLS))[0, 0]
    G[0, 1] = 0.26
    full, soft, rounded = figures.mask_on_grid(truth, G, (1, 0)).axes
    np.testing.assert_array_equal(pixels_of(full), truth)
    np.testing.assert_allclose(pixels_of(soft), G)
    np.testing.assert_array_equal(pixels_of(rounded), [[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    written = {t.get_position(): t.get_text() for t in soft.texts}
    assert written[1, 1] == "1.0"
    assert written[1, 0] == ".3"
    assert len(written) == int((G >= 0.05).sum())


def test_the_frame_is_the_window_that_is_averaged(truth):
    full = figures.mask_on_grid(truth, torch.zeros(CELLS, CELLS), (1, 2)).axes[0]
    (frame,) = full.patches
    assert frame.get_xy() == (2 * 16 - 8 - 0.5, 16 - 8 - 0.5)  # pixel p covers p - .5 to p + .5
    assert (frame.get_width(), frame.get_height()) == (17, 17)


def test_cosine_maps_lie_over_the_query_and_say_where_the_object_is(picture, truth):
    query, cosines = picture.flip(1), torch.eye(CELLS)
    axes = figures.cosine_maps(picture, truth, query, {"mine": cosines}, truth).axes
    assert [a.get_title() for a in axes[:3]] == ["support", "query", "mine"]
    np.testing.assert_array_equal(
        pixels_of(axes[2]), figures.relation_overlay(query, cosines, truth)
    )
    changed = (pixels_of(axes[0]) != picture.permute(1, 2, 0).numpy()).any(axis=2)
    np.testing.assert_array_equal(changed, figures.outline(truth, 3))


def test_a_depth_has_each_cell_where_its_pixels_are(picture, truth):
    torch.manual_seed(0)
    colours = np.random.default_rng(0).random((CELLS, CELLS, 3))
    depth = (colours, colours[::-1], torch.rand(CELLS, CELLS))
    support, query, cosine = figures.depth_panels(picture, depth, truth)
    centres = (255 * colours).round()
    np.testing.assert_array_equal(support[::16, ::16], centres)
    np.testing.assert_array_equal(query[::16, ::16], centres[::-1])
    np.testing.assert_array_equal(cosine, figures.relation_overlay(picture, depth[2], truth))
    assert support.shape == query.shape == (SIDE, SIDE, 3)


def test_each_depth_is_a_column(picture):
    few = (np.zeros((2, 2, 3)), np.ones((2, 2, 3)), torch.zeros(2, 2))
    many = (np.ones((5, 5, 3)), np.zeros((5, 5, 3)), torch.ones(5, 5))
    axes = figures.depths(picture, {"coarse": few, "fine": many}).axes
    assert [a.get_title() for a in axes[:2]] == ["coarse", "fine"]
    assert [a.get_ylabel() for a in axes[0:6:2]][:2] == ["support, as colours", "query, as colours"]
    for column, depth in enumerate((few, many)):
        for row, expected in enumerate(figures.depth_panels(picture, depth)):
            np.testing.assert_array_equal(pixels_of(axes[2 * row + column]), expected)


def test_the_line_of_a_depth_is_the_mean_of_its_dots():
    scores = {"early": [0.2, 0.6, 0.7], "late": [0.9, 0.8, 1.0]}
    (axes,) = figures.depth_scores(scores).axes
    dots, lines = axes.collections[::2], axes.collections[1::2]
    for k, values in enumerate(scores.values()):
        points = np.asarray(dots[k].get_offsets())
        np.testing.assert_allclose(points[:, 1], values)
        assert (abs(points[:, 0] - k) < 0.5).all()
        (ends,) = lines[k].get_segments()
        np.testing.assert_allclose(ends[:, 1], np.mean(values))
    assert [t.get_text() for t in axes.get_xticklabels()] == list(scores)
