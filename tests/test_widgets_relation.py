import numpy as np
import pytest
import torch
from touched import CELLS, SIDE, Sent, question

from ltm_edu import figures, widgets


@pytest.fixture
def asked():
    return question()


def figure_of(asked, **options):
    q = {**asked, **options}
    return widgets.pick_pixel(q["query"], q["support"], q["R"], q["mask"], q.get("start"))


def test_the_page_gets_every_pixel_of_both_pictures_and_of_the_mask(asked):
    sent = Sent(figure_of(asked))
    assert sent["kind"] == "relation"
    for side in ("query", "support"):
        np.testing.assert_array_equal(sent.pixels(side), figures.as_uint8(asked[side]))
    np.testing.assert_array_equal(sent.pixels("mask")[..., 0], asked["mask"].numpy())


def test_an_entry_of_R_is_at_most_half_a_step_of_255_wrong(asked):
    sent, R = Sent(figure_of(asked)), asked["R"]
    assert len(sent.bytes("R")) == R.numel()
    assert (sent.relation() - R).abs().max() <= (R.max() - R.min()) / 255 / 2 + 1e-6
    constant = Sent(figure_of(asked, R=torch.full((225, 225), 0.25)))
    assert torch.equal(constant.relation(), torch.full((225, 225), 0.25))


def test_the_colours_are_those_of_the_figures(asked):
    table = np.frombuffer(Sent(figure_of(asked)).bytes("colours"), np.uint8).reshape(256, 3)
    values = np.linspace(-1, 1, 97)
    expected = figures.R_MAP((values + 1) / 2, bytes=True)[:, :3]
    rows = np.minimum((256 * (values + 1) / 2).astype(int), 255)
    np.testing.assert_array_equal(table[rows], expected)


def test_it_starts_at_the_named_pixel_or_in_the_middle(asked):
    assert Sent(figure_of(asked, start=(2, 1)))["start"] == [2, 1]
    assert Sent(figure_of(asked))["start"] == [CELLS // 2, CELLS // 2]


def test_a_notebook_that_is_saved_says_what_stands_here_and_stays_small(asked):
    sent = Sent(figure_of(asked))
    assert sent.formats["text/plain"].startswith("An interactive figure: ")
    assert len(sent.bytes("R")) + len(sent.bytes("query")) + len(sent.bytes("support")) < 200_000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"R": torch.zeros(1, 225, 225)}, r"R has shape \(1, 225, 225\), .* as in R\[0\]"),
        ({"R": torch.zeros(225, 224)}, "R's columns: 224 cells do not fill a square grid"),
        ({"query": torch.zeros(1, 3, SIDE, SIDE)}, "query has shape .* one picture, not a batch"),
        ({"mask": torch.zeros(9, 9)}, r"mask has shape \(9, 9\), .* the size of the support"),
        ({"start": (15, 0)}, r"start is \(15, 0\): it must lie in the query's grid of 15 x 15"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(asked, wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        figure_of(asked, **wrong)
    assert "\n" not in str(caught.value)
