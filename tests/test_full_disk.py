"""A disk that is full: every command says so in one line, and what was there stays."""

import pytest
from helpers import contents, files_at_most, write_voc

from ltm_edu.cli import main
from ltm_edu.datasets.emoji5i import generate
from ltm_edu.store.errors import InputError

TRAIN = ("train", "--size", "97", "--steps", "2", "--set", "features=8", "--overwrite")
WRITES = {
    "train": (*TRAIN, "--data", "voc", "--checkpoint", "out/m.pt"),
    "train, state": (*TRAIN[:-1], "--data", "voc", "--checkpoint", "out/n.pt", "--resume"),
    "evaluate": ("evaluate", "--data", "voc", "--episodes", "2", "--seed", "0", "--json", "out/e"),
    "episode lists": ("evaluate", "--data", "voc", "--seed", "0", "--episode-lists", "out/list"),
    "compare": (
        "compare",
        "--data",
        "voc",
        "--episodes",
        "2",
        "--method",
        "local",
        "--png",
        "out/c",
    ),
    "inspect": ("inspect", "voc", "--sheet", "out/sheet.png"),
    "import": ("import", "masks", "voc/JPEGImages", "voc/SegmentationClass", "--out", "out/set"),
    "predict": (
        *("predict", "--checkpoint", "m.pt", "--query", "voc/JPEGImages", "--out", "out/p"),
        *("--support", "{picture}", "{mask}", "--overwrite"),
    ),
}
SIZES = [0, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 500, 4_000, 30_000))]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", WRITES)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    tmp_path, monkeypatch, capsys, what, size
):
    monkeypatch.chdir(tmp_path)
    voc = write_voc(tmp_path / "voc", train=3, val=2)
    picture = min((voc / "JPEGImages").iterdir())
    names = {"picture": picture, "mask": voc / "SegmentationClass" / f"{picture.stem}.png"}
    given = [text.format_map(names) for text in WRITES[what]]
    if what == "predict":
        assert main([*TRAIN, "--data", "voc", "--checkpoint", "m.pt"]) == 0
    (tmp_path / "out").mkdir()
    for name in ("m.pt", "e", "c", "sheet.png", "p/other.png"):  # what earlier runs have left
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"before")
    before = contents(tmp_path / "out")
    capsys.readouterr()
    with files_at_most(size):
        status = main(given)
    err = [x for x in capsys.readouterr().err.splitlines() if x.startswith("ltm-edu: ")]
    after = contents(tmp_path / "out")
    if status == 0:  # its files are smaller than that
        assert size > 0
        return
    assert status in (1, 2)
    assert any("cannot write" in line and "File too large" in line for line in err), err
    assert {name: after.get(name) for name in before} == before
    assert not any(name.rpartition("/")[2].startswith(".ltm_edu") for name in after)
    capsys.readouterr()
    assert main(given) == 0  # with room again, the same command works


def test_the_miniature_is_made_whole_or_not_at_all(tmp_path):
    with files_at_most(100), pytest.raises(InputError, match=r"cannot write .*File too large"):
        generate(tmp_path / "emoji5i", train=2, val=2, progress=False)
    assert not list(tmp_path.iterdir())
