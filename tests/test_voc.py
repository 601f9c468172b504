"""Folders in VOC's layout: what is read, and the error of each fault."""

import io
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import CLASSES, refused, write_voc
from PIL import Image

from ltm_edu import open_dataset
from ltm_edu.datasets import DATASETS
from ltm_edu.datasets.inspection import inspect_folder, report
from ltm_edu.datasets.voc import VOC_CLASSES, VocFolder
from ltm_edu.episodes import draw_episodes, find_pairs, novel_classes
from ltm_edu.store.pictures import read_image, read_mask


def cut_short(path: Path) -> None:
    """Keep the first two thirds of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


# What is read


def test_names_are_in_the_lists_order(voc):
    file = voc / "ImageSets/Segmentation/val.txt"
    names = file.read_text().split()[::-1]
    file.write_text("\n".join(names))
    data = VocFolder.open(voc)
    assert data.names("val") == tuple(names)
    assert set(data.splits) == {"train", "val"}


def test_all_is_every_list_each_name_once(voc):
    lists = voc / "ImageSets/Segmentation"
    shutil.copy(lists / "val.txt", lists / "extra.txt")
    data = VocFolder.open(str(voc))
    assert len(data.names("all")) == len(set(data.names("all"))) == 48
    assert set(data.names("all")) == {*data.names("train"), *data.names("val")}


def test_a_repeated_name_counts_once_so_that_no_support_is_its_query(voc):
    clean = VocFolder.open(voc).names("val")
    file = voc / "ImageSets/Segmentation/val.txt"
    file.write_text("\n".join([*clean, *clean[::-1]]))
    data = VocFolder.open(voc)
    assert data.names("val") == clean
    for episode in draw_episodes(find_pairs(data.index("val"), range(1, 9), "any"), 2, 50, 0):
        assert len({episode.query, *episode.supports}) == 3


@pytest.mark.parametrize(
    "line",
    [
        "{n}",
        "  {n}\t",
        "{n}.jpg",
        "/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png",
        "JPEGImages/{n}.jpg SegmentationClass/{n}.png",
        "VOC2012/JPEGImages/{n}.JPG\tVOC2012/SegmentationClassAug/{n}.png",
        "JPEGImages\\{n}.png SegmentationClass\\{n}.png",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\r\n \r\n"])
def test_a_list_names_pictures_or_files_with_any_line_ends_and_blank_lines(voc, line, end):
    names = VocFolder.open(voc).names("val")
    text = end.join(["\ufeff", *(line.format(n=n) for n in names), ""])
    (voc / "ImageSets/Segmentation/val.txt").write_bytes(text.encode())
    data = VocFolder.open(voc)
    assert data.names("val") == names
    data.pair(names[0])


@pytest.mark.parametrize("line", ["{n}", "JPEGImages/{n}.jpg SegmentationClass/{n}.png"])
def test_folders_and_pictures_may_have_spaces_and_umlauts_in_their_names(tmp_path, line):
    root = write_voc(tmp_path / "Bücher & Töpfe (2)" / "VOC 2012", train=3, val=3)
    names = VocFolder.open(root).names("val")
    for n in names:
        (root / f"JPEGImages/{n}.jpg").rename(root / f"JPEGImages/schönes Bild {n}.jpg")
        mask = root / "SegmentationClass" / f"{n}.png"
        mask.rename(mask.with_name(f"schönes Bild {n}.png"))
    new = tuple(f"schönes Bild {n}" for n in names)
    file = root / "ImageSets/Segmentation/val.txt"
    file.write_text("\n".join(line.format(n=n) for n in new), encoding="utf-8")
    data = VocFolder.open(root)
    assert data.names("val") == new
    assert inspect_folder(data, progress=False) == []


def rename(root: Path, old: str, picture: str, mask: str) -> None:
    """Give the files of a name other names, and have the list val name the new one."""
    (root / f"JPEGImages/{old}.jpg").rename(root / "JPEGImages" / picture)
    (root / f"SegmentationClass/{old}.png").rename(root / "SegmentationClass" / mask)


@pytest.mark.parametrize(
    ("on_disk", "in_list"),
    [
        ("fore\u0302t", "for\u00eat"),  # macOS takes the accent apart
        ("for\u00eat", "fore\u0302t"),
        ("at 3.45.00\u202fPM", "at 3.45.00\u202fPM"),  # a screenshot of macOS
        ("a\u00a0b", "a\u00a0b"),
        ("\U0001f469\u200d\U0001f33e", "\U0001f469\u200d\U0001f33e"),  # a farmer, of two emoji
        ("עץ\u200f", "עץ\u200f"),
    ],
)
def test_names_are_found_as_systems_write_them(voc, on_disk, in_list):
    name = VocFolder.open(voc).names("val")[0]
    rename(voc, name, f"{on_disk}.jpg", f"{on_disk}.png")
    (voc / "ImageSets/Segmentation/val.txt").write_text(f"{in_list}\n", encoding="utf-8")
    data = VocFolder.open(voc)
    assert inspect_folder(data, progress=False) == []
    assert data.available().names("val") == data.names("val")
    data.pair(in_list)
    data.fingerprint(data.names("val"))


@pytest.mark.parametrize("line", ["{n}", "{p}", "JPEGImages/{p} SegmentationClass/{m}"])
@pytest.mark.parametrize(
    ("kind", "of_mask"),
    [
        ("JPG", "PNG"),
        ("jpeg", "png"),
        ("PNG", "Png"),
        ("webp", "tif"),
        ("tif", "bmp"),
        ("TIFF", "gif"),
    ],
)
def test_pictures_and_masks_of_every_ending_are_found(voc, line, kind, of_mask):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    image, mask = data.pair(name)
    data.image_path(name).unlink()
    data.mask_path(name).unlink()
    picture, file = f"new.{kind}", f"new.{of_mask}"
    image.save(voc / "JPEGImages" / picture)
    Image.fromarray(mask).save(voc / "SegmentationClass" / file)
    text = line.format(n="new", p=picture, m=file)
    (voc / "ImageSets/Segmentation/val.txt").write_text(f"{text}\n")
    data = VocFolder.open(voc)
    assert data.names("val") == data.available().names("val") == ("new",)
    assert inspect_folder(data, progress=False) == []
    assert np.array_equal(data.pair("new")[1], mask)


def test_a_picture_with_exif_has_the_size_of_a_mask_drawn_upright(voc):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    image, mask = data.pair(name)
    tags = Image.Exif()
    tags[274] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(data.image_path(name), exif=tags, quality=95)
    assert inspect_folder(data, progress=False) == []
    turned, same = data.pair(name)
    assert np.abs(np.array(turned).astype(int) - np.array(image)).mean() < 9
    assert np.array_equal(same, mask)


def test_hidden_files_are_not_lists(voc):
    (voc / "ImageSets/Segmentation/._train.txt").write_bytes(b"\0\5\x16\7Mac OS X\xff\xfe")
    data = VocFolder.open(voc)
    assert set(data.splits) == {"train", "val"}
    assert inspect_folder(data, progress=False) == []


def test_of_several_pictures_with_one_name_the_jpg_is_read(voc):
    name = VocFolder.open(voc).names("val")[0]
    for kind in ("bmp", "png", "txt", "xml"):
        (voc / "JPEGImages" / f"{name}.{kind}").write_bytes(b"something else")
    assert VocFolder.open(voc).image_path(name).suffix == ".jpg"


def test_classes_are_those_of_classes_txt_and_vocs_without_it(voc):
    assert VocFolder.open(voc).classes == CLASSES
    (voc / "classes.txt").unlink()
    assert VocFolder.open(voc).classes == VOC_CLASSES


def test_a_blank_line_keeps_its_id_and_no_mask_may_have_it(voc):
    lines = [c if c not in ("square", "coin") else "" for c in CLASSES]
    (voc / "classes.txt").write_text("\r\n".join([*lines, "", "", ""]))
    data = VocFolder.open(voc)
    assert len(data.classes) == len(set(data.classes)) == 8
    assert [data.classes[c - 1] for c in (1, 3, 8)] == ["disc", "tower", "beam"]
    assert data.unused == (2, 5)
    names = [n for n in data.names("all") if "square" not in n and "coin" not in n]
    for name in names:
        data.mask(name)
    assert data.warnings == ()
    bad = next(n for n in data.names("val") if "coin" in n)
    says = str(data.mask_path(bad)), "class id 5", "classes.txt is blank", "name it"
    refused(lambda: data.mask(bad), *says)


def test_unused_ids_make_folds_and_episodes_of_the_others(voc):
    lists = voc / "ImageSets/Segmentation"
    data = VocFolder.open(voc)
    (voc / "classes.txt").write_text("\n".join(c if c != "square" else "" for c in CLASSES))
    for split in ("train", "val"):
        names = [n for n in data.names(split) if "square" not in n]
        (lists / f"{split}.txt").write_text("\n".join(names))
    data = VocFolder.open(voc)
    pairs = find_pairs(data.index("val"), novel_classes(1, len(data.classes)), "any")
    assert {data.classes[c - 1] for _, c in pairs} == {"tile"}
    assert {e.class_id for e in draw_episodes(pairs, 1, 20, 0).episodes} == {6}


@pytest.mark.parametrize("name", ["_background_", "background", "__ignore__", "Background"])
def test_a_background_in_the_first_line_is_reported(voc, name):
    assert VocFolder.open(voc).warnings == ()
    path = voc / "classes.txt"
    path.write_text(f"{name}\n{path.read_text()}")
    (line,) = VocFolder.open(voc).warnings
    for part in (str(path), f"line 1 is {name}", "shifted by one", "remove"):
        assert part in line


def test_without_a_list_vocs_names_are_reported_as_assumed_where_no_picture_is_vocs(voc):
    (voc / "classes.txt").unlink()
    (line,) = VocFolder.open(voc).warnings
    for part in (
        str(voc / "classes.txt"),
        "not there",
        "twenty classes are assumed",
        "a class a line",
    ):
        assert part in line
    names = VocFolder.open(voc).names("val")
    for i, name in enumerate(names):
        rename(voc, name, f"2007_{i:06}.jpg", f"2007_{i:06}.png")
    for split in ("train", "val"):
        new = "".join(f"2007_{i:06}\n" for i in range(len(names)))
        (voc / f"ImageSets/Segmentation/{split}.txt").write_text(new)
    assert VocFolder.open(voc).warnings == ()


@pytest.mark.parametrize("pair", [("cat", "cat"), ("caf\u00e9", "cafe\u0301")])
def test_two_classes_of_one_name_are_refused_with_their_lines(voc, pair):
    (voc / "classes.txt").write_text("\n".join(["dog", pair[0], "cow", pair[1]]), encoding="utf-8")
    refused(
        lambda: VocFolder.open(voc), f"{voc / 'classes.txt'}: lines 2 and 4 are both", "of its own"
    )


@pytest.mark.parametrize("file", ["ImageSets/Segmentation/val.txt", "classes.txt"])
def test_a_pointer_of_git_lfs_in_place_of_a_text_is_named(voc, file):
    (voc / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7\nsize 7\n")
    refused(lambda: VocFolder.open(voc), f"{voc / file} is a git-lfs pointer", "git lfs pull")


def test_a_mask_is_the_files_ids(voc):
    name = VocFolder.open(voc).names("val")[0]
    ids = np.array([[0, 1, 8], [255, 3, 3]], np.uint8)
    for mode in ("L", "P"):
        picture = Image.fromarray(ids)
        if mode == "P":
            picture = picture.convert("P")
            picture.putdata(ids.ravel().tolist())
            picture.putpalette([7] * 768)  # colours mean nothing, indices everything
        picture.save(voc / "SegmentationClass" / f"{name}.png")
        assert np.array_equal(VocFolder.open(voc).mask(name), ids)


def test_pictures_are_read_as_rgb_whatever_their_mode(voc):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    data.image_path(name).unlink()
    for mode, kind in (("L", "jpg"), ("P", "png"), ("RGBA", "png"), ("1", "png")):
        path = voc / "JPEGImages" / f"{name}.{kind}"
        Image.new(mode, (30, 20)).save(path)
        image = VocFolder.open(voc).image(name)
        assert (image.mode, image.size) == ("RGB", (30, 20))
        path.unlink()


def test_the_index_counts_what_a_loop_counts(voc):
    data = VocFolder.open(voc)
    index = data.index("val")
    assert index.names == data.names("val")
    for i, name in enumerate(index.names):
        with Image.open(data.mask_path(name)) as file:
            mask = np.array(file)
        for c in range(1, 9):
            assert index.pixels[i, c - 1] == (mask == c).sum()
            on_grid = [
                mask[y, x] for y in range(1, mask.shape[0], 32) for x in range(1, mask.shape[1], 32)
            ]
            assert index.grid[i, c - 1] == on_grid.count(c)


def test_of_several_masks_that_cannot_be_read_the_first_of_the_list_is_named(voc):
    data = VocFolder.open(voc)
    names = data.names("val")
    for name in names[5:]:
        data.mask_path(name).write_bytes(b"")
    refused(lambda: data.index("val"), str(data.mask_path(names[5])))


def test_an_index_reads_each_mask_once(voc, monkeypatch):
    read, names = VocFolder.mask, []
    monkeypatch.setattr(
        VocFolder, "mask", lambda data, name: names.append(name) or read(data, name)
    )
    data = VocFolder.open(voc)
    first = data.index("val")
    assert data.index("val") is first
    assert sorted(names) == sorted(data.names("val"))
    assert data.available().index("val") is not first  # another folder with other lists


def test_the_fingerprint_changes_with_the_files_and_the_names_and_nothing_else(voc):
    data = VocFolder.open(voc)
    names = data.names("val")
    first = data.fingerprint(names)
    assert VocFolder.open(voc).fingerprint(names) == first
    assert data.fingerprint(names[1:]) != first
    Image.new("RGB", (64, 64)).save(data.image_path(names[3]))
    assert data.fingerprint(names) != first


def replace_content(path: Path, content: bytes) -> None:
    """Give a file other bytes of the same number, and the time that it has."""
    stat = path.stat()
    assert len(content) == stat.st_size
    assert content != path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_the_fingerprint_changes_where_a_file_keeps_its_size_and_time(voc):
    data = VocFolder.open(voc)
    names = data.names("val")
    for path in (data.image_path(names[1]), data.mask_path(names[2])):
        before = data.fingerprint(names)
        replace_content(path, path.read_bytes()[::-1])
        assert data.fingerprint(names) != before


def test_a_mask_of_the_same_size_and_time_is_counted_again(voc):
    data = VocFolder.open(voc)
    name, path = data.names("val")[0], data.mask_path(data.names("val")[0])
    mask = data.mask(name)
    Image.fromarray(mask).save(path, compress_level=0)  # as many bytes whatever the ids are
    before = data.index("val")
    other = io.BytesIO()
    Image.fromarray(np.where(mask == 1, 2, mask)).save(other, "PNG", compress_level=0)
    replace_content(path, other.getvalue())
    after = VocFolder.open(voc).index("val")
    assert after.pixels[0].tolist()[:2] == before.pixels[0].tolist()[1::-1] != [0, 0]


def test_the_same_files_in_another_folder_and_of_another_time_have_one_fingerprint(voc, tmp_path):
    shutil.copytree(voc, tmp_path / "copy", copy_function=shutil.copy)
    data, copy = VocFolder.open(voc), VocFolder.open(tmp_path / "copy")
    names = data.names("val")
    os.utime(copy.mask_path(names[0]), (0, 0))
    assert copy.fingerprint(names) == data.fingerprint(names)


def test_two_pictures_that_change_places_change_the_fingerprint(voc):
    data = VocFolder.open(voc)
    names = data.names("val")
    before, (a, b) = data.fingerprint(names), map(data.image_path, names[:2])
    first = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(first)
    assert data.fingerprint(names) != before


def test_a_dataset_is_opened_by_its_path(voc):
    assert open_dataset(voc).root == voc
    assert open_dataset(str(voc)).classes == CLASSES


def test_a_name_wins_over_a_folder_that_is_called_like_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours = write_voc(tmp_path / "ours", train=1, val=1)
    for name in ("emoji5i", "pascal5i"):
        monkeypatch.setitem(DATASETS, name, lambda progress: ours)
        write_voc(tmp_path / name, train=1, val=1)
        assert open_dataset(name).root == ours
        assert open_dataset(f"./{name}").root == Path(name)


# What is refused


def test_a_missing_folder_is_named(tmp_path):
    refused(
        lambda: open_dataset(tmp_path / "nowhere"), str(tmp_path / "nowhere"), "is not a folder"
    )


@pytest.mark.parametrize("part", ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
def test_the_error_of_another_layout_says_what_is_missing_and_what_the_folder_has(voc, part):
    (voc / part).rename(voc / "Elsewhere")
    refused(lambda: VocFolder.open(voc), str(voc), f"no {part}/", "Elsewhere", "VOC's layout")


@pytest.mark.parametrize("step", ["..", "../..", "JPEGImages", "ImageSets/Segmentation"])
def test_the_error_of_a_folder_above_or_inside_names_the_right_one(tmp_path, monkeypatch, step):
    root = write_voc(tmp_path / "VOCdevkit/VOC2012", train=3, val=3)
    place = (root / step).resolve()
    says = (f"{place} has no JPEGImages/", f"{root} looks like it", "it has ")
    refused(lambda: VocFolder.open(place), *says)
    monkeypatch.chdir(place)
    refused(lambda: VocFolder.open("."), "VOC2012 looks like it")


def test_of_a_folder_with_many_files_a_few_are_named(voc):
    refused(lambda: VocFolder.open(voc / "JPEGImages"), "train_beam_0.jpg, ", " and 42 more)")


def test_a_folder_without_names_is_named_with_what_it_has(voc):
    for file in (voc / "ImageSets/Segmentation").iterdir():
        file.write_text("\n")
    refused(lambda: VocFolder.open(voc), "ImageSets", "has no list with names", "has train.txt")
    shutil.rmtree(voc / "ImageSets/Segmentation")
    (voc / "ImageSets/Segmentation").mkdir()
    refused(lambda: VocFolder.open(voc), "ImageSets", "train.txt", "it has nothing")


def test_an_empty_list_is_named_when_it_is_used(voc):
    path = voc / "ImageSets/Segmentation/val.txt"
    path.write_text("\n\n")
    data = VocFolder.open(voc)
    assert len(data.names("train")) == 24
    refused(lambda: data.index("val"), f"{path} is empty", "a name a line")
    assert report(inspect_folder(data, progress=False)) == [f"{path.parent}: is empty: val.txt"]


@pytest.mark.parametrize(
    "content",
    [b"\0\5\x16\7\xff\xfe", "Bücher\n".encode("latin-1") * 5, "disc\n".encode("utf-16")],
)
@pytest.mark.parametrize("file", ["ImageSets/Segmentation/val.txt", "classes.txt"])
def test_a_text_file_that_is_not_in_utf_8_is_named(voc, file, content):
    (voc / file).write_bytes(content)
    refused(lambda: VocFolder.open(voc), f"{voc / file} is not text in UTF-8", "save it")


@pytest.mark.parametrize(
    "line", ["a\0b", "J/a.jpg Masks/b.png", "J/a.JPG Masks/b.PNG", "JPEGImages/", ".jpg"]
)
def test_a_line_that_names_two_pictures_or_none_is_quoted(voc, line):
    path = voc / "ImageSets/Segmentation/val.txt"
    path.write_text(f"{path.read_text()}{line}\n")
    refused(lambda: VocFolder.open(voc), str(path), repr(line), "is no picture's name", "as 2007")


def test_a_list_that_cannot_be_read_is_named(voc):
    path = voc / "ImageSets/Segmentation/val.txt"
    path.unlink()
    path.mkdir()
    refused(lambda: VocFolder.open(voc), f"{path} cannot be read")


def test_an_inspection_counts_the_names_that_lists_repeat(voc):
    lists = voc / "ImageSets/Segmentation"
    names = VocFolder.open(voc).names("val")
    (lists / "val.txt").write_text("\n".join([*names, *names[:3], names[0]]))
    (lists / "train.txt").write_text(f"{names[0]}\nJPEGImages/{names[0]}.jpg\n")
    assert report(inspect_folder(VocFolder.open(voc), progress=False)) == [
        f"{lists}: repeats 1 name: train.txt",
        f"{lists}: repeats 3 names: val.txt",
    ]


def test_a_mask_that_only_segmentation_class_aug_has_says_where_it_belongs_and_what_to_do(tmp_path):
    voc = write_voc(tmp_path / "my data", train=3, val=3)
    data = VocFolder.open(voc)
    name, other = data.names("val")[:2]
    masks, aug = voc / "SegmentationClass", voc / "SegmentationClassAug"
    shutil.copytree(masks, aug)
    assert inspect_folder(data, progress=False) == []
    (masks / f"{name}.png").unlink()
    command = f"ltm-edu fetch pascal5i --from {shlex.quote(str(voc))}"
    says = "SegmentationClass/ must hold it", "only SegmentationClassAug/ does", command
    for call in (
        lambda: data.mask(name),
        lambda: data.pair(name),
        lambda: data.index("val"),
        lambda: data.fingerprint(data.names("val")),
    ):
        refused(call, f"{masks / name}.png is missing", *says)
    (masks / f"{other}.png").write_bytes(b"")
    lines = report(inspect_folder(data, progress=False))
    assert [line.rsplit(": ", 1)[1] for line in lines] == [f"{name}.png", f"{other}.png"]
    assert all(part in lines[0] for part in says)
    assert "Aug" not in lines[1]  # it exists, but is damaged
    (aug / f"{name}.png").unlink()
    with pytest.raises(ValueError, match="take its name out") as raised:
        data.mask(name)
    assert "Aug" not in str(raised.value)


def test_the_error_of_segmentation_class_aug_instead_of_segmentation_class_says_what_to_do(voc):
    (voc / "SegmentationClass").rename(voc / "SegmentationClassAug")
    command = f"ltm-edu fetch pascal5i --from {voc}"
    refused(lambda: VocFolder.open(voc), f"{voc} has no SegmentationClass/", command)


def test_a_folder_of_masks_without_their_pictures_names_the_first(voc):
    data = VocFolder.open(voc)
    shutil.rmtree(voc / "JPEGImages")
    (voc / "JPEGImages").mkdir()
    name = data.names("val")[0]
    says = f"{voc / 'JPEGImages' / name}.jpg is missing, but a list names it: put it there"
    refused(lambda: VocFolder.open(voc).pair(name), says)


def test_a_missing_list_is_named_with_those_that_exist(voc):
    refused(lambda: VocFolder.open(voc).index("test"), "test.txt", "train, val")


@pytest.mark.parametrize("count", [0, 300])
def test_too_few_or_too_many_classes_are_counted(voc, count):
    (voc / "classes.txt").write_text("\n".join(f"c{i}" for i in range(count)))
    refused(lambda: VocFolder.open(voc), "classes.txt", str(count), "1 to 254")


@pytest.mark.parametrize("spoil", ["missing", "cut short", "no picture", "a folder", "empty"])
@pytest.mark.parametrize("kind", ["image", "mask"])
def test_an_unreadable_file_is_named(voc, kind, spoil):
    data = VocFolder.open(voc)
    name = data.names("val")[2]
    path = data.image_path(name) if kind == "image" else data.mask_path(name)
    if spoil == "cut short":
        cut_short(path)
    else:
        path.unlink()
    if spoil == "no picture":
        path.write_text("this is no picture")
    elif spoil == "a folder":
        path.mkdir()
    elif spoil == "empty":
        path.touch()
    refused(lambda: VocFolder.open(voc).pair(name), str(path))
    if kind == "mask":
        refused(lambda: VocFolder.open(voc).index("val"), str(path))


def test_a_mask_of_another_size_than_its_picture_is_named_with_both_sizes(voc):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(data.mask_path(name))
    size = "x".join(map(str, data.image(name).size))
    refused(
        lambda: data.pair(name),
        str(data.mask_path(name)),
        "30x20",
        str(data.image_path(name)),
        size,
    )


def test_a_class_id_over_the_list_is_named_with_its_file(voc):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    ids = np.array([[0, 9], [255, 1]], np.uint8)
    Image.fromarray(ids).save(data.mask_path(name))
    for call in (lambda: data.mask(name), lambda: data.index("val")):
        refused(call, str(data.mask_path(name)), "class id 9", "8 classes", "classes.txt")


def test_a_colour_mask_is_refused(voc):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    Image.new("RGB", (30, 20), "red").save(data.mask_path(name))
    says = str(data.mask_path(name)), "RGB", "palette or grey", "colours are not turned into ids"
    refused(lambda: data.mask(name), *says)
    refused(lambda: data.index("val"), *says)


def test_a_missing_file_is_refused_before_a_cache_is_read(voc):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    data.mask_path(name).unlink()
    refused(lambda: data.fingerprint(data.names("val")), str(data.mask_path(name)))


def test_a_picture_too_large_to_be_decoded_safely_is_named(voc, monkeypatch):
    data = VocFolder.open(voc)
    name = data.names("val")[0]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    refused(lambda: data.image(name), str(data.image_path(name)), "cannot be read as a picture")
    faults = inspect_folder(data, progress=False)
    assert {what for _, what in faults} == {"cannot be read as a picture"}


def test_single_files_are_read_as_pictures_and_masks(tmp_path):
    path = tmp_path / "m.png"
    Image.fromarray(np.array([[True, False]])).save(path)
    assert (read_mask(path) > 0).tolist() == [[True, False]]
    assert read_image(path).getpixel((0, 0)) == (255, 255, 255)
