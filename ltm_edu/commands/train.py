"""`ltm-edu train`: train a fold, or all four in turn."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..datasets import open_dataset
from ..episodes import Protocol
from ..model import LTM
from ..runs.checkpoint import TrainedOn, read_checkpoint, save_checkpoint
from ..runs.processes import processes, rank
from ..runs.recipes import Recipe, recipe_for, recipe_name
from ..runs.settings import Machine
from ..runs.state import differences
from ..store.errors import InputError
from ..store.files import data_dir
from ..training import fit
from . import chosen_folds


def run(options: argparse.Namespace) -> None:
    """Train a fold, or all four in turn, and write checkpoints and logs."""
    folds = [None] if options.all_classes else chosen_folds(options.fold)
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
