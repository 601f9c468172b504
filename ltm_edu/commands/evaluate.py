"""`ltm-edu evaluate`: score checkpoints and baselines on the same episodes."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from .. import evaluation
from ..datasets.joined import common_name
from ..datasets.voc import VocFolder
from ..episodes import EpisodeList, Protocol, novel_classes
from ..model import FewShotModel, TrainingFreeMap
from ..runs.checkpoint import load_checkpoint
from ..runs.processes import processes, rank
from ..runs.recipes import recipe_for
from ..scores import Results, mean_over_folds, save_results
from ..store.errors import InputError
from ..store.files import data_dir, need_place
from . import chosen_dataset, chosen_folds


def run(options: argparse.Namespace) -> None:
    """Score checkpoints and baselines; print the tables, and save them on request."""
    folds = [None] if options.all_classes else chosen_folds(options.fold)
    seeds = tuple(options.seed) if options.seed else (0, 1, 2, 3, 4)
    dataset = chosen_dataset(options)
    if (options.query_scales or options.crf) and not options.checkpoint:
        raise InputError("--query-scales and --crf need checkpoints: name one")
    if options.json:
        need_place(options.json)
    results: list[Results] = []
    cache = options.cache or data_dir() / "cache"
    with processes(options.device) as device:
        for fold in folds:
            models, novel_images = _methods(options, dataset, fold)
            for model in models.values():
                model.to(device)
            protocol = Protocol(options.rule, novel_images, options.shots, options.episodes, seeds)
            results.append(
                evaluation.evaluate(
                    models,
                    dataset,
                    fold,
                    protocol,
                    options.split,
                    cache_folder=cache,
                    crf=options.crf,
                    episode_lists=_episode_lists(options, dataset, fold, protocol),
                )
            )
        if rank() > 0:
            return
    if len(results) > 1:
        results.append(mean_over_folds(results))
    if options.json:
        save_results(options.json, results)
    print("\n\n".join(r.table() for r in results))


def _episode_lists(
    options: argparse.Namespace, dataset: VocFolder, fold: int | None, protocol: Protocol
) -> list[EpisodeList] | None:
    """The lists of --episode-lists; those whose file is missing are drawn and written."""
    pattern = options.episode_lists
    if pattern is None:
        return None
    several = {"{fold}": options.fold == "all", "{seed}": len(protocol.seeds) > 1}
    if lacking := [part for part in several if several[part] and part not in pattern]:
        raise InputError(
            f"--episode-lists needs {' and '.join(lacking)} in its name, one file for each"
        )
    lists = []
    for seed in protocol.seeds:
        path = Path(_of_fold(pattern, fold).replace("{seed}", str(seed)))
        if not path.is_file():
            one = replace(protocol, seeds=(seed,))
            evaluation.draw_lists(dataset, fold, one, options.split)[0].save(path)
        lists.append(EpisodeList.load(path))
    return lists


def _of_fold(pattern: str, fold: int | None) -> str:
    """A file's name with its {fold} filled in."""
    return pattern.replace("{fold}", "all" if fold is None else str(fold))


def _methods(
    options: argparse.Namespace, dataset: VocFolder, fold: int | None
) -> tuple[dict[str, FewShotModel], Literal["keep", "drop"]]:
    """The models of a fold's table by name, and what their training did with novel images."""
    models: dict[str, FewShotModel] = {}
    rules, backbone = set(), None
    try:
        texts = options.query_scales.split(",") if options.query_scales else []
        other_scales = tuple(map(float, texts))
    except ValueError:
        text = options.query_scales
        raise InputError(f"--query-scales {text}: give numbers, as in 0.7,1,1.3") from None
    held_out = () if fold is None else novel_classes(fold, len(dataset.classes))
    novel = [dataset.classes[c - 1] for c in held_out]
    for pattern in options.checkpoint:
        path = Path(_of_fold(pattern, fold))
        model, trained_on = load_checkpoint(path)
        seen = {common_name(name) for name in trained_on.base_classes}
        if leaked := [name for name in novel if common_name(name) in seen]:
            names = ", ".join(leaked[:3]) + (" and more" if leaked[3:] else "")
            raise InputError(
                f"{path} was trained on {names}, which fold {fold} tests: its score would not be "
                "few-shot (leakage); use that fold's checkpoint"
            )
        backbone = backbone or model.backbone
        c = model.config
        kind = f"local, {c.rows}" if c.transformation == "local" else c.transformation
        # One name for all folds, whether {fold} or the name of each fold's file was given.
        stem = re.sub(rf"[_-]?(fold)?\{{fold\}}|[_-]?fold_?{fold}$", "", Path(pattern).stem)
        stem = stem or "LTM"
        for scales in dict.fromkeys([c.query_scales, other_scales or c.query_scales]):
            at = "" if scales == (1.0,) else f", query at {' '.join(map('{:g}'.format, scales))}"
            method = f"{stem} ({kind}{at})"
            if method in models:  # a checkpoint of the same name in another folder
                method = f"{Path(pattern).parent / stem} ({kind}{at})"
            models[method] = model.at_query_scales(scales)
        rules.add(trained_on.protocol.novel_images)
    if len(rules) > 1:
        raise InputError("these checkpoints differ in --novel-images: score them one by one")
    recipe = recipe_for(options.data)
    config = next((m.config for m in models.values()), recipe.model_config)
    for rows in ("fg", "fg_bg"):
        local = replace(config, transformation="local", rows=rows, shots="mean")
        model = TrainingFreeMap(local, backbone)
        models[f"training-free map ({rows})"], backbone = model, model.backbone
    return models, rules.pop() if rules else recipe.novel_images
