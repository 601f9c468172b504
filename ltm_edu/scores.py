"""Scores: mIoU, FB-IoU and pooled foreground IoU, in tables that carry their protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from statistics import fmean
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
        return fmean(self.per_class().values()) if self.counts else float("nan")

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
        head = f"{'method':{width}}  {'mIoU':>6}  {'+-':>5}  {'FB-IoU':>6}  {'pooled fg':>9}"
        head += "".join(f"  {m:>6}" for m in self.scores[0].metrics)
        lines = [f"{self.dataset} ({self.split}), {name}; {self.protocol}", head]
        classes = ["", "IoU of each class:"]
        for s in self.scores:
            cells = f"{s.miou:6.3f}  {s.miou_spread:5.3f}  {s.fb_iou:6.3f}"
            cells += f"  {s.pooled_foreground_iou:9.3f}"
            cells += "".join(f"  {v:{max(6, len(m))}.3f}" for m, v in s.metrics.items())
            lines.append(f"{s.method:{width}}  {cells}")
            of_classes = ", ".join(f"{c} {v:.3f}" for c, v in s.per_class.items())
            classes.append(f"{s.method:{width}}  {of_classes}")
        return "\n".join(lines + classes)

    def as_dict(self) -> dict:
        """Plain values, for JSON."""
        scores = [vars(s) for s in self.scores]
        return {**vars(self), "protocol": self.protocol.as_dict(), "scores": scores}


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
        every = json.loads(Path(path).read_text(encoding="utf-8"))
        for values in every:
            values["protocol"] = Protocol.from_dict(values["protocol"])
            scores = [{**s, "miou_of_seeds": tuple(s["miou_of_seeds"])} for s in values["scores"]]
            values["scores"] = tuple(Score(**s) for s in scores)
        return [Results(**values) for values in every]
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
    of_classes: dict[int, list[float]] = {}
    for counter in counters:
        for c, value in counter.per_class().items():
            of_classes.setdefault(c, []).append(value)
    return Score(
        method,
        float(np.mean(mious)),
        float(np.std(mious)),
        fmean(c.fb_iou() for c in counters),
        fmean(c.pooled_foreground_iou() for c in counters),
        {classes[c - 1]: fmean(of_classes[c]) for c in sorted(of_classes)},
        tuple(mious),
        {m: fmean(map(metric, counters)) for m, metric in METRICS.items()},
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
                fmean(s.fb_iou for s in same),
                fmean(s.pooled_foreground_iou for s in same),
                {c: v for s in same for c, v in s.per_class.items()},
                tuple(of_seeds.tolist()),
                {m: fmean(s.metrics[m] for s in same) for m in score.metrics},
            )
        )
    return replace(first, fold="mean", scores=tuple(means))


# --- beside the paper -----------------------------------------------------------------------------

_PUBLISHED = json.loads((files(__package__) / "published.json").read_text(encoding="utf-8"))
PAPER_MIOU: dict[str, dict[int, tuple[float, ...]]] = {
    method: {int(shots): tuple(values) for shots, values in of_shots.items()}
    for method, of_shots in _PUBLISHED["miou"].items()
}
"""Method to shots to the mIoU that the paper prints for folds 0 to 3 and their mean, in percent."""

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
    table, first, shots = by_fold(results), results[0], results[0].protocol.shots
    methods = list(dict.fromkeys(s.method for r in results for s in r.scores))
    printed = "printed in the paper"
    width = max(map(len, (*methods, *PAPER_MIOU, printed)))
    columns = "".join(f"{c:>8}" for c in COLUMNS)

    def line(label: str, values: Sequence[float | None]) -> str:
        cells = (f"{'-':>8}" if v is None else f"{v:8.1f}" for v in values)
        return f"{label:{width}}" + "".join(cells)

    lines = [f"{first.dataset} ({first.split}); {first.protocol}", ""]
    lines.append(f"{'mIoU':{width}}{columns}   FB-IoU")
    for method in methods:
        scores = {c: s for c, r in table.items() for s in r.scores if s.method == method}
        mean = scores.get("mean")
        values = [100 * scores[c].miou if c in scores else None for c in COLUMNS]
        lines.append(line(method, [*values, mean and 100 * mean.fb_iou]))
        if mean and mean.miou_spread:
            lines[-1] += f"  +- {100 * mean.miou_spread:.1f} over the seeds"
    lines += ["", f"{printed:{width}}{columns}"]
    for method, of_shots in PAPER_MIOU.items():
        if shots in of_shots:
            fb_iou = _PUBLISHED["fb_iou"].get(method, {}).get(str(shots))
            lines.append(line(method, [*of_shots[shots], fb_iou]))
    if not any(shots in of_shots for of_shots in PAPER_MIOU.values()):
        lines.append(f"(the paper prints no {shots}-shot row)")
    if first.dataset != "pascal5i":
        note = f"The paper's rows are of PASCAL-5i, ours of {first.dataset}: not comparable."
        lines += ["", note]
    return "\n".join(lines)
