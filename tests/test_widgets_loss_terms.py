import re

import pytest
from seen import Screen, one_drawing

from ltm_edu import figures, widgets
from ltm_edu.runs.recipes import EMOJI5I, PHOTOS

TERMS = {"L_m": 2.0, "L_a": 1.0, "L_r": 1.0}
PULLS = {
    "T_e": {"L_m": 1.0, "L_a": 2.0, "L_r": 1.0},
    "Upsam": {"L_m": 3.0, "L_a": 0.0, "L_r": 0.0},
}
ENTRIES = 1000


@pytest.fixture
def screen():
    return Screen(widgets.lambda_sliders(TERMS, PULLS, ENTRIES))


def bar(screen, label):
    """The widths in percent, in the losses' order, and the text of one bar."""
    code = next(c for c in screen.html.split("display:flex;width:620px") if label in c)
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", code)]
    return widths, re.sub(r"<[^>]+>", " ", code)


def percent(shares):
    return pytest.approx([100 * s for s in shares.values()], abs=0.01)


def test_bars_are_as_wide_as_the_shares(screen):
    shares = figures.shares(TERMS, PULLS, (1, 1, 1))
    for label, name in (("value of L", "value of L"), ("pull on T_e", "T_e")):
        widths, text = bar(screen, label)
        assert widths == percent(shares[name])
        assert all(loss in text for loss in TERMS)
    widths, text = bar(screen, "pull on Upsam")
    assert widths == [100, 0, 0]
    assert "L_a" not in text  # a share of 0 has no label
    assert "pull on Upsam L_m 100%" in screen.text
    for colour in figures.LOSS_COLOURS.values():
        assert colour in screen.html


@pytest.mark.parametrize("loss", TERMS)
def test_each_lambda_changes_its_own_loss(loss, screen):
    before = screen.html
    screen.slider(f"λ of {loss}").value = 3
    lambdas = [3 if name == loss else 1 for name in TERMS]
    shares = figures.shares(TERMS, PULLS, lambdas)["T_e"]
    assert bar(screen, "pull on T_e")[0] == percent(shares)
    screen.slider(f"λ of {loss}").value = 1
    assert screen.html == before


def test_without_l_m_nothing_pulls_on_the_decoder(screen):
    assert "nothing pulls" not in screen.text
    screen.slider("λ of L_m").value = 0
    assert "nothing pulls" in bar(screen, "pull on Upsam")[1]
    assert "nothing pulls" not in bar(screen, "pull on T_e")[1]


def test_a_sum_is_the_mean_times_the_entries_and_changes_only_l_r(screen):
    before = bar(screen, "pull on Upsam")
    screen.choice("L_r as a").label = "sum"
    shares = figures.shares(TERMS, PULLS, (1, 1, ENTRIES))["T_e"]
    assert bar(screen, "pull on T_e")[0] == percent(shares)
    assert shares["L_r"] > 0.99
    assert bar(screen, "pull on Upsam") == before


def test_the_lambdas_of_the_recipes_can_be_set(screen):
    for recipe in (EMOJI5I, PHOTOS):
        for loss in TERMS:
            value = getattr(recipe.training_config.losses, f"lambda_{loss[-1]}")
            slider = screen.slider(f"λ of {loss}")
            assert slider.min <= value <= slider.max


def test_a_move_opens_no_figure(screen):
    for k in range(9):
        with one_drawing(screen):
            screen.slider("λ of L_a").value = 0.3 * k
