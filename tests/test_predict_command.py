"""`ltm-edu predict`: files in, files out, and nothing lost on the way."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import contents, write_voc
from PIL import Image

from ltm_edu.cli import main
from ltm_edu.datasets.voc import VocFolder


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of three pictures with discs and one with a mast, and masks of two of them."""
    data = VocFolder.open(write_voc(tmp_path / "voc", train=1, val=3))
    for name in (*(n for n in data.names("val") if "disc" in n), "val_mast_0"):
        short = name.removeprefix("val_")
        image, mask = data.pair(name)
        (tmp_path / "pictures").mkdir(exist_ok=True)
        image.save(tmp_path / "pictures" / f"{short}.jpg")
        if short in ("disc_0", "mast_0"):
            object_mask = ((mask > 0) & (mask != 255)).astype(np.uint8) * 255
            Image.fromarray(object_mask).save(tmp_path / f"{short}_mask.png")
    return tmp_path


@pytest.fixture
def run(folder, trained, capsys):
    """Run predict with the trained model and the first disc as support."""

    def command(*arguments: object, support: bool = True) -> tuple[int, list[str], list[str]]:
        given = ["predict", "--checkpoint", trained.checkpoint, *arguments]
        if support:
            given += ["--support", folder / "pictures" / "disc_0.jpg", folder / "disc_0_mask.png"]
        status = main([str(a) for a in given])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return command


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.array(file)


def test_a_folder_is_segmented_and_every_result_is_in_the_table(run, folder):
    out = folder / "out"
    status, printed, err = run("--query", folder / "pictures", "--out", out)
    assert (status, err) == (0, [])
    stems = ["disc_0", "disc_1", "disc_2", "mast_0"]
    names = [f"{s}_{kind}.png" for s in stems for kind in ("mask", "overlay")]
    assert printed == [str(out / name) for name in (*names, "results.csv")]
    assert {p.name for p in out.iterdir()} == {*names, "results.csv"}
    rows = table(out / "results.csv")
    assert list(rows[0]) == ["file", "class", "presence", "area", "time"]
    assert [row["file"] for row in rows] == [str(folder / "pictures" / f"{s}.jpg") for s in stems]
    for row, stem in zip(rows, stems, strict=True):
        assert row["class"] == "object"
        assert 0 <= float(row["presence"]) <= 1
        assert int(row["area"]) == (pixels(out / f"{stem}_mask.png") > 0).sum()
        assert float(row["time"]) > 0


def test_one_query_gets_all_of_torchs_threads(run, folder, monkeypatch):
    monkeypatch.setattr("ltm_edu.segmenter.in_parallel", lambda *_: pytest.fail("one thread"))
    assert run("--query", folder / "pictures/disc_1.jpg", "--out", folder / "out")[0] == 0


def test_a_bad_file_is_one_line_and_the_rest_go_on(run, folder):
    bad = folder / "pictures" / "disc_00.jpg"
    bad.write_text("no picture")
    status, _, err = run("--query", folder / "pictures", "--out", folder / "out")
    assert status == 1
    line, summary = err
    assert line.startswith("ltm-edu: ")
    assert str(bad) in line
    assert "1 of 5" in summary
    assert summary.endswith(str(bad))
    assert len(table(folder / "out" / "results.csv")) == 4


@pytest.mark.parametrize("count", [1, 2])
def test_where_no_query_can_be_read_nothing_is_written(run, folder, count):
    bad = [folder / f"bad{i}.png" for i in range(count)]
    for path in bad:
        path.write_text("no picture")
    status, printed, err = run("--query", *bad, "--out", folder / "out")
    assert (status, printed) == (2, [])
    assert str(bad[0]) in err[0]
    assert len(err) == (1 if count == 1 else 3)
    assert not (folder / "out").exists()


def test_a_table_that_cannot_go_on_is_refused_before_anything_is_computed(run, folder, monkeypatch):
    (folder / "out").mkdir()
    (folder / "out/results.csv").write_bytes("Käse".encode("cp1252"))
    monkeypatch.setattr(
        "ltm_edu.commands.predict.FewShotSegmenter", lambda *_, **__: pytest.fail("computes")
    )
    status, printed, err = run("--query", folder / "pictures", "--out", folder / "out")
    assert (status, printed, len(err)) == (2, [], 1)
    assert str(folder / "out/results.csv") in err[0]


@pytest.mark.parametrize("way", ["same folder", "link to the folder", "link to the mask"])
def test_a_mask_that_is_read_is_never_written(run, folder, way):
    out = folder
    if way != "same folder":
        out = folder / "out"
        if way == "link to the folder":
            out.symlink_to(folder)
        else:
            out.mkdir()
            (out / "disc_0_mask.png").symlink_to(folder / "disc_0_mask.png")
    before = contents(folder)
    query = folder / "pictures" / "disc_0.jpg"
    status, printed, err = run("--query", query, "--out", out, "--overwrite")
    assert (status, printed, len(err)) == (2, [], 1)
    assert "disc_0_mask.png" in err[0]
    assert contents(folder) == before


def test_results_that_are_there_are_replaced_only_on_request(run, folder):
    out, query = folder / "out", folder / "pictures" / "disc_1.jpg"
    assert run("--query", query, "--out", out)[0] == 0
    before = contents(out)
    status, _, err = run("--query", query, folder / "pictures" / "disc_2.jpg", "--out", out)
    assert (status, len(err)) == (2, 1)
    assert "--overwrite" in err[0]
    assert contents(out) == before
    assert run("--query", folder / "pictures" / "disc_2.jpg", "--out", out)[0] == 0
    assert run("--query", query, "--out", out, "--overwrite", "--threshold", 0.9)[0] == 0
    rows = table(out / "results.csv")
    assert [Path(row["file"]).stem for row in rows] == ["disc_2", "disc_1"]
    assert contents(out)["disc_1_mask.png"] != before["disc_1_mask.png"]


def test_classes_by_name_make_one_label_map(run, folder):
    out, pictures = folder / "out", folder / "pictures"
    supports = [
        f"--support=disc={pictures / 'disc_0.jpg'},{folder / 'disc_0_mask.png'}",
        f"--support=mast={pictures / 'mast_0.jpg'},{folder / 'mast_0_mask.png'}",
    ]
    given = ("--query", pictures / "disc_1.jpg", "--out", out, "--min-presence", 0, *supports)
    assert run(*given, support=False)[0] == 0
    rows = table(out / "results.csv")
    assert [row["class"] for row in rows] == ["disc", "mast"]
    labels = pixels(out / "disc_1_mask.png")
    assert [int(row["area"]) for row in rows] == [(labels == c).sum() for c in (1, 2)]


def test_a_folder_of_supports_is_that_of_its_pairs(run, folder):
    pictures, out = folder / "pictures", folder / "out"
    (folder / "disc_0_mask.png").rename(pictures / "disc_0_mask.png")
    given = ("--query", pictures, "--support-dir", pictures, "--out", out)
    status, printed, _ = run(*given, support=False)
    assert status == 0
    assert str(out / "disc_0_mask.png") in printed
    assert str(out / "disc_0_mask_mask.png") not in printed  # a support's mask is no query
    pair = (pictures / "disc_0.jpg", pictures / "disc_0_mask.png")
    again = ("--query", pictures / "disc_1.jpg", "--support", *pair, "--out", folder / "again")
    assert run(*again, support=False)[0] == 0
    name = "disc_1_mask.png"
    assert np.array_equal(pixels(out / name), pixels(folder / "again" / name))


def test_other_formats_are_written_beside_or_instead(run, folder):
    query, out = folder / "pictures" / "disc_1.jpg", folder / "out"
    status, printed, _ = run("--query", query, "--out", out, "--format", "labelme,coco")
    assert status == 0
    assert printed == [str(out / n) for n in ("disc_1.json", "results.csv", "coco.json")]
    (image,) = json.loads((out / "coco.json").read_text())["images"]
    assert image["file_name"] == "../pictures/disc_1.jpg"
    assert json.loads((out / "disc_1.json").read_text())["imagePath"] == image["file_name"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--format", "png,svg"), ("svg", "png, labelme, coco")),
        (("--threshold", 0), ("threshold", "0")),
        (("--min-presence", 2), ("min_presence", "2")),
        (("--device", "warp"), ("warp",)),
        (("--support", "cat"), ("cat", "NAME=PICTURE,MASK")),
        (("--support-dir", "nowhere"), ("nowhere",)),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(run, folder, given, says):
    query = folder / "pictures" / "disc_1.jpg"
    before = contents(folder)
    status, printed, err = run("--query", query, "--out", folder / "out", *given)
    assert (status, printed, len(err)) == (2, [], 1)
    assert all(part in err[0] for part in says)
    assert contents(folder) == before


def test_without_supports_the_command_says_what_to_give(run, folder):
    status, _, err = run("--query", folder / "pictures", support=False)
    assert status == 2
    assert "--support-dir" in err[0]
