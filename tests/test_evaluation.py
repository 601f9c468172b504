"""Scores: counted as plain loops count, at the pictures' own size, with their protocol."""

import json
import math
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import TinyBackbone, tiny_model
from PIL import Image

from ltm_edu import evaluation
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import (
    Episode,
    EpisodeList,
    Protocol,
    draw_episodes,
    find_pairs,
    novel_classes,
)
from ltm_edu.evaluation import evaluate, score_model
from ltm_edu.features.cache import FeatureCache
from ltm_edu.geometry import image_tensor, resize_logits
from ltm_edu.model import LTM, TrainingFreeMap
from ltm_edu.scores import (
    METRICS,
    IoUCounter,
    iou,
    load_results,
    mean_over_folds,
    save_results,
)
from ltm_edu.store.errors import InputError

PROTOCOL = Protocol(episodes=8, seeds=(0,))


def free(**options: object) -> TrainingFreeMap:
    threshold = options.pop("threshold", 0.5)
    return TrainingFreeMap(tiny_model(**options).config, TinyBackbone(), threshold)


def score(data: VocFolder, fold: int = 0, models: dict | None = None, **options: object) -> dict:
    """Rows of a table by their names."""
    protocol = replace(PROTOCOL, **options)
    models = {"map": free()} if models is None else models
    return {s.method: s for s in evaluate(models, data, fold, protocol, progress=False).scores}


def episodes_of(data: VocFolder, fold: int = 0, shots: int = 1, count: int = 8) -> EpisodeList:
    pairs = find_pairs(data.index("val"), novel_classes(fold, len(data.classes)), "grid")
    return draw_episodes(pairs, shots, count, seed=0)


# Counting


def test_ious_are_those_of_a_loop_over_pixels():
    counter = IoUCounter()
    both, either, back = {}, {}, [0, 0]
    for _ in range(6):
        c = int(torch.randint(1, 4, ()))
        predicted = np.random.rand(7, 5) > 0.5
        truth = np.random.choice([0, 1, 255], (7, 5), p=[0.5, 0.3, 0.2]).astype(np.uint8)
        counter.add(predicted, truth, c)
        for p, t in zip(predicted.ravel(), truth.ravel(), strict=True):
            if t == 255:
                continue
            both[c] = both.get(c, 0) + (p and t == 1)
            either[c] = either.get(c, 0) + (p or t == 1)
            back[0] += (not p) and t == 0
            back[1] += (not p) or t == 0
    ious = {c: both[c] / either[c] for c in sorted(both)}
    assert len(ious) > 1
    assert counter.per_class() == pytest.approx(ious)
    assert counter.miou() == pytest.approx(sum(ious.values()) / len(ious))
    pooled = sum(both.values()) / sum(either.values())
    assert counter.pooled_foreground_iou() == pytest.approx(pooled)
    assert counter.fb_iou() == pytest.approx((pooled + back[0] / back[1]) / 2)


def test_void_never_counts():
    predicted = np.random.rand(20, 20) > 0.5
    truth = np.random.randint(0, 2, (20, 20)).astype(np.uint8)
    truth[5:12] = 255
    first, second = IoUCounter(), IoUCounter()
    first.add(predicted, truth, 1)
    predicted[5:12] ^= True
    second.add(predicted, truth, 1)
    assert first == second


def test_miou_gives_each_class_the_same_say_and_the_pooled_iou_each_pixel():
    counter = IoUCounter()
    counter.add(np.ones((1, 90), bool), np.ones((1, 90), np.uint8), 1)
    counter.add(np.zeros((1, 10), bool), np.ones((1, 10), np.uint8), 2)
    assert counter.miou() == 0.5
    assert counter.pooled_foreground_iou() == 0.9


def test_a_class_is_pooled_over_its_episodes_before_it_is_divided():
    counter = IoUCounter()
    counter.add(np.ones((1, 1), bool), np.ones((1, 1), np.uint8), 1)
    counter.add(np.ones((1, 9), bool), np.zeros((1, 9), np.uint8), 1)
    assert counter.miou() == pytest.approx(1 / 10)


def test_two_empty_masks_agree():
    assert iou(0, 0) == 1
    counter = IoUCounter()
    assert math.isnan(counter.miou())
    counter.add(np.ones((2, 2), bool), np.full((2, 2), 255, np.uint8), 1)
    assert (counter.miou(), counter.fb_iou(), counter.pooled_foreground_iou()) == (1, 1, 1)


def test_a_metric_in_the_table_of_metrics_is_a_column_and_is_stored(tiny, monkeypatch, tmp_path):
    def recall(counter: IoUCounter) -> float:
        return counter.total().both / counter.total().true

    monkeypatch.setitem(METRICS, "recall", recall)
    results = evaluate({"map": free()}, tiny, 0, PROTOCOL, progress=False)
    values = [s.metrics["recall"] for s in results.scores]
    assert values[1:] == [1, 0]  # all foreground, all background
    assert 0 < values[0] < 1
    assert "recall" in results.table().splitlines()[1]
    save_results(tmp_path / "results.json", [results])
    assert load_results(tmp_path / "results.json") == [results]


# A model's score


@pytest.mark.parametrize("shots", [1, 2])
def test_a_score_is_that_of_a_loop_over_episodes_at_the_pictures_own_size(trained, tiny, shots):
    model = trained.model
    both: dict[int, int] = {}
    either: dict[int, int] = {}
    for e in episodes_of(tiny, shots=shots):
        images, masks = [], []
        for name in e.supports:
            with Image.open(tiny.mask_path(name)) as file:
                small = np.array(file.resize((97, 97), Image.Resampling.NEAREST))
            images.append(image_tensor(tiny.image(name), 97))
            masks.append(torch.from_numpy(small == e.class_id).float())
        query = image_tensor(tiny.image(e.query), 97)
        with torch.inference_mode():
            out = model(torch.stack(images)[None], torch.stack(masks)[None], query[None])
        with Image.open(tiny.mask_path(e.query)) as file:
            truth = np.array(file)
        resized = F.interpolate(out.M, truth.shape, mode="bilinear", align_corners=False)[0]
        predicted = (resized[1] > resized[0]).numpy()[truth != 255]
        true = (truth == e.class_id)[truth != 255]
        both[e.class_id] = both.get(e.class_id, 0) + (predicted & true).sum()
        either[e.class_id] = either.get(e.class_id, 0) + (predicted | true).sum()
    found = score(tiny, models={"ours": model}, shots=shots)["ours"]
    expected = {tiny.classes[c - 1]: both[c] / either[c] for c in sorted(both)}
    assert found.per_class == pytest.approx(expected, abs=1e-3)
    assert found.miou == pytest.approx(np.mean(list(expected.values())), abs=1e-3)


def test_the_score_does_not_depend_on_the_batch(trained, tiny, monkeypatch):
    episodes = episodes_of(tiny, shots=2, count=7)
    cache = FeatureCache(trained.model, tiny, episodes.names(), progress=False)
    counters = []
    for batch in (1, 3, 16):
        monkeypatch.setattr(evaluation, "BATCH", batch)
        counters.append(score_model(trained.model, cache, episodes))
    for other in counters[1:]:
        assert other.counts.keys() == counters[0].counts.keys()
        for c in other.counts:
            # A pixel on the very edge may fall to either side of a rounding error.
            assert other.counts[c] == pytest.approx(counters[0].counts[c], abs=3)


@pytest.mark.parametrize("kept", [0, 200_000])
def test_the_score_does_not_depend_on_how_many_embeddings_are_kept(
    trained, tiny, monkeypatch, kept
):
    episodes = episodes_of(tiny, shots=2, count=30)
    cache = FeatureCache(trained.model, tiny, episodes.names(), progress=False)
    whole = score_model(trained.model, cache, episodes)
    calls, embed = [], LTM.embed
    monkeypatch.setattr(LTM, "embed", lambda *given: calls.append(1) or embed(*given))
    assert score_model(trained.model, cache, episodes) == whole
    assert len(calls) == len(episodes.names())
    monkeypatch.setattr(evaluation, "MEMORY", kept)
    assert score_model(trained.model, cache, episodes) == whole
    assert len(calls) > 2 * len(episodes.names())


def test_masks_are_read_and_dropped_in_one_thread_while_others_count(tiny, monkeypatch):
    """Two threads at once would count wrong, or find a mask dropped that was just there."""
    model, episodes = free(), episodes_of(tiny, count=30)
    cache = FeatureCache(model, tiny, episodes.names(), progress=False)
    read, threads = evaluation._TruthReader.__call__, set()

    def watched(reader, name):
        threads.add(threading.current_thread())
        return read(reader, name)

    monkeypatch.setattr(evaluation._TruthReader, "__call__", watched)
    monkeypatch.setattr(evaluation, "MEMORY", 0)
    score_model(model, cache, episodes)
    assert threads == {threading.current_thread()}


def test_scoring_leaves_a_model_in_the_mode_it_was_in(tiny):
    model = tiny_model()
    episodes = episodes_of(tiny)
    cache = FeatureCache(model, tiny, episodes.names(), progress=False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for mode in (True, False):
        model.train(mode)
        score_model(model, cache, episodes)
        assert model.training == mode
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_each_distinct_picture_goes_through_the_backbone_once(tiny):
    maps = {"a": free(), "b": free(rows="fg_bg")}
    score(tiny, models=maps, seeds=(0, 1, 2))
    needed = {n for s in (0, 1, 2) for n in draw(tiny, s).names()}
    assert sum(shape[0] for shape in maps["a"].backbone.seen) == len(needed)
    assert maps["b"].backbone.seen == []


def draw(data: VocFolder, seed: int) -> EpisodeList:
    pairs = find_pairs(data.index("val"), novel_classes(0, 8), "grid")
    return draw_episodes(pairs, 1, 8, seed)


def test_models_that_see_pictures_at_other_sizes_do_not_share_features(tiny):
    small, large = free(), free(image_size=161)
    together = score(tiny, models={"small": small, "large": large})
    assert together["small"].miou == score(tiny, models={"small": free()})["small"].miou
    assert (
        together["large"].miou == score(tiny, models={"large": free(image_size=161)})["large"].miou
    )


def test_a_row_is_the_mean_and_spread_over_the_seeds(tiny):
    seeds = (0, 1, 2)
    one = [score(tiny, seeds=(s,))["map"] for s in seeds]
    together = score(tiny, seeds=seeds)["map"]
    mious = [s.miou for s in one]
    assert together.miou == pytest.approx(np.mean(mious))
    assert together.miou_spread == pytest.approx(np.std(mious))
    assert together.fb_iou == pytest.approx(np.mean([s.fb_iou for s in one]))


def test_two_evaluations_agree_to_the_last_digit(tiny):
    assert score(tiny) == score(tiny)


# Floors


def test_all_foreground_scores_the_objects_share_of_the_counted_area(tiny):
    area: dict[str, list[int]] = {}
    for e in episodes_of(tiny):
        mask = tiny.mask(e.query)
        row = area.setdefault(tiny.classes[e.class_id - 1], [0, 0])
        row[0] += (mask == e.class_id).sum()
        row[1] += (mask != 255).sum()
    rows = score(tiny)
    shares = {c: a / b for c, (a, b) in area.items()}
    assert rows["all foreground"].per_class == pytest.approx(shares)
    assert rows["all foreground"].miou == pytest.approx(np.mean(list(shares.values())))
    assert rows["all background"].miou == 0
    background = 1 - sum(a for a, _ in area.values()) / sum(b for _, b in area.values())
    assert rows["all background"].fb_iou == pytest.approx(background / 2)


def test_a_map_cut_at_a_senseless_threshold_scores_as_the_floor(tiny):
    rows = score(tiny, models={"all": free(threshold=-1.0), "none": free(threshold=2.0)})
    for ours, floor in (("all", "all foreground"), ("none", "all background")):
        assert rows[ours].per_class == rows[floor].per_class
        assert rows[ours].fb_iou == rows[floor].fb_iou


@pytest.mark.parametrize(
    ("fold", "all_foreground", "all_background"),
    [(0, 0.130, 0.43), (1, 0.245, 0.38), (2, 0.217, 0.39), (3, 0.196, 0.40)],
)
def test_the_floors_of_pascal_5i_are_the_known_ones(
    pascal, pascal_val, monkeypatch, fold, all_foreground, all_background
):
    monkeypatch.setattr(VocFolder, "index", lambda *_: pascal_val)
    rows = score(pascal, fold, models={}, episodes=1000, list_rule="area")
    assert rows["all foreground"].miou == pytest.approx(all_foreground, abs=0.005)
    assert rows["all background"].fb_iou == pytest.approx(all_background, abs=0.01)


# Results


def test_a_table_says_what_it_was_scored_by(tiny):
    results = evaluate({"map": free()}, tiny, 1, PROTOCOL, progress=False)
    head, *_ = table = results.table().splitlines()
    assert str(PROTOCOL) in head
    assert "fold 1" in head
    assert "tiny (val)" in head
    (row,) = (line for line in table if line.startswith("map") and "tile" not in line)
    s = results.scores[0]
    miou, *others = (f"{v:.3f}" for v in (s.miou, s.fb_iou, s.pooled_foreground_iou))
    assert row.split()[1:] == [miou, "-", *others]  # one seed has no spread
    assert any("square" in line and "tile" in line for line in table)


def test_the_mean_over_folds_is_the_mean_of_each_rows_scores(tiny):
    folds = [evaluate({"map": free()}, tiny, f, PROTOCOL, progress=False) for f in range(4)]
    mean = mean_over_folds(folds)
    assert mean.fold == "mean"
    assert "mean of the four folds" in mean.table()
    for i, row in enumerate(mean.scores):
        each = [f.scores[i] for f in folds]
        assert row.miou == pytest.approx(sum(s.miou for s in each) / 4)
        assert row.fb_iou == pytest.approx(sum(s.fb_iou for s in each) / 4)
        assert set(row.per_class) == set(tiny.classes)
    assert len({f.scores[0].miou for f in folds}) == 4


def test_the_spread_of_the_mean_is_over_the_seeds_of_the_mean(tiny):
    protocol = Protocol(episodes=4, seeds=(0, 1, 2))
    folds = [evaluate({"map": free()}, tiny, f, protocol, progress=False) for f in range(4)]
    (row,) = (s for s in mean_over_folds(folds).scores if s.method == "map")
    each = np.array([f.scores[0].miou_of_seeds for f in folds])
    assert each.shape == (4, 3)
    np.testing.assert_allclose(row.miou_of_seeds, each.mean(axis=0))
    assert row.miou_spread == pytest.approx(each.mean(axis=0).std())
    assert row.miou_spread < each.std(axis=1).mean()  # folds make up for each other
    for fold, of_seeds in zip(folds, each, strict=True):
        assert fold.scores[0].miou == pytest.approx(of_seeds.mean())
        assert fold.scores[0].miou_spread == pytest.approx(of_seeds.std())


def test_results_are_written_with_their_protocol(tiny, tmp_path):
    results = evaluate({"map": free()}, tiny, 0, PROTOCOL, name="mine", progress=False)
    save_results(tmp_path / "new" / "r.json", [results])
    (found,) = json.loads((tmp_path / "new" / "r.json").read_text())
    assert Protocol.from_dict(found["protocol"]) == PROTOCOL
    assert (found["dataset"], found["split"], found["fold"]) == ("mine", "val", 0)
    assert [s["method"] for s in found["scores"]] == ["map", "all foreground", "all background"]
    assert found["scores"][0]["miou"] == results.scores[0].miou


def test_classes_are_asked_for_by_the_fold_and_pictures_by_the_split(tiny):
    for fold, names in ((0, {"disc", "coin"}), (3, {"wall", "beam"})):
        assert set(score(tiny, fold)["all foreground"].per_class) == names
    on_val, on_all = (
        evaluate({}, tiny, 0, PROTOCOL, split=s, progress=False).scores[0] for s in ("val", "all")
    )
    assert on_val.miou != on_all.miou


def test_more_shots_than_pictures_are_refused(tiny):
    with pytest.raises(InputError, match=r"no episode with 4 shots .* most that a class has is 4"):
        score(tiny, shots=4)


def test_a_fold_over_3_is_refused(tiny):
    with pytest.raises(InputError, match="fold 4"):
        score(tiny, 4)


def test_a_list_without_the_class_is_refused(voc):
    names = [n for n in VocFolder.open(voc).names("val") if "square" in n]
    (voc / "ImageSets/Segmentation/val.txt").write_text("\n".join(names))
    with pytest.raises(InputError, match="no episode with 1 shots"):
        score(VocFolder.open(voc))


def test_a_trained_model_and_the_map_of_its_features_share_a_cache(lite0, tiny):
    model = LTM.small(lite0, image_size=97, features=8, widths=(8, 4, 4)).eval()
    calls = []
    hook = lite0.register_forward_hook(lambda _m, given, _out: calls.extend(given[0]))
    models = {"trained": model, "map": TrainingFreeMap(model.config, lite0)}
    score(tiny, models=models)
    hook.remove()
    assert len(calls) == len(draw(tiny, 0).names())


def test_a_query_at_several_scales_is_a_row_and_costs_each_scale_once(trained, tiny):
    one = trained.model
    several = one.at_query_scales((0.7, 1.0, 1.3))
    calls = []
    hook = one.backbone.register_forward_hook(lambda _m, given, _out: calls.extend(given[0]))
    both = score(tiny, models={"one": one, "several": several})
    hook.remove()
    assert len(calls) == 3 * len(draw(tiny, 0).names())
    assert both["one"] == score(tiny, models={"one": one})["one"]
    assert both["several"] == score(tiny, models={"several": several})["several"]
    assert both["one"].miou != both["several"].miou
    assert one.config.query_scales == (1.0,)


def test_a_map_of_features_in_half_precision_scores_as_it_does_in_full(tiny):
    model, episodes = free(), episodes_of(tiny)
    full, half = (
        FeatureCache(model, tiny, episodes.names(), progress=False, half=h) for h in (False, True)
    )
    assert half.features(episodes.names()[:1])[0].dtype == torch.float16
    scores = [score_model(model, cache, episodes).miou() for cache in (full, half)]
    assert scores[1] == pytest.approx(scores[0], abs=0.01)
    F_q, F_s = half.features(["val_disc_0"]), half.support_features(["val_disc_1"])[None]
    M = model.forward_features(F_q, F_s, torch.ones(1, 1, 1, *F_s.shape[3:]), (97, 97)).M
    assert M.dtype == torch.float32


@pytest.mark.parametrize(("shots", "map_weight"), [(1, 0.0), (2, 0.0), (2, 4.0)])
def test_scoring_with_each_picture_once_is_scoring_every_episode_by_itself(
    trained, tiny, shots, map_weight
):
    model, episodes = trained.model.at_map_weight(map_weight), episodes_of(tiny, shots=shots)
    cache = FeatureCache(model, tiny, episodes.names(), progress=False)
    plain = IoUCounter()
    for e in episodes:
        images = torch.stack([image_tensor(tiny.image(n), 97) for n in e.supports])[None]
        G_s = cache.masks(list(e.supports), [e.class_id] * shots)
        query = image_tensor(tiny.image(e.query), 97)[None]
        with torch.inference_mode():
            M = model(images, (G_s == 1).float()[None], query).M
        truth = tiny.mask(e.query)
        logits = resize_logits(M, truth.shape)[0]
        asked = np.where(truth == 255, 255, truth == e.class_id).astype(np.uint8)
        plain.add((logits[1] > logits[0]).numpy(), asked, e.class_id)
    assert score_model(model, cache, episodes).miou() == pytest.approx(plain.miou(), abs=1e-3)
    assert plain.miou() > 0.2


def test_objects_of_void_ids_do_not_count_in_scores(voc):
    """A query of two objects, one of them of the void class: found or not, it is not counted."""
    data = VocFolder.open(voc)
    name, support = [n for n in data.names("val") if data.classes[0] in n][:2]
    mask = data.mask(name)
    mask[:40] = 2
    Image.fromarray(mask).save(data.mask_path(name))
    data = VocFolder.open(voc)
    everything = TrainingFreeMap(tiny_model().config, TinyBackbone(), threshold=-1)
    episode = Episode(1, name, (support,))
    counted = []
    for ids in ((), (2,)):
        cache = FeatureCache(everything, data, [name, support], progress=False, void_ids=ids)
        counted.append(score_model(everything, cache, [episode]).total())
    plain, void = counted
    assert plain.both == void.both == (mask == 1).sum()
    assert plain.either == (mask != 255).sum()
    assert void.either == ((mask != 255) & (mask != 2)).sum()


# Shared work


def test_two_backbones_do_not_share_a_cache(tiny, tmp_path):
    one, other = free(), free()
    with torch.no_grad():
        other.backbone.conv.weight.copy_(torch.randn_like(other.backbone.conv.weight))
    alone = score(tiny, models={"B": other})["B"]
    for folder in (None, tmp_path):
        results = evaluate(
            {"A": one, "B": other}, tiny, 0, PROTOCOL, cache_folder=folder, progress=False
        )
        assert results.scores[1].per_class == alone.per_class
        assert results.scores[0].per_class != alone.per_class


def test_seeds_share_embeddings_and_masks(trained, tiny, monkeypatch):
    embedded, masks = Counter(), Counter()
    embed, mask = LTM.embed, VocFolder.mask
    monkeypatch.setattr(
        LTM, "embed", lambda self, F_q, F_s: embedded.update([len(F_s)]) or embed(self, F_q, F_s)
    )
    monkeypatch.setattr(VocFolder, "mask", lambda self, n: masks.update([n]) or mask(self, n))
    seeds = (0, 1, 2, 3, 4)
    index = tiny.index("val")
    monkeypatch.setattr(VocFolder, "index", lambda self, split: index)
    masks.clear()
    evaluate(
        {"LTM": trained.model, "map": free()},
        tiny,
        0,
        replace(PROTOCOL, seeds=seeds),
        progress=False,
    )
    names = {n for seed in seeds for n in draw(tiny, seed).names()}
    assert embedded.total() == len(names)
    # Once for each of the two caches of features, once as the truth.
    assert max(masks.values()) <= 3


def test_an_episode_of_several_lists_is_computed_once(tiny, monkeypatch):
    one = draw(tiny, 0)
    twice = EpisodeList(one.episodes, 1)
    decoded = []
    plain = TrainingFreeMap.decode
    monkeypatch.setattr(
        TrainingFreeMap, "decode", lambda self, *a: decoded.append(len(a[1])) or plain(self, *a)
    )
    protocol = replace(PROTOCOL, seeds=(0, 1))
    results = evaluate(
        {"map": free()}, tiny, 0, protocol, progress=False, episode_lists=[one, twice]
    )
    assert sum(decoded) == len(set(one.episodes))
    assert results.scores[0].miou_spread is None  # both seeds ask the same
    assert results.scores[0].miou == score(tiny)["map"].miou
