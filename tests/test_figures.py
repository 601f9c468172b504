import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ltm_edu import figures, widgets
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


def test_figures_leave_the_readers_settings_alone_and_ignore_them(episode):
    before = dict(plt.rcParams)
    sizes = [(f.get_size_inches().tolist(), f.dpi, len(f.axes)) for f in relation_figures(episode)]
    assert dict(plt.rcParams) == before
    with plt.rc_context({"figure.dpi": 37, "figure.figsize": (1, 1)}):
        others = relation_figures(episode)
    assert all(isinstance(f, Figure) for f in others)
    assert [(f.get_size_inches().tolist(), f.dpi, len(f.axes)) for f in others] == sizes


def test_a_map_is_drawn_where_the_mask_says_its_cells_are():
    on_grid = torch.eye(3)
    rows = figures.cell_of_pixel(SIDE, 3)
    drawn = on_grid[rows][:, rows]
    torch.testing.assert_close(mask_to_grid(drawn[None, None], (3, 3))[0, 0].round(), on_grid)


def test_cells_share_a_picture_that_is_not_centred():
    assert figures.cell_of_pixel(8, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_outline_lies_inside_the_mask_and_skips_void(episode):
    mask = episode[3].clone()
    mask[20:] = 255
    drawn = figures.outline(mask)
    assert drawn.any()
    assert not drawn[mask != 1].any()


def test_the_map_of_relations_darkens_both_ways_from_white_at_zero():
    light = figures.R_MAP(np.linspace(0, 1, 101))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert light[50] == pytest.approx(1, abs=0.02)
    assert (np.diff(light[:51]) > 0).all()
    assert (np.diff(light[50:]) < 0).all()


def test_picking_a_pixel_redraws_in_time(episode):
    big = torch.nn.functional.interpolate(torch.stack(episode[:2]), (225, 225))
    box = widgets.pick_pixel(*big, torch.rand(225, 225), start=(0, 0))
    (row, column, left, right, up, down), (query_image, support_image), said = (
        box.children[0].children,
        [panel.children[1] for panel in box.children[1].children],
        box.children[2],
    )
    seen, slowest = set(), 0.0
    for y in range(1, 6):
        start = time.perf_counter()
        row.value = y
        slowest = max(slowest, time.perf_counter() - start)
        seen.add((query_image.value, support_image.value))
        assert said.value.startswith(f"query pixel ({y}, 0) is row {15 * y} of R")
    assert len(seen) == 5
    assert slowest < 0.2
    right.click()
    down.click()
    assert (row.value, column.value) == (6, 1)
    left.click()
    left.click()  # the slider stops at its end
    up.click()
    assert (row.value, column.value) == (5, 0)


def test_the_widget_shows_the_row_that_the_figure_shows(episode):
    query, support, R, mask = episode
    box = widgets.pick_pixel(query, support, R, mask, start=(2, 1))
    wanted = figures.relation_overlay(support, R[7].reshape(3, 3), mask)
    assert box.children[1].children[1].children[1].value == widgets.to_png(wanted)


# Episodes -----------------------------------------------------------------------------------------


def episode_figures(tiny: VocFolder) -> dict[str, Figure]:
    query, support = tiny.image("val_disc_0"), tiny.image("val_disc_1")
    truth, mask = ((tiny.mask(n) == 1).astype(np.uint8) for n in ("val_disc_0", "val_disc_1"))
    said = truth.astype(bool)
    pair = {"disc": (support, mask), "disc again": (support, mask)}
    scores = [
        Score(method, 0.5, 0.0, 0.5, 0.5, {"disc": 0.25, "square": 0.75})
        for method in ("local", "all foreground")
    ]
    A_hat, M = torch.rand(1, 1, 3, 3), torch.randn(1, 2, 48, 48)
    return {
        "episode": figures.episode(support, mask, query, truth, said, name="disc"),
        "episode, untold": figures.episode(support, mask, query),
        "answers": figures.answers(query, pair, [said, ~said]),
        "answers, scored": figures.answers([query] * 2, pair, [said, ~said], [truth] * 2),
        "steps": figures.steps(query, A_hat, M, truth),
        "contact_sheet": figures.contact_sheet(tiny, tiny.names("val")[:5], columns=3),
        "per_class_bars": figures.per_class_bars(
            Results("tiny", "val", 0, Protocol(), tuple(scores))
        ),
        "pipeline": figures.pipeline(),
    }


def test_each_figure_of_an_episode_says_what_it_shows(tiny):
    for name, figure in episode_figures(tiny).items():
        drawn = [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]
        assert isinstance(figure, Figure)
        assert all(ax.get_title() for ax in drawn), name
        assert any(ax.get_title() for ax in figure.axes), name


def test_each_figure_of_an_episode_opens_one_figure_and_no_setting_changes(tiny):
    before = dict(plt.rcParams)
    made = episode_figures(tiny)
    assert len(plt.get_fignums()) == len(made)
    for figure in made.values():
        plt.close(figure)
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


def test_an_episode_is_titled_with_the_score_of_its_answer(tiny):
    made = episode_figures(tiny)
    assert made["episode"].axes[3].get_title() == "prediction, IoU 1.00"
    assert len(made["episode, untold"].axes) == 2
    told = [ax.get_title() for ax in made["answers, scored"].axes if "answer" in ax.get_title()]
    assert told == ["answer, IoU 1.00", "answer, IoU 0.00"]


def test_bars_are_labelled_and_as_high_as_their_scores(tiny):
    axes = episode_figures(tiny)["per_class_bars"].axes[0]
    assert axes.get_ylabel() == "IoU"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["disc", "square"]
    assert [round(bar.get_height(), 2) for bar in axes.patches] == [0.25, 0.75, 0.25, 0.75]


def test_the_pipeline_shows_every_equation_once_and_nothing_runs_over_the_edge():
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


def test_a_tint_leaves_the_rest_grey_and_void_untinted():
    picture = np.full((40, 40, 3), (200, 40, 40), np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30], mask[:5] = 1, 255
    drawn = figures.tinted(picture, mask).astype(int)
    outside = drawn[mask != 1]
    assert (outside == outside[0]).all()
    assert np.ptp(outside[0]) == 0
    assert np.ptp(drawn[20, 20]) > 50
    assert (picture == (200, 40, 40)).all()
