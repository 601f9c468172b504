"""A small data set of one's own: one to three classes, novel ones by name, further training."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import CLASSES, TinyBackbone, contents, left_in, refused, tiny_model, write_voc
from PIL import Image

from ltm_edu import cli
from ltm_edu.backbones import BACKBONES
from ltm_edu.commands import of_fold
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import Episode, EpisodeList, Protocol
from ltm_edu.evaluation import draw_lists, evaluate
from ltm_edu.league import League
from ltm_edu.model import LTM, TrainingFreeMap
from ltm_edu.runs.checkpoint import TrainedOn, load_checkpoint, save_checkpoint, start_from
from ltm_edu.runs.settings import TrainingConfig
from ltm_edu.scores import load_results, mean_over_folds, save_results
from ltm_edu.training import fit

FAST = ("--size", 97, "--steps", 1, "--features", "memory", "--set", "batch=2")
FAST += ("--set", "backbone=tiny")


@pytest.fixture(autouse=True)
def tiny_backbone(monkeypatch):
    """A backbone that costs nothing, known by its name."""
    monkeypatch.setitem(BACKBONES, "tiny", lambda stages: TinyBackbone())


def command(*arguments: object) -> int:
    return cli.main([str(a) for a in arguments])


@pytest.fixture
def line_of(capsys):
    """Run a command that is refused; the one line that it prints."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert command(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        shown = (line.rsplit("\r", 1)[-1].strip() for line in err.split("\n"))
        (line,) = (line for line in shown if line)
        return line

    return run


def own_set(root, n: int, train: int = 3, val: int = 3):
    """A folder of n classes, some pictures of each in each list."""
    return write_voc(root, train, val, CLASSES[:n])


def own_model(**options: object) -> LTM:
    """A model whose checkpoint can be loaded, with weights drawn from torch's generator."""
    return LTM(replace(tiny_model(**options).config, backbone="tiny"), TinyBackbone())


def rewrite(root, change, pattern: str = "*") -> None:
    """Replace masks by what `change` makes of them."""
    for path in (root / "SegmentationClass").glob(f"{pattern}.png"):
        with Image.open(path) as file:
            mask = np.array(file)
        Image.fromarray(change(mask)).save(path)


def scored(root, fold=None, shots=1, episodes=1000, seeds=(0, 1), **options):
    model = TrainingFreeMap(tiny_model().config, TinyBackbone())
    rules = Protocol("any", "drop", shots, episodes, seeds)
    data = VocFolder.open(root)
    return evaluate({"map": model}, data, fold, rules, progress=False, **options)


# --- few classes, and novel ones by name ----------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_two_or_three_classes_are_trained_on_and_scored_without_folds(tmp_path, capsys, n):
    root, path = own_set(tmp_path / "own", n), tmp_path / "own.pt"
    assert command("train", "--data", root, "--all-classes", "--checkpoint", path, *FAST) == 0
    assert load_checkpoint(path)[1].base_classes == CLASSES[:n]
    given = ("--data", root, "--all-classes", "--checkpoint", path, "--episodes", 2, "--seed", 0)
    assert command("evaluate", *given) == 0
    assert "every class, trained on or not" in capsys.readouterr().out


def test_folds_of_two_classes_are_refused_with_what_there_is_instead(tmp_path, line_of):
    root = own_set(tmp_path / "own", 2)
    for task in ("train", "evaluate"):
        line = line_of(task, "--data", root)
        assert all(part in line for part in ("2 classes", "4 folds", "--novel", "--all-classes"))
    line = line_of("compare", "--data", root)
    assert "--novel" in line
    assert "--all-classes" not in line  # compare has no such option


def test_named_classes_are_left_out_of_the_training_and_asked_about(tmp_path, capsys, line_of):
    root, pattern = own_set(tmp_path / "own", 3), tmp_path / "own{fold}.pt"
    given = ("--data", root, "--novel", "tower, disc", "--checkpoint", pattern)
    assert command("train", *given, *FAST) == 0
    path = tmp_path / "own_disc+tower.pt"
    trained_on = load_checkpoint(path)[1]
    assert (trained_on.fold, trained_on.base_classes) == (("disc", "tower"), ("square",))
    results = tmp_path / "results.json"
    assert command("evaluate", *given, "--episodes", 4, "--seed", 0, "--json", results) == 0
    out = capsys.readouterr().out
    assert "own (val), fold disc+tower" in out
    assert "\nown (local, fg)" in out  # the file's name without its fold
    (found,) = load_results(results)
    assert found.fold == ("disc", "tower")
    assert set(found.scores[0].per_class) == {"disc", "tower"}
    assert command("results", results) == 0
    head, row = (
        s for s in capsys.readouterr().out.splitlines() if s.startswith(("mIoU", "own (l"))
    )
    assert head.split()[-2:] == ["disc+tower", "FB-IoU"]
    assert row.split()[-2:] == [f"{100 * found.scores[0].miou:.1f}", "-"]

    line = line_of("evaluate", "--data", root, "--novel", "square", "--checkpoint", path)
    assert all(part in line for part in (str(path), "square", "leakage"))
    resumed = ("--novel", "disc", "--checkpoint", path, "--resume")
    assert "fold was" in line_of("train", "--data", root, *resumed, *FAST)


def test_the_order_in_which_novel_classes_are_named_does_not_matter(tmp_path, capsys):
    root, path = own_set(tmp_path / "own", 3), tmp_path / "own.pt"
    given = ("train", "--data", root, "--checkpoint", path, "--resume", *FAST)
    assert command(*given, "--novel", "disc,tower") == 0
    assert command(*given, "--novel", "tower,disc") == 0
    assert "trained already" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["train", "evaluate", "compare"])
def test_a_novel_class_that_does_not_exist_is_refused(tmp_path, line_of, task):
    root = own_set(tmp_path / "own", 3)
    line = line_of(task, "--data", root, "--novel", "disc,zebra")
    assert "no class 'zebra': there are disc, square, tower" in line


def test_a_training_without_a_base_class_is_refused(tmp_path, line_of):
    root = own_set(tmp_path / "own", 2)
    line = line_of("train", "--data", root, "--novel", "disc,square", *FAST)
    assert "leave at least one to train on" in line


def test_transformations_are_compared_on_novel_classes_by_name(tmp_path, capsys):
    root, path = own_set(tmp_path / "own", 3), tmp_path / "league.json"
    given = ("compare", "--data", root, "--novel", "disc", "--rule", "any", "--method", "local")
    given += ("--set", "backbone=tiny", "--set", "image_size=97", "--json", path)
    assert command(*given) == 0
    out = capsys.readouterr().out
    assert "folds disc;" in out
    assert "disc 6 (3 pictures)" in out
    assert "so few pictures make it too narrow" in out
    league = League.load(path)
    assert league.folds == (("disc",),)
    assert league.table() + "\n" == out
    values = json.loads(path.read_text())
    for name in ("asked", "skipped"):
        del values[name]
    path.write_text(json.dumps(values))
    assert League.load(path).asked == {}  # as older files are


def test_a_file_has_a_short_name_of_its_own_for_any_novel_classes():
    assert of_fold("a{fold}.pt", 2) == "a2.pt"
    assert of_fold("a{fold}.pt", None) == "a_all.pt"
    assert of_fold("a{fold}.pt", ("potted plant", "a/b")) == "a_potted-plant+a-b.pt"
    many = [tuple(f"class {i}" for i in range(n)) for n in (40, 41)]
    names = [of_fold("a{fold}.pt", fold) for fold in many]
    assert len({*names}) == 2
    assert max(map(len, names)) < 80


# --- an existing checkpoint -----------------------------------------------------------------------


def test_a_checkpoint_that_exists_is_replaced_only_on_request(tmp_path, line_of):
    root, path = own_set(tmp_path / "own", 2), tmp_path / "runs" / "mine.pt"
    given = ("train", "--data", root, "--all-classes", "--checkpoint", path, *FAST)
    assert command(*given) == 0
    before = contents(tmp_path)
    line = line_of(*given, "--seed", 1)
    assert all(part in line for part in (f"{path} exists", "--overwrite", "--resume", "--init"))
    assert contents(tmp_path) == before
    assert command(*given, "--seed", 1, "--overwrite") == 0
    assert contents(tmp_path) != before


def test_of_several_folds_none_is_trained_if_a_checkpoint_of_one_exists(tmp_path, line_of):
    root, pattern = own_set(tmp_path / "own", 4), tmp_path / "runs" / "{fold}.pt"
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "3.pt").write_bytes(b"precious")
    given = ("train", "--data", root, "--fold", "all", "--checkpoint", pattern, *FAST)
    assert "3.pt exists" in line_of(*given)
    assert left_in(tmp_path / "runs") == ["3.pt"]


def test_data_that_cannot_be_trained_on_is_named_before_a_checkpoint_that_exists(tmp_path, line_of):
    root, path = own_set(tmp_path / "own", 2), tmp_path / "mine.pt"
    path.write_bytes(b"precious")
    spoil(root, "void alone")
    given = ("train", "--data", root, "--all-classes", "--checkpoint", path, *FAST)
    assert "which is void" in line_of(*given)
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("end", ["jsonl", "state"])
def test_a_checkpoint_that_the_log_or_the_state_would_replace_is_refused(tmp_path, line_of, end):
    root = own_set(tmp_path / "own", 2)
    given = ("train", "--data", root, "--all-classes", "--checkpoint", tmp_path / f"mine.{end}")
    assert f"mine.{end}" in line_of(*given, *FAST)


# --- training that starts from a checkpoint -------------------------------------------------------


@pytest.fixture
def first(tmp_path):
    """A checkpoint that has been trained on discs and squares."""
    data, path = VocFolder.open(own_set(tmp_path / "first", 2)), tmp_path / "first.pt"
    torch.manual_seed(3)
    model = own_model()
    config = TrainingConfig(steps=2, batch=2)
    fitted = fit(model, data, None, config, Protocol("any"), progress=False)
    save_checkpoint(path, model, fitted.trained_on("ltm-edu train"))
    return path


def test_a_training_starts_where_the_checkpoint_ends(tmp_path, first):
    """With a learning rate of 0 the weights stay those of the checkpoint, its mean included."""
    root, path = own_set(tmp_path / "own", 3), tmp_path / "second.pt"
    given = ("train", "--data", root, "--all-classes", "--init", first, "--checkpoint", path)
    still = ("--set", "learning_rate=0", "--set", "embedding_rate=0", "--set", "batch=2")
    assert command(*given, *still, "--steps", 1, "--features", "memory") == 0
    (model, trained_on), (start, _) = load_checkpoint(path), load_checkpoint(first)
    assert model.config == start.config
    assert start.feature_mean.any()
    stored = model.trainable_state()
    for name, value in start.trainable_state().items():
        if "running" not in name and "num_batches" not in name:  # BatchNorm counts all the same
            assert torch.equal(stored[name], value), name
    assert trained_on.base_classes == CLASSES[:3]
    assert trained_on.started_from == load_checkpoint(first)[1]


def test_what_a_checkpoint_was_started_from_counts_as_seen(tmp_path, first, line_of, capsys):
    root, path = tmp_path / "own", tmp_path / "second.pt"
    write_voc(root, 3, 3, ("disc", "wall", "beam"))
    given = ("--data", root, "--novel", "disc", "--checkpoint", path)
    assert command("train", *given, "--init", first, *FAST[2:]) == 0
    assert f"{first} was trained on disc" in capsys.readouterr().out
    trained_on = load_checkpoint(path)[1]
    assert trained_on.base_classes == ("wall", "beam")
    assert trained_on.seen_classes == ("wall", "beam", "disc", "square")
    line = line_of("evaluate", *given)
    assert all(part in line for part in ("was trained on disc", "leakage"))

    third = tmp_path / "third.pt"  # and so it does two trainings later
    again = ("--data", root, "--all-classes", "--init", path, "--checkpoint", third)
    assert command("train", *again, *FAST[2:]) == 0
    assert "square" in load_checkpoint(third)[1].seen_classes


def test_a_network_of_another_form_is_refused_in_one_line(tmp_path, first, line_of):
    root, path = own_set(tmp_path / "own", 2), tmp_path / "second.pt"
    given = ("train", "--data", root, "--all-classes", "--init", first, "--checkpoint", path)
    for change in ("features=12", "residual=True", "backbone=efficientnet_lite0"):
        line = line_of(*given, *FAST[2:-2], "--set", change)
        assert str(first) in line
        assert "starts from a network of its own form" in line
    assert not path.exists()
    residual = own_model(residual=True)
    save_checkpoint(tmp_path / "more.pt", residual, TrainedOn("own", None, ("disc",)))
    refused(lambda: start_from(tmp_path / "more.pt", own_model()), "map_factor")


def test_a_run_goes_on_only_from_the_weights_that_it_started_from(tmp_path, first, line_of):
    root, path = own_set(tmp_path / "own", 2), tmp_path / "second.pt"
    given = ("train", "--data", root, "--all-classes", "--checkpoint", path, "--resume", *FAST[2:])
    assert command(*given, "--init", first) == 0
    assert command(*given, "--init", first) == 0  # is trained already
    other = tmp_path / "other.pt"
    torch.manual_seed(9)
    save_checkpoint(other, own_model(), load_checkpoint(first)[1])
    assert "started_from was" in line_of(*given, "--init", other)
    network = [f"{k}={v}" for k, v in (("embedding", 8), ("features", 8), ("widths", "8,4,4"))]
    same = [part for field in network for part in ("--set", field)]
    assert "is random weights" in line_of(*given, *same, "--size", 97)


def test_checkpoints_of_before_are_read_and_started_from(tmp_path, first):
    content = torch.load(first, weights_only=True)
    for name in ("initial", "started_from"):
        del content[name]
    torch.save(content, first)
    trained_on = load_checkpoint(first)[1]
    assert (trained_on.initial, trained_on.started_from) == ("", None)
    assert trained_on.seen_classes == CLASSES[:2]
    root, path = own_set(tmp_path / "own", 2), tmp_path / "second.pt"
    given = ("train", "--data", root, "--all-classes", "--init", first, "--checkpoint", path)
    assert command(*given, *FAST[2:]) == 0


# --- messages that name the true reason -----------------------------------------------------------


def small(mask: np.ndarray) -> np.ndarray:
    """The mask at 64 x 64, where the grid rule looks at 4 pixels."""
    return np.array(Image.fromarray(mask).resize((64, 64), Image.Resampling.NEAREST))


def spoil(root, fault: str) -> None:
    if fault == "too small for the grid":
        rewrite(root, small)
        for path in (root / "JPEGImages").iterdir():
            with Image.open(path) as file:
                little = file.resize((64, 64))
            little.save(path)
        rewrite(root, lambda m: np.where(np.arange(64)[:, None] < 32, m, 0).astype(np.uint8))
    elif fault == "void alone":
        rewrite(root, lambda m: np.where(m > 0, 255, 0).astype(np.uint8))
    elif fault == "a novel class in each picture":
        rewrite(root, lambda m: np.where(np.arange(m.shape[1]) == 0, 1, m).astype(np.uint8))


REASONS = [
    (
        "too small for the grid",
        ("more than 2 of the pixels mask[1::32, 1::32]", "a mask of 64 x 64 has 4", "--rule any"),
    ),
    ("void alone", ("12 of the 12 masks hold 255", "void", "write the object as 1", "--binary")),
]


@pytest.mark.parametrize(("fault", "parts"), REASONS)
@pytest.mark.parametrize("task", ["train", "evaluate"])
def test_a_list_without_episodes_says_why_and_what_to_do(tmp_path, line_of, task, fault, parts):
    root = own_set(tmp_path / "own", 4)
    spoil(root, fault)
    more = ("--checkpoint", tmp_path / "m.pt", *FAST) if task == "train" else ()
    line = line_of(task, "--data", root, "--all-classes", *more)
    for part in parts:
        assert part in line, line
    if "--rule any" in line:
        assert command(task, "--data", root, "--all-classes", *more, "--rule", "any") == 0


def test_pictures_that_are_dropped_are_counted(tmp_path, line_of):
    root = own_set(tmp_path / "own", 4)
    spoil(root, "a novel class in each picture")
    given = ("train", "--data", root, "--fold", 0, "--checkpoint", tmp_path / "m.pt", *FAST)
    line = line_of(*given)
    for part in ("--novel-images drop", "9 of the 9", "--novel-images keep"):
        assert part in line, line
    assert command(*given, "--novel-images", "keep") == 0


def test_the_library_gives_the_reason_in_its_own_words(tmp_path):
    root = own_set(tmp_path / "own", 4)
    spoil(root, "too small for the grid")
    data, rules = VocFolder.open(root), Protocol()

    def asked():
        draw_lists(data, None, rules)

    def trained():
        fit(tiny_model(), data, None, protocol=rules, progress=False)

    for call in (asked, trained):
        with pytest.raises(ValueError, match='list_rule="any"') as raised:
            call()
        assert "--" not in str(raised.value)


def test_too_few_pictures_are_counted(tmp_path, line_of):
    root = own_set(tmp_path / "own", 2, train=2, val=2)
    for task in ("train", "evaluate"):
        line = line_of(task, "--data", root, "--all-classes", "--shots", 4)
        assert "the most that a class has is 2; use fewer shots" in line


def test_training_names_the_classes_that_it_had_no_pictures_of(tmp_path, capsys):
    root, path = own_set(tmp_path / "own", 3), tmp_path / "m.pt"
    rewrite(root, lambda m: np.where(m == 2, 0, m).astype(np.uint8), "train_square_*")
    given = ("train", "--data", root, "--all-classes", "--checkpoint", path, *FAST)
    assert command(*given) == 0
    (line,) = (s for s in capsys.readouterr().out.splitlines() if s.startswith("not trained on"))
    assert line.endswith(": square")


# --- scores that do not pretend -------------------------------------------------------------------


def test_three_pictures_are_six_episodes_and_have_no_spread(tmp_path):
    root = own_set(tmp_path / "own", 1)
    results = scored(root, episodes=5000, seeds=(0, 1, 2))
    assert results.asked["disc"]._asdict() == {
        "pictures": 3,
        "distinct": 6,
        "episodes": (6, 6, 6),
        "once": True,
    }
    assert [s.miou_spread for s in results.scores] == [None] * 3
    table = results.table()
    assert "disc 6 (3 pictures); in all 6 episodes a seed" in table
    (row,) = (s for s in table.splitlines() if s.startswith("map") and "disc" not in s)
    assert row.split()[2] == "-"
    path = tmp_path / "r.json"
    save_results(path, [results])
    assert load_results(path) == [results]
    assert json.loads(path.read_text())[0]["asked"]["disc"]["distinct"] == 6


def test_the_score_of_a_class_with_few_pictures_is_that_of_all_its_episodes(tmp_path):
    root = own_set(tmp_path / "own", 1)
    names = VocFolder.open(root).names("val")
    every = [Episode(1, q, (s,)) for q in names for s in names if s != q]
    by_hand = scored(root, episodes=6, seeds=(0,), episode_lists=[EpisodeList(tuple(every), 0)])
    assert scored(root, episodes=5000, seeds=(0,)).scores == by_hand.scores


def test_beside_classes_with_many_pictures_the_table_says_what_the_spread_is_of(tmp_path):
    root = write_voc(tmp_path / "own", 1, 12, CLASSES[:2])
    names = [f"val_disc_{i}" for i in range(3)] + [f"val_square_{i}" for i in range(12)]
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(names))
    results = scored(root, episodes=60, seeds=(0, 1))
    assert [name for name, asked in results.asked.items() if asked.once] == ["disc"]
    assert results.scores[0].miou_spread > 0
    assert "+-: over the seeds, whose episodes differ only in the other classes" in results.table()
    one, two = (scored(root, episodes=60, seeds=(s,)).scores[0].per_class for s in (0, 1))
    assert one["disc"] == two["disc"]
    assert one["square"] != two["square"]


def test_where_pictures_are_plenty_the_table_has_no_such_line(tmp_path):
    table = scored(own_set(tmp_path / "own", 2), episodes=4).table()
    assert "few pictures" not in table
    assert "episodes differ only" not in table


def test_classes_without_an_episode_are_named(tmp_path):
    root = own_set(tmp_path / "own", 3)
    names = ["val_disc_0", "val_disc_1", "val_disc_2", "val_square_0"]
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(names))
    results = scored(root, episodes=4)
    assert "too few pictures for an episode: square (1), tower (0)" in results.table()
    assert set(results.scores[0].per_class) == {"disc"}


def test_results_of_before_still_load(tmp_path):
    path = tmp_path / "r.json"
    results = scored(own_set(tmp_path / "own", 4), 0, episodes=4)
    save_results(path, [results])
    values = json.loads(path.read_text())
    del values[0]["asked"]
    path.write_text(json.dumps(values))
    (loaded,) = load_results(path)
    assert loaded.asked == {}
    assert loaded.scores == results.scores
    assert loaded.table()


def test_the_mean_of_folds_without_a_spread_has_none(tmp_path):
    root = own_set(tmp_path / "own", 4, train=1, val=2)
    mean = mean_over_folds([scored(root, fold) for fold in range(4)])
    assert [s.miou_spread for s in mean.scores] == [None] * 3
    assert set(mean.asked) == set(CLASSES[:4])


# --- a fold without episodes ----------------------------------------------------------------------


@pytest.fixture
def without_fold_2(tmp_path):
    """Four classes, a fold each; the third has no picture in val."""
    root = own_set(tmp_path / "own", 4)
    names = [n for n in VocFolder.open(root).names("val") if "tower" not in n]
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(names))
    return root


def test_the_other_folds_are_scored_and_written(without_fold_2, tmp_path, capsys):
    path = tmp_path / "r.json"
    given = ("evaluate", "--data", without_fold_2, "--fold", "all", "--episodes", 4, "--seed", 0)
    assert command(*given, "--json", path) == 1
    out, err = capsys.readouterr()
    assert [r.fold for r in load_results(path)] == [0, 1, 3]
    assert [f"fold {f};" in out for f in range(4)] == [True, True, False, True]
    assert "own (val), fold 2: no episodes, so there is no mean of the four" in out
    assert "mean of the four folds" not in out
    last = err.splitlines()[-1]
    assert last.startswith("ltm-edu: fold 2 is not scored: no episode with 1 shots")


def test_a_command_without_a_fold_that_has_episodes_is_refused(without_fold_2, tmp_path, line_of):
    path = tmp_path / "r.json"
    given = ("--data", without_fold_2, "--fold", 2, "--json", path)
    assert "fold 2" in line_of("evaluate", *given)
    assert "fold 2" in line_of("compare", *given)
    assert not path.exists()


def test_the_other_folds_are_compared(without_fold_2, tmp_path, capsys):
    path = tmp_path / "league.json"
    given = ("compare", "--data", without_fold_2, "--fold", "all", "--rule", "any", "--json", path)
    given += ("--method", "local", "--set", "backbone=tiny", "--set", "image_size=97")
    assert command(*given, "--episodes", 4) == 1
    out, err = capsys.readouterr()
    league = League.load(path)
    assert league.folds == (0, 1, 3)
    assert set(league.entries[0].per_class) == {"disc", "square", "wall"}
    assert league.table() + "\n" == out
    assert "fold 2: not scored" in out
    assert "fold 2 is not compared" in err


def test_the_other_folds_are_trained(tmp_path, capsys):
    """Every picture but that of one class shows class 1: only fold 0 drops too many."""
    root, pattern = own_set(tmp_path / "own", 4), tmp_path / "{fold}.pt"
    spoil(root, "a novel class in each picture")
    given = ("train", "--data", root, "--fold", "all", "--checkpoint", pattern, *FAST)
    assert command(*given) == 1
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["1.pt", "2.pt", "3.pt"]
    assert "fold 0 is not trained" in capsys.readouterr().err


def test_a_missing_checkpoint_of_a_later_fold_is_named_before_the_first_is_scored(
    tmp_path, line_of
):
    root, pattern = own_set(tmp_path / "own", 4), tmp_path / "fold{fold}.pt"
    for fold in (0, 1, 2):
        base = tuple(name for c, name in enumerate(CLASSES[:4]) if c != fold)
        model = own_model()
        save_checkpoint(of_fold(pattern, fold), model, TrainedOn("own", fold, base))
    given = ("evaluate", "--data", root, "--fold", "all", "--checkpoint", pattern)
    assert "fold3.pt is missing" in line_of(
        *given, "--episode-lists", tmp_path / "{fold}_{seed}.json"
    )
    assert list(tmp_path.glob("*.json")) == []


# --- lists written by hand ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('[1, "val_disc_0", "val_disc_0"]', "its query val_disc_0 is also its support"),
        ('[1, "val_disc_0", "val_square_1"]', "val_square_1 does not show its class 1 (disc)"),
        ('[2, "val_disc_0", "val_square_1"]', "val_disc_0 does not show its class 2 (square)"),
        ('[1, "val_disc_0", "val_disk_1"]', "names val_disk_1, which is not in val"),
        ('[9, "val_disc_0", "val_disc_1"]', "class 9, but there are classes 1 to 4"),
        ('[0, "val_disc_0", "val_disc_1"]', "class 0, but there are classes 1 to 4"),
        ('[1, "val_disc_0", "val_disc_1", "val_disc_2"]', "it has 2 shots, not 1"),
        ('[1, "val_disc_0", "val_disc_3"]', "too little of its class 1 (disc) for the grid rule"),
    ],
)
def test_a_fault_in_a_list_is_refused_with_file_and_line(tmp_path, line_of, row, says):
    root, path = own_set(tmp_path / "own", 4, val=4), tmp_path / "list.json"

    def speck(mask):
        mask[mask == 1] = 0
        mask[5, 5] = 1
        return mask

    rewrite(root, speck, "val_disc_3")
    good = '[1, "val_disc_0", "val_disc_1"]'
    path.write_text(f'{{"seed": 0, "episodes": [\n{good},\n{row},\n{good}]}}')
    given = ("evaluate", "--data", root, "--all-classes", "--episodes", 3, "--seed", 0)
    line = line_of(*given, "--episode-lists", path)
    assert line.startswith(f"ltm-edu: {path}, line 3 (episode 2 of 3): ")
    assert says in line
    path.write_text(f'{{"seed": 0, "episodes": [\n{good},\n{good},\n{good}]}}')
    assert command(*given, "--episode-lists", path) == 0


def test_two_supports_of_a_list_are_two_pictures(tmp_path):
    root = own_set(tmp_path / "own", 1)
    twice = EpisodeList((Episode(1, "val_disc_0", ("val_disc_1", "val_disc_1")),), 0)
    options = {"shots": 2, "episodes": 1, "seeds": (0,), "episode_lists": [twice]}
    refused(lambda: scored(root, **options), "episode 1 of 1", "seed 0", "same support twice")


def test_a_list_that_was_drawn_of_few_pictures_is_read_again(tmp_path, capsys):
    root, path = own_set(tmp_path / "own", 1), tmp_path / "list_{seed}.json"
    given = ("evaluate", "--data", root, "--all-classes", "--episode-lists", path)
    assert command(*given) == 0
    drawn = capsys.readouterr().out
    assert command(*given) == 0
    assert capsys.readouterr().out == drawn
    assert "in all 6 episodes a seed" in drawn
