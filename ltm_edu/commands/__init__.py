"""What each command of `ltm-edu` does with its options, one module for each command."""

from __future__ import annotations

import argparse
import sys
import warnings

from ..datasets import open_dataset
from ..datasets.joined import join_folders
from ..datasets.voc import VocFolder
from ..episodes import FOLDS
from ..store.errors import InputError

# Pillow warns about large pictures and damaged EXIF blocks, which are read; the rest has errors.
warnings.filterwarnings("ignore", module=r"PIL\.")


def chosen_folds(text: str) -> list[int]:
    """The folds that --fold names.

    Raises:
        InputError: it is neither a fold nor "all".
    """
    folds = {str(fold): [fold] for fold in range(FOLDS)} | {"all": list(range(FOLDS))}
    if text not in folds:
        raise InputError(f"--fold {text}: there are folds 0, 1, 2 and 3, or all")
    return folds[text]


def chosen_dataset(options: argparse.Namespace) -> VocFolder:
    """The data set that --data names, joined with those of --with.

    With --available it lacks the pictures that are missing.

    Raises:
        InputError: it cannot be opened, or the list of --split names missing pictures and
            --available was not asked for.
    """
    dataset = open_dataset(options.data)
    if also := getattr(options, "also", ()):
        dataset = join_folders([dataset, *map(open_dataset, also)])
    for line in dataset.warnings:
        print(f"ltm-edu: warning: {line}", file=sys.stderr)
    available, listed = dataset.available(), dataset.names(options.split)
    missing = sorted(set(listed).difference(*available.splits.values()))
    if missing and not options.available:
        files = (dataset.image_path(missing[0]), dataset.mask_path(missing[0]))
        path = next((p for p in files if not p.exists()), files[0])
        advice = dataset.elsewhere(path) or (
            ": complete the folder, or go on without such pictures: --available"
        )
        raise InputError(
            f"{path} is missing, and {len(missing):,} of the {len(listed):,} pictures in "
            f"{options.split} lack a file{advice}"
        )
    return available if missing else dataset
