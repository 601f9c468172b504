"""tools.ablation: which settings a variant has, what it scores, and the file that it writes."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import TinyBackbone

from ltm_edu.backbones import BACKBONES
from ltm_edu.datasets import open_dataset
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import Protocol, novel_classes
from ltm_edu.evaluation import evaluate
from ltm_edu.model import LTM
from ltm_edu.runs.recipes import PHOTOGRAPHS
from ltm_edu.training import fit
from tools import ablation

SMALL = ("backbone=tiny", "image_size=97", "features=4", "widths=4,2,2", "steps=2", "batch=2")


@pytest.fixture
def tiny_backbone(monkeypatch):
    """A backbone that tests can afford."""
    monkeypatch.setitem(BACKBONES, "tiny", lambda stages: TinyBackbone())


def test_the_variants_lead_from_the_papers_network_to_the_recipe():
    first, *_ = (PHOTOGRAPHS.changed(settings) for settings in ablation.VARIANTS.values())
    assert (first.model_config.transformation, first.model_config.rows) == ("local", "fg")
    assert not first.model_config.residual
    assert first.training_config.losses == replace(
        PHOTOGRAPHS.training_config.losses, lambda_d=0, object_weight=1
    )
    recipes = [PHOTOGRAPHS.changed(settings) for settings in ablation.VARIANTS.values()]
    assert recipes.count(PHOTOGRAPHS) == 1  # the recipe itself is one of them
    assert len({str(recipe) for recipe in recipes}) == len(recipes)  # no two are the same


def trained_alone(data: VocFolder, name: str, fold: int, seed: int, split: str = "val") -> float:
    """The mIoU of a variant that `fit` trains and `evaluate` scores."""
    recipe = PHOTOGRAPHS.changed([*ablation.VARIANTS[name], *SMALL])
    rules = Protocol("any", recipe.novel_images, episodes=8, seeds=(0,))
    backbone = TinyBackbone()
    torch.manual_seed(seed)
    model = LTM(recipe.model_config, backbone)
    fit(model, data, fold, recipe.training(seed=seed), rules, progress=False)
    return evaluate({"alone": model}, data, fold, rules, split, progress=False).scores[0].miou


def test_a_variant_scores_what_its_network_scores_when_trained_alone(tiny, tiny_backbone):
    name = "+ a second mask row"
    (row,) = ablation.ablation(
        tiny, [0, 2], SMALL, [name], episodes=8, rule="any", progress=False, trainings=2
    )
    alone = {
        (fold, seed): trained_alone(tiny, name, fold, seed)
        for fold, seed in itertools.product((0, 2), (0, 1))
    }
    for fold in (0, 2):
        mean = (alone[fold, 0] + alone[fold, 1]) / 2
        assert row["folds"][str(fold)] == pytest.approx(mean)
    assert row["mean"] == pytest.approx(sum(row["folds"].values()) / 2)
    for fold in (0, 2):
        names = [tiny.classes[c - 1] for c in novel_classes(fold, 8)]
        of_classes = [row["classes"][name] for name in names if name in row["classes"]]
        assert np.mean(of_classes) == pytest.approx(row["folds"][str(fold)])
    means = [(alone[0, seed] + alone[2, seed]) / 2 for seed in (0, 1)]
    assert row["trainings"] == pytest.approx(means)


def test_questions_come_from_the_list_that_is_asked_for(tiny, tiny_backbone):
    name = next(iter(ablation.VARIANTS))
    scores = {}
    for split in ("val", "all"):
        (row,) = ablation.ablation(
            tiny, [0], SMALL, [name], episodes=8, rule="any", progress=False, split=split
        )
        scores[split] = row["mean"], trained_alone(tiny, name, 0, 0, split)
    for found, alone in scores.values():
        assert found == pytest.approx(alone)
    assert scores["val"] != scores["all"]


def test_the_command_writes_the_rows_and_itself(voc, tiny_backbone, tmp_path, capsys):
    names = [*ablation.VARIANTS][:2]
    call = ["--data", str(voc), "--fold", "0", "--steps", "1", "--rule", "any", "--episodes", "4"]
    call += [part for name in names for part in ("--variant", name)]
    call += [part for setting in SMALL if "steps" not in setting for part in ("--set", setting)]
    assert ablation.main([*call, "--json", str(tmp_path / "a.json")]) == 0
    record = json.loads((tmp_path / "a.json").read_text())
    assert [row["name"] for row in record["rows"]] == names
    assert record["command"].startswith(f"python -m tools.ablation --data {voc} --fold 0")
    assert (record["dataset"], record["steps"], record["episodes"]) == ("voc", 1, 4)
    assert record["rows"][0]["difference"] == [0, 0, 0]  # to itself
    value, low, high = record["rows"][1]["difference"]
    assert value == pytest.approx(record["rows"][1]["mean"] - record["rows"][0]["mean"], abs=1e-6)
    assert low <= value <= high
    assert names[0] in capsys.readouterr().out
    assert open_dataset(voc).names("val")  # the data set is as it was


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--variant", "none"], "no variant 'none': there are the paper's"),
        (["--fold", "7"], "there are folds 0, 1, 2 and 3"),
        (["--set", "colour=3"], "no such field"),
        (["--train", "0"], "--train 0: at least 1"),
        (["--device", "nowhere"], "device nowhere cannot be used here"),
    ],
)
def test_a_wrong_option_is_one_line(voc, wrong, says, capsys):
    assert ablation.main(["--data", str(voc), *wrong]) == 2
    assert says in capsys.readouterr().err
