"""Score transformations on the same episodes, without training and in the same trained network."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch

from ..datasets.coverage import Coverage, coverage
from ..datasets.voc import VocFolder
from ..episodes import (
    Asked,
    Episode,
    EpisodeList,
    Fold,
    NoEpisodes,
    Protocol,
    class_roles,
    count_asked,
    describe_few,
    draw_episodes,
    find_pairs,
    fold_label,
    why_no_class,
)
from ..evaluation import count_episodes, draw_lists, score_model
from ..features.cache import FeatureCache
from ..model import LTM, FewShotModel, TrainingFreeMap
from ..runs.processes import rank
from ..runs.recipes import Recipe
from ..scores import Counts, counter_of
from ..store.errors import InputError
from ..store.files import read_text, written_whole
from ..training import fit, training_task
from ..transformations import TRANSFORMATIONS, build_transformation
from .difference import Difference, paired_difference

THRESHOLDS = tuple(round(0.3 + 0.05 * i, 2) for i in range(13))
"""From which the threshold of a training-free map is chosen, on base classes."""

CHECKS = 150
"""Episodes of base classes that choose it."""


class Method(NamedTuple):
    """A transformation in the league: its registered name and the mask rows."""

    transformation: str
    rows: str = "fg"

    def __str__(self) -> str:
        return self.transformation if self.rows == "fg" else f"{self.transformation}:{self.rows}"

    @classmethod
    def parse(cls, text: str) -> Method:
        """The inverse of `str`: "local:fg_bg" is the local transformation with two rows."""
        name, _, rows = text.partition(":")
        return cls(name, rows or "fg")


LEAGUE = (
    Method("local"),
    Method("local", "fg_bg"),
    Method("global"),
    Method("maximum"),
    Method("top_k"),
    Method("softmax"),
    Method("parts"),
    Method("ridge"),
    Method("reverse"),
    Method("self_support", "fg_bg"),
    Method("self_ridge"),
)
"""The transformations of the course, the paper's first: the others are compared with it."""


def all_methods() -> tuple[Method, ...]:
    """The league of the course, then every other transformation that has been registered."""
    known = {method.transformation for method in LEAGUE}
    return (*LEAGUE, *(Method(name) for name in TRANSFORMATIONS if name not in known))


@dataclass(frozen=True)
class Entry:
    """The score of one method.

    Attributes:
        method: the transformation and its rows.
        trained: whether it was scored in a trained network or as a training-free map.
        miou: mean IoU over the classes of all folds, and over the trainings.
        difference: to the first method of the same kind on the same episodes.
        of_folds: fold to mIoU.
        per_class: class name to IoU.
        seconds: of one episode, with features at hand.
        parameters: how many numbers were trained.
        thresholds: fold to the threshold of a training-free map.
        of_trainings: the mIoU of each training, in the order of their seeds.
    """

    method: str
    trained: bool
    miou: float
    difference: Difference
    of_folds: dict[str, float]
    per_class: dict[str, float]
    seconds: float
    parameters: int
    thresholds: dict[str, float]
    of_trainings: tuple[float, ...] = ()


@dataclass(frozen=True)
class League:
    """Entries on the same episodes, and what they were scored by.

    `asked` says for each class what its score rests on; `skipped` says for a fold without
    episodes, or without pictures to train on, why it is not in `folds`.
    """

    dataset: str
    split: str
    folds: tuple[int | tuple[str, ...], ...]
    protocol: Protocol
    training: str
    command: str
    entries: tuple[Entry, ...]
    coverage: Coverage | None = None
    asked: dict[str, Asked] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def table(self) -> str:
        """The entries as text, the protocol first."""
        folds = ", ".join(map(fold_label, self.folds))
        lines = [f"{self.dataset} ({self.split}), folds {folds}; {self.protocol}"]
        if self.coverage:
            lines.append(str(self.coverage))
        lines += describe_few(self.asked)
        lines += [f"fold {fold}: not scored: {why}" for fold, why in self.skipped.items()]
        if any(e.trained for e in self.entries):
            lines.append(f"trained: {self.training}")
        width = max(len(e.method) for e in self.entries)
        for trained in (False, True):
            entries = [e for e in self.entries if e.trained == trained]
            if not entries:
                continue
            kind = "trained" if trained else "training-free"
            lines += [
                "",
                f"{kind:{max(width, 13)}}  {'mIoU':>6}  {'difference to ' + entries[0].method:24}"
                f"  {'ms':>6}  {'parameters':>10}",
            ]
            for e in entries:
                difference = "" if e is entries[0] else str(e.difference)
                lines.append(
                    f"{e.method:{max(width, 13)}}  {e.miou:6.3f}  {difference:24}"
                    f"  {1e3 * e.seconds:6.1f}  {e.parameters:10,}"
                )
        drawn = "the queries"
        if several := max(len(e.of_trainings) for e in self.entries) > 1:
            drawn += " and the trainings"
        interval = f"[...]: 95 % interval of the difference, by a bootstrap over {drawn}"
        if any(of_class.once for of_class in self.asked.values()):
            interval += "; so few pictures make it too narrow"
        lines += ["", interval]
        if several:
            lines += [
                f"{e.method}: {' '.join(f'{x:.3f}' for x in e.of_trainings)}, training by training"
                for e in self.entries
                if e.trained
            ]
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write everything as JSON, whole or not at all."""
        values = {**asdict(self), "protocol": self.protocol.as_dict()}
        for entry in values["entries"]:
            entry["difference"] = entry["difference"]._asdict()
        values["asked"] = {name: of_class._asdict() for name, of_class in self.asked.items()}
        with written_whole(path, durable=True) as part:
            part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> League:
        """The inverse of `save`.

        Raises:
            InputError: the file is missing or holds no league.
        """
        text = read_text(path)
        try:
            values = json.loads(text)
            values["protocol"] = Protocol.from_dict(values["protocol"])
            if values["coverage"] is not None:
                values["coverage"] = Coverage.from_dict(values["coverage"])
            values["folds"] = tuple(tuple(f) if isinstance(f, list) else f for f in values["folds"])
            asked = values.get("asked", {})
            values["asked"] = {name: Asked.from_dict(a) for name, a in asked.items()}
            values["entries"] = tuple(
                Entry(
                    **{
                        **e,
                        "difference": Difference(**e["difference"]),
                        "of_trainings": tuple(e.get("of_trainings", ())),
                    }
                )
                for e in values["entries"]
            )
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InputError(f"{path} holds no league: ltm-edu compare writes one") from None


def score_league(
    methods: Sequence[Method],
    dataset: VocFolder,
    folds: Sequence[int | tuple[str, ...]],
    recipe: Recipe,
    protocol: Protocol | None = None,
    split: str = "val",
    trainings: int = 0,
    cache_folder: Path | None = None,
    progress: bool = True,
    device: torch.device | str = "cpu",
    command: str = "",
) -> League:
    """Score methods on the same episodes of each fold's novel classes.

    A training-free map is cut at a threshold that is chosen on the fold's base classes, in the
    training list. With `trainings`, each transformation is also trained in the recipe's network,
    so many times: from the recipe's seed, the next one, and so on. A seed gives every
    transformation the same batches.

    Args:
        methods: the first is what the others are compared with.
        dataset: pictures and masks.
        folds: which folds, 0 to 3 or names of novel classes; a class is tested in one of them. A
            fold without episodes, or without pictures to train on if it is to be trained, is left
            out, and the table says so.
        recipe: the network, and its training.
        protocol: the rules; `Protocol()` by default.
        split: the list that the episodes come from ("all" for every list).
        trainings: how often each transformation is trained in each fold.
        cache_folder: where to keep features between runs; None keeps them in memory.
        progress: show bars with the time left.
        device: where to compute.
        command: what to write beside the scores.

    Raises:
        NoEpisodes: no fold has the pictures that its episodes, or its training, need.
        InputError: trainings below 0, or as `fit` and `FeatureCache` do.
    """
    if trainings < 0:
        raise InputError(f"trainings is {trainings}: it must be 0 or more")
    protocol, progress = protocol or Protocol(), progress and rank() == 0
    rules = replace(protocol, novel_images=recipe.novel_images)  # of the trainings
    configs = {
        m: replace(recipe.model_config, transformation=m.transformation, rows=m.rows)
        for m in methods
    }
    for config in configs.values():
        build_transformation(config)  # refuses an unknown one before anything is computed
    runs = {(m, t): _Run() for t in range(trainings + 1) for m in methods}  # 0: training-free
    episodes: list[Episode] = []
    backbone, index = None, dataset.index(split)
    drawn: dict[Fold, tuple[list[EpisodeList], EpisodeList]] = {}
    skipped: dict[str, str] = {}
    for fold in folds:
        try:
            lists = draw_lists(dataset, fold, protocol, split)
            checks = _base_episodes(dataset, fold, protocol)
            if trainings:  # refused now, and not after other folds have trained for hours
                training_task(dataset, fold, recipe.training_config, rules, "train")
            drawn[fold] = lists, checks
        except NoEpisodes as error:
            skipped[fold_label(fold)] = str(error)
            if len(skipped) == len(folds):
                raise
    asked: dict[int, Asked] = {}
    for fold, (lists, _) in drawn.items():
        novel = class_roles(fold, dataset.classes).novel
        pairs = find_pairs(index, novel, protocol.list_rule)
        asked |= count_asked(lists, pairs, novel, protocol.shots)
    covered = coverage(dataset, split, asked)
    for fold, (lists, checks) in drawn.items():
        of_fold = [e for part in lists for e in part]
        names = sorted({n for e in (*of_fold, *checks) for n in (e.query, *e.supports)})
        free = TrainingFreeMap(recipe.model_config, backbone).to(device)
        backbone = free.backbone
        cache = FeatureCache(free, dataset, names, folder=cache_folder, progress=progress)
        for (method, t), run in runs.items():
            model: FewShotModel
            if t:
                training = recipe.training(seed=recipe.training_config.seed + t - 1)
                torch.manual_seed(training.seed)
                model = LTM(configs[method], backbone).to(device)
                fit(
                    model,
                    dataset,
                    fold,
                    training,
                    rules,
                    cache_folder=cache_folder,
                    progress=progress,
                )
                run.parameters = model.trainable
            else:
                model = TrainingFreeMap(configs[method], backbone).to(device)
                best = _best_threshold(model, cache, checks)
                model.threshold = run.thresholds[fold_label(fold)] = best
            started = time.perf_counter()
            counts = count_episodes(model, cache, of_fold, progress)
            run.seconds += time.perf_counter() - started
            run.of_folds[fold_label(fold)] = counter_of(of_fold, counts).miou()
            run.counts += counts
        episodes += of_fold
    computed = len(set(episodes))
    entries = []
    for alike in ((0,), range(1, trainings + 1)):
        first = [runs[methods[0], t].counts for t in alike]
        for method in methods if first else ():
            own = [runs[method, t] for t in alike]
            counters = [counter_of(episodes, run.counts) for run in own]
            per_class = [counter.per_class() for counter in counters]
            mious = tuple(counter.miou() for counter in counters)
            entries.append(
                Entry(
                    str(method),
                    bool(alike[0]),
                    fmean(mious),
                    paired_difference(episodes, [run.counts for run in own], first),
                    {fold: fmean(run.of_folds[fold] for run in own) for fold in own[0].of_folds},
                    {dataset.classes[c - 1]: fmean(x[c] for x in per_class) for c in per_class[0]},
                    fmean(run.seconds for run in own) / computed,
                    own[0].parameters,
                    own[0].thresholds,
                    mious,
                )
            )
    config = recipe.training_config
    training = f"{config.steps} updates of {config.batch} episodes"
    if trainings:
        seeds = ", ".join(str(config.seed + t) for t in range(trainings))
        training += f", from seed{'s' if trainings > 1 else ''} {seeds}"
    return League(
        dataset.root.name,
        split,
        tuple(drawn),
        protocol,
        training,
        command,
        tuple(entries),
        covered,
        {dataset.classes[c - 1]: of_class for c, of_class in asked.items()},
        skipped,
    )


@dataclass
class _Run:
    """What one method has brought so far in one training, fold by fold."""

    counts: list[Counts] = field(default_factory=list)
    of_folds: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    parameters: int = 0


def _base_episodes(dataset: VocFolder, fold: Fold, protocol: Protocol) -> EpisodeList:
    """Episodes of a fold's base classes, from the training list, to choose a threshold with."""
    base, index = class_roles(fold, dataset.classes).base, dataset.index("train")
    pairs = find_pairs(index, base, protocol.list_rule)
    try:
        return draw_episodes(pairs, protocol.shots, CHECKS, seed=0)
    except NoEpisodes:
        raise NoEpisodes(
            f"{dataset.root} has no training class with {protocol.shots + 1} pictures in train.txt "
            f"to choose a threshold with: {why_no_class(dataset, index, base, protocol)}"
        ) from None


def _best_threshold(model: TrainingFreeMap, cache: FeatureCache, checks: EpisodeList) -> float:
    """The threshold with the highest mIoU; `model` is left with the last one tried."""

    def miou(threshold: float) -> float:
        model.threshold = threshold
        return score_model(model, cache, checks).miou()

    return max(THRESHOLDS, key=miou)
