"""fit(): train a fold on episodes of its base classes, from cached features."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .batches import draw_batches, load_batches
from .datasets.mask_index import cached_index
from .datasets.voc_layout import VocFolder
from .episodes import EpisodeList, draw_episodes, drop_images, find_pairs, images_by_class
from .errors import InputError
from .evaluation import score_model
from .features import FeatureCache
from .model import LTM
from .parallel import first_alone, rank, world
from .protocol import Protocol, base_classes, novel_classes
from .run_state import RunState, load_run, save_run
from .settings import Machine, TrainingConfig
from .update import Update, trained_state

_SAVE_SECONDS = 300


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns beside the trained model.

    Attributes:
        history: a row an update or a check, as in the log.
        best_step: the step whose weights the model has.
        held_out: names of the base classes that chose it.
        base_classes: names of all base classes, the held-out ones included.
    """

    history: list[dict]
    best_step: int
    held_out: tuple[str, ...]
    base_classes: tuple[str, ...]


def fit(
    model: LTM,
    dataset: VocFolder,
    fold: int | None,
    config: TrainingConfig | None = None,
    protocol: Protocol | None = None,
    split: str = "train",
    cache_folder: Path | None = None,
    log: Path | None = None,
    progress: bool = True,
    on_step: Callable[[int, dict], None] | None = None,
    machine: Machine | None = None,
) -> Fitted:
    """Train a model in place on episodes of a fold's base classes; its backbone stays frozen.

    Under `torchrun`, inside `parallel.processes`, all processes train the one model together.

    Args:
        model: its T_e, T_f and Upsam are trained, from where they are, on the device it is on.
        dataset: pictures and masks.
        fold: 0 to 3, or None to train on every class (for use, not for a score).
        config: `TrainingConfig()` by default.
        protocol: the rule for pairs and for pictures that show novel classes.
        split: the list to train on.
        cache_folder: where to keep features between runs; None keeps them in memory.
        log: a file that gets one JSON object an update, as it happens.
        progress: show bars with the time left.
        on_step: called with the step and its row, for live figures.
        machine: speed and memory; `Machine()` by default.

    Returns:
        History and the step chosen on held-out training classes.

    Raises:
        InputError: no class has the pictures that an episode needs, an unreadable file, a batch
            that the processes cannot share, or a state of another run.
        FloatingPointError: the loss is not finite; names the episodes.
    """
    config, protocol = config or TrainingConfig(), protocol or Protocol()
    machine = machine or Machine()
    if config.batch % world():
        raise InputError(f"batch {config.batch} cannot be shared by {world()} processes alike")
    asked = _what_to_ask(dataset, fold, config, protocol, split, cache_folder)
    progress = progress and rank() == 0
    with first_alone():
        cache = FeatureCache(
            model,
            dataset,
            asked.names,
            flips=config.flips,
            folder=cache_folder,
            progress=progress,
            half=config.precision != "float32",
        )
    device = next(model.parameters()).device
    if machine.features_on_device:
        cache.to(device)
    torch.manual_seed(config.seed)
    if config.centre:
        shown = sorted({n for v in asked.pools.values() for n in v})
        model.centre_features(cache.mean(shown).to(device))
    update = Update(model, config, sum(len(v) for v in asked.pools.values()), machine.compile)
    run = RunState(
        {
            "model": model.config.as_dict(),
            "training": config.as_dict(),
            "protocol": protocol.as_dict(),
            "data": {"fold": fold, "split": split, "pictures": dataset.fingerprint(asked.names)},
        }
    )
    if machine.state is not None and load_run(machine.state, run):
        update.load_state_dict(run.update)
    drawn = draw_batches(
        asked.pools,
        protocol.shots,
        config.batch,
        config.balance,
        config.flips,
        np.random.default_rng(config.seed),
    )
    pinned = device.type == "cuda" and not machine.features_on_device
    batches = load_batches(cache, drawn, config.steps, run.step, machine.workers, pinned)
    due = _due(machine.save_every)
    check_at = {round(config.steps * (i + 1) / config.checks) for i in range(config.checks)}
    model.train()
    started = time.perf_counter() - (run.history[-1]["seconds"] if run.history else 0)
    with _open_log(log if rank() == 0 else None, run.history) as stream:
        bar = tqdm(
            range(run.step + 1, config.steps + 1),
            "training",
            config.steps,
            initial=run.step,
            unit="step",
            disable=not progress,
        )
        for step in bar:
            row = {"step": step, **update(next(batches))}
            row["seconds"] = round(time.perf_counter() - started, 3)
            bar.set_postfix_str(f"L {row['L']:.3f}", refresh=False)
            if asked.checks is not None and step in check_at:
                state = trained_state(model)
                row["held_out_miou"] = _check(model, state, cache, asked.checks)
                if row["held_out_miou"] > run.best_score:
                    run.best_score, run.best_step, run.best = row["held_out_miou"], step, state
            run.history.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            if machine.state is not None and rank() == 0 and (due(step) or step == config.steps):
                run.step, run.update = step, update.state_dict()
                save_run(machine.state, run)
            if on_step is not None:
                on_step(step, row)
    if run.best is not None:
        model.load_state_dict(run.best, strict=False)
    model.eval()
    named = [dataset.classes[c - 1] for c in asked.held_out]
    base = [dataset.classes[c - 1] for c in asked.base]
    return Fitted(run.history, run.best_step or config.steps, tuple(named), tuple(base))


class _Asked(NamedTuple):
    """What a run trains on and checks itself with."""

    base: tuple[int, ...]
    pools: dict[int, list[str]]
    held_out: tuple[int, ...]
    checks: EpisodeList | None
    names: tuple[str, ...]


def _what_to_ask(
    dataset: VocFolder,
    fold: int | None,
    config: TrainingConfig,
    protocol: Protocol,
    split: str,
    cache_folder: Path | None,
) -> _Asked:
    n_classes = len(dataset.classes)
    base = tuple(range(1, n_classes + 1)) if fold is None else base_classes(fold, n_classes)
    index = cached_index(dataset, split, cache_folder)
    pairs = find_pairs(index, base, protocol.list_rule)
    if protocol.novel_images == "drop" and fold is not None:
        dropped = drop_images(index, novel_classes(fold, n_classes))
        pairs = [p for p in pairs if p[0] not in dropped]
    shots = protocol.shots
    pools = {c: v for c, v in images_by_class(pairs).items() if len(v) > shots}
    held_out = _held_out_classes(pools, config.held_out)
    train_pools = {c: v for c, v in pools.items() if c not in held_out}
    if not train_pools:
        raise InputError(
            f"{dataset.root} has no training class with {shots + 1} pictures in {split}.txt: "
            "use fewer shots or more pictures"
        )
    checks = None
    if held_out:
        held_pairs = [(n, c) for c in held_out for n in pools[c]]
        checks = draw_episodes(held_pairs, shots, config.check_episodes, config.seed)
    # Every picture of the list, not only this fold's, so that the folds share one cache.
    return _Asked(base, train_pools, held_out, checks, index.names)


def _held_out_classes(pools: dict[int, list[str]], count: int) -> tuple[int, ...]:
    """Every so many-th class, so that they spread over the list; never more than half of them."""
    classes = sorted(pools)
    count = min(count, len(classes) // 2)
    return tuple(classes[round((i + 0.5) * len(classes) / count) - 1] for i in range(count))


def _due(updates: int | None) -> Callable[[int], bool]:
    """Whether to save after a step: every so many updates, or whenever five minutes have passed."""
    last = time.monotonic()

    def due(step: int) -> bool:
        nonlocal last
        if updates is not None:
            return step % updates == 0
        if time.monotonic() - last < _SAVE_SECONDS:
            return False
        last = time.monotonic()
        return True

    return due


def _check(model: LTM, state: dict[str, Tensor], cache: FeatureCache, checks: Sequence) -> float:
    """Score a state on the held-out classes' episodes; the model is left as it was."""
    now = trained_state(model)
    model.load_state_dict(state, strict=False)
    score = score_model(model, cache, checks).miou()
    model.load_state_dict(now, strict=False)
    return score


def _open_log(log: Path | None, history: Sequence[dict]) -> TextIO:
    """The log to write to, with the rows so far; one that keeps nothing where none is asked for."""
    if log is None:
        return StringIO()
    rows = "".join(json.dumps(row) + "\n" for row in history)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(rows, encoding="utf-8")
        return open(log, "a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {log}: {error.strerror or error}") from None
