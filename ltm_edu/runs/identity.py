"""Which run this is: one identity for the checkpoint, the saved state and `--resume`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ..backbones import state_digest

if TYPE_CHECKING:
    from ..datasets.voc import VocFolder
    from ..episodes import Fold, Protocol
    from ..model import LTM
    from .settings import TrainingConfig


RANDOM = "random weights"


@dataclass(frozen=True)
class RunIdentity:
    """Everything that the result of a training depends on.

    Two runs with equal identities give the same weights, up to rounding. An empty text stands for
    what an old checkpoint does not say. Configurations and rules are plain values.
    """

    dataset: str  # name of the data set's folder
    pictures: str  # fingerprint of the content of its pictures and masks
    split: str  # the list that is trained on
    fold: Fold  # 0 to 3, names of novel classes, or None for all classes
    backbone: str  # its key
    network: dict
    training: dict
    protocol: dict
    started_from: str = ""  # a hash of the weights before the first update, or `RANDOM`

    def differences(self, other: RunIdentity) -> list[str]:
        """What differs between this run and another one, a phrase each.

        >>> one = RunIdentity("voc", "", "train", 0, "", {}, {"steps": 10}, {})
        >>> one.differences(RunIdentity("voc", "", "train", 0, "", {}, {"steps": 20}, {}))
        ['training.steps was 10, is 20']
        """
        return list(_differences(asdict(self), asdict(other)))


def run_identity(
    model: LTM,
    dataset: VocFolder,
    split: str,
    fold: Fold,
    training: TrainingConfig,
    protocol: Protocol,
    pictures: str | None = None,
    trained_before: bool = False,
) -> RunIdentity:
    """The identity of a training that is about to start, with arguments as in `fit`.

    `pictures` is the fingerprint of the list's pictures, if it is known already;
    `trained_before` says that the model's weights are those of a checkpoint.
    """
    if pictures is None:
        pictures = dataset.fingerprint(dataset.names(split))
    plain = model.config.as_dict(), asdict(training), protocol.as_dict()
    started_from = state_digest(model.trainable_state()) if trained_before else RANDOM
    key = model.backbone.key
    return RunIdentity(dataset.root.name, pictures, split, fold, key, *plain, started_from)


def _differences(before: object, now: object, name: str = "") -> Iterator[str]:
    """What differs in nested plain values; a list is equal to a tuple of the same values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
    elif "" not in (before, now) and _plain(before) != _plain(now):
        yield f"{name} was {_short(before)}, is {_short(now)}"


def _plain(value: object) -> object:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
