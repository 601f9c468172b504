"""`ltm-edu import`: annotations in other formats become a folder in VOC's layout."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..datasets.coco import import_coco
from ..datasets.importing import Target
from ..datasets.inspection import survey
from ..datasets.labelme import import_labelme
from ..datasets.mask_folders import import_masks
from ..datasets.name_lists import read_classes
from ..datasets.voc import VocFolder
from ..store.errors import InputError
from .inspect import draw_sheet

_SHEET = "contact_sheet.png"


def run(options: argparse.Namespace) -> None:
    """Write the folder; print what was left out, and what the folder holds."""
    surveys = []

    def finish(folder: Path) -> None:
        surveys.append(survey(VocFolder.open(folder)))
        if faults := surveys[0].faults:
            path, what = faults[0]
            raise InputError(f"{options.out} is not written: its file {path.name} {what}")
        draw_sheet(surveys[0], folder / _SHEET)

    target = Target(options.out, options.val, options.seed, options.overwrite, finish=finish)
    if options.kind == "coco":
        found = import_coco(options.annotations, options.images, target)
    elif options.kind == "labelme":
        found = import_labelme(options.folder, target)
    else:
        classes = _classes(options.classes)
        found = import_masks(options.images, options.masks, target, options.binary, classes)
    for line in found.problems:
        print(f"ltm-edu: warning: {line}", file=sys.stderr)
    print(replace(surveys[0], dataset=VocFolder.open(found.root)).table())
    print(f"contact sheet: {found.root / _SHEET}")


def _classes(text: str | None) -> tuple[str, ...]:
    """The classes of a file, or those that a text names."""
    if text is None:
        return ()
    if Path(text).is_file():
        return read_classes(Path(text))
    return tuple(name.strip() for name in text.split(","))
