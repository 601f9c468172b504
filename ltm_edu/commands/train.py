"""`ltm-edu train`: train a fold, or all four in turn."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..datasets.coverage import coverage
from ..episodes import Protocol
from ..model import LTM
from ..runs.checkpoint import read_checkpoint, save_checkpoint
from ..runs.identity import run_identity
from ..runs.processes import processes, rank
from ..runs.recipes import Recipe, recipe_for, recipe_name
from ..runs.settings import Machine
from ..store.errors import InputError
from ..store.files import data_dir
from ..training import fit
from . import chosen_dataset, chosen_folds


def run(options: argparse.Namespace) -> None:
    """Train a fold, or all four in turn, and write checkpoints and logs."""
    folds = [None] if options.all_classes else chosen_folds(options.fold)
    target = str(options.checkpoint or f"runs/{Path(options.data).name}_fold{{fold}}.pt")
    if len(folds) > 1 and "{fold}" not in target:
        raise InputError("--checkpoint needs {fold} in its name to write four of them")
    if options.also and not options.all_classes:
        raise InputError("--with joins classes, and folds belong to one data set: --all-classes")
    dataset = chosen_dataset(options)
    every = range(1, len(dataset.classes) + 1)
    if rank() == 0 and (covered := coverage(dataset, options.split, every)):
        print(covered)
    recipe = _chosen_recipe(options)
    training = recipe.training_config
    protocol = Protocol(options.rule, options.novel_images or recipe.novel_images, options.shots)
    cache = None if options.features == "memory" else options.cache or data_dir() / "cache"
    with processes(options.device) as device:
        backbone = None
        for fold in folds:
            path = Path(target.replace("{fold}", "_all" if fold is None else str(fold)))
            torch.manual_seed(training.seed)
            model = LTM(recipe.model_config, backbone).to(device)
            backbone = model.backbone
            if options.resume and path.is_file():
                identity = run_identity(model, dataset, options.split, fold, training, protocol)
                network, trained_on, _ = read_checkpoint(path)
                if differences := trained_on.identity(network).differences(identity):
                    raise InputError(
                        f"{path} exists and is of another training ({'; '.join(differences)}): "
                        "move it away, or name another --checkpoint"
                    )
                if rank() == 0:
                    print(f"{path} is trained already: delete it to train it anew")
                continue
            state = path.with_suffix(".state") if options.resume else None
            rest = options.workers, options.compile, state, options.save_every
            machine = Machine(options.features == "device", *rest)
            with _curves(options.tensorboard, path.stem) as on_step:
                fitted = fit(
                    model,
                    dataset,
                    fold,
                    training,
                    protocol,
                    options.split,
                    cache,
                    log=path.with_suffix(".jsonl"),
                    on_step=on_step,
                    machine=machine,
                )
            if rank() == 0:
                save_checkpoint(path, model, fitted.trained_on(options.command_line))
                if state is not None:
                    state.unlink(missing_ok=True)
                classes = "all classes" if fold is None else f"fold {fold}"
                chosen = f" chosen on {', '.join(fitted.held_out)}" if fitted.held_out else ""
                print(
                    f"{path}: {classes}, step {fitted.best_step} of {training.steps}{chosen}, "
                    f"recipe {options.recipe or recipe_name(options.data)}"
                )


def _chosen_recipe(options: argparse.Namespace) -> Recipe:
    fields = {name: getattr(options, name) for name in ("transformation", "rows", "steps", "seed")}
    fields["image_size"] = options.size
    settings = [f"{name}={value}" for name, value in fields.items() if value is not None]
    return recipe_for(options.data, options.recipe).changed([*settings, *options.set])


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
            for key in record.keys() - {"step", "seconds"}:
                writer.add_scalar(key, record[key], step)

        yield on_step
