"""`ltm-edu train`: train a fold, or all four in turn."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

from ..backbones import build_backbone
from ..datasets.coverage import coverage
from ..datasets.joined import JoinedFolders, common_name
from ..datasets.voc import VocFolder
from ..episodes import Fold, NoEpisodes, Protocol, fold_label
from ..model import LTM
from ..runs.checkpoint import TrainedOn, read_checkpoint, save_checkpoint, start_from
from ..runs.identity import run_identity
from ..runs.processes import processes, rank
from ..runs.recipes import Recipe, recipe_for, recipe_name
from ..runs.settings import Machine
from ..store.errors import InputError
from ..store.files import (
    beside,
    data_dir,
    existing_parent,
    locked,
    need_places,
    writing,
)
from ..training import fit, training_task
from . import (
    chosen_dataset,
    chosen_folds,
    leaked_classes,
    novel_names,
    of_fold,
    report_skipped,
)


def run(options: argparse.Namespace) -> int:
    """Train a fold, or all four in turn, and write checkpoints and logs."""
    with processes(options.device) as device:
        return _train(options, device)


def _train(options: argparse.Namespace, device: torch.device) -> int:
    dataset = chosen_dataset(options)
    folds = chosen_folds(options, dataset)
    target = str(options.checkpoint or f"runs/{Path(options.data).name}_fold{{fold}}.pt")
    if len(folds) > 1 and "{fold}" not in target:
        raise InputError("--checkpoint needs {fold} in its name to write several of them")
    recipe = _chosen_recipe(options, folds)
    training = recipe.training_config
    protocol = Protocol(options.rule, options.novel_images or recipe.novel_images, options.shots)
    trained = {fold: _fold_as_trained(dataset, fold) for fold in folds}
    paths = {fold: Path(of_fold(target, fold)) for fold in folds}
    for path in paths.values():
        if path.suffix in (".jsonl", ".state"):
            raise InputError(f"--checkpoint {path}: name it .pt, the log and the state end so")
    need_places(*(p for path in paths.values() for p in (path, *_files_beside(path).values())))
    for fold, path in paths.items():
        if path.exists() and not (options.overwrite or options.resume):
            # Data that cannot be trained on is the first thing to know, under any name.
            training_task(dataset, trained[fold], training, protocol, options.split)
            raise InputError(
                f"{path} exists: --overwrite replaces it, --resume continues its run, and --init "
                "trains it further into another --checkpoint"
            )
    every = range(1, len(dataset.classes) + 1)
    if rank() == 0 and (covered := coverage(dataset, options.split, every)):
        print(covered)
    skipped: dict[str, str] = {}
    network = recipe.model_config
    backbone = build_backbone(network.backbone, network.stages)
    for fold, path in paths.items():
        torch.manual_seed(training.seed)  # a fold starts alike whichever was trained before
        model = LTM(network, backbone)
        before = start_from(of_fold(options.init, fold), model) if options.init else None
        if rank() == 0 and before and (names := leaked_classes(before, dataset, trained[fold])):
            print(
                f"{options.init} was trained on {names}: no score of fold {fold_label(fold)} "
                "will be few-shot, and evaluate will refuse it"
            )
        model.to(device)
        try:
            with _only_trainer(path):
                _train_fold(options, recipe, protocol, dataset, trained[fold], path, model, before)
        except NoEpisodes as error:
            skipped[fold_label(fold)] = str(error)
            if len(skipped) == len(folds):
                raise
    return report_skipped(skipped, "trained")


def _fold_as_trained(dataset: VocFolder, fold: Fold) -> Fold:
    """A fold; of data sets joined the novel classes of the first one's fold, by their names."""
    if not isinstance(dataset, JoinedFolders) or not isinstance(fold, int):
        return fold
    names = tuple(map(common_name, novel_names(fold, dataset.parts[0].classes)))
    return novel_names(names, dataset.classes)


def _train_fold(
    options: argparse.Namespace,
    recipe: Recipe,
    protocol: Protocol,
    dataset: VocFolder,
    fold: Fold,
    path: Path,
    model: LTM,
    before: TrainedOn | None,
) -> None:
    """Train a model on a fold, write its checkpoint and say so; what is done already stays.

    Raises:
        NoEpisodes: no base class has the pictures that an episode needs.
        InputError: the checkpoint is another training's.
    """
    training = recipe.training_config
    if options.resume and path.is_file():
        rules = training, protocol, None, before is not None
        identity = run_identity(model, dataset, options.split, fold, *rules)
        saved, trained_on, _ = read_checkpoint(path)
        if differences := trained_on.identity(saved).differences(identity):
            raise InputError(
                f"{path} exists and is of another training ({'; '.join(differences)}): "
                "move it away, or name another --checkpoint"
            )
        if rank() == 0:
            print(f"{path} is trained already: delete it to train it anew")
        return
    files = _files_beside(path)
    state = files["state"] if options.resume else None
    rest = options.workers, options.compile, state, options.save_every
    cache = None if options.features == "memory" else options.cache or data_dir() / "cache"
    with _curves(options.tensorboard, path.stem) as on_step:
        fitted = fit(
            model,
            dataset,
            fold,
            training,
            protocol,
            options.split,
            cache,
            log=files["log"],
            on_step=on_step,
            machine=Machine(options.features == "device", *rest),
            started_from=before,
        )
    if rank() > 0:
        return
    save_checkpoint(path, model, fitted.trained_on(options.command_line))
    if state is not None:
        state.unlink(missing_ok=True)
    classes = "all classes" if fold is None else f"fold {fold_label(fold)}"
    chosen = f" chosen on {', '.join(fitted.held_out)}" if fitted.held_out else ""
    print(
        f"{path}: {classes}, step {fitted.best_step} of {training.steps}{chosen}, "
        f"recipe {options.recipe or recipe_name(options.data)}"
    )
    if fitted.without_pictures:
        print(
            f"not trained on, for want of pictures that the {protocol.list_rule} rule counts: "
            f"{', '.join(fitted.without_pictures)}"
        )


def _chosen_recipe(options: argparse.Namespace, folds: Sequence[Fold]) -> Recipe:
    """The recipe with its changed fields; its network is that of --init, if no recipe is named."""
    fields = {name: getattr(options, name) for name in ("transformation", "rows", "steps", "seed")}
    fields["image_size"] = options.size
    settings = [f"{name}={value}" for name, value in fields.items() if value is not None]
    recipe = recipe_for(options.data, options.recipe)
    if options.init and options.recipe is None:
        networks = [read_checkpoint(of_fold(options.init, fold))[0] for fold in folds]
        recipe = replace(recipe, model_config=networks[0])
    return recipe.changed([*settings, *options.set])


def _files_beside(path: Path) -> dict[str, Path]:
    """Where the log and the state of a checkpoint's training are."""
    return {"log": beside(path, ".jsonl"), "state": beside(path, ".state")}


@contextmanager
def _only_trainer(path: Path) -> Iterator[None]:
    """Keep other trainings from a checkpoint and its state for the length of the block.

    Raises:
        InputError: another one is under way; says which process it is.
    """
    if rank() > 0:
        yield
        return
    lock, holder = (path.with_name(f".{path.name}.{ending}") for ending in ("lock", "holder"))
    there = existing_parent(path.absolute().parent)

    def refuse() -> None:
        with suppress(OSError):
            raise InputError(
                f"{path} is being trained by {holder.read_text(encoding='utf-8')}: wait for it, "
                "stop it, or name another --checkpoint"
            )
        raise InputError(f"{path} is being trained: wait, or name another --checkpoint")

    try:
        with locked(lock, refuse):
            try:
                who = f"process {os.getpid()} on {platform.node()}"
                with writing(holder):
                    holder.write_text(who, encoding="utf-8")
                yield
            finally:
                holder.unlink(missing_ok=True)
    finally:
        folder = path.absolute().parent
        while folder != there:  # made for the lock, and still empty if nothing was trained
            with suppress(OSError):
                folder.rmdir()
            folder = folder.parent


@contextmanager
def _curves(folder: Path | None, name: str) -> Iterator[Callable[[int, dict], None] | None]:
    """Write the numbers of the log for TensorBoard, a curve each."""
    if folder is None or rank() > 0:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs: pip install 'ltm-edu[tensorboard]'") from None
    with SummaryWriter(folder / name) as writer:

        def on_step(step: int, record: dict) -> None:
            for key in record.keys() - {"step", "seconds", "threads"}:
                writer.add_scalar(key, record[key], step)

        yield on_step
