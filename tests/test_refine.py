"""The CRF against exact mean-field inference, the median filter against a loop, and their row."""

import sys

import numpy as np
import pytest
from helpers import TinyBackbone, tiny_model

from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import Protocol
from ltm_edu.evaluation import evaluate
from ltm_edu.model import LTM, TrainingFreeMap
from ltm_edu.refine.crf import (
    APPEARANCE,
    ITERATIONS,
    SMOOTHNESS,
    dense_crf,
    median_filter,
    need_crf,
    refine,
)
from ltm_edu.store.errors import InputError


@pytest.fixture
def crf():
    pytest.importorskip("pydensecrf", reason="the extra crf is built with a C++ compiler")


def rows(data: VocFolder, model: LTM | TrainingFreeMap, crf: bool = True) -> dict:
    """Rows of a table by their names."""
    rules = Protocol(episodes=8, seeds=(0,))
    found = evaluate({"ours": model}, data, 0, rules, progress=False, crf=crf)
    return {s.method: s for s in found.scores}


def half_and_half(height: int = 24, width: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose right half is the object, and that object's mask."""
    on = np.zeros((height, width), bool)
    on[:, width // 2 :] = True
    picture = np.random.randint(0, 6, (height, width, 3)).astype(np.uint8)
    picture[on] += 150
    return picture, on


def exact_mean_field(picture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The same field with every pair of pixels written out, (H, W)."""
    height, width = probability.shape
    y, x = (v.ravel().astype(float) for v in np.mgrid[:height, :width])
    near = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    colour = picture.reshape(-1, 3).astype(float)
    apart = ((colour[:, None] - colour) ** 2).sum(-1)
    smooth = np.exp(-near / (2 * SMOOTHNESS["sxy"] ** 2))
    alike = np.exp(-near / (2 * APPEARANCE["sxy"] ** 2) - apart / (2 * APPEARANCE["srgb"] ** 2))
    energy = 0
    for kernel, weight in ((smooth, SMOOTHNESS["compat"]), (alike, APPEARANCE["compat"])):
        root = np.sqrt(kernel.sum(1))
        energy = energy + weight * kernel / root[:, None] / root
    unary = np.log(np.stack([1 - probability.ravel(), probability.ravel()], 1))
    Q = np.exp(unary)
    for _ in range(ITERATIONS):
        Q = np.exp(unary + energy @ Q)
        Q /= Q.sum(1, keepdims=True)
    return Q[:, 1].reshape(height, width)


@pytest.mark.compiler
def test_the_field_is_the_one_with_every_pair_of_pixels_written_out(crf):
    picture, on = half_and_half()
    probability = np.clip(
        0.5 + 0.15 * (2.0 * on - 1) + np.random.normal(0, 0.15, on.shape), 0.02, 0.98
    )
    found, exact = dense_crf(picture, probability), exact_mean_field(picture, probability)
    assert (found.shape, found.dtype) == (on.shape, np.float32)
    assert ((found > 0.5) == (exact > 0.5)).mean() > 0.99
    assert np.abs(found - exact).mean() < 0.03


@pytest.mark.compiler
def test_a_mask_snaps_to_the_edge_in_the_picture(crf):
    picture, on = half_and_half(48, 64)
    too_far = np.roll(on, -4, axis=1)
    too_far[:, -4:] = True
    probability = np.where(too_far, 0.7, 0.3)
    assert (too_far == on).mean() < 0.95
    assert (refine(picture, probability) == on).mean() > 0.99


def test_the_median_filter_takes_the_majority_of_a_window():
    mask = np.random.rand(9, 13) > 0.4
    padded = np.pad(mask, 2, mode="edge")
    expected = np.zeros_like(mask)
    for i in range(9):
        for j in range(13):
            expected[i, j] = padded[i : i + 5, j : j + 5].sum() > 12
    assert (median_filter(mask) == expected).all()
    assert not (expected == mask).all()


@pytest.mark.compiler
def test_the_refined_masks_have_a_row_of_their_own(crf, tiny, trained):
    plain, both = rows(tiny, trained.model, crf=False), rows(tiny, trained.model)
    assert list(both) == ["ours", "ours + CRF, median", "all foreground", "all background"]
    assert both["ours"] == plain["ours"]
    assert both["ours + CRF, median"].miou != plain["ours"].miou
    assert both["ours + CRF, median"].miou > 0.8 * plain["ours"].miou


@pytest.mark.compiler
def test_a_map_without_probabilities_has_no_such_row(crf, tiny):
    free = TrainingFreeMap(tiny_model().config, TinyBackbone(), 0.5)
    assert not any("CRF" in name for name in rows(tiny, free))


def test_what_is_not_installed_is_said_before_anything_runs(monkeypatch, tiny):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(InputError, match=r"pip install 'ltm-edu\[crf\]'"):
        need_crf()
    monkeypatch.setattr(LTM, "forward_embedded", None)
    with pytest.raises(InputError, match=r"C\+\+ compiler"):
        rows(tiny, tiny_model())
