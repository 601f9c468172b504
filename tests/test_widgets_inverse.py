from unittest.mock import patch

import numpy as np
import pytest
import torch
from touched import CELLS, SIDE, Sent, question

from ltm_edu import figures, widgets
from ltm_edu.geometry import mask_to_grid
from ltm_edu.model import LTMConfig, TrainingFreeMap


@pytest.fixture
def asked():
    q = question()
    masks = {"block": q["block"], "corner": q["block"].flip(0) / 2}
    return {**q, "masks": masks}


def figure_of(asked, **options):
    q = {"threshold": 0.7, "model": None, **asked, **options}
    names = ("support", "query", "R", "masks", "truth", "threshold", "model")
    return widgets.paint_mask(*(q[name] for name in names))


def test_the_page_gets_the_pictures_the_masks_and_the_threshold(asked):
    widget = figure_of(asked)
    sent = Sent(widget)
    assert (sent["kind"], sent["titles"], sent["threshold"]) == (
        "inverse", ["block", "corner"], 0.7,
    )  # fmt: skip
    for side in ("query", "support"):
        np.testing.assert_array_equal(sent.pixels(side), figures.as_uint8(asked[side]))
    np.testing.assert_array_equal(sent.pixels("truth")[..., 0], asked["truth"].numpy())
    for value, mask in zip(widget.masks, asked["masks"].values(), strict=True):
        assert np.array_equal(np.frombuffer(value, "<f4").reshape(CELLS, CELLS), mask.numpy())


@pytest.mark.parametrize("title", ["block", "corner"])
def test_a_byte_an_entry_is_enough_for_the_answer(asked, title):
    g = asked["masks"][title]
    A_hat, answer = figures.answer_of_mask(asked["R"], g, (SIDE, SIDE), 0.7)
    of_bytes, same = figures.answer_of_mask(Sent(figure_of(asked)).relation(), g, (SIDE, SIDE), 0.7)
    assert (of_bytes - A_hat).abs().max() < 0.01
    assert figures.iou(same, answer.astype(np.uint8)) > 0.98


def test_without_a_model_the_page_asks_the_kernel_nothing(asked):
    assert not figure_of(asked).answers
    assert "answers" not in Sent(figure_of(asked)).state  # a page of the book has no kernel


# With a model ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(lite0):
    return TrainingFreeMap(LTMConfig(image_size=SIDE), lite0)


def reply(widget, number, g):
    """What the page gets when it asks about a mask: the message and the answer, (H, W)."""
    with patch.object(widget, "send") as send:
        widget._handle_custom_msg({"id": number}, [memoryview(g.numpy().astype("<f4").tobytes())])
    ((message, (mask,)),) = (call.args for call in send.call_args_list)
    return message, np.frombuffer(mask, np.uint8).reshape(SIDE, SIDE)


def test_the_kernel_answers_a_painted_mask_as_the_network_does(asked, model):
    widget = figure_of(asked, model=model)
    assert widget.answers
    pixels = asked["mask"]  # a mask of pixels, whose mask on the grid the page sends
    g = mask_to_grid(pixels[None, None], (CELLS, CELLS))[0, 0]
    message, answer = reply(widget, 7, g)
    with torch.inference_mode():
        M = model.eval()(asked["support"][None], pixels[None], asked["query"][None]).M[0]
    assert message == {"id": 7}
    np.testing.assert_array_equal(answer, (M[1] > M[0]).numpy())
    assert 0.02 < answer.mean() < 0.98


def test_an_answer_depends_on_the_mask_and_the_backbone_runs_only_at_the_start(asked, model):
    calls = []
    hook = model.backbone.register_forward_hook(lambda *_: calls.append(1))
    try:
        widget = figure_of(asked, model=model)
        assert len(calls) == 2
        answers = [reply(widget, k, g)[1] for k, g in enumerate(asked["masks"].values())]
        assert len(calls) == 2
    finally:
        hook.remove()
    assert (answers[0] != answers[1]).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"masks": {}}, "masks is empty: pass at least one title with its mask"),
        ({"R": torch.zeros(225, 100)}, r"R has shape \(225, 100\), .* as a mask has cells"),
        ({"truth": torch.zeros(9, 9)}, r"truth has shape \(9, 9\), .* the size of the query"),
        ({"masks": {"a": 2 * torch.ones(CELLS, CELLS)}}, r"masks\['a'\] has values from 2 to 2"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(asked, wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        figure_of(asked, **wrong)
    assert "\n" not in str(caught.value)


def test_a_model_of_another_grid_is_named(asked, model):
    wide = {**asked, "query": torch.rand(3, 257, 257), "support": torch.rand(3, 257, 257)}
    with pytest.raises(ValueError, match=r"the model's features has shape .* the grid of"):
        figure_of(wide, truth=torch.zeros(257, 257), model=model)
