"""What `inspect` and `verify` say about a folder: what it holds, what is wrong, what is odd."""

import shutil

import numpy as np
import pytest
from helpers import CLASSES, write_voc
from PIL import Image

from ltm_edu.cli import main
from ltm_edu.datasets.inspection import inspect_folder, report, survey
from ltm_edu.datasets.voc import VocFolder


def lines_of(voc) -> list[str]:
    """The doubts about a folder, with its path cut off."""
    return [
        line.removeprefix(f"{voc}/") for line in report(survey(VocFolder.open(voc), False).doubts)
    ]


def test_a_survey_counts_what_is_there(voc):
    data = VocFolder.open(voc)
    name = data.names("val")[4]
    tags = Image.Exif()
    tags[274] = 8
    image = data.image(name)
    image.transpose(Image.Transpose.ROTATE_270).save(data.image_path(name), exif=tags)
    found = survey(data, progress=False)
    assert (found.faults, found.doubts) == ([], [])
    for i, n in enumerate(found.names):
        image, mask = data.pair(n)
        assert tuple(found.sizes[i]) == image.size
        assert np.array_equal(found.pixels[i], np.bincount(mask.ravel(), minlength=256))


def test_the_table_has_a_row_for_each_class(voc):
    data = VocFolder.open(voc)
    masks = [data.mask(n) for n in data.names("all")]
    rows = survey(data, progress=False).table().splitlines()
    assert rows[0] == f"{voc}: 48 pictures (train 24, val 24)"
    sizes = sorted((m.shape[::-1] for m in masks), key=lambda s: s[0] * s[1])
    smallest, largest = ("x".join(map(str, s)) for s in (sizes[0], sizes[-1]))
    assert rows[1] == f"sizes: {smallest} to {largest}"
    whole = sum(m.size for m in masks)
    for c, name in [*enumerate(CLASSES, start=1), (255, "void")]:
        row = next(r.split() for r in rows[3:] if r.split()[1] == name)
        part = sum((m == c).sum() for m in masks) / whole
        pictures = "24" if name == "void" else "3"
        assert row == [str(c), name, pictures, pictures, f"{part:.1%}"]


def test_files_that_no_list_names_are_reported(voc):
    shutil.copy(voc / "JPEGImages/val_disc_0.jpg", voc / "JPEGImages/new.jpg")
    shutil.copy(voc / "JPEGImages/val_disc_0.jpg", voc / "JPEGImages/bare.jpg")
    for name in ("new", "lonely"):
        shutil.copy(voc / "SegmentationClass/val_disc_0.png", voc / f"SegmentationClass/{name}.png")
    shutil.copy(voc / "JPEGImages/val_disc_0.jpg", voc / "JPEGImages/val_disc_0.png")
    (voc / "JPEGImages/notes.txt").write_text("mine")
    (voc / "JPEGImages/val_disc_0.json").write_text("{}")
    assert lines_of(voc) == [
        "JPEGImages: has no mask: bare.jpg",
        "JPEGImages: is in no list: new.jpg",
        "SegmentationClass: has no picture: lonely.png",
        "JPEGImages: is not read: another file has its name: val_disc_0.png",
    ]
    assert inspect_folder(VocFolder.open(voc), progress=False) == []


def test_masks_that_show_no_class_are_reported(voc):
    data = VocFolder.open(voc)
    for name, values in (("val_disc_0", (0, 255)), ("val_disc_1", (0, 0))):
        mask = data.mask(name)
        new = np.where(mask == 1, values[1], values[0]).astype(np.uint8)
        Image.fromarray(new).save(data.mask_path(name))
    assert lines_of(voc) == [
        "SegmentationClass: shows nothing but 255, which is void, and no class: val_disc_0.png",
        "SegmentationClass: shows no class: val_disc_1.png",
    ]


def test_a_folder_of_masks_of_0_and_255_is_a_fault_that_says_what_255_is(voc, capsys):
    data = VocFolder.open(voc)
    for name in data.names("all"):
        Image.fromarray(((data.mask(name) > 0) * 255).astype(np.uint8)).save(data.mask_path(name))
    assert main(["verify", str(voc)]) == 2
    out, err = capsys.readouterr()
    assert "no mask shows a class" in out
    assert "255 is void" in out
    assert "binary" in out
    assert "1 missing or damaged" in err


def test_a_name_in_two_lists_is_reported(voc):
    lists = voc / "ImageSets/Segmentation"
    names = (lists / "val.txt").read_text().split()
    with (lists / "train.txt").open("a") as file:
        file.write("".join(f"{n}\n" for n in names[:3]))
    assert lines_of(voc) == ["ImageSets/Segmentation: shares 3 names with val.txt: train.txt"]


def test_a_mask_with_the_id_of_a_blank_line_is_a_fault(voc):
    (voc / "classes.txt").write_text("\n".join(c if c != "tower" else "" for c in CLASSES))
    faults = inspect_folder(VocFolder.open(voc), progress=False)
    assert {path.stem.split("_")[1] for path, _ in faults} == {"tower"}
    assert len(faults) == 6
    (line,) = report(faults)
    assert "class id 3, whose line in classes.txt is blank" in line


def test_examples_are_of_every_class_and_can_be_read(voc):
    data = VocFolder.open(voc)
    data.image_path("val_disc_0").write_bytes(b"")
    found = survey(data, progress=False)
    names = found.examples(16)
    assert len(names) == 16
    for c in range(1, 9):
        assert sum((data.mask(n) == c).any() for n in names) >= 2
    assert "val_disc_0" not in found.examples(1000)
    assert len(found.examples(1000)) == 47


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_both_commands_say_what_is_wrong_and_what_is_odd(voc, capsys, command):
    path = voc / "classes.txt"
    path.write_text(f"_background_\n{path.read_text()}")
    assert main([command, str(voc)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith(f"warning: {path}: line 1 is _background_")
    assert out[-2] == f"{voc}: every file that the lists name exists and can be read"
    (voc / "JPEGImages/val_disc_0.jpg").unlink()
    assert main([command, str(voc)]) == 2
    out, err = capsys.readouterr()
    assert f"{voc}/JPEGImages: is missing: val_disc_0.jpg" in out.splitlines()
    assert "1 missing or damaged" in err


def test_inspect_draws_a_sheet_of_what_can_be_read(tmp_path, capsys):
    voc = write_voc(
        tmp_path / "voc", train=2, val=2, classes=("$5", "a $ b", "猫", "\U0001f469‍\U0001f33e")
    )
    (voc / "JPEGImages/val_$5_0.jpg").write_bytes(b"nothing")
    sheet = tmp_path / "new/sheet.png"
    assert main(["inspect", str(voc), "--sheet", str(sheet)]) == 2
    assert f"contact sheet: {sheet}" in capsys.readouterr().out
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 1000
    assert main(["inspect", str(voc), "--sheet", str(tmp_path)]) == 2
    assert "it is a folder" in capsys.readouterr().err


def test_training_and_scoring_warn_of_an_odd_list_of_classes(voc, tmp_path, capsys):
    path = voc / "classes.txt"
    path.write_text(f"background\n{path.read_text()}")
    given = ["evaluate", "--data", str(voc), "--episodes", "1", "--seed", "0", "--fold", "1"]
    main([*given, "--cache", str(tmp_path / "cache")])
    assert f"ltm-edu: warning: {path}: line 1 is background" in capsys.readouterr().err
