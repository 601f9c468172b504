"""Models and trivial floors, scored on the same episodes at the pictures' own size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .datasets.coverage import coverage
from .datasets.voc import VocFolder
from .episodes import (
    Episode,
    EpisodeList,
    Fold,
    NoEpisodes,
    Protocol,
    class_roles,
    count_asked,
    draw_episodes,
    find_pairs,
    fold_label,
    why_no_class,
)
from .equations import without_value_checks
from .features.cache import FeatureCache
from .geometry import resize_logits
from .model import LTM, Embedded, FewShotModel
from .refine import crf as refinement
from .runs.processes import own_part, rank, share_arrays
from .runs.threads import in_parallel
from .scores import Counts, IoUCounter, Results, counter_of, counts_of, score_of
from .store.errors import InputError
from .store.pictures import VOID

Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Makes the mask (H, W) from the picture (H, W, 3) and the object's probability (H, W)."""

MEMORY = 1_000_000_000
"""Bytes of embeddings, and of masks, that are kept while episodes are scored."""

BATCH = 4
"""Episodes that are decoded together; it does not change the score."""


def evaluate(
    models: Mapping[str, FewShotModel],
    dataset: VocFolder,
    fold: Fold,
    protocol: Protocol | None = None,
    split: str = "val",
    name: str = "",
    cache_folder: Path | None = None,
    progress: bool = True,
    crf: bool = False,
    episode_lists: Sequence[EpisodeList] | None = None,
) -> Results:
    """Score models and the trivial floors on the same episodes of a fold's novel classes.

    Each distinct picture goes through the backbone once, at each query scale that a model uses,
    and an episode that several lists share is computed once. Under `torchrun`, inside
    `processes`, the processes share the episodes, and all of them return the same results.

    Args:
        models: method name to model.
        dataset: pictures and masks.
        fold: 0 to 3, or names of novel classes; the novel classes are asked about. None asks about
            every class: no few-shot score if a model was trained on them.
        protocol: the rules; `Protocol()` by default.
        split: the list that queries and supports come from ("all" for every list).
        name: the dataset's name in the table; its folder's name by default.
        cache_folder: where to keep features between runs; None keeps them in memory.
        progress: show bars with the time left.
        crf: also score each trained model after DenseCRF and a median filter, as a method of its
            own.
        episode_lists: the episodes, a list for each of the protocol's seeds; drawn by default.

    Returns:
        A score for each model, then all-foreground and all-background.

    Raises:
        NoEpisodes: too few pictures for any episode.
        InputError: an unreadable file, no CRF installed, or lists that the fold, the protocol and
            the pictures do not allow.
        FloatingPointError: a model's embedding is not finite; names the picture.
    """
    if crf:
        refinement.need_crf()
    protocol = protocol or Protocol()
    roles, index = class_roles(fold, dataset.classes), dataset.index(split)
    lists = episode_lists or draw_lists(dataset, fold, protocol, split)
    if episode_lists:
        _check_lists(lists, dataset, fold, protocol, split)
    pairs = find_pairs(index, roles.asked, protocol.list_rule)
    asked = count_asked(lists, pairs, roles.asked, protocol.shots)
    covered = coverage(dataset, split, roles.asked)
    names = sorted({n for episodes in lists for n in episodes.names()})
    progress = progress and rank() == 0
    truths = _TruthReader(dataset)
    scores = []
    caches: dict[Hashable, FeatureCache] = {}
    keys = {method: feature_key(model) for method, model in models.items()}
    for method, model in models.items():
        key = keys[method]
        if key not in caches:
            alike = [m for other, m in models.items() if keys[other] == key]
            scales = sorted({1.0, *(x for m in alike for x in m.config.query_scales)})
            caches[key] = FeatureCache(
                model, dataset, names, folder=cache_folder, progress=progress, query_scales=scales
            )
        refiners: dict[str, Refine | None] = {method: None}
        if crf and isinstance(model, LTM):
            refiners[f"{method} + CRF, median"] = refinement.refine
        for label, refine in refiners.items():
            scorer = _Scorer(model, caches[key], truths, refine)
            counters = _score_lists(scorer, lists, label, progress)
            scores.append(score_of(label, counters, dataset.classes))
    for label, everywhere in (("all foreground", True), ("all background", False)):
        counters = [_score_constant(everywhere, truths, e) for e in lists]
        scores.append(score_of(label, counters, dataset.classes))
    if len({part.episodes for part in lists}) == 1:  # nothing was drawn anew
        scores = [replace(s, miou_spread=None) for s in scores]
    return Results(
        name or dataset.root.name,
        split,
        "all" if fold is None else fold,
        protocol,
        tuple(scores),
        () if covered is None else (covered,),
        {dataset.classes[c - 1]: of_class for c, of_class in asked.items()},
    )


def draw_lists(
    dataset: VocFolder, fold: Fold, protocol: Protocol, split: str = "val"
) -> list[EpisodeList]:
    """The episodes of a fold's novel classes that a protocol asks for, a list for each seed.

    Raises:
        NoEpisodes: too few pictures for any episode; says why.
        InputError: an unreadable mask.
    """
    index = dataset.index(split)
    asked, shots = class_roles(fold, dataset.classes).asked, protocol.shots
    pairs = find_pairs(index, asked, protocol.list_rule)
    try:
        return [draw_episodes(pairs, shots, protocol.episodes, s) for s in protocol.seeds]
    except NoEpisodes:
        of_fold = "" if fold is None else f", fold {fold_label(fold)}"
        raise NoEpisodes(
            f"no episode with {shots} shots can be drawn from {dataset.root} ({split}){of_fold}: "
            f"it takes {shots + 1} images of one class, and "
            + why_no_class(dataset, index, asked, protocol)
        ) from None


def _check_lists(
    lists: Sequence[EpisodeList],
    dataset: VocFolder,
    fold: Fold,
    protocol: Protocol,
    split: str,
) -> None:
    """Refuse lists under which the protocol printed beside the scores would not be true."""
    index = dataset.index(split)
    classes, asked = dataset.classes, class_roles(fold, dataset.classes).asked
    row = {name: i for i, name in enumerate(index.names)}
    pairs = find_pairs(index, asked, protocol.list_rule)
    counted = set(pairs)

    def fault(e: Episode) -> str | None:
        if len(e.supports) != protocol.shots:
            return f"it has {len(e.supports)} shots, not {protocol.shots}"
        if not 1 <= e.class_id <= len(classes):
            return f"it asks about class {e.class_id}, but there are classes 1 to {len(classes)}"
        name = classes[e.class_id - 1]
        if e.class_id not in asked:
            return (
                f"it asks about class {e.class_id} ({name}), which fold {fold_label(fold)} does "
                "not test"
            )
        if e.query in e.supports:
            return f"its query {e.query} is also its support"
        if len(set(e.supports)) < len(e.supports):
            return "it has the same support twice"
        for picture in (e.query, *e.supports):
            if picture not in row:
                return f"it names {picture}, which is not in {split}: another dataset?"
            if not index.pixels[row[picture], e.class_id - 1]:
                return f"picture {picture} does not show its class {e.class_id} ({name})"
            if (picture, e.class_id) not in counted:
                return (
                    f"picture {picture} shows too little of its class {e.class_id} ({name}) for "
                    f'the {protocol.list_rule} rule: list_rule="any" counts it'
                )
        return None

    for part in lists:
        for i, e in enumerate(part):
            if what := fault(e):
                raise InputError(f"{part.place(i)}: {what}")
    sizes = {(len(e), e.seed) for e in lists}
    expected = {(protocol.episodes, seed) for seed in protocol.seeds}
    if sizes != expected and sizes != {
        (len(draw_episodes(pairs, protocol.shots, n, seed)), seed) for n, seed in expected
    }:
        described = " and ".join(f"{n} of seed {seed}" for n, seed in sorted(sizes))
        raise InputError(
            f"the lists hold {described} episodes, the protocol asks for {protocol.episodes} of "
            f"seeds {', '.join(map(str, protocol.seeds))}: use the options they were drawn with"
        )


def feature_key(model: FewShotModel) -> Hashable:
    """What a model's features depend on, except for the scale: equal keys share a cache."""
    return model.backbone.key, model.config.image_size


def score_model(model: FewShotModel, cache: FeatureCache, episodes: EpisodeList) -> IoUCounter:
    """Intersections and unions of one model over a list of episodes.

    Args:
        model: put in eval mode meanwhile.
        cache: holds every picture of the episodes.
        episodes: the questions.
    """
    return counter_of(episodes, count_episodes(model, cache, episodes))


def count_episodes(
    model: FewShotModel, cache: FeatureCache, episodes: Sequence[Episode], progress: bool = False
) -> list[Counts]:
    """The pixel counts of a model's answer to each episode; see `score_model`."""
    truths = _TruthReader(cache.dataset, cache.void_ids)
    return _count_each(_Scorer(model, cache, truths), episodes, "", progress)


def _score_lists(
    scorer: _Scorer, lists: Sequence[Sequence[Episode]], label: str, progress: bool
) -> list[IoUCounter]:
    """Score lists of episodes, which may share episodes."""
    counts = iter(_count_each(scorer, [e for part in lists for e in part], label, progress))
    return [counter_of(part, islice(counts, len(part))) for part in lists]


def _count_each(
    scorer: _Scorer, episodes: Sequence[Episode], label: str, progress: bool
) -> list[Counts]:
    """Count each episode; every distinct one is computed once, by one of the processes."""
    distinct = list(dict.fromkeys(episodes))
    counts = torch.zeros(len(distinct), len(Counts._fields), dtype=torch.int64)
    own = own_part(range(len(distinct)))
    bar = tqdm(total=len(own), desc=label, unit="ep", disable=not progress, leave=False)
    with bar:
        for i, count in zip(own, scorer([distinct[i] for i in own], bar), strict=True):
            counts[i] = torch.tensor(count)
    table = dict(zip(distinct, share_arrays([counts])[0].tolist(), strict=True))
    return [Counts(*table[e]) for e in episodes]


class _Scorer:
    """Answer episodes, and count how each answer and the truth overlap."""

    def __init__(
        self,
        model: FewShotModel,
        cache: FeatureCache,
        truths: _TruthReader,
        refine: Refine | None = None,
    ) -> None:
        self.model, self.cache, self.truths, self.refine = model, cache, truths, refine
        self._grid_masks: dict[tuple[str, int], Tensor] = {}

    def __call__(self, episodes: Sequence[Episode], bar: tqdm) -> list[Counts]:
        """The counts of each episode, in order."""
        was_training = self.model.training
        fast = self.model.for_inference()
        embedder = _Embedder(fast, self.cache)
        parts = [episodes[i : i + BATCH] for i in range(0, len(episodes), BATCH)]

        def answer(inputs: tuple) -> list[Counts]:
            part, masks, query, support, G_s = inputs
            size = (self.cache.size, self.cache.size)
            with torch.inference_mode(), without_value_checks():  # the embedder has checked
                M = fast.forward_embedded(query, support, G_s, size).M.float().cpu()
                return [
                    self._count(e, mask, M[i : i + 1])
                    for i, (e, mask) in enumerate(zip(part, masks, strict=True))
                ]

        counts = []
        inputs = (self._inputs(embedder, part) for part in parts)
        for counted in in_parallel(answer, inputs):
            counts += counted
            bar.update(len(counted))
        self.model.train(was_training)
        return counts

    @torch.inference_mode()
    def _inputs(self, embedder: _Embedder, episodes: Sequence[Episode]) -> tuple:
        """What it takes to answer some episodes: queries' masks, embeddings, support masks."""
        masks = [self.truths(e.query) for e in episodes]
        supports = [n for e in episodes for n in e.supports]
        query, support = embedder([e.query for e in episodes]), embedder(supports)
        G_s = torch.stack([self._grid_mask(n, e.class_id) for e in episodes for n in e.supports])
        K = len(episodes[0].supports)
        return episodes, masks, query, support, G_s.unflatten(0, (-1, K)).to(embedder.device)

    def _grid_mask(self, name: str, class_id: int) -> Tensor:
        """The mask of a support on the grid, (1, h, w)."""
        key = name, class_id
        if key not in self._grid_masks:
            mask = self.cache.masks([name], [class_id])
            self._grid_masks[key] = self.cache.grid_masks(mask)[0]
        return self._grid_masks[key]

    def _count(self, e: Episode, mask: np.ndarray, M: Tensor) -> Counts:
        if self.refine is None:
            # Resizing is linear: the difference of the logits takes half the time.
            predicted = (resize_logits(M[:, 1:] - M[:, :1], mask.shape)[0, 0] > 0).numpy()
        else:
            probability = resize_logits(M, mask.shape)[0].softmax(dim=0)[1].numpy()
            predicted = self.refine(np.asarray(self.cache.dataset.image(e.query)), probability)
        return counts_of(predicted, mask == e.class_id, mask != VOID)


class _Embedder:
    """Embed pictures, and keep the latest embeddings, up to a limit of memory.

    They lie in one piece of memory: thousands of tensors that come and go would leave holes.
    """

    def __init__(self, model: FewShotModel, cache: FeatureCache) -> None:
        self.model, self.cache = model, cache
        self.device = next(model.parameters()).device
        self._memory: dict[str, Tensor] = {}
        self._index_of: OrderedDict[str, int] = OrderedDict()

    def __call__(self, names: Sequence[str]) -> Embedded:
        """Embeddings of pictures, in their order."""
        distinct = dict.fromkeys(names)
        if self._memory and len(distinct) > len(self._memory["E_s"]):
            self._memory, self._index_of = {}, OrderedDict()
        for name in distinct:
            if name in self._index_of:
                self._index_of.move_to_end(name)
        for name in distinct:
            if name not in self._index_of:
                self._store(name, len(distinct))
        index = torch.tensor([self._index_of[name] for name in names])
        return Embedded(**{name: array[index] for name, array in self._memory.items()})

    def _store(self, name: str, at_least: int) -> None:
        scales = self.model.config.query_scales
        F_q = [f.to(self.device) for f in self.cache.features([name], query_scales=scales)]
        F_s = F_q[0] if scales == (1.0,) else self.cache.support_features([name]).to(self.device)
        embedded = self.model.embed(F_q, F_s)._asdict()
        tensors = {part: x for part, x in embedded.items() if x is not None}
        if not all(x.isfinite().all() for x in tensors.values()):
            raise FloatingPointError(f"the embedding of {name} holds NaN or infinite values")
        if not self._memory:
            each = sum(x.numel() * x.element_size() for x in tensors.values())
            count = min(len(self.cache.names), max(at_least, MEMORY // each))
            self._memory = {k: x.new_empty(count, *x.shape[1:]) for k, x in tensors.items()}
        index = len(self._index_of)
        if index == len(self._memory["E_s"]):
            _, index = self._index_of.popitem(last=False)
        for part, x in tensors.items():
            self._memory[part][index] = x[0]
        self._index_of[name] = index


class _TruthReader:
    """Read the masks of a data set, each once as long as all of them fit into a limit of memory.

    Only one thread may ask for them. Objects of the classes in `void_ids` are void.
    """

    def __init__(self, dataset: VocFolder, void_ids: Sequence[int] = ()) -> None:
        self.dataset, self.void_ids = dataset, tuple(void_ids)
        self._masks: OrderedDict[str, np.ndarray] = OrderedDict()
        self._bytes = 0

    def __call__(self, name: str) -> np.ndarray:
        """Class ids, (H, W) uint8."""
        if name in self._masks:
            self._masks.move_to_end(name)
            return self._masks[name]
        mask = self.dataset.mask(name)
        if self.void_ids:
            mask = np.where(np.isin(mask, self.void_ids), np.uint8(VOID), mask)
        self._masks[name] = mask
        self._bytes += mask.nbytes
        while self._bytes > MEMORY and len(self._masks) > 1:
            self._bytes -= self._masks.popitem(last=False)[1].nbytes
        return mask


def _score_constant(everywhere: bool, truths: _TruthReader, episodes: EpisodeList) -> IoUCounter:
    counter = IoUCounter()
    for e in episodes:
        mask = truths(e.query)
        counted = mask != VOID
        n_true, n = np.count_nonzero(mask == e.class_id), np.count_nonzero(counted)
        counts = Counts(n_true, n, n_true, n) if everywhere else Counts(0, 0, n_true, n)
        counter.add_counts(counts, e.class_id)
    return counter
