"""What each part of the recipe `photographs` brings, on classes that no variant has seen.

Each variant trains from the same seed on the same folds, and answers the same episodes of the novel
classes. The first is the paper's network with the paper's losses; the next ones add one part each,
up to the whole recipe; the last ones change one thing of it.

    python -m tools.ablation --data voc_photos --fold 2,3 --steps 300 --train 3
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import torch

from ltm_edu.backbones import build_backbone
from ltm_edu.commands import chosen_folds
from ltm_edu.datasets import open_dataset
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.episodes import Fold, Protocol, fold_label
from ltm_edu.evaluation import count_episodes, draw_lists
from ltm_edu.features.cache import FeatureCache
from ltm_edu.league.difference import paired_difference
from ltm_edu.model import LTM
from ltm_edu.runs.processes import processes
from ltm_edu.runs.recipes import PHOTOGRAPHS
from ltm_edu.scores import Counts, counter_of
from ltm_edu.store.errors import InputError
from ltm_edu.store.files import data_dir, need_place, written_whole
from ltm_edu.training import fit

from . import tool

_NO_VOTE = "map_weight=0"
_PAPERS_NETWORK = ("transformation=local", "rows=fg", "residual=False", _NO_VOTE)
_ONE_ROW_MORE = ("transformation=local", "residual=False", _NO_VOTE)
_PAPERS_LOSSES = ("object_weight=1", "lambda_d=0")

VARIANTS: dict[str, tuple[str, ...]] = {
    "the paper's network and losses": (*_PAPERS_NETWORK, *_PAPERS_LOSSES),
    "+ a second mask row": (*_ONE_ROW_MORE, *_PAPERS_LOSSES),
    "+ the map as a residual": ("transformation=local", _NO_VOTE, *_PAPERS_LOSSES),
    "+ self-support": (_NO_VOTE, *_PAPERS_LOSSES),
    "+ pixels of the object count twice": (_NO_VOTE, "lambda_d=0"),
    "+ the overlap as a loss": (_NO_VOTE,),
    "+ a vote for the untrained map: the recipe": (),
    "the recipe with twice its weight for the maps": ("map_weight=6",),
    "the paper's network, the recipe's losses": _PAPERS_NETWORK,
    "all but the object counting twice and the map's vote": (_NO_VOTE, "object_weight=1"),
    "all but mirrored pictures and the map's vote": (_NO_VOTE, "flips=False"),
    "the recipe, query at 0.7, 1 and 1.3": ("query_scales=0.7,1.0,1.3",),
}
"""What a variant is called, and the settings in which it differs from the recipe."""


def ablation(
    dataset: VocFolder,
    folds: Sequence[Fold],
    settings: Sequence[str] = (),
    variants: Sequence[str] = tuple(VARIANTS),
    episodes: int = 600,
    rule: str = "grid",
    cache: Path | None = None,
    progress: bool = True,
    trainings: int = 1,
    device: torch.device | str = "cpu",
    on_row: Callable[[list[dict]], None] | None = None,
    split: str = "val",
) -> list[dict]:
    """Train and score variants.

    Args:
        dataset: pictures and masks.
        folds: which folds, 0 to 3 or names of novel classes.
        settings: fields of the recipe that all variants share, such as "steps=300".
        variants: their names.
        episodes: for each fold.
        rule: which pairs are episodes; see `Protocol`.
        cache: folder for features; None keeps them in memory.
        progress: show bars with the time left.
        trainings: how often each variant is trained, from seeds 0, 1 and so on.
        device: where to train and score.
        on_row: called with the rows so far, after each variant.
        split: the list that the episodes come from ("all" for every list).

    Returns:
        For each variant its name, its settings, the mIoU on each fold (a mean over the trainings),
        their mean, that mean for each training, the IoU of each class (a mean over the trainings),
        and the difference to the first variant over the classes of all folds with its 95 %
        interval, [value, low, high].

    Raises:
        InputError: no such variant or setting, or as `fit` and `evaluate` do.
    """
    for name in variants:
        if name not in VARIANTS:
            raise InputError(f"no variant {name!r}: there are {'; '.join(VARIANTS)}")
    recipes = {name: PHOTOGRAPHS.changed([*VARIANTS[name], *settings]) for name in variants}
    rows: list[dict] = []
    first: list[list[Counts]] = []
    config = next(iter(recipes.values())).model_config
    backbone = build_backbone(config.backbone, config.stages)
    asked = Protocol(rule, episodes=episodes, seeds=(0,))  # the same questions for all variants
    drawn = {fold: draw_lists(dataset, fold, asked, split)[0] for fold in folds}
    every = [e for fold in folds for e in drawn[fold]]
    for name, recipe in recipes.items():
        rules = Protocol(rule, recipe.novel_images, episodes=episodes, seeds=(0,))
        scores: dict[str, list[float]] = {fold_label(fold): [] for fold in folds}
        classes: dict[str, list[float]] = {}
        counts: list[list[Counts]] = [[] for _ in range(trainings)]
        for seed, fold in itertools.product(range(trainings), folds):
            torch.manual_seed(seed)
            model = LTM(recipe.model_config, backbone).to(device)
            training = recipe.training(seed=seed)
            fit(model, dataset, fold, training, rules, cache_folder=cache, progress=progress)
            scales = sorted({1.0, *recipe.model_config.query_scales})
            features = FeatureCache(
                model,
                dataset,
                drawn[fold].names(),
                folder=cache,
                progress=progress,
                query_scales=scales,
            )
            of_fold = count_episodes(model, features, drawn[fold], progress)
            counter = counter_of(drawn[fold], of_fold)
            scores[fold_label(fold)].append(counter.miou())
            for c, value in counter.per_class().items():
                classes.setdefault(dataset.classes[c - 1], []).append(value)
            counts[seed] += of_fold
        of_folds = {fold: fmean(of_seeds) for fold, of_seeds in scores.items()}
        first = first or counts
        rows.append(
            {
                "name": name,
                "differs": " ".join(VARIANTS[name]),
                "folds": of_folds,
                "mean": fmean(of_folds.values()),
                "trainings": [fmean(seed) for seed in zip(*scores.values(), strict=True)],
                "classes": {c: fmean(of_seeds) for c, of_seeds in classes.items()},
                "difference": paired_difference(every, counts, first),
            }
        )
        if progress:
            print(f"{name}: {rows[-1]['mean']:.3f}", flush=True)
        if on_row is not None:
            on_row(rows)
    return rows


@tool("tools.ablation")
def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score variants, a JSON written after each. An error is one line, exit status 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser("python -m tools.ablation", description=main.__doc__)
    add = parser.add_argument
    add("--data", required=True, help="a folder in VOC's layout")
    add("--fold", default="all", help="0, 1, 2, 3, several as in 1,2,3, or all")
    add("--novel", metavar="NAME,NAME", help="classes to leave out and to test, instead of a fold")
    add("--steps", type=int, default=300, help="updates of each variant")
    text = "a field of the recipe that all variants share; repeat for more"
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help=text)
    add("--variant", action="append", help="one of them; repeat for more (default: all)")
    add("--episodes", type=int, default=600, help="of each fold")
    add("--split", default="val", help="the list to score on, or all")
    add("--rule", choices=("grid", "area", "any"), default="grid")
    add("--cache", type=Path, help="folder for features (default: cache/ in the data folder)")
    add("--train", type=int, default=1, metavar="N", help="train each variant from N seeds")
    add("--device", help="default: the GPU, or the CPU where there is none")
    add("--json", type=Path, help="write the scores here")
    options = parser.parse_args(given)

    def save(rows: list[dict]) -> None:
        if options.json is None:
            return
        record = {
            "command": f"python -m tools.ablation {shlex.join(given)}",
            "dataset": dataset.root.name,
            "split": options.split,
            "steps": options.steps,
            "episodes": options.episodes,
            "trainings": options.train,
            "rows": rows,
        }
        with written_whole(options.json) as part:
            part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    if options.json:
        need_place(options.json)
    if options.train < 1:
        raise InputError(f"--train {options.train}: at least 1")
    dataset = open_dataset(options.data)
    with processes(options.device) as device:
        ablation(
            dataset,
            chosen_folds(options, dataset),
            [f"steps={options.steps}", *options.set],
            options.variant or tuple(VARIANTS),
            options.episodes,
            options.rule,
            options.cache or data_dir() / "cache",
            trainings=options.train,
            device=device,
            on_row=save,
            split=options.split,
        )


if __name__ == "__main__":
    sys.exit(main())
