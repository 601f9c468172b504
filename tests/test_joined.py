"""Several data sets as one: classes joined by name, each mask in the joined ids."""

import numpy as np
import pytest
import torch
from helpers import CLASSES, refused, tiny_model, write_voc

from ltm_edu import cli, load_checkpoint
from ltm_edu.datasets.joined import join_folders
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.features.cache import FeatureCache
from ltm_edu.scores import load_results

OTHER = ("tile", "sofa", "disc", "boat")


@pytest.fixture
def two(tmp_path):
    """Eight classes, and four of which two are among the eight."""
    one = write_voc(tmp_path / "one", train=2, val=2)
    two = write_voc(tmp_path / "two", train=3, val=2, classes=OTHER, seed=1)
    return VocFolder.open(one), VocFolder.open(two)


def test_classes_are_joined_by_name_and_masks_follow(two):
    joined = join_folders(two)
    assert joined.classes == (*CLASSES, "couch", "boat")
    assert len(joined.names("train")) == 8 * 2 + 4 * 3
    for name in joined.names("all"):
        part, own = two[int(name[0])], name[2:]
        before, after = part.mask(own), joined.mask(name)
        assert np.array_equal(after == 255, before == 255)
        for c, of_part in enumerate(part.classes, start=1):
            called = "couch" if of_part == "sofa" else of_part
            assert np.array_equal(before == c, after == joined.classes.index(called) + 1)
        assert joined.image(name).tobytes() == part.image(own).tobytes()


def test_what_is_odd_in_a_part_is_odd_in_the_whole(two):
    path = two[1].root / "classes.txt"
    path.write_text(f"background\n{path.read_text()}")
    (line,) = join_folders([two[0], VocFolder.open(two[1].root)]).warnings
    assert str(path) in line


def test_the_index_is_that_of_the_parts_together(two):
    pixels = join_folders(two).index("train").pixels.sum(axis=0)
    expected = dict.fromkeys((*CLASSES, "couch", "boat"), 0)
    for part in two:
        for name, count in zip(part.classes, part.index("train").pixels.sum(axis=0), strict=True):
            expected["couch" if name == "sofa" else name] += count
    assert pixels.tolist() == list(expected.values())


def test_equal_names_in_two_folders_stay_two_pictures(two):
    joined = join_folders(two)
    assert {"0/train_disc_0", "1/train_disc_0"} <= set(joined.names("train"))
    cache = FeatureCache(tiny_model(), joined, joined.names("val"), progress=False)
    a, b = (cache.features([f"{i}/val_disc_0"])[0] for i in (0, 1))
    assert not torch.equal(a, b)


def test_training_on_two_sets_makes_one_checkpoint_for_both(two, tmp_path, capsys):
    path = tmp_path / "both.pt"
    call = f"train --data {two[0].root} --with {two[1].root} --all-classes --rule any --steps 1"
    call += f" --size 97 --set batch=2 --features memory --checkpoint {path}"
    assert cli.main(call.split()) == 0
    trained_on = load_checkpoint(path)[1]
    assert trained_on.dataset == "one+two"
    assert trained_on.base_classes == (*CLASSES, "couch", "boat")
    capsys.readouterr()
    assert cli.main(f"evaluate --data {two[1].root} --checkpoint {path}".split()) == 2
    assert "was trained on tile" in capsys.readouterr().err  # fold 0 of four classes


def test_a_class_that_voc_calls_differently_is_leakage_all_the_same(two, tmp_path, capsys):
    path = tmp_path / "both.pt"
    call = f"train --data {two[0].root} --with {two[1].root} --all-classes --rule any --steps 1"
    call += f" --size 97 --set batch=2 --features memory --checkpoint {path}"
    assert cli.main(call.split()) == 0
    capsys.readouterr()
    assert cli.main(f"evaluate --data {two[1].root} --fold 1 --checkpoint {path}".split()) == 2
    assert "was trained on sofa" in capsys.readouterr().err


def test_a_fold_of_joined_sets_is_that_of_the_first(two, tmp_path, capsys):
    pattern = tmp_path / "fold{fold}.pt"
    call = f"train --data {two[1].root} --with {two[0].root} --fold 1,2 --rule any --steps 1"
    call += f" --size 97 --set batch=2 --features memory --checkpoint {pattern}"
    assert cli.main(call.split()) == 0
    for fold, novel in ((1, "couch"), (2, "disc")):
        trained_on = load_checkpoint(tmp_path / f"fold{fold}.pt")[1]
        assert trained_on.fold == (novel,)
        assert set(trained_on.base_classes) == {*CLASSES, "tile", "couch", "boat"} - {novel}
        ask = f"evaluate --data {two[1].root} --fold {fold} --rule any --episodes 2 --seed 0"
        assert cli.main([*ask.split(), "--checkpoint", str(pattern)]) == 0
        assert f"fold {fold}" in capsys.readouterr().out
        assert cli.main([*call.replace("1,2", str(fold)).split(), "--resume"]) == 0
        assert "is trained already" in capsys.readouterr().out
    ask = f"evaluate --data {two[0].root} --fold 0 --rule any --episodes 2 --checkpoint {pattern}"
    assert cli.main(ask.replace("{fold}", "1").split()) == 2
    assert "leakage" in capsys.readouterr().err


def test_a_class_that_is_left_out_may_have_either_of_its_names(two, tmp_path):
    call = f"train --data {two[0].root} --with {two[1].root} --rule any --steps 1 --size 97"
    for name in ("sofa", "couch"):
        path = tmp_path / f"{name}.pt"
        options = f"--set batch=2 --features memory --novel {name} --checkpoint {path}"
        assert cli.main(f"{call} {options}".split()) == 0
        assert load_checkpoint(path)[1].fold == ("couch",)


def test_too_few_classes_for_a_fold_of_joined_sets_are_refused(two, tmp_path, capsys):
    few = write_voc(tmp_path / "few", train=2, val=2, classes=OTHER[:3])
    assert cli.main(f"train --data {few} --with {two[1].root} --fold 0".split()) == 2
    assert "3 classes cannot make 4 folds" in capsys.readouterr().err


def test_what_is_missing_in_a_part_is_missing_in_the_whole(two):
    two[1].image_path("train_boat_1").unlink()
    joined = join_folders([VocFolder.open(part.root) for part in two]).available()
    assert joined.missing["train"] == ("1/train_boat_1",)
    assert "1/train_boat_1" not in joined.names("train")
    refused(lambda: join_folders(two).image("1/train_boat_1"), "train_boat_1.jpg is missing")


def test_every_class_can_be_asked_about_and_the_table_says_so(two, tmp_path, capsys):
    path = tmp_path / "scores.json"
    call = f"evaluate --data {two[0].root} --all-classes --rule any --episodes 16 --seed 0"
    assert cli.main([*call.split(), "--json", str(path)]) == 0
    assert "every class, trained on or not" in capsys.readouterr().out
    (results,) = load_results(path)
    assert results.fold == "all"
    assert set(results.scores[0].per_class) == set(CLASSES)
