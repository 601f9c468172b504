"""The state of a run that has not ended: enough to go on as if it had never stopped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..store.weights import load_weights
from ..store.errors import InputError
from ..store.files import written_whole

_KEPT = ("step", "update", "history", "best_score", "best_step", "best")


@dataclass
class RunState:
    """Where a run is.

    Attributes:
        about: all settings that the result depends on, as nested plain values.
        step: updates done.
        update: weights, optimizer and schedule.
        history: the log's rows so far.
        best_score, best_step, best: the best check on held-out classes, and its weights.
    """

    about: dict[str, dict]
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
    content = {"about": run.about, **{k: getattr(run, k) for k in _KEPT}}
    with written_whole(Path(path)) as part:
        torch.save(content, part)


def load_run(path: Path, run: RunState) -> bool:
    """Fill a run with the state of a file, if there is one. No code of the file is run.

    Args:
        path: a file that `save_run` wrote, or that is not there.
        run: its settings must be those of the file.

    Returns:
        Whether there was one.

    Raises:
        InputError: the file is damaged, or of a run with other settings; names them.
    """
    path = Path(path)
    for part in path.parent.glob(f".{path.name}.*"):  # of a run that was killed while it wrote
        part.unlink(missing_ok=True)  # several processes may look at once
    if not path.is_file():
        return False
    content = load_weights(path)
    if not isinstance(content, dict) or not {"about", *_KEPT} <= set(content):
        raise InputError(f"{path} is not the state of a run: delete it to start anew")
    differ = list(differences(content["about"], run.about))
    if differ:
        raise InputError(
            f"{path} is the state of another run ({'; '.join(differ)}): "
            "give the same options to go on, or delete it to start anew"
        )
    for name in _KEPT:
        setattr(run, name, content[name])
    return True


def differences(there: object, here: object, name: str = "") -> Iterator[str]:
    """What differs in nested plain values, a phrase each; lists and tuples are alike."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            yield from differences(there.get(key), here.get(key), f"{name}.{key}".lstrip("."))
    elif _plain(there) != _plain(here):
        yield f"{name} was {_short(there)}, is {_short(here)}"


def _plain(value: object) -> object:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
