"""Checkpoints: trained weights with the whole configuration and protocol, safe to open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..store.weights import load_weights
from ..store.errors import InputError
from ..model import LTM, LTMConfig
from ..store.files import written_whole
from ..episodes import Protocol

_FORMAT = 1


@dataclass(frozen=True)
class TrainedOn:
    """What a checkpoint has seen, and how it was made.

    Attributes:
        dataset: the dataset's name.
        fold: 0 to 3, or None for all classes.
        base_classes: names of the classes that it trained on.
        protocol: the rules its training pairs were chosen by.
        training: the training configuration, as plain values.
        command: the command that makes it again.
    """

    dataset: str
    fold: int | None
    base_classes: tuple[str, ...]
    protocol: Protocol = field(default_factory=Protocol)
    training: dict = field(default_factory=dict)
    command: str = ""


def save_checkpoint(path: str | Path, model: LTM, trained_on: TrainedOn) -> None:
    """Write a model's trainable weights in half precision, whole or not at all.

    Args:
        path: the file.
        model: its backbone is not written; it comes with its own package.
        trained_on: what travels with the weights.

    Raises:
        InputError: the file cannot be written.
    """
    state = {
        k: v.detach().cpu().half() if v.is_floating_point() else v.detach().cpu()
        for k, v in model.trainable_state().items()
    }
    content = {
        "format": _FORMAT,
        "model": model.config.as_dict(),
        "dataset": trained_on.dataset,
        "fold": trained_on.fold,
        "base_classes": list(trained_on.base_classes),
        "protocol": trained_on.protocol.as_dict(),
        "training": trained_on.training,
        "command": trained_on.command,
        "state": state,
    }
    with written_whole(Path(path)) as part:
        torch.save(content, part)


def load_checkpoint(path: str | Path) -> tuple[LTM, TrainedOn]:
    """Build the model of a checkpoint, in eval mode. No code of the file is run.

    Args:
        path: a file that `save_checkpoint` wrote.

    Returns:
        The model, and what it was trained on.

    Raises:
        InputError: the file is missing, damaged, or holds another kind of model, or numbers that
            are not finite.
    """
    config, trained_on, stored = _read(Path(path))
    try:
        model = LTM(config)
    except InputError as error:  # weights that cannot be had
        raise InputError(f"{path}: {error}") from None
    for name, tensor in model.trainable_state().items():
        shape = getattr(stored.get(name), "shape", None)
        if shape != tensor.shape:
            found = "nothing" if shape is None else tuple(shape)
            raise InputError(
                f"{path} is a checkpoint of another model: {name} is {found}, "
                f"expected {tuple(tensor.shape)}"
            )
        if not stored[name].isfinite().all():
            raise InputError(f"{path}: {name} holds NaN or infinite values: train it again")
    model.load_state_dict(stored, strict=False)
    return model.eval(), trained_on


def read_checkpoint(path: str | Path) -> tuple[LTMConfig, TrainedOn]:
    """What a checkpoint holds, without building its model. No code of the file is run.

    Raises:
        InputError: the file is missing, damaged, or no checkpoint.
    """
    return _read(Path(path))[:2]


def _read(path: Path) -> tuple[LTMConfig, TrainedOn, dict[str, Tensor]]:
    content = load_weights(path)
    if not isinstance(content, dict) or "state" not in content or "model" not in content:
        raise InputError(f"{path} is not a checkpoint of ltm_edu: make one with ltm-edu train")
    if content.get("format") != _FORMAT:
        raise InputError(
            f"{path} has checkpoint format {content.get('format')}, this version reads {_FORMAT}"
        )
    try:
        trained_on = TrainedOn(
            content["dataset"],
            content["fold"],
            tuple(content["base_classes"]),
            Protocol(**content["protocol"]),
            content["training"],
            content["command"],
        )
        return LTMConfig.from_dict(content["model"]), trained_on, dict(content["state"])
    except InputError as error:  # its own line says more: a rule, a size
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is a checkpoint of another version ({error})") from None
