"""Checkpoints: trained weights with the whole configuration and protocol, safe to open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..backbones import build_backbone
from ..episodes import Fold, Protocol
from ..model import LTM, LTMConfig
from ..store.errors import InputError
from ..store.files import written_whole
from ..store.weights import check_plain, load_weights, save_weights
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
        for name in ("dataset", "command", "split", "pictures", "backbone", "initial"):
            if type(values.get(name, "")) is not str:
                raise TypeError(f"{name} is no text")
        if type(best_step) is not int or not all(type(c) is str for c in values["base_classes"]):
            raise TypeError("best_step is no whole number, or a class has no name")
        if not (fold is None or isinstance(fold, list | tuple) or type(fold) is int):
            raise TypeError(f"the fold is {fold!r}")
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

    What is too large for half precision is written in single precision. The file is read again
    before it gets its name. The backbone is not written: it comes with its own package.

    Raises:
        InputError: the file cannot be written, or a weight is NaN or infinite.
    """
    state = {k: v.detach().cpu() for k, v in model.trainable_state().items()}
    for name, value in state.items():
        if not value.isfinite().all():
            raise InputError(
                f"{path} is not written: {name} holds NaN or infinite values; train with a lower "
                "learning rate"
            )
    content = {
        "format": _FORMAT,
        "model": model.config.as_dict(),
        **trained_on.as_dict(),
        "state": {k: _compact(v) for k, v in state.items()},
    }
    with written_whole(Path(path), durable=True) as part:
        save_weights(part, content)
        try:
            config, again, stored = read_checkpoint(part)
        except InputError as error:
            what = str(error).replace(str(part), "what the disk gave back")
            raise InputError(f"{path} is not written: {what}") from None
        same = all(torch.equal(stored[k], v) for k, v in content["state"].items())
        if not same or (config, again.as_dict()) != (model.config, trained_on.as_dict()):
            raise InputError(f"{path} is not written: what the disk gave back is something else")


def _compact(value: Tensor) -> Tensor:
    """A tensor in half precision, unless that would make a number infinite."""
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if half.isfinite().all() else value


def load_checkpoint(path: str | Path) -> tuple[LTM, TrainedOn]:
    """Build the model of a file of `save_checkpoint`, in eval mode. No code of the file is run.

    Raises:
        InputError: the file is missing or damaged, or contains another kind of model, or numbers
            that no training gives.
    """
    config, trained_on, stored = read_checkpoint(path)
    try:
        backbone = build_backbone(config.backbone, config.stages)
        with torch.device("meta"):  # shapes without memory
            form = LTM(config, backbone)
    except InputError as error:  # the backbone's weights are missing
        raise InputError(f"{path}: {error}") from None
    _check_fits(form, path, trained_on, stored)
    model = LTM(config, backbone)
    model.load_state_dict(stored, strict=False)
    return model.eval(), trained_on


def start_from(path: str | Path, model: LTM) -> TrainedOn:
    """Give a model, in place, the weights of a checkpoint, and say what those were trained on.

    Raises:
        InputError: as `load_checkpoint` does, or the model is of another form.
    """
    _, trained_on, stored = read_checkpoint(path)
    try:
        _check_fits(model, path, trained_on, stored)
    except InputError as error:
        raise InputError(f"{error}; a training starts from a network of its own form") from None
    model.load_state_dict(stored, strict=False)
    return trained_on


def _check_fits(
    model: LTM, path: str | Path, trained_on: TrainedOn, stored: dict[str, Tensor]
) -> None:
    """Check that weights are those of a model of this form, before any memory is taken for it.

    Raises:
        InputError: they are another model's; names the first difference.
    """
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
        config, trained_on = LTMConfig.from_dict(content["model"]), TrainedOn.from_dict(content)
        stored = dict(content["state"])
    except InputError as error:  # its own line says more: a rule, a size
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is a checkpoint of another version ({error})") from None
    for name, value in stored.items():
        check_plain(path, str(name), value)
        if str(name).endswith("running_var") and (value < 0).any():
            raise InputError(f"{path}: {name}, a variance, is negative: train it again")
    return config, trained_on, stored
