"""The command line: train, evaluate, predict; and one line for every mistake."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from helpers import contents, files_at_most, write_voc
from PIL import Image

from ltm_edu import cli, evaluation, load_checkpoint
from ltm_edu import training as update
from ltm_edu.cli import main
from ltm_edu.commands import train
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import NovelImages, Protocol
from ltm_edu.runs.checkpoint import TrainedOn, save_checkpoint

FAST = ("--size", "97", "--steps", "2")


def command(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture
def refused(tmp_path, capsys):
    """Check that a command ends with status 2 and one line, and writes nothing."""

    def check(*arguments: object, says: tuple[str, ...]) -> None:
        before = contents(tmp_path)
        assert command(*arguments) == 2
        out, err = capsys.readouterr()
        # What a terminal shows: a bar that is wiped out is no line.
        shown = [line.rsplit("\r", 1)[-1] for line in err.split("\n")]
        lines = [line for line in shown if line.strip()]
        assert len(lines) == 1, err
        assert lines[0].startswith("ltm-edu: ")
        assert out == ""
        for part in says:
            assert part in lines[0]
        assert contents(tmp_path) == before

    return check


@pytest.fixture
def val(voc) -> VocFolder:
    return VocFolder.open(voc)


# What works


def test_training_writes_a_checkpoint_and_its_log_and_says_where(voc, tmp_path, capsys):
    path = tmp_path / "new" / "fold1.pt"
    given = ("train", "--data", voc, "--fold", 1, "--checkpoint", path, *FAST)
    assert command(*given, "--rows", "fg_bg", "--rule", "any", "--novel-images", "drop") == 0
    model, trained_on = load_checkpoint(path)
    assert (model.config.image_size, model.config.rows) == (97, "fg_bg")
    assert (trained_on.dataset, trained_on.fold) == ("voc", 1)
    assert trained_on.base_classes == ("disc", "tower", "wall", "coin", "mast", "beam")
    assert trained_on.protocol == Protocol("any", "drop", 1)
    assert trained_on.training["steps"] == 2
    assert trained_on.command.startswith("ltm-edu train --data ")
    assert "--rows fg_bg" in trained_on.command
    log = path.with_suffix(".jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2]
    assert {p.name for p in path.parent.iterdir()} == {"fold1.pt", "fold1.jsonl"}
    out = capsys.readouterr().out
    assert str(path) in out
    assert "fold 1" in out


def test_any_field_of_a_recipe_can_be_set_and_lands_in_the_checkpoint(voc, tmp_path):
    path = tmp_path / "fold0.pt"
    settings = ("--set", "features=8", "--set", "widths=8, 4, 4", "--set", "lambda_r=0")
    given = ("train", "--data", voc, "--checkpoint", path, *FAST, *settings)
    assert command(*given, "--set", "optimizer=adam", "--seed", 3, "--recipe", "photos") == 0
    model, trained_on = load_checkpoint(path)
    assert (model.config.features, model.config.widths) == (8, (8, 4, 4))
    assert trained_on.training["losses"]["lambda_r"] == 0
    assert (trained_on.training["optimizer"], trained_on.training["seed"]) == ("adam", 3)


def test_a_run_that_was_stopped_goes_on_and_leaves_no_state(voc, tmp_path, monkeypatch, capsys):
    path = tmp_path / "fold0.pt"
    given = ("train", "--data", voc, "--checkpoint", path, "--size", 97, "--steps", 4)
    given += ("--resume", "--save-every", 1)
    assert command(*given) == 0
    whole, _ = load_checkpoint(path)
    path.unlink()

    plain, calls = update.ltm_loss, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(update, "ltm_loss", stop)
    assert command(*given) == 130
    assert (tmp_path / "fold0.state").is_file()
    assert command(*given, "--rows", "fg_bg") == 2
    assert "network.rows was fg, is fg_bg" in capsys.readouterr().err
    assert command(*given) == 0
    assert len(calls) == 5  # two before the stop, the stopped one, two after it
    again, _ = load_checkpoint(path)
    a, b = whole.trainable_state(), again.trainable_state()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not (tmp_path / "fold0.state").exists()
    assert len((tmp_path / "fold0.jsonl").read_text().splitlines()) == 4


def test_four_folds_that_were_stopped_go_on_with_the_fold_that_is_not_done(
    voc, tmp_path, monkeypatch, capsys
):
    given = ("train", "--data", voc, "--fold", "all", "--checkpoint", tmp_path / "fold{fold}.pt")
    given += (*FAST, "--resume")
    plain, calls = train.fit, []

    def fit(*arguments, **named):
        calls.append(arguments[2])
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    monkeypatch.setattr(train, "fit", fit)
    assert command(*given) == 130
    first = (tmp_path / "fold0.pt").read_bytes()
    capsys.readouterr()
    assert command(*given) == 0
    assert calls == [0, 1, 1, 2, 3]
    assert (tmp_path / "fold0.pt").read_bytes() == first
    assert "fold0.pt is trained already" in capsys.readouterr().out


def test_a_checkpoint_of_another_training_is_not_trained_over_by_a_run_that_goes_on(
    voc, tmp_path, refused, capsys
):
    path = tmp_path / "fold0.pt"
    given = ("train", "--data", voc, "--checkpoint", path, *FAST)
    assert command(*given) == 0
    capsys.readouterr()
    says = (str(path), "training.seed was 0, is 3", "--checkpoint")
    refused(*given, "--resume", "--seed", 3, says=says)


def test_tensorboard_gets_a_curve_a_number(voc, tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            written.append(folder)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            written.append("closed")

        def add_scalar(self, *row):
            written.append((row[0], row[2]))

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    given = ("train", "--data", voc, "--checkpoint", tmp_path / "a.pt", *FAST)
    assert command(*given, "--tensorboard", tmp_path / "curves") == 0
    assert written[0] == tmp_path / "curves" / "a"
    assert written[-1] == "closed"
    assert set(written[1:-1]) == {(k, i) for k in ("L", "L_m", "L_a", "L_r") for i in (1, 2)}


def test_without_tensorboard_the_line_says_what_to_install(voc, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    given = ("train", "--data", voc, "--checkpoint", tmp_path / "a.pt", *FAST)
    assert command(*given, "--tensorboard", tmp_path / "curves") == 2
    assert "pip install 'ltm-edu[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "a.pt").exists()


def test_a_checkpoint_says_how_to_make_it_again(voc, tmp_path):
    first, second = tmp_path / "a.pt", tmp_path / "b.pt"
    command("train", "--data", voc, "--seed", 3, "--checkpoint", first, *FAST)
    again = load_checkpoint(first)[1].command.split()
    assert again[0] == "ltm-edu"
    main([str(second) if a == str(first) else a for a in again[1:]])
    one, other = (load_checkpoint(p)[0].state_dict() for p in (first, second))
    assert all(torch.equal(v, other[k]) for k, v in one.items())


def test_a_fold_is_the_same_whether_it_is_trained_alone_or_after_others(voc, tmp_path):
    for fold in ("0,2", "2"):
        pattern = tmp_path / f"{fold}_{{fold}}.pt"
        assert command("train", "--data", voc, "--fold", fold, "--checkpoint", pattern, *FAST) == 0
    after, alone = (load_checkpoint(tmp_path / f"{f}_2.pt")[0] for f in ("0,2", "2"))
    a, b = after.trainable_state(), alone.trainable_state()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_four_folds_are_trained_and_scored_with_their_mean(voc, tmp_path, capsys):
    pattern, results = tmp_path / "fold{fold}.pt", tmp_path / "results.json"
    given = ("--data", voc, "--fold", "all", "--checkpoint", pattern)
    assert command("train", *given, *FAST) == 0
    assert {p.name for p in tmp_path.glob("*.pt")} == {f"fold{f}.pt" for f in range(4)}
    capsys.readouterr()
    score = ("--episodes", 4, "--seed", 0, "--seed", 1, "--json", results)
    assert command("evaluate", *given, *score) == 0
    out = capsys.readouterr().out
    found = json.loads(results.read_text())
    assert [r["fold"] for r in found] == [0, 1, 2, 3, "mean"]
    assert found[0]["protocol"]["seeds"] == [0, 1]
    for row in found[-1]["scores"]:
        assert f"{row['miou']:.3f}" in out
    methods = [s["method"] for s in found[0]["scores"]]
    assert methods[0] == "LTM (local, fg)"
    assert {"training-free map (fg)", "all foreground", "all background"} <= set(methods)
    assert str(Protocol(novel_images="drop", episodes=4, seeds=(0, 1))) in out


def test_the_command_knows_every_rule_for_novel_images():
    assert get_args(NovelImages) == cli._NOVEL_IMAGES


def test_the_rule_for_novel_images_is_kept_with_the_network_and_its_scores(voc, tmp_path, capsys):
    path, results = tmp_path / "void.pt", tmp_path / "results.json"
    given = ("train", "--data", voc, "--checkpoint", path, "--novel-images", "void", *FAST)
    assert command(*given) == 0
    assert load_checkpoint(path)[1].protocol.novel_images == "void"
    given = ("evaluate", "--data", voc, "--checkpoint", path, "--episodes", 2, "--seed", 0)
    assert command(*given, "--json", results) == 0
    assert "novel images in training: void" in capsys.readouterr().out
    assert json.loads(results.read_text())[0]["protocol"]["novel_images"] == "void"


def test_evaluating_without_a_checkpoint_gives_the_floors(voc, tmp_path, capsys):
    assert command("evaluate", "--data", voc, "--episodes", 2, "--seed", 0) == 0
    out = capsys.readouterr().out
    assert "training-free map (fg_bg)" in out
    assert "all foreground" in out


def test_a_model_of_all_classes_predicts(voc, val, tmp_path, capsys):
    path = tmp_path / "all.pt"
    assert command("train", "--data", voc, "--all-classes", "--checkpoint", path, *FAST) == 0
    assert load_checkpoint(path)[1].base_classes == val.classes
    capsys.readouterr()
    a, b, c = val.names("val")[:3]
    support = (val.image_path(a), val.mask_path(a))
    queries = (val.image_path(b), val.image_path(c))
    out = tmp_path / "made" / "here"
    given = ("predict", "--checkpoint", path, "--query", *queries, "--support", *support)
    assert command(*given, "--out", out) == 0
    printed = capsys.readouterr().out.split()
    assert sorted(printed) == sorted(str(p) for p in out.iterdir())
    for name in (b, c):
        with Image.open(out / f"{name}_mask.png") as mask:
            assert mask.size == val.image(name).size
            assert set(np.unique(np.array(mask))) <= {0, 255}
        with Image.open(out / f"{name}_overlay.png") as overlay:
            assert overlay.size == val.image(name).size


def test_the_command_line_and_python_give_one_mask(trained, val, tmp_path):
    from ltm_edu import predict

    query, support = val.names("val")[:2]
    pair = (val.image_path(support), val.mask_path(support))
    given = ("predict", "--checkpoint", trained.checkpoint, "--query", val.image_path(query))
    assert command(*given, "--support", *pair, "--out", tmp_path / "out") == 0
    ours = predict(load_checkpoint(trained.checkpoint)[0], val.image_path(query), pair)
    with Image.open(tmp_path / "out" / f"{query}_mask.png") as mask:
        assert np.array_equal(np.array(mask) > 0, ours.mask)


@pytest.mark.parametrize("given", [(), ("train",), ("evaluate",), ("predict",)])
def test_help_names_every_option(given, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*given, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    for name in {(): ("train", "evaluate", "predict")}.get(given, ("--checkpoint",)):
        assert name in out


def test_every_option_of_every_command_has_a_line_of_help():
    parsers, silent = [cli._parser()], []
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            elif not action.help:
                silent.append(f"{parser.prog}: {action.dest}")
    assert len(parsers) > 12
    assert silent == []


# Mistakes: each is one line, status 2, and nothing half-written


def spoil(voc: Path, fault: str) -> tuple[str, ...]:
    """Break a folder; return what the message must name."""
    data = VocFolder.open(voc)
    name = next(n for n in data.names("train") if "square" in n)
    other = next(n for n in data.names("val") if "disc" in n)
    image, mask = data.image_path(name), data.mask_path(name)
    if fault == "no JPEGImages":
        (voc / "JPEGImages").rename(voc / "Images")
        return (str(voc), "JPEGImages/", "VOC's layout")
    if fault == "no SegmentationClass":
        (voc / "SegmentationClass").rename(voc / "Masks")
        return (str(voc), "SegmentationClass/")
    for n in (name, other):
        image, mask = data.image_path(n), data.mask_path(n)
        if fault == "a picture that is none":
            image.write_text("no picture")
        elif fault == "a picture cut short":
            image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
        elif fault == "a mask cut short":
            mask.write_bytes(mask.read_bytes()[: mask.stat().st_size // 2])
        elif fault == "a picture missing":
            image.unlink()
        elif fault == "a mask of another size":
            with Image.open(mask) as file:
                grown = file.resize((300, 301), Image.Resampling.NEAREST)
            grown.save(mask)
        elif fault == "a class id over the list":
            ids = data.mask(n)
            ids[0, 0] = 77
            Image.fromarray(ids).save(mask)
    return {
        "a mask of another size": ("300x301", ".png", ".jpg"),
        "a mask cut short": (".png",),
        "a class id over the list": ("class id 77", ".png", "classes.txt"),
    }.get(fault, (".jpg",))


@pytest.mark.parametrize(
    "fault",
    [
        "no JPEGImages",
        "no SegmentationClass",
        "a picture that is none",
        "a picture cut short",
        "a mask cut short",
        "a picture missing",
        "a mask of another size",
        "a class id over the list",
    ],
)
@pytest.mark.parametrize("task", ["train", "evaluate"])
def test_a_folder_with_a_fault_is_refused(voc, tmp_path, refused, task, fault):
    says = spoil(voc, fault)
    given = {
        "train": ("--checkpoint", tmp_path / "runs" / "new.pt", *FAST),
        "evaluate": ("--episodes", 12, "--seed", 0, "--json", tmp_path / "runs" / "r.json"),
    }
    refused(task, "--data", voc, *given[task], says=says)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--data", "nowhere/at/all"), ("nowhere/at/all", "is not a folder")),
        (("--fold", "4"), ("--fold 4", "0, 1, 2 and 3")),
        (("--fold", "two"), ("--fold two",)),
        (("--split", "test"), ("test.txt", "train, val")),
        (("--shots", "3"), ("use fewer shots",)),
        (("--shots", "0"), ("at least 1",)),
    ],
)
@pytest.mark.parametrize("task", ["train", "evaluate"])
def test_an_argument_that_does_not_fit_is_refused(voc, tmp_path, refused, task, given, says):
    more = ("--checkpoint", tmp_path / "new.pt", *FAST) if task == "train" else ()
    refused(task, "--data", voc, *more, *given, says=says)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--steps", "0"), ("steps",)),
        (("--fold", "all"), ("{fold}", "--checkpoint")),
        (("--size", "0"), ("size",)),
        (("--size", "-5"), ("size",)),
        (("--seed", "-1"), ("seed",)),
        (("--set", "form=bogus"), ("form 'bogus'", "printed or released")),
        (("--set", "reduction=max"), ("reduction 'max'", "mean or sum")),
        (("--set", "transformation=nonsense"), ("transformation", "choose local, ")),
        (("--set", "rows=bad"), ("rows 'bad'", "fg or fg_bg")),
        (("--set", "shots=5"), ("shots '5'", "mean or renormalized or stack")),
        (("--set", "stages=5"), ("stages", "112, 320")),
        (("--set", "widths=1,2"), ("widths", "three")),
        (("--set", "embedding=-1"), ("embedding",)),
        (("--set", "query_scales=1.0,-1"), ("query_scales", "between")),
        (("--set", "learning_rate=-1"), ("learning_rate",)),
        (("--set", "embedding_rate=1e400"), ("embedding_rate", "finite")),
        (("--set", "clip=0"), ("clip",)),
        (("--device", "meta"), ("device meta", "holds no numbers")),
    ],
)
def test_a_training_that_cannot_be_is_refused(voc, tmp_path, refused, given, says):
    refused("train", "--data", voc, "--checkpoint", tmp_path / "n.pt", *FAST, *given, says=says)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--episodes", "0"), ("episodes",)),
        (("--seed", "-1"), ("seed",)),
        (("--seed", "3", "--seed", "3"), ("seeds 3, 3", "once")),
        (("--query-scales", "1,2"), ("--query-scales", "checkpoints")),
        (("--crf",), ("--crf", "checkpoints")),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused(voc, refused, given, says):
    refused("evaluate", "--data", voc, *given, says=says)


@pytest.mark.parametrize(
    ("scales", "says"),
    [("1;2", ("--query-scales 1;2", "0.7,1,1.3")), ("0,1", ("query_scales", "between 0.1 and 4"))],
)
def test_query_scales_that_are_none_are_refused(voc, trained, refused, scales, says):
    given = ("evaluate", "--data", voc, "--checkpoint", trained.checkpoint)
    refused(*given, "--query-scales", scales, says=says)


def test_results_that_could_not_be_written_are_refused_before_anything_is_scored(
    voc, refused, monkeypatch
):
    monkeypatch.setattr(evaluation, "evaluate", None)
    target = voc / "classes.txt" / "new" / "r.json"
    refused("evaluate", "--data", voc, "--json", target, says=("cannot write", "classes.txt is in"))
    refused("evaluate", "--data", voc, "--json", voc, says=("cannot write", "it is a folder"))


def test_a_list_without_a_picture_of_the_class_is_refused(voc, val, tmp_path, refused):
    names = [n for n in val.names("val") if "square" in n]
    (voc / "ImageSets/Segmentation/val.txt").write_text("\n".join(names))
    refused("evaluate", "--data", voc, "--fold", 0, says=("1 shots", "more images"))


@pytest.mark.parametrize("kind", ["missing", "damaged", "another model", "no checkpoint", "pickle"])
@pytest.mark.parametrize("task", ["evaluate", "predict"])
def test_a_checkpoint_that_is_none_is_refused(voc, val, trained, tmp_path, refused, task, kind):
    path = tmp_path / "c.pt"
    content = torch.load(trained.checkpoint, weights_only=True)
    if kind == "damaged":
        path.write_bytes(trained.checkpoint.read_bytes()[:-900])
    elif kind == "another model":
        content["model"]["features"] = 40
        torch.save(content, path)
    elif kind == "no checkpoint":
        torch.save(content["state"], path)
    elif kind == "pickle":
        path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "crater").encode() + b"'\ntR.")
    name = val.names("val")[0]
    image, mask = val.image_path(name), val.mask_path(name)
    more = {
        "evaluate": ("--data", voc),
        "predict": ("--query", image, "--support", image, mask, "--out", tmp_path / "out"),
    }
    refused(task, "--checkpoint", path, *more[task], says=(str(path),))
    assert not (tmp_path / "crater").exists()


def test_a_checkpoint_that_trained_on_the_folds_classes_is_not_scored(voc, trained, refused):
    given = ("evaluate", "--data", voc, "--checkpoint", trained.checkpoint)
    refused(*given, "--fold", 1, says=(str(trained.checkpoint), "square", "fold 1", "leakage"))


def test_checkpoints_of_folds_under_other_rules_are_refused_before_anything_is_scored(
    voc, trained, tmp_path, refused, monkeypatch
):
    monkeypatch.setattr(evaluation, "evaluate", None)
    for fold in range(4):
        rules = Protocol(novel_images="drop" if fold == 2 else "keep")
        save_checkpoint(tmp_path / f"{fold}.pt", trained.model, TrainedOn("voc", fold, (), rules))
    given = ("evaluate", "--data", voc, "--checkpoint", tmp_path / "{fold}.pt", "--fold", "all")
    refused(*given, says=("differ in --novel-images", f"{tmp_path / '2.pt'}: drop", "one by one"))


def test_its_own_fold_is_scored(voc, trained, capsys):
    given = ("evaluate", "--data", voc, "--checkpoint", trained.checkpoint, "--episodes", 2)
    assert command(*given, "--seed", 0) == 0
    assert "LTM (local, fg)" in capsys.readouterr().out


def test_checkpoints_of_one_name_in_two_folders_keep_their_rows(voc, trained, tmp_path, capsys):
    other = tmp_path / "other" / trained.checkpoint.name
    other.parent.mkdir()
    other.write_bytes(trained.checkpoint.read_bytes())
    given = ("evaluate", "--data", voc, "--checkpoint", trained.checkpoint, "--episodes", 2)
    assert command(*given, "--seed", 0, "--checkpoint", other) == 0
    out = capsys.readouterr().out
    assert "\nLTM (local, fg)" in out
    assert f"\n{other.parent / 'LTM'} (local, fg)" in out


def test_other_query_scales_are_scored_in_a_row_of_their_own(voc, trained, tmp_path):
    results = tmp_path / "results.json"
    given = ("evaluate", "--data", voc, "--checkpoint", trained.checkpoint, "--episodes", 4)
    assert command(*given, "--seed", 0, "--query-scales", "0.7,1,1.3", "--json", results) == 0
    rows = {s["method"]: s["miou"] for s in json.loads(results.read_text())[0]["scores"]}
    one, several = "LTM (local, fg)", "LTM (local, fg, query at 0.7 1 1.3)"
    assert list(rows)[:2] == [one, several]
    assert rows[one] != rows[several]


def test_episodes_that_were_kept_are_asked_again(voc, trained, tmp_path, capsys, refused):
    lists = tmp_path / "lists" / "fold{fold}_seed{seed}.json"
    given = ("evaluate", "--data", voc, "--checkpoint", trained.checkpoint, "--episodes", 6)
    given += ("--seed", 3, "--seed", 4)
    assert command(*given) == 0
    drawn = capsys.readouterr().out
    assert command(*given, "--episode-lists", lists) == 0
    assert capsys.readouterr().out == drawn
    assert {p.name for p in lists.parent.iterdir()} == {"fold0_seed3.json", "fold0_seed4.json"}

    path = lists.parent / "fold0_seed3.json"
    kept = json.loads(path.read_text())
    kept["episodes"] = kept["episodes"][:1] * 6
    path.write_text(json.dumps(kept))
    assert command(*given, "--episode-lists", lists) == 0
    assert capsys.readouterr().out != drawn  # the file is what is asked, not the seed

    given = (*given[:-6], "--episode-lists", lists)
    refused(*given, "--seed", 3, "--seed", 4, "--episodes", 5, says=("6 of seed 3", "asks for 5"))
    refused(*given, "--seed", 3, "--episodes", 6, "--shots", 2, says=("1 shots, not 2",))
    kept["episodes"] = [[2, *row[1:]] for row in kept["episodes"]]
    path.write_text(json.dumps(kept))
    refused(*given, "--seed", 3, "--episodes", 6, says=("class 2", "fold 0 does not test"))
    kept["episodes"] = [[1, "nowhere", row[2]] for row in kept["episodes"]]
    path.write_text(json.dumps(kept))
    refused(*given, "--seed", 3, "--episodes", 6, says=("names nowhere", "not in val"))
    one = (*given[:-1], str(lists).replace("{seed}", ""), "--seed", 3, "--seed", 4)
    refused(*one, says=("--episode-lists needs {seed}",))


@pytest.mark.compiler
def test_crf_adds_a_row(voc, trained, tmp_path, capsys):
    pytest.importorskip("pydensecrf", reason="the extra crf is built with a C++ compiler")
    given = ("evaluate", "--data", voc, "--checkpoint", trained.checkpoint, "--episodes", 2)
    assert command(*given, "--seed", 0, "--crf") == 0
    assert "LTM (local, fg) + CRF, median" in capsys.readouterr().out


def test_a_mask_without_foreground_is_refused(val, trained, tmp_path, refused):
    name = val.names("val")[0]
    empty = tmp_path / "empty.png"
    Image.new("L", val.image(name).size).save(empty)
    given = ("predict", "--checkpoint", trained.checkpoint, "--query", val.image_path(name))
    given = (*given, "--out", tmp_path / "out", "--support", val.image_path(name))
    refused(*given, empty, says=(str(empty), "no foreground"))
    mask = val.mask_path(name)
    refused(*given, mask, "--class-id", 5, says=(str(mask), "no pixel of class 5"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("which", ["query", "support", "mask"])
def test_a_missing_picture_is_refused_before_anything_is_written(
    val, trained, tmp_path, refused, which
):
    a, b = val.names("val")[:2]
    files = {"query": val.image_path(a), "support": val.image_path(b), "mask": val.mask_path(b)}
    files[which] = tmp_path / "nothing.png"
    given = ("predict", "--checkpoint", trained.checkpoint, "--out", tmp_path / "out")
    support = ("--support", files["support"], files["mask"])
    query = ("--query", val.image_path(a), files["query"].with_name(files["query"].name))
    if which != "query":
        query = query[:2]
    refused(*given, *query, *support, says=(str(tmp_path / "nothing.png"), "is not there"))
    assert not (tmp_path / "out").exists()


def test_queries_that_would_overwrite_each_other_are_refused(val, trained, tmp_path, refused):
    name = val.names("val")[0]
    image, mask = val.image_path(name), val.mask_path(name)
    given = ("predict", "--checkpoint", trained.checkpoint, "--out", tmp_path / "out")
    refused(*given, "--query", image, image, "--support", image, mask, says=("two queries",))


def test_a_training_that_fails_leaves_the_old_checkpoint_and_log(
    voc, tmp_path, capsys, monkeypatch
):
    path = tmp_path / "runs" / "m.pt"
    given = ("train", "--data", voc, "--checkpoint", path, *FAST)
    assert command(*given) == 0
    before = contents(path.parent)
    spoil(voc, "a picture cut short")
    assert command(*given, "--overwrite") == 2
    assert contents(path.parent) == before

    write_voc(tmp_path / "other", train=3, val=1)
    capsys.readouterr()
    given = ("train", "--data", tmp_path / "other", "--checkpoint", path, *FAST, "--overwrite")
    with files_at_most(20_000):
        assert command(*given, "--features", "memory") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("ltm-edu")]
    assert line == f"ltm-edu: cannot write {path}: File too large"
    assert contents(path.parent)["m.pt"] == before["m.pt"]
    assert {p.name for p in path.parent.iterdir()} == {"m.pt", "m.jsonl"}


def test_a_loss_that_is_not_finite_ends_with_status_1_and_one_line(
    voc, tmp_path, capsys, monkeypatch
):
    plain = update.ltm_loss
    monkeypatch.setattr(update, "ltm_loss", lambda *a: (plain(*a)[0] * float("nan"), plain(*a)[1]))
    path = tmp_path / "m.pt"
    assert command("train", "--data", voc, "--checkpoint", path, *FAST) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("ltm-edu: the loss is nan on queries")
    assert not path.exists()


def test_control_c_ends_with_status_130(voc, monkeypatch, capsys):
    from ltm_edu.commands import evaluate

    def stop(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "chosen_dataset", stop)
    assert command("evaluate", "--data", voc) == 130
    assert capsys.readouterr().err == "ltm-edu: stopped\n"


def test_as_a_program_a_mistake_is_one_line_and_status_2(tmp_path):
    program = [sys.executable, "-c", "import sys; from ltm_edu.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*program, "train", "--data", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ltm-edu: ")
    assert "none is not a folder" in line
    assert list(tmp_path.iterdir()) == []
