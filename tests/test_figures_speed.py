import matplotlib.pyplot as plt
import pytest

from ltm_edu import figures
from ltm_edu.bench import Row


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def measurement(N, D, ratio, what="L_r forward", part="loss"):
    sizes = {"N": N, "D": D, "what": what}
    return Row(part, f"{what}, N {N}, D {D}", ratio, 1.0, 0.0, 4 * N * N, 4 * N * D, sizes)


def step(case, ratio):
    return Row("training", case, ratio, 1.0, 0.0)


def test_a_crossing_has_a_line_through_the_ratios_of_each_width():
    measurements = [measurement(400, 64, 8), measurement(100, 64, 2), measurement(100, 256, 0.5)]
    (ax,) = figures.crossing(measurements).axes
    narrow, narrow_twice, wide, wide_twice, one = ax.lines
    assert list(narrow.get_xdata()) == [100, 400]  # in order of N
    assert list(narrow.get_ydata()) == [2, 8]
    assert list(wide.get_ydata()) == [0.5]
    assert (narrow_twice.get_xdata()[0], wide_twice.get_xdata()[0]) == (128, 512)  # N = 2 D
    assert list(one.get_ydata()) == [1, 1]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["D 64", "D 256"]


def test_forward_and_backward_have_different_lines():
    measurements = [measurement(100, 64, 2), measurement(100, 64, 1.5, "L_r forward + backward")]
    (ax,) = figures.speed_report(measurements).axes
    assert [line.get_linestyle() for line in ax.lines[:2]] == ["-", "--"]
    assert len(ax.get_legend().get_texts()) == 2


def test_a_report_has_a_panel_for_each_part_that_was_measured():
    attention = [measurement(N, 64, 3, "attention", "attention") for N in (100, 400)]
    loss, rest = [measurement(100, 64, 2)], [step("a step", 4), step("index", 1.2)]
    parts = {"all": attention + loss + rest, "loss": loss, "rest": rest}
    titles = {
        name: [ax.get_title() for ax in figures.speed_report(measurements).axes if ax.axison]
        for name, measurements in parts.items()
    }
    assert len(titles["all"]) == 4
    assert len(titles["loss"]) == len(titles["rest"]) == 1
    assert figures.speed_report(attention + loss + rest).axes[1].get_ylabel() == "MB"


def test_bars_end_at_the_ratios():
    (ax,) = figures.speed_report([step("a step", 4.0), step("slower", 0.04)]).axes
    assert [bar.get_x() + bar.get_width() for bar in ax.patches] == pytest.approx([4.0, 0.04])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a step", "slower"]
    assert ax.get_xlim()[0] < 0.04
    assert ax.get_xlim()[1] > 4


def test_blocks_are_drawn_to_scale_and_products_are_counted():
    upper, lower = figures.two_orders(N=30, D=10).axes
    sizes = [(p.get_width(), p.get_height()) for p in upper.patches]
    assert sizes[:2] == [(10, 30), (30, 10)]
    assert (30, 30) in sizes  # R
    assert all((p.get_width(), p.get_height()) != (30, 30) for p in lower.patches)
    assert "9,900" in upper.get_title(loc="left")  # 30 * 30 * 10 + 30 * 30
    assert "600" in lower.get_title(loc="left")


def test_a_rounding_error_of_0_can_be_drawn():
    (ax,) = figures.cancellation([1e-2, 1e-5], {"printed": [0, 1e-6], "Gram": [1e-7, 1e-2]}).axes
    assert list(ax.lines[0].get_ydata()) == [1e-8, 1e-6]
    assert ax.get_yscale() == "log"


def test_leads_are_bars_in_each_fold():
    (ax,) = figures.leads({"one": [2.0, -1.0], "two": [0.0, 10.0]}).axes
    assert [p.get_height() for p in ax.patches] == [2, -1, 0, 10]
    assert "+10.0" in [t.get_text() for t in ax.texts]


def test_blocks_of_results_share_an_axis():
    blocks = {"one": {"LTM": (57.0, 60.6), "B": (60.0, 61.0)}, "two": {"C": (43.0, None)}}
    first, second = figures.standings(blocks, mark="LTM").axes
    assert first.get_xlim() == second.get_xlim()
    assert [t.get_text() for t in first.get_yticklabels()] == ["LTM", "B"]
    assert first.lines[0].get_color() == figures.OKABE_ITO["orange"]
    assert len(second.lines) == 1  # no square where there is no 5-shot score
