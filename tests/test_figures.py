import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ltm_edu import figures
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import Protocol
from ltm_edu.geometry import mask_to_grid
from ltm_edu.scores import Results, Score

SIDE = 33  # three cells of stride 16, centred on pixels 0, 16 and 32


@pytest.fixture
def episode():
    """A picture pair with R on a grid of three by three, and the support's mask."""
    mask = torch.zeros(SIDE, SIDE)
    mask[8:25, 8:25] = 1
    return torch.rand(3, SIDE, SIDE), torch.rand(3, SIDE, SIDE), torch.rand(9, 9), mask


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def relation_figures(episode):
    query, support, R, mask = episode
    G = torch.tensor([0.0, 0, 0, 1, 1, 0, 0.5, 0, 0])
    return [
        figures.relation_rows(query, support, R, [(0, 0), (2, 1)], mask, names=("bus", "rest")),
        figures.relation_blocks({"R": R, "R_truth": torch.outer(G, G)}, G, G),
        figures.index_order(),
        figures.best_matches(support, R[0].reshape(3, 3), {"dot product": R, "cosine": R}),
        figures.side_by_side({"query": query, "support": support}, {"support": mask}),
    ]


def test_figures_neither_change_nor_use_the_settings_of_the_reader(episode):
    before = dict(plt.rcParams)
    sizes = [(f.get_size_inches().tolist(), f.dpi, len(f.axes)) for f in relation_figures(episode)]
    assert dict(plt.rcParams) == before
    with plt.rc_context({"figure.dpi": 37, "figure.figsize": (1, 1)}):
        others = relation_figures(episode)
    assert all(isinstance(f, Figure) for f in others)
    assert [(f.get_size_inches().tolist(), f.dpi, len(f.axes)) for f in others] == sizes


def test_a_map_is_enlarged_to_the_pixels_that_mask_to_grid_averages():
    on_grid = torch.eye(3)
    on_image = torch.from_numpy(figures.enlarged(on_grid, (SIDE, SIDE)))
    torch.testing.assert_close(mask_to_grid(on_image[None, None], (3, 3))[0, 0].round(), on_grid)


def test_cells_that_are_not_centred_divide_the_picture_evenly():
    assert figures.cell_of_pixel(8, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_outline_lies_inside_the_mask_and_outside_of_void(episode):
    mask = episode[3].clone()
    mask[20:] = 255
    border = figures.outline(mask)
    assert border.any()
    assert not border[mask != 1].any()


def test_the_colours_of_relations_become_darker_on_both_sides_of_white_at_zero():
    light = figures.R_MAP(np.linspace(0, 1, 101))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert light[50] == pytest.approx(1, abs=0.02)
    assert (np.diff(light[:51]) > 0).all()
    assert (np.diff(light[50:]) < 0).all()


# Episodes -----------------------------------------------------------------------------------------


def episode_figures(tiny: VocFolder) -> dict[str, Figure]:
    query, support = tiny.image("val_disc_0"), tiny.image("val_disc_1")
    truth, mask = ((tiny.mask(n) == 1).astype(np.uint8) for n in ("val_disc_0", "val_disc_1"))
    answer = truth.astype(bool)
    pair = {"disc": (support, mask), "disc again": (support, mask)}
    scores = [
        Score(method, 0.5, 0.0, 0.5, 0.5, {"disc": 0.25, "square": 0.75})
        for method in ("local", "all foreground")
    ]
    A_hat, M = torch.rand(1, 1, 3, 3), torch.randn(1, 2, 48, 48)
    return {
        "episode": figures.episode(support, mask, query, truth, answer, name="disc"),
        "episode without an answer": figures.episode(support, mask, query),
        "answers": figures.answers(query, pair, [answer, ~answer]),
        "answers with scores": figures.answers([query] * 2, pair, [answer, ~answer], [truth] * 2),
        "steps": figures.steps(query, A_hat, M, truth),
        "contact_sheet": figures.contact_sheet(tiny, tiny.names("val")[:5], columns=3),
        "per_class_bars": figures.per_class_bars(
            Results("tiny", "val", 0, Protocol(), tuple(scores))
        ),
        "pipeline": figures.pipeline(),
    }


def test_each_panel_of_an_episode_has_a_title(tiny):
    for name, figure in episode_figures(tiny).items():
        panels = [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]
        assert isinstance(figure, Figure)
        assert all(ax.get_title() for ax in panels), name
        assert any(ax.get_title() for ax in figure.axes), name


def test_each_function_opens_one_figure_and_changes_no_setting(tiny):
    before = dict(plt.rcParams)
    all_figures = episode_figures(tiny)
    assert len(plt.get_fignums()) == len(all_figures)
    for figure in all_figures.values():
        plt.close(figure)
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


def test_an_episode_is_titled_with_the_score_of_its_answer(tiny):
    all_figures = episode_figures(tiny)
    assert all_figures["episode"].axes[3].get_title() == "prediction, IoU 1.00"
    assert len(all_figures["episode without an answer"].axes) == 2
    titles = [ax.get_title() for ax in all_figures["answers with scores"].axes]
    assert [t for t in titles if "answer" in t] == ["answer, IoU 1.00", "answer, IoU 0.00"]


def test_bars_are_labelled_and_as_high_as_their_scores(tiny):
    axes = episode_figures(tiny)["per_class_bars"].axes[0]
    assert axes.get_ylabel() == "IoU"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["disc", "square"]
    assert [round(bar.get_height(), 2) for bar in axes.patches] == [0.25, 0.75, 0.25, 0.75]


def test_the_pipeline_shows_every_equation_once_and_all_text_lies_inside():
    figure = figures.pipeline()
    texts = figure.axes[0].texts
    numbers = sorted(int(t.get_text()) for t in texts if t.get_text().isdigit())
    assert numbers == list(range(1, 12))
    renderer = figure.canvas.get_renderer()
    for t in texts:
        box = t.get_window_extent(renderer)
        assert box.x0 >= 0, t
        assert box.y0 >= 0, t
        assert box.x1 <= figure.bbox.x1, t
        assert box.y1 <= figure.bbox.y1, t


def test_outside_of_a_tint_everything_is_grey_void_too():
    picture = np.full((40, 40, 3), (200, 40, 40), np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30], mask[:5] = 1, 255
    pixels = figures.tinted(picture, mask).astype(int)
    outside = pixels[mask != 1]
    assert (outside == outside[0]).all()
    assert np.ptp(outside[0]) == 0
    assert np.ptp(pixels[20, 20]) > 50
    assert (picture == (200, 40, 40)).all()
