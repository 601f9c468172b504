"""PASCAL-5i: VOC 2012's pictures, with SBD's masks where VOC has none, in one folder.

What `fetch` leaves in the data folder, and `VocFolder.open` reads:

- pascal5i/JPEGImages/NAME.jpg: 12,031 of VOC's photographs
- pascal5i/SegmentationClass/NAME.png: what other code calls SegmentationClassAug, palette PNGs
- pascal5i/ImageSets/Segmentation/train.txt (10,582 names: VOC train and all of SBD, without VOC
  val) and val.txt (VOC val, 1,449)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
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
from ..store.files import data_dir
from .devkit import (
    NAME,
    and_more,
    bytes_in,
    bytes_to_copy,
    check_devkit,
    copy_devkit,
    find_devkit,
    refuse_source,
    stems,
)
from .inspection import Fault, inspect
from .name_lists import names_in, read_list
from .sbd import mask_of_mat, need_scipy, palette_png
from .voc import LISTS, VOC_CLASSES

_VOC2012 = "VOCdevkit/VOC2012"
_SOURCES = "SOURCES.txt"


@dataclass(frozen=True)
class Release:
    """The files that PASCAL-5i is made of, and how much must come out.

    Attributes:
        voc: VOC 2012 train and val.
        sbd: the Semantic Boundaries Dataset.
        counts: names in each list.
        unpacked: bytes of the finished folder, with some to spare.
    """

    voc: Archive
    sbd: Archive
    counts: dict[str, int] = field(default_factory=lambda: {"train": 10_582, "val": 1_449})
    unpacked: int = 1_600_000_000


# Addresses and checksums as torchvision has them (datasets/voc.py and sbd.py), then mirrors.
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
    """Where PASCAL-5i lies once it is fetched."""
    return data_dir() / "pascal5i"


def kept_archives() -> list[Path]:
    """Downloads that are of no more use once PASCAL-5i is complete."""
    paths = [data_dir() / "downloads" / a.name for a in (RELEASE.voc, RELEASE.sbd)]
    return [p for p in paths if p.exists()]


def fetch(
    source: str | Path | None = None, mirrors: Sequence[str] = (), progress: bool = True
) -> Path:
    """Make PASCAL-5i, or mend it: only what is missing or broken is made.

    Downloads go to downloads/ in the data folder and stay there. Until everything is in place the
    work lies in .pascal5i.part/, where a run that was killed is taken up again.

    Args:
        source: a folder that holds the archives, or a VOCdevkit with SegmentationClassAug: nothing
            in it is changed, and what it has is not downloaded.
        mirrors: addresses of folders that hold the archives, asked before the known ones.
        progress: show bars with the time left.

    Returns:
        The finished folder.

    Raises:
        InputError: no server gives the files, a file is another one, the disk is full, or `source`
            is laid out otherwise; says what to do.
    """
    root, downloads = folder(), data_dir() / "downloads"
    check_mirrors(mirrors)
    given = _given(source)
    faults = verify(root, progress) if root.exists() else []
    if root.exists():
        if not faults:
            return root
        if not (root / _SOURCES).exists():
            raise InputError(f"{root} is in the way, not made by fetch: move it elsewhere")
    if isinstance(given, Path):
        names = check_devkit(given, RELEASE.counts, progress)
        need_room(root, bytes_to_copy(given, root))
    else:
        _prepare_archives(given, downloads, root, progress)
    with alone(downloads):
        if root.exists() and not faults:  # another process has made it meanwhile
            return root
        staging = _staging(root, faults)
        if isinstance(given, Path):
            copy_devkit(given, staging, names)
        else:
            paths = [p or obtain(a, downloads, mirrors, progress) for a, p in given.items()]
            names = _unpack(*paths, staging, progress)
        _finish(staging, root, names)
    return root


def verify(root: str | Path | None = None, progress: bool = True) -> list[Fault]:
    """What is missing or broken in a folder that `fetch` made; every file is read.

    Args:
        root: the folder; the data folder's pascal5i by default.
        progress: show a bar with the time left.

    Returns:
        The faults; none if all is well.

    Raises:
        InputError: there is no such folder.
    """
    root = folder() if root is None else Path(root)
    if not root.is_dir():
        raise InputError(how_to_get(root))
    faults = []
    names: dict[str, tuple[str, ...]] = {}
    for split, count in RELEASE.counts.items():
        names[split], fault = _list_and_fault(root / LISTS / f"{split}.txt", count)
        faults += [Fault(root / LISTS / f"{split}.txt", fault)] if fault else []
    if both := set(names["train"]) & set(names["val"]):
        faults.append(Fault(root / LISTS / "train.txt", f"shares {len(both):,} names with val.txt"))
    pictures, masks = root / "JPEGImages", root / "SegmentationClass"
    wanted = sorted({n for part in names.values() for n in part} or stems(masks))
    pairs = [(pictures / f"{n}.jpg", masks / f"{n}.png") for n in wanted]
    return faults + inspect(pairs, len(VOC_CLASSES), progress)


def how_to_get(root: Path) -> str:
    """What an error says where PASCAL-5i is not there."""
    begun = _part(root).exists()
    state = "is not there yet: the last fetch was broken off; go on" if begun else "is not there: "
    return (
        f"{root} {state}{'' if begun else 'get it'} with ltm-edu fetch pascal5i; without a "
        f"network, put {RELEASE.voc} and {RELEASE.sbd} into a folder and name it with --from"
    )


# --- from the archives ----------------------------------------------------------------------------


def _unpack(voc: Path, sbd: Path, staging: Path, progress: bool) -> dict[str, tuple[str, ...]]:
    """Fill the folder with what it lacks; the names of the lists."""
    lists = _voc_lists(voc, progress)
    own = {*lists["train"], *lists["val"]}
    added = set()
    for found, read in members(sbd, rf"benchmark_RELEASE/dataset/cls/({NAME})\.mat", progress):
        path = staging / "SegmentationClass" / f"{found[1]}.png"
        if found[1] not in own:
            added.add(found[1])
            if not path.exists():
                put(path, palette_png(mask_of_mat(read(), f"{sbd}: {found[0]}")))
    lists["train"] = (*lists["train"], *added)
    wanted = {"JPEGImages": own | added, "SegmentationClass": own}
    pattern = rf"{_VOC2012}/(JPEGImages|SegmentationClass)/({NAME})\.(?:jpg|png)"
    for found, read in members(voc, pattern, progress):
        path = staging / found[1] / Path(found[0]).name
        if found[2] in wanted[found[1]] and not path.exists():
            put(path, read())
    _refuse_missing(staging, own | added, voc)
    return lists


def _voc_lists(voc: Path, progress: bool) -> dict[str, tuple[str, ...]]:
    lists = {}
    for found, read in members(voc, rf"{_VOC2012}/{LISTS}/(train|val)\.txt", progress):
        lists[found[1]] = names_in(read(), f"{voc}: {found[0]}", NAME).names
        if len(lists) == 2:
            return lists
    raise InputError(f"{voc} has no {_VOC2012}/{LISTS}/train.txt and val.txt: not VOC 2012")


def _refuse_missing(root: Path, names: Iterable[str], origin: Path) -> None:
    for part, kind in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        there = set(stems(root / part))
        lacking = sorted(set(names) - there)
        if lacking:
            raise InputError(
                f"{origin} lacks {part}/{lacking[0]}.{kind}{and_more(lacking)}, but a list or a "
                "mask names it: get the archive again"
            )


# --- the folder -----------------------------------------------------------------------------------


def _given(source: str | Path | None) -> Path | dict[Archive, Path | None]:
    """What --from holds: a VOCdevkit, or those of the two archives that are there."""
    archives = (RELEASE.voc, RELEASE.sbd)
    if source is None:
        return dict.fromkeys(archives)
    source = Path(source).expanduser()
    devkit = find_devkit(source)
    if devkit is not None:
        return devkit
    here = {a: source / a.name if (source / a.name).is_file() else None for a in archives}
    if not any(here.values()):
        refuse_source(source, [a.name for a in archives])
    return here


def _prepare_archives(
    given: dict[Archive, Path | None], downloads: Path, root: Path, progress: bool
) -> None:
    """Refuse, before anything is written, what would fail after hours of downloading."""
    need_scipy()
    for archive, path in given.items():
        if path is not None:
            check(path, archive, progress)
    lacking = sum(missing_bytes(a, downloads) for a, p in given.items() if p is None)
    made = bytes_in(_part(root)) + bytes_in(root)
    need_room(root, lacking + max(0, RELEASE.unpacked - made))


def _list_and_fault(path: Path, count: int) -> tuple[tuple[str, ...], str | None]:
    if not path.is_file():
        return (), "is missing"
    try:
        found = read_list(path, NAME)
    except InputError:
        return (), "is no list of names"
    if len(found.names) != count:
        return found.names, f"has {len(found.names):,} names instead of {count:,}"
    return found.names, found.fault


def _part(root: Path) -> Path:
    return root.with_name(f".{root.name}.part")


def _staging(root: Path, faults: Sequence[Fault]) -> Path:
    """The folder to work in; one that was finished is put back to work without its broken files."""
    staging = _part(root)
    try:
        if root.exists():
            for path in (p for fault in faults for p in _remade(root, fault)):
                path.unlink(missing_ok=True)
            if staging.exists():
                shutil.rmtree(staging)
            os.replace(root, staging)
        for part in ("JPEGImages", "SegmentationClass", LISTS):
            (staging / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {staging}: {error.strerror or error}") from None
    return staging


def _remade(root: Path, fault: Fault) -> list[Path]:
    """A mask and its picture go together: where their sizes differ, either may be wrong."""
    name = fault.path.stem
    both = [root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png"]
    return both if fault.path in both else [fault.path]


def _finish(staging: Path, root: Path, names: dict[str, tuple[str, ...]]) -> None:
    """Write the lists, remove what does not belong, and put the folder in place."""
    for split, part in names.items():
        text = "".join(f"{n}\n" for n in sorted(part))
        put(staging / LISTS / f"{split}.txt", text.encode())
    put(staging / _SOURCES, _ABOUT.encode())
    everything = {n for part in names.values() for n in part}
    wanted = {
        _SOURCES,
        *(f"{LISTS}/{split}.txt" for split in names),
        *(f"JPEGImages/{n}.jpg" for n in everything),
        *(f"SegmentationClass/{n}.png" for n in everything),
    }
    try:
        for path in staging.rglob("*"):
            # Left by a killed run: a file half-written under another name, or of another source.
            if path.is_file() and path.relative_to(staging).as_posix() not in wanted:
                path.unlink()
        os.replace(staging, root)
    except OSError as error:
        raise InputError(f"cannot write {root}: {error.strerror or error}") from None


_ABOUT = """PASCAL-5i, put together by `ltm-edu fetch pascal5i`.

Pictures, and the masks of VOC's own train and val lists: PASCAL VOC 2012,
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/. The photographs are from Flickr and stay under its
terms of use. Everingham et al., The PASCAL Visual Object Classes Challenge: A Retrospective,
IJCV 2015.

All other masks: Semantic Boundaries Dataset, converted from .mat to palette PNG, ids unchanged.
Hariharan et al., Semantic Contours from Inverse Detectors, ICCV 2011.
"""
