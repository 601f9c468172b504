"""The rehearsal, with a few masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import write_voc

from ltm_edu.datasets.voc import VocFolder
from tools import rehearsal
from tools.course import rehearsal_table
from tools.rehearsal import draw, main, texture


@pytest.fixture
def masks(tmp_path):
    root = write_voc(tmp_path / "voc", train=3, val=2)
    lists = root / "ImageSets/Segmentation"
    return root / "SegmentationClass", {s: lists / f"{s}.txt" for s in ("train", "val")}


def test_each_class_has_its_own_texture():
    mask = np.zeros((90, 120), np.uint8)
    mask[10:80, 5:50], mask[10:80, 60:110], mask[:5] = 3, 7, 255
    first, second = texture(mask, 1), texture(mask, 2)
    assert first.shape == (90, 120, 3)
    assert np.array_equal(first, texture(mask, 1))
    assert not np.array_equal(first, second)

    def hue(picture, c):
        colour = picture[mask == c].astype(float).mean(axis=0)
        return colour / colour.sum()

    same = abs(hue(first, 3) - hue(second, 3)).sum()
    assert same < 0.5 * abs(hue(first, 3) - hue(first, 7)).sum()


def test_pictures_are_drawn_under_the_masks_in_vocs_layout(masks, tmp_path):
    source, lists = masks
    root = tmp_path / "data" / "rehearsal"
    assert draw(root, source, lists, progress=False) == 40
    data = VocFolder.open(root)
    assert (len(data.names("train")), len(data.names("val"))) == (24, 16)
    for name in data.names("val")[:3]:
        _, mask = data.pair(name)  # refuses sizes that differ
        assert np.array_equal(mask, VocFolder.open(source.parent).mask(name))
    before = (root / "JPEGImages" / f"{name}.jpg").stat().st_mtime_ns
    assert draw(root, source, lists, progress=False) == 40  # left as it is
    assert (root / "JPEGImages" / f"{name}.jpg").stat().st_mtime_ns == before


def test_a_list_that_names_a_missing_mask_leaves_no_folder(masks, tmp_path, capfd):
    source, lists = masks
    next(source.glob("train_*.png")).unlink()
    arguments = ["--masks", source, "--train", lists["train"], "--val", lists["val"]]
    assert main([str(a) for a in arguments]) == 2
    assert "is not there" in capfd.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "ltm_edu_data" / "rehearsal").exists()


def test_the_commands_run_in_order_with_one_kill_and_the_results_are_saved(
    masks, tmp_path, monkeypatch
):
    source, lists = masks
    commands = []

    def pretend(*arguments, kill_at=None):
        words = [str(a) for a in arguments]
        commands.append((words[0], kill_at is not None))
        if words[0] == "train":
            log = tmp_path / "ltm_edu_data" / "rehearsal_runs" / f"fold{words[4]}.jsonl"
            log.write_text("".join(f'{{"step": {i}}}\n' for i in (1, 2)))
        else:
            scores = Path(words[words.index("--json") + 1])
            scores.write_text(json.dumps([words[words.index("--shots") + 1]]))
        return {"command": " ".join(words), "seconds": 1.0, "peak_gb": 1.0, "killed": False}

    monkeypatch.setattr(rehearsal, "measure", pretend)
    arguments = ["--masks", source, "--train", lists["train"], "--val", lists["val"], "--steps", 2]
    train_options = ["--recipe", "tuned", "--set", "flips=False"]
    assert main([str(a) for a in [*arguments, *train_options, "--out", tmp_path / "r.json"]]) == 0
    assert commands == [("train", True)] + 4 * [("train", False)] + 3 * [("evaluate", False)]
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["what"].endswith("say nothing about PASCAL-5i")
    assert record["pictures"] == 40
    assert record["stages"]["train fold 3"]["command"].endswith("--recipe tuned --set flips=False")
    assert record["results"] == {"1-shot": ["1"], "5-shot": ["5"]}
    rows = rehearsal_table(tmp_path / "r.json").splitlines()
    assert rows[0].startswith("40 pictures, 2 updates a fold, 1,000 episodes")
    assert rows[0].endswith("say nothing about PASCAL-5i.")
    assert "| train fold 0, killed | 0:01 | 1.0 |" in rows
    assert rows[-1] == "| evaluate, 5-shot | 0:01 | 1.0 |"


def test_a_killed_training_resumes_and_reaches_its_last_step(masks, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the network is so small that threads only wait
    source, lists = masks
    data = tmp_path / "ltm_edu_data"
    root, log = data / "drawn", data / "m.jsonl"
    draw(root, source, lists, progress=False)
    train = ("train", "--data", root, "--checkpoint", data / "m.pt", "--steps", 20)
    train += ("--size", 97, "--set", "features=8", "--resume", "--save-every", 2)
    first = rehearsal.measure(*train, kill_at=(log, 4))
    assert first["killed"]
    assert "--data $LTM_EDU_DATA/drawn " in first["command"]
    assert str(tmp_path) not in first["command"]  # the record is published
    assert not (data / "m.pt").exists()
    assert (data / "m.state").is_file()
    second = rehearsal.measure(*train)
    assert not second["killed"]
    assert (data / "m.pt").is_file()
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(1, 21))
