"""The settings of a training run: what it depends on, and what only makes it fast."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch

from ..losses import LossWeights
from ..store.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; it travels in the checkpoint.

    Attributes:
        steps: updates.
        batch: episodes an update, of all processes together.
        optimizer: "adamw", or "adam" in its amsgrad form as released.
        learning_rate: of T_f and Upsam.
        embedding_rate: of T_e.
        weight_decay: the optimizer's.
        schedule: "cosine" warms up for a tenth of the steps, then falls to zero; "decay" takes
            four fifths of the rate every ten passes over the training pairs, as released.
        clip: the largest norm of a gradient.
        centre: take the mean feature of the training pictures out of all features. A cosine between
            features that all point one way tells little.
        flips: mirror pictures at random.
        balance: classes are drawn with their number of pictures to this power: 0 draws all
            classes alike, 1 all pairs alike.
        held_out: base classes kept out of training to choose the step by; 0 returns the last,
            where the learning rate has come down to zero.
        checks: how often the held-out classes are scored.
        check_episodes: episodes a check.
        losses: lambdas and forms of equations 8 to 11.
        precision: "float32", or "bfloat16" or "float16" for convolutions under autocast; the
            equations are computed in float32 all the same.
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
        for name in ("learning_rate", "embedding_rate", "weight_decay", "balance", "held_out"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}: it must be 0 or more, finite")
        if not self.clip > 0:
            raise InputError(f"clip is {self.clip}: it must be over 0; inf does not clip")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: a seed is 0 or more")
        for name, known in (
            ("optimizer", ("adamw", "adam")),
            ("schedule", ("cosine", "decay")),
            ("precision", tuple(DTYPES)),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: it is {' or '.join(known)}")

    def as_dict(self) -> dict:
        """Plain values, for checkpoints."""
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """How to compute; it changes speed and memory, not what is trained.

    Attributes:
        features_on_device: hold all features where the model is, a GPU say.
        workers: processes that gather batches ahead of time; 0 gathers between updates.
        compile: let torch.compile make kernels of the update.
        state: a file that the run's state is kept in, and is taken from if it is there: a run
            that was stopped goes on, bit for bit on a CPU.
        save_every: updates between two states; None writes one whenever five minutes have passed.
            The last update is always kept: the same run asked for again is there at once.
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
            raise InputError(
                "workers gather from the host's memory: leave them, or features_on_device, out"
            )
