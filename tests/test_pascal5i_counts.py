"""PASCAL-5i at full size: the counts that a correct implementation gives on its 12,031 masks."""

import shutil
import tarfile
from pathlib import Path

import pytest

from ltm_edu.datasets.voc import MaskIndex, VocFolder
from ltm_edu.episodes import base_classes, drop_images, find_pairs, novel_classes


@pytest.fixture(scope="module")
def full_size(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> VocFolder:
    """All masks of SegmentationClassAug with their lists, without the pictures."""
    source = shared / "voc_masks"
    if not (source / "SegmentationClassAug.tar").is_file():
        pytest.skip("no voc_masks/SegmentationClassAug.tar in the conformance data")
    root = tmp_path_factory.mktemp("pascal5i")
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / part).mkdir(parents=True)
    for name, split in (("trainaug", "train"), ("val", "val")):
        shutil.copy(source / f"{name}.txt", root / f"ImageSets/Segmentation/{split}.txt")
    with tarfile.open(source / "SegmentationClassAug.tar") as tar:
        for member in tar:
            if member.isfile():
                content = tar.extractfile(member).read()
                (root / "SegmentationClass" / Path(member.name).name).write_bytes(content)
    return VocFolder.open(root)


@pytest.fixture(scope="module")
def train(full_size) -> MaskIndex:
    return full_size.index("train")


@pytest.fixture(scope="module")
def val(full_size) -> MaskIndex:
    return full_size.index("val")


def test_the_lists_are_disjoint_and_every_mask_is_in_one(full_size):
    train, val = set(full_size.names("train")), set(full_size.names("val"))
    assert (len(train), len(val), len(train & val)) == (10_582, 1_449, 0)
    assert {p.stem for p in (full_size.root / "SegmentationClass").iterdir()} == train | val


VAL_PAIRS = {"any": (440, 514, 804, 390), "area": (365, 467, 734, 357)}
VAL_IMAGES = {"any": (433, 479, 647, 354), "area": (364, 445, 592, 336)}


@pytest.mark.parametrize("rule", ["any", "area"])
@pytest.mark.parametrize("fold", range(4))
def test_a_fold_of_val_has_the_published_pairs_and_images(val, fold, rule):
    pairs = find_pairs(val, novel_classes(fold), rule)
    assert len(pairs) == VAL_PAIRS[rule][fold]
    assert len({n for n, _ in pairs}) == VAL_IMAGES[rule][fold]


@pytest.mark.parametrize(("split", "total", "apart"), [("train", 13_682, 10), ("val", 1_866, 1)])
def test_the_grid_rule_gives_its_totals_and_almost_the_published_lists_in_every_fold(
    request, split, total, apart
):
    index = request.getfixturevalue(split)
    assert len(find_pairs(index, range(1, 21), "grid")) == total
    # HSNet's lists use another rounding: a few pairs are missing, and as many are extra.
    pairs = {"train": (11_394, 10_255, 7_797, 11_594), "val": (346, 451, 725, 346)}[split]
    images = {"train": (8_450, 8_081, 7_007, 9_002), "val": (345, 433, 587, 326)}[split]
    classes = base_classes if split == "train" else novel_classes
    for fold in range(4):
        ours = find_pairs(index, classes(fold), "grid")
        assert abs(len(ours) - pairs[fold]) <= apart
        assert abs(len({n for n, _ in ours}) - images[fold]) <= apart


@pytest.mark.parametrize(
    ("fold", "large", "with_novel"),
    [(0, 8_535, 961), (1, 8_199, 1_515), (2, 7_154, 2_387), (3, 9_119, 1_016)],
)
def test_keep_and_drop_differ_by_the_images_that_show_a_novel_class(train, fold, large, with_novel):
    keep = {n for n, _ in find_pairs(train, base_classes(fold), "area")}
    assert len(keep) == large
    assert len(keep & drop_images(train, novel_classes(fold))) == with_novel
