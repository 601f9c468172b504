"""fit(): train a fold on episodes of its base classes, from cached features."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .datasets.voc_layout import VocFolder
from .episodes import draw_episodes, drop_images, find_pairs, images_by_class
from .errors import InputError
from .evaluation import score_model
from .features import FeatureCache
from .losses import LossWeights, ltm_loss
from .model import LTM
from .protocol import Protocol, base_classes, novel_classes


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; it travels in the checkpoint.

    Attributes:
        steps: updates.
        batch: episodes an update.
        learning_rate: of T_f and Upsam; warms up, then falls to zero along a cosine.
        embedding_rate: of T_e.
        weight_decay: AdamW's.
        centre: before the first update, give T_e the bias that makes the mean embedding of the
            training pictures zero. A cosine between features that all point one way tells little.
        balance: classes are drawn with their number of pictures to this power: 0 draws all
            classes alike, 1 all pairs alike.
        held_out: base classes kept out of training to choose the step by; 0 returns the last,
            where the learning rate has come down to zero.
        checks: how often the held-out classes are scored.
        check_episodes: episodes a check.
        losses: lambdas and forms of equations 8 to 11.
        seed: of weights, episodes and everything else.
    """

    steps: int = 300
    batch: int = 8
    learning_rate: float = 1e-3
    embedding_rate: float = 5e-4
    weight_decay: float = 0.01
    centre: bool = True
    balance: float = 0.5
    held_out: int = 0
    checks: int = 3
    check_episodes: int = 100
    losses: LossWeights = field(default_factory=LossWeights)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checks", "check_episodes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: a seed is 0 or more")

    def as_dict(self) -> dict:
        """Plain values, for checkpoints."""
        return asdict(self)


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
) -> Fitted:
    """Train a model in place on episodes of a fold's base classes; its backbone stays frozen.

    Args:
        model: its T_e, T_f and Upsam are trained, from where they are.
        dataset: pictures and masks.
        fold: 0 to 3, or None to train on every class (for use, not for a score).
        config: `TrainingConfig()` by default.
        protocol: the rule for pairs and for pictures that show novel classes.
        split: the list to train on.
        cache_folder: where to keep features between runs; None keeps them in memory.
        log: a file that gets one JSON object an update, as it happens.
        progress: show bars with the time left.
        on_step: called with the step and its row, for live figures.

    Returns:
        History and the step chosen on held-out training classes.

    Raises:
        InputError: no class has the pictures that an episode needs, or an unreadable file.
        FloatingPointError: the loss is not finite; names the episodes.
    """
    config, protocol = config or TrainingConfig(), protocol or Protocol()
    n_classes = len(dataset.classes)
    base = tuple(range(1, n_classes + 1)) if fold is None else base_classes(fold, n_classes)
    index = dataset.index(split)
    pairs = find_pairs(index, base, protocol.list_rule)
    dropped: set[str] = set()
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
    cache = FeatureCache(
        model, dataset, index.names, flips=True, folder=cache_folder, progress=progress
    )

    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    device = next(model.parameters()).device
    if config.centre:
        shown = sorted({n for v in train_pools.values() for n in v})
        model.centre_embedding(cache.mean(shown).to(device))
    optimizer, schedule = _optimizer(model, config)
    history: list[dict] = []
    best = (-math.inf, 0, None)
    check_at = {round(config.steps * (i + 1) / config.checks) for i in range(config.checks)}
    model.train()
    with _open_log(log) as stream:
        bar = tqdm(range(1, config.steps + 1), "training", unit="step", disable=not progress)
        started = time.perf_counter()
        for step in bar:
            batch = _draw_batch(train_pools, shots, config, rng)
            row = {"step": step, **_update(model, cache, batch, config, optimizer, device)}
            schedule.step()
            row["seconds"] = round(time.perf_counter() - started, 3)
            bar.set_postfix_str(f"L {row['L']:.3f}", refresh=False)
            if checks is not None and step in check_at:
                state = _trained_state(model)
                row["held_out_miou"] = _check(model, state, cache, checks)
                if row["held_out_miou"] > best[0]:
                    best = (row["held_out_miou"], step, state)
            history.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            if on_step is not None:
                on_step(step, row)
    state, best_step = (best[2], best[1]) if best[2] is not None else (_trained_state(model), step)
    model.load_state_dict(state, strict=False)
    model.eval()
    named = [dataset.classes[c - 1] for c in held_out]
    return Fitted(history, best_step, tuple(named), tuple(dataset.classes[c - 1] for c in base))


@dataclass(frozen=True)
class _Batch:
    class_ids: list[int]
    queries: list[str]
    supports: list[list[str]]
    query_flips: list[bool]
    support_flips: list[list[bool]]


def _held_out_classes(pools: dict[int, list[str]], count: int) -> tuple[int, ...]:
    """Every so many-th class, so that they spread over the list; never more than half of them."""
    classes = sorted(pools)
    count = min(count, len(classes) // 2)
    return tuple(classes[round((i + 0.5) * len(classes) / count) - 1] for i in range(count))


def _draw_batch(
    pools: dict[int, list[str]], shots: int, config: TrainingConfig, rng: np.random.Generator
) -> _Batch:
    classes = sorted(pools)
    weights = np.array([len(pools[c]) for c in classes], float) ** config.balance
    ids = rng.choice(classes, config.batch, p=weights / weights.sum())
    names = [rng.choice(pools[c], shots + 1, replace=False).tolist() for c in ids]
    flips = rng.integers(0, 2, (config.batch, shots + 1)).astype(bool).tolist()
    return _Batch(
        [int(c) for c in ids],
        [n[0] for n in names],
        [n[1:] for n in names],
        [f[0] for f in flips],
        [f[1:] for f in flips],
    )


def _update(
    model: LTM,
    cache: FeatureCache,
    batch: _Batch,
    config: TrainingConfig,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> dict[str, float]:
    B, K = len(batch.queries), len(batch.supports[0])
    supports = [n for names in batch.supports for n in names]
    flips = [f for row in batch.support_flips for f in row]
    ids = [c for c in batch.class_ids for _ in range(K)]
    Y = cache.masks(batch.queries, batch.class_ids, batch.query_flips)
    G_q = model.transformation.mask_rows(cache.grid_masks(Y)).to(device)
    G_s = cache.grid_masks(cache.masks(supports, ids, flips)).unflatten(0, (B, K)).to(device)
    F_s = cache.support_features(supports, flips).unflatten(0, (B, K)).to(device)
    F_q = [f.to(device) for f in cache.features(batch.queries, batch.query_flips)]
    output = model.forward_features(F_q, F_s, G_s, Y.shape[-2:])
    L, terms = ltm_loss(output, Y.to(device), G_q, config.losses)
    if not torch.isfinite(L):
        raise FloatingPointError(
            f"the loss is {L.item()} on queries {batch.queries} with supports {batch.supports}: "
            "lower the learning rate, or look at these pictures"
        )
    optimizer.zero_grad(set_to_none=True)
    L.backward()
    nn.utils.clip_grad_norm_((p for p in model.parameters() if p.requires_grad), 1.0)
    optimizer.step()
    return {"L": L.item(), **{k: v.item() for k, v in terms.items()}}


def _optimizer(
    model: LTM, config: TrainingConfig
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [
        {"params": list(model.T_e.parameters()), "lr": config.embedding_rate},
        {
            "params": [*model.T_f.parameters(), *model.upsam.parameters()],
            "lr": config.learning_rate,
        },
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    warm = max(1, config.steps // 10)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _trained_state(model: LTM) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.trainable_state().items()}


def _check(model: LTM, state: dict[str, Tensor], cache: FeatureCache, checks: Sequence) -> float:
    """Score a state on the held-out classes' episodes; the model is left as it was."""
    now = _trained_state(model)
    model.load_state_dict(state, strict=False)
    score = score_model(model, cache, checks).miou()
    model.load_state_dict(now, strict=False)
    return score


def _open_log(log: Path | None) -> TextIO:
    """The log to write to; one that keeps nothing where none is asked for."""
    if log is None:
        return StringIO()
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        return open(log, "w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {log}: {error.strerror or error}") from None
