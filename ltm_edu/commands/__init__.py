"""What each command of `ltm-edu` does with its options, one module for each command."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from ..datasets import open_dataset
from ..datasets.joined import JoinedFolders, common_name, join_folders
from ..datasets.voc import VocFolder
from ..episodes import FOLDS, Fold, NovelImages, class_roles, fold_label
from ..store.errors import InputError

if TYPE_CHECKING:
    from ..runs.checkpoint import TrainedOn

_OPTION_OF = {
    'list_rule="any"': "--rule any",
    **{f'novel_images="{rule}"': f"--novel-images {rule}" for rule in get_args(NovelImages)},
    "overwrite=True": "--overwrite",
    "share=": "--val ",
    "fit with the same state goes on": "the same command with --resume goes on",
}

# Pillow warns about large pictures and damaged EXIF blocks, which are read; the rest has errors.
warnings.filterwarnings("ignore", module=r"PIL\.")


def chosen_folds(options: argparse.Namespace, dataset: VocFolder) -> list[Fold]:
    """The folds that --fold, --novel or --all-classes names.

    Raises:
        InputError: there is no such fold, no such class, or the classes are too few for folds.
    """
    if getattr(options, "all_classes", False):
        return [None]
    if options.novel is not None:
        names = tuple(name.strip() for name in options.novel.split(","))
        if isinstance(dataset, JoinedFolders):
            names = tuple(map(common_name, names))
        return [novel_names(names, dataset.classes)]
    folds = {str(fold): [fold] for fold in range(FOLDS)} | {"all": list(range(FOLDS))}
    chosen: dict[Fold, None] = {}
    for text in options.fold.split(","):
        if text not in folds:
            raise InputError(f"--fold {text}: there are folds 0, 1, 2 and 3, or all")
        chosen |= dict.fromkeys(folds[text])
    if len(dataset.classes) < FOLDS:
        raise InputError(
            f"{dataset.root} has {len(dataset.classes)} classes, too few for {FOLDS} folds: choose "
            "--novel NAME,NAME" + " or --all-classes" * hasattr(options, "all_classes")
        )
    return list(chosen)


def novel_names(fold: Fold, classes: Sequence[str]) -> tuple[str, ...]:
    """The names of a fold's novel classes, in the order of the classes.

    Raises:
        InputError: as `class_roles` does.

    >>> novel_names(("cow", "cat"), ["dog", "cat", "cow"])
    ('cat', 'cow')
    """
    return tuple(classes[c - 1] for c in class_roles(fold, classes).novel)


def of_fold(pattern: object, fold: Fold) -> str:
    """A file's name with its {fold} filled in: as 2, _all, or _cat+dog."""
    text = fold_label(fold)
    if not isinstance(fold, int):
        text = "_" + re.sub(r"[^\w+.-]+", "-", text)
        if len(text) > 60:  # a file's name has a largest length
            text = f"{text[:50]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return str(pattern).replace("{fold}", text)


def leaked_classes(trained_on: TrainedOn, dataset: VocFolder, fold: Fold) -> str:
    """The novel classes of a fold that a checkpoint was trained on, as text; "" if none."""
    seen = {common_name(name) for name in trained_on.seen_classes}
    novel = novel_names(fold, dataset.classes)
    leaked = [name for name in novel if common_name(name) in seen]
    return ", ".join(leaked[:3]) + (" and more" if leaked[3:] else "")


def in_options(text: str) -> str:
    """An error with the arguments that the library advises in the words of the command line.

    >>> in_options('use list_rule="any"')
    'use --rule any'
    """
    for argument, option in _OPTION_OF.items():
        text = text.replace(argument, option)
    return text


def say(line: str) -> None:
    """Print a line on stderr; where several processes work together, the first one does."""
    from ..runs.processes import rank  # here: it loads torch, which not every command needs

    if rank() == 0:
        print(f"ltm-edu: {line}", file=sys.stderr)


def report_skipped(skipped: Mapping[str, str], done: str) -> int:
    """Say which folds had no episodes, and why; the exit status."""
    for fold, why in skipped.items():
        say(f"fold {fold} is not {done}: {in_options(why)}")
    return 1 if skipped else 0


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
        say(f"warning: {line}")
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
