"""PASCAL-5i: VOC 2012's pictures, with SBD's masks where VOC has none, in one folder.

`fetch` creates it in the data folder, and `VocFolder.open` reads it:

- pascal5i/JPEGImages/NAME.jpg: 12,031 of VOC's photographs
- pascal5i/SegmentationClass/NAME.png: what other code calls SegmentationClassAug, palette PNGs
- pascal5i/ImageSets/Segmentation/train.txt (10,582 names: VOC train and all of SBD, without VOC
  val) and val.txt (VOC val, 1,449)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..store.archives import members
from ..store.errors import InputError
from ..store.fetch import (
    Archive,
    alone,
    check,
    check_mirrors,
    missing_bytes,
    need_room,
    obtain,
    put,
)
from ..store.files import data_dir, writing
from ..store.pictures import palette_png
from .devkit import and_more, bytes_in, check_devkit, copy_devkit, pair_in, read_source, stems
from .inspection import Fault, inspect
from .name_lists import NameList, read_list
from .sbd import mask_of_mat
from .voc import LISTS, MASKS, PICTURES, VOC_CLASSES, VOC_NAME, lines_of

_VOC2012 = "VOCdevkit/VOC2012"
_SOURCES = "SOURCES.txt"


@dataclass(frozen=True)
class Release:
    """The archives that PASCAL-5i is made from, and the size of the result.

    Attributes:
        voc: VOC 2012 train and val.
        sbd: the Semantic Boundaries Dataset.
        counts: names in each list.
        unpacked: bytes of the finished folder, rounded up.
    """

    voc: Archive
    sbd: Archive
    counts: dict[str, int] = field(default_factory=lambda: {"train": 10_582, "val": 1_449})
    unpacked: int = 1_600_000_000


# The addresses and checksums of torchvision (datasets/voc.py and sbd.py), then mirrors.
RELEASE = Release(
    Archive(
        "VOCtrainval_11-May-2012.tar",
        1_999_639_040,
        "6cd6e144f989b92b3379bac3b3de84fd",
        (
            "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "https://data.pjreddie.com/files/VOCtrainval_11-May-2012.tar",
        ),
    ),
    Archive(
        "benchmark.tgz",
        1_419_539_633,
        "82b4d87ceb2ed10f6038a1cba92111cb",
        (
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
            "semantic_contours/benchmark.tgz",
            "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
            "semantic_contours/benchmark.tgz",
        ),
    ),
)


def folder() -> Path:
    """Where `fetch` puts PASCAL-5i."""
    return data_dir() / "pascal5i"


def kept_archives() -> list[Path]:
    """Downloads that are no longer needed once PASCAL-5i is complete."""
    paths = [data_dir() / "downloads" / a.name for a in (RELEASE.voc, RELEASE.sbd)]
    return [p for p in paths if p.exists()]


def fetch(
    source: str | Path | None = None,
    mirrors: Sequence[str] = (),
    progress: bool = True,
    available: bool = False,
) -> Path:
    """Create PASCAL-5i, or repair it: only files that are missing or damaged are written.

    Downloads stay in downloads/ in the data folder. Until the data set is complete it is in
    .pascal5i.part/; if a run is killed, the next one continues there.

    Args:
        source: a folder with the archives, or a VOCdevkit with SegmentationClassAug. Nothing in it
            is changed, and only an archive that it lacks is downloaded.
        mirrors: addresses of folders that hold the archives, tried before the known ones.
        progress: show bars with the time left.
        available: take a VOCdevkit that lacks some of the listed pictures. The lists stay complete.

    Returns:
        The finished folder.

    Raises:
        InputError: no server gives the files, a file is not the right one, the disk is full, or
            `source` has another layout; says what to do.
    """
    root, downloads = folder(), data_dir() / "downloads"
    check_mirrors(mirrors)
    devkit, archives = read_source(source, (RELEASE.voc, RELEASE.sbd))
    faults = []
    if root.exists():
        faults = verify(root, progress)
        if not faults:
            return root
        if not (root / _SOURCES).exists():
            raise InputError(f"{root} exists, but was not created by fetch: move it elsewhere")
    if devkit:
        names = check_devkit(devkit, root, RELEASE.counts, progress, available)
    else:
        _check_archives(archives, downloads, root, progress)
    with alone(downloads):
        if root.exists() and not faults:  # another process has finished meanwhile
            return root
        staging = _staging(root, faults)
        if devkit:
            copy_devkit(devkit, staging, names)
        else:
            paths = [p or obtain(a, downloads, mirrors, progress) for a, p in archives.items()]
            names = _unpack(*paths, staging, progress)
        _finish(staging, root, names)
    return root


def verify(root: str | Path | None = None, progress: bool = True) -> list[Fault]:
    """List what is missing or damaged in a folder that `fetch` created; reads every file.

    The folder is the data folder's pascal5i by default.

    Raises:
        InputError: there is no such folder.
    """
    root = folder() if root is None else Path(root)
    if not root.is_dir():
        raise InputError(how_to_get(root))
    lists = {s: root / LISTS / f"{s}.txt" for s in ("train", "val")}
    contents = {s: _checked_list(path, RELEASE.counts[s]) for s, path in lists.items()}
    faults = [Fault(lists[s], content.fault) for s, content in contents.items() if content.fault]
    train, val = (set(content.names) for content in contents.values())
    if both := train & val:
        faults.append(Fault(lists["train"], f"shares {len(both):,} names with val.txt"))
    every = sorted(train | val or stems(root / MASKS))
    return faults + inspect([pair_in(root, n) for n in every], len(VOC_CLASSES), progress)


def how_to_get(root: Path) -> str:
    """The error of a missing PASCAL-5i: how to fetch it, or to resume."""
    state = "is not there: get it"
    if _part(root).exists():
        state = "is not there yet: the last fetch was interrupted; resume it"
    return (
        f"{root} {state} with ltm-edu fetch pascal5i; without a network, put {RELEASE.voc} and "
        f"{RELEASE.sbd} into a folder and fetch from that folder"
    )


def _unpack(voc: Path, sbd: Path, staging: Path, progress: bool) -> dict[str, tuple[str, ...]]:
    """Write the files that the folder lacks, and return the names of both lists."""
    lists = _voc_lists(voc, progress)
    voc_names = {*lists["train"], *lists["val"]}
    sbd_names = set()
    pattern = rf"benchmark_RELEASE/dataset/cls/({VOC_NAME})\.mat"
    for match, read in members(sbd, pattern, progress):
        if match[1] not in voc_names:
            sbd_names.add(match[1])
            _, mask = pair_in(staging, match[1])
            if not mask.exists():
                put(mask, palette_png(mask_of_mat(read(), f"{sbd}: {match[0]}")))
    lists["train"] = (*lists["train"], *sbd_names)
    needed = {PICTURES: voc_names | sbd_names, MASKS: voc_names}
    pattern = rf"{_VOC2012}/({PICTURES}|{MASKS})/({VOC_NAME})\.(?:jpg|png)"
    for match, read in members(voc, pattern, progress):
        path = staging / match[1] / Path(match[0]).name
        if match[2] in needed[match[1]] and not path.exists():
            put(path, read())
    pairs = (pair_in(staging, n) for n in sorted(voc_names | sbd_names))
    if missing := [p for pair in pairs for p in pair if not p.exists()]:
        file = missing[0].relative_to(staging).as_posix()
        raise InputError(
            f"{voc} lacks {file}{and_more(missing)}, but a list or a mask names it: "
            "get the archive again"
        )
    for split, count in RELEASE.counts.items():
        if len(lists[split]) != count:
            raise InputError(
                f"{voc} and {sbd} give {len(lists[split]):,} pictures for {split}, where "
                f"PASCAL-5i has {count:,}: get the archives again"
            )
    return lists


def _voc_lists(voc: Path, progress: bool) -> dict[str, tuple[str, ...]]:
    lists = {}
    for match, read in members(voc, rf"{_VOC2012}/{LISTS}/(train|val)\.txt", progress):
        lists[match[1]] = read_list(f"{voc}: {match[0]}", VOC_NAME, read()).names
        if len(lists) == 2:
            return lists
    raise InputError(f"{voc} has no {_VOC2012}/{LISTS}/train.txt and val.txt: not VOC 2012")


def _check_archives(
    archives: dict[Archive, Path | None], downloads: Path, root: Path, progress: bool
) -> None:
    """Refuse, before anything is written, what would fail after hours of downloading."""
    for archive, path in archives.items():
        if path is not None:
            check(path, archive, progress)
    to_download = sum(missing_bytes(a, downloads) for a, p in archives.items() if p is None)
    to_unpack = max(0, RELEASE.unpacked - bytes_in(_part(root)) - bytes_in(root))
    need_room(root, to_download + to_unpack)


def _checked_list(path: Path, count: int) -> NameList:
    try:
        names, fault = read_list(path, VOC_NAME)
    except InputError:
        return NameList((), "is no list of names" if path.is_file() else "is missing")
    if len(names) != count:
        fault = f"has {len(names):,} names instead of {count:,}"
    return NameList(names, fault)


def _part(root: Path) -> Path:
    return root.with_name(f".{root.name}.part")


def _staging(root: Path, faults: Sequence[Fault]) -> Path:
    """The folder to work in; a finished one is moved there without its damaged files."""
    staging = _part(root)
    with writing(staging):
        if root.exists():
            for path, _ in faults:
                # Where the sizes of a picture and its mask differ, either may be wrong.
                pair = pair_in(root, path.stem)
                for damaged in pair if path in pair else [path]:
                    damaged.unlink(missing_ok=True)
            if staging.exists():
                shutil.rmtree(staging)
            os.replace(root, staging)
        for part in (PICTURES, MASKS, LISTS):
            (staging / part).mkdir(parents=True, exist_ok=True)
    return staging


def _finish(staging: Path, root: Path, names: dict[str, tuple[str, ...]]) -> None:
    """Write the lists, remove all other files, and rename the folder."""
    expected = {staging / _SOURCES}
    put(staging / _SOURCES, _ABOUT.encode())
    for split, part in names.items():
        path = staging / LISTS / f"{split}.txt"
        put(path, lines_of(sorted(part)).encode())
        expected.update([path], *(pair_in(staging, n) for n in part))
    with writing(root):
        for path in staging.rglob("*"):
            # A killed run may leave incomplete files, or files of another source.
            if path.is_file() and path not in expected:
                path.unlink()
        os.replace(staging, root)


_ABOUT = """PASCAL-5i, put together by `ltm-edu fetch pascal5i`.

Pictures, and the masks of VOC's own train and val lists: PASCAL VOC 2012,
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/. The photographs are from Flickr and stay under its
terms of use. Everingham et al., The PASCAL Visual Object Classes Challenge: A Retrospective,
IJCV 2015.

All other masks: Semantic Boundaries Dataset, converted from .mat to palette PNG, ids unchanged.
Hariharan et al., Semantic Contours from Inverse Detectors, ICCV 2011.
"""
