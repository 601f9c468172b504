"""Checkpoints: trained weights with the whole configuration and protocol, safe to open."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..episodes import Protocol
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
    fold: int | None
    base_classes: tuple[str, ...]  # names of the classes that it trained on
    protocol: Protocol = field(default_factory=Protocol)  # chose its training pairs
    training: dict = field(default_factory=dict)
    command: str = ""  # trains it again
    split: str = ""
    pictures: str = ""
    backbone: str = ""
    best_step: int = 0  # the update that the weights come from; 0 if unknown

    def identity(self, network: LTMConfig) -> RunIdentity:
        """The identity of the run that made the checkpoint."""
        plain = network.as_dict(), self.training, self.protocol.as_dict()
        return RunIdentity(
            self.dataset, self.pictures, self.split, self.fold, self.backbone, *plain
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
        **asdict(trained_on),
        "base_classes": list(trained_on.base_classes),
        "protocol": trained_on.protocol.as_dict(),
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
    if trained_on.backbone not in ("", model.backbone.key):
        raise InputError(
            f"{path} was trained on features of {trained_on.backbone}, but the backbone here is "
            f"{model.backbone.key}: use the same weights, or train it again"
        )
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
        training = dict(content["training"])
        best_step = content.get("best_step", training.pop("best_step", 0))  # old files: inside
        trained_on = TrainedOn(
            content["dataset"],
            content["fold"],
            tuple(content["base_classes"]),
            Protocol.from_dict(content["protocol"]),
            training,
            content["command"],
            *(content.get(name, "") for name in ("split", "pictures", "backbone")),
            best_step,
        )
        return LTMConfig.from_dict(content["model"]), trained_on, dict(content["state"])
    except InputError as error:  # its own line says more: a rule, a size
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is a checkpoint of another version ({error})") from None
