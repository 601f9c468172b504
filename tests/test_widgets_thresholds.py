import numpy as np
import pytest
import torch
from touched import SIDE, Sent, question

from ltm_edu import figures, widgets

THRESHOLDS, SCORES = [0.0, 0.5, 1.0], [0.2, 0.8, 0.0]


@pytest.fixture
def asked():
    A_hat = torch.linspace(0, 1, SIDE).expand(SIDE, SIDE)
    return {**question(), "A_hat": A_hat, "thresholds": THRESHOLDS, "scores": SCORES}


def figure_of(asked, **options):
    q = {"start": 0.6, **asked, **options}
    names = ("query", "A_hat", "truth", "thresholds", "scores", "start")
    return widgets.threshold_slider(*(q[name] for name in names))


def test_the_page_gets_the_picture_the_truth_and_the_curve(asked):
    sent = Sent(figure_of(asked, start=0.75))
    assert (sent["kind"], sent["start"]) == ("threshold", 0.75)
    assert (sent["thresholds"], sent["scores"]) == (THRESHOLDS, SCORES)
    np.testing.assert_array_equal(sent.pixels("query"), figures.as_uint8(asked["query"]))
    np.testing.assert_array_equal(sent.pixels("truth")[..., 0], asked["truth"].numpy())


def test_the_attention_map_is_sent_with_two_bytes_a_pixel(asked):
    values = np.frombuffer(Sent(figure_of(asked)).bytes("A_hat"), "<u2") / 65535
    errors = np.abs(values.reshape(SIDE, SIDE) - asked["A_hat"].numpy())
    assert errors.max() <= 1 / 131_070 + 1e-7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"A_hat": torch.zeros(15, 15)}, r"A_hat has shape \(15, 15\), .* the size of the query"),
        ({"A_hat": torch.full((SIDE, SIDE), 2.0)}, "A_hat has values from 2 to 2, expected"),
        ({"truth": torch.zeros(15, 15)}, r"truth has shape \(15, 15\)"),
        ({"scores": [0.5]}, "there are 3 thresholds and 1 scores: pass one score for each"),
        ({"start": 1.5}, "start is 1.5: it must lie between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(asked, wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        figure_of(asked, **wrong)
    assert "\n" not in str(caught.value)
