"""fit(): train a fold on episodes of its base classes, from cached features."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from inspect import signature
from io import StringIO
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .datasets.voc import VocFolder
from .episodes import (
    EpisodeList,
    Fold,
    NoEpisodes,
    Protocol,
    class_roles,
    draw_episodes,
    drop_images,
    find_pairs,
    images_by_class,
    why_no_class,
)
from .equations import Reduction, without_value_checks
from .evaluation import score_model
from .features.batches import (
    BatchTensors,
    draw_batches,
    killed_workers_named,
    load_batches,
    to_device,
)
from .features.cache import FeatureCache
from .losses import ltm_loss
from .model import LTM
from .runs.checkpoint import TrainedOn
from .runs.identity import RunIdentity, run_identity
from .runs.processes import rank, share_batch_statistics, summed, world
from .runs.settings import DTYPES, Machine, TrainingConfig
from .runs.state import RunState, load_run, save_run
from .runs.stopping import Stopped, asked_to_stop
from .store.errors import InputError
from .store.files import writing
from .store.pictures import VOID

_SAVE_SECONDS = 300


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns beside the trained model.

    Attributes:
        history: a record for each update, as in the log.
        best_step: the step whose weights the model has.
        held_out: names of the base classes that chose it.
        base_classes: names of all base classes, the held-out ones included.
        identity: everything that the result depends on.
        without_pictures: names of the base classes that have too few pictures for an episode.
        started_from: what the model had been trained on before, if it had been.
    """

    history: list[dict]
    best_step: int
    held_out: tuple[str, ...]
    base_classes: tuple[str, ...]
    identity: RunIdentity
    without_pictures: tuple[str, ...] = ()
    started_from: TrainedOn | None = None

    def trained_on(self, command: str = "") -> TrainedOn:
        """What a checkpoint stores beside the weights, the command that makes it included."""
        run = self.identity
        return TrainedOn(
            run.dataset,
            run.fold,
            self.base_classes,
            Protocol.from_dict(run.protocol),
            run.training,
            command,
            run.split,
            run.pictures,
            run.backbone,
            self.best_step,
            run.started_from,
            self.started_from,
        )


def fit(
    model: LTM,
    dataset: VocFolder,
    fold: Fold,
    config: TrainingConfig | None = None,
    protocol: Protocol | None = None,
    split: str = "train",
    cache_folder: Path | None = None,
    log: Path | None = None,
    progress: bool = True,
    on_step: Callable[[int, dict], None] | None = None,
    machine: Machine | None = None,
    started_from: TrainedOn | None = None,
) -> Fitted:
    """Train a model in place on episodes of a fold's base classes; its backbone stays frozen.

    Under `torchrun`, inside `runs.processes.processes`, all processes train the one model together.

    Args:
        model: T_e, T_f, Upsam, what its transformation has to train, and map_factor and map_offset
            of `LTMConfig.residual` are trained, from where they are, on the device it is on.
        dataset: pictures and masks.
        fold: 0 to 3, names of novel classes to leave out, or None to train on every class (for
            use, not for a score).
        config, protocol, machine: by default `TrainingConfig()`, `Protocol()` and `Machine()`.
        split: the list to train on.
        cache_folder: where to keep features between runs; None keeps them in memory.
        log: a file to which one JSON object is written after each update. The first one holds the
            number of threads, and so does the first one of a run that goes on with another number:
            rounding differs with it.
        progress: show bars with the time left.
        on_step: called with the step and its record, for live figures.
        started_from: what the model's weights have been trained on before, as `load_checkpoint`
            returns it. The mean feature that they subtract then stays theirs.

    Raises:
        NoEpisodes: no base class has the pictures that an episode needs; says why.
        InputError: an unreadable file, a batch that the processes cannot share, or a state of
            another run.
        FloatingPointError: the loss is not finite; names the episodes.
        Stopped: a signal arrived, and `machine.state` holds the run.
    """
    config, protocol = config or TrainingConfig(), protocol or Protocol()
    machine = machine or Machine()
    if config.batch % world():
        raise InputError(f"batch {config.batch} cannot be shared by {world()} processes alike")
    task = training_task(dataset, fold, config, protocol, split)
    progress = progress and rank() == 0
    half = config.precision != "float32"
    names = dataset.names(split)  # every picture of the list, so that the folds share one cache
    cache = FeatureCache(
        model, dataset, names, config.flips, cache_folder, progress, half, void_ids=task.void
    )
    device = next(model.parameters()).device
    if machine.features_on_device:
        cache.to(device)
    torch.manual_seed(config.seed)
    before = started_from is not None
    identity = run_identity(
        model, dataset, split, fold, config, protocol, cache.fingerprint, before
    )
    if config.centre and not before:
        training_names = sorted({n for pool in task.pools.values() for n in pool})
        model.centre_features(cache.mean(training_names).to(device))
    update = Update(model, config, sum(len(v) for v in task.pools.values()), machine.compile)
    run = RunState(identity)
    if machine.state is not None and load_run(machine.state, run):
        try:
            update.load_state_dict(run.update)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{machine.state} is a damaged state ({reason}): delete it to start anew"
            ) from None
    rng, shots = np.random.default_rng(config.seed), protocol.shots
    drawn = draw_batches(task.pools, shots, config.batch, config.balance, config.flips, rng)
    pinned = device.type == "cuda" and not machine.features_on_device
    batches = load_batches(cache, drawn, config.steps, run.step, machine.workers, pinned)
    before_now = [r["threads"] for r in run.history if "threads" in r]
    threads: int | None = torch.get_num_threads()
    if before_now[-1:] == [threads]:
        threads = None
    check_at = {round(config.steps * (i + 1) / config.checks) for i in range(config.checks)}
    model.train()
    saved = time.monotonic()
    started = time.perf_counter() - (run.history[-1]["seconds"] if run.history else 0)
    # With a state to save, a signal waits for the end of the update.
    stopping = asked_to_stop() if machine.state is not None else nullcontext(lambda: None)
    with (
        _open_log(log if rank() == 0 else None, run.history) as stream,
        stopping as signalled,
        killed_workers_named(),
    ):
        steps = range(run.step + 1, config.steps + 1)
        bar = tqdm(
            steps, "training", config.steps, initial=run.step, unit="step", disable=not progress
        )
        for step in bar:
            record = {"step": step, **update(next(batches))}
            if threads is not None:  # another number rounds otherwise
                record["threads"], threads = threads, None
            record["seconds"] = round(time.perf_counter() - started, 3)
            bar.set_postfix_str(f"L {record['L']:.3f}", refresh=False)
            if task.checks is not None and step in check_at:
                record["held_out_miou"] = score = score_model(model, cache, task.checks).miou()
                if score > run.best_score:
                    run.best_score, run.best_step, run.best = score, step, trained_state(model)
            run.history.append(record)
            with writing(log) if log is not None else nullcontext():
                stream.write(json.dumps(record) + "\n")
                stream.flush()
            if machine.save_every is None:
                due = time.monotonic() - saved >= _SAVE_SECONDS
            else:
                due = step % machine.save_every == 0
            number = signalled()
            due = due or step == config.steps or number is not None
            if machine.state is not None and rank() == 0 and due:
                run.step, run.update = step, update.state_dict()
                save_run(machine.state, run)
                saved = time.monotonic()
            if number is not None:
                done = f"stopped after update {step} of {config.steps}, saved in {machine.state}"
                raise Stopped(number, f"{done}: fit with the same state goes on")
            if on_step is not None:
                on_step(step, record)
    if run.best is not None:
        model.load_state_dict(run.best, strict=False)
    model.eval()
    without = [c for c in task.base if c not in {*task.pools, *task.held_out}]
    held_out, base, without_pictures = (
        tuple(dataset.classes[c - 1] for c in ids) for ids in (task.held_out, task.base, without)
    )
    best_step = run.best_step or config.steps
    return Fitted(
        run.history, best_step, held_out, base, run.identity, without_pictures, started_from
    )


class Task(NamedTuple):
    """What a run trains on and is checked with."""

    base: tuple[int, ...]  # ids of the base classes
    pools: dict[int, list[str]]  # id of a class that is trained on to the names of its pictures
    held_out: tuple[int, ...]  # ids of the base classes that are only checked with
    checks: EpisodeList | None
    void: tuple[int, ...]  # ids of the novel classes whose objects are not counted


def training_task(
    dataset: VocFolder, fold: Fold, config: TrainingConfig, protocol: Protocol, split: str
) -> Task:
    """What `fit` trains on with these arguments, found without reading a picture.

    Raises:
        NoEpisodes: no base class has the pictures that an episode needs; says why.
        InputError: every class is novel, or a mask cannot be read.
    """
    (novel, base), shots = class_roles(fold, dataset.classes), protocol.shots
    if not base:
        raise InputError("every class is novel: leave at least one to train on")
    index = dataset.index(split)
    pairs = find_pairs(index, base, protocol.list_rule)
    dropped = drop_images(index, novel) if protocol.novel_images == "drop" else set()
    pairs = [p for p in pairs if p[0] not in dropped]
    pools = {c: v for c, v in images_by_class(pairs).items() if len(v) > shots}
    held_out = _held_out_classes(pools, config.held_out)
    train_pools = {c: v for c, v in pools.items() if c not in held_out}
    if not train_pools:
        place = "its lists" if split == "all" else f"{split}.txt"
        raise NoEpisodes(
            f"{dataset.root} has no training class with {shots + 1} pictures in {place}: "
            + why_no_class(dataset, index, base, protocol, dropped)
        )
    checks = None
    if held_out:
        held_pairs = [(n, c) for c in held_out for n in pools[c]]
        checks = draw_episodes(held_pairs, shots, config.check_episodes, config.seed)
    void = novel if protocol.novel_images == "void" else ()
    return Task(base, train_pools, held_out, checks, void)


def _held_out_classes(pools: dict[int, list[str]], count: int) -> tuple[int, ...]:
    """Classes at equal distances in the list; never more than half of them."""
    classes = sorted(pools)
    count = min(count, len(classes) // 2)
    return tuple(classes[round((i + 0.5) * len(classes) / count) - 1] for i in range(count))


def _open_log(log: Path | None, history: Sequence[dict]) -> TextIO:
    """The log, with the records so far; a text in memory if there is no log."""
    if log is None:
        return StringIO()
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        records = "".join(json.dumps(record) + "\n" for record in history)
        log.write_text(records, encoding="utf-8")
        return open(log, "a", encoding="utf-8")


# --- one update -----------------------------------------------------------------------------------

# Every process has the same buffers. What says so has another name from torch 2.15 on.
_DDP = signature(nn.parallel.DistributedDataParallel).parameters
_APART = {"forward_sync_buffers" if "forward_sync_buffers" in _DDP else "broadcast_buffers": False}


class _Loss(nn.Module):
    """A batch's loss as a module, for DistributedDataParallel and torch.compile."""

    def __init__(self, model: LTM, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, batch: BatchTensors) -> tuple[Tensor, dict[str, Tensor]]:
        """L and its terms, weighted so that their mean over the processes is the whole batch's."""
        rows = self.model.transformation.mask_rows
        output = self.model.forward_features(batch.F_q, batch.F_s, batch.G_s, batch.Y.shape[-2:])
        weights = self.config.losses
        shares = _shares(batch.Y, weights.reduction) if world() > 1 else {}
        for term, share in shares.items():
            name = f"lambda_{term}"
            weights = replace(weights, **{name: share * getattr(weights, name)})
        with torch.autocast(batch.Y.device.type, enabled=False):
            L, terms = ltm_loss(output, batch.Y, rows(batch.G_q), weights)
        for term, share in shares.items():
            terms[f"L_{term}"] = share * terms[f"L_{term}"]
        return L, terms


def _shares(Y: Tensor, reduction: Reduction) -> dict[str, Tensor | float]:
    """The weights of one process's terms in their mean, where they are not 1.

    L_m and L_a are means over the pixels that count, L_r is one over the pairs; or all are sums.
    """
    if reduction == "sum":
        return dict.fromkeys("mar", float(world()))
    own = (Y != VOID).sum().float()
    return dict.fromkeys("ma", world() * own / summed(own.clone()).clamp(min=1))


class Update:
    """Update a model's weights, in place, once for each batch that it is called with.

    One pass over `n_pairs` training pairs is an epoch; `compiled` lets torch.compile make kernels
    of the loss.
    """

    def __init__(self, model: LTM, config: TrainingConfig, n_pairs: int, compiled: bool) -> None:
        self.model, self.config = model, config
        self.device = next(model.parameters()).device
        self.loss: nn.Module = _Loss(model, config)
        if world() > 1:
            share_batch_statistics(model)
            ids = [self.device] if self.device.type == "cuda" else None
            self.loss = nn.parallel.DistributedDataParallel(self.loss, device_ids=ids, **_APART)
        if compiled:
            self.loss.compile()
        self.optimizer, self.schedule = _optimizer(model, config, n_pairs)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        parts = {"optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}
        self._parts = parts

    def __call__(self, batch: BatchTensors) -> dict[str, float]:
        """Update once; the loss and its terms before the update.

        Raises:
            FloatingPointError: features, loss or gradient are not finite; the message names the
            episodes, and the weights have not changed.
        """
        on_device = to_device(batch, self.device)
        dtype = DTYPES[self.config.precision]
        try:
            on_device.check_values()
        except ValueError as error:
            raise _not_finite(str(error), batch) from None
        autocast = torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)
        with without_value_checks(), autocast:
            L, terms = self.loss(on_device)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(L).backward()
        self.scaler.unscale_(self.optimizer)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        norm = nn.utils.clip_grad_norm_(trained, self.config.clip)
        numbers = torch.stack([L.detach(), *terms.values()])
        if world() > 1:
            numbers = summed(numbers) / world()
        # One copy from the device for all numbers.
        *losses, length = torch.cat([numbers, norm[None]]).tolist()
        values = dict(zip(("L", *terms), losses, strict=True))
        if not math.isfinite(values["L"]):
            raise _not_finite(f"the loss is {values['L']}", batch)
        # In float16 a gradient may be too large once in a while: the scaler leaves that update out.
        if not self.scaler.is_enabled() and not math.isfinite(length):
            raise _not_finite(f"the gradient's norm is {length}", batch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return values

    def state_dict(self) -> dict:
        """All that the next update depends on."""
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return {"weights": trained_state(self.model), **parts}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state that `state_dict` returned."""
        self.model.load_state_dict(state["weights"], strict=False)
        for name, part in self._parts.items():
            part.load_state_dict(state[name])


def _not_finite(what: str, batch: BatchTensors) -> FloatingPointError:
    return FloatingPointError(
        f"{what} on queries {batch.queries} with supports {batch.supports}: lower the learning "
        "rate, or look at these pictures"
    )


def _optimizer(
    model: LTM, config: TrainingConfig, n_pairs: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    others = [p for name, p in trained.items() if not name.startswith("T_e.")]
    groups = [
        {"params": [*model.T_e.parameters()], "lr": config.embedding_rate},
        {"params": others, "lr": config.learning_rate},
    ]
    if config.optimizer == "adam":
        optimizer = torch.optim.Adam(groups, weight_decay=config.weight_decay, amsgrad=True)
    else:
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    warm = max(1, config.steps // 10)
    epoch = max(1, round(n_pairs / config.batch))

    def factor(step: int) -> float:
        if config.schedule == "decay":
            return 0.8 ** (step // (10 * epoch))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def trained_state(model: LTM) -> dict[str, Tensor]:
    """A copy of the weights that train."""
    return {k: v.detach().clone() for k, v in model.trainable_state().items()}
