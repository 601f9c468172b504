"""A data set that is only partly there: what is missing is said, and no score is without it."""

import json
from dataclasses import replace

import pytest
from helpers import TinyBackbone, refused, tiny_model, write_voc

from ltm_edu import cli
from ltm_edu.backbones import BACKBONES
from ltm_edu.datasets.coverage import Coverage, coverage
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import Protocol
from ltm_edu.evaluation import evaluate
from ltm_edu.league import League, Method, score_league
from ltm_edu.model import TrainingFreeMap
from ltm_edu.runs.recipes import PHOTOS
from ltm_edu.scores import load_results


@pytest.fixture
def partly(tmp_path):
    """Two pictures of discs and a mask are missing from val, one picture from train."""
    voc = write_voc(tmp_path / "voc")
    for name in ("val_disc_0", "val_disc_1", "train_coin_2"):
        (voc / "JPEGImages" / f"{name}.jpg").unlink()
    (voc / "SegmentationClass" / "val_mast_3.png").unlink()
    return voc


def test_available_leaves_out_what_lacks_its_picture_or_its_mask(partly):
    full = VocFolder.open(partly)
    here = full.available()
    assert set(full.names("val")) - set(here.names("val")) == {
        "val_disc_0",
        "val_disc_1",
        "val_mast_3",
    }
    assert here.missing["train"] == ("train_coin_2",)
    assert [n for n in full.names("val") if n in here.names("val")] == list(here.names("val"))


def test_coverage_counts_the_pictures_that_show_a_class(partly):
    here = VocFolder.open(partly).available()
    assert coverage(here, "val", (1, 2, 7)) == Coverage(
        "val", 29, 32, 1, {"disc": (2, 4), "square": (4, 4), "mast": (3, 3)}
    )
    assert coverage(here, "all", (5,)).of_classes == {"coin": (9, 10)}
    assert coverage(VocFolder.open(partly), "val", (1,)) is None


def test_pictures_without_masks_are_counted_where_no_missing_picture_has_one(partly):
    for name in ("val_disc_0", "val_disc_1"):
        (partly / "SegmentationClass" / f"{name}.png").unlink()
    here = VocFolder.open(partly).available()
    assert coverage(here, "val", (1, 2)) == Coverage(
        "val", 29, 32, 3, {"disc": (2, 2), "square": (4, 4)}
    )


def test_the_coverage_is_counted_before_anything_is_scored(partly, monkeypatch):
    """A missing picture's mask may be damaged: then the scores would be lost."""
    backbone = TinyBackbone()
    monkeypatch.setitem(BACKBONES, "tiny", lambda stages: backbone)
    config = replace(tiny_model().config, backbone="tiny")
    here, rules = VocFolder.open(partly).available(), Protocol("any", episodes=4, seeds=(0,))
    damaged = here.mask_path("val_disc_0")
    damaged.write_bytes(b"no picture")
    models = {"map": TrainingFreeMap(config, backbone)}
    refused(lambda: evaluate(models, here, 0, rules, progress=False), str(damaged))
    recipe, methods = replace(PHOTOS, model_config=config), [Method("local")]
    refused(lambda: score_league(methods, here, (0,), recipe, rules, progress=False), str(damaged))
    assert backbone.seen == []


def test_a_complete_folder_has_no_coverage_to_tell(voc):
    here = VocFolder.open(voc).available()
    assert here.splits == VocFolder.open(voc).splits
    assert coverage(here, "val", (1, 2)) is None


@pytest.mark.parametrize("command", ["train", "evaluate", "compare"])
def test_missing_pictures_are_named_before_anything_runs(partly, command, capsys):
    (partly / "JPEGImages/train_disc_0.jpg").unlink()
    assert cli.main([command, "--data", str(partly)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    split, some = ("train", "train_coin_2") if command == "train" else ("val", "val_disc_0")
    assert some in error
    assert f"pictures in {split} lack a file" in error
    assert "--available" in error


def test_a_score_carries_its_coverage_on_screen_and_in_its_file(partly, tmp_path, capsys):
    path = tmp_path / "scores.json"
    call = f"evaluate --data {partly} --rule any --episodes 4 --seed 0 --available --json {path}"
    assert cli.main([*call.split(), "--fold", "all"]) == 0
    out = capsys.readouterr().out
    assert "only 29 of the 32 pictures in val are there" in out
    assert "disc 2 of 4, coin 4 of 4" in out
    assert "(without 1 whose masks are missing too)" in out
    *folds, mean = load_results(path)
    assert folds[0].coverage[0].of_classes == {"disc": (2, 4), "coin": (4, 4)}
    assert mean.coverage == tuple(c for r in folds for c in r.coverage)
    assert cli.main(["results", str(path)]) == 0
    assert capsys.readouterr().out.count("only 29 of the 32 pictures in val are there") == 4


def test_a_league_carries_its_coverage(partly, tmp_path, capsys):
    path = tmp_path / "league.json"
    call = f"compare --data {partly} --rule any --episodes 4 --available --method local"
    assert cli.main([*call.split(), "--json", str(path)]) == 0
    assert "only 29 of the 32 pictures in val are there" in capsys.readouterr().out
    assert League.load(path).coverage.of_classes == {"disc": (2, 4), "coin": (4, 4)}


def test_training_says_what_it_lacks(partly, tmp_path, capsys):
    call = f"train --data {partly} --rule any --steps 1 --size 97 --available --checkpoint"
    call += f" {tmp_path / 'some.pt'} --set batch=2 --features memory"
    assert cli.main(call.split()) == 0
    assert "only 47 of the 48 pictures in train are there" in capsys.readouterr().out


def test_results_without_the_field_still_load(voc, tmp_path):
    path = tmp_path / "scores.json"
    call = f"evaluate --data {voc} --rule any --episodes 4 --seed 0 --json {path}"
    assert cli.main(call.split()) == 0
    values = json.loads(path.read_text())
    del values[0]["coverage"]
    path.write_text(json.dumps(values))
    assert load_results(path)[0].coverage == ()
