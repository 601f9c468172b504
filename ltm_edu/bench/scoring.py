"""Frozen features, and an evaluation as public code does it, against ours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbones import EfficientNetLite0, join_maps
from ..datasets.voc import VocFolder
from ..episodes import Episode, Protocol, draw_episodes, find_pairs, novel_classes
from ..evaluation import evaluate
from ..features.cache import BATCH
from ..geometry import image_tensor, resize_logits, resize_mask
from ..model import LTM
from ..scores import IoUCounter
from ..store.pictures import VOID
from .measuring import compare, relative_difference, seconds_of
from .rows import Row


def features_row(count: int, size: int, repeats: int = 3) -> Row:
    """Features of pictures one by one with BatchNorm in place, against folded ones in batches.

    The plain way keeps the memory layout of images; ours is what `FeatureCache` does.
    """
    plain, ours = EfficientNetLite0(folded=False), EfficientNetLite0()
    plain.net.to(memory_format=torch.contiguous_format)
    images = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def one_picture(image: Tensor) -> Tensor:
        maps = plain.net.forward_intermediates(
            plain.normalise(image), indices=plain.indices, intermediates_only=True
        )
        grid = maps[0].shape[-2:]
        return join_maps(
            [F.interpolate(m, grid, mode="bilinear", align_corners=True) for m in maps]
        )

    @torch.inference_mode()
    def in_batches() -> Tensor:
        return torch.cat([ours(part) for part in images.split(BATCH)])

    def one_by_one() -> Tensor:
        return torch.cat([one_picture(image) for image in images.split(1)])

    difference = relative_difference(one_by_one(), in_batches())
    seconds = compare(one_by_one, in_batches, repeats)
    return Row(
        "features",
        f"features of {count} images, {size} px",
        *seconds,
        difference,
        sizes={"images": count, "size": size},
        note=f"{count / seconds[1]:.1f} images a second",
    )


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
    one_by_one(model, dataset, some[:1])  # warm-up
    counter = IoUCounter()

    def ours(count: int) -> dict[str, float]:
        rules = Protocol(episodes=count, seeds=(0,))
        found = evaluate({"LTM": model}, dataset, 0, rules, split, progress=False)
        return found.scores[0].per_class

    times = one_by_one(model, dataset, some[: measured // 2], counter)
    seconds = seconds_of(lambda: ours(episodes))
    times += one_by_one(model, dataset, some[measured // 2 :], counter)
    by_class = {dataset.classes[c - 1]: iou for c, iou in counter.per_class().items()}
    pictures = len(draw_episodes(pairs, 1, episodes, 0).names())
    return Row(
        "evaluation",
        f"{episodes:,} episodes, {pictures} pictures",
        statistics.median(times) * episodes,
        seconds,
        max(abs(by_class[name] - iou) for name, iou in ours(measured).items()),
        sizes={"episodes": episodes, "pictures": pictures, "measured": measured},
        note=f"plain: median of {measured} episodes x {episodes:,}; differ: a class's IoU",
    )


def one_by_one(
    model: LTM, dataset: VocFolder, episodes: Sequence[Episode], counter: IoUCounter | None = None
) -> list[float]:
    """Score episodes with nothing kept from one to the next; add to a counter.

    Returns:
        Seconds, one number an episode.
    """
    counter, times = IoUCounter() if counter is None else counter, []
    was_training = model.training
    model.eval()
    for e in episodes:
        started = time.perf_counter()
        pixels, labels, truth = read_episode(dataset, e, model.config.image_size)
        with torch.inference_mode():
            M = model(pixels[None, :-1], (labels[None, :-1] == 1).float(), pixels[-1:]).M
            logits = resize_logits(M, truth.shape)[0]
        counter.add((logits[1] > logits[0]).numpy(), truth, e.class_id)
        times.append(time.perf_counter() - started)
    model.train(was_training)
    return times


def read_episode(dataset: VocFolder, e: Episode, size: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Pixels (K + 1, 3, H, W) and truth (K + 1, H, W), the query last; its truth at full size."""
    pairs = [dataset.pair(name) for name in (*e.supports, e.query)]
    truths = [np.where(m == VOID, VOID, m == e.class_id).astype(np.uint8) for _, m in pairs]
    labels = np.stack([resize_mask(truth, size) for truth in truths])
    pixels = torch.stack([image_tensor(image, size) for image, _ in pairs])
    return pixels, torch.from_numpy(labels), truths[-1]
