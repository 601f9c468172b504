"""The feature cache: exactly what the backbone computes, and nothing stale or half-made."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import tiny_model, write_voc
from PIL import Image
from torch import Tensor

from ltm_edu.datasets.voc_layout import VocFolder
from ltm_edu.errors import InputError
from ltm_edu.features import FeatureCache, image_tensor, resize_mask
from ltm_edu.geometry import mask_to_grid
from ltm_edu.model import LTM


def cache_of(model: LTM, data: VocFolder, names=None, **options) -> FeatureCache:
    return FeatureCache(model, data, names or data.names("val")[:6], progress=False, **options)


def computed(model: LTM, data: VocFolder, name: str, mirrored: bool) -> list[Tensor]:
    image = data.image(name)
    if mirrored:
        pixels = torch.from_numpy(
            np.array(image.resize((97, 97), Image.Resampling.BILINEAR))[:, ::-1].copy()
        )
    else:
        pixels = torch.from_numpy(np.array(image.resize((97, 97), Image.Resampling.BILINEAR)))
    pixels = pixels.permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        sizes = [round(97 * s) for s in model.config.query_scales]
        return [
            model.backbone(pixels if s == 97 else F.interpolate(pixels, (s, s), mode="bilinear"))[0]
            for s in sizes
        ]


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.7, 1.0, 1.3)])
def test_kept_features_are_those_the_backbone_computes(tiny, tmp_path, scales, in_file):
    model = tiny_model(query_scales=scales)
    cache = cache_of(model, tiny, flips=True, folder=tmp_path if in_file else None)
    names, flips = [cache.names[i] for i in (3, 0, 3)], [True, False, False]
    kept = cache.features(names, flips)
    assert len(kept) == len(scales)
    for i, (name, flip) in enumerate(zip(names, flips, strict=True)):
        for maps, expected in zip(kept, computed(model, tiny, name, flip), strict=True):
            torch.testing.assert_close(maps[i], expected, atol=1e-5, rtol=1e-5)
    native = scales.index(1.0)
    assert torch.equal(cache.support_features(names, flips), kept[native])


def test_real_features_are_kept_exactly(tiny, lite0):
    model = LTM.small(lite0, image_size=97)
    cache = cache_of(model, tiny, tiny.names("val")[:2])
    for name in cache.names:
        (expected,) = computed(model, tiny, name, mirrored=False)
        torch.testing.assert_close(cache.features([name])[0][0], expected, atol=1e-5, rtol=1e-5)


def test_the_mirror_images_features_are_not_the_mirrored_features(tiny):
    cache = cache_of(tiny_model(), tiny, flips=True)
    plain, mirror = (cache.support_features(cache.names[:1], [f])[0] for f in (False, True))
    assert not torch.allclose(plain.flip(-1), mirror, atol=1e-3)


def test_a_mask_is_mirrored_with_its_picture(tiny):
    cache = cache_of(tiny_model(), tiny, flips=True)
    name = cache.names[2]
    class_id = tiny.classes.index(name.split("_")[1]) + 1
    plain, mirror = (cache.masks([name], [class_id], [f])[0] for f in (False, True))
    assert torch.equal(plain.flip(-1), mirror)
    assert not torch.equal(plain, mirror)


def test_masks_are_0_1_and_void_at_the_models_size(tiny):
    cache = cache_of(tiny_model(), tiny)
    name = cache.names[0]
    with Image.open(tiny.mask_path(name)) as file:
        ids = np.array(file.resize((97, 97), Image.Resampling.NEAREST))
    for c in (1, 2):
        expected = np.where(ids == 255, 255, (ids == c).astype(np.uint8))
        assert np.array_equal(cache.masks([name], [c])[0].numpy(), expected)


def test_on_the_grid_void_counts_as_background(tiny):
    cache = cache_of(tiny_model(), tiny)
    masks = cache.masks(cache.names[:3], [1, 1, 1])
    assert (masks == 255).any()
    expected = mask_to_grid(torch.where(masks == 1, 1.0, 0.0)[:, None], (7, 7))
    assert torch.equal(cache.grid_masks(masks), expected)


def test_each_picture_goes_through_the_backbone_once(tiny, tmp_path):
    model = tiny_model()
    names = [*tiny.names("val")[:4], *tiny.names("val")[:4]]
    for _ in range(2):
        cache = cache_of(model, tiny, names, folder=tmp_path)
        cache.features(names)
    assert len(model.backbone.seen) == 4


def test_features_in_a_file_are_those_in_memory(tiny, tmp_path):
    model = tiny_model(query_scales=(1.0, 1.3))
    in_memory = cache_of(model, tiny, flips=True)
    for _ in range(2):  # made, then found
        in_file = cache_of(model, tiny, flips=True, folder=tmp_path)
        for a, b in zip(
            in_memory.features(in_memory.names), in_file.features(in_file.names), strict=True
        ):
            assert torch.equal(a, b)
        ids = [1] * len(in_file.names)
        assert torch.equal(in_memory.masks(in_file.names, ids), in_file.masks(in_file.names, ids))
        assert in_file.nbytes == in_memory.nbytes


def test_the_mean_is_over_pictures_and_cells_and_not_their_mirror_images(tiny):
    model = tiny_model(query_scales=(0.7, 1.0))
    cache = cache_of(model, tiny, flips=True)
    names = cache.names[1:]
    maps = [computed(model, tiny, name, mirrored=False)[1] for name in names]
    torch.testing.assert_close(cache.mean(names), torch.stack(maps).mean(dim=(0, 2, 3)))


def test_nbytes_are_the_floats_kept(tiny):
    assert cache_of(tiny_model(), tiny, flips=True).nbytes == 6 * 2 * 8 * 7 * 7 * 4


@pytest.mark.parametrize("change", ["picture", "mask", "size", "scales", "flips", "names"])
def test_whatever_features_depend_on_makes_them_anew(voc, tmp_path, change):
    data, store = VocFolder.open(voc), tmp_path / "cache"
    names = data.names("val")[:3]
    first = cache_of(tiny_model(), data, names, folder=store)
    options: dict = {"names": names}
    model = {}
    if change == "picture":
        Image.new("RGB", data.image(names[0]).size, (9, 9, 9)).save(data.image_path(names[0]))
    elif change == "mask":
        mask = np.zeros_like(data.mask(names[0]))
        mask[:1, :1] = 8
        Image.fromarray(mask).save(data.mask_path(names[0]))
    elif change == "size":
        model["image_size"] = 113
    elif change == "scales":
        model["query_scales"] = (1.0, 1.3)
    elif change == "flips":
        options["flips"] = True
    else:
        options["names"] = names[::-1]
    again = cache_of(tiny_model(**model), data, folder=store, **options)
    assert len(list(store.iterdir())) == 2
    fresh = cache_of(tiny_model(**model), data, **options)
    assert torch.equal(again.support_features(names), fresh.support_features(names))
    if change == "picture":
        assert not torch.equal(again.support_features(names), first.support_features(names))


def test_a_bad_picture_leaves_nothing_behind(voc, tmp_path):
    data, store = VocFolder.open(voc), tmp_path / "cache"
    names = data.names("val")[:3]
    data.image_path(names[2]).write_text("no picture")
    with pytest.raises(InputError, match=names[2]):
        cache_of(tiny_model(), data, names, folder=store)
    assert list(store.rglob("*")) == []


def test_a_folder_that_cannot_be_made_is_named(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file"):
        cache_of(tiny_model(), tiny, folder=tmp_path / "file" / "cache")


def test_supports_need_scale_1(tiny):
    with pytest.raises(InputError, match=r"query_scales must hold 1\.0"):
        cache_of(tiny_model(query_scales=(0.7, 1.3)), tiny)


def test_the_cache_knows_its_pictures(tiny):
    cache = cache_of(tiny_model(), tiny)
    assert tiny.names("val")[0] in cache
    assert tiny.names("train")[0] not in cache


def test_pictures_and_masks_become_squares(tmp_path):
    data = VocFolder.open(write_voc(tmp_path / "v", train=1, val=1))
    name = data.names("val")[0]
    pixels = image_tensor(data.image(name), 33)
    assert pixels.shape == (3, 33, 33)
    assert 0 <= pixels.min() < pixels.max() <= 1
    mask = data.mask(name)
    small = resize_mask(mask, 33)
    assert small.shape == (33, 33)
    assert set(np.unique(small)) <= set(np.unique(mask))
