"""Our scores beside the paper's tables, fold by fold.

The numbers are those printed by Yang et al., MMM 2020 (arXiv:1910.05886), mIoU in percent on
PASCAL-5i. What they were scored by is not printed with them: the released code pools the
foreground of a fold's five classes and chooses the epoch on the test fold. So two rows of this
table are never a ranking, and the caption says what ours were scored by.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import InputError
from .protocol import FOLDS
from .scores import Results, mean_over_folds

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
    """Results that belong in one table, by their fold; with the mean where all four are there.

    Raises:
        InputError: there are none, they differ in dataset or protocol, or a fold is there twice.
    """
    if not results:
        raise InputError("no results to show: write them with ltm-edu evaluate --json")
    first = results[0]
    table: dict[int | str, Results] = {}
    for found in results:
        if (found.dataset, found.split, found.protocol) != (
            first.dataset,
            first.split,
            first.protocol,
        ):
            raise InputError(
                f"fold {found.fold} and fold {first.fold} differ in dataset, split or protocol: "
                "such scores do not belong in one table"
            )
        if found.fold in table:
            raise InputError(f"fold {found.fold} is there twice")
        table[found.fold] = found
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
