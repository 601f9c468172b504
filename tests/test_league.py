"""The league: paired differences, thresholds chosen on base classes, the command and its files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import TinyBackbone, refused, tiny_model
from PIL import Image

from ltm_edu import cli, league
from ltm_edu.backbones import BACKBONES
from ltm_edu.episodes import Episode, Protocol, base_classes
from ltm_edu.evaluation import evaluate
from ltm_edu.figures import league_chart
from ltm_edu.league import (
    LEAGUE,
    Difference,
    League,
    Method,
    all_methods,
    paired_difference,
    score_league,
)
from ltm_edu.model import TrainingFreeMap
from ltm_edu.runs.recipes import PHOTOS
from ltm_edu.scores import Counts, IoUCounter
from ltm_edu.store.errors import InputError
from ltm_edu.transformations import TRANSFORMATIONS

RULES = Protocol("any", episodes=24, seeds=(0, 1))


@pytest.fixture
def recipe(monkeypatch):
    """A network on the tiny backbone that trains for two updates."""
    monkeypatch.setattr(league.scoring, "CHECKS", 12)
    monkeypatch.setitem(BACKBONES, "tiny", lambda stages: TinyBackbone())
    config = replace(tiny_model().config, backbone="tiny")
    return replace(PHOTOS, model_config=config, training_config=PHOTOS.training(steps=2, batch=2))


# --- the difference and its interval --------------------------------------------------------------


def answers(rng: np.random.Generator, n: int, better: float = 0.0) -> list[Counts]:
    true = rng.integers(50, 100, n)
    both = np.clip(rng.uniform(0.2, 0.6, n) + better, 0, 1) * true
    return [Counts(int(b), int(t), int(t), 1000) for b, t in zip(both, true, strict=True)]


def miou(episodes, counts) -> float:
    counter = IoUCounter()
    for e, c in zip(episodes, counts, strict=True):
        counter.add_counts(c, e.class_id)
    return counter.miou()


def test_the_difference_is_that_of_the_two_mious():
    rng = np.random.default_rng(0)
    episodes = [Episode(1 + i % 3, f"q{i % 20}", ("s",)) for i in range(60)]
    one, two = answers(rng, 60, 0.1), answers(rng, 60)
    found = paired_difference(episodes, [one], [two])
    assert found.value == pytest.approx(miou(episodes, one) - miou(episodes, two), abs=1e-6)
    assert found.low < found.value < found.high


def test_a_method_does_not_differ_from_itself():
    episodes = [Episode(1, f"q{i}", ("s",)) for i in range(10)]
    counts = answers(np.random.default_rng(0), 10)
    assert paired_difference(episodes, [counts], [counts]) == Difference(0, 0, 0)


def test_a_query_counts_once_however_many_episodes_it_has():
    """Ten copies of every episode say no more than one: the interval stays as wide."""
    rng = np.random.default_rng(0)
    episodes = [Episode(1, f"q{i}", ("s",)) for i in range(30)]
    one, two = answers(rng, 30, 0.05), answers(rng, 30)
    once = paired_difference(episodes, [one], [two])
    often = paired_difference(10 * episodes, [10 * one], [10 * two])
    assert often == pytest.approx(once, abs=1e-6)
    separate = [Episode(1, f"q{i}", ("s",)) for i in range(300)]  # 300 queries would narrow it
    narrow = paired_difference(separate, [10 * one], [10 * two])
    assert narrow.high - narrow.low < 0.5 * (once.high - once.low)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    n, true = 60, 0.1
    episodes = [Episode(1, f"q{i}", ("s",)) for i in range(n)]
    held = 0
    for _ in range(100):
        theirs = [Counts(int(b), 10_000, 10_000, 20_000) for b in rng.uniform(2000, 6000, n)]
        change = rng.normal(true, 0.1, n)
        ours = [
            Counts(int(10_000 * (2 * x / (1 + x))), 10_000, 10_000, 20_000)
            for x in (c.both / (20_000 - c.both) + d for c, d in zip(theirs, change, strict=True))
        ]
        low, high = paired_difference(episodes, [ours], [theirs], draws=400)[1:]
        held += low < _pooled(ours) - _pooled(theirs) < high
    assert held >= 99  # of its own sample
    _, low, high = paired_difference(episodes, [ours], [theirs])
    assert 0.02 < high - low < 0.12


def _pooled(counts: list[Counts]) -> float:
    return sum(c.both for c in counts) / sum(c.either for c in counts)


def test_trainings_that_differ_widen_the_interval():
    """Three trainings that agree say what one says; if they do not, chance has more to say."""
    rng = np.random.default_rng(0)
    episodes = [Episode(1, f"q{i}", ("s",)) for i in range(40)]
    one, two = answers(rng, 40, 0.05), answers(rng, 40)
    alone = paired_difference(episodes, [one], [two])
    alike = paired_difference(episodes, [one] * 3, [two] * 3)
    assert alike == pytest.approx(alone, abs=0.01)
    good, bad = ([c._replace(both=round(c.both * f)) for c in one] for f in (1.3, 0.7))
    apart = paired_difference(episodes, [good, one, bad], [two] * 3)
    differences = [miou(episodes, x) - miou(episodes, two) for x in (good, one, bad)]
    assert apart.value == pytest.approx(np.mean(differences), abs=1e-6)
    assert apart.high - apart.low > 2 * (alone.high - alone.low)


# --- the league -----------------------------------------------------------------------------------


def test_every_registered_transformation_is_in_the_league(monkeypatch):
    assert {m.transformation for m in LEAGUE} <= set(TRANSFORMATIONS)
    monkeypatch.setitem(TRANSFORMATIONS, "of a user", TRANSFORMATIONS["local"])
    assert all_methods() == (*LEAGUE, Method("of a user"))
    assert LEAGUE[0] == Method("local", "fg")
    assert [Method.parse(str(m)) for m in LEAGUE] == list(LEAGUE)


def test_all_methods_are_scored_on_the_same_episodes_and_trained_alike(tiny, recipe):
    methods = [Method("local"), Method("self_support", "fg_bg"), Method("softmax")]
    scored = score_league(methods, tiny, (0, 1), recipe, RULES, trainings=1, progress=False)
    assert [(e.method, e.trained) for e in scored.entries] == [
        (str(m), trained) for trained in (False, True) for m in methods
    ]
    for e in scored.entries:
        assert e.miou == pytest.approx(np.mean([*e.of_folds.values()]))  # two classes a fold
        assert set(e.per_class) == {"disc", "square", "coin", "tile"} or len(e.per_class) == 4
        assert e.seconds > 0
        assert bool(e.thresholds) != e.trained
    first, *_, softmax = scored.entries[3:]
    assert softmax.parameters == first.parameters + 1  # the temperature
    assert scored.entries[0].parameters == 0
    assert first.difference == Difference(0, 0, 0)


def test_several_trainings_are_those_of_single_runs(tiny, recipe):
    """Training t starts from the recipe's seed + t, and its mIoU stands beside the mean."""
    both = score_league([Method("local")], tiny, (0,), recipe, RULES, trainings=2, progress=False)
    (*_, entry) = both.entries
    singles = []
    for seed in (0, 1):
        other = replace(recipe, training_config=recipe.training(seed=seed))
        one = score_league([Method("local")], tiny, (0,), other, RULES, trainings=1, progress=False)
        singles.append(one.entries[-1].miou)
    assert entry.of_trainings == pytest.approx(singles)
    assert entry.miou == pytest.approx(np.mean(singles))
    assert "from seeds 0, 1" in both.table()
    assert f"{singles[0]:.3f} {singles[1]:.3f}, training by training" in both.table()
    with pytest.raises(InputError, match="trainings is -1"):
        score_league([Method("local")], tiny, (0,), recipe, RULES, trainings=-1)


def test_a_training_free_score_is_that_of_evaluate_at_its_threshold(tiny, recipe):
    scored = score_league([Method("local")], tiny, (2,), recipe, RULES, progress=False)
    (entry,) = scored.entries
    threshold = entry.thresholds["2"]
    free = TrainingFreeMap(recipe.model_config, TinyBackbone(), threshold)
    rules = replace(RULES, seeds=(0, 1))
    result = evaluate({"map": free}, tiny, 2, rules, progress=False).scores[0]
    # Both pool pixels by class; the league does it over both seeds at once.
    assert entry.miou == pytest.approx(result.miou, abs=0.02)


def test_the_threshold_is_the_best_one_on_base_classes(tiny, recipe, monkeypatch):
    asked = []
    scored_at = league.scoring.score_model

    def watched(model, cache, episodes):
        counter = scored_at(model, cache, episodes)
        asked.append((model.threshold, {e.class_id for e in episodes}, counter.miou()))
        return counter

    monkeypatch.setattr(league.scoring, "score_model", watched)
    scored = score_league([Method("local")], tiny, (3,), recipe, RULES, progress=False)
    assert {t for t, _, _ in asked} == set(league.scoring.THRESHOLDS)
    assert set.union(*(classes for _, classes, _ in asked)) <= set(base_classes(3, 8))
    best = max(asked, key=lambda a: a[2])
    assert scored.entries[0].thresholds == {"3": best[0]}


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_table_file_and_picture(voc, recipe, monkeypatch, tmp_path, capsys):
    from ltm_edu.commands import compare

    monkeypatch.setattr(compare, "recipe_for", lambda data, name: recipe)
    path, picture = tmp_path / "league.json", tmp_path / "league.png"
    call = f"compare --data {voc} --fold 0,1 --rule any --episodes 8 --method local"
    call += f" --method ridge --train --set steps=1 --json {path} --png {picture}"
    assert cli.main(call.split()) == 0
    out = capsys.readouterr().out
    assert out.count("ridge ") == 2
    assert "[" in out
    assert "95 % interval" in out
    saved = League.load(path)
    assert saved.table() + "\n" == out
    assert saved.command == f"ltm-edu {call}"
    assert saved.folds == (0, 1)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_fold_that_cannot_be_trained_is_left_out_before_any_other_trains(
    voc, recipe, monkeypatch, tmp_path, capsys
):
    """Each training picture also shows a disc, which fold 0 must not see."""
    from ltm_edu.commands import compare

    monkeypatch.setattr(compare, "recipe_for", lambda data, name: recipe)
    for path in (voc / "SegmentationClass").glob("train_*.png"):
        mask = np.array(Image.open(path))
        mask[0, 0] = 1
        Image.fromarray(mask).save(path)
    trained = []
    fit = league.scoring.fit
    monkeypatch.setattr(
        league.scoring,
        "fit",
        lambda *given, **more: trained.append(given[2]) or fit(*given, **more),
    )
    path = tmp_path / "league.json"
    call = f"compare --data {voc} --rule any --episodes 4 --method local --train --json {path}"
    assert cli.main([*call.split(), "--fold", "1,0"]) == 1
    assert trained == [1]
    out, error = capsys.readouterr()
    assert "fold 0 is not compared" in error
    assert "--novel-images keep keeps them" in out
    assert "--novel-images void with those not counted" in out
    assert "--novel-images keep keeps them" in error
    assert list(League.load(path).skipped) == ["0"]
    assert cli.main([*call.split(), "--fold", "0"]) == 2
    assert "--novel-images keep keeps them" in capsys.readouterr().err
    assert cli.main([*call.split(), "--fold", "0", "--novel-images", "keep"]) == 0
    assert trained == [1, 0]
    assert League.load(path).protocol.novel_images == "keep"


def test_the_chart_has_a_panel_for_each_kind_and_a_dot_for_each_method(tiny, recipe):
    methods = [Method("local"), Method("ridge"), Method("maximum")]
    scored = score_league(methods, tiny, (0,), recipe, RULES, trainings=1, progress=False)
    figure = league_chart(scored)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        labels = [t.get_text() for t in axes.get_yticklabels()]
        assert [label.split()[0] for label in labels] == ["ridge", "maximum"]
        dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        kind = axes.get_title() != "training-free"
        expected = [e.difference.value for e in scored.entries if e.trained == kind][1:]
        assert dots == pytest.approx(expected)


def test_an_unknown_method_or_a_damaged_file_is_refused(voc, tmp_path, capsys):
    assert cli.main(["compare", "--data", str(voc), "--method", "magic"]) == 2
    assert "magic" in capsys.readouterr().err
    path = tmp_path / "league.json"
    path.write_text(json.dumps({"entries": [{"method": 3}]}))
    refused(lambda: League.load(path), str(path), "ltm-edu compare writes one")
    refused(lambda: League.load(tmp_path / "none.json"), "none.json")


def test_the_same_seed_trains_the_same_network(tiny, recipe):
    torch.manual_seed(5)
    one, two = (
        score_league([Method("local")], tiny, (0,), recipe, RULES, trainings=1, progress=False)
        for _ in range(2)
    )
    assert [e.per_class for e in one.entries] == [e.per_class for e in two.entries]
