import re
import time

import numpy as np
import pytest

from ltm_edu import figures, widgets
from ltm_edu.runs.recipes import EMOJI5I, PHOTOS

pytest.importorskip("ipywidgets")

TERMS = {"L_m": 2.0, "L_a": 1.0, "L_r": 1.0}
PULLS = {
    "T_e": {"L_m": 1.0, "L_a": 2.0, "L_r": 1.0},
    "Upsam": {"L_m": 3.0, "L_a": 0.0, "L_r": 0.0},
}
ENTRIES = 1000


class Sliders:
    """The widget's parts by name."""

    def __init__(self):
        lambdas, self.reduction, self.bars = widgets.lambda_sliders(TERMS, PULLS, ENTRIES).children
        self.lambdas = dict(zip(TERMS, lambdas.children, strict=True))

    def row(self, label):
        """The widths in percent, in the losses' order, and the text of one bar."""
        html = next(r for r in self.bars.value.split("display:flex;width:620px") if label in r)
        widths = [float(w) for w in re.findall(r"width:([\d.]+)%", html)]
        return widths, re.sub(r"<[^>]+>", " ", html)


def test_bars_are_as_wide_as_the_shares():
    sliders = Sliders()
    wanted = figures.shares(TERMS, PULLS, (1, 1, 1))
    for label, row in (("value of L", "value of L"), ("pull on T_e", "T_e")):
        widths, text = sliders.row(label)
        assert widths == pytest.approx([100 * s for s in wanted[row].values()])
        assert all(loss in text for loss in TERMS)
    assert sliders.row("pull on Upsam")[0] == [100, 0, 0]
    assert "L_a" not in sliders.row("pull on Upsam")[1]  # no label without a width
    for colour in figures.LOSS_COLOURS.values():
        assert colour in sliders.bars.value


@pytest.mark.parametrize("loss", TERMS)
def test_each_lambda_moves_its_own_loss(loss):
    sliders = Sliders()
    before = sliders.bars.value
    sliders.lambdas[loss].value = 3
    lambdas = [3 if name == loss else 1 for name in TERMS]
    wanted = figures.shares(TERMS, PULLS, lambdas)["T_e"]
    assert sliders.row("pull on T_e")[0] == pytest.approx(
        [100 * s for s in wanted.values()], abs=0.01
    )
    sliders.lambdas[loss].value = 1
    assert sliders.bars.value == before


def test_without_l_m_nothing_pulls_on_the_decoder():
    sliders = Sliders()
    assert "nothing pulls" not in sliders.bars.value
    sliders.lambdas["L_m"].value = 0
    assert "nothing pulls" in sliders.row("pull on Upsam")[1]
    assert "nothing pulls" not in sliders.row("pull on T_e")[1]


def test_a_sum_is_the_mean_times_the_entries_and_touches_l_r_alone():
    sliders = Sliders()
    before = sliders.row("pull on Upsam")
    sliders.reduction.value = "sum"
    wanted = figures.shares(TERMS, PULLS, (1, 1, ENTRIES))["T_e"]
    assert sliders.row("pull on T_e")[0] == pytest.approx(
        [100 * s for s in wanted.values()], abs=0.01
    )
    assert wanted["L_r"] > 0.99
    assert sliders.row("pull on Upsam") == before


def test_the_recipes_lambdas_can_be_set():
    sliders = Sliders()
    for recipe in (EMOJI5I, PHOTOS):
        for loss, slider in sliders.lambdas.items():
            wanted = getattr(recipe.training_config.losses, f"lambda_{loss[-1]}")
            assert slider.min <= wanted <= slider.max


def test_a_move_is_drawn_in_time():
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    sliders = Sliders()
    taken = []
    for k in range(9):
        start = time.process_time()
        sliders.lambdas["L_a"].value = 0.3 * k
        taken.append(time.process_time() - start)
    print(f"a move took {1000 * float(np.median(taken)):.1f} ms")
    assert np.median(taken) < 0.2
