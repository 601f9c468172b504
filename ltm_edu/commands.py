"""What each command of `ltm-edu` does with its options; a user's mistake is an InputError."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from . import evaluation, prediction
from .checkpoint import TrainedOn, load_checkpoint, read_checkpoint, save_checkpoint
from .datasets import open_dataset, pascal5i
from .datasets.inspection import inspect_folder, report
from .datasets.voc_layout import VocFolder
from .episodes import EpisodeList
from .errors import InputError
from .model import LTM, TrainingFreeMap
from .parallel import processes, rank
from .paths import data_dir, need_place, written_whole
from .protocol import FOLDS, Protocol, novel_classes
from .published import beside_the_paper, by_fold
from .recipes import Recipe, recipe_for, recipe_name
from .run_state import differences
from .scores import Results, load_results, mean_over_folds, save_results
from .settings import Machine
from .training import fit


def fetch(options: argparse.Namespace) -> None:
    """Put a dataset into the data folder."""
    if options.dataset != "pascal5i":
        raise InputError(f"fetch {options.dataset}: it knows pascal5i (emoji5i is drawn, not got)")
    root = pascal5i.fetch(options.source, options.mirror)
    print(f"{root}: complete; use it with --data pascal5i")
    for path in pascal5i.kept_archives():
        print(f"{path}: no longer needed; delete it if you like")


def verify(options: argparse.Namespace) -> None:
    """Print what is missing or broken in a dataset."""
    if options.dataset == "pascal5i":
        root, faults = pascal5i.folder(), pascal5i.verify()
        advice = "ltm-edu fetch pascal5i makes again only what is missing or broken"
    else:
        dataset = open_dataset(options.dataset)
        root, faults = dataset.root, inspect_folder(dataset)
        advice = "mend or replace them, or take their names out of the lists"
    for line in report(faults):
        print(line)
    if faults:
        raise InputError(f"{root}: {len(faults)} missing or broken: {advice}")
    print(f"{root}: every file that the lists name is there and can be read")


def train(options: argparse.Namespace) -> None:
    """Train a fold, or all four in turn, and write checkpoints and logs."""
    folds = [None] if options.all_classes else _folds(options.fold)
    target = str(options.checkpoint or f"runs/{Path(options.data).name}_fold{{fold}}.pt")
    if len(folds) > 1 and "{fold}" not in target:
        raise InputError("--checkpoint needs {fold} in its name to write four of them")
    dataset = open_dataset(options.data)
    recipe = _chosen_recipe(options)
    training = recipe.training_config
    protocol = Protocol(options.rule, options.novel_images or recipe.novel_images, options.shots)
    cache = options.cache or data_dir() / "cache"
    with processes(options.device) as device:
        for fold in folds:
            path = Path(target.replace("{fold}", "_all" if fold is None else str(fold)))
            if options.resume and _is_trained(path, recipe, protocol, fold):
                if rank() == 0:
                    print(f"{path} is trained already: delete it to train it anew")
                continue
            machine = _machine(options, path)
            torch.manual_seed(training.seed)
            model = LTM(recipe.model_config).to(device)
            with _curves(options.tensorboard, path.stem) as on_step:
                fitted = fit(
                    model,
                    dataset,
                    fold,
                    training,
                    protocol,
                    options.split,
                    None if options.features == "memory" else cache,
                    log=path.with_suffix(".jsonl"),
                    on_step=on_step,
                    machine=machine,
                )
            if rank() > 0:
                continue
            settings = {**training.as_dict(), "best_step": fitted.best_step}
            name, command = dataset.root.name, options.command_line
            about = TrainedOn(name, fold, fitted.base_classes, protocol, settings, command)
            save_checkpoint(path, model, about)
            if machine.state is not None:
                machine.state.unlink(missing_ok=True)
            chosen = f", step {fitted.best_step} of {training.steps}"
            if fitted.held_out:
                chosen += f" chosen on {', '.join(fitted.held_out)}"
            what = "all classes" if fold is None else f"fold {fold}"
            print(f"{path}: {what}, recipe {options.recipe or recipe_name(options.data)}{chosen}")


def _is_trained(path: Path, recipe: Recipe, protocol: Protocol, fold: int | None) -> bool:
    """Whether a checkpoint is there, and from this very training."""
    if not path.is_file():
        return False
    config, trained_on = read_checkpoint(path)
    training = {k: v for k, v in trained_on.training.items() if k != "best_step"}
    there = {
        "fold": trained_on.fold,
        "model": config.as_dict(),
        "training": training,
        "protocol": trained_on.protocol.as_dict(),
    }
    here = {
        "fold": fold,
        "model": recipe.model_config.as_dict(),
        "training": recipe.training_config.as_dict(),
        "protocol": protocol.as_dict(),
    }
    if differ := list(differences(there, here)):
        raise InputError(
            f"{path} is there, of another training ({'; '.join(differ)}): move it away, or name "
            "another --checkpoint"
        )
    return True


def _chosen_recipe(options: argparse.Namespace) -> Recipe:
    recipe = recipe_for(options.data, options.recipe)
    short = {
        "transformation": options.transformation,
        "rows": options.rows,
        "image_size": options.size,
        "steps": options.steps,
        "seed": options.seed,
    }
    return recipe.changed([*(f"{k}={v}" for k, v in short.items() if v is not None), *options.set])


def _machine(options: argparse.Namespace, checkpoint: Path) -> Machine:
    return Machine(
        options.features == "device",
        options.workers,
        options.compile,
        checkpoint.with_suffix(".state") if options.resume else None,
        options.save_every,
    )


@contextmanager
def _curves(folder: Path | None, name: str) -> Iterator[Callable[[int, dict], None] | None]:
    """What TensorBoard shows of a run, a curve a number of the log."""
    if folder is None or rank() > 0:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs: pip install 'ltm-edu[tensorboard]'") from None
    with SummaryWriter(folder / name) as writer:

        def on_step(step: int, row: dict) -> None:
            for key in row.keys() - {"step", "seconds"}:
                writer.add_scalar(key, row[key], step)

        yield on_step


def evaluate(options: argparse.Namespace) -> None:
    """Score checkpoints and floors on the same episodes; print the tables, maybe save them."""
    folds = _folds(options.fold)
    seeds = tuple(options.seed) if options.seed else (0, 1, 2, 3, 4)
    dataset = open_dataset(options.data)
    if (options.query_scales or options.crf) and not options.checkpoint:
        raise InputError("--query-scales and --crf are about checkpoints: name one")
    if options.json:
        need_place(options.json)
    found: list[Results] = []
    for fold in folds:
        models, novel_images = _rows_to_score(options, dataset, fold)
        with processes(options.device) as device:
            for model in models.values():
                model.to(device)
        protocol = Protocol(options.rule, novel_images, options.shots, options.episodes, seeds)
        cache = options.cache or data_dir() / "cache"
        found.append(
            evaluation.evaluate(
                models,
                dataset,
                fold,
                protocol,
                options.split,
                cache_folder=cache,
                crf=options.crf,
                episode_lists=_episode_lists(options, dataset, fold, protocol, cache),
            )
        )
    if len(found) > 1:
        found.append(mean_over_folds(found))
    if options.json:
        save_results(options.json, found)
    print("\n\n".join(r.table() for r in found))


def _episode_lists(
    options: argparse.Namespace, dataset: VocFolder, fold: int, protocol: Protocol, cache: Path
) -> list[EpisodeList] | None:
    """The lists of --episode-lists, those drawn and kept that are not there yet."""
    pattern = options.episode_lists
    if pattern is None:
        return None
    several = (("{fold}", options.fold == "all"), ("{seed}", len(protocol.seeds) > 1))
    if lacking := [part for part, needed in several if needed and part not in pattern]:
        raise InputError(
            f"--episode-lists needs {' and '.join(lacking)} in its name: several files"
        )
    lists = []
    for seed in protocol.seeds:
        path = Path(pattern.replace("{fold}", str(fold)).replace("{seed}", str(seed)))
        if not path.is_file():
            one = replace(protocol, seeds=(seed,))
            evaluation.draw_lists(dataset, fold, one, options.split, cache)[0].save(path)
        lists.append(EpisodeList.load(path))
    return lists


def _rows_to_score(
    options: argparse.Namespace, dataset: VocFolder, fold: int
) -> tuple[dict[str, LTM | TrainingFreeMap], Literal["keep", "drop"]]:
    """The models of a fold's table, and what their training did with novel images."""
    models: dict[str, LTM | TrainingFreeMap] = {}
    rules = set()
    other_scales = _scales(options.query_scales) if options.query_scales else None
    for pattern in options.checkpoint:
        path = Path(pattern.replace("{fold}", str(fold)))
        model, trained_on = load_checkpoint(path)
        _refuse_leakage(path, trained_on, dataset, fold)
        c = model.config
        kind = f"local, {c.rows}" if c.transformation == "local" else "global"
        # One row over the folds, whether {fold} or each fold's own name was given.
        named = (
            re.sub(rf"[_-]?(fold)?\{{fold\}}|[_-]?fold_?{fold}$", "", Path(pattern).stem) or "LTM"
        )
        for scales in dict.fromkeys([c.query_scales, other_scales or c.query_scales]):
            at = "" if scales == (1.0,) else f", query at {' '.join(map('{:g}'.format, scales))}"
            row = f"{named} ({kind}{at})"
            if row in models:  # of the same name in another folder
                row = f"{Path(pattern).parent / named} ({kind}{at})"
            models[row] = model.at_query_scales(scales)
        rules.add(trained_on.protocol.novel_images)
    if len(rules) > 1:
        raise InputError("these checkpoints differ in --novel-images: score them one by one")
    recipe = recipe_for(options.data)
    first = next(iter(models.values()), None)
    config = recipe.model() if first is None else first.config
    for rows in ("fg", "fg_bg"):
        free = TrainingFreeMap(
            replace(config, rows=rows, shots="mean"), None if first is None else first.backbone
        )
        models[f"training-free map ({rows})"] = free
    return models, rules.pop() if rules else recipe.novel_images


def _scales(given: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in given.split(","))
    except ValueError:
        raise InputError(f"--query-scales {given}: numbers are wanted, as in 0.7,1,1.3") from None


def results(options: argparse.Namespace) -> None:
    """Print saved scores beside the paper's; maybe draw the classes' bars."""
    every = [r for path in options.files for r in load_results(path)]
    shots = {r.protocol.shots: None for r in every} or {1: None}
    if options.png and len(shots) > 1:
        raise InputError("--png draws one number of shots: name only those files")
    tables = [[r for r in every if r.protocol.shots == K] for K in shots]
    print("\n\n".join(map(beside_the_paper, tables)))
    if options.png:
        from .figures import per_class_bars

        folds = by_fold(tables[0])
        with written_whole(options.png) as part:
            per_class_bars(folds.get("mean", tables[0][0])).savefig(
                part, format="png", bbox_inches="tight"
            )


def predict(options: argparse.Namespace) -> None:
    """Segment pictures and write masks and overlays."""
    model, _ = load_checkpoint(options.checkpoint)
    stems = [q.stem for q in options.query]
    if len(set(stems)) < len(stems):
        raise InputError("two queries have one name: their results would overwrite each other")
    supports = [tuple(pair) for pair in options.support]
    # Every query is read before anything is written.
    made = [prediction.predict(model, q, supports, options.class_id) for q in options.query]
    for stem, found in zip(stems, made, strict=True):
        for path in found.save(options.out, stem):
            print(path)


def bench(options: argparse.Namespace) -> None:
    """Measure what the short cuts are worth."""
    from . import bench as suite

    sizes = suite.QUICK if options.quick else suite.FULL
    folder = options.out or data_dir() / "bench"
    suite.run(folder, sizes, options.only or (), options.data, options.masks)


def _folds(given: str) -> list[int]:
    if given == "all":
        return list(range(FOLDS))
    if given not in map(str, range(FOLDS)):
        raise InputError(f"--fold {given}: there are folds 0, 1, 2 and 3, or all")
    return [int(given)]


def _refuse_leakage(path: Path, trained_on: TrainedOn, dataset: VocFolder, fold: int) -> None:
    names = [dataset.classes[c - 1] for c in novel_classes(fold, len(dataset.classes))]
    seen = [n for n in names if n in trained_on.base_classes]
    if seen:
        raise InputError(
            f"{path} was trained on {', '.join(seen[:3])}{' and more' if len(seen) > 3 else ''}, "
            f"which fold {fold} tests: a score would be leakage; use that fold's checkpoint"
        )
