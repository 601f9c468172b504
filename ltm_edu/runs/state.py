"""The saved state of a run that has not ended: enough to continue as if it had never stopped."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor

from ..store.errors import InputError
from ..store.files import written_whole
from ..store.weights import load_weights, save_weights
from .identity import RunIdentity


@dataclass
class RunState:
    """How far a run is; `best` are the weights of the best check on held-out classes."""

    identity: RunIdentity
    step: int = 0  # number of updates so far
    update: dict = field(default_factory=dict)  # weights, optimizer and schedule
    history: list[dict] = field(default_factory=list)  # the log's records
    best_score: float = -math.inf
    best_step: int = 0
    best: dict[str, Tensor] | None = None


def save_run(path: Path, run: RunState) -> None:
    """Write a state in full precision, completely or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with written_whole(path, durable=True) as part:
        save_weights(part, {**vars(run), "identity": asdict(run.identity)})


def load_run(path: Path, run: RunState) -> bool:
    """Fill a run with the state in a file of `save_run`, and say whether there is such a file.

    Raises:
        InputError: the file is damaged, or belongs to a run with another identity; the message
            names the differences.
    """
    if not path.is_file():
        return False
    content = load_weights(path)
    if not isinstance(content, dict) or not vars(run).keys() <= content.keys():
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
    for name in vars(run).keys() - {"identity"}:
        setattr(run, name, content[name])
    return True
