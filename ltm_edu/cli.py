"""The command line: ltm-edu fetch | verify | train | evaluate | predict | bench."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from .checkpoint import TrainedOn, load_checkpoint, save_checkpoint
from .datasets import open_dataset, pascal5i
from .datasets.inspection import inspect_folder, report
from .datasets.voc_layout import VocFolder
from .errors import InputError
from .evaluation import Results, evaluate, load_results, mean_over_folds, save_results
from .model import LTM, TrainingFreeMap
from .parallel import processes, rank
from .paths import data_dir, written_whole
from .prediction import predict
from .protocol import FOLDS, Protocol, novel_classes
from .published import beside_the_paper, by_fold
from .recipes import RECIPES, Recipe, recipe_for
from .settings import Machine
from .training import fit

_BENCH_PARTS = ("attention", "loss", "evaluation", "training", "data", "gpu")


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
    commands = parser.add_subparsers(
        required=True, metavar="fetch | verify | train | evaluate | results | predict | bench"
    )

    get = commands.add_parser("fetch", help="download a dataset, or put it together from files")
    get.add_argument("dataset", help="pascal5i")
    get.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="holds the archives, or a VOCdevkit with SegmentationClassAug",
    )
    get.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="a folder with the archives, asked first; repeat for more",
    )
    get.set_defaults(run=_fetch)

    look = commands.add_parser("verify", help="say what is missing or broken in a dataset")
    look.add_argument("dataset", nargs="?", default="pascal5i", help="or a folder in VOC's layout")
    look.set_defaults(run=_verify)

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
    train.add_argument("--recipe", choices=tuple(RECIPES), help="by default the one for the data")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of the recipe: batch=24, precision=bfloat16, lambda_r=0...",
    )
    train.add_argument("--device", help="default: the GPU, or the CPU where there is none")
    train.add_argument(
        "--features",
        choices=("file", "memory", "device"),
        default="file",
        help="where features are kept: a memory-mapped file, memory, or the GPU's memory",
    )
    train.add_argument("--workers", type=int, default=0, help="processes that gather batches")
    train.add_argument("--compile", action="store_true", help="let torch.compile make the update")
    train.add_argument(
        "--resume",
        action="store_true",
        help="keep the run's state beside the checkpoint, and go on from it if it is there",
    )
    train.add_argument("--save-every", type=int, default=100, help="updates between two states")
    train.add_argument("--tensorboard", type=Path, help="also write learning curves to this folder")
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
    score.add_argument(
        "--query-scales",
        metavar="0.7,1,1.3",
        help="also score checkpoints with the query at these sizes, in rows of their own",
    )
    score.add_argument(
        "--crf",
        action="store_true",
        help="also score checkpoints after DenseCRF and a median filter, in rows of their own",
    )
    score.add_argument("--json", type=Path, help="write the results here")
    score.add_argument("--device", help="default: the GPU, or the CPU where there is none")
    score.set_defaults(run=_evaluate)

    table = commands.add_parser("results", help="our scores beside the paper's, fold by fold")
    table.add_argument("files", type=Path, nargs="+", help="what evaluate --json wrote")
    table.add_argument("--png", type=Path, help="draw the IoU of each class into this file")
    table.set_defaults(run=_results)

    segment = commands.add_parser("predict", help="segment your own pictures")
    segment.add_argument("--checkpoint", type=Path, required=True)
    segment.add_argument("--query", type=Path, nargs="+", required=True, help="pictures to search")
    segment.add_argument(
        "--support", type=Path, nargs=2, action="append", required=True, metavar=("PICTURE", "MASK")
    )
    segment.add_argument("--class-id", type=int, help="the value in the masks that is the object")
    segment.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write to")
    segment.set_defaults(run=_predict)

    speed = commands.add_parser("bench", help="measure what the short cuts are worth here")
    speed.add_argument("--quick", action="store_true", help="small sizes, a minute or two")
    speed.add_argument("--only", action="append", choices=_BENCH_PARTS, help="repeat for more")
    speed.add_argument("--data", default="emoji5i", help="emoji5i, or a folder in VOC's layout")
    speed.add_argument("--masks", type=Path, help="a folder of mask PNGs; else data's")
    speed.add_argument(
        "--out", type=Path, help="folder for bench.json and bench.png (default: bench/ in data)"
    )
    speed.set_defaults(run=_bench)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", default="emoji5i", help="emoji5i, pascal5i, or a folder in VOC's layout"
    )
    parser.add_argument("--rule", choices=("grid", "area", "any"), default="grid")
    parser.add_argument(
        "--cache",
        type=Path,
        help="keep features between runs in this folder (default: cache/ in the data folder)",
    )


def _fetch(options: argparse.Namespace) -> None:
    if options.dataset != "pascal5i":
        raise InputError(f"fetch {options.dataset}: it knows pascal5i (emoji5i is drawn, not got)")
    root = pascal5i.fetch(options.source, options.mirror)
    print(f"{root}: complete; use it with --data pascal5i")
    for path in pascal5i.kept_archives():
        print(f"{path}: no longer needed; delete it if you like")


def _verify(options: argparse.Namespace) -> None:
    if options.dataset == "pascal5i":
        root, faults = pascal5i.folder(), pascal5i.verify()
        advice = "ltm-edu fetch pascal5i makes again only what is missing or broken"
    else:
        dataset = open_dataset(options.dataset)
        root, faults = dataset.root, inspect_folder(dataset)
        advice = "replace them, or take their names out of the lists"
    for line in report(faults):
        print(line)
    if faults:
        raise InputError(f"{root}: {len(faults)} missing or broken: {advice}")
    print(f"{root}: every file that the lists name is there and can be read")


def _train(options: argparse.Namespace) -> None:
    folds = [None] if options.all_classes else _folds(options.fold)
    target = str(options.checkpoint or f"runs/{Path(options.data).name}_fold{{fold}}.pt")
    if len(folds) > 1 and "{fold}" not in target:
        raise InputError("--checkpoint needs {fold} in its name to write four of them")
    dataset = open_dataset(options.data)
    recipe = _chosen_recipe(options)
    training = recipe.training_config
    protocol = Protocol(options.rule, options.novel_images or recipe.novel_images, options.shots)
    with processes(options.device) as device:
        for fold in folds:
            path = Path(target.replace("{fold}", "_all" if fold is None else str(fold)))
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
                    options.cache or data_dir() / "cache" if options.features == "file" else None,
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
            print(f"{path}: {'all classes' if fold is None else f'fold {fold}'}{chosen}")


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


def _evaluate(options: argparse.Namespace) -> None:
    folds = _folds(options.fold)
    seeds = tuple(options.seed) if options.seed else (0, 1, 2, 3, 4)
    dataset = open_dataset(options.data)
    found: list[Results] = []
    for fold in folds:
        models, novel_images = _rows_to_score(options, dataset, fold)
        with processes(options.device) as device:
            for model in models.values():
                model.to(device)
        protocol = Protocol(options.rule, novel_images, options.shots, options.episodes, seeds)
        cache = options.cache or data_dir() / "cache"
        found.append(
            evaluate(
                models, dataset, fold, protocol, options.split, cache_folder=cache, crf=options.crf
            )
        )
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
    other_scales = _scales(options.query_scales) if options.query_scales else None
    for pattern in options.checkpoint:
        path = Path(pattern.replace("{fold}", str(fold)))
        model, trained_on = load_checkpoint(path)
        _refuse_leakage(path, trained_on, dataset, fold)
        c = model.config
        kind = f"local, {c.rows}" if c.transformation == "local" else "global"
        named = re.sub(r"[_-]?(fold)?\{fold\}", "", Path(pattern).stem) or "LTM"
        for scales in dict.fromkeys([c.query_scales, other_scales or c.query_scales]):
            at = "" if scales == (1.0,) else f", query at {' '.join(map('{:g}'.format, scales))}"
            row = f"{named} ({kind}{at})"
            if row in models:  # of the same name in another folder
                row = f"{pattern} ({kind}{at})"
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
        scales = tuple(float(part) for part in given.split(","))
    except ValueError:
        scales = ()
    if not scales or not all(0.1 <= s <= 4 for s in scales):
        raise InputError(f"--query-scales {given}: numbers between 0.1 and 4, as in 0.7,1,1.3")
    return scales


def _results(options: argparse.Namespace) -> None:
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


def _bench(options: argparse.Namespace) -> None:
    from . import bench

    sizes = bench.QUICK if options.quick else bench.FULL
    folder = options.out or data_dir() / "bench"
    bench.run(folder, sizes, options.only or (), options.data, options.masks)


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
