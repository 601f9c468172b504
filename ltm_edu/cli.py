"""The command line: ltm-edu train | evaluate | predict."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from .checkpoint import TrainedOn, load_checkpoint, save_checkpoint
from .datasets import open_dataset
from .datasets.voc_layout import VocFolder
from .errors import InputError
from .evaluation import Results, evaluate, mean_over_folds, save_results
from .model import LTM, TrainingFreeMap
from .paths import data_dir
from .prediction import predict
from .protocol import FOLDS, Protocol, novel_classes
from .recipes import recipe_for
from .training import fit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake prints one line and gives exit status 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.command_line = "ltm-edu " + shlex.join(given)
    try:
        options.run(options)
    except InputError as error:
        print(f"ltm-edu: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"ltm-edu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ltm-edu: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ltm-edu", description="Few-shot segmentation with the Local Transformation Module."
    )
    commands = parser.add_subparsers(required=True, metavar="train | evaluate | predict")

    train = commands.add_parser("train", help="train a fold on its base classes")
    _add_data(train)
    train.add_argument("--fold", default="0", help="0, 1, 2, 3, or all four in turn: all")
    train.add_argument("--all-classes", action="store_true", help="no fold: train on every class")
    train.add_argument("--split", default="train", help="the list to train on, or all")
    train.add_argument("--checkpoint", type=Path, help="where to write; {fold} is filled in")
    train.add_argument("--transformation", choices=("local", "global"))
    train.add_argument("--rows", choices=("fg", "fg_bg"), help="mask rows of the transformation")
    train.add_argument("--size", type=int, help="pictures are resized to this square")
    train.add_argument("--steps", type=int)
    train.add_argument("--seed", type=int)
    train.add_argument("--shots", type=int, default=1)
    train.add_argument("--novel-images", choices=("keep", "drop"))
    train.set_defaults(run=_train)

    score = commands.add_parser("evaluate", help="score checkpoints on novel classes")
    _add_data(score)
    score.add_argument("--fold", default="0", help="0, 1, 2, 3, or the mean of the four: all")
    score.add_argument("--split", default="val", help="the list to score on, or all")
    score.add_argument(
        "--checkpoint", action="append", default=[], help="repeat for more; {fold} is filled in"
    )
    score.add_argument("--shots", type=int, default=1)
    score.add_argument("--episodes", type=int, default=1000)
    score.add_argument("--seed", type=int, action="append", help="of the episodes; repeat for more")
    score.add_argument("--json", type=Path, help="write the results here")
    score.set_defaults(run=_evaluate)

    segment = commands.add_parser("predict", help="segment your own pictures")
    segment.add_argument("--checkpoint", type=Path, required=True)
    segment.add_argument("--query", type=Path, nargs="+", required=True, help="pictures to search")
    segment.add_argument(
        "--support", type=Path, nargs=2, action="append", required=True, metavar=("PICTURE", "MASK")
    )
    segment.add_argument("--class-id", type=int, help="the value in the masks that is the object")
    segment.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write to")
    segment.set_defaults(run=_predict)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="emoji5i", help="emoji5i, or a folder in VOC's layout")
    parser.add_argument("--rule", choices=("grid", "area", "any"), default="grid")
    parser.add_argument(
        "--cache",
        type=Path,
        help="keep features between runs in this folder (default: cache/ in the data folder)",
    )


def _train(options: argparse.Namespace) -> None:
    folds = [None] if options.all_classes else _folds(options.fold)
    target = str(options.checkpoint or f"runs/{Path(options.data).name}_fold{{fold}}.pt")
    if len(folds) > 1 and "{fold}" not in target:
        raise InputError("--checkpoint needs {fold} in its name to write four of them")
    dataset = open_dataset(options.data)
    for fold in folds:
        recipe = recipe_for(options.data)
        model_options = _set(options, "transformation", "rows")
        if options.size is not None:
            model_options["image_size"] = options.size
        training = recipe.training(**_set(options, "steps", "seed"))
        protocol = Protocol(
            options.rule, options.novel_images or recipe.novel_images, options.shots
        )
        torch.manual_seed(training.seed)
        model = LTM(recipe.model(**model_options))
        path = Path(target.replace("{fold}", "_all" if fold is None else str(fold)))
        fitted = fit(
            model,
            dataset,
            fold,
            training,
            protocol,
            options.split,
            options.cache or data_dir() / "cache",
            path.with_suffix(".jsonl"),
        )
        name = dataset.root.name
        save_checkpoint(
            path,
            model,
            TrainedOn(
                name,
                fold,
                fitted.base_classes,
                protocol,
                {**training.as_dict(), "best_step": fitted.best_step},
                options.command_line,
            ),
        )
        chosen = f", step {fitted.best_step} of {training.steps}"
        if fitted.held_out:
            chosen += f" chosen on {', '.join(fitted.held_out)}"
        print(f"{path}: {'all classes' if fold is None else f'fold {fold}'}{chosen}")


def _evaluate(options: argparse.Namespace) -> None:
    folds = _folds(options.fold)
    seeds = tuple(options.seed) if options.seed else (0, 1, 2, 3, 4)
    dataset = open_dataset(options.data)
    found: list[Results] = []
    for fold in folds:
        models, novel_images = _rows_to_score(options, dataset, fold)
        protocol = Protocol(options.rule, novel_images, options.shots, options.episodes, seeds)
        cache = options.cache or data_dir() / "cache"
        found.append(evaluate(models, dataset, fold, protocol, options.split, cache_folder=cache))
    if len(found) > 1:
        found.append(mean_over_folds(found))
    if options.json:
        save_results(options.json, found)
    print("\n\n".join(r.table() for r in found))


def _rows_to_score(
    options: argparse.Namespace, dataset: VocFolder, fold: int
) -> tuple[dict[str, LTM | TrainingFreeMap], Literal["keep", "drop"]]:
    """The models of a fold's table, and what their training did with novel images."""
    models: dict[str, LTM | TrainingFreeMap] = {}
    rules = set()
    for pattern in options.checkpoint:
        path = Path(pattern.replace("{fold}", str(fold)))
        model, trained_on = load_checkpoint(path)
        _refuse_leakage(path, trained_on, dataset, fold)
        c = model.config
        kind = f"local, {c.rows}" if c.transformation == "local" else "global"
        models[f"{Path(pattern).stem.replace('_fold{fold}', '')} ({kind})"] = model
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


def _predict(options: argparse.Namespace) -> None:
    model, _ = load_checkpoint(options.checkpoint)
    stems = [q.stem for q in options.query]
    if len(set(stems)) < len(stems):
        raise InputError("two queries have one name: their results would overwrite each other")
    supports = [tuple(pair) for pair in options.support]
    # Every query is read before anything is written.
    made = [predict(model, q, supports, options.class_id) for q in options.query]
    for stem, prediction in zip(stems, made, strict=True):
        for path in prediction.save(options.out, stem):
            print(path)


def _folds(given: str) -> list[int]:
    if given == "all":
        return list(range(FOLDS))
    if given not in map(str, range(FOLDS)):
        raise InputError(f"--fold {given}: there are folds 0, 1, 2 and 3, or all")
    return [int(given)]


def _set(options: argparse.Namespace, *names: str) -> dict:
    return {n: getattr(options, n) for n in names if getattr(options, n) is not None}


def _refuse_leakage(path: Path, trained_on: TrainedOn, dataset: VocFolder, fold: int) -> None:
    names = [dataset.classes[c - 1] for c in novel_classes(fold, len(dataset.classes))]
    seen = [n for n in names if n in trained_on.base_classes]
    if seen:
        raise InputError(
            f"{path} was trained on {', '.join(seen[:3])}{' and more' if len(seen) > 3 else ''}, "
            f"which fold {fold} tests: a score would be leakage; use that fold's checkpoint"
        )
