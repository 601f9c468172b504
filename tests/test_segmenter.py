"""FewShotSegmenter and predict(): anybody's pictures in, a mask of the query's size out."""

import re
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import TinyBackbone, refused, tiny_model
from PIL import Image

from ltm_edu import FewShotSegmenter, cli, open_dataset, predict
from ltm_edu.geometry import image_tensor
from ltm_edu.masks.drawing import draw_overlay
from ltm_edu.masks.presence import MIN_PRESENCE
from ltm_edu.model import LTM, TrainingFreeMap
from ltm_edu.segmenter import without_fringe
from tools import edges


@pytest.fixture(scope="module")
def model() -> LTM:
    return tiny_model().eval()


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A query, two supports and their masks of 0 and 255, all of different sizes, losslessly."""
    paths = {}
    for name, (height, width) in {"query": (40, 90), "a": (61, 50), "b": (33, 70)}.items():
        pixels = np.random.randint(0, 256, (height, width, 3)).astype(np.uint8)
        paths[name] = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(paths[name])
        if name != "query":
            mask = np.zeros((height, width), np.uint8)
            mask[10:25, 12:40] = 255
            paths[f"{name}_mask"] = tmp_path / f"{name}_mask.png"
            Image.fromarray(mask).save(paths[f"{name}_mask"])
    return paths


def array(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.array(file)


# What comes out


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (97, 97), (500, 333)])
def test_a_query_of_any_size_gets_a_mask_of_that_size(model, files, size):
    query = Image.new("RGB", size, (90, 120, 30))
    found = predict(model, query, [(files["a"], files["a_mask"])])
    assert found.mask.shape == found.probability.shape == size[::-1]
    assert found.mask.dtype == bool
    assert found.query.size == size
    assert found.attention.shape == (7, 7)
    assert found.overlay().size == size


def test_a_prediction_is_the_models_forward_pass_stretched_to_the_query(model, files):
    supports = [(files[k], files[f"{k}_mask"]) for k in "ab"]
    found = predict(model, files["query"], supports, smooth=False, crop=False)
    with Image.open(files["query"]) as query:
        images = image_tensor(query, 97)[None]
    supports, masks = [], []
    for k in "ab":
        with Image.open(files[k]) as image, Image.open(files[f"{k}_mask"]) as mask:
            supports.append(image_tensor(image, 97))
            small = np.array(mask.resize((97, 97), Image.Resampling.NEAREST))
        masks.append(torch.from_numpy(small / 255).float())
    with torch.inference_mode():
        out = model(torch.stack(supports)[None], torch.stack(masks)[None], images)
        M = F.interpolate(out.M, (40, 90), mode="bilinear", align_corners=False)[0]
    probability = (M[1] - M[0]).sigmoid().numpy()
    assert np.allclose(found.probability, probability, atol=1e-4)
    clear = abs(probability - 0.5) > 1e-3
    assert np.array_equal(found.mask[clear], (probability > 0.5)[clear])
    assert np.allclose(found.attention, out.A_hat[0, 0], atol=1e-4)


def test_a_trained_model_finds_a_class_it_never_trained_on(trained, tiny):
    both = either = 0
    names = [n for n in tiny.names("val") if "disc" in n]
    for query, support in zip(names, names[1:] + names[:1], strict=True):
        pair = (tiny.image_path(support), tiny.mask_path(support))
        found = predict(trained.model, tiny.image_path(query), pair)
        truth = tiny.mask(query)
        both += (found.mask & (truth == 1)).sum()
        either += ((found.mask | (truth == 1)) & (truth != 255)).sum()
    assert both / either > 0.6


def test_the_training_free_map_predicts_too(files):
    free = TrainingFreeMap(tiny_model().config, TinyBackbone(), threshold=0.5)
    found = predict(free, files["query"], (files["a"], files["a_mask"]))
    assert 0 < found.mask.mean() < 1


# What goes in


def test_files_pictures_and_arrays_give_one_answer(model, files):
    by_path = predict(model, str(files["query"]), (str(files["a"]), files["a_mask"]))
    kinds = [
        lambda k: array(files[k]),
        lambda k: Image.fromarray(array(files[k])),
        lambda k: files[k],
    ]
    for of_query in kinds:
        for of_support in kinds:
            found = predict(model, of_query("query"), [(of_support("a"), of_support("a_mask"))])
            assert np.array_equal(found.probability, by_path.probability)


def test_a_mask_of_255_of_1_and_of_truth_values_is_one_mask(model, files):
    ours = predict(model, files["query"], (files["a"], files["a_mask"]))
    mask = array(files["a_mask"])
    for same in (
        mask // 255,
        mask > 0,
        (mask > 0).astype(np.int64),
        (mask > 0).astype(float),
        mask // 255 * 7,
    ):
        found = predict(model, files["query"], (files["a"], same))
        assert np.array_equal(found.probability, ours.probability)


def test_beside_an_id_255_is_void_and_no_object(model, files):
    mask = array(files["a_mask"]) // 255
    with_void = mask.copy()
    with_void[30:40] = 255
    plain, voided = (predict(model, files["query"], (files["a"], m)) for m in (mask, with_void))
    assert np.array_equal(plain.probability, voided.probability)


def test_class_id_takes_one_object_of_several(model, files):
    several = array(files["a_mask"]) // 255 * 3
    several[40:50] = 5
    for class_id in (3, 5):
        alone = (several == class_id).astype(np.uint8)
        ours = predict(model, files["query"], (files["a"], several), class_id)
        theirs = predict(model, files["query"], (files["a"], alone))
        assert np.array_equal(ours.probability, theirs.probability)
    refused(lambda: predict(model, files["query"], (files["a"], several)), "3, 5", "class_id")


def test_every_support_counts_and_their_order_does_not(model, files):
    a, b = ((files[k], files[f"{k}_mask"]) for k in "ab")
    one, other = (predict(model, files["query"], s).attention for s in ([a], [b]))
    both = predict(model, files["query"], [a, b]).attention
    assert np.allclose(both, (one + other) / 2, atol=1e-5)
    assert abs(one - other).max() > 0.01
    for same in ([b, a], (a, b)):
        assert np.allclose(predict(model, files["query"], same).attention, both, atol=1e-5)


def test_grey_and_transparent_pictures_are_taken(model, files):
    support = (files["a"], files["a_mask"])
    grey = array(files["query"])[..., 0]
    in_rgb = predict(model, np.stack([grey] * 3, axis=2), support)
    assert np.array_equal(predict(model, grey, support).probability, in_rgb.probability)
    opaque = np.dstack([np.stack([grey] * 3, axis=2), np.full_like(grey, 255)])
    assert np.array_equal(predict(model, opaque, support).probability, in_rgb.probability)


def test_predicting_leaves_the_model_in_the_mode_it_was_in(files):
    model = tiny_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for mode in (True, False):
        model.train(mode)
        predict(model, files["query"], (files["a"], files["a_mask"]))
        assert model.training == mode
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# Pictures of the result


def test_an_overlay_tints_the_object_and_leaves_the_rest():
    pixels = np.random.randint(0, 256, (40, 60, 3)).astype(np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    drawn = np.array(draw_overlay(Image.fromarray(pixels), mask, (230, 159, 0)))
    assert np.array_equal(drawn[~mask], pixels[~mask])
    inside = drawn[12:28, 22:48].astype(float)
    expected = pixels[12:28, 22:48] / 2 + np.array([230, 159, 0]) / 2
    assert np.abs(inside - expected).max() <= 1
    for edge in (drawn[10, 20:50], drawn[29, 20:50], drawn[10:30, 20], drawn[10:30, 49]):
        assert (edge == (230, 159, 0)).all()


def test_saved_files_are_the_mask_and_the_overlay(model, files, tmp_path):
    found = predict(model, files["query"], (files["a"], files["a_mask"]))
    mask_path, overlay_path = found.save(tmp_path / "new", "cat")
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"cat_mask.png", "cat_overlay.png"}
    assert np.array_equal(array(mask_path), found.mask * np.uint8(255))
    assert np.array_equal(array(overlay_path), np.array(found.overlay()))


def test_a_saved_mask_serves_as_the_next_support(files, tmp_path):
    model = TrainingFreeMap(tiny_model().config, TinyBackbone(), threshold=0.5)
    found = predict(model, files["query"], (files["a"], files["a_mask"]))
    mask_path, _ = found.save(tmp_path, "first")
    assert found.mask.any()
    from_file, from_array = (
        predict(model, files["a"], (files["query"], m)) for m in (mask_path, found.mask)
    )
    assert np.array_equal(from_file.probability, from_array.probability)


# What is refused


def test_a_mask_without_foreground_is_named(model, files, tmp_path):
    empty = tmp_path / "empty.png"
    Image.new("L", (50, 61)).save(empty)
    refused(
        lambda: predict(model, files["query"], (files["a"], empty)), str(empty), "no foreground"
    )
    refused(
        lambda: predict(model, files["query"], (files["a"], files["a_mask"]), class_id=4),
        str(files["a_mask"]),
        "no pixel of class 4",
    )
    second = [(files["a"], files["a_mask"]), (files["b"], np.zeros((33, 70), np.uint8))]
    refused(lambda: predict(model, files["query"], second), "support 2's mask", "no foreground")


def test_a_mask_of_another_size_than_its_picture_is_named(model, files):
    refused(
        lambda: predict(model, files["query"], (files["a"], files["b_mask"])),
        str(files["b_mask"]), "70x33", str(files["a"]), "50x61",
    )  # fmt: skip


@pytest.mark.parametrize("which", ["query", "a", "a_mask"])
@pytest.mark.parametrize("fault", ["missing", "no picture", "cut short"])
def test_an_unreadable_file_is_named(model, files, which, fault):
    path = files[which]
    data = path.read_bytes()
    path.unlink()
    if fault != "missing":
        path.write_bytes(b"no picture" if fault == "no picture" else data[: len(data) // 2])
    refused(lambda: predict(model, files["query"], (files["a"], files["a_mask"])), str(path))


def test_no_support_is_refused(model, files):
    for nothing in ([], ()):
        refused(lambda s=nothing: predict(model, files["query"], s), "no support")


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((5, 5, 3), complex),
        np.zeros(5, np.uint8),
        np.zeros((5, 5, 7), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
    ids=lambda a: f"{a.dtype} {a.shape}",
)
def test_an_array_that_is_no_picture_is_named(model, files, picture):
    shape = re.sub(r"\s", " ", str(picture.shape))
    refused(lambda: predict(model, picture, (files["a"], files["a_mask"])), shape, "expected uint8")


def test_a_colour_mask_is_refused(model, files):
    refused(
        lambda: predict(model, files["query"], (files["a"], files["a"])), str(files["a"]), "RGB"
    )
    refused(
        lambda: predict(model, files["query"], (files["a"], array(files["a"]))),
        "support 1's mask",
        "several colours",
    )
    flat = np.zeros((61, 50, 1), np.uint8)
    refused(lambda: predict(model, files["query"], (files["a"], flat)), "1's mask", "(H, W)")


# A fitted segmenter


def supports(files: dict[str, Path], names: str = "ab") -> tuple[list[Path], list[Path]]:
    return [files[k] for k in names], [files[f"{k}_mask"] for k in names]


def test_a_fitted_segmenter_and_one_call_find_the_same(model, files):
    seg = FewShotSegmenter(model, min_presence=0).fit(*supports(files))
    found = list(seg.predict([files["query"], files["a"]]))
    pairs = list(zip(*supports(files), strict=True))
    assert found == [predict(model, files[k], pairs) for k in ("query", "a")]
    assert [f.name for f in found] == [str(files["query"]), str(files["a"])]


def test_each_picture_goes_through_the_backbone_once(files):
    backbone = TinyBackbone()
    model = LTM.small(backbone, image_size=97, embedding=8, features=8, widths=(8, 4, 4))
    seg = FewShotSegmenter(model.eval()).fit(*supports(files))
    assert sum(shape[0] for shape in backbone.seen) == 2
    assert len(list(seg.predict([files["query"]] * 5))) == 5
    assert sum(shape[0] for shape in backbone.seen) == 2 + 5


def test_queries_are_taken_as_results_are_read(model, files):
    seg = FewShotSegmenter(model).fit(*supports(files))
    endless = cycle([files["query"], files["a"]])
    names = [found.name for found in islice(seg.predict(endless), 5)]
    assert names == [str(files[k]) for k in ("query", "a", "query", "a", "query")]


def test_a_folder_is_a_list_of_its_pictures(model, files, tmp_path):
    folder = tmp_path / "queries"
    folder.mkdir()
    for name, k in (("2.png", "a"), ("1.png", "query")):
        (folder / name).write_bytes(files[k].read_bytes())
    (folder / "notes.txt").write_text("no picture")
    seg = FewShotSegmenter(model).fit(*supports(files))
    found = list(seg.predict(folder))
    assert [f.name for f in found] == [str(folder / "1.png"), str(folder / "2.png")]
    assert found == list(seg.predict([files["query"], files["a"]]))


def test_stacks_and_tensors_are_taken(model, files):
    image, mask = array(files["a"]), array(files["a_mask"])
    query = array(files["query"])
    (ours,) = FewShotSegmenter(model).fit(image, mask).predict(query)
    as_tensor = torch.from_numpy(image).permute(2, 0, 1)
    for images, masks in (
        (image[None], mask[None]),
        (as_tensor, torch.from_numpy(mask)),
        (as_tensor[None].float() / 255, torch.from_numpy(mask)[None]),
    ):
        (found,) = FewShotSegmenter(model).fit(images, masks).predict(query)
        assert found == ours
    (found,) = (
        FewShotSegmenter(model).fit(image, mask).predict(torch.from_numpy(query).permute(2, 0, 1))
    )
    assert found == ours


def test_a_query_that_cannot_be_read_stops_or_is_reported(model, files, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    seg = FewShotSegmenter(model).fit(*supports(files))
    refused(lambda: list(seg.predict([files["query"], bad, files["a"]])), str(bad))
    reported = []
    found = list(
        seg.predict([files["query"], bad, files["a"]], lambda q, e: reported.append((q, e)))
    )
    assert len(found) == 2
    ((query, error),) = reported
    assert query == bad
    assert str(bad) in str(error)


def test_the_untrained_map_has_a_vote_for_one_class_and_none_between_several(model, files):
    weighted, (images, masks) = model.at_map_weight(4), supports(files)

    def logits(network: LTM, names: list[str]) -> np.ndarray:
        seg = FewShotSegmenter(network).fit(images, masks, names=names)
        return next(seg.predict([files["query"]])).logits

    assert np.array_equal(logits(weighted, ["cat", "dog"]), logits(model, ["cat", "dog"]))
    assert abs(logits(weighted, ["cat", "cat"]) - logits(model, ["cat", "cat"])).max() > 0.1


def test_the_edges_of_masks_are_compared_at_any_weight_of_the_maps(
    trained, tiny, capsys, monkeypatch
):
    given = ["--data", str(tiny.root), "--checkpoint", str(trained.checkpoint)]
    assert edges.main([*given, "--pictures", "2", "--way", "as it is"]) == 0
    assert "| as it is | 2 | " in capsys.readouterr().out
    weights = []
    monkeypatch.setattr(edges, "score", lambda model, *_: weights.append(model.config.map_weight))
    for more in ([], ["--map-weight", "3"]):
        assert edges.main([*given, *more]) == 0
    assert weights == [trained.model.config.map_weight, 3]


def test_classes_by_name_compete_for_each_pixel(model, files):
    images, masks = supports(files)
    seg = FewShotSegmenter(model, min_presence=0).fit(images, masks, names=["cat", "dog"])
    (found,) = seg.predict(files["query"])
    assert found.classes == seg.classes == ("cat", "dog")
    for i, name in enumerate(found.classes):
        alone = predict(model, files["query"], (images[i], masks[i]), min_presence=0)
        assert np.allclose(found.probability_of(name), alone.probability, atol=1e-5)
        rival = found.probability_of(found.classes[1 - i])
        clear = abs(alone.probability - rival) > 1e-4
        assert not ((found.labels == i + 1) & (alone.probability < rival) & clear).any()
    assert np.array_equal(found.mask, found.labels > 0)


def test_supports_of_one_name_are_one_class(model, files):
    images, masks = supports(files, "aba")
    seg = FewShotSegmenter(model).fit(images, masks, names=["cat", "dog", "cat"])
    assert seg.classes == ("cat", "dog")
    refused(lambda: seg.fit(images, masks, names=["cat", "dog"]), "3 pictures", "2 names")
    refused(lambda: seg.fit(images, masks[:2]), "2 masks")


def test_a_segmenter_without_supports_says_so(model, files):
    refused(lambda: FewShotSegmenter(model).predict(files["query"]), "fit")


@pytest.mark.parametrize(
    "option", [{"threshold": 0}, {"threshold": 1.0}, {"min_presence": 1.1}, {"min_area": -1}]
)
def test_an_option_out_of_its_range_is_named(model, option):
    refused(lambda: FewShotSegmenter(model, **option), *option, str(*option.values()))


def test_a_folder_does_not_stand_in_the_way_of_a_checkpoints_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nothing").mkdir()
    refused(lambda: FewShotSegmenter("nothing"), "no shipped checkpoint 'nothing'")


def test_a_name_that_is_no_checkpoint_is_refused():
    refused(lambda: FewShotSegmenter("nothing"), "nothing", "photographs")
    refused(lambda: FewShotSegmenter("nothing.pt"), "nothing.pt is missing")


def test_the_shipped_checkpoint_finds_a_shape_by_name(tiny):
    a, b, c = [n for n in tiny.names("val") if "disc" in n][:3]
    pair = tiny.image_path(a), tiny.mask(a) == 1
    for found in FewShotSegmenter("photographs").fit(*pair).predict(map(tiny.image_path, (b, c))):
        truth = tiny.mask(Path(found.name).stem)
        both, either = (found.mask & (truth == 1)).sum(), (found.mask | (truth == 1)).sum()
        assert both / either > 0.5


# Is it there at all


def test_a_picture_of_something_else_has_less_presence_and_an_empty_mask(tiny):
    disc, other = (next(n for n in tiny.names("val") if c in n) for c in ("disc", "mast"))
    support = tiny.image(disc), tiny.mask(disc) == 1
    queries = [tiny.image(disc), tiny.image(other)]
    seg = FewShotSegmenter("photographs", min_presence=0).fit(*support)
    same, different = seg.predict(queries)
    assert same.presence > different.presence
    assert different.mask.any()  # equation 6 finds the likest place of any picture
    seg.min_presence = (same.presence + different.presence) / 2
    kept, emptied = seg.predict(queries)
    assert np.array_equal(kept.mask, same.mask)
    assert not emptied.mask.any()
    assert emptied.presence == different.presence


def test_few_photographs_without_a_zebra_show_one(shared):
    photos = open_dataset(shared / "photos")
    zebra = photos.classes.index("zebra") + 1
    index = photos.index("all")
    shown = [n for n, grid in zip(index.names, index.grid[:, zebra - 1], strict=True) if grid > 2]
    absent = [n for n, p in zip(index.names, index.pixels[:, zebra - 1], strict=True) if p == 0]
    support, *with_it = shown
    seg = FewShotSegmenter("photographs").fit(photos.image(support), photos.mask(support) == zebra)
    queries = [photos.image_path(n) for n in (*with_it, *absent[:40])]
    masks = [found.mask.any() for found in seg.predict(queries)]
    assert all(masks[: len(with_it)])
    assert np.mean(masks[len(with_it) :]) < 0.25  # every one of them had a mask without presence


def test_the_command_and_the_library_agree_on_the_least_presence(capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", "--help"])
    assert f"empty mask (default: {MIN_PRESENCE})" in " ".join(capsys.readouterr().out.split())


# The fringe of transposed convolutions


def test_what_changes_from_pixel_to_pixel_is_removed_and_a_slope_stays():
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing="ij")
    slope = 2 * rows - columns
    for pattern in ((-1.0) ** rows, (-1.0) ** columns, (-1.0) ** (rows + columns)):
        M = torch.stack([slope + 5 * pattern, slope])[None]
        mended = without_fringe(M)[..., 1:-1, 1:-1]
        assert torch.allclose(mended, slope[1:-1, 1:-1].expand(1, 2, -1, -1), atol=1e-5)


# Small objects


def in_a_frame(image: Image.Image, size: int, left: int, top: int) -> Image.Image:
    """Put a picture into a grey one of a size."""
    frame = Image.new("RGB", (size, size), (128, 128, 128))
    frame.paste(image, (left, top))
    return frame


def test_a_small_object_is_looked_at_in_a_square_twice_its_size(model, files):
    pixels = np.random.randint(0, 256, (600, 900, 3)).astype(np.uint8)
    mask = np.zeros((600, 900), bool)
    mask[100:180, 500:620] = True  # 120 wide: a square of 240 around its middle
    whole, off = (FewShotSegmenter(model, crop=crop).fit(pixels, mask) for crop in (True, False))
    cropped = FewShotSegmenter(model, crop=False).fit(
        pixels[20:260, 440:680], mask[20:260, 440:680]
    )
    (ours,), (by_hand,), (other,) = (s.predict(files["query"]) for s in (whole, cropped, off))
    assert ours == by_hand
    assert ours != other


def test_an_object_of_a_few_pixels_is_refused(model):
    picture, mask = np.zeros((2000, 2000, 3), np.uint8), np.zeros((2000, 2000), np.uint8)
    mask[1000:1003, 700:703] = 255
    refused(
        lambda: FewShotSegmenter(model).fit(picture, mask), "support 1's mask", "9 pixels", "larger"
    )
    mask[1000:1020, 700:720] = 255
    FewShotSegmenter(model).fit(picture, mask)
    whole = FewShotSegmenter(model, crop=False)  # at 97 pixels one is left
    refused(lambda: whole.fit(picture, mask), "400 pixels", "97x97")


def test_tiles_find_a_small_object_and_leave_empty_parts_empty(tiny):
    a, b = [n for n in tiny.names("val") if "disc" in n][:2]
    image, truth = tiny.image(b), tiny.mask(b) == 1
    query = in_a_frame(image, 1200, 900, 150)
    whole = np.zeros((1200, 1200), bool)
    whole[150 : 150 + image.height, 900 : 900 + image.width] = truth

    def score(tile: bool) -> float:
        seg = FewShotSegmenter("photographs", tile=tile, min_presence=0)
        (found,) = seg.fit(tiny.image(a), tiny.mask(a) == 1).predict(query)
        assert found.mask[:, :600].sum() <= (0 if tile else found.mask.size)
        return (found.mask & whole).sum() / (found.mask | whole).sum()

    assert score(True) > 0.5
    assert score(True) > score(False)
