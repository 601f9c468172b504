"""The two browsers of answers: of episodes alone, and of a results file."""

import numpy as np
import pytest
from seen import Screen, one_drawing

from ltm_edu import figures, widgets
from ltm_edu.episodes import Protocol
from ltm_edu.scores import Results, Score

BARS, SUPPORT, ANSWER = "IoU of each class", "support", "answer; black: the truth"


def answered(name, iou, seed):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (300, 260, 3)).astype(np.uint8)
    truth = np.zeros((300, 260), np.uint8)
    truth[60:200, 50:180] = 1
    mask = np.zeros((300, 260), bool)
    mask[60 : 60 + round(140 * iou), 50:180] = True
    return figures.Answered(name, picture, truth, picture[::-1], truth, mask, iou)


@pytest.fixture
def episodes():
    """Five answers of two classes, not sorted."""
    ious = ((0.3, "disc"), (0.9, "wall"), (0.1, "disc"), (0.6, "wall"), (0.7, "disc"))
    return [answered(name, iou, seed) for seed, (iou, name) in enumerate(ious)]


@pytest.fixture
def answers(episodes):
    """The first method answered five episodes of two classes, the second one of one class."""
    return {"LTM": episodes, "map": [answered("wall", 0.4, 9)]}


@pytest.fixture
def results():
    per_class = {"LTM": {"disc": 0.35, "wall": 0.75}, "map": {"disc": 0.2, "wall": 0.4}}
    scores = [Score(k, 0.5, 0.0, 0.6, 0.5, v) for k, v in per_class.items()]
    scores.append(Score("all background", 0.0, 0.0, 0.4, 0.0, {"disc": 0.0, "wall": 0.0}))
    return Results("shapes", "val", 0, Protocol(), tuple(scores))


# Episodes -----------------------------------------------------------------------------------------


def test_ranks_go_from_the_highest_iou_to_the_lowest(episodes):
    screen = Screen(widgets.episode_browser(episodes))
    lines, moments = [], set()
    for k in range(1, 6):
        screen.slider("rank").value = k
        lines.append(screen.texts[-1])
        moments.add(tuple(screen.pictures.values()))
    assert lines[0] == "rank 1 of 5: wall, IoU 0.90"
    assert lines[-1] == "rank 5 of 5: disc, IoU 0.10"
    assert len(moments) == 5


def test_a_class_lists_its_own_episodes_and_starts_at_the_best(episodes):
    screen = Screen(widgets.episode_browser(episodes))
    rank = screen.slider("rank")
    rank.value = 5
    screen.menu("class").label = "disc"
    assert (rank.value, rank.max) == (1, 3)
    assert "rank 1 of 3: disc, IoU 0.70" in screen.texts
    rank.value = 3
    screen.menu("class").label = "wall"
    assert "rank 1 of 2: wall, IoU 0.90" in screen.texts
    screen.menu("class").label = "all classes"
    assert "rank 1 of 5: wall, IoU 0.90" in screen.texts


def test_an_episode_looks_as_in_the_figure(episodes):
    screen = Screen(widgets.episode_browser(episodes))
    screen.slider("rank").value = 2
    support, answer = figures.answered_panels(episodes[4])
    np.testing.assert_array_equal(screen.pixels(SUPPORT), support)
    np.testing.assert_array_equal(screen.pixels(ANSWER), answer)


def test_a_rank_or_a_class_is_drawn_once(episodes):
    screen = Screen(widgets.episode_browser(episodes))
    for k in (2, 3, 4, 5):
        with one_drawing(screen):
            screen.slider("rank").value = k
    with one_drawing(screen):
        screen.menu("class").label = "disc"


# Results ------------------------------------------------------------------------------------------


def test_it_offers_the_methods_with_answers_and_all_classes(results, answers):
    screen = Screen(widgets.results_browser(results, answers))
    assert screen.menu("method").options == ("LTM", "map")
    assert screen.menu("class").options == ("disc", "wall")


def test_episodes_of_a_class_go_from_the_highest_iou_to_the_lowest(results, answers):
    screen, lines, moments = Screen(widgets.results_browser(results, answers)), [], set()
    for k in (1, 2, 3):
        screen.slider("rank").value = k
        lines.append(screen.texts[-1])
        moments.add((screen.pictures[SUPPORT], screen.pictures[ANSWER]))
    assert lines[0] == "LTM: disc 0.35; rank 1 of 3: disc, IoU 0.70"
    assert lines[2] == "LTM: disc 0.35; rank 3 of 3: disc, IoU 0.10"
    assert len(moments) == 3


def test_a_class_starts_at_its_best_and_its_bar_is_marked(results, answers):
    screen = Screen(widgets.results_browser(results, answers))
    rank = screen.slider("rank")
    rank.value = 3
    screen.menu("class").label = "wall"
    assert (rank.value, rank.max) == (1, 2)
    assert "LTM: wall 0.75; rank 1 of 2: wall, IoU 0.90" in screen.texts
    bars = figures.class_bars({"disc": 0.35, "wall": 0.75}, "wall")
    np.testing.assert_array_equal(screen.pixels(BARS), bars)


def test_another_method_has_its_own_scores_and_answers(results, answers):
    screen = Screen(widgets.results_browser(results, answers))
    screen.menu("class").label = "wall"
    before = screen.pictures
    screen.menu("method").label = "map"
    assert "map: wall 0.40; rank 1 of 1: wall, IoU 0.40" in screen.texts
    bars = figures.class_bars({"disc": 0.2, "wall": 0.4}, "wall")
    np.testing.assert_array_equal(screen.pixels(BARS), bars)
    assert screen.pictures[ANSWER] != before[ANSWER]


def test_a_class_without_answers_keeps_its_bar_and_has_no_pictures(results, answers):
    screen = Screen(widgets.results_browser(results, answers))
    screen.menu("method").label = "map"
    assert "map: disc 0.20; there is no answer to show" in screen.texts
    assert screen.pictures[SUPPORT] == screen.pictures[ANSWER] == b""
    bars = figures.class_bars({"disc": 0.2, "wall": 0.4}, "disc")
    np.testing.assert_array_equal(screen.pixels(BARS), bars)
    screen.menu("method").label = "LTM"
    assert screen.pictures[SUPPORT] != b""
    assert screen.pictures[ANSWER] != b""


def test_an_answer_of_the_results_looks_as_in_the_figure(results, answers):
    screen = Screen(widgets.results_browser(results, answers))
    support, answer = figures.answered_panels(answers["LTM"][4])
    np.testing.assert_array_equal(screen.pixels(SUPPORT), support)
    np.testing.assert_array_equal(screen.pixels(ANSWER), answer)


def test_answers_of_a_method_without_a_score_are_refused(results, answers):
    with pytest.raises(ValueError, match="no score of SG-One in the results: remove"):
        widgets.results_browser(results, {**answers, "SG-One": []})


def test_a_method_a_class_or_a_rank_is_drawn_once(results, answers):
    screen = Screen(widgets.results_browser(results, answers))
    for move in (
        lambda: setattr(screen.slider("rank"), "value", 2),
        lambda: setattr(screen.menu("class"), "label", "wall"),
        lambda: setattr(screen.slider("rank"), "value", 2),
        lambda: setattr(screen.menu("method"), "label", "map"),
        lambda: setattr(screen.menu("method"), "label", "LTM"),
    ):
        with one_drawing(screen):
            move()
