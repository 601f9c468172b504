"""Named recipes: which network and how to train it, for each kind of data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from .model import SMALL, LTMConfig
from .training import TrainingConfig


@dataclass(frozen=True)
class Recipe:
    """A network and a training; options override single fields."""

    model_config: LTMConfig
    training_config: TrainingConfig = field(default_factory=TrainingConfig)
    novel_images: Literal["keep", "drop"] = "keep"

    def model(self, **options: object) -> LTMConfig:
        """The network's configuration with some fields changed."""
        return replace(self.model_config, **options)

    def training(self, **options: object) -> TrainingConfig:
        """The training's configuration with some fields changed."""
        return replace(self.training_config, **options)


EMOJI5I = Recipe(
    replace(SMALL, image_size=225, rows="fg_bg"), TrainingConfig(steps=300), novel_images="drop"
)
PHOTOS = Recipe(replace(SMALL, rows="fg_bg"), TrainingConfig(steps=150))


def recipe_for(data: str | Path) -> Recipe:
    """The recipe for a dataset: the miniature's, or the one for photographs."""
    return EMOJI5I if str(data) == "emoji5i" else PHOTOS
