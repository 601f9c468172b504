"""What becomes of logits: masks, pieces, outlines, and the files that hold them."""

import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import refused
from matplotlib.path import Path as Outline
from PIL import Image
from scipy import ndimage

from ltm_edu.geometry import resize_logits, stretched_rows
from ltm_edu.masks.folders import check_apart, pictures_in, supports_in
from ltm_edu.masks.formats import ResultsTable, coco_file, save_labelme
from ltm_edu.masks.prediction import Prediction
from ltm_edu.masks.presence import most_similar_cells, prototype
from ltm_edu.masks.shapes import keyhole, pieces, polygons, run_lengths, without_small_pieces


def prediction(logits: np.ndarray, size: tuple[int, int], **options: object) -> Prediction:
    """Build a prediction of (C, h, w) logits for a grey query of a size (H, W)."""
    query = Image.new("RGB", size[::-1], (90, 90, 90))
    classes = tuple(f"class {c}" for c in range(1, len(logits) + 1))
    presences = tuple(0.9 - 0.1 * c for c in range(len(logits)))
    named = {"name": "q.jpg", "classes": classes, "presences": presences, **options}
    return Prediction(query, logits=logits.astype(np.float32), attention=logits[0], **named)


def blobs(seed: int = 0, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    """Draw a mask of a few pieces, some with holes and some at the frame."""
    noise = np.random.default_rng(seed).normal(size=size)
    return ndimage.gaussian_filter(noise, 2) > 0.03


def inside(rings: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Tell for each pixel's centre whether it is inside an odd number of rings."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1)
    hits = sum(Outline(ring).contains_points(centres).astype(int) for ring in rings)
    return (hits % 2 == 1).reshape(size)


# From logits to masks


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (97, 97), (130, 75), (641, 480)])
def test_bands_of_rows_are_the_resized_logits(size):
    M = torch.randn(2, 97, 97)
    bands = list(stretched_rows(M.numpy(), size, rows=50))
    assert [b.shape[1] for b in bands[:-1]] == [50] * (len(bands) - 1)
    expected = resize_logits(M[None], size)[0].numpy()
    assert np.allclose(np.concatenate(bands, axis=1), expected, atol=1e-4)


def test_a_large_mask_takes_little_more_memory_than_itself():
    found = prediction(np.random.default_rng(0).normal(size=(1, 97, 97)), (3000, 4000))
    tracemalloc.start()
    labels = found.labels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert labels.shape == (3000, 4000)
    assert peak < 2 * labels.nbytes


def test_a_pixel_belongs_to_the_class_with_the_largest_logit():
    logits = np.random.default_rng(0).normal(size=(3, 12, 9))
    found = prediction(logits, (12, 9))
    for c in range(3):
        wins = (logits.argmax(axis=0) == c) & (logits[c] > 0)
        assert np.array_equal(found.labels == c + 1, wins)
    assert np.allclose(found.probability_of("class 2"), 1 / (1 + np.exp(-logits[1])), atol=1e-5)
    assert np.allclose(found.probability, 1 / (1 + np.exp(-logits.max(axis=0))), atol=1e-5)
    refused(lambda: found.probability_of("cat"), "cat", "class 1, class 2")


def test_the_threshold_is_a_probability():
    logits = np.random.default_rng(0).normal(size=(1, 12, 9))
    for threshold in (0.2, 0.9):
        found = prediction(logits, (12, 9), threshold=threshold)
        assert np.array_equal(found.mask, found.probability > threshold)


def test_a_class_that_is_hardly_present_has_no_pixel():
    logits = np.random.default_rng(0).normal(size=(2, 12, 9)) + 1
    found = prediction(logits, (12, 9), min_presence=0.85)  # .9 and .8 are there
    assert set(np.unique(found.labels)) == {0, 1}
    assert np.array_equal(found.mask, logits[0] > 0)
    assert not prediction(logits, (12, 9), min_presence=0.95).mask.any()
    assert found.presence == 0.9


def test_pieces_under_the_least_area_are_left_out():
    mask = np.zeros((20, 20), bool)
    mask[2:5, 2:5] = mask[10:16, 10:16] = mask[0, 19] = True
    assert np.array_equal(np.argwhere(without_small_pieces(mask, 10)), np.argwhere(mask)[-36:])
    found = prediction(np.where(mask, 3.0, -3.0)[None], (20, 20), min_area=10)
    assert [o.area for o in found.objects()] == [36]


def test_objects_are_the_connected_pieces_the_largest_first():
    mask = np.zeros((20, 30), bool)
    mask[2:5, 3:7] = True
    mask[5, 7] = True  # touches at a corner
    mask[10:19, 20:30] = True
    logits = np.where(mask, 2.0, -2.0)
    logits[10:19, 20:30] = 4.0
    large, small = prediction(logits[None], (20, 30)).objects()
    assert (large.box, large.area, large.name) == ((20, 10, 30, 19), 90, "class 1")
    assert (small.box, small.area) == ((3, 2, 8, 6), 13)
    assert large.probability == pytest.approx(1 / (1 + np.exp(-4)))
    assert small.probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert np.array_equal(large.mask | small.mask, mask)


# Outlines


@pytest.mark.parametrize("seed", range(5))
def test_outlines_and_holes_enclose_the_pixels_of_the_mask(seed):
    mask = blobs(seed)
    found = polygons(mask)
    assert np.array_equal(inside([r for p in found for r in p], mask.shape), mask)
    assert any(len(p) > 1 for s in range(5) for p in polygons(blobs(s)))  # some have holes
    for ring in (r for p in found for r in p):
        assert np.array_equal(ring[0], ring[-1])
        assert ring.min() >= 0
        assert (ring.max(axis=0) <= mask.shape[::-1]).all()


@pytest.mark.parametrize("seed", range(5))
def test_one_ring_with_cuts_encloses_the_same_pixels(seed):
    mask = blobs(seed)
    rings = [keyhole(polygon) for polygon in polygons(mask)]
    assert np.array_equal(inside(rings, mask.shape), mask)


def test_an_empty_and_a_full_mask_have_outlines():
    assert polygons(np.zeros((4, 5), bool)) == []
    ((ring,),) = polygons(np.ones((4, 5), bool))
    assert inside([ring], (4, 5)).all()


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_are_columns_of_alternating_zeros_and_ones(seed):
    mask = blobs(seed)
    for one in (mask, ~mask, np.zeros_like(mask), np.ones_like(mask)):
        runs = run_lengths(one)
        values = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
        assert np.array_equal(values.reshape(one.shape, order="F"), one)


# A prediction as a value


def test_predictions_compare_and_hash_by_what_they_find():
    logits = np.random.default_rng(0).normal(size=(1, 12, 9))
    one, same = prediction(logits, (30, 20)), prediction(logits, (30, 20))
    assert one == same
    assert len({one, same}) == 1
    for other in (prediction(-logits, (30, 20)), prediction(logits, (20, 30)), "a mask"):
        assert one != other
    assert "20x30: class 1 0.90" in repr(one)


def test_a_notebook_shows_the_overlay():
    found = prediction(np.ones((1, 12, 9)), (3000, 20))
    with Image.open(io.BytesIO(found._repr_png_())) as shown:
        assert shown.format == "PNG"
        assert max(shown.size) == 1024


def test_several_classes_are_saved_as_a_label_map_with_a_legend(tmp_path):
    logits = np.random.default_rng(0).normal(size=(2, 60, 90))
    found = prediction(logits, (60, 90))
    mask_path, overlay_path = found.save(tmp_path, "x")
    with Image.open(mask_path) as mask, Image.open(overlay_path) as overlay:
        assert mask.mode == "P"
        assert np.array_equal(np.array(mask), found.labels)
        colours = {tuple(mask.getpalette()[3 * c : 3 * c + 3]) for c in range(3)}
        corner = {tuple(pixel) for pixel in np.array(overlay)[:40, :40].reshape(-1, 3).tolist()}
    assert len(colours) == 3
    assert (255, 255, 255) in corner  # the legend's paper
    assert colours - {(0, 0, 0)} <= corner


def test_a_large_overlay_is_saved_smaller_and_its_mask_is_not(tmp_path):
    found = prediction(np.random.default_rng(0).normal(size=(1, 9, 9)), (40, 5000))
    mask_path, overlay_path = found.save(tmp_path, "x")
    with Image.open(mask_path) as mask, Image.open(overlay_path) as overlay:
        assert mask.size == (5000, 40)
        assert overlay.size == (2048, 16)


# Files


def test_a_labelme_file_holds_the_outlines(tmp_path):
    mask = blobs()
    found = prediction(np.where(mask, 2.0, -2.0)[None], mask.shape, name=str(tmp_path / "q.jpg"))
    found.query.save(tmp_path / "q.jpg")
    save_labelme(found, tmp_path / "out" / "q.json")
    content = json.loads((tmp_path / "out" / "q.json").read_text())
    assert (content["imageHeight"], content["imageWidth"]) == mask.shape
    assert content["imagePath"] == "../q.jpg"
    assert {s["label"] for s in content["shapes"]} == {"class 1"}
    assert {s["shape_type"] for s in content["shapes"]} == {"polygon"}
    closed = [np.array(s["points"] + s["points"][:1]) for s in content["shapes"]]
    assert np.array_equal(inside(closed, mask.shape), mask)


def test_a_coco_file_holds_each_piece(tmp_path):
    masks = [blobs(1), blobs(2), np.zeros((40, 60), bool)]
    with coco_file(tmp_path / "coco.json", ("class 1",)) as file:
        for mask in masks:
            file.add(prediction(np.where(mask, 2.0, -2.0)[None], mask.shape))
    content = json.loads((tmp_path / "coco.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "class 1"}]
    assert [i["id"] for i in content["images"]] == [1, 2, 3]
    for number, mask in enumerate(masks, start=1):
        found = [a for a in content["annotations"] if a["image_id"] == number]
        assert len(found) == len(pieces(mask))
        whole = np.zeros(mask.size, bool)
        for a in found:
            runs = a["segmentation"]["counts"]
            part = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
            rows, columns = np.nonzero(part.reshape(mask.shape, order="F"))
            assert a["area"] == part.sum()
            width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
            assert a["bbox"] == [columns.min(), rows.min(), width, height]
            whole |= part
        assert np.array_equal(whole.reshape(mask.shape, order="F"), mask)
    assert [a["id"] for a in content["annotations"]] == list(
        range(1, len(content["annotations"]) + 1)
    )


def test_a_run_that_stops_leaves_a_coco_file_of_what_it_found(tmp_path):
    def stop() -> None:
        with coco_file(tmp_path / "coco.json", ("class 1",)) as file:
            file.add(prediction(np.ones((1, 4, 4)), (4, 4)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    content = json.loads((tmp_path / "coco.json").read_text())
    assert len(content["images"]) == len(content["annotations"]) == 1


def test_the_table_keeps_other_rows_and_replaces_those_of_the_same_query(tmp_path):
    path = tmp_path / "results.csv"
    ones = np.ones((1, 4, 4))
    table = ResultsTable(path, ["a.jpg", "b.jpg"])
    for name in ("a.jpg", "b.jpg"):
        table.add(prediction(ones, (4, 4), name=name, seconds=0.5))
    lines = path.read_text().splitlines()
    assert lines[0] == "file,class,presence,area,time"
    assert lines[1:] == [f"{name}.jpg,class 1,0.900,16,0.50" for name in "ab"]
    ResultsTable(path, ["b.jpg"]).add(prediction(-ones, (4, 4), name="b.jpg"))
    assert path.read_text().splitlines() == [*lines[:2], "b.jpg,class 1,0.900,0,0.00"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"my,own,notes\n", "no table"),
        (b"", "no table"),
        (b'"\r' + b"x" * 200_000, "no table"),
        ("file,class,presence,area,time\nKäse.jpg,a,1,2,3\n".encode("cp1252"), "UTF-8"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_and_stays(tmp_path, content, says):
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    refused(lambda: ResultsTable(path, []), str(path), says)
    assert path.read_bytes() == content


def test_a_table_that_excel_saved_in_utf_8_goes_on(tmp_path):
    path = tmp_path / "results.csv"
    rows = "file,class,presence,area,time\r\nKäse.jpg,a,1,2,3\r\n"
    path.write_text(rows, encoding="utf-8-sig", newline="")
    table = ResultsTable(path, ["b.jpg"])
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")  # nothing is written before the first row
    table.add(prediction(np.ones((1, 4, 4)), (4, 4), name="b.jpg"))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == [*rows.splitlines(), "b.jpg,class 1,0.900,16,0.00"]


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 8)).save(path)
    return path


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(tmp_path):
    wanted = [picture(tmp_path / name) for name in ("a.JPG", "b.png", "c.webp", "d.tif")]
    picture(tmp_path / "deeper" / "e.png")
    picture(tmp_path / ".hidden.png")
    for name in ("notes.txt", "film.mpg", "weights.h5", "chart.eps"):
        (tmp_path / name).write_text("no picture")
    assert pictures_in(tmp_path) == wanted
    phone = tmp_path / "phone.HEIC"  # not read, but not left out either: reading it says so
    phone.write_bytes(b"")
    assert pictures_in(tmp_path) == [*wanted, phone]
    (tmp_path / "empty").mkdir()
    refused(lambda: pictures_in(tmp_path / "empty"), str(tmp_path / "empty"), "no picture")
    refused(lambda: pictures_in(tmp_path / "none"), str(tmp_path / "none"))


def test_masks_stand_beside_their_pictures_or_in_masks(tmp_path):
    a, a_mask = picture(tmp_path / "a.jpg"), picture(tmp_path / "a_mask.png")
    picture(tmp_path / "without.jpg")
    assert supports_in(tmp_path) == {"object": [(a, a_mask)]}
    b, b_mask = picture(tmp_path / "cat" / "b.jpg"), picture(tmp_path / "cat/masks/b.png")
    c, c_mask = picture(tmp_path / "dog" / "c.png"), picture(tmp_path / "dog" / "c_mask.png")
    expected = {"object": [(a, a_mask)], "cat": [(b, b_mask)], "dog": [(c, c_mask)]}
    picture(tmp_path / ".cache" / "b.jpg")
    picture(tmp_path / ".cache" / "b_mask.png")
    assert supports_in(tmp_path) == expected
    picture(tmp_path / "bare" / "only.jpg")
    refused(lambda: supports_in(tmp_path / "bare"), str(tmp_path / "bare"), "NAME_mask.png")


@pytest.mark.parametrize(
    "kind", ["the same", "dots", "symbolic link", "hard link", "linked folder"]
)
def test_a_result_is_never_written_over_an_input(tmp_path, kind):
    path = picture(tmp_path / "in" / "a_mask.png")
    result = path
    if kind == "dots":
        result = tmp_path / "in" / ".." / "in" / "a_mask.png"
    elif kind == "linked folder":
        (tmp_path / "out").symlink_to(tmp_path / "in")
        result = tmp_path / "out" / "a_mask.png"
    elif kind != "the same":
        result = tmp_path / "link.png"
        result.symlink_to(path) if kind == "symbolic link" else result.hardlink_to(path)
    refused(lambda: check_apart([result], [path]), str(result), str(path))
    check_apart([tmp_path / "other.png"], [path])


# Presence


def test_presence_looks_for_the_supports_mean_direction():
    torch.manual_seed(0)
    F_s, G_s = torch.randn(3, 8, 4, 4), torch.rand(3, 1, 4, 4)
    mean = torch.randn(8, 1, 1)
    each = []
    for F, G in zip(F_s - mean, G_s, strict=True):
        units = F / F.norm(dim=0)
        total = sum(units[:, i, j] * G[0, i, j] for i in range(4) for j in range(4))
        each.append(total / total.norm())
    expected = sum(each) / sum(each).norm()
    assert torch.allclose(prototype(F_s, G_s, mean), expected, atol=1e-6)
    for side, count in ((21, 10), (27, 17), (3, 1)):  # the same part of the grid
        F_q = torch.randn(2, 8, side, side)
        cosines = torch.cosine_similarity(F_q - mean, expected[None, :, None, None], dim=1)
        best = cosines.flatten(1).sort(dim=1).values[:, -count:].mean(dim=1)
        assert torch.allclose(most_similar_cells(F_q, expected[None], mean)[:, 0], best, atol=1e-6)
