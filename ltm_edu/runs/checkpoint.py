"""Checkpoints: trained weights with the whole configuration and protocol, safe to open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..episodes import Fold, Protocol
from ..model import LTM, LTMConfig
from ..store.errors import InputError
from ..store.files import written_whole
from ..store.weights import load_weights
from .identity import RunIdentity

_FORMAT = 1


@dataclass(frozen=True)
class TrainedOn:
    """What a checkpoint was trained on, and how, in the words of `RunIdentity`."""

    dataset: str
    fold: Fold
    base_classes: tuple[str, ...]  # names of the classes that it trained on
    protocol: Protocol = field(default_factory=Protocol)  # chose its training pairs
    training: dict = field(default_factory=dict)
    command: str = ""  # trains it again
    split: str = ""
    pictures: str = ""
    backbone: str = ""
    best_step: int = 0  # the update that the weights come from; 0 if unknown
    initial: str = ""  # the weights before the first update, as in `RunIdentity.started_from`
    started_from: TrainedOn | None = None  # what those had been trained on, if they had been

    @property
    def seen_classes(self) -> tuple[str, ...]:
        """Names of all classes that the weights have been trained on, also those before them."""
        before = self.started_from.seen_classes if self.started_from else ()
        return tuple(dict.fromkeys((*self.base_classes, *before)))

    def identity(self, network: LTMConfig) -> RunIdentity:
        """The identity of the run that made the checkpoint."""
        plain = network.as_dict(), self.training, self.protocol.as_dict()
        where = self.dataset, self.pictures, self.split, self.fold, self.backbone
        return RunIdentity(*where, *plain, self.initial)

    def as_dict(self) -> dict:
        """Plain values, for a checkpoint."""
        return {
            **vars(self),
            "base_classes": list(self.base_classes),
            "protocol": self.protocol.as_dict(),
            "started_from": self.started_from and self.started_from.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict) -> TrainedOn:
        """The inverse of `as_dict`; what an old checkpoint does not say is empty.

        Raises:
            InputError, KeyError, TypeError, ValueError, AttributeError: it holds something else.
        """
        training, fold = dict(values["training"]), values["fold"]
        best_step = values.get("best_step", training.pop("best_step", 0))  # old files: inside
        before = values.get("started_from")
        return cls(
            values["dataset"],
            tuple(fold) if isinstance(fold, list) else fold,
            tuple(values["base_classes"]),
            Protocol.from_dict(values["protocol"]),
            training,
            values["command"],
            *(values.get(name, "") for name in ("split", "pictures", "backbone")),
            best_step,
            values.get("initial", ""),
            cls.from_dict(before) if before else None,
        )


def save_checkpoint(path: str | Path, model: LTM, trained_on: TrainedOn) -> None:
    """Write a model's trainable weights in half precision, completely or not at all.

    The backbone is not written: it comes with its own package.

    Raises:
        InputError: the file cannot be written.
    """
    state = {k: v.detach().cpu() for k, v in model.trainable_state().items()}
    content = {
        "format": _FORMAT,
        "model": model.config.as_dict(),
        **trained_on.as_dict(),
        "state": {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
    }
    with written_whole(Path(path)) as part:
        torch.save(content, part)


def load_checkpoint(path: str | Path) -> tuple[LTM, TrainedOn]:
    """Build the model of a file of `save_checkpoint`, in eval mode. No code of the file is run.

    Raises:
        InputError: the file is missing or damaged, or contains another kind of model, or numbers
            that are not finite.
    """
    config, trained_on, stored = read_checkpoint(path)
    try:
        model = LTM(config)
    except InputError as error:  # the backbone's weights are missing
        raise InputError(f"{path}: {error}") from None
    _fill(model, path, trained_on, stored)
    return model.eval(), trained_on


def start_from(path: str | Path, model: LTM) -> TrainedOn:
    """Give a model, in place, the weights of a checkpoint, and say what those were trained on.

    Raises:
        InputError: as `load_checkpoint` does, or the model is of another form.
    """
    _, trained_on, stored = read_checkpoint(path)
    try:
        _fill(model, path, trained_on, stored)
    except InputError as error:
        raise InputError(f"{error}; a training starts from a network of its own form") from None
    return trained_on


def _fill(model: LTM, path: str | Path, trained_on: TrainedOn, stored: dict[str, Tensor]) -> None:
    if trained_on.backbone not in ("", model.backbone.key):
        raise InputError(
            f"{path} was trained on features of {trained_on.backbone}, but the backbone here is "
            f"{model.backbone.key}: use the same weights, or train it again"
        )
    state = model.trainable_state()
    if more := [name for name in stored if name not in state]:
        raise InputError(f"{path} is a checkpoint of another model, which also has {more[0]}")
    for name, tensor in state.items():
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


def read_checkpoint(path: str | Path) -> tuple[LTMConfig, TrainedOn, dict[str, Tensor]]:
    """What a checkpoint contains, without building its model. No code of the file is run.

    Raises:
        InputError: the file is missing or damaged, or is not a checkpoint.
    """
    content = load_weights(path)
    if not isinstance(content, dict) or "state" not in content or "model" not in content:
        raise InputError(f"{path} is not a checkpoint of ltm_edu: make one with ltm-edu train")
    if content.get("format") != _FORMAT:
        raise InputError(
            f"{path} has checkpoint format {content.get('format')}, this version reads {_FORMAT}"
        )
    try:
        trained_on = TrainedOn.from_dict(content)
        return LTMConfig.from_dict(content["model"]), trained_on, dict(content["state"])
    except InputError as error:  # its own line says more: a rule, a size
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is a checkpoint of another version ({error})") from None
