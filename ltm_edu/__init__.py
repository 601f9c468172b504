"""ltm_edu: the Local Transformation Module for few-shot segmentation, one equation at a time.

Yang et al., "A New Local Transformation Module for Few-Shot Segmentation", MMM 2020,
arXiv:1910.05886. `ltm_edu.equations` is the paper; everything else stands on it.
"""

from .checkpoint import load_checkpoint, save_checkpoint
from .datasets import open_dataset
from .errors import InputError
from .evaluation import evaluate
from .model import LTM, TrainingFreeMap
from .paths import data_dir, shipped_checkpoint
from .prediction import predict
from .protocol import Protocol
from .training import fit
from .transformation import GlobalTransformation, LocalTransformation
from .upsam import Upsam

__version__ = "0.1.0"

__all__ = [
    "LTM",
    "LocalTransformation",
    "GlobalTransformation",
    "TrainingFreeMap",
    "Upsam",
    "Protocol",
    "InputError",
    "open_dataset",
    "fit",
    "evaluate",
    "predict",
    "load_checkpoint",
    "save_checkpoint",
    "shipped_checkpoint",
    "data_dir",
]
