"""Imports: what COCO, labelme and folders of masks describe is what the new folder holds."""

import base64
import io
import json
import os
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import contents, left_in, refused
from PIL import Image

from ltm_edu.cli import main
from ltm_edu.datasets import importing
from ltm_edu.datasets.coco import import_coco
from ltm_edu.datasets.importing import Target, inside, split_lists
from ltm_edu.datasets.inspection import inspect_folder
from ltm_edu.datasets.labelme import import_labelme
from ltm_edu.datasets.mask_folders import import_masks
from ltm_edu.datasets.name_lists import free_name, read_list
from ltm_edu.datasets.outlines import (
    decoded_runs,
    object_of_polygons,
    object_of_runs,
    polygon_mask,
)
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.store.pictures import palette_png

WIDTH, HEIGHT = 53, 37
Y, X = np.mgrid[:HEIGHT, :WIDTH]
DISC = (Y - 18) ** 2 + (X - 20) ** 2 < 15**2
DISC_RLE = "[7;h04M2M4M2O0O2N2O0O2O00000000000000000001N101N2N101N3L3N3L_d0"  # by pycocotools


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    inside_columns = (left <= X) & (right > X)
    return inside_columns & (top <= Y) & (bottom > Y)


# Outlines and run lengths


def test_a_polygon_covers_the_pixels_whose_centres_are_inside():
    assert np.array_equal(
        polygon_mask(np.reshape(rectangle(4, 3, 20, 9), (-1, 2)), (HEIGHT, WIDTH)), box(4, 3, 20, 9)
    )
    for _ in range(20):
        points = np.random.uniform(-10, 60, (np.random.randint(3, 9), 2))
        found = polygon_mask(points, (HEIGHT, WIDTH))
        for _ in range(60):
            y, x = np.random.randint(HEIGHT), np.random.randint(WIDTH)
            crossings = 0
            for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
                if (y0 <= y + 0.5) != (y1 <= y + 0.5):
                    crossings += x0 + (y + 0.5 - y0) / (y1 - y0) * (x1 - x0) <= x + 0.5
            assert found[y, x] == crossings % 2


def test_a_part_inside_another_is_a_hole_and_a_part_beside_it_is_not():
    outer, hole, island, other, across = (
        np.reshape(rectangle(*sides), (-1, 2))
        for sides in (
            (2, 2, 30, 30),
            (6, 6, 20, 20),
            (9, 9, 12, 12),
            (40, 5, 50, 9),
            (25, 10, 38, 15),
        )
    )
    size = (HEIGHT, WIDTH)
    ring = box(2, 2, 30, 30) & ~box(6, 6, 20, 20)
    for parts in ([outer, hole], [hole, outer], [outer, hole[::-1]]):
        assert np.array_equal(object_of_polygons(parts, size), ring)
    both = object_of_polygons([outer, hole, island, other, across], size)
    assert np.array_equal(both, ring | box(9, 9, 12, 12) | box(40, 5, 50, 9) | box(25, 10, 38, 15))
    for parts in ([outer, outer], [outer, other, other]):  # repeated, not cut out
        assert object_of_polygons(parts, size)[3, 3]
        assert object_of_polygons(parts, size)[7, 45] == (len(parts) == 3)


@pytest.mark.parametrize(
    ("text", "mask"),
    [  # the texts are pycocotools' own
        (DISC_RLE, DISC),
        ("Ym1", np.zeros((HEIGHT, WIDTH), bool)),
        ("0Ym1", np.ones((HEIGHT, WIDTH), bool)),
        ("lSb8deS2P^a8", np.mgrid[:700, :900][1] // 100 == 4),
    ],
)
def test_run_lengths_are_those_of_coco(text, mask):
    if mask.shape == (700, 900):
        mask = mask.copy()
        mask[:, 400] = False
    assert np.array_equal(object_of_runs(decoded_runs(text), mask.shape), mask)
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *([0] if flat[0] else []), *ends, flat.size]).tolist()
    assert decoded_runs(text) == runs


@pytest.mark.parametrize("text", ["[7;h", "\x00", "é", "Ym1Ym", "Ym2"])
def test_broken_run_lengths_are_refused(text):
    with pytest.raises(ValueError, match="run lengths"):
        object_of_runs(decoded_runs(text), (HEIGHT, WIDTH))


# COCO


def coco(folder: Path, **changes: object) -> Path:
    """A folder with four pictures and COCO's annotations of them."""
    (folder / "images/sub").mkdir(parents=True)
    files = ["a.jpg", "sub/b.png", "c.jpg", "d.jpg"]
    for i, file in enumerate(files):
        Image.new("RGB", (WIDTH, HEIGHT), (40 * i, 90, 9)).save(folder / "images" / file)
    thing = {"iscrowd": 0, "bbox": [0, 0, 1, 1]}
    ring, size = [rectangle(2, 2, 30, 30), rectangle(6, 6, 20, 20)], [HEIGHT, WIDTH]
    things = [
        {"image_id": 10, "category_id": 17, "segmentation": ring},
        {"image_id": 10, "category_id": 3, "segmentation": [rectangle(22, 22, 28, 28)]},
        {"image_id": 10, "category_id": 17, "iscrowd": 1,
         "segmentation": {"size": size, "counts": [0, HEIGHT * WIDTH]}},
        {"image_id": 11, "category_id": 3, "segmentation": {"size": size, "counts": DISC_RLE}},
        {"image_id": 12, "category_id": 90, "segmentation": [rectangle(1, 1, 9, 9)]},
        {"image_id": 13, "category_id": 90, "segmentation": [rectangle(1, 1, 9, 9)]},
    ]  # fmt: skip
    data = {
        "images": [
            {"id": 10 + i, "file_name": f, "width": WIDTH, "height": HEIGHT}
            for i, f in enumerate(files)
        ],
        "annotations": [{**thing, "id": 100 + i, **t} for i, t in enumerate(things)],
        "categories": [
            {"id": 90, "name": "cup"},
            {"id": 3, "name": "cat"},
            {"id": 5, "name": "never"},
            {"id": 17, "name": "red  dog"},
        ],
        **changes,
    }
    path = folder / "ann.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def target(folder: Path, **options: object) -> Target:
    return Target(folder / "set", progress=False, **options)


def test_objects_of_coco_become_masks(tmp_path):
    found = import_coco(coco(tmp_path), tmp_path / "images", target(tmp_path))
    data = VocFolder.open(tmp_path / "set")
    assert found.problems == []
    assert data.classes == ("cat", "red dog", "cup")  # 3, 17 and 90: in order, without gaps
    assert data.root == found.root
    mask = np.full((HEIGHT, WIDTH), 255)
    mask[box(2, 2, 30, 30) & ~box(6, 6, 20, 20)] = 2
    mask[box(22, 22, 28, 28)] = 1  # small, so in front
    assert np.array_equal(data.mask("a"), mask)
    assert np.array_equal(data.mask("sub_b"), DISC)
    assert np.array_equal(data.mask("c"), 3 * box(1, 1, 9, 9))
    assert data.image_path("c").read_bytes() == (tmp_path / "images/c.jpg").read_bytes()
    assert data.image_path("sub_b").suffix == ".png"
    assert inspect_folder(data, progress=False) == []
    assert {*data.names("train")} & {"c", "d"}
    assert {*data.names("val")} & {"c", "d"}  # a class of two pictures is in both lists
    assert "ann.json" in (data.root / "IMPORT.txt").read_text()


ONE = {"image_id": 12, "category_id": 3, "segmentation": [rectangle(1, 1, 9, 9)], "id": 7}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"category_id": 4}, "annotation 7: category 4 is not"),
        ({"image_id": 4}, "annotation 7: image 4 is not"),
        ({"image_id": [4]}, "annotation 7: it is not as COCO"),
        ({"segmentation": []}, "annotation 7: it has no outline"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 7: a polygon"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "annotation 7: a polygon"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "annotation 7: a polygon"),
        ({"segmentation": [["x"] * 6]}, "annotation 7: "),
        ({"segmentation": "x"}, "annotation 7: "),
        ({"segmentation": 5}, "annotation 7: "),
        ({"segmentation": [rectangle(100, 100, 120, 120)]}, "annotation 7: it covers no pixel"),
        ({"segmentation": {"size": [9, 9], "counts": [0, 81]}}, "annotation 7: its run lengths"),
        ({"segmentation": {"size": [1, 1], "counts": [10**30]}}, "annotation 7: its run lengths"),
        ({"segmentation": {"size": [1, 1], "counts": "[7;"}}, "annotation 7: its run lengths"),
        ({"segmentation": {"size": [1, 1], "counts": [-1, 2]}}, "annotation 7: its run lengths"),
        ({"segmentation": {"counts": None}}, "annotation 7: it is not as COCO"),
        ({"segmentation": {}}, "annotation 7: it has no outline"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named_and_the_others_are_taken(
    tmp_path, change, says
):
    path = coco(tmp_path)
    data = json.loads(path.read_text())
    data["annotations"] = ["no entry", *data["annotations"], {**ONE, **change}]
    path.write_text(json.dumps(data))
    found = import_coco(path, tmp_path / "images", target(tmp_path))
    no_entry, ours = found.problems
    assert no_entry == f"{path}: annotation 0: it is not as COCO has it"
    assert ours.startswith(f"{path}: {says}")
    assert "\n" not in ours
    assert len(VocFolder.open(tmp_path / "set").names("all")) == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": {}}, "no list of images"),
        ({"annotations": []}, "nothing that can be imported"),
        ({"categories": []}, "nothing that can be imported"),
        ({"images": []}, "nothing that can be imported"),
    ],
)
def test_a_file_without_anything_usable_is_refused_and_nothing_is_written(tmp_path, changes, says):
    path = coco(tmp_path, **changes)
    before = contents(tmp_path)
    refused(lambda: import_coco(path, tmp_path / "images", target(tmp_path)), str(path), says)
    assert contents(tmp_path) == before
    assert left_in(tmp_path) == ["ann.json", "images"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "no list of images"),
        (b"\xff\xfe", "is not JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4\n", "git lfs pull"),
    ],
)
def test_a_file_that_is_no_coco_is_named(tmp_path, content, says):
    path = coco(tmp_path)
    path.write_bytes(content)
    refused(lambda: import_coco(path, tmp_path / "images", target(tmp_path)), str(path), says)


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/hostname", "sub/../../secret.png", "..\\secret.png", "", "a\0b"]
)
def test_a_file_name_never_leads_out_of_the_folder(tmp_path, name):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "secret.png")
    path = coco(tmp_path)
    data = json.loads(path.read_text())
    data["images"][0]["file_name"] = name
    path.write_text(json.dumps(data))
    found = import_coco(path, tmp_path / "images", target(tmp_path))
    (line,) = found.problems
    assert line.startswith(f"{path}: image 10: ")
    assert set(VocFolder.open(tmp_path / "set").names("all")) == {"sub_b", "c", "d"}


def test_a_file_name_is_found_without_its_folder(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    for name in ("a.jpg", "train2017/a.jpg", "C:\\pictures\\a.jpg", "./a.jpg", "../a.jpg"):
        assert inside(tmp_path, name) == tmp_path / "a.jpg", name


@pytest.mark.skipif(os.name == "nt", reason="Windows has no colon in a file's name")
@pytest.mark.parametrize("name", ["12:30.jpg", "sub/12:30.jpg", "a:b.jpg", "C:/a.jpg"])
def test_a_file_name_may_hold_a_colon(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["C:a.jpg", "sub/C:a.jpg"])
def test_a_drive_of_windows_leads_out_of_the_folder(name, monkeypatch):
    monkeypatch.setattr(importing, "Path", PureWindowsPath)
    outside = SimpleNamespace(is_file=lambda: True)
    assert inside(SimpleNamespace(joinpath=lambda *parts: outside), name) is None


def test_two_pictures_of_one_name_in_two_folders_stay_two(tmp_path):
    path = coco(tmp_path)
    data = json.loads(path.read_text())
    (tmp_path / "images/c").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images/sub_b.png")
    data["images"][0]["file_name"] = "sub_b.png"
    path.write_text(json.dumps(data))
    import_coco(path, tmp_path / "images", target(tmp_path))
    assert {"sub_b", "sub_b_2"} < set(VocFolder.open(tmp_path / "set").names("all"))
    assert free_name("../..", ()) == "_"
    assert free_name("\n", ()) == "_"


@pytest.mark.parametrize(
    "text",
    ["one.jpg", "one.JPG.png", "one.tif .", "\x85one", "\ud800", ".jpg", "a.jpg b.jpg", ". ."],
)
def test_a_list_gives_back_the_name_that_an_import_gives(text):
    name = free_name(text, ())
    assert read_list("train.txt", content=f"{name}\n".encode()).names == (name,)


def test_a_name_that_ends_like_a_picture_is_imported_from_every_kind_of_annotations(tmp_path):
    path = coco(tmp_path)
    (tmp_path / "images/a.jpg").rename(tmp_path / "images/a.png.jpg")
    path.write_text(path.read_text().replace('"a.jpg"', '"a.png.jpg"'))
    import_coco(path, tmp_path / "images", target(tmp_path))
    labelme(tmp_path / "l", "one.jpg", [shape("cat", 2, 2, 9, 9)])
    import_labelme(tmp_path / "l", target(tmp_path / "labelme"))
    (tmp_path / "m").mkdir()
    pair_of(tmp_path / "m", "one.jpg", DISC)
    pair_of(tmp_path / "m", "one", DISC)
    import_masks(tmp_path / "m/images", tmp_path / "m/masks", target(tmp_path / "masks"))
    for part, names in (("", {"a", "sub_b", "c", "d"}), ("labelme", {"one"}), ("masks", None)):
        data = VocFolder.open(tmp_path / part / "set")
        assert set(data.names("all")) == (names or {"one", "one_2"})
        assert inspect_folder(data, progress=False) == []


@pytest.mark.parametrize("upright", [True, False])
def test_annotations_of_a_turned_picture_follow_it(tmp_path, upright):
    path = coco(tmp_path)
    data = json.loads(path.read_text())
    tags = Image.Exif()
    tags[274] = 6  # stored lying on its side: a viewer turns it clockwise
    stored = Image.new("RGB", (HEIGHT, WIDTH), "red")
    stored.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "images/c.jpg", exif=tags)
    if upright:
        data["images"][2] |= {"width": HEIGHT, "height": WIDTH}
        data["annotations"][4]["segmentation"] = [rectangle(1, 2, 9, 30)]
        expected = box(2, 1, 30, 9).T[:WIDTH, :HEIGHT]
    else:
        data["annotations"][4]["segmentation"] = [rectangle(2, 1, 30, 9)]
        expected = np.rot90(box(2, 1, 30, 9), -1)
    path.write_text(json.dumps(data))
    assert import_coco(path, tmp_path / "images", target(tmp_path)).problems == []
    written = VocFolder.open(tmp_path / "set")
    image, mask = written.pair("c")
    assert image.size == (HEIGHT, WIDTH)
    assert np.array_equal(mask == 3, expected)
    with Image.open(written.image_path("c")) as file:
        assert file.size == (HEIGHT, WIDTH)  # upright for every program
        assert file.getexif().get(274) is None


def test_pictures_that_cannot_be_used_are_named(tmp_path):
    path = coco(tmp_path)
    (tmp_path / "images/a.jpg").unlink()
    (tmp_path / "images/c.jpg").write_bytes(b"nothing")
    Image.new("RGB", (9, 9)).save(tmp_path / "images/d.jpg")
    found = import_coco(path, tmp_path / "images", target(tmp_path))
    says = ("a.jpg is not in", "c.jpg cannot be read as a picture", "d.jpg is 9x9, but its annot")
    assert len(found.problems) == 3
    for line, part in zip(found.problems, says, strict=True):
        assert part in line
    text = (tmp_path / "set/IMPORT.txt").read_text()
    assert all(line in text for line in found.problems)


def test_a_16_bit_picture_is_written_in_8_bits(tmp_path):
    path = coco(tmp_path)
    data = json.loads(path.read_text())
    data["images"][2]["file_name"] = "deep.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 100 * 257, np.uint16)).save(
        tmp_path / "images/deep.png"
    )
    path.write_text(json.dumps(data))
    import_coco(path, tmp_path / "images", target(tmp_path))
    with Image.open(VocFolder.open(tmp_path / "set").image_path("deep")) as file:
        assert (file.mode, file.getpixel((5, 5))) == ("RGB", (100, 100, 100))


# Where it is written


def test_a_folder_that_exists_is_not_written_over_without_being_told(tmp_path):
    path, images = coco(tmp_path), tmp_path / "images"
    import_coco(path, images, target(tmp_path))
    before = contents(tmp_path)
    refused(lambda: import_coco(path, images, target(tmp_path)), f"{tmp_path / 'set'} exists")
    assert contents(tmp_path) == before
    data = json.loads(path.read_text())
    data["annotations"] = data["annotations"][3:4]
    path.write_text(json.dumps(data))
    import_coco(path, images, target(tmp_path, overwrite=True))
    assert VocFolder.open(tmp_path / "set").names("all") == ("sub_b",)
    assert left_in(tmp_path) == ["ann.json", "images", "set"]


def test_a_failed_import_leaves_the_folder_that_was_there(tmp_path):
    path, images = coco(tmp_path), tmp_path / "images"
    import_coco(path, images, target(tmp_path))
    before = contents(tmp_path / "set")
    path.write_text(path.read_text().replace('"file_name": "', '"file_name": "no'))
    refused(lambda: import_coco(path, images, target(tmp_path, overwrite=True)), "nothing")
    assert contents(tmp_path / "set") == before
    assert left_in(tmp_path) == ["ann.json", "images", "set"]


def test_what_no_import_wrote_and_what_holds_the_sources_stays(tmp_path):
    path, images = coco(tmp_path), tmp_path / "images"
    for root, says in (
        (images, "holds what is to be imported"),
        (tmp_path, "holds what is to be imported"),
        (tmp_path / "mine", "was not written by an import"),
        (path, "holds what is to be imported"),
        (tmp_path / "file", "is a file"),
    ):
        if root.name == "mine":
            root.mkdir()
            (root / "thesis.txt").write_text("mine")
        if root.name == "file":
            root.write_text("mine")
        before = contents(tmp_path)
        to = Target(root, overwrite=True, progress=False)
        refused(lambda to=to: import_coco(path, images, to), str(root), says)
        assert contents(tmp_path) == before
    (tmp_path / "empty").mkdir()
    import_coco(path, images, Target(tmp_path / "empty", progress=False))
    refused(lambda: import_coco(path, images, target(tmp_path, share=2)), "0 to 1")


# Lists


def test_each_class_is_in_both_lists_where_it_has_the_pictures():
    rng = np.random.default_rng(0)
    shown = {f"p{i}": {1, *rng.integers(2, 8, 2).tolist()} for i in range(60)}
    shown |= {"x": {8}, "y1": {9}, "y2": {9}, **{f"z{i}": {10} for i in range(4)}}
    lists = split_lists(shown, 0.2, seed=3)
    assert sorted(lists["train"] + lists["val"]) == sorted(shown)
    for c in range(1, 11):
        train, val = (sum(c in shown[n] for n in lists[s]) for s in ("train", "val"))
        assert train >= min(2, (train + val + 1) // 2), c
        assert val >= min(2, (train + val) // 2), c
    assert len(lists["val"]) == round(0.2 * len(shown))
    assert split_lists(shown, 0.2, seed=3) == lists
    assert split_lists(shown, 0.2, seed=4) != lists
    assert split_lists(shown, 0, seed=0) == {"train": sorted(shown)}
    assert split_lists(shown, 1, seed=0) == {"val": sorted(shown)}


# labelme


def labelme(folder: Path, name: str, shapes: list, **changes: object) -> Path:
    picture = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "blue").save(picture, "JPEG")
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jpg").write_bytes(picture.getvalue())
    data = {
        "imagePath": f"{name}.jpg",
        "imageWidth": WIDTH,
        "imageHeight": HEIGHT,
        "imageData": None,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**data, "shapes": shapes, **changes}))
    return path


def shape(label: str, *sides: float, **more: object) -> dict:
    points = np.reshape(rectangle(*sides), (-1, 2)).tolist()
    return {"label": label, "points": points, "shape_type": "polygon", "group_id": None, **more}


def test_shapes_of_labelme_become_masks(tmp_path):
    pixels = io.BytesIO()
    Image.fromarray(np.array([[True, False], [True, True]])).save(pixels, "PNG")
    mask = base64.b64encode(pixels.getvalue()).decode()
    shapes = [
        shape("dog", 2, 2, 30, 30, group_id=1),
        shape("dog", 6, 6, 20, 20, group_id=1),  # a hole, of one group
        shape("cat", 8, 8, 12, 12),
        shape("_background_", 9, 9, 10, 10),
        shape("__ignore__", 40, 0, 50, 9),
        {"label": "cup", "points": [[31, 31], [35, 34]], "shape_type": "rectangle"},
        {"label": "cup", "points": [[45, 20], [45, 25]], "shape_type": "circle"},
        {"label": "cup", "points": [[1, 33], [3, 35]], "shape_type": "mask", "mask": mask},
    ]
    labelme(tmp_path / "l", "one", shapes)
    found = import_labelme(tmp_path / "l", target(tmp_path))
    assert found.problems == []
    data = VocFolder.open(tmp_path / "set")
    assert data.classes == ("cat", "cup", "dog")
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[box(2, 2, 30, 30) & ~box(6, 6, 20, 20)] = 3
    expected[box(8, 8, 12, 12)] = 1
    expected[9, 9] = 0
    expected[box(40, 0, 50, 9)] = 255
    expected[box(31, 31, 35, 34)] = 2
    expected[33, 1] = expected[34, 1] = expected[34, 2] = 2
    circle = (X + 0.5 - 45) ** 2 + (Y + 0.5 - 20) ** 2
    certain = abs(circle - 25) > 1.5
    expected[circle < 25] = 2
    assert np.array_equal(data.mask("one")[certain], expected[certain])
    assert inspect_folder(data, progress=False) == []


def test_pictures_of_labelme_are_beside_the_file_or_in_it(tmp_path):
    folder = tmp_path / "l"
    labelme(folder, "a", [shape("cat", 2, 2, 9, 9)], imagePath="..\\other\\renamed.jpg")
    labelme(folder / "deep", "b", [shape("cat", 2, 2, 9, 9)])
    content = (folder / "a.jpg").read_bytes()
    labelme(folder, "c", [shape("cat", 2, 2, 9, 9)], imageData=base64.b64encode(content).decode())
    (folder / "c.jpg").unlink()
    d = labelme(folder, "d", [shape("cat", 2, 2, 9, 9)], imageData="no base 64!")
    (folder / "d.jpg").unlink()
    found = import_labelme(folder, target(tmp_path))
    data = VocFolder.open(tmp_path / "set")
    assert set(data.names("all")) == {"a", "deep_b", "c"}
    assert data.image_path("c").read_bytes() == content
    (line,) = found.problems
    assert line.startswith(f"{d}: its picture d.jpg is not")
    assert sorted(p.name for p in data.root.rglob("*") if p.is_file()) == [
        "IMPORT.txt", "a.jpg", "a.png", "c.jpg", "c.png", "classes.txt", "deep_b.jpg", "deep_b.png",
        "train.txt", "val.txt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"label": "dog", "points": [[1, 1], [5, 5]], "shape_type": "line"}, "a line of 2 points"),
        ({"label": "dog", "points": [[1, 1]], "shape_type": "point"}, "a point of 1 points"),
        ({"label": " ", "points": [[1, 1]] * 3}, "its label is empty"),
        ({"points": [[1, 1]] * 3}, "it has no label"),
        ({"label": 5, "points": [[1, 1]] * 3}, "it is not as labelme"),
        ({"label": "dog", "points": [[1, 1], [2], [3, 3]]}, ""),
        ({"label": "dog", "points": [[1, float("inf")]] * 3}, "its points are no numbers"),
        (
            {"label": "dog", "points": [[1, 1]] * 2, "shape_type": "mask", "mask": "x"},
            "its mask is",
        ),
        (shape("dog", 100, 100, 110, 110), "it covers no pixel"),
        ("dog", "it is not as labelme"),
    ],
)
def test_a_shape_that_cannot_be_used_is_named_and_the_others_are_taken(tmp_path, bad, says):
    path = labelme(tmp_path / "l", "one", [shape("cat", 2, 2, 9, 9), bad])
    (tmp_path / "l/broken.json").write_text("{")
    found = import_labelme(tmp_path / "l", target(tmp_path))
    assert any(line.startswith(f"{path}: shape 1: {says}") for line in found.problems)
    assert any(
        line.startswith(f"{tmp_path / 'l/broken.json'} is not JSON") for line in found.problems
    )
    assert len(found.problems) == 2
    assert (VocFolder.open(tmp_path / "set").mask("one") == 1).sum() == 49


def test_a_folder_without_files_of_labelme_is_refused(tmp_path):
    (tmp_path / "l").mkdir()
    refused(lambda: import_labelme(tmp_path / "l", target(tmp_path)), "has no .json file")
    refused(lambda: import_labelme(tmp_path / "no", target(tmp_path)), "is not a folder")
    labelme(tmp_path / "l", "one", [])
    refused(
        lambda: import_labelme(tmp_path / "l", target(tmp_path)), "nothing that can be imported"
    )


# Folders of masks


def pair_of(folder: Path, name: str, mask: np.ndarray, suffix: str = "") -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    Image.new("RGB", mask.shape[::-1], "green").save(folder / f"images/{name}.jpg")
    (folder / f"masks/{name}{suffix}.png").write_bytes(palette_png(mask.astype(np.uint8)))


def test_ids_of_masks_become_contiguous(tmp_path):
    for name, c in (("a", 7), ("b", 23), ("c", 7), ("d", 23)):
        mask = np.where(DISC, c, 0)
        mask[:2] = 255
        pair_of(tmp_path, name, mask, "_mask" if name == "b" else "")
    (tmp_path / "images/lonely.jpg").write_bytes((tmp_path / "images/a.jpg").read_bytes())
    (tmp_path / "masks/single.png").write_bytes((tmp_path / "masks/a.png").read_bytes())
    found = import_masks(tmp_path / "images", tmp_path / "masks", target(tmp_path))
    data = VocFolder.open(tmp_path / "set")
    assert data.classes == ("class 7", "class 23")
    assert np.unique(data.mask("b")).tolist() == [0, 2, 255]
    assert [line.split(": ")[1] for line in sorted(found.problems)] == [
        f"it has no mask in {tmp_path / 'masks'}",
        f"it has no picture in {tmp_path / 'images'}",
    ]
    names = [f"n{i}" for i in range(1, 24)]
    import_masks(
        tmp_path / "images", tmp_path / "masks", target(tmp_path, overwrite=True), classes=names
    )
    assert VocFolder.open(tmp_path / "set").classes == ("n7", "n23")
    refused(
        lambda: import_masks(
            tmp_path / "images", tmp_path / "masks", Target(tmp_path / "s"), classes=names[:9]
        ),
        "id 23, for which no class is named",
    )


def test_binary_masks_of_all_kinds_are_one_class(tmp_path):
    pair_of(tmp_path, "a", DISC * 255)
    pair_of(tmp_path, "b", DISC * 1)
    pair_of(tmp_path, "c", DISC)
    (tmp_path / "masks/c.png").unlink()
    Image.fromarray((DISC * 255).astype(np.uint8)).save(tmp_path / "masks/c.jpg", quality=95)
    pair_of(tmp_path, "d", DISC)
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[DISC] = (200, 0, 0)
    Image.fromarray(red).save(tmp_path / "masks/d.png")
    folders = tmp_path / "images", tmp_path / "masks"
    found = import_masks(*folders, target(tmp_path), binary=True, classes=["cup"])
    assert found.problems == []
    data = VocFolder.open(tmp_path / "set")
    assert data.classes == ("cup",)
    for name in "abcd":
        assert np.array_equal(data.mask(name), DISC), name
    found = import_masks(*folders, Target(tmp_path / "ids", progress=False))
    assert [line.split("/")[-1][:5] for line in found.problems[:2]] == ["c.jpg", "d.png"]
    assert "1 pictures without an object" in found.problems[2]  # a: 255 is void


def test_masks_of_0_and_255_say_what_to_do(tmp_path):
    pair_of(tmp_path, "a", DISC * 255)
    refused(
        lambda: import_masks(tmp_path / "images", tmp_path / "masks", target(tmp_path)),
        str(tmp_path / "masks"), "255 is void", "binary",
    )  # fmt: skip
    assert not (tmp_path / "set").exists()


def test_pictures_and_masks_may_be_in_one_folder(tmp_path):
    for i in range(4):
        pair_of(tmp_path, f"p{i}", DISC)
        (tmp_path / f"masks/p{i}.png").rename(tmp_path / f"images/p{i}{'_mask' * (i < 2)}.png")
    found = import_masks(tmp_path / "images", tmp_path / "images", target(tmp_path))
    assert found.problems == []
    assert set(VocFolder.open(tmp_path / "set").names("all")) == {"p0", "p1", "p2", "p3"}


# The commands


def test_an_import_ends_with_a_table_and_a_contact_sheet(tmp_path, capsys):
    path = coco(tmp_path)
    out = tmp_path / "set"
    given = ["import", "coco", str(path), "--images", str(tmp_path / "images"), "--out", str(out)]
    assert main(given) == 0
    printed = capsys.readouterr().out
    assert f"{out}: 4 pictures (train" in printed
    assert "red dog" in printed
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"
    assert main(given) == 2
    assert "exists: name another folder, or --overwrite" in capsys.readouterr().err
    for wrong, says in ((["--val", "2"], "--val 2.0: "), (["--seed", "-1"], "seed -1: ")):
        assert main([*given, "--overwrite", *wrong]) == 2
        assert says in capsys.readouterr().err
    assert main([*given, "--overwrite", "--val", "0.5", "--seed", "1"]) == 0


def test_an_import_that_cannot_be_read_is_an_error_and_leaves_no_folder(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("ltm_edu.datasets.labelme.free_name", lambda text, taken: "one.jpg")
    labelme(tmp_path / "l", "one", [shape("cat", 2, 2, 9, 9)])
    assert main(["import", "labelme", str(tmp_path / "l"), "--out", str(tmp_path / "set")]) == 2
    assert "is not written: its file one.jpg is missing" in capsys.readouterr().err
    assert left_in(tmp_path) == ["l"]


def test_the_command_imports_labelme_and_masks(tmp_path, capsys):
    labelme(tmp_path / "l", "one", [shape("cat", 2, 2, 9, 9), shape("dog", 1, 1, 1, 1)])
    assert main(["import", "labelme", str(tmp_path / "l"), "--out", str(tmp_path / "set")]) == 0
    assert "warning: " in capsys.readouterr().err
    for i in range(3):
        pair_of(tmp_path, f"p{i}", DISC * 255)
    given = ["import", "masks", str(tmp_path / "images"), str(tmp_path / "masks")]
    assert main([*given, "--out", str(tmp_path / "two")]) == 2
    assert "binary" in capsys.readouterr().err
    assert main([*given, "--out", str(tmp_path / "two"), "--binary", "--classes", "cup"]) == 0
    assert VocFolder.open(tmp_path / "two").classes == ("cup",)
    names = tmp_path / "names.txt"
    names.write_text("mug\n")
    assert main([*given, "--out", str(tmp_path / "3"), "--binary", "--classes", str(names)]) == 0
    assert VocFolder.open(tmp_path / "3").classes == ("mug",)
