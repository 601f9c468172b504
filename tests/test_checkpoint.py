"""Checkpoints: what goes in comes out, and no file can do harm."""

import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from helpers import files_at_most
from torch import Tensor

from ltm_edu import data_dir, load_checkpoint, save_checkpoint, shipped_checkpoint
from ltm_edu.episodes import Protocol
from ltm_edu.model import LTM
from ltm_edu.runs.checkpoint import TrainedOn, read_checkpoint
from ltm_edu.runs.settings import TrainingConfig
from ltm_edu.store import files
from ltm_edu.store.errors import InputError

SEEN = TrainedOn(
    "tiny",
    2,
    ("disc", "square"),
    Protocol("area", "drop", 5, 100, (3, 4)),
    asdict(TrainingConfig()),
    "ltm-edu train --data tiny",
    "train",
    best_step=7,
)


@pytest.fixture(
    params=[{}, {"rows": "fg_bg", "shots": "stack"}, {"transformation": "global"}], ids=str
)
def model(request, lite0) -> LTM:
    options = {"image_size": 97, "features": 8, "widths": (8, 4, 4), **request.param}
    return LTM.small(lite0, **options).eval()


@pytest.fixture
def saved(lite0, tmp_path) -> Path:
    path = tmp_path / "saved.pt"
    save_checkpoint(path, LTM.small(lite0, image_size=97, features=8, widths=(8, 4, 4)), SEEN)
    return path


def episode() -> tuple[Tensor, ...]:
    return torch.rand(1, 1, 3, 97, 97), torch.ones(1, 1, 97, 97), torch.rand(1, 3, 97, 97)


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as raised:
        load_checkpoint(path)
    message = str(raised.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message, message


def test_a_loaded_model_answers_as_the_saved_one(model, tmp_path):
    model.train()
    model(*episode())  # the BatchNorms of Upsam now hold something
    model.eval()
    save_checkpoint(tmp_path / "new" / "m.pt", model, SEEN)
    loaded, trained_on = load_checkpoint(tmp_path / "new" / "m.pt")
    assert loaded.config == model.config
    assert trained_on == SEEN
    assert not loaded.training
    with torch.inference_mode():
        given = episode()
        ours, theirs = loaded(*given), model(*given)
    # Weights are kept in half precision, three digits.
    torch.testing.assert_close(ours.A_hat, theirs.A_hat, atol=2e-2, rtol=0)
    torch.testing.assert_close(ours.M, theirs.M, atol=3e-2, rtol=3e-2)


def test_weights_are_those_saved_to_half_precision(model, tmp_path):
    save_checkpoint(tmp_path / "m.pt", model, SEEN)
    loaded, _ = load_checkpoint(tmp_path / "m.pt")
    stored, own = loaded.state_dict(), model.state_dict()
    assert list(stored) == list(own)
    for name, value in own.items():
        expected = value
        if value.is_floating_point() and not name.startswith("backbone."):
            expected = value.half().float()
        assert torch.equal(stored[name], expected), name


def test_a_second_round_changes_nothing(saved, tmp_path):
    first, trained_on = load_checkpoint(saved)
    save_checkpoint(tmp_path / "again.pt", first, trained_on)
    second, again = load_checkpoint(tmp_path / "again.pt")
    assert again == trained_on
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


def test_the_backbone_is_not_in_the_file(saved):
    content = torch.load(saved, weights_only=True)
    assert not any(name.startswith("backbone.") for name in content["state"])
    assert {"model", "protocol", "training", "command"} <= set(content)


# Files that are refused


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "none.pt", "is missing")


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_damaged_file_is_named(saved, keep):
    data = saved.read_bytes()
    saved.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    refused(saved)


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("wrap", ["pickle", "torch", "in a checkpoint"])
def test_code_in_a_file_is_not_run(saved, tmp_path, wrap):
    crater = tmp_path / "crater"
    path = tmp_path / "bomb.pt"
    if wrap == "pickle":
        path.write_bytes(pickle.dumps(_Malicious(crater), protocol=2))
    elif wrap == "torch":
        torch.save(_Malicious(crater), path)
    else:
        torch.save({**torch.load(saved, weights_only=True), "command": _Malicious(crater)}, path)
    refused(path)
    assert not crater.exists()


def test_a_random_pickle_is_no_checkpoint(tmp_path):
    path = tmp_path / "other.pt"
    for content in ([1, 2, 3], {"weight": torch.zeros(3)}, torch.zeros(3), "text"):
        torch.save(content, path)
        refused(path, "not a checkpoint of ltm_edu", "ltm-edu train")


def test_a_checkpoint_of_another_model_names_the_first_weight_that_differs(saved):
    content = torch.load(saved, weights_only=True)
    content["model"]["features"] = 12
    torch.save(content, saved)
    refused(saved, "another model", "T_f.weight is (8, 432, 1, 1), expected (12, 432, 1, 1)")
    content["model"]["features"] = 8
    del content["state"]["upsam.aspp.d4.weight"]
    torch.save(content, saved)
    refused(saved, "another model", "upsam.aspp.d4.weight is nothing")


def test_weights_that_are_not_finite_are_refused(saved):
    content = torch.load(saved, weights_only=True)
    content["state"]["T_e.bias"][3] = torch.nan
    torch.save(content, saved)
    refused(saved, "T_e.bias holds NaN", "train it again")


def test_another_format_is_named_with_ours(saved):
    torch.save({**torch.load(saved, weights_only=True), "format": 99}, saved)
    refused(saved, "99", "reads 1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", None),
        ("model", {"depth": 3}),
        ("model", {"backbone": "vgg16"}),
        ("model", {"rows": "bg"}),
        ("model", {"shots": "max"}),
        ("model", {"stages": [5]}),
        ("model", {"widths": [1]}),
        ("model", {"embedding": "many"}),
        ("protocol", None),
        ("protocol", {"list_rule": "most"}),
        ("base_classes", 3),
        ("state", None),
        ("state", {"T_e.weight": "no tensor"}),
    ],
    ids=str,
)
def test_a_checkpoint_with_a_senseless_part_is_refused(saved, key, value):
    torch.save({**torch.load(saved, weights_only=True), key: value}, saved)
    refused(saved)


@pytest.mark.parametrize("key", ["model", "dataset", "fold", "protocol", "training", "state"])
def test_a_checkpoint_without_a_part_is_refused(saved, key):
    content = torch.load(saved, weights_only=True)
    del content[key]
    torch.save(content, saved)
    refused(saved)


STRANGE = {
    "sparse": lambda w: w.to_sparse(),
    "without numbers": lambda w: w.to("meta"),
    "complex": lambda w: w.float().to(torch.complex64),
    "whole numbers": lambda w: w.to(torch.int8),
    "truth values": lambda w: w > 0,
    "quantized": lambda w: torch.quantize_per_tensor(w.float(), 0.1, 0, torch.qint8),
    "one number many times": lambda w: w.flatten()[:1].expand(10**9),
    "a number": lambda w: 3.0,
    "a list": lambda w: w.flatten()[:3].tolist(),
    "infinite": lambda w: w + torch.inf,
}


@pytest.mark.filterwarnings("ignore:.*quantize")  # torch is about to give them up
@pytest.mark.parametrize("strange", STRANGE)
def test_weights_of_a_strange_kind_are_refused(saved, strange):
    content = torch.load(saved, weights_only=True)
    content["state"]["T_e.bias"] = STRANGE[strange](content["state"]["T_e.bias"])
    torch.save(content, saved)
    refused(saved)


def test_a_negative_variance_is_refused(saved):
    content = torch.load(saved, weights_only=True)
    (name,) = [n for n in content["state"] if n.endswith("running_var")][:1]
    content["state"][name][0] = -1
    torch.save(content, saved)
    refused(saved, f"{name}, a variance, is negative")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features", 10**9),
        ("features", 8.0),
        ("features", True),
        ("embedding", 10**7),
        ("image_size", 40_000),
        ("image_size", "97"),
        ("widths", [8, 4, 10**8]),
        ("widths", [8, 4.5, 4]),
        ("stages", [112.0]),
        ("query_scales", [1.0, "a"]),
        ("query_scales", [float("nan")]),
        ("residual", 1),
        ("map_weight", float("nan")),
    ],
)
def test_a_size_that_no_network_has_is_refused_before_memory_is_taken(saved, name, value):
    content = torch.load(saved, weights_only=True)
    content["model"][name] = value
    torch.save(content, saved)
    refused(saved, name)


def test_a_network_larger_than_its_weights_takes_no_memory(saved, monkeypatch):
    content = torch.load(saved, weights_only=True)
    content["model"]["features"] = content["model"]["embedding"] = 16_384
    torch.save(content, saved)

    built = []

    def build(*arguments: object) -> LTM:
        built.append(torch.empty(0).device.type)
        return LTM(*arguments)

    monkeypatch.setattr("ltm_edu.runs.checkpoint.LTM", build)
    refused(saved, "another model")
    assert built == ["meta"]


def test_a_changed_bit_is_noticed_or_changes_nothing(saved):
    whole = saved.read_bytes()
    config, trained_on, state = read_checkpoint(saved)
    places = torch.randint(8 * len(whole), (300,), generator=torch.Generator().manual_seed(0))
    noticed = 0
    for place in places.tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        saved.write_bytes(damaged)
        try:
            again = read_checkpoint(saved)
        except InputError:
            noticed += 1
            refused(saved)
        else:
            assert again[:2] == (config, trained_on)
            assert all(torch.equal(again[2][k], v) for k, v in state.items())
    assert noticed > 200  # the rest are places without content, such as the space between parts


def test_a_part_that_is_larger_than_the_file_is_refused(saved):
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("archive/data.pkl", bytes(10**7))
    refused(saved, "no compressed parts")


# Writing


def test_a_weight_too_large_for_half_precision_is_kept_whole(lite0, tmp_path):
    model = LTM.small(lite0, features=8, widths=(4, 4, 4))
    with torch.no_grad():
        model.T_e.bias[0] = 1e6
    save_checkpoint(tmp_path / "m.pt", model, SEEN)
    loaded, _ = load_checkpoint(tmp_path / "m.pt")
    assert torch.equal(loaded.T_e.bias, model.T_e.bias)
    assert (tmp_path / "m.pt").stat().st_size < 1.3e6  # the other weights are in half precision


def test_a_model_with_nan_is_not_written_over_a_good_one(saved, lite0):
    before = saved.read_bytes()
    model = LTM.small(lite0, features=8, widths=(4, 4, 4))
    with torch.no_grad():
        model.T_f.weight[0] = torch.nan
    with pytest.raises(InputError, match=r"T_f.weight holds NaN.*lower learning rate"):
        save_checkpoint(saved, model, SEEN)
    assert saved.read_bytes() == before


def test_a_disk_that_changes_what_it_is_given_is_noticed(saved, lite0, monkeypatch):
    before = saved.read_bytes()
    plain = zipfile.ZipFile.testzip
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda self: plain(self) or "archive/data/0")
    with pytest.raises(InputError, match=f"{saved} is not written: what the disk gave back"):
        save_checkpoint(saved, LTM.small(lite0, features=8, widths=(4, 4, 4)), SEEN)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("size", [0, 100, 5_000, 50_000])
def test_a_checkpoint_that_cannot_be_finished_leaves_the_old_one(saved, lite0, size):
    before = saved.read_bytes()
    model = LTM.small(lite0, features=32, widths=(8, 4, 4))
    message = f"cannot write {saved}: File too large"
    with files_at_most(size), pytest.raises(InputError, match=message):
        save_checkpoint(saved, model, SEEN)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir() if p.is_file()] == [saved.name]


def test_a_place_that_cannot_be_written_is_named(saved, lite0):
    with pytest.raises(InputError, match="cannot write"):
        save_checkpoint(saved / "inside.pt", LTM.small(lite0, features=8, widths=(4, 4, 4)), SEEN)


# Where things are


def test_data_lands_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LTM_EDU_DATA", str(tmp_path / "elsewhere"))
    assert data_dir() == tmp_path / "elsewhere"
    monkeypatch.delenv("LTM_EDU_DATA")
    assert data_dir() == Path(__file__).resolve().parent.parent / "data"


def test_where_no_checkpoint_is_shipped_the_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path / "no checkout")
    with pytest.raises(InputError, match=r"there are none in .*checkpoints; or name a file"):
        shipped_checkpoint("other")


def test_a_shipped_checkpoint_is_found_by_its_name(saved):
    place = data_dir() / "checkpoints" / "mine.pt"
    place.parent.mkdir(parents=True)
    saved.rename(place)
    assert shipped_checkpoint("mine") == place
    with pytest.raises(InputError, match=r"no shipped checkpoint 'other': there are .*mine"):
        shipped_checkpoint("other")
