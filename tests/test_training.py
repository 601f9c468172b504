"""fit(): it learns, repeats itself, leaves the backbone alone, and never sees a novel class."""

import json
import math
import shutil
from dataclasses import replace
from functools import partialmethod
from typing import get_args

import numpy as np
import pytest
import torch
from helpers import tiny_model
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import (
    Fold,
    NovelImages,
    Protocol,
    base_classes,
    class_roles,
    draw_episodes,
    find_pairs,
    novel_classes,
)
from ltm_edu.equations import attention_from_embeddings, without_value_checks
from ltm_edu.evaluation import evaluate, score_model
from ltm_edu.features.batches import Batch, load_batches
from ltm_edu.features.cache import FeatureCache
from ltm_edu.geometry import image_tensor
from ltm_edu.model import LTM, TrainingFreeMap
from ltm_edu.runs.settings import Machine, TrainingConfig
from ltm_edu.store.errors import InputError
from ltm_edu.store.pictures import VOID
from ltm_edu.training import Fitted, Update, fit
from ltm_edu.transformations import TRANSFORMATIONS, Transformation

SHORT = TrainingConfig(steps=4, batch=2, held_out=2, checks=2, check_episodes=4)


def started(**options: object) -> LTM:
    """A model that starts from the same weights every time."""
    torch.manual_seed(0)
    return tiny_model(**options)


def run(model: LTM, data: VocFolder, fold: Fold = 0, **options: object) -> Fitted:
    names = {k: options.pop(k) for k in list(options) if k in TrainingConfig.__annotations__}
    return fit(model, data, fold, replace(SHORT, **names), progress=False, **options)


def weights(model: LTM) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def asked(monkeypatch) -> dict[bool, list[tuple[str, int]]]:
    """(picture, class) of every mask asked for, by whether gradients are kept."""
    found: dict[bool, list[tuple[str, int]]] = {True: [], False: []}
    plain = FeatureCache.masks

    def masks(self, names, class_ids, flips=None):
        found[not torch.is_inference_mode_enabled()] += zip(names, class_ids, strict=True)
        return plain(self, names, class_ids, flips)

    monkeypatch.setattr(FeatureCache, "masks", masks)
    return found


# It learns


def test_every_term_of_the_loss_falls(trained):
    rows = trained.fitted.history
    for term in ("L", "L_m", "L_a", "L_r"):
        values = [row[term] for row in rows]
        assert np.mean(values[-10:]) < 0.9 * np.mean(values[:5]), term


def test_what_it_learns_on_base_classes_finds_novel_ones(trained, tiny):
    free = TrainingFreeMap(trained.model.config, trained.model.backbone)
    models = {"trained": trained.model, "free": free}
    results = evaluate(models, tiny, 0, Protocol(episodes=8, seeds=(0,)), progress=False)
    score = {s.method: s.miou for s in results.scores}
    assert score["trained"] > score["free"] + 0.05
    assert score["trained"] > score["all foreground"] + 0.2


@pytest.mark.parametrize(
    "options",
    [
        {"rows": "fg_bg"},
        {"shots": "stack"},
        {"transformation": "global"},
        {"query_scales": (0.7, 1.0, 1.3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("K", [1, 2])
def test_every_kind_of_model_trains_with_any_number_of_shots(tiny, options, K):
    model = started(**options)
    before = weights(model)
    fitted = run(model, tiny, protocol=Protocol(shots=K), steps=2)
    after = weights(model)
    for part in ("T_e.weight", "T_f.weight", "upsam.res0.conv1.weight", "upsam.up4.conv.weight"):
        assert not torch.equal(after[part], before[part])
    assert all(math.isfinite(row["L"]) for row in fitted.history)


def test_L_is_the_weighted_sum_of_its_terms_at_every_step(trained):
    for row in trained.fitted.history:
        assert row["L"] == pytest.approx(row["L_m"] + row["L_a"] + row["L_r"], rel=1e-4)


# It repeats itself


def test_two_runs_end_with_the_same_weights(tiny):
    first, second = started(), started()
    torch.manual_seed(1)
    a = run(first, tiny)
    torch.manual_seed(2)  # what was drawn before does not matter
    np.random.seed(2)
    b = run(second, tiny)
    assert same(weights(first), weights(second))
    assert [r["L"] for r in a.history] == [r["L"] for r in b.history]


INTO_CPP = (
    pytest.mark.compiler,
    pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler here"),
)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=INTO_CPP)])
def test_a_compiled_update_is_the_plain_one(tiny, backend, monkeypatch):
    """Captured, differentiated and run operation by operation; or, in a minute, made into C++."""
    compiling = partialmethod(nn.Module.compile, backend=backend)
    monkeypatch.setattr(nn.Module, "compile", compiling)
    torch.compiler.reset()
    plain, compiled = started(), started()
    first = run(plain, tiny, held_out=0)
    second = run(compiled, tiny, held_out=0, machine=Machine(compile=True))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    losses = [[row["L"] for row in fitted.history] for fitted in (first, second)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, weight in weights(plain).items():
        if name.endswith("weight"):  # a bias before a BatchNorm moves by nothing but rounding
            torch.testing.assert_close(weight, weights(compiled)[name], rtol=1e-3, atol=1e-4)


def test_another_seed_ends_with_other_weights(tiny):
    first, second = started(), started()
    run(first, tiny)
    run(second, tiny, seed=1)
    assert not same(weights(first), weights(second))


def test_checks_and_bars_do_not_change_what_is_learnt(tiny):
    snapshots: list[dict] = []
    for checks in (1, 4):
        model = started()
        run(
            model,
            tiny,
            checks=checks,
            on_step=lambda s, _, m=model: s == 4 and snapshots.append(weights(m)),
        )
    assert same(*snapshots)


# The backbone


def test_the_backbone_comes_out_bit_for_bit_as_it_went_in(tiny):
    model = started()
    before = weights(model.backbone)
    run(model, tiny)
    assert same(before, weights(model.backbone))
    assert not any(m.training for m in model.modules())


def test_kept_features_are_used_again(tiny, tmp_path):
    first, second = started(), started()
    run(first, tiny, cache_folder=tmp_path)
    second.backbone.seen.clear()
    run(second, tiny, cache_folder=tmp_path)
    assert second.backbone.seen == []
    assert same(weights(first), weights(second))


# What it sees


@pytest.mark.parametrize("fold", [0, 3, ("disc", "mast")])
def test_neither_novel_nor_held_out_classes_are_trained_on(tiny, asked, fold):
    fitted = run(started(), tiny, fold, steps=12, batch=6)
    held_out = {tiny.classes.index(n) + 1 for n in fitted.held_out}
    base = set(class_roles(fold, tiny.classes).base)
    assert len(held_out) == 2
    assert held_out < base
    assert {c for _, c in asked[True]} == base - held_out
    assert {c for _, c in asked[False]} == held_out
    assert fitted.base_classes == tuple(tiny.classes[c - 1] for c in sorted(base))


def test_pictures_of_val_are_never_read(tiny, asked):
    run(started(), tiny, steps=12, batch=6)
    assert {n for n, _ in asked[True] + asked[False]} <= set(tiny.names("train"))


def test_without_a_fold_every_class_trains(tiny, asked):
    fitted = run(started(), tiny, None, steps=20, batch=8, held_out=0)
    assert {c for _, c in asked[True]} == set(range(1, 9))
    assert fitted.base_classes == tiny.classes
    assert fitted.held_out == ()
    assert asked[False] == []


def novel_in_a_corner(voc, side: int) -> tuple[VocFolder, str]:
    """The data with a square of a novel class of fold 0 in a training picture, and its name."""
    data = VocFolder.open(voc)
    shown = next(n for n in data.names("train") if "square" in n)
    mask = data.mask(shown)
    mask[:side, :side] = novel_classes(0, 8)[0]
    Image.fromarray(mask).save(data.mask_path(shown))
    return data, shown


@pytest.mark.parametrize("novel_images", get_args(NovelImages))
def test_a_picture_with_a_novel_class_in_a_corner_is_kept_or_dropped(voc, asked, novel_images):
    data, shown = novel_in_a_corner(voc, side=1)
    run(
        started(),
        data,
        steps=20,
        batch=8,
        held_out=0,
        protocol=Protocol(novel_images=novel_images),
    )
    names = {n for n, _ in asked[True]}
    assert (shown in names) == (novel_images != "drop")
    assert {c for _, c in asked[True]} == set(base_classes(0, 8))


@pytest.mark.parametrize(("novel_images", "label"), [("keep", 0), ("void", VOID)])
def test_novel_objects_are_background_or_void(voc, monkeypatch, novel_images, label):
    data, shown = novel_in_a_corner(voc, side=20)
    truths = []
    plain = Update.__call__

    def update(self, batch):
        truths.extend(Y for Y, n in zip(batch.Y, batch.queries, strict=True) if n == shown)
        return plain(self, batch)

    monkeypatch.setattr(Update, "__call__", update)
    protocol = Protocol(novel_images=novel_images)
    run(started(), data, steps=20, batch=8, held_out=0, flips=False, protocol=protocol)
    assert truths
    for Y in truths:
        assert set(Y[:4, :4].flatten().tolist()) == {label}
        assert (Y == VOID).sum() < 0.2 * Y.numel()
        assert (Y == 1).any()


def test_what_a_void_novel_object_is_does_not_matter(voc):
    """Trained twice, the second time with the object's pixels as 255 in the file itself."""
    data, shown = novel_in_a_corner(voc, side=20)
    protocol = Protocol(novel_images="void")
    first = run(started(), data, held_out=0, protocol=protocol).history
    mask = data.mask(shown)
    mask[mask == novel_classes(0, 8)[0]] = VOID
    Image.fromarray(mask).save(data.mask_path(shown))
    again = run(started(), VocFolder.open(voc), held_out=0, protocol=protocol).history
    assert [r["L"] for r in first] == [r["L"] for r in again]


def test_a_query_is_never_its_own_support(tiny, monkeypatch):
    pairs = []
    plain = FeatureCache.support_features

    def queries(self, names, flips=None):
        pairs.append(list(names))
        return features(self, names, flips)

    def supports(self, names, flips=None):
        pairs.append(list(names))
        return plain(self, names, flips)

    features = FeatureCache.features
    monkeypatch.setattr(FeatureCache, "features", queries)
    monkeypatch.setattr(FeatureCache, "support_features", supports)
    run(started(), tiny, steps=20, batch=4, held_out=0, protocol=Protocol(shots=2))
    assert len(pairs) == 40
    for a, b in zip(pairs[::2], pairs[1::2], strict=True):
        one, two = sorted((a, b), key=len)
        for i, query in enumerate(one):
            assert len({query, *two[2 * i : 2 * i + 2]}) == 3


# What comes out


def test_the_step_is_chosen_on_the_held_out_classes(tiny):
    model, states = started(), {}
    fitted = run(
        model,
        tiny,
        steps=6,
        checks=3,
        learning_rate=0.05,
        on_step=lambda s, _: states.update({s: weights(model)}),
    )
    scores = {r["step"]: r["held_out_miou"] for r in fitted.history if "held_out_miou" in r}
    assert len(scores) == 3
    assert scores[fitted.best_step] == max(scores.values())
    assert same(weights(model), states[fitted.best_step])
    # The score in the history is that of the weights, counted again.
    pairs = find_pairs(tiny.index("train"), [tiny.classes.index(n) + 1 for n in fitted.held_out])
    cache = FeatureCache(model, tiny, [n for n, _ in pairs], progress=False)
    again = score_model(model, cache, draw_episodes(pairs, 1, 4, seed=0))
    assert set(again.per_class()) <= {tiny.classes.index(n) + 1 for n in fitted.held_out}


def test_without_held_out_classes_the_last_step_is_returned(tiny):
    model, states = started(), {}
    fitted = run(model, tiny, held_out=0, on_step=lambda s, _: states.update({s: weights(model)}))
    assert fitted.best_step == 4
    assert not any("held_out_miou" in row for row in fitted.history)
    assert same(weights(model), states[4])


def test_training_takes_the_mean_feature_of_its_own_pictures_out(tiny):
    still = {"learning_rate": 0.0, "embedding_rate": 0.0, "steps": 1, "held_out": 0}
    model, plain = started(), started()
    run(model, tiny, **still)
    run(plain, tiny, **still, centre=False)
    names = [n for n in tiny.names("train") if not n.startswith(("train_disc", "train_coin"))]
    images = torch.stack([image_tensor(tiny.image(n), 97) for n in names])
    with torch.inference_mode():
        mean = model.backbone(images).mean(dim=(0, 2, 3))
    torch.testing.assert_close(model.feature_mean.flatten(), mean, atol=1e-4, rtol=0)
    assert not plain.feature_mean.any()


def test_the_log_has_a_json_object_a_step_as_it_happens(tiny, tmp_path):
    log = tmp_path / "new" / "log.jsonl"
    lengths = []
    fitted = run(
        started(),
        tiny,
        log=log,
        on_step=lambda *_: lengths.append(len(log.read_text().splitlines())),
    )
    assert lengths == [1, 2, 3, 4]
    assert [json.loads(line) for line in log.read_text().splitlines()] == fitted.history
    for step, row in enumerate(fitted.history, 1):
        assert row["step"] == step
        assert row.keys() >= {"L", "L_m", "L_a", "L_r", "seconds"}


# What stops it


def test_a_loss_that_is_not_finite_stops_and_names_the_episodes(tiny, tmp_path):
    model = started()
    torch.nn.init.constant_(model.T_f.bias, float("nan"))
    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"loss is nan on queries .*train_.*") as raised:
        run(model, tiny)
    named = [n for n in tiny.names("train") if f"'{n}'" in str(raised.value)]
    assert len(named) >= 2
    trained_weights = {k: v for k, v in before.items() if k.endswith("conv1.weight")}
    assert same(trained_weights, weights(model))


def test_a_gradient_that_is_not_finite_stops_and_the_state_before_it_is_kept(tiny, tmp_path):
    def spoil(step, row):
        if step == 2:
            model.T_f.weight.register_hook(lambda g: g * math.nan)

    model, machine = started(), Machine(state=tmp_path / "s.state", save_every=1)
    with pytest.raises(FloatingPointError, match=r"gradient.* on queries \['train_.*supports"):
        run(model, tiny, held_out=0, on_step=spoil, machine=machine)
    assert all(w.isfinite().all() for w in weights(model).values())
    again = run(started(), tiny, held_out=0, machine=machine)
    straight = run(started(), tiny, held_out=0)
    assert [r["L"] for r in again.history] == [r["L"] for r in straight.history]


def test_a_gradient_is_clipped_to_the_length_asked_for(tiny):
    def length(clip):
        model = started()
        run(model, tiny, steps=1, held_out=0, clip=clip)
        trained = [p.grad for p in model.parameters() if p.grad is not None]
        return torch.stack([g.norm() for g in trained]).norm().item()

    whole = length(math.inf)
    assert whole > 0.1
    assert length(0.05) == pytest.approx(0.05, rel=1e-3)
    assert length(2 * whole) == pytest.approx(whole, rel=1e-5)


def test_features_that_are_not_finite_stop_and_name_the_episodes(tiny, monkeypatch):
    plain = FeatureCache.features
    monkeypatch.setattr(
        FeatureCache, "features", lambda *given: [math.inf * f for f in plain(*given)]
    )
    with pytest.raises(FloatingPointError, match=r"not finite|hold NaN.* on queries \['train_"):
        run(started(), tiny, held_out=0)


def test_float16_scales_its_loss_and_goes_on_bit_for_bit(tiny, tmp_path, monkeypatch):
    scales = []
    plain = torch.amp.GradScaler.scale
    monkeypatch.setattr(
        torch.amp.GradScaler,
        "scale",
        lambda self, x: (scales.append(self.get_scale()), plain(self, x))[1],
    )
    half = {"precision": "float16", "held_out": 0}
    exact, whole = run(started(), tiny, held_out=0), run(started(), tiny, **half)
    assert [r["L"] for r in whole.history] == pytest.approx(
        [r["L"] for r in exact.history], rel=0.05
    )
    assert [r["L"] for r in whole.history] != [r["L"] for r in exact.history]
    assert scales[-1] > 1

    def stop(step, row):
        if step == 3:
            raise KeyboardInterrupt

    machine, again = Machine(state=tmp_path / "s.state", save_every=2), started()
    with pytest.raises(KeyboardInterrupt):
        run(started(), tiny, machine=machine, on_step=stop, **half)
    assert torch.load(machine.state, weights_only=True)["update"]["scaler"]["scale"] > 1
    run(again, tiny, machine=machine, **half)
    straight = started()
    run(straight, tiny, **half)
    assert same(weights(again), weights(straight))


def test_more_shots_than_pictures_are_refused(tiny):
    with pytest.raises(InputError, match=r"no training class with 7 pictures in train\.txt"):
        run(started(), tiny, protocol=Protocol(shots=6))


def test_a_list_without_a_base_class_is_refused(voc):
    names = [n for n in VocFolder.open(voc).names("train") if "disc" in n or "coin" in n]
    (voc / "ImageSets/Segmentation/train.txt").write_text("\n".join(names))
    with pytest.raises(InputError, match="no training class"):
        run(started(), VocFolder.open(voc))


def test_a_fold_over_3_is_refused(tiny):
    with pytest.raises(InputError, match="fold 4"):
        run(started(), tiny, 4)


@pytest.mark.parametrize("name", ["steps", "batch", "checks", "check_episodes"])
def test_a_number_below_1_is_refused(name):
    with pytest.raises(InputError, match=f"{name} is 0"):
        TrainingConfig(**{name: 0})


def test_a_log_that_cannot_be_written_is_named_before_training(tiny, tmp_path):
    (tmp_path / "file").touch()
    steps = []
    with pytest.raises(InputError, match=r"cannot write .*file"):
        run(
            started(), tiny, log=tmp_path / "file" / "log.jsonl", on_step=lambda *_: steps.append(1)
        )
    assert steps == []


def test_an_unreadable_picture_stops_before_training_and_leaves_no_log(voc, tmp_path):
    data = VocFolder.open(voc)
    bad = data.image_path(next(n for n in data.names("train") if "square" in n))
    bad.write_text("no picture")
    with pytest.raises(InputError, match=bad.name):
        run(started(), data, log=tmp_path / "log.jsonl", cache_folder=tmp_path / "cache")
    assert not (tmp_path / "log.jsonl").exists()
    assert [*(tmp_path / "cache").rglob("*")] == []


# What trains


class _Scaled(Transformation):
    """The cosine with the averaged object, times a weight that trains."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(8, 1))

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        return attention_from_embeddings(E_q.flatten(2) * self.weight, E_s, G_s)


def test_a_parameter_of_the_transformation_trains_and_is_saved(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(TRANSFORMATIONS, "scaled", lambda config: _Scaled())
    model = started(transformation="scaled")
    fitted = run(model, tiny, held_out=0)
    assert not torch.equal(model.transformation.weight, torch.ones(8, 1))
    assert "transformation.weight" in model.trainable_state()
    update = Update(model, TrainingConfig(), 8, False)
    grouped = [p for g in update.optimizer.param_groups for p in g["params"]]
    wanted = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in grouped} == {id(p) for p in wanted}
    assert len(grouped) == len(wanted)
    assert fitted.identity.network["transformation"] == "scaled"


class _Reads(TorchDispatchMode):
    """Count how often a value is read from the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_the_loss_of_a_batch_reads_no_value_from_the_device(tiny):
    model = started().train()
    names = list(tiny.names("train"))
    cache = FeatureCache(model, tiny, names[:4], progress=False)
    drawn = Batch([1, 1], names[:2], [[names[2]], [names[3]]], [False] * 2, [[False]] * 2)
    batch = next(load_batches(cache, iter([drawn]), 1))
    update = Update(model, TrainingConfig(batch=2), 8, False)
    with without_value_checks(), _Reads() as reads:
        update.loss(batch)
    assert reads.count == 0
    with _Reads() as reads:
        update.loss(batch)
    assert reads.count > 10  # the equations check what others give them


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("F_s", math.nan, "features hold NaN"),
        ("F_q", math.inf, "features hold NaN or inf"),
        ("G_s", 2.0, r"mask has values outside \[0, 1\]"),
        ("G_q", -1.0, r"mask has values outside \[0, 1\]"),
        ("Y", 7, "labels other than 0, 1 and 255"),
    ],
)
def test_a_batch_is_checked_where_it_enters(tiny, field, value, fault):
    model = started()
    names = list(tiny.names("train"))
    cache = FeatureCache(model, tiny, names[:2], progress=False)
    drawn = Batch([1], names[:1], [[names[1]]], [False], [[False]])
    batch = next(load_batches(cache, iter([drawn]), 1))
    batch.check_values()
    target = batch.F_q[0] if field == "F_q" else getattr(batch, field)
    target.view(-1)[3] = value
    before = weights(model)
    with pytest.raises(FloatingPointError, match=rf"{fault}.*{names[0]}"):
        Update(model, TrainingConfig(batch=1), 8, False)(batch)
    assert same(before, weights(model))
