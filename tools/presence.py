"""Measure how well presence tells pictures that show a class from pictures that do not.

`python -m tools.presence --data photos --data voc_photos` draws supports of every class, compares
them with pictures that show the class and with pictures without a pixel of it, and prints the
constants of `ltm_edu.masks.presence`. Each class is judged with constants that were fitted on other
classes: those of the other three folds, of all data sets together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import rankdata

from ltm_edu import load_checkpoint, open_dataset, shipped_checkpoint
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import FOLDS, find_pairs, images_by_class
from ltm_edu.features.cache import FeatureCache
from ltm_edu.masks.presence import MIN_PRESENCE, most_similar_cells, prototype
from ltm_edu.model import FewShotModel

from . import tool


def cosines(
    model: FewShotModel,
    dataset: VocFolder,
    mean: torch.Tensor,
    shots: int,
    supports: int,
    queries: int,
    cache_folder: Path | None,
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Class id to what `most_similar_cells` gives where the class is, and where it is not.

    Every class has up to `supports` groups of `shots` pictures; all are compared with the same
    `queries` pictures. A picture has a class by the grid rule, and lacks it if no pixel shows it.
    """
    cache = FeatureCache(model, dataset, dataset.names("all"), folder=cache_folder)
    index = dataset.index("all")
    ids = range(1, len(dataset.classes) + 1)
    rng = np.random.default_rng(0)
    groups, prototypes = [], []
    for c, names in images_by_class(find_pairs(index, ids, "grid")).items():
        order = [str(n) for n in rng.permutation(names)]
        for start in range(0, len(order) - shots + 1, shots)[:supports]:
            group = order[start : start + shots]
            G_s = cache.grid_masks(cache.masks(group, [c] * shots))
            prototypes.append(prototype(cache.support_features(group), G_s, mean))
            groups.append((c, set(group)))
    found: dict[int, tuple[list, list]] = {c: ([], []) for c, _ in groups}
    chosen = rng.permutation(len(index.names))[:queries]
    for i in chosen:
        name = index.names[i]
        row = most_similar_cells(cache.support_features([name]), torch.stack(prototypes), mean)[0]
        for value, (c, group) in zip(row.tolist(), groups, strict=True):
            if name not in group and index.grid[i, c - 1] > 2:
                found[c][0].append(value)
            elif index.pixels[i, c - 1] == 0:
                found[c][1].append(value)
    return {c: (np.array(p), np.array(n)) for c, (p, n) in found.items() if p and n}


def fit_logistic(with_it: np.ndarray, without: np.ndarray) -> tuple[float, float]:
    """Slope and offset that make presence a probability where one half of the pictures show it."""

    def loss(constants: np.ndarray) -> float:
        slope, offset = constants
        missed = np.logaddexp(0, -slope * with_it - offset).mean()
        return missed + np.logaddexp(0, slope * without + offset).mean()

    return tuple(minimize(loss, (5.0, -3.0)).x.tolist())


def area_under_curve(with_it: np.ndarray, without: np.ndarray) -> float:
    """How often a picture with the class comes before one without it."""
    ranks = rankdata(np.concatenate([with_it, without]))[: len(with_it)]
    return (ranks.mean() - (len(with_it) + 1) / 2) / len(without)


@tool("tools.presence")
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what presence tells. An error prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.presence", description=main.__doc__)
    parser.add_argument("--data", action="append", required=True, help="repeat for more")
    parser.add_argument("--checkpoint", type=Path, help="default: photographs, which is shipped")
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--supports", type=int, default=10, help="groups of supports a class")
    parser.add_argument("--queries", type=int, default=600)
    parser.add_argument("--least", type=float, default=MIN_PRESENCE, help="presence of a yes")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args(arguments)
    datasets = {data: open_dataset(data) for data in options.data}
    model, _ = load_checkpoint(options.checkpoint or shipped_checkpoint("photographs"))
    mean = model.feature_mean
    sizes = options.shots, options.supports, options.queries
    sets = {
        data: cosines(model, dataset, mean, *sizes, options.cache)
        for data, dataset in datasets.items()
    }

    def joined(fold: int | None) -> list[np.ndarray]:
        """All cosines of the classes outside a fold, with and without the class."""
        kept = [v for found in sets.values() for c, v in found.items() if c % FOLDS != fold]
        return [np.concatenate(side) for side in zip(*kept, strict=True)]

    constants = {fold: fit_logistic(*joined(fold)) for fold in range(FOLDS)}
    print("| data | classes | AUC, mean of classes | AUC, all pairs | found | false alarms |")
    print("|---|---|---|---|---|---|")
    for data, found in sets.items():
        judged: tuple[list, list] = ([], [])
        for c, pair in found.items():
            slope, offset = constants[c % FOLDS]
            for side, values in zip(judged, pair, strict=True):
                side.append(1 / (1 + np.exp(-slope * values - offset)))
        each = np.mean([area_under_curve(p, n) for p, n in found.values()])
        yes, no = map(np.concatenate, judged)
        rates = [(side >= options.least).mean() for side in (yes, no)]
        numbers = (each, area_under_curve(yes, no), *rates)
        columns = [Path(data).name, str(len(found)), *(f"{v:.2f}" for v in numbers)]
        print(f"| {' | '.join(columns)} |")
    slope, offset = fit_logistic(*joined(None))
    print(f"constants over all classes: slope {slope:.2f}, offset {offset:.2f}")


if __name__ == "__main__":
    sys.exit(main())
