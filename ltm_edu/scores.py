"""Scores: mIoU, FB-IoU and pooled foreground IoU, in tables that carry their protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from .datasets.coverage import Coverage
from .episodes import FOLDS, Asked, Episode, Protocol, describe_few, fold_label
from .store.errors import InputError
from .store.files import read_text, written_whole
from .store.pictures import VOID


def iou(intersection: float, union: float) -> float:
    """Intersection over union; 1 where the union is 0, since two empty masks agree.

    >>> iou(1, 4), iou(0, 0)
    (0.25, 1.0)
    """
    return intersection / union if union else 1.0


class Counts(NamedTuple):
    """Pixels of an answer: predicted and true, predicted, true, and all that count."""

    both: int
    predicted: int
    true: int
    counted: int

    @property
    def either(self) -> int:
        """Pixels that are predicted or true."""
        return self.predicted + self.true - self.both


def counts_of(predicted: np.ndarray, true: np.ndarray, counted: np.ndarray) -> Counts:
    """Count pixels; each argument is (H, W) bool, and only pixels in `counted` count."""
    return Counts(
        int(np.count_nonzero(predicted & true)),
        int(np.count_nonzero(predicted & counted)),
        int(np.count_nonzero(true)),
        int(np.count_nonzero(counted)),
    )


@dataclass
class IoUCounter:
    """Pixel counts of each class, summed over episodes; 255 never counts.

    Attributes:
        counts: class id to the sums of its episodes' counts.

    >>> counter = IoUCounter()
    >>> counter.add(np.array([[1, 1, 0]], bool), np.array([[1, 0, 255]], np.uint8), class_id=3)
    >>> counter.miou(), counter.fb_iou()
    (0.5, 0.25)
    """

    counts: dict[int, Counts] = field(default_factory=dict)

    def add(self, predicted: np.ndarray, truth: np.ndarray, class_id: int) -> None:
        """Count one episode: predicted (H, W) bool, truth (H, W) uint8 of 0, 1 and 255."""
        self.add_counts(counts_of(np.asarray(predicted, bool), truth == 1, truth != VOID), class_id)

    def add_counts(self, counts: Counts, class_id: int) -> None:
        """Add one episode that has been counted already."""
        sums = self.counts.get(class_id, Counts(0, 0, 0, 0))
        self.counts[class_id] = Counts(*map(sum, zip(sums, counts, strict=True)))

    def total(self) -> Counts:
        """The counts of all classes together."""
        return Counts(*(sum(c[i] for c in self.counts.values()) for i in range(4)))

    def per_class(self) -> dict[int, float]:
        """IoU of each class over its episodes."""
        return {c: iou(counts.both, counts.either) for c, counts in sorted(self.counts.items())}

    def miou(self) -> float:
        """Mean of the classes' IoU: the headline. NaN without an episode."""
        return fmean(self.per_class().values()) if self.counts else float("nan")

    def pooled_foreground_iou(self) -> float:
        """Foreground IoU over all episodes together: what LTM's released code calls mIoU."""
        return iou(self.total().both, self.total().either)

    def fb_iou(self) -> float:
        """Mean of foreground and background IoU on pooled pixels; high even for poor answers."""
        total = self.total()
        background = iou(total.counted - total.either, total.counted - total.both)
        return (self.pooled_foreground_iou() + background) / 2


def counter_of(episodes: Iterable[Episode], counts: Iterable[Counts]) -> IoUCounter:
    """The counts of as many episodes, summed for each class."""
    counter = IoUCounter()
    for e, of_episode in zip(episodes, counts, strict=True):
        counter.add_counts(of_episode, e.class_id)
    return counter


METRICS: dict[str, Callable[[IoUCounter], float]] = {}
"""Further metrics by name: each is shown in tables and stored in results, as a mean over seeds."""


@dataclass(frozen=True)
class Score:
    """The scores of one method in [0, 1], each the mean over the episode seeds."""

    method: str
    miou: float
    miou_spread: float | None  # standard deviation over the seeds; None if they ask the same
    fb_iou: float
    pooled_foreground_iou: float
    per_class: dict[str, float]  # IoU by the class's name
    miou_of_seeds: tuple[float, ...] = ()  # in the protocol's order
    metrics: dict[str, float] = field(default_factory=dict)  # the further `METRICS`, by name


@dataclass(frozen=True)
class Results:
    """Scores of several methods on the same episodes, trained models first, and the rules."""

    dataset: str
    split: str  # which list of pictures
    fold: int | str | tuple[str, ...]  # 0 to 3, the novel classes, "mean", or "all" classes
    protocol: Protocol
    scores: tuple[Score, ...]
    coverage: tuple[Coverage, ...] = ()  # where pictures of the list are missing: one for each fold
    asked: dict[str, Asked] = field(default_factory=dict)  # by the class's name

    def table(self) -> str:
        """The scores as text, protocol first."""
        whole = {"mean": "mean of the four folds", "all": "every class, trained on or not"}
        name = whole.get(self.fold, f"fold {fold_label(self.fold)}")
        width = max(len(s.method) for s in self.scores)
        lines, classes = [], ["", "IoU of each class:"]
        for s in self.scores:
            spread = f"{'-':>5}" if s.miou_spread is None else f"{s.miou_spread:5.3f}"
            cells = {"mIoU": f"{s.miou:6.3f}", "+-": spread}
            cells |= {"FB-IoU": f"{s.fb_iou:6.3f}", "pooled fg": f"{s.pooled_foreground_iou:9.3f}"}
            cells |= {m: f"{v:{max(6, len(m))}.3f}" for m, v in s.metrics.items()}
            lines.append("  ".join([f"{s.method:{width}}", *cells.values()]))
            of_classes = ", ".join(f"{c} {v:.3f}" for c, v in s.per_class.items())
            classes.append(f"{s.method:{width}}  {of_classes}")
        titles = [title.rjust(len(cell)) for title, cell in cells.items()]
        head = "  ".join([f"{'method':{width}}", *titles])
        about = f"{self.dataset} ({self.split}), {name}; {self.protocol}"
        notes = [*map(str, self.coverage), *describe_few(self.asked)]
        if any(a.once for a in self.asked.values()) and self.scores[0].miou_spread is not None:
            notes.append("+-: over the seeds, whose episodes differ only in the other classes")
        return "\n".join([about, *notes, head, *lines, *classes])

    def as_dict(self) -> dict:
        """Plain values, for JSON."""
        scores = [vars(s) for s in self.scores]
        coverage = [vars(c) for c in self.coverage]
        rules = self.protocol.as_dict()
        asked = {name: of_class._asdict() for name, of_class in self.asked.items()}
        parts = {"protocol": rules, "scores": scores, "coverage": coverage, "asked": asked}
        return {**vars(self), **parts}


def save_results(path: str | Path, results: Sequence[Results]) -> None:
    """Write results as JSON, whole or not at all."""
    with written_whole(Path(path), durable=True) as part:
        part.write_text(json.dumps([r.as_dict() for r in results], indent=1), encoding="utf-8")


def load_results(path: str | Path) -> list[Results]:
    """The inverse of `save_results`.

    Raises:
        InputError: the file is missing or holds no results.
    """
    text = read_text(path)
    try:
        every = json.loads(text)
        for values in every:
            values["protocol"] = Protocol.from_dict(values["protocol"])
            scores = [{**s, "miou_of_seeds": tuple(s["miou_of_seeds"])} for s in values["scores"]]
            values["scores"] = tuple(Score(**s) for s in scores)
            values["coverage"] = tuple(map(Coverage.from_dict, values.get("coverage", ())))
            asked = values.get("asked", {})
            values["asked"] = {name: Asked.from_dict(a) for name, a in asked.items()}
            if isinstance(values["fold"], list):
                values["fold"] = tuple(values["fold"])
        return [Results(**values) for values in every]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(
            f"{path} holds no results: write them with ltm-edu evaluate or save_results"
        ) from None


def score_of(method: str, counters: Sequence[IoUCounter], classes: Sequence[str]) -> Score:
    """The scores of a method: a counter for each episode seed, and the names of all classes."""
    mious = [c.miou() for c in counters]
    per_class = sorted(_means([c.per_class() for c in counters]).items())
    return Score(
        method,
        float(np.mean(mious)),
        float(np.std(mious)),
        fmean(c.fb_iou() for c in counters),
        fmean(c.pooled_foreground_iou() for c in counters),
        {classes[c - 1]: value for c, value in per_class},
        tuple(mious),
        {m: fmean(map(metric, counters)) for m, metric in METRICS.items()},
    )


def _means(parts: Sequence[dict[Any, float]]) -> dict[Any, float]:
    """The mean of each entry over the parts that have it."""
    keys = dict.fromkeys(k for part in parts for k in part)
    return {k: fmean(part[k] for part in parts if k in part) for k in keys}


def mean_over_folds(results: Sequence[Results]) -> Results:
    """The table of the four folds' means, for the methods that all of them hold.

    Its spread is that of the mean over the seeds, not the mean of the folds' spreads.

    Raises:
        InputError: they differ in dataset or protocol.
    """
    _check_alike(results)
    first = results[0]
    means = []
    for score in first.scores:
        same = [s for r in results for s in r.scores if s.method == score.method]
        if len(same) < len(results):
            continue
        of_seeds = np.mean([s.miou_of_seeds for s in same], axis=0)
        means.append(
            Score(
                score.method,
                float(np.mean(of_seeds)),
                None if all(s.miou_spread is None for s in same) else float(np.std(of_seeds)),
                fmean(s.fb_iou for s in same),
                fmean(s.pooled_foreground_iou for s in same),
                _means([s.per_class for s in same]),
                tuple(of_seeds.tolist()),
                _means([s.metrics for s in same]),
            )
        )
    every = tuple(c for r in results for c in r.coverage)
    asked = {name: of_class for r in results for name, of_class in r.asked.items()}
    return replace(first, fold="mean", scores=tuple(means), coverage=every, asked=asked)


def _check_alike(results: Sequence[Results]) -> None:
    """Refuse results that were not scored by the same rules on the same data."""
    first = results[0]
    for other in results:
        if any(getattr(other, k) != getattr(first, k) for k in ("dataset", "split", "protocol")):
            raise InputError(
                f"fold {fold_label(other.fold)} and fold {fold_label(first.fold)} differ in "
                "dataset, split or protocol: such scores do not belong in one table"
            )


# --- beside the paper -----------------------------------------------------------------------------

_PUBLISHED = json.loads((files(__package__) / "published.json").read_text(encoding="utf-8"))
PAPER_MIOU: dict[str, dict[int, tuple[float, ...]]] = {
    method: {int(shots): tuple(values) for shots, values in of_shots.items()}
    for method, of_shots in _PUBLISHED["miou"].items()
}
"""Method to shots to the mIoU that the paper prints for folds 0 to 3 and their mean, in percent."""

COLUMNS = (0, 1, 2, 3, "mean")


def by_fold(results: Sequence[Results]) -> dict[int | str | tuple[str, ...], Results]:
    """Results that belong in one table, by their fold; with the mean if all four are given.

    Raises:
        InputError: there are none, they differ in dataset or protocol, or a fold occurs twice.
    """
    if not results:
        raise InputError("no results to show: write them with ltm-edu evaluate or save_results")
    _check_alike(results)
    table: dict[int | str | tuple[str, ...], Results] = {}
    for other in results:
        if other.fold in table:
            raise InputError(
                f"fold {fold_label(other.fold)} occurs twice: name each results file once"
            )
        table[other.fold] = other
    if set(table) == set(range(FOLDS)):
        table["mean"] = mean_over_folds([table[f] for f in range(FOLDS)])
    return table


def beside_the_paper(results: Sequence[Results]) -> str:
    """Results of one dataset and protocol as a table by folds, in percent, above the paper's.

    A "-" stands where a fold was not scored or a number not printed. Results of other novel classes
    than a fold's, or of all classes, have a column of their own.

    Raises:
        InputError: as `by_fold`.
    """
    table, first, shots = by_fold(results), results[0], results[0].protocol.shots
    methods = list(dict.fromkeys(s.method for r in results for s in r.scores))
    printed = "printed in the paper"
    width = max(map(len, (*methods, *PAPER_MIOU, printed)))
    others = [c for c in table if c not in COLUMNS]
    places = (*COLUMNS, *others)
    titles = [f"  {fold_label(c):>6}" for c in places]
    columns = "".join(titles)

    def line(label: str, values: Sequence[float | None]) -> str:
        texts = ("-" if v is None else f"{v:.1f}" for v in values)
        sizes = (*map(len, titles), 8)
        return f"{label:{width}}" + "".join(f"{t:>{n}}" for t, n in zip(texts, sizes, strict=True))

    coverage = dict.fromkeys(str(c) for r in results for c in r.coverage)
    asked = {name: of_class for r in results for name, of_class in r.asked.items()}
    notes = [*coverage, *describe_few(asked)]
    lines = [f"{first.dataset} ({first.split}); {first.protocol}", *notes, ""]
    lines.append(f"{'mIoU':{width}}{columns}   FB-IoU")
    for method in methods:
        scores = {c: s for c, r in table.items() for s in r.scores if s.method == method}
        mean = scores.get("mean")
        values = [100 * scores[c].miou if c in scores else None for c in places]
        lines.append(line(method, [*values, mean and 100 * mean.fb_iou]))
        if mean and mean.miou_spread:
            lines[-1] += f"  +- {100 * mean.miou_spread:.1f} over the seeds"
    lines += ["", f"{printed:{width}}{columns}"]
    for method, of_shots in PAPER_MIOU.items():
        if shots in of_shots:
            fb_iou = _PUBLISHED["fb_iou"].get(method, {}).get(str(shots))
            lines.append(line(method, [*of_shots[shots], *[None] * len(others), fb_iou]))
    if not any(shots in of_shots for of_shots in PAPER_MIOU.values()):
        lines.append(f"(the paper prints no {shots}-shot row)")
    if first.dataset != "pascal5i":
        note = f"The paper's rows are of PASCAL-5i, ours of {first.dataset}: not comparable."
        lines += ["", note]
    return "\n".join(lines)
