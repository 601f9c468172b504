"""Scores: mIoU, FB-IoU and pooled foreground IoU at the pictures' own size, with their protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from . import refinement
from .datasets.mask_index import cached_index
from .datasets.voc_layout import VOID, VocFolder
from .episodes import EpisodeList, draw_episodes, find_pairs
from .errors import InputError
from .features import FeatureCache
from .geometry import resize_logits
from .model import LTM, Embedded, TrainingFreeMap
from .paths import written_whole
from .protocol import Protocol, novel_classes

Model = LTM | TrainingFreeMap
Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]
_KEPT_BYTES = 1_000_000_000


@dataclass
class IoUCounter:
    """Intersections and unions, pooled over episodes; 255 never counts.

    >>> counter = IoUCounter()
    >>> counter.add(np.array([[1, 1, 0]], bool), np.array([[1, 0, 255]], np.uint8), class_id=3)
    >>> counter.miou(), counter.fb_iou()
    (0.5, 0.25)
    """

    intersection: dict[int, int] = field(default_factory=dict)
    union: dict[int, int] = field(default_factory=dict)
    background: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, predicted: np.ndarray, truth: np.ndarray, class_id: int) -> None:
        """Count one episode.

        Args:
            predicted: (H, W) bool, True where the model sees the object.
            truth: (H, W) uint8 of 0, 1 and 255.
            class_id: the episode's class.
        """
        counted, true = truth != VOID, truth == 1
        both = int(np.count_nonzero(predicted & true))
        n_predicted = int(np.count_nonzero(predicted & counted))
        n_true, n = int(np.count_nonzero(true)), int(np.count_nonzero(counted))
        either = n_predicted + n_true - both
        self.intersection[class_id] = self.intersection.get(class_id, 0) + both
        self.union[class_id] = self.union.get(class_id, 0) + either
        # The background's intersection is what neither claims; its union what not both claim.
        self.background[0] += n - either
        self.background[1] += n - both

    def per_class(self) -> dict[int, float]:
        """IoU of each class over its episodes."""
        return {
            c: self.intersection[c] / self.union[c] if self.union[c] else 0.0
            for c in sorted(self.union)
        }

    def miou(self) -> float:
        """Mean of the classes' IoU: the headline."""
        return float(np.mean(list(self.per_class().values()))) if self.union else 0.0

    def pooled_foreground_iou(self) -> float:
        """Foreground IoU over all episodes as one heap: what LTM's released code calls mIoU."""
        return sum(self.intersection.values()) / max(sum(self.union.values()), 1)

    def fb_iou(self) -> float:
        """Mean of foreground and background IoU on pooled pixels; it flatters."""
        background = self.background[0] / max(self.background[1], 1)
        return (self.pooled_foreground_iou() + background) / 2


@dataclass(frozen=True)
class Score:
    """One row of a table: a method's scores, each with its spread over the episode seeds.

    Attributes:
        method: the row's name.
        miou, miou_spread: mean and standard deviation over the seeds.
        fb_iou: likewise the mean.
        pooled_foreground_iou: likewise the mean.
        per_class: class name to IoU, mean over the seeds.
        miou_of_seeds: mIoU of each episode seed, in the protocol's order.
    """

    method: str
    miou: float
    miou_spread: float
    fb_iou: float
    pooled_foreground_iou: float
    per_class: dict[str, float]
    miou_of_seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Results:
    """Scores of several methods on the same episodes, and what they were scored by.

    Attributes:
        dataset: name of the dataset.
        split: which list of pictures.
        fold: 0 to 3, or "mean" over the four.
        protocol: the rules.
        scores: rows, trained models first.
    """

    dataset: str
    split: str
    fold: int | str
    protocol: Protocol
    scores: tuple[Score, ...]

    def table(self) -> str:
        """The scores as text, protocol first."""
        name = "mean of the four folds" if self.fold == "mean" else f"fold {self.fold}"
        width = max(len(s.method) for s in self.scores)
        lines = [
            f"{self.dataset} ({self.split}), {name}; {self.protocol}",
            f"{'method':{width}}  {'mIoU':>6}  {'+-':>5}  {'FB-IoU':>6}  {'pooled fg':>9}",
        ]
        lines += [
            f"{s.method:{width}}  {s.miou:6.3f}  {s.miou_spread:5.3f}  {s.fb_iou:6.3f}  "
            f"{s.pooled_foreground_iou:9.3f}"
            for s in self.scores
        ]
        classes = list(self.scores[0].per_class)
        lines += ["", "IoU of each class:"]
        lines += [
            f"{s.method:{width}}  " + ", ".join(f"{c} {s.per_class[c]:.3f}" for c in classes)
            for s in self.scores
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict:
        """Plain values, for JSON."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "fold": self.fold,
            "protocol": self.protocol.as_dict(),
            "scores": [vars(s) for s in self.scores],
        }


def save_results(path: str | Path, results: Sequence[Results]) -> None:
    """Write results as JSON, whole or not at all."""
    with written_whole(Path(path)) as part:
        part.write_text(json.dumps([r.as_dict() for r in results], indent=1), encoding="utf-8")


def load_results(path: str | Path) -> list[Results]:
    """The inverse of `save_results`.

    Raises:
        InputError: the file is missing or holds no results.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return [
            Results(
                row["dataset"],
                row["split"],
                row["fold"],
                Protocol(**row["protocol"]),
                tuple(
                    Score(**{**s, "miou_of_seeds": tuple(s["miou_of_seeds"])})
                    for s in row["scores"]
                ),
            )
            for row in found
        ]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f"{path} holds no results: write them with ltm-edu evaluate --json"
        ) from None


def evaluate(
    models: Mapping[str, Model],
    dataset: VocFolder,
    fold: int,
    protocol: Protocol | None = None,
    split: str = "val",
    name: str = "",
    cache_folder: Path | None = None,
    progress: bool = True,
    crf: bool = False,
    episode_lists: Sequence[EpisodeList] | None = None,
) -> Results:
    """Score models and the trivial floors on the same episodes of a fold's novel classes.

    Each distinct picture goes through the backbone once, at each query scale that a model asks for.

    Args:
        models: row name to model.
        dataset: pictures and masks.
        fold: 0 to 3; its novel classes are asked about.
        protocol: the rules; `Protocol()` by default.
        split: the list that queries and supports come from ("all" for every list).
        name: the dataset's name in the table; its folder's name by default.
        cache_folder: where to keep features and what masks hold between runs; None keeps them in
            memory.
        progress: show bars with the time left.
        crf: also score each trained model after DenseCRF and a median filter, in a row of its own.
        episode_lists: the questions, a list for each of the protocol's seeds; drawn by default.

    Returns:
        A row a model, then all-foreground and all-background.

    Raises:
        InputError: too few pictures for the episodes, an unreadable file, no CRF installed, or
            lists that the fold and the protocol do not allow.
    """
    if crf:
        refinement.need_crf()
    protocol = protocol or Protocol()
    lists = episode_lists or draw_lists(dataset, fold, protocol, split, cache_folder)
    _check_lists(lists, dataset, fold, protocol, split)
    names = sorted({n for episodes in lists for n in episodes.names()})
    rows = []
    caches: dict[tuple, FeatureCache] = {}
    for method, model in models.items():
        key = feature_key(model)
        if key not in caches:
            alike = [m for m in models.values() if feature_key(m) == key]
            scales = sorted({1.0, *(x for m in alike for x in m.config.query_scales)})
            caches[key] = FeatureCache(
                model, dataset, names, folder=cache_folder, progress=progress, query_scales=scales
            )
        ways: dict[str, Refine | None] = {method: None}
        if crf and isinstance(model, LTM):
            ways[f"{method} + CRF, median"] = refinement.refine
        for row, way in ways.items():
            counters = [
                score_model(model, caches[key], e, row, progress, refine=way) for e in lists
            ]
            rows.append(_score(row, counters, dataset))
    for method, everywhere in (("all foreground", True), ("all background", False)):
        counters = [_score_constant(everywhere, dataset, e) for e in lists]
        rows.append(_score(method, counters, dataset))
    return Results(name or dataset.root.name, split, fold, protocol, tuple(rows))


def draw_lists(
    dataset: VocFolder,
    fold: int,
    protocol: Protocol,
    split: str = "val",
    cache_folder: Path | None = None,
) -> list[EpisodeList]:
    """The episodes of a fold's novel classes that a protocol asks for, a list for each seed.

    Raises:
        InputError: too few pictures for the episodes, or an unreadable mask.
    """
    novel = novel_classes(fold, len(dataset.classes))
    pairs = find_pairs(cached_index(dataset, split, cache_folder), novel, protocol.list_rule)
    return [draw_episodes(pairs, protocol.shots, protocol.episodes, s) for s in protocol.seeds]


def _check_lists(
    lists: Sequence[EpisodeList], dataset: VocFolder, fold: int, protocol: Protocol, split: str
) -> None:
    """Refuse lists under which the protocol printed beside the scores would not be true."""
    asked = {(len(e), e.seed) for e in lists}
    if asked != {(protocol.episodes, seed) for seed in protocol.seeds}:
        told = " and ".join(f"{n} of seed {seed}" for n, seed in sorted(asked))
        raise InputError(
            f"the lists hold {told} episodes, the protocol asks for {protocol.episodes} of "
            f"seeds {', '.join(map(str, protocol.seeds))}: give the options they were drawn with"
        )
    every = [e for episodes in lists for e in episodes]
    if shots := {len(e.supports) for e in every} - {protocol.shots}:
        raise InputError(f"a list has episodes with {shots.pop()} shots, not {protocol.shots}")
    if others := {e.class_id for e in every} - set(novel_classes(fold, len(dataset.classes))):
        raise InputError(f"a list asks about class {others.pop()}, which fold {fold} does not test")
    there = set(dataset.names(split))
    if missing := {n for e in every for n in (e.query, *e.supports)} - there:
        raise InputError(f"a list names {min(missing)}, which is not in {split}: another dataset?")


def feature_key(model: Model) -> tuple:
    """What a model's features depend on, but for the scale: models of one key share a cache."""
    c = model.config
    return (c.backbone, c.stages, c.image_size)


def score_model(
    model: Model,
    cache: FeatureCache,
    episodes: EpisodeList,
    label: str = "",
    progress: bool = False,
    batch: int = 4,
    refine: Refine | None = None,
) -> IoUCounter:
    """Intersections and unions of one model over a list of episodes.

    Args:
        model: put in eval mode for the time.
        cache: holds every picture of the episodes.
        episodes: the questions.
        label: the bar's name.
        progress: show a bar.
        batch: episodes decoded together; it does not change the score.
        refine: makes the mask (H, W) of the picture (H, W, 3) and the object's probability (H, W);
            without it the object is where it is the likelier of the two.
    """
    counter = IoUCounter()
    device = next(model.parameters()).device
    was_training = model.training
    fast = model.for_inference()
    embedded = _embedder(fast, cache, device)
    truths = _truth_reader(cache.dataset)
    questions = list(episodes)
    bar = tqdm(total=len(questions), desc=label, unit="ep", disable=not progress, leave=False)
    with torch.inference_mode():
        for start in range(0, len(questions), batch):
            part = questions[start : start + batch]
            supports = [n for e in part for n in e.supports]
            K = len(part[0].supports)
            ids = [e.class_id for e in part for _ in range(K)]
            G_s = cache.grid_masks(cache.masks(supports, ids))
            output = fast.forward_embedded(
                embedded([e.query for e in part]),
                embedded(supports),
                G_s.unflatten(0, (-1, K)).to(device),
                (cache.size, cache.size),
            )
            for e, M in zip(part, output.M.float().cpu(), strict=True):
                truth = truths(e.query, e.class_id)
                logits = resize_logits(M[None], truth.shape)[0]
                if refine is None:
                    found = (logits[1] > logits[0]).numpy()
                else:
                    picture = np.asarray(cache.dataset.image(e.query))
                    found = refine(picture, logits.softmax(dim=0)[1].numpy())
                counter.add(found, truth, e.class_id)
            bar.update(len(part))
    bar.close()
    model.train(was_training)
    return counter


def _embedder(
    model: Model, cache: FeatureCache, device: torch.device
) -> Callable[[Sequence[str]], Embedded]:
    """Embed each picture once, as long as what is kept stays under a gigabyte."""

    def embed(name: str) -> Embedded:
        kept = cache.features([name], query_scales=model.config.query_scales)
        F_q = [f.to(device) for f in kept]
        return model.embed(F_q, cache.support_features([name]).to(device))

    with torch.inference_mode():
        each = sum(x.numel() * x.element_size() for x in embed(cache.names[0]))
    kept = lru_cache(maxsize=_KEPT_BYTES // each)(embed)

    def embedded(names: Sequence[str]) -> Embedded:
        rows = [kept(name) for name in names]
        return Embedded(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    return embedded


def mean_over_folds(results: Sequence[Results]) -> Results:
    """The table of the four folds' means, for the methods that all of them hold.

    Its spread is that of the mean over the seeds, not the mean of the folds' spreads.
    """
    first = results[0]
    rows = []
    for score in first.scores:
        same = [s for r in results for s in r.scores if s.method == score.method]
        if len(same) < len(results):
            continue
        of_seeds = np.mean([s.miou_of_seeds for s in same], axis=0)
        rows.append(
            Score(
                score.method,
                float(np.mean(of_seeds)),
                float(np.std(of_seeds)),
                float(np.mean([s.fb_iou for s in same])),
                float(np.mean([s.pooled_foreground_iou for s in same])),
                {c: v for s in same for c, v in s.per_class.items()},
                tuple(of_seeds.tolist()),
            )
        )
    return Results(first.dataset, first.split, "mean", first.protocol, tuple(rows))


def _score(method: str, counters: Sequence[IoUCounter], dataset: VocFolder) -> Score:
    mious = [c.miou() for c in counters]
    each = [c.per_class() for c in counters]
    ids = sorted({c for per_class in each for c in per_class})
    return Score(
        method,
        float(np.mean(mious)),
        float(np.std(mious)),
        float(np.mean([c.fb_iou() for c in counters])),
        float(np.mean([c.pooled_foreground_iou() for c in counters])),
        {dataset.classes[i - 1]: float(np.mean([p[i] for p in each if i in p])) for i in ids},
        tuple(mious),
    )


def _score_constant(everywhere: bool, dataset: VocFolder, episodes: EpisodeList) -> IoUCounter:
    counter = IoUCounter()
    truths = _truth_reader(dataset)
    for e in episodes:
        truth = truths(e.query, e.class_id)
        counter.add(np.full(truth.shape, everywhere), truth, e.class_id)
    return counter


def _truth_reader(dataset: VocFolder) -> Callable[[str, int], np.ndarray]:
    """Read each mask once and compare it with the class asked for."""
    kept: dict[str, np.ndarray] = {}

    def read(name: str, class_id: int) -> np.ndarray:
        if name not in kept:
            kept[name] = dataset.mask(name)
        mask = kept[name]
        return np.where(mask == VOID, VOID, mask == class_id).astype(np.uint8)

    return read
