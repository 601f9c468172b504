"""The saved state of a run that has not ended: enough to continue as if it had never stopped."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..store.errors import InputError
from ..store.files import written_whole
from ..store.weights import load_weights
from .identity import RunIdentity

_FIELDS = ("step", "update", "history", "best_score", "best_step", "best")


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        identity: all that the result depends on.
        step: number of updates so far.
        update: weights, optimizer and schedule.
        history: the log's records so far.
        best_score, best_step, best: the best check on held-out classes, and its weights.
    """

    identity: RunIdentity
    step: int = 0
    update: dict = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    best_score: float = -math.inf
    best_step: int = 0
    best: dict[str, Tensor] | None = None


def save_run(path: Path, run: RunState) -> None:
    """Write a state in full precision, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    content = {"identity": asdict(run.identity), **{k: getattr(run, k) for k in _FIELDS}}
    with written_whole(Path(path)) as part:
        torch.save(content, part)


def load_run(path: Path, run: RunState) -> bool:
    """Fill a run with the state of a file, if there is one. No code of the file is run.

    Args:
        path: a file that `save_run` wrote; it may be missing.
        run: its identity must be that of the file.

    Returns:
        Whether there is a file.

    Raises:
        InputError: the file is damaged, or belongs to a run with another identity; the message
            names the differences.
    """
    path = Path(path)
    for part in path.parent.glob(f".{path.name}.*"):  # left by a process that was killed
        part.unlink(missing_ok=True)  # several processes may look at once
    if not path.is_file():
        return False
    content = load_weights(path)
    if not isinstance(content, dict) or not {"identity", *_FIELDS} <= set(content):
        raise InputError(f"{path} is not the state of a run: delete it to start anew")
    try:
        saved = RunIdentity(**content["identity"])
    except TypeError:
        raise InputError(f"{path} is the state of another version: delete it") from None
    if differences := saved.differences(run.identity):
        raise InputError(
            f"{path} is the state of another run ({'; '.join(differences)}): "
            "use the same options to continue it, or delete it to start anew"
        )
    for name in _FIELDS:
        setattr(run, name, content[name])
    return True
