import io
import time

import numpy as np
import pytest
from PIL import Image

from ltm_edu import figures, widgets
from ltm_edu.episodes import Protocol
from ltm_edu.scores import Results, Score

pytest.importorskip("ipywidgets")


def answer(name, iou, seed):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (300, 260, 3)).astype(np.uint8)
    truth = np.zeros((300, 260), np.uint8)
    truth[60:200, 50:180] = 1
    mask = np.zeros((300, 260), bool)
    mask[60 : 60 + round(140 * iou), 50:180] = True
    return figures.Answered(name, picture, truth, picture[::-1], truth, mask, iou)


@pytest.fixture
def answers():
    """Two rows: the first answered five episodes of two classes, the second one of one class."""
    kinds = ((0.3, "disc"), (0.9, "wall"), (0.1, "disc"), (0.6, "wall"), (0.7, "disc"))
    made = [answer(name, iou, seed) for seed, (iou, name) in enumerate(kinds)]
    return {"LTM": made, "map": [answer("wall", 0.4, 9)]}


@pytest.fixture
def results():
    rows = {"LTM": {"disc": 0.35, "wall": 0.75}, "map": {"disc": 0.2, "wall": 0.4}}
    scores = [Score(k, 0.5, 0.0, 0.6, 0.5, v) for k, v in rows.items()]
    scores.append(Score("all background", 0.0, 0.0, 0.4, 0.0, {"disc": 0.0, "wall": 0.0}))
    return Results("shapes", "val", 0, Protocol(), tuple(scores))


class Browser:
    """The widget's parts by name."""

    def __init__(self, results, answers):
        tools, panels, self.said = widgets.results_browser(results, answers).children
        self.row, self.chosen, self.rank = tools.children
        self.bars, self.support, self.answer = (c.children[1] for c in panels.children)


def pixels(image):
    return np.asarray(Image.open(io.BytesIO(image.value)))


def test_it_offers_the_rows_that_have_answers_and_all_classes(results, answers):
    browser = Browser(results, answers)
    assert browser.row.options == ("LTM", "map")
    assert browser.chosen.options == ("disc", "wall")


def test_episodes_of_a_class_go_from_the_best_to_the_worst(results, answers):
    browser, lines, seen = Browser(results, answers), [], set()
    for k in (1, 2, 3):
        browser.rank.value = k
        lines.append(browser.said.value)
        seen.add((browser.support.value, browser.answer.value))
    assert lines[0] == "LTM: disc 0.35; episode 1 of 3, best first: IoU 0.70"
    assert lines[2] == "LTM: disc 0.35; episode 3 of 3, best first: IoU 0.10"
    assert len(seen) == 3


def test_a_class_starts_at_its_best_and_its_bar_is_marked(results, answers):
    browser = Browser(results, answers)
    browser.rank.value = 3
    browser.chosen.value = "wall"
    assert (browser.rank.value, browser.rank.max) == (1, 2)
    assert browser.said.value == "LTM: wall 0.75; episode 1 of 2, best first: IoU 0.90"
    wanted = figures.class_bars({"disc": 0.35, "wall": 0.75}, "wall")
    np.testing.assert_array_equal(pixels(browser.bars), wanted)


def test_another_row_has_its_own_scores_and_answers(results, answers):
    browser = Browser(results, answers)
    browser.chosen.value = "wall"
    before = browser.answer.value, browser.bars.value
    browser.row.value = "map"
    assert browser.said.value == "map: wall 0.40; episode 1 of 1, best first: IoU 0.40"
    assert (browser.answer.value, browser.bars.value) != before


def test_a_class_without_answers_keeps_its_bar_and_empties_the_panels(results, answers):
    browser = Browser(results, answers)
    browser.row.value = "map"
    assert browser.said.value == "map: disc 0.20; no answer of it is kept"
    assert browser.support.value == browser.answer.value == b""
    browser.row.value = "LTM"
    assert browser.support.value != b""


def test_it_shows_what_the_figure_shows(results, answers):
    browser = Browser(results, answers)
    wanted = figures.answered_panels(answers["LTM"][4])
    for image, panel in zip((browser.support, browser.answer), wanted, strict=True):
        np.testing.assert_array_equal(pixels(image), panel)


def test_answers_of_a_row_that_was_not_scored_are_refused(results, answers):
    with pytest.raises(ValueError, match="answers of SG-One"):
        widgets.results_browser(results, {**answers, "SG-One": []})


def test_a_choice_is_drawn_in_time(results, answers):
    """200 ms feel immediate; processor time, so that a busy machine fails nothing."""
    browser, taken = Browser(results, answers), []
    for choose, value in (
        (browser.rank, 2), (browser.chosen, "wall"), (browser.rank, 2),
        (browser.row, "map"), (browser.row, "LTM"),
    ):  # fmt: skip
        start = time.process_time()
        choose.value = value
        taken.append(time.process_time() - start)
    print(f"a choice took {1000 * max(taken):.0f} ms at most")
    assert np.median(taken) < 0.2
