"""Two processes under torchrun's variables train what one process trains on the joined batch."""

import contextlib
import json
import os
import socket
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from helpers import CLASSES, TinyBackbone, tiny_model, write_voc

from ltm_edu.backbones import BACKBONES
from ltm_edu.cli import main
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import Protocol
from ltm_edu.evaluation import evaluate
from ltm_edu.features.cache import FeatureCache
from ltm_edu.league import scoring
from ltm_edu.losses import LossWeights
from ltm_edu.runs.processes import SharedBatchNorm2d, own_part, processes, rank, summed, world
from ltm_edu.runs.settings import Machine, TrainingConfig
from ltm_edu.store.errors import InputError
from ltm_edu.training import fit

SCORED = Protocol(episodes=8, seeds=(0, 1))
CONFIG = TrainingConfig(steps=3, batch=4, learning_rate=0.01)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Stop(Exception):
    """Somebody pulled the plug."""


def stop(step, row):
    if step == 2:
        raise Stop


def train(root, config, cache=None, log=None, on_step=None, state=None) -> dict:
    torch.manual_seed(rank())  # all processes are given the first one's weights
    model = tiny_model()
    options = {"on_step": on_step, "machine": Machine(state=state, save_every=1)}
    fitted = fit(
        model, VocFolder.open(root), 0, config, None, "train", cache, log, False, **options
    )
    return {
        "rows": [[row[k] for k in ("L", "L_m", "L_a", "L_r")] for row in fitted.history],
        "state": model.trainable_state(),
    }


def normalised(x, weight) -> dict:
    """BatchNorm on this process's part, and the gradients of a weighted sum of what comes out."""
    own = own_part(x.unbind())
    own = torch.stack(list(own)).requires_grad_()
    layer = SharedBatchNorm2d(x.shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 2, x.shape[1]))
    out = layer(own)
    (out * torch.stack(list(own_part(weight.unbind())))).sum().backward()
    return {
        "out": out.detach(),
        "grad": own.grad,
        "weight": layer.weight.grad,
        "mean": layer.running_mean,
        "var": layer.running_var,
    }


X = 3 * torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0)) + 100
"""A batch with a mean that a sum of squares would drown in."""
WEIGHT = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(1))


def with_losses(reduction: str) -> TrainingConfig:
    return replace(CONFIG, losses=LossWeights(reduction=reduction))


def said_by_commands(local: int, ports: list[int], folder) -> list[str]:
    """What one of two processes writes when it trains, and compares, with a set that is incomplete.

    Pictures are missing, fold 0 has nothing to train on, and no file names the classes.
    """
    BACKBONES["tiny"] = lambda stages: TinyBackbone()
    scoring.CHECKS = 4
    shared = f"--data {folder / 'partly'} --available --rule any --set backbone=tiny"
    shared += " --set features=8 --set widths=8,4,4 --set image_size=97 --set batch=2 --set steps=1"
    train = f"train {shared} --fold 0,1 --features memory --checkpoint {folder}/fold{{fold}}.pt"
    compare = f"compare {shared} --fold 0,1 --train --episodes 4 --method local --cache {folder}/c"
    said = []
    for port, command in zip(ports, (train, compare), strict=True):
        os.environ["MASTER_PORT"] = str(port)
        path = folder / f"said_{local}.txt"
        with (
            path.open("w") as file,
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
        ):
            main(command.split())
        said.append(path.read_text())
    return said


def _as_one_of(local: int, port: int, ports: list[int], root, folder) -> None:
    """All that two processes are asked to do, in one of them."""
    log = (folder / "warnings.txt").open("a")
    warnings.showwarning = lambda *given: log.write(f"{given[0]}\n")
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "RANK": str(local),
        "LOCAL_RANK": str(local),
    }
    with processes("cpu"):
        done: dict = {
            "mean": train(root, with_losses("mean"), folder / "cache", folder / "log.jsonl"),
            "sum": train(root, with_losses("sum")),
            "half": train(root, replace(CONFIG, precision="bfloat16")),
            "norm": normalised(X, WEIGHT),
        }
        state = folder / "run.state"
        try:
            train(root, CONFIG, on_step=stop, state=state)
        except Stop:
            done["resumed"] = train(root, CONFIG, state=state)
        data = VocFolder.open(root)
        names = list(data.names("val")[:5])
        model = tiny_model()
        cache = FeatureCache(model, data, names, flips=True, progress=False)
        done["memory"] = [cache.support_features(names), cache.masks(names, [1] * 5)]
        done["passes"] = len(model.backbone.seen)
        torch.manual_seed(0)
        scored = evaluate({"LTM": tiny_model()}, data, 0, SCORED, progress=False).as_dict()
        done["scores"] = json.dumps(scored["scores"])
        command = ["evaluate", "--data", str(root), "--episodes", "8", "--seed", "0"]
        command += ["--cache", str(folder / "scored"), "--json", str(folder / f"{local}.json")]
        done["status"] = main(command)
        try:
            train(root, replace(CONFIG, batch=3))
        except InputError as error:
            done["refused"] = str(error)
    done["said"] = said_by_commands(local, ports, folder)
    torch.save(done, folder / f"{local}.pt")


@pytest.fixture(scope="module")
def two(tiny, tmp_path_factory):
    """What each of two processes has done, and the folder that they did it in."""
    folder = tmp_path_factory.mktemp("two")
    partly = write_voc(folder / "partly", train=4)
    (partly / "classes.txt").unlink()
    (partly / "JPEGImages" / "train_disc_0.jpg").unlink()
    (partly / "JPEGImages" / "val_disc_0.jpg").unlink()
    list_of_all = partly / "ImageSets/Segmentation/train.txt"
    novel = [n for n in list_of_all.read_text().split() if n.split("_")[1] in CLASSES[:5]]
    list_of_all.write_text("\n".join(novel))
    ports = [free_port() for _ in range(2)]
    mp.spawn(_as_one_of, (free_port(), ports, tiny.root, folder), nprocs=2)
    return [torch.load(folder / f"{i}.pt", weights_only=True) for i in range(2)], folder


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_two_processes_train_what_one_trains_on_the_joined_batch(tiny, two, reduction):
    one = train(tiny.root, with_losses(reduction))
    first, second = (done[reduction] for done in two[0])
    for name, value in first["state"].items():
        assert torch.equal(value, second["state"][name]), name
        # A bias before a BatchNorm has no gradient but rounding, which Adam makes large.
        if name.endswith("weight"):
            torch.testing.assert_close(value, one["state"][name], atol=1e-4, rtol=1e-3)
    # L and its terms are those of the joined batch.
    np.testing.assert_allclose(first["rows"], one["rows"], rtol=1e-5)


def test_two_processes_that_were_stopped_go_on(two):
    whole, resumed = (two[0][0][run] for run in ("mean", "resumed"))
    assert resumed["rows"] == whole["rows"]
    assert all(torch.equal(v, resumed["state"][k]) for k, v in whole["state"].items())


def test_two_processes_train_in_half_precision_as_one_does(tiny, two):
    one = train(tiny.root, replace(CONFIG, precision="bfloat16"))
    ours, joined = (np.array(run["rows"])[:, 0] for run in (two[0][0]["half"], one))
    np.testing.assert_allclose(ours, joined, rtol=0.02)


def test_two_processes_warn_of_nothing(two):
    assert not (two[1] / "warnings.txt").read_text()


def test_only_the_first_process_writes_the_log_and_features_are_made_once(two):
    folder = two[1]
    assert len((folder / "log.jsonl").read_text().splitlines()) == CONFIG.steps
    assert len(list((folder / "cache").glob("features-*"))) == 1


def test_features_in_memory_are_computed_by_both_and_held_by_each(tiny, two):
    model = tiny_model()
    names = list(tiny.names("val")[:5])
    one = FeatureCache(model, tiny, names, flips=True, progress=False)
    for done in two[0]:
        torch.testing.assert_close(done["memory"][0], one.support_features(names))
        assert torch.equal(done["memory"][1], one.masks(names, [1] * 5))
    assert [done["passes"] for done in two[0]] == [2, 1]  # three and two pictures, two at once


def test_two_processes_share_the_episodes_and_give_the_scores_of_one(tiny, two):
    torch.manual_seed(0)
    one = evaluate({"LTM": tiny_model()}, tiny, 0, SCORED, progress=False).as_dict()
    scores = [json.loads(done["scores"]) for done in two[0]]
    assert scores[0] == scores[1]
    for ours, theirs in zip(scores[0], one["scores"], strict=True):
        # Convolutions round differently in a batch: a pixel at an edge may change sides.
        assert ours["miou_of_seeds"] == pytest.approx(theirs["miou_of_seeds"], abs=1e-3)
        assert ours["per_class"] == pytest.approx(theirs["per_class"], abs=1e-3)


def test_only_the_first_process_writes_results(two):
    assert [done["status"] for done in two[0]] == [0, 0]
    assert [(two[1] / f"{i}.json").exists() for i in range(2)] == [True, False]


def test_only_the_first_process_says_what_is_wrong_with_the_data_and_shows_bars(two):
    first, second = (done["said"] for done in two[0])
    assert second == ["", ""]
    train, compare = first
    assert "VOC's twenty classes are assumed" in train
    assert "only 19 of the 20 pictures in train are there" in train
    assert "fold 0 is not trained" in train
    assert "training: 100%" in compare
    assert "fold 0 is not compared" in compare


def test_a_batch_that_two_cannot_share_is_refused(two):
    for done in two[0]:
        assert "batch 3 cannot be shared by 2 processes" in done["refused"]


def test_batch_norm_sees_the_batches_of_all_processes(two):
    one = normalised(X, WEIGHT)
    first, second = (done["norm"] for done in two[0])
    for name in ("out", "grad"):
        joined = torch.stack([first[name], second[name]], dim=1).flatten(0, 1)
        torch.testing.assert_close(joined, one[name], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(first["weight"] + second["weight"], one["weight"])
    for name in ("mean", "var"):
        torch.testing.assert_close(first[name], one[name])


def test_alone_there_is_nothing_to_share():
    with processes("cpu") as device:
        assert (device.type, world(), rank()) == ("cpu", 1, 0)
    x = torch.ones(3)
    assert summed(x) is x
    assert own_part([1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_is_one_line(device):
    with (
        pytest.raises(InputError, match=f"device {device} cannot be used here"),
        processes(device),
    ):
        pass


# Faster ways to the same weights


def weights_after(tiny, config=CONFIG, **machine) -> dict:
    torch.manual_seed(0)
    model = tiny_model()
    fit(model, tiny, 0, config, progress=False, machine=Machine(**machine))
    return model.trainable_state()


@pytest.mark.parametrize(
    "machine", [{"workers": 1}, {"workers": 2}, {"features_on_device": True}], ids=str
)
def test_how_batches_are_gathered_changes_no_weight(tiny, machine):
    plain, other = weights_after(tiny), weights_after(tiny, **machine)
    assert all(torch.equal(plain[k], other[k]) for k in plain)


def test_half_precision_trains_nearly_the_same_and_the_equations_stay_float32(tiny):
    plain = weights_after(tiny)
    half = weights_after(tiny, replace(CONFIG, precision="bfloat16"))
    assert all(v.dtype == plain[k].dtype for k, v in half.items())
    assert any(not torch.equal(half[k], plain[k]) for k in plain)
    torch.testing.assert_close(half["T_e.weight"], plain["T_e.weight"], atol=0.02, rtol=0.02)
    model = tiny_model()
    model.upsam.register_forward_hook(lambda m, args, out: seen.append(out.dtype))
    seen = []
    with torch.autocast("cpu", torch.bfloat16):
        out = model(torch.rand(1, 1, 3, 97, 97), torch.ones(1, 1, 97, 97), torch.rand(1, 3, 97, 97))
    assert seen == [torch.bfloat16]
    assert {t.dtype for t in out} == {torch.float32}


def test_features_in_half_precision_take_half_the_room(tiny, tmp_path):
    model = tiny_model()
    full, half = (
        FeatureCache(model, tiny, tiny.names("val"), folder=tmp_path, progress=False, half=h)
        for h in (False, True)
    )
    assert half.nbytes == full.nbytes // 2
    names = list(full.names[:3])
    torch.testing.assert_close(
        half.support_features(names).float(), full.support_features(names), atol=1e-3, rtol=1e-3
    )


def test_features_that_the_disk_cannot_take_are_refused_before_they_are_made(
    tiny, tmp_path, monkeypatch
):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(
        InputError, match=r"features-\w+ needs .* and its disk has 1\.0 kB free: name another"
    ):
        FeatureCache(tiny_model(), tiny, tiny.names("val"), folder=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_bar_says_what_the_features_will_take(tiny, capsys):
    FeatureCache(tiny_model(), tiny, tiny.names("val"))
    assert "features, 0.00 GB: " in capsys.readouterr().err


def test_workers_cannot_gather_from_a_device():
    with pytest.raises(InputError, match="features_on_device"):
        Machine(workers=1, features_on_device=True)
