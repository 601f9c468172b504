"""Scores: mIoU, FB-IoU and pooled foreground IoU, in tables that carry their protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .episodes import FOLDS, Protocol
from .store.errors import InputError
from .store.files import written_whole
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
        """Count one episode.

        Args:
            predicted: (H, W) bool, True where the model predicts the object.
            truth: (H, W) uint8 of 0, 1 and 255.
            class_id: the episode's class.
        """
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
        return float(np.mean(list(self.per_class().values()))) if self.counts else float("nan")

    def pooled_foreground_iou(self) -> float:
        """Foreground IoU over all episodes together: what LTM's released code calls mIoU."""
        return iou(self.total().both, self.total().either)

    def fb_iou(self) -> float:
        """Mean of foreground and background IoU on pooled pixels; high even for poor answers."""
        total = self.total()
        background = iou(total.counted - total.either, total.counted - total.both)
        return (self.pooled_foreground_iou() + background) / 2


METRICS: dict[str, Callable[[IoUCounter], float]] = {}
"""Further metrics by name: each is shown in tables and stored in results, as a mean over seeds."""


@dataclass(frozen=True)
class Score:
    """The scores of one method, over the episode seeds.

    Attributes:
        method: its name.
        miou, miou_spread: mean and standard deviation over the seeds.
        fb_iou: likewise the mean.
        pooled_foreground_iou: likewise the mean.
        per_class: class name to IoU, mean over the seeds.
        miou_of_seeds: mIoU of each episode seed, in the protocol's order.
        metrics: name to value of the further `METRICS`, mean over the seeds.
    """

    method: str
    miou: float
    miou_spread: float
    fb_iou: float
    pooled_foreground_iou: float
    per_class: dict[str, float]
    miou_of_seeds: tuple[float, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)


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
        further = list(self.scores[0].metrics)
        lines = [
            f"{self.dataset} ({self.split}), {name}; {self.protocol}",
            f"{'method':{width}}  {'mIoU':>6}  {'+-':>5}  {'FB-IoU':>6}  {'pooled fg':>9}"
            + "".join(f"  {m:>6}" for m in further),
        ]
        lines += [
            f"{s.method:{width}}  {s.miou:6.3f}  {s.miou_spread:5.3f}  {s.fb_iou:6.3f}  "
            f"{s.pooled_foreground_iou:9.3f}"
            + "".join(f"  {s.metrics[m]:{max(6, len(m))}.3f}" for m in further)
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
        return [
            Results(
                values["dataset"],
                values["split"],
                values["fold"],
                Protocol.from_dict(values["protocol"]),
                tuple(
                    Score(**{**s, "miou_of_seeds": tuple(s["miou_of_seeds"])})
                    for s in values["scores"]
                ),
            )
            for values in json.loads(Path(path).read_text(encoding="utf-8"))
        ]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f"{path} holds no results: write them with ltm-edu evaluate or save_results"
        ) from None


def score_of(method: str, counters: Sequence[IoUCounter], classes: Sequence[str]) -> Score:
    """The scores of a method.

    Args:
        method: its name.
        counters: one for each episode seed.
        classes: names of all classes; class id 1 is the first.
    """
    mious = [c.miou() for c in counters]
    each = [c.per_class() for c in counters]
    ids = sorted({c for per_class in each for c in per_class})
    return Score(
        method,
        float(np.mean(mious)),
        float(np.std(mious)),
        float(np.mean([c.fb_iou() for c in counters])),
        float(np.mean([c.pooled_foreground_iou() for c in counters])),
        {classes[i - 1]: float(np.mean([p[i] for p in each if i in p])) for i in ids},
        tuple(mious),
        {m: float(np.mean([metric(c) for c in counters])) for m, metric in METRICS.items()},
    )


def mean_over_folds(results: Sequence[Results]) -> Results:
    """The table of the four folds' means, for the methods that all of them hold.

    Its spread is that of the mean over the seeds, not the mean of the folds' spreads.
    """
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
                float(np.std(of_seeds)),
                float(np.mean([s.fb_iou for s in same])),
                float(np.mean([s.pooled_foreground_iou for s in same])),
                {c: v for s in same for c, v in s.per_class.items()},
                tuple(of_seeds.tolist()),
                {m: float(np.mean([s.metrics[m] for s in same])) for m in score.metrics},
            )
        )
    return Results(first.dataset, first.split, "mean", first.protocol, tuple(means))


# --- beside the paper -----------------------------------------------------------------------------

# method: (folds 0 to 3, mean), 1-shot and 5-shot. LogReg's 5-shot folds do not give its mean; with
# 35.9 for 25.9 they would.
PAPER_MIOU: dict[str, dict[int, tuple[float, ...]]] = {
    "1-NN": {1: (25.3, 44.9, 41.7, 18.4, 32.6), 5: (34.5, 53.0, 46.9, 25.6, 40.0)},
    "LogReg": {1: (26.9, 42.9, 37.1, 18.4, 31.4), 5: (25.9, 51.6, 44.5, 25.6, 39.3)},
    "Siamese": {1: (28.1, 39.9, 31.8, 25.8, 31.4)},
    "OSVOS": {1: (24.9, 38.8, 36.5, 30.1, 32.6)},
    "Co-segmentation": {5: (25.1, 28.9, 27.7, 26.3, 27.1)},
    "OSLSM": {1: (33.6, 55.3, 40.9, 33.5, 40.8), 5: (35.9, 58.1, 42.7, 39.1, 43.9)},
    "co-FCN": {1: (36.7, 50.6, 44.9, 32.4, 41.1), 5: (37.5, 50.0, 44.1, 33.9, 41.4)},
    "SG-One": {1: (40.2, 58.4, 48.4, 38.4, 46.3), 5: (41.9, 58.6, 48.6, 39.4, 47.1)},
    "CANet": {1: (52.5, 65.9, 51.3, 51.9, 55.4), 5: (55.5, 67.8, 51.9, 53.2, 57.1)},
    "LTM": {1: (52.8, 69.6, 53.2, 52.3, 57.0), 5: (57.9, 69.9, 56.9, 57.5, 60.6)},
}
# method: FB-IoU, 1-shot and 5-shot
PAPER_FB_IOU = {
    "OSLSM": (61.3, 61.5),
    "co-FCN": (60.1, 60.2),
    "PL": (61.2, 62.3),
    "SG-One": (63.1, 65.9),
    "A-MCG": (61.2, 62.2),
    "CANet": (66.2, 69.6),
    "LTM": (71.8, 74.6),
}
COLUMNS = (0, 1, 2, 3, "mean")


def by_fold(results: Sequence[Results]) -> dict[int | str, Results]:
    """Results that belong in one table, by their fold; with the mean if all four are given.

    Raises:
        InputError: there are none, they differ in dataset or protocol, or a fold occurs twice.
    """
    if not results:
        raise InputError("no results to show: write them with ltm-edu evaluate or save_results")
    first = results[0]
    table: dict[int | str, Results] = {}
    for other in results:
        if any(getattr(other, k) != getattr(first, k) for k in ("dataset", "split", "protocol")):
            raise InputError(
                f"fold {other.fold} and fold {first.fold} differ in dataset, split or protocol: "
                "such scores do not belong in one table"
            )
        if other.fold in table:
            raise InputError(f"fold {other.fold} occurs twice: name each results file once")
        table[other.fold] = other
    if set(table) == set(range(FOLDS)):
        table["mean"] = mean_over_folds([table[f] for f in range(FOLDS)])
    return table


def beside_the_paper(results: Sequence[Results]) -> str:
    """Results of one dataset and protocol as a table by folds, above the paper's.

    Args:
        results: of some folds, and maybe of their mean.

    Returns:
        Text, in percent; "-" where a fold was not scored or a number not printed.

    Raises:
        InputError: as `by_fold`.
    """
    table = by_fold(results)
    first = results[0]
    methods = list(dict.fromkeys(s.method for r in results for s in r.scores))
    width = max(map(len, (*methods, *PAPER_MIOU, "FB-IoU, as printed")))
    head = f"{'mIoU':{width}}" + "".join(f"{c:>8}" for c in COLUMNS)
    lines = [f"{first.dataset} ({first.split}); {first.protocol}", "", f"{head}   FB-IoU"]
    for method in methods:
        scores = {
            c: next((s for s in table[c].scores if s.method == method), None)
            if c in table
            else None
            for c in COLUMNS
        }
        cells = [_percent(s and s.miou) for s in scores.values()]
        cells.append(_percent(scores["mean"] and scores["mean"].fb_iou))
        spread = scores["mean"].miou_spread if scores["mean"] else 0
        after = f"  +- {100 * spread:.1f} over the seeds" if spread else ""
        lines.append(f"{method:{width}}" + "".join(cells) + after)
    shots = first.protocol.shots
    lines += ["", f"{'printed in the paper':{width}}" + "".join(f"{c:>8}" for c in COLUMNS)]
    for method, printed in PAPER_MIOU.items():
        if shots in printed:
            both = dict(zip((1, 5), PAPER_FB_IOU.get(method, ()), strict=False))
            cells = [*printed[shots], both.get(shots)]
            lines.append(f"{method:{width}}" + "".join(_percent(v and v / 100) for v in cells))
    if not any(shots in printed for printed in PAPER_MIOU.values()):
        lines.append(f"(the paper prints no {shots}-shot row)")
    if first.dataset != "pascal5i":
        lines += [
            "",
            f"The paper's rows are of PASCAL-5i, ours of {first.dataset}: not comparable.",
        ]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{100 * value:8.1f}"
