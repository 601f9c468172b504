"""Frozen features, and an evaluation as public code does it, against ours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbones import EfficientNetLite0, join_maps
from ..datasets.voc import VocFolder
from ..episodes import Episode, EpisodeList, Protocol, draw_episodes, find_pairs, novel_classes
from ..evaluation import draw_lists, evaluate
from ..features.cache import BATCH, FeatureCache
from ..geometry import image_tensor, resize_logits, resize_mask
from ..model import LTM
from ..scores import IoUCounter, score_of
from ..store.pictures import VOID
from .measuring import Row, compare, relative_difference, seconds_of


def features_row(count: int, size: int, repeats: int = 3) -> Row:
    """Features of pictures one by one with BatchNorm in place, against folded ones in batches.

    The plain way keeps the memory layout of images; ours is what `FeatureCache` does.
    """
    plain, ours = EfficientNetLite0(folded=False), EfficientNetLite0()
    plain.net.to(memory_format=torch.contiguous_format)
    images = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def one_by_one() -> Tensor:
        features = []
        for image in images.split(1):
            maps = plain.net.forward_intermediates(
                plain.normalise(image), indices=plain.indices, intermediates_only=True
            )
            grid = maps[0].shape[-2:]
            maps = [F.interpolate(m, grid, mode="bilinear", align_corners=True) for m in maps]
            features.append(join_maps(maps))
        return torch.cat(features)

    @torch.inference_mode()
    def in_batches() -> Tensor:
        return torch.cat([ours(part) for part in images.split(BATCH)])

    case, sizes = f"features of {count} images, {size} px", {"images": count, "size": size}
    row = compare("features", case, (one_by_one, in_batches), repeats, sizes=sizes)
    return replace(row, note=f"{count / row.our_seconds:.1f} images a second")


def evaluation_row(
    model: LTM, dataset: VocFolder, episodes: int, measured: int, split: str = "val"
) -> Row:
    """Score fold 0's episodes as public code does, each by itself, against `evaluate`.

    The public way opens, resizes and embeds every support and query of every episode. It is timed
    on `measured` episodes, half of them before ours and half after, and scaled up to all; ours runs
    whole, from reading the masks for the list of episodes to the table.
    """
    pairs = find_pairs(dataset.index(split), novel_classes(0, len(dataset.classes)))
    measured = min(measured, episodes)
    some = draw_episodes(pairs, 1, measured, 0).episodes
    one_by_one(model, dataset, some[:1], IoUCounter())  # warm-up
    counter = IoUCounter()

    def ours(count: int) -> dict[str, float]:
        rules = Protocol(episodes=count, seeds=(0,))
        unread = replace(dataset)  # its masks are not counted yet
        results = evaluate({"LTM": model}, unread, 0, rules, split, progress=False)
        return results.scores[0].per_class

    times = one_by_one(model, dataset, some[: measured // 2], counter)
    seconds = seconds_of(lambda: ours(episodes))
    times += one_by_one(model, dataset, some[measured // 2 :], counter)
    plain, found = score_of("", [counter], dataset.classes).per_class, ours(measured)
    pictures = len(draw_episodes(pairs, 1, episodes, 0).names())
    return Row(
        "evaluation",
        f"{episodes:,} episodes, {pictures} pictures",
        statistics.median(times) * episodes,
        seconds,
        max(abs(plain[name] - iou) for name, iou in found.items()),
        sizes={"episodes": episodes, "pictures": pictures, "measured": measured},
        note=f"plain: median of {measured} episodes x {episodes:,}; differ: a class's IoU",
    )


def one_by_one(
    model: LTM, dataset: VocFolder, episodes: Sequence[Episode], counter: IoUCounter
) -> list[float]:
    """Score episodes with nothing kept from one to the next, and give the seconds of each."""
    times = []
    was_training = model.training
    model.eval()
    for e in episodes:
        started = time.perf_counter()
        pixels, labels, truth = read_episode(dataset, e, model.config.image_size)
        with torch.inference_mode():
            M = model(pixels[None, :-1], (labels[None, :-1] == 1).float(), pixels[-1:]).M
        _count(counter, M, truth, e.class_id)
        times.append(time.perf_counter() - started)
    model.train(was_training)
    return times


def seeds_row(
    model: LTM, dataset: VocFolder, episodes: int, pictures: int, split: str = "val"
) -> Row:
    """Score fold 0's episodes of five seeds, each list by itself, against one `evaluate` for all.

    The plain way computes a new cache of features for each list, with BatchNorm in place, and then
    every episode, one after the other; ours computes each distinct picture and each distinct
    episode once. Both have the lists. The first two seeds of the plain way run before ours, the
    others after it. The episodes come from the first `pictures` that show a novel class.
    """
    pairs = find_pairs(dataset.index(split), novel_classes(0, len(dataset.classes)))
    names = tuple(dict.fromkeys(name for name, _ in pairs))[:pictures]
    some = replace(dataset, splits={split: names})
    rules = Protocol(episodes=episodes, seeds=(0, 1, 2, 3, 4))
    lists = draw_lists(some, 0, rules, split)
    plain = deepcopy(model).eval()
    if isinstance(plain.backbone, EfficientNetLite0):
        plain.backbone = EfficientNetLite0(model.config.stages, folded=False)
    one_list(plain, some, EpisodeList(lists[0].episodes[:1], 0))  # warm-up
    counters, scores = [], []

    def each_by_itself(part: Sequence[EpisodeList]) -> None:
        counters.extend(one_list(plain, some, drawn) for drawn in part)

    def together() -> None:
        options = {"progress": False, "episode_lists": lists}
        unread = replace(some)  # its masks are not counted yet
        scores.append(evaluate({"LTM": model}, unread, 0, rules, split, **options).scores[0])

    seconds = seconds_of(lambda: each_by_itself(lists[:2]))
    our_seconds = seconds_of(together)
    seconds += seconds_of(lambda: each_by_itself(lists[2:]))
    scores.insert(0, score_of("plain", counters, dataset.classes))
    values = (torch.tensor([*s.miou_of_seeds, *s.per_class.values()]) for s in scores)
    distinct = len({e for drawn in lists for e in drawn})
    used = len({name for drawn in lists for name in drawn.names()})
    sizes = {"seeds": len(lists), "episodes": episodes, "pictures": used, "distinct": distinct}
    return Row(
        "evaluation",
        f"{len(lists)} seeds x {episodes:,} episodes, {used} pictures",
        seconds,
        our_seconds,
        relative_difference(*values),
        sizes=sizes,
        note=f"{distinct:,} distinct episodes; differ: a seed's mIoU or a class's IoU",
    )


def one_list(model: LTM, dataset: VocFolder, episodes: EpisodeList) -> IoUCounter:
    """Score a list with a cache of features of its own, one episode after the other."""
    cache = FeatureCache(model, dataset, episodes.names(), progress=False)
    counter = IoUCounter()
    for e in episodes:
        masks = cache.masks(e.supports, [e.class_id] * len(e.supports))
        F_q, F_s = cache.features([e.query]), cache.support_features(e.supports)[None]
        with torch.inference_mode():
            size = (cache.size, cache.size)
            M = model.forward_features(F_q, F_s, cache.grid_masks(masks)[None], size).M
        _count(counter, M, _truth(dataset.mask(e.query), e.class_id), e.class_id)
    return counter


def read_episode(dataset: VocFolder, e: Episode, size: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Pixels (K + 1, 3, H, W) and truth (K + 1, H, W), the query last; its truth at full size."""
    pairs = [dataset.pair(name) for name in (*e.supports, e.query)]
    truths = [_truth(mask, e.class_id) for _, mask in pairs]
    labels = np.stack([resize_mask(truth, size) for truth in truths])
    pixels = torch.stack([image_tensor(image, size) for image, _ in pairs])
    return pixels, torch.from_numpy(labels), truths[-1]


def _truth(mask: np.ndarray, class_id: int) -> np.ndarray:
    return np.where(mask == VOID, VOID, mask == class_id).astype(np.uint8)


def _count(counter: IoUCounter, M: Tensor, truth: np.ndarray, class_id: int) -> None:
    logits = resize_logits(M, truth.shape)[0]
    counter.add((logits[1] > logits[0]).numpy(), truth, class_id)
