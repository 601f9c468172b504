"""The settings of a training run: what it depends on, and what only makes it fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from ..episodes import check_seed
from ..losses import LossWeights
from ..store.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; a checkpoint contains it.

    Attributes:
        steps: updates.
        batch: episodes an update, of all processes together.
        optimizer: "adamw", or "adam" in its amsgrad form as released.
        learning_rate: of all that trains but T_e; see `fit`.
        embedding_rate: of T_e.
        weight_decay: the optimizer's.
        schedule: "cosine" warms up for a tenth of the steps, then falls to zero; "decay" multiplies
            the rate by 0.8 after every ten passes over the training pairs, as released.
        clip: the largest norm of a gradient.
        centre: subtract the mean feature of the training pictures from all features: cosines
            between features that all point one way differ little.
        flips: mirror pictures at random.
        balance: a class is drawn in proportion to its number of pictures to this power: with 0 all
            classes are equally likely, with 1 all pairs.
        held_out: number of base classes that are not trained on but choose the best step; with 0
            the last step is taken.
        checks, check_episodes: how often the held-out classes are scored, on how many episodes.
        losses: lambdas and forms of equations 8 to 11.
        precision: "float32", or "bfloat16" or "float16" for convolutions under autocast; the
            equations are always computed in float32.
        seed: of weights, episodes and everything else.
    """

    steps: int = 300
    batch: int = 8
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    embedding_rate: float = 5e-4
    weight_decay: float = 0.01
    schedule: Literal["cosine", "decay"] = "cosine"
    clip: float = 1.0
    centre: bool = True
    flips: bool = True
    balance: float = 0.5
    held_out: int = 0
    checks: int = 3
    check_episodes: int = 100
    losses: LossWeights = field(default_factory=LossWeights)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checks", "check_episodes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("learning_rate", "embedding_rate", "weight_decay", "held_out"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}: it must be 0 or more, finite")
        if not 0 <= self.balance <= 10:
            raise InputError(f"balance is {self.balance}: it must be 0 to 10")
        if not self.clip > 0:
            raise InputError(f"clip is {self.clip}: it must be over 0; inf does not clip")
        check_seed(self.seed)
        choices = {"optimizer": ("adamw", "adam"), "schedule": ("cosine", "decay")}
        for name, values in {**choices, "precision": tuple(DTYPES)}.items():
            if getattr(self, name) not in values:
                raise InputError(f"{name} {getattr(self, name)!r}: choose {' or '.join(values)}")


@dataclass(frozen=True)
class Machine:
    """How to compute; it changes speed and memory, not what is trained.

    Attributes:
        features_on_device: keep all features where the model is, for example on a GPU.
        workers: processes that gather batches ahead of time; 0 gathers between updates.
        compile: compile the update with torch.compile.
        state: the file that the run's state is saved in, and loaded from if it exists: a run that
            was stopped continues, bit for bit on a CPU.
        save_every: updates between two states, by default five minutes. The state after the last
            update is always saved: the same run need not train again.
    """

    features_on_device: bool = False
    workers: int = 0
    compile: bool = False
    state: Path | None = None
    save_every: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"workers is {self.workers}: it must be 0 or more")
        if self.save_every is not None and self.save_every < 1:
            raise InputError(f"save_every is {self.save_every}: it must be at least 1")
        if self.workers and self.features_on_device:
            raise InputError("workers need features in the host's memory: not features_on_device")
