"""`ltm-edu verify`: list what is missing, damaged or odd in a dataset."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..datasets import open_dataset, pascal5i
from ..datasets.inspection import Fault, Survey, report, survey
from ..store.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Print what is missing, damaged or odd in a dataset."""
    if options.dataset == "pascal5i":
        advice = "ltm-edu fetch pascal5i writes only these files again"
        _conclude(pascal5i.folder(), pascal5i.verify(), advice)
    else:
        conclude(survey(open_dataset(options.dataset)))


def conclude(found: Survey) -> None:
    """Print what is wrong and what is odd in a folder, a line for each kind.

    Raises:
        InputError: there are faults.
    """
    for line in report(found.doubts):
        print(f"warning: {line}")
    advice = "repair or replace them, or remove their names from the lists"
    _conclude(found.dataset.root, found.faults, advice, found.dataset.warnings)


def _conclude(root: Path, faults: list[Fault], advice: str, warnings: Sequence[str] = ()) -> None:
    well = f"{root}: every file that the lists name exists and can be read"
    print("\n".join(report(faults) or [well]))
    for line in warnings:
        print(f"warning: {line}")
    if faults:
        raise InputError(f"{root}: {len(faults)} missing or damaged: {advice}")
