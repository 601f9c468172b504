"""`ltm-edu evaluate`: score checkpoints and baselines on the same episodes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from .. import evaluation
from ..datasets.voc import VocFolder
from ..episodes import FOLDS, EpisodeList, Fold, NoEpisodes, NovelImages, Protocol, fold_label
from ..model import FewShotModel, TrainingFreeMap
from ..runs.checkpoint import load_checkpoint
from ..runs.processes import processes, rank
from ..runs.recipes import recipe_for
from ..scores import Results, mean_over_folds, save_results
from ..store.errors import InputError
from ..store.files import data_dir, need_place
from . import chosen_dataset, chosen_folds, leaked_classes, of_fold, report_skipped


def run(options: argparse.Namespace) -> int:
    """Score checkpoints and baselines; print the tables, and save them on request."""
    with processes(options.device) as device:
        return _evaluate(options, device)


def _evaluate(options: argparse.Namespace, device: torch.device) -> int:
    dataset = chosen_dataset(options)
    folds = chosen_folds(options, dataset)
    seeds = tuple(options.seed) if options.seed else (0, 1, 2, 3, 4)
    if (options.query_scales or options.crf) and not options.checkpoint:
        raise InputError("--query-scales and --crf need checkpoints: name one")
    if options.json:
        need_place(options.json)
    scored: dict[Fold, Results] = {}
    skipped: dict[str, str] = {}
    cache = options.cache or data_dir() / "cache"
    # The checkpoints of every fold are read before the first fold is scored.
    of_folds = {fold: _methods(options, dataset, fold) for fold in folds}
    rules = {rule: path for _, read in of_folds.values() for rule, path in read.items()}
    if len(rules) > 1:
        which = ", ".join(f"{path}: {rule}" for rule, path in rules.items())
        raise InputError(
            f"these checkpoints differ in --novel-images ({which}): score them one by one"
        )
    novel_images = next(iter(rules), recipe_for(options.data).novel_images)
    protocol = Protocol(options.rule, novel_images, options.shots, options.episodes, seeds)
    for fold, (models, _) in of_folds.items():
        for model in models.values():
            model.to(device)
        try:
            scored[fold] = evaluation.evaluate(
                models,
                dataset,
                fold,
                protocol,
                options.split,
                cache_folder=cache,
                crf=options.crf,
                episode_lists=_episode_lists(options, dataset, folds, fold, protocol),
            )
        except NoEpisodes as error:
            skipped[fold_label(fold)] = str(error)
            if len(skipped) == len(folds):
                raise
    if rank() > 0:
        return 0
    results = list(scored.values())
    if len(results) == FOLDS:
        results.append(mean_over_folds(results))
    if options.json:
        save_results(options.json, results)
    tables = [r.table() for r in results]
    if skipped:
        without = f"{dataset.root.name} ({options.split}), fold {', '.join(skipped)}: no episodes"
        tables.append(without + ", so there is no mean of the four" * (len(folds) == FOLDS))
    print("\n\n".join(tables))
    return report_skipped(skipped, "scored")


def _episode_lists(
    options: argparse.Namespace,
    dataset: VocFolder,
    folds: Sequence[Fold],
    fold: Fold,
    protocol: Protocol,
) -> list[EpisodeList] | None:
    """The lists of --episode-lists; those whose file is missing are drawn and written."""
    pattern = options.episode_lists
    if pattern is None:
        return None
    several = {"{fold}": len(folds) > 1, "{seed}": len(protocol.seeds) > 1}
    if lacking := [part for part in several if several[part] and part not in pattern]:
        raise InputError(
            f"--episode-lists needs {' and '.join(lacking)} in its name, one file for each"
        )
    lists = []
    for seed in protocol.seeds:
        path = Path(of_fold(pattern, fold).replace("{seed}", str(seed)))
        if not path.exists():
            one = replace(protocol, seeds=(seed,))
            evaluation.draw_lists(dataset, fold, one, options.split)[0].save(path)
        lists.append(EpisodeList.load(path))
    return lists


def _methods(
    options: argparse.Namespace, dataset: VocFolder, fold: Fold
) -> tuple[dict[str, FewShotModel], dict[NovelImages, Path]]:
    """The models of a fold's table by name, and a checkpoint for each rule for novel images."""
    models: dict[str, FewShotModel] = {}
    rules: dict[NovelImages, Path] = {}
    backbone = None
    try:
        texts = options.query_scales.split(",") if options.query_scales else []
        other_scales = tuple(map(float, texts))
    except ValueError:
        text = options.query_scales
        raise InputError(f"--query-scales {text}: give numbers, as in 0.7,1,1.3") from None
    number = re.escape(of_fold("{fold}", fold).lstrip("_"))
    for pattern in options.checkpoint:
        path = Path(of_fold(pattern, fold))
        model, trained_on = load_checkpoint(path)
        if names := leaked_classes(trained_on, dataset, fold):
            raise InputError(
                f"{path} was trained on {names}, which fold {fold_label(fold)} tests: its score "
                "would not be few-shot (leakage); use that fold's checkpoint"
            )
        backbone = backbone or model.backbone
        c = model.config
        kind = f"local, {c.rows}" if c.transformation == "local" else c.transformation
        # One name for all folds, whether {fold} or the name of each fold's file was given.
        stem = re.sub(rf"[_-]?(fold)?\{{fold\}}|[_-]?fold_?{number}$", "", Path(pattern).stem)
        stem = stem or "LTM"
        for scales in dict.fromkeys([c.query_scales, other_scales or c.query_scales]):
            at = "" if scales == (1.0,) else f", query at {' '.join(map('{:g}'.format, scales))}"
            method = f"{stem} ({kind}{at})"
            if method in models:  # a checkpoint of the same name in another folder
                method = f"{Path(pattern).parent / stem} ({kind}{at})"
            models[method] = model.at_query_scales(scales)
        rules[trained_on.protocol.novel_images] = path
    config = next((m.config for m in models.values()), recipe_for(options.data).model_config)
    for rows in ("fg", "fg_bg"):
        local = replace(config, transformation="local", rows=rows, shots="mean")
        model = TrainingFreeMap(local, backbone)
        models[f"training-free map ({rows})"], backbone = model, model.backbone
    return models, rules
