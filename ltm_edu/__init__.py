"""ltm_edu: the Local Transformation Module for few-shot segmentation, one equation at a time.

Yang et al., "A New Local Transformation Module for Few-Shot Segmentation", MMM 2020,
arXiv:1910.05886. `ltm_edu.equations` is the paper; everything else stands on it.

Names are imported on first use, so that `import ltm_edu` and `ltm-edu --help` load no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .datasets import open_dataset as open_dataset
    from .episodes import Protocol as Protocol
    from .evaluation import evaluate as evaluate
    from .model import LTM as LTM
    from .model import TrainingFreeMap as TrainingFreeMap
    from .runs.checkpoint import load_checkpoint as load_checkpoint
    from .runs.checkpoint import save_checkpoint as save_checkpoint
    from .segmenter import FewShotSegmenter as FewShotSegmenter
    from .segmenter import predict as predict
    from .store.errors import InputError as InputError
    from .store.files import data_dir as data_dir
    from .store.files import shipped_checkpoint as shipped_checkpoint
    from .training import fit as fit
    from .transformations import GlobalTransformation as GlobalTransformation
    from .transformations import LocalTransformation as LocalTransformation
    from .upsam import Upsam as Upsam

__version__ = "0.1.0"

_HOMES = {
    "LTM": "model",
    "LocalTransformation": "transformations",
    "GlobalTransformation": "transformations",
    "TrainingFreeMap": "model",
    "Upsam": "upsam",
    "Protocol": "episodes",
    "InputError": "store.errors",
    "open_dataset": "datasets",
    "fit": "training",
    "evaluate": "evaluation",
    "predict": "segmenter",
    "FewShotSegmenter": "segmenter",
    "load_checkpoint": "runs.checkpoint",
    "save_checkpoint": "runs.checkpoint",
    "shipped_checkpoint": "store.files",
    "data_dir": "store.files",
}
_MODULES = ("equations", "geometry", "backbones", "transformations", "upsam", "model", "losses")
_MODULES += ("episodes", "scores", "evaluation", "training", "segmenter", "datasets")

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_MODULES])
