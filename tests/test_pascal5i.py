"""PASCAL-5i from small archives in the real layouts: created, killed, repaired, and refused."""

import hashlib
import io
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from helpers import contents
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix
from web import serving

from ltm_edu import open_dataset
from ltm_edu.cli import main
from ltm_edu.datasets import pascal5i
from ltm_edu.datasets.pascal5i import Release, fetch, folder
from ltm_edu.datasets.sbd import mask_of_mat
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.store.errors import InputError
from ltm_edu.store.fetch import Archive
from ltm_edu.store.pictures import palette_png, voc_palette

TRAIN = ["2007_000001", "2007_000002"]
VAL = ["2007_000003", "2007_000004"]
SBD = ["2007_000002", "2007_000003", "2008_000005", "2008_000006"]  # one in train, one in val
NO_MASK = "2009_000009"
EVERY = sorted({*TRAIN, *VAL, *SBD})
VOC_TAR, SBD_TAR = "VOCtrainval_11-May-2012.tar", "benchmark.tgz"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def size_of(name: str) -> tuple[int, int]:
    return 40 + int(name[-1]), 60 - int(name[-1])


def ids_of(name: str, origin: str) -> np.ndarray:
    """A mask that shows its origin: VOC's have a border of 255, SBD's another class."""
    mask = np.zeros(size_of(name), np.uint8)
    mask[8:30, 10:40] = 255 if origin == "voc" else 0
    mask[10:28, 12:38] = int(name[-1]) + (0 if origin == "voc" else 10)
    return mask


def jpeg(name: str) -> bytes:
    rng = np.random.default_rng(int(name[-1]))
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (*size_of(name), 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def mat(mask: np.ndarray) -> bytes:
    """A .mat file like SBD's: boundaries of each class, the mask, the classes in it."""
    edges = np.empty((20, 1), object)
    for c in range(20):
        edges[c, 0] = csc_matrix((mask == c + 1).astype(float))
    classes = np.setdiff1d(np.unique(mask), 0)[:, None].astype(np.uint8)
    file = io.BytesIO()
    parts = {"Boundaries": edges, "Segmentation": mask, "CategoriesPresent": classes}
    savemat(file, {"GTcls": parts}, do_compression=True)
    return file.getvalue()


def packed(files: dict[str, bytes], mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def voc_files() -> dict[str, bytes]:
    root = "VOCdevkit/VOC2012"
    lists = f"{root}/ImageSets/Segmentation"
    return {
        f"{root}/Annotations/{TRAIN[0]}.xml": b"<annotation/>",
        f"{root}/ImageSets/Main/train.txt": b"2007_000001 -1\n",
        f"{lists}/train.txt": "".join(f"{n}\n" for n in TRAIN).encode(),
        f"{lists}/trainval.txt": "".join(f"{n}\n" for n in TRAIN + VAL).encode(),
        f"{lists}/val.txt": "".join(f"{n}\n" for n in VAL).encode(),
        **{f"{root}/JPEGImages/{n}.jpg": jpeg(n) for n in [*EVERY, NO_MASK]},
        **{f"{root}/SegmentationClass/{n}.png": palette_png(ids_of(n, "voc")) for n in TRAIN + VAL},
        **{f"{root}/SegmentationObject/{n}.png": b"objects" for n in TRAIN + VAL},
    }


def sbd_files() -> dict[str, bytes]:
    root = "benchmark_RELEASE/dataset"
    return {
        "benchmark_RELEASE/benchmark_code_RELEASE/README": b"code",
        f"{root}/train.txt": b"2007_000002\n2008_000005\n",
        f"{root}/val.txt": b"2007_000003\n2008_000006\n",
        **{f"{root}/img/{n}.jpg": jpeg(n) for n in SBD},
        **{f"{root}/cls/{n}.mat": mat(ids_of(n, "sbd")) for n in SBD},
        **{f"{root}/inst/{n}.mat": b"instances" for n in SBD},
    }


@pytest.fixture(scope="module")
def archives() -> dict[str, bytes]:
    return {VOC_TAR: packed(voc_files(), "w"), SBD_TAR: packed(sbd_files(), "w:gz")}


def published(files: dict[str, bytes], url: str) -> Release:
    voc, sbd = (
        Archive(n, len(files[n]), hashlib.md5(files[n]).hexdigest(), (f"{url}/{n}",))
        for n in (VOC_TAR, SBD_TAR)
    )
    return Release(voc, sbd, {"train": 4, "val": 2}, 30_000)


@pytest.fixture
def web(archives, monkeypatch):
    """The server of the small release, which replaces the real one."""
    with serving() as server:
        server.files.update(archives)
        monkeypatch.setattr(pascal5i, "RELEASE", published(archives, server.url))
        yield server


@pytest.fixture
def tars(web, archives, tmp_path) -> Path:
    """A folder that holds the archives, which the server no longer has."""
    source = tmp_path / "source"
    source.mkdir()
    for name, content in archives.items():
        (source / name).write_bytes(content)
    web.files.clear()
    return source


@pytest.fixture
def devkit(web, tmp_path) -> Path:
    """A common VOCdevkit/VOC2012: grey masks of all lists, no trainaug.txt."""
    root = tmp_path / "source" / "VOCdevkit" / "VOC2012"
    for name, content in voc_files().items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "SegmentationClassAug").mkdir()
    for name in EVERY:
        ids = ids_of(name, "voc" if name in TRAIN + VAL else "sbd")
        Image.fromarray(ids).save(root / "SegmentationClassAug" / f"{name}.png")
    web.files.clear()
    return root


def check_complete(root: Path) -> None:
    """Check every file of the finished folder."""
    files = contents(root)
    expected = {f"JPEGImages/{n}.jpg": jpeg(n) for n in EVERY}
    assert {k: v for k, v in files.items() if k.startswith("JPEG")} == expected
    masks = {f"SegmentationClass/{n}.png" for n in EVERY}
    lists = {f"ImageSets/Segmentation/{s}.txt" for s in ("train", "val")}
    assert set(files) == {*expected, *masks, *lists, "SOURCES.txt"}
    data = VocFolder.open(root)
    assert list(data.names("train")) == sorted({*TRAIN, *SBD} - set(VAL))
    assert list(data.names("val")) == VAL
    for name in EVERY:
        origin = "voc" if name in TRAIN + VAL else "sbd"
        assert np.array_equal(data.pair(name)[1], ids_of(name, origin))
        with Image.open(data.mask_path(name)) as mask:
            assert mask.mode == "P"
            assert mask.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]


# Sources


def test_pascal_5i_is_downloaded_and_combined(web, tmp_path, capsys):
    assert main(["fetch", "pascal5i"]) == 0
    out = capsys.readouterr().out
    assert str(folder()) in out
    assert "--data pascal5i" in out
    assert [name for name, _ in web.requests] == [VOC_TAR, SBD_TAR]
    check_complete(folder())
    beside = {p.name for p in folder().parent.iterdir()}
    assert beside == {"pascal5i", "downloads"}
    assert open_dataset("pascal5i").root == folder()


def test_vocs_own_masks_are_copied_byte_for_byte(web):
    masks = fetch(progress=False) / "SegmentationClass"
    for name in TRAIN + VAL:
        original = voc_files()[f"VOCdevkit/VOC2012/SegmentationClass/{name}.png"]
        assert (masks / f"{name}.png").read_bytes() == original


def test_a_second_fetch_downloads_and_writes_nothing(web):
    root = fetch(progress=False)
    requests, before = list(web.requests), {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert fetch(progress=False) == root
    assert web.requests == requests
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


def test_archives_in_a_folder_are_read_in_place(web, tars):
    before = contents(tars)
    check_complete(fetch(tars, progress=False))
    assert web.requests == []
    assert contents(tars) == before
    assert contents(folder().parent / "downloads") == {}


def test_of_two_archives_only_the_missing_one_is_downloaded(web, archives, tars):
    (tars / SBD_TAR).unlink()
    web.files[SBD_TAR] = archives[SBD_TAR]
    check_complete(fetch(tars, progress=False))
    assert web.requests == [(SBD_TAR, 0)]


def test_a_mirror_replaces_a_server_that_is_down(web, archives, capsys):
    with serving() as mirror:
        mirror.files.update(archives)
        web.status = 503
        assert main(["fetch", "pascal5i", "--mirror", mirror.url]) == 0
    check_complete(folder())


@pytest.mark.parametrize("level", ["VOC2012", "VOCdevkit", "source"])
def test_a_voc_devkit_with_the_masks_needs_no_network(web, devkit, level):
    source = {"VOC2012": devkit, "VOCdevkit": devkit.parent, "source": devkit.parent.parent}[level]
    before = contents(source)
    root = fetch(source, progress=False)
    check_complete(root)
    assert web.requests == []
    assert contents(source) == before
    name = f"JPEGImages/{EVERY[0]}.jpg"
    assert (root / name).samefile(devkit / name)  # no second copy of 1.3 GB


def test_pictures_are_copied_where_hard_links_are_impossible(devkit, monkeypatch):
    def no_link(*_args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    check_complete(fetch(devkit, progress=False))


@pytest.mark.parametrize("line", ["{n}", "/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png"])
def test_a_trainaug_list_is_used_in_either_of_its_forms(devkit, monkeypatch, line):
    train = sorted({*TRAIN, *SBD} - set(VAL))[:3]
    path = devkit / "ImageSets/Segmentation/trainaug.txt"
    path.write_text("\n".join(line.format(n=n) for n in train))
    monkeypatch.setitem(pascal5i.RELEASE.counts, "train", 3)
    assert list(VocFolder.open(fetch(devkit, progress=False)).names("train")) == train


def test_a_list_that_repeats_names_gives_each_once(devkit):
    for split, names in (("trainaug", sorted({*TRAIN, *SBD} - set(VAL))), ("val", VAL)):
        lines = [*names, "", *(f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png" for n in names)]
        path = devkit / f"ImageSets/Segmentation/{split}.txt"
        path.write_bytes("\r\n".join(lines).encode())
    check_complete(fetch(devkit, progress=False))
    assert pascal5i.verify(progress=False) == []


def test_a_raw_voc_2012_as_data_is_refused_with_the_command_that_converts_it(devkit):
    names = sorted({*TRAIN, *SBD} - set(VAL))
    (devkit / "ImageSets/Segmentation/trainaug.txt").write_text("\n".join(names))
    dataset = open_dataset(devkit)
    assert dataset.index("train").names == tuple(TRAIN)  # VOC's own list and masks go together
    with pytest.raises(InputError, match="only SegmentationClassAug/") as raised:
        dataset.index("trainaug")
    command = re.search(r"ltm-edu (.*) makes PASCAL-5i of it", str(raised.value))
    assert main(shlex.split(command[1])) == 0
    check_complete(folder())


def test_the_release_is_torchvisions():
    from torchvision.datasets import sbd, voc

    known = voc.DATASET_YEAR_DICT["2012"]
    ours = pascal5i.RELEASE.voc
    assert (ours.name, ours.md5) == (known["filename"], known["md5"])
    assert known["url"] in ours.urls
    ours = pascal5i.RELEASE.sbd
    assert (ours.name, ours.md5) == (sbd.SBDataset.filename, sbd.SBDataset.md5)
    assert sbd.SBDataset.url in ours.urls
    assert pascal5i.RELEASE.counts == {"train": 10_582, "val": 1_449}


# Killed runs

KILLED = """
import json, sys
from ltm_edu.datasets import pascal5i
from ltm_edu.store.fetch import Archive
archives = json.loads(sys.argv[1])
pascal5i.RELEASE = pascal5i.Release(
    *(Archive(*a, tuple(urls)) for *a, urls in archives), {"train": 4, "val": 2}, 30_000
)
pascal5i.fetch(progress=False)
"""


def test_a_download_that_is_killed_resumes_after_its_last_byte(web, archives, tmp_path):
    release = pascal5i.RELEASE
    half = len(archives[VOC_TAR]) // 2
    web.cut, web.stall = half, True
    plain = [[a.name, a.size, a.md5, a.urls] for a in (release.voc, release.sbd)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, json.dumps(plain)])
    part = folder().parent / "downloads" / f"{VOC_TAR}.part"
    deadline = time.monotonic() + 300
    try:
        while not (part.exists() and part.stat().st_size == half):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert not folder().exists()
    assert set(contents(folder().parent)) == {"downloads/.lock", f"downloads/{VOC_TAR}.part"}
    web.cut, web.stall = None, False
    check_complete(fetch(progress=False))
    assert web.requests == [(VOC_TAR, 0), (VOC_TAR, half), (SBD_TAR, 0)]


def stop_after(count: int, monkeypatch) -> list[Path]:
    """Stop a run in the middle of a file after it has written `count`; returns those written."""
    from ltm_edu.store.fetch import put

    written: list[Path] = []

    def put_or_stop(path: Path, content: bytes) -> None:
        if len(written) == count:
            path.with_name(f".{path.name}.x1y2z3").write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt
        put(path, content)
        written.append(path)

    monkeypatch.setattr(pascal5i, "put", put_or_stop)
    return written


@pytest.mark.parametrize("count", range(15))
def test_wherever_unpacking_is_stopped_the_next_run_writes_only_the_rest(
    tars, monkeypatch, capsys, count
):
    first = stop_after(count, monkeypatch)
    source = ["fetch", "pascal5i", "--from", str(tars)]
    assert main(source) == 130
    assert not folder().exists()
    assert len(first) == count
    assert main(["verify"]) == 2
    assert "the last fetch was interrupted; resume it with" in capsys.readouterr().err
    second = stop_after(1000, monkeypatch)
    assert main(source) == 0
    check_complete(folder())
    final = {"train.txt", "val.txt", "SOURCES.txt"}
    assert {p.name for p in first} & {p.name for p in second} <= final
    # 2 masks of SBD's, 4 of VOC's and 6 pictures; then come 2 lists and the sources.
    assert len({p.name for p in first} - final) + len({p.name for p in second} - final) == 12


def test_files_of_another_source_are_removed(tars, monkeypatch):
    stop_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fetch(tars, progress=False)
    part = folder().with_name(".pascal5i.part")
    (part / "SegmentationClass" / "2010_000010.png").write_bytes(b"of another list")
    stop_after(1000, monkeypatch)
    check_complete(fetch(tars, progress=False))


# Verifying and repairing


SPOILT = [
    "picture missing",
    "picture cut short",
    "picture is none",
    "mask missing",
    "mask cut short",
    "mask of another size",
    "mask with an unknown class",
    "list missing",
    "list cut short",
    "list of something else",
    "list in UTF-16",
    "list with a name twice",
    "picture of another size",
]


def spoil(root: Path, fault: str) -> tuple[str, ...]:
    """Damage a finished folder; return what `verify` must report."""
    name = EVERY[3]
    picture, mask = root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png"
    path = root / "ImageSets/Segmentation/train.txt"
    what, how = fault.split(" ", 1)
    path = {"picture": picture, "mask": mask, "list": path}[what]
    if how == "missing":
        path.unlink()
    elif how == "cut short":
        content = path.read_bytes()
        path.write_bytes(content[: 36 if what == "list" else len(content) * 2 // 3])
    elif how in ("is none", "of something else"):
        path.write_bytes(b"<html>We have moved</html>")
    elif fault == "picture of another size":
        Image.new("RGB", (30, 20)).save(path)
        return (
            f"{mask.parent}: has another size than its picture: {mask.name}",
            "1 missing or damaged",
        )
    elif how == "in UTF-16":
        path.write_bytes(path.read_text().encode("utf-16"))
    elif how == "with a name twice":
        path.write_text(f"{path.read_text()}{TRAIN[0]}\n")
    elif how == "of another size":
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(path)
    elif how == "with an unknown class":
        Image.fromarray(ids_of(name, "voc") // 10 + 15).save(path)
    message = {
        "missing": "is missing",
        "is none": "cannot be read as a picture",
        "of something else": "is no list of names",
        "in UTF-16": "is no list of names",
        "with a name twice": "repeats 1 name",
        "of another size": "has another size than its picture",
        "with an unknown class": "holds a class id over 20",
        "cut short": "has 3 names instead of 4"
        if what == "list"
        else "cannot be read as a picture",
    }[how]
    return f"{path.parent}: {message}: {path.name}", "1 missing or damaged"


@pytest.mark.parametrize("fault", SPOILT)
def test_verify_names_what_is_damaged_and_fetch_repairs_that_alone(
    tars, capsys, monkeypatch, fault
):
    root = fetch(tars, progress=False)
    assert main(["verify"]) == 0
    assert "exists and can be read" in capsys.readouterr().out
    line, count = spoil(root, fault)
    assert main(["verify", "pascal5i"]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [line]
    last = err.splitlines()[-1].rsplit("\r", 1)[-1]
    assert last.startswith(f"ltm-edu: {root}: {count}")
    assert "ltm-edu fetch pascal5i" in last
    written = stop_after(1000, monkeypatch)
    assert main(["fetch", "pascal5i", "--from", str(tars)]) == 0
    check_complete(root)
    repaired = {p.name for p in written} - {"train.txt", "val.txt", "SOURCES.txt"}
    assert {Path(n).stem for n in repaired} <= {EVERY[3]}


def test_a_repair_that_is_stopped_resumes(tars, monkeypatch):
    root = fetch(tars, progress=False)
    for fault in ("picture missing", "mask cut short"):
        spoil(root, fault)
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fetch(tars, progress=False)
    assert not root.exists()
    stop_after(1000, monkeypatch)
    check_complete(fetch(tars, progress=False))


def test_verify_reads_any_folder_in_vocs_layout(voc, capsys):
    assert main(["verify", str(voc)]) == 0
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    data.image_path(name).unlink()
    data.mask_path(name).write_bytes(b"")
    capsys.readouterr()
    assert main(["verify", str(voc)]) == 2
    out, err = capsys.readouterr()
    assert f"JPEGImages: is missing: {name}.jpg" in out
    assert f"SegmentationClass: cannot be read as a picture: {name}.png" in out
    assert "2 missing or damaged" in err


# Mistakes: one line, status 2, no change on the disk


@pytest.fixture
def refused(web, tmp_path, capsys):
    def check(*arguments: object, says: tuple[str, ...]) -> None:
        before = contents(tmp_path)
        assert main([str(a) for a in arguments]) == 2
        out, err = capsys.readouterr()
        visible = [line.rsplit("\r", 1)[-1] for line in err.split("\n")]
        lines = [line for line in visible if line.strip()]
        assert len(lines) == 1, err
        assert lines[0].startswith("ltm-edu: ")
        assert out == ""
        for part in says:
            assert part in lines[0], lines[0]
        assert contents(tmp_path) == before

    return check


def test_the_error_of_a_missing_dataset_says_how_to_get_it(refused):
    release = pascal5i.RELEASE
    says = (str(folder()), "ltm-edu fetch pascal5i", release.voc.md5, release.sbd.name)
    says = (*says, "fetch from that folder")
    refused("verify", says=says)
    refused("evaluate", "--data", "pascal5i", says=says)
    refused("verify", "nowhere", says=("nowhere is not a folder",))
    refused("fetch", "coco", says=("fetch coco", "pascal5i"))
    refused("fetch", "pascal5i", "--mirror", "ftp://x/y", says=("mirror ftp://x/y", "http"))


def test_a_folder_that_fetch_did_not_create_is_not_changed(refused):
    (folder() / "JPEGImages").mkdir(parents=True)
    (folder() / "JPEGImages" / "mine.jpg").write_bytes(b"mine")
    refused("fetch", "pascal5i", says=(str(folder()), "not created by fetch", "move it"))


def test_a_source_with_neither_archives_nor_masks_says_what_is_expected_and_what_it_has(
    refused, devkit, tmp_path
):
    refused("fetch", "pascal5i", "--from", tmp_path / "none", says=("none is not a folder",))
    (tmp_path / "else" / "pictures").mkdir(parents=True)
    says = (VOC_TAR, SBD_TAR, "VOCdevkit/VOC2012/", "found pictures")
    refused("fetch", "pascal5i", "--from", tmp_path / "else", says=says)
    for part in ("JPEGImages", "SegmentationClassAug"):
        says = (f"{devkit / part}: expected {VOC_TAR}", f"{devkit} has it: name that folder")
        refused("fetch", "pascal5i", "--from", devkit / part, says=says)
    shutil.rmtree(devkit / "SegmentationClassAug")
    says = (f"{devkit} has no SegmentationClassAug/", "found Annotations, ImageSets, JPEGImages")
    refused("fetch", "pascal5i", "--from", devkit.parent, says=says)


def break_devkit(devkit: Path, fault: str) -> tuple[str, ...]:
    name = SBD[2]
    picture, mask = devkit / f"JPEGImages/{name}.jpg", devkit / f"SegmentationClassAug/{name}.png"
    lists = devkit / "ImageSets/Segmentation"
    trainaug = lists / "trainaug.txt"
    if fault in ("no JPEGImages", "no ImageSets/Segmentation"):
        part = fault.removeprefix("no ")
        shutil.move(devkit / part, devkit / "elsewhere")
        return f"{devkit} has no {part}/", "SegmentationClassAug/ and", "found Annotations"
    if fault == "no val.txt":
        (lists / "val.txt").unlink()
        return f"{lists} has no val.txt", "found train.txt, trainval.txt"
    if fault == "masks without their pictures":
        for n in SBD[2:]:
            (devkit / f"JPEGImages/{n}.jpg").unlink()
        return f"{picture} is missing, but {mask} exists (and 1 more)", "fetch the archives instead"
    if fault == "a list that names a missing mask":
        trainaug.write_text("\n".join(TRAIN + SBD[2:]))
        mask.unlink()
        return f"{mask} is missing, but {trainaug} names it:", f"complete {devkit}"
    if fault == "val names a missing mask":
        (devkit / f"SegmentationClassAug/{VAL[0]}.png").unlink()
        return f"{VAL[0]}.png is missing, but {lists / 'val.txt'} names it"
    if fault == "a colour mask":
        Image.new("RGB", size_of(name)[::-1], "red").save(mask)
        return f"{mask} is a RGB picture"
    if fault == "a mask of another size":
        Image.new("L", (5, 5)).save(mask)
        return f"{mask} has another size than its picture"
    if fault == "a picture cut short":
        picture.write_bytes(picture.read_bytes()[:-300])
        return f"{picture} cannot be read"
    if fault == "a list that is no text":
        (lists / "val.txt").write_bytes(b"\0\5\x16\7\xff\xfe")
        return f"{lists / 'val.txt'} is not text in UTF-8"
    if fault == "a list of two-column scores":
        (lists / "val.txt").write_text("".join(f"{n} -1\n" for n in VAL))
        return f"{lists / 'val.txt'}: '{VAL[0]} -1' is no picture's name (as 2007_000032"
    if fault == "pictures as PNG":
        for path in (devkit / "JPEGImages").iterdir():
            path.rename(path.with_suffix(".png"))
        return f"{devkit}/JPEGImages/{EVERY[0]}.jpg is missing, but", "(and 5 more)"
    if fault == "a list that leaves the folder":
        trainaug.write_text(f"{TRAIN[0]}\n../../secret\n")
        return f"{trainaug}: '../../secret' is no picture's name"
    mask.unlink()
    return "SegmentationClassAug gives 3 train pictures where PASCAL-5i has 4"


@pytest.mark.parametrize(
    "fault",
    [
        "no JPEGImages",
        "no ImageSets/Segmentation",
        "no val.txt",
        "masks without their pictures",
        "a list that names a missing mask",
        "val names a missing mask",
        "a colour mask",
        "a mask of another size",
        "a picture cut short",
        "a list that leaves the folder",
        "a list that is no text",
        "a list of two-column scores",
        "pictures as PNG",
        "too few masks",
    ],
)
def test_a_devkit_with_a_fault_is_refused_before_anything_is_written(devkit, refused, fault):
    says = break_devkit(devkit, fault)
    says = (says,) if isinstance(says, str) else says
    refused("fetch", "pascal5i", "--from", devkit, says=says)


@pytest.mark.parametrize(("fault", "message"), [("short", "cut short"), ("turned", "is damaged")])
def test_an_archive_with_a_fault_is_refused_before_anything_is_written(
    tars, refused, fault, message
):
    path = tars / SBD_TAR
    content = path.read_bytes()
    path.write_bytes(content[:-10] if fault == "short" else content[::-1])
    refused("fetch", "pascal5i", "--from", tars, says=(str(path), message, "get it again"))


def test_a_disk_that_is_too_small_is_refused_before_any_download(web, refused, monkeypatch):
    usage = namedtuple("usage", "total used free")
    release = pascal5i.RELEASE
    needed = release.voc.size + release.sbd.size + release.unpacked
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed, 1, needed - 1))
    refused("fetch", "pascal5i", says=(str(folder()), "LTM_EDU_DATA", "free"))
    assert web.requests == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed, 0, needed))
    check_complete(fetch(progress=False))


def test_after_a_disk_is_full_while_unpacking_the_next_run_resumes(tars, monkeypatch, capsys):
    plain, left = Path.write_bytes, [5]

    def full(path: Path, content: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            plain(path, content[:10])
            raise OSError(28, "No space left on device")
        return plain(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["fetch", "pascal5i", "--from", str(tars)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in last
    assert "it resumes" in last
    assert not folder().exists()
    monkeypatch.setattr(Path, "write_bytes", plain)
    check_complete(fetch(tars, progress=False))


@pytest.mark.parametrize("archive", [VOC_TAR, SBD_TAR])
@pytest.mark.parametrize("name", ["../../escaped.jpg", "/escaped.jpg"])
def test_a_hostile_archive_writes_nothing_outside(
    web, archives, tmp_path, monkeypatch, capsys, archive, name
):
    files = voc_files() if archive == VOC_TAR else sbd_files()
    harmful = packed({**files, f"{name}": jpeg(EVERY[0])}, "w" if archive == VOC_TAR else "w:gz")
    web.files[archive] = harmful
    monkeypatch.setattr(pascal5i, "RELEASE", published({**archives, archive: harmful}, web.url))
    assert main(["fetch", "pascal5i"]) == 2
    assert "would leave its folder" in capsys.readouterr().err
    assert not folder().exists()
    assert list(tmp_path.rglob("escaped*")) == []


def test_masks_without_their_pictures_in_the_archives_are_named(web, archives, monkeypatch, capsys):
    files = voc_files()
    del files[f"VOCdevkit/VOC2012/JPEGImages/{SBD[3]}.jpg"]
    web.files[VOC_TAR] = packed(files, "w")
    monkeypatch.setattr(pascal5i, "RELEASE", published({**archives, **web.files}, web.url))
    assert main(["fetch", "pascal5i"]) == 2
    assert f"lacks JPEGImages/{SBD[3]}.jpg, but" in capsys.readouterr().err
    assert not folder().exists()


# .mat files


def test_a_mask_survives_its_mat_file_and_its_png():
    ids = np.arange(21, dtype=np.uint8).repeat(30).reshape(21, 30)
    mask = mask_of_mat(mat(ids), "x.mat")
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, ids)
    with Image.open(io.BytesIO(palette_png(mask))) as picture:
        assert picture.mode == "P"
        assert picture.size == (30, 21)
        assert np.array_equal(np.array(picture), ids)


def test_the_colours_are_vocs():
    # From VOC's own documentation: background, aeroplane, bicycle, tvmonitor, and the border.
    colours = np.array(voc_palette()).reshape(256, 3)
    assert colours[[0, 1, 2, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [0, 64, 128],
        [224, 224, 192],
    ]


class Harm:
    """An object whose pickle runs code."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.crater),)


def saved(content: dict) -> bytes:
    file = io.BytesIO()
    savemat(file, content)
    return file.getvalue()


@pytest.mark.parametrize(
    "fault",
    [
        "empty",
        "text",
        "cut short",
        "a pickle",
        "HDF5",
        "other variable",
        "no Segmentation",
        "id 21",
        "float",
        "three axes",
        "no pixels",
        "text inside",
    ],
)
def test_a_mat_file_that_is_not_sbds_is_named(tmp_path, fault):
    good = np.ones((4, 5), np.uint8)
    content = {
        "empty": lambda: b"",
        "text": lambda: b"no mat file " * 50,
        "cut short": lambda: mat(good)[:-100],
        "a pickle": lambda: pickle.dumps(Harm(tmp_path / "crater")),
        "HDF5": lambda: b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n" * 50,
        "other variable": lambda: saved({"GTinst": {"Segmentation": good}}),
        "no Segmentation": lambda: saved({"GTcls": {"Boundaries": good}}),
        "id 21": lambda: saved({"GTcls": {"Segmentation": good * 21}}),
        "float": lambda: saved({"GTcls": {"Segmentation": good * 1.0}}),
        "three axes": lambda: saved({"GTcls": {"Segmentation": np.ones((2, 3, 4), np.uint8)}}),
        "no pixels": lambda: saved({"GTcls": {"Segmentation": np.ones((0, 0), np.uint8)}}),
        "text inside": lambda: saved({"GTcls": {"Segmentation": "mask"}}),
    }[fault]()
    with pytest.raises(InputError, match=r"^x\.mat .*SBD's masks") as raised:
        mask_of_mat(content, "x.mat")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "crater").exists()


def test_damaged_mat_files_give_a_mask_or_an_error_and_nothing_else():
    good = mat(np.ones((20, 30), np.uint8))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        content = np.frombuffer(good, np.uint8).copy()
        content[rng.integers(len(content), size=4)] = rng.integers(256, size=4)
        try:
            assert mask_of_mat(content.tobytes(), "x.mat").max() <= 20
        except InputError:
            refused += 1
    assert refused > 50
