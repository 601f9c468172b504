"""The feature cache: exactly what the backbone computes, and nothing stale or half-made."""

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import TinyBackbone, contents, left_in, refused, tiny_model, write_voc
from PIL import Image
from torch import Tensor

from ltm_edu.datasets.voc import VocFolder
from ltm_edu.features import cache as features
from ltm_edu.features import files as feature_files
from ltm_edu.features.cache import FeatureCache
from ltm_edu.geometry import image_tensor, mask_to_grid, resize_mask
from ltm_edu.model import LTM
from ltm_edu.store.errors import InputError
from ltm_edu.store.fetch import readable


@pytest.fixture(autouse=True)
def one_picture_at_a_time(monkeypatch):
    """Count passes through the backbone, and stop between any two of them."""
    monkeypatch.setattr(features, "BATCH", 1)


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


def test_objects_of_void_ids_are_void(tiny):
    names = tiny.names("train")
    plain, void = (
        FeatureCache(tiny_model(), tiny, names, progress=False, void_ids=ids) for ids in ((), (2,))
    )
    asked = [1] * len(names)
    twos = plain.masks(names, [2] * len(names)) == 1
    assert twos.any()
    expected = torch.where(twos, 255, plain.masks(names, asked))
    assert torch.equal(void.masks(names, asked), expected)


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
    (place,) = tmp_path.iterdir()
    assert left_in(place) == ["checksums.json", "masks.npy", "scale0.npy", "scale1.npy"]


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


# In files


class Breaking(TinyBackbone):
    """The tiny backbone, which does something else when it sees one picture too many."""

    def __init__(self, after: int, instead) -> None:
        super().__init__()
        self.after, self.instead = after, instead

    def forward(self, images: Tensor) -> Tensor:
        if len(self.seen) == self.after:
            self.instead()
        return super().forward(images)


def breaking_model(after: int, instead, **options: object) -> LTM:
    return LTM.small(
        Breaking(after, instead),
        image_size=97,
        embedding=8,
        features=8,
        widths=(8, 4, 4),
        **options,
    )


def break_off() -> None:
    raise KeyboardInterrupt


def broken_off(data: VocFolder, store: Path, after: int = 5) -> None:
    """Leave in the store what a run over six pictures holds that is stopped after some."""
    with pytest.raises(KeyboardInterrupt):
        cache_of(breaking_model(after, break_off), data, flips=True, folder=store)


def assert_same(cache: FeatureCache, other: FeatureCache) -> None:
    names = [n for n in cache.names for _ in range(2)]
    flips = [False, True] * len(cache.names)
    for a, b in zip(cache.features(names, flips), other.features(names, flips), strict=True):
        assert torch.equal(a, b)
    ids = [1] * len(names)
    assert torch.equal(cache.masks(names, ids, flips), other.masks(names, ids, flips))


def python(code: str, *arguments: Path) -> subprocess.CompletedProcess:
    """Run code in another process, which finds the tests' modules."""
    here = Path(__file__).parent
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])},
        stdout=subprocess.PIPE,
        text=True,
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from test_features import breaking_model, cache_of
from ltm_edu.features import cache
from ltm_edu.datasets.voc import VocFolder

cache.BATCH = 1
model = breaking_model(10, lambda: os.kill(os.getpid(), signal.SIGKILL), query_scales=(1.0, 1.3))
cache_of(model, VocFolder.open(sys.argv[1]), flips=True, folder=Path(sys.argv[2]))
"""


@pytest.mark.skipif(os.name == "nt", reason="a signal that cannot be caught")
def test_a_killed_run_is_gone_on_with_and_gives_the_same_features(tiny, tmp_path):
    model = tiny_model(query_scales=(1.0, 1.3))
    straight = cache_of(model, tiny, flips=True, folder=tmp_path / "straight")
    store = tmp_path / "killed"
    done = python(KILLED, tiny.root, store)
    assert done.returncode == -signal.SIGKILL
    (part,) = store.glob(".*.part")
    header, mask = 128, 97 * 97
    written = ((part / "masks.npy").stat().st_size - header) // mask  # the last file of a picture
    assert 3 <= written <= 5  # a few pictures are computed ahead
    with (part / "scale1.npy").open("ab") as file:
        file.write(b"half a row")
    model.backbone.seen.clear()
    again = cache_of(model, tiny, flips=True, folder=store)
    assert len(model.backbone.seen) == 2 * (6 - written)
    assert left_in(store) == left_in(tmp_path / "straight")
    for path in sorted(store.rglob("*.npy")):
        other = np.load(tmp_path / "straight" / path.relative_to(store))
        # Two processes need not round a convolution alike; in one, what goes on is bit for bit.
        this = np.load(path)
        assert (this.shape, this.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(this, other, rtol=1e-4, atol=1e-4)
    names = list(straight.names)
    for a, b in zip(again.features(names), straight.features(names), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_run_stopped_again_and_again_comes_to_its_end(tiny, tmp_path):
    for _ in range(2):
        broken_off(tiny, tmp_path, after=2)
    model = tiny_model()
    cache = cache_of(model, tiny, flips=True, folder=tmp_path)
    assert len(model.backbone.seen) == 2
    assert_same(cache, cache_of(model, tiny, flips=True))


def test_a_run_stopped_before_its_first_picture_leaves_nothing(tiny, tmp_path):
    broken_off(tiny, tmp_path, after=0)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "usable"), [("header", 0), ("no file", 0), ("short", 2), ("long", 5)]
)
def test_what_a_stopped_run_left_is_not_believed_where_it_is_damaged(
    tiny, tmp_path, damage, usable
):
    broken_off(tiny, tmp_path)
    (part,) = tmp_path.glob(".*.part")
    masks, features = part / "masks.npy", part / "scale0.npy"
    if damage == "header":
        masks.write_bytes(b"?" + masks.read_bytes()[1:])
    elif damage == "no file":
        features.unlink()
    elif damage == "short":
        os.truncate(masks, masks.stat().st_size // 2)  # two masks and a half
    else:
        features.write_bytes(features.read_bytes() + bytes(10**6))  # more than six pictures
    model = tiny_model()
    cache = cache_of(model, tiny, flips=True, folder=tmp_path)
    assert len(model.backbone.seen) == 6 - usable
    assert_same(cache, cache_of(model, tiny, flips=True))


@pytest.mark.parametrize(
    "damage",
    ["short", "long", "empty", "missing", "shape", "masks", "number", "bit", "sum", "no sums"],
)
def test_damaged_files_are_made_anew(tiny, tmp_path, damage):
    model = tiny_model()
    first = cache_of(model, tiny, flips=True, folder=tmp_path)
    whole = contents(tmp_path)
    (place,) = tmp_path.iterdir()
    features, masks = place / "scale0.npy", place / "masks.npy"
    if damage == "short":
        os.truncate(features, features.stat().st_size - 1)
    elif damage == "long":
        features.write_bytes(features.read_bytes() + b"0")
    elif damage == "empty":
        features.write_bytes(b"")
    elif damage == "missing":
        masks.unlink()
    elif damage == "shape":
        np.save(features, np.load(features)[:, :5])
    elif damage == "masks":
        np.save(masks, np.load(masks)[:5])
    elif damage == "bit":
        changed = bytearray(features.read_bytes())
        changed[-100] ^= 1
        features.write_bytes(changed)
    elif damage == "sum":
        (place / "checksums.json").write_text("[3]")
    elif damage == "no sums":
        (place / "checksums.json").unlink()
    else:
        np.save(features, np.load(features).astype(np.float64))
    model.backbone.seen.clear()
    again = cache_of(model, tiny, flips=True, folder=tmp_path)
    assert len(model.backbone.seen) == 6
    assert contents(tmp_path) == whole
    assert_same(again, cache_of(model, tiny, flips=True))
    assert_same(first, again)


def test_a_file_lost_while_it_is_used_is_named(tiny, tmp_path):
    cache = cache_of(tiny_model(), tiny, folder=tmp_path)
    (place,) = tmp_path.iterdir()
    os.truncate(place / "masks.npy", 1000)
    refused(lambda: cache.masks(cache.names[:1], [1]), "masks.npy is gone or was cut short")
    shutil.rmtree(place)
    refused(lambda: cache.support_features(cache.names[:1]), "scale0.npy is gone", "start again")


def test_a_second_process_waits_for_the_first_and_finds_what_it_made(tiny, tmp_path, capsys):
    begun, go_on, found = threading.Event(), threading.Event(), {}

    def wait() -> None:
        begun.set()
        assert go_on.wait(60)

    slow, other = breaking_model(1, wait), tiny_model()

    def make(which: str, model: LTM, **options: object) -> None:
        found[which] = FeatureCache(model, tiny, tiny.names("val")[:3], folder=tmp_path, **options)

    first = threading.Thread(target=make, args=("first", slow), kwargs={"progress": False})
    first.start()
    assert begun.wait(60)
    second = threading.Thread(target=make, args=("second", other))
    second.start()
    said, until = "", time.monotonic() + 60
    while "waiting for it\n" not in said and time.monotonic() < until:
        said += capsys.readouterr().err
        time.sleep(0.01)
    time.sleep(0.3)
    assert second.is_alive()
    go_on.set()
    first.join(60)
    second.join(60)
    assert (said + capsys.readouterr().err).count("another process is making") == 1
    assert other.backbone.seen == []
    names = found["first"].names
    features = [found[w].support_features(names) for w in ("first", "second")]
    assert torch.equal(*features)
    assert len(left_in(tmp_path)) == 1


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tiny, tmp_path, monkeypatch):
    calls, write_all = [], feature_files.write_all

    def full(file: BinaryIO, rows: memoryview) -> None:
        calls.append(file)
        if len(calls) == 2 * 2 + 2:  # two files a picture: in the middle of the third mask
            write_all(file, rows[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(file, rows)

    with monkeypatch.context() as patch:
        patch.setattr(feature_files, "write_all", full)
        refused(
            lambda: cache_of(tiny_model(), tiny, flips=True, folder=tmp_path),
            str(tmp_path),
            "No space left on device",
            "start again",
        )
    model = tiny_model()
    cache = cache_of(model, tiny, flips=True, folder=tmp_path)
    assert len(model.backbone.seen) == 4
    assert_same(cache, cache_of(model, tiny, flips=True))


def test_room_is_asked_for_what_is_still_to_be_written(tiny, tmp_path, monkeypatch):
    each = 2 * 8 * 7 * 7 * 4 + 97 * 97
    broken_off(tiny, tmp_path / "begun", after=4)
    usage = type("usage", (), {"free": 2 * each})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    refused(
        lambda: cache_of(tiny_model(), tiny, flips=True, folder=tmp_path / "new"),
        f"{tmp_path / 'new'}/features-",
        f"needs {readable(6 * each)} and its disk has {readable(2 * each)} free",
        "name another one, or keep features in memory",
    )
    assert left_in(tmp_path / "new") == []
    usage.free -= 1
    kept = contents(tmp_path / "begun")
    refused(
        lambda: cache_of(tiny_model(), tiny, flips=True, folder=tmp_path / "begun"),
        f"needs {readable(2 * each)} and its disk has {readable(2 * each - 1)} free",
    )
    assert contents(tmp_path / "begun") == kept
    usage.free += 1
    cache_of(tiny_model(), tiny, flips=True, folder=tmp_path / "begun")


def test_a_pickle_of_files_holds_their_paths_alone(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    in_file = cache_of(tiny_model(), tiny, flips=True, folder=Path("here"))
    sent, in_memory = pickle.dumps(in_file), cache_of(tiny_model(), tiny, flips=True)
    assert len(sent) < len(pickle.dumps(in_memory)) - in_memory.nbytes - 6 * 97 * 97
    monkeypatch.chdir("/")
    assert_same(pickle.loads(sent), in_memory)


@pytest.mark.parametrize("half", [False, True])
def test_what_files_give_is_a_copy(tiny, tmp_path, half):
    cache = cache_of(tiny_model(), tiny, flips=True, folder=tmp_path, half=half)
    names, files = cache.names, contents(tmp_path)
    cache.support_features(names).zero_()
    cache.masks(names, [1] * 6).zero_()
    assert contents(tmp_path) == files
    assert_same(cache, cache_of(tiny_model(), tiny, flips=True, half=half))


MEASURED = """
import sys
from pathlib import Path
from helpers import TinyBackbone, tiny_model
from test_features import cache_of
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.features import cache

cache.BATCH = 1

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

TinyBackbone.channels = 4096
data = VocFolder.open(sys.argv[1])
model, store = tiny_model(), Path(sys.argv[2])
names = data.names("all")
cache_of(model, data, names[:1], flips=True, folder=store).mean(names[:1])
before = peak()
kept = cache_of(model, data, names, flips=True, folder=store)
for n in names:
    kept.features([n]), kept.masks([n], [1])
kept.mean(names)
print(kept.nbytes, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_making_and_reading_files_takes_no_memory(tiny, tmp_path):
    features, more = map(int, python(MEASURED, tiny.root, tmp_path).stdout.split())
    assert features > 120e6
    assert more < features / 2  # a few pictures are computed ahead


def test_files_are_copied_to_a_device_a_few_rows_at_a_time(tiny, tmp_path, monkeypatch):
    cache = cache_of(tiny_model(), tiny, flips=True, folder=tmp_path)
    read, picked = feature_files.FileOfRows.__getitem__, []
    monkeypatch.setattr(feature_files, "_CHUNK", 5 * 8 * 7 * 7 * 4)
    monkeypatch.setattr(
        feature_files.FileOfRows, "__getitem__", lambda f, i: picked.append(len(i)) or read(f, i)
    )
    bytes_before = cache.nbytes
    assert cache.to(torch.device("cpu")) is cache
    assert picked[:3] == [5, 5, 2]
    shutil.rmtree(tmp_path)
    assert cache.nbytes == bytes_before
    assert_same(cache, cache_of(tiny_model(), tiny, flips=True))


@pytest.mark.parametrize("in_file", [False, True])
def test_features_that_a_device_cannot_take_are_one_line(tiny, tmp_path, monkeypatch, in_file):
    cache = cache_of(tiny_model(), tiny, flips=True, folder=tmp_path if in_file else None)

    def full(*args: object, **options: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 16.53 GiB.")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", full)
        patch.setattr(Tensor, "to", full)
        refused(
            lambda: cache.to(torch.device("cuda")),
            "features take 0.00 GB and cuda does not have them free",
            "keep them in files",
        )
    assert_same(cache, cache_of(tiny_model(), tiny, flips=True))


# What the features of a cache depend on


def test_features_of_files_that_were_read_otherwise_are_not_taken_from_the_cache(
    tiny, tmp_path, monkeypatch
):
    model = tiny_model()
    cache_of(model, tiny, folder=tmp_path)
    monkeypatch.setattr("ltm_edu.features.cache.READING", 0)  # as in an older version
    cache_of(model, tiny, folder=tmp_path)
    assert len(list(tmp_path.glob("features-*"))) == 2


def test_features_of_other_weights_are_not_taken_from_the_cache(tiny, tmp_path):
    one, other = tiny_model(), tiny_model()
    with torch.no_grad():
        other.backbone.conv.weight.mul_(2)
    first = cache_of(one, tiny, folder=tmp_path)
    second = cache_of(other, tiny, folder=tmp_path)
    names = list(first.names)
    assert not torch.equal(first.support_features(names), second.support_features(names))
    torch.testing.assert_close(
        second.support_features(names), cache_of(other, tiny).support_features(names)
    )


def test_features_of_a_picture_that_was_replaced_are_computed_anew(voc, tmp_path):
    data = VocFolder.open(voc)
    model = tiny_model()
    cache_of(model, data, folder=tmp_path / "cache")
    path = data.image_path(data.names("val")[0])
    content, times = bytearray(path.read_bytes()), path.stat()
    # The same size and time, other pixels: a JPEG's table of quantisation, one step coarser.
    content[content.index(b"\xff\xdb") + 30] += 40
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    again = cache_of(model, VocFolder.open(voc), folder=tmp_path / "cache")
    fresh = cache_of(model, VocFolder.open(voc))
    names = list(again.names)
    torch.testing.assert_close(again.support_features(names), fresh.support_features(names))


@pytest.mark.parametrize("batch", [1, 4, 5])
def test_how_many_pictures_go_through_the_backbone_together_changes_nothing(
    tiny, batch, monkeypatch
):
    expected = cache_of(tiny_model(), tiny, flips=True)
    monkeypatch.setattr(features, "BATCH", batch)
    model = tiny_model()
    cache = cache_of(model, tiny, flips=True)
    assert [shape[0] for shape in model.backbone.seen] == {
        1: [2] * 6,
        4: [8, 4],
        5: [10, 2],
    }[batch]
    names = list(cache.names)
    for mirrored in (False, True):
        flips = [mirrored] * len(names)
        torch.testing.assert_close(
            cache.support_features(names, flips), expected.support_features(names, flips)
        )
