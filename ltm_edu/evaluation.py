"""Models and trivial floors, scored on the same episodes at the pictures' own size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .datasets.mask_index import cached_index
from .datasets.voc import VocFolder
from .episodes import EpisodeList, Protocol, draw_episodes, find_pairs, novel_classes
from .features.cache import FeatureCache
from .geometry import resize_logits
from .model import LTM, Embedded, TrainingFreeMap
from .refine import crf as refinement
from .scores import IoUCounter, Results, score_of
from .store.errors import InputError
from .store.pictures import VOID

Model = LTM | TrainingFreeMap
Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]
_KEPT_BYTES = 1_000_000_000


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
            rows.append(score_of(row, counters, dataset.classes))
    for method, everywhere in (("all foreground", True), ("all background", False)):
        counters = [_score_constant(everywhere, dataset, e) for e in lists]
        rows.append(score_of(method, counters, dataset.classes))
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
    embedded = _Embedder(fast, cache, device)
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


class _Embedder:
    """Embed pictures, and keep what was asked for last, under a gigabyte of it.

    It is kept in one piece of memory: thousands of tensors that come and go would leave holes.
    """

    def __init__(self, model: Model, cache: FeatureCache, device: torch.device) -> None:
        self.model, self.cache, self.device = model, cache, device
        self._rooms: list[torch.Tensor] = []
        self._row_of: OrderedDict[str, int] = OrderedDict()

    def __call__(self, names: Sequence[str]) -> Embedded:
        """Embeddings of pictures, in their order."""
        wanted = dict.fromkeys(names)
        if self._rooms and len(wanted) > len(self._rooms[0]):
            self._rooms, self._row_of = [], OrderedDict()
        for name in wanted:
            if name in self._row_of:
                self._row_of.move_to_end(name)
        for name in wanted:
            if name not in self._row_of:
                self._keep(name, len(wanted))
        rows = torch.tensor([self._row_of[name] for name in names])
        return Embedded(*(room[rows] for room in self._rooms))

    def _keep(self, name: str, together: int) -> None:
        scales = self.model.config.query_scales
        F_q = [f.to(self.device) for f in self.cache.features([name], query_scales=scales)]
        F_s = F_q[0] if scales == (1.0,) else self.cache.support_features([name]).to(self.device)
        made = [x for x in self.model.embed(F_q, F_s) if x is not None]
        if not self._rooms:
            each = sum(x.numel() * x.element_size() for x in made)
            count = min(len(self.cache.names), max(together, _KEPT_BYTES // each))
            self._rooms = [x.new_empty(count, *x.shape[1:]) for x in made]
        row = len(self._row_of)
        if row == len(self._rooms[0]):
            _, row = self._row_of.popitem(last=False)
        for room, x in zip(self._rooms, made, strict=True):
            room[row] = x[0]
        self._row_of[name] = row


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
