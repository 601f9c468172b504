"""`ltm-edu verify`: list what is missing, damaged or odd in a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..datasets import open_dataset, pascal5i
from ..datasets.inspection import Fault, Survey, report, survey
from ..store.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Print what is missing, damaged or odd in a dataset."""
    if options.dataset == "pascal5i":
        advice = "ltm-edu fetch pascal5i writes only these files again"
        conclude(pascal5i.folder(), pascal5i.verify(), advice)
    else:
        conclude_survey(survey(open_dataset(options.dataset)))


def conclude_survey(found: Survey) -> None:
    """Print the faults and the doubts that a survey found.

    Raises:
        InputError: there are faults.
    """
    advice = "repair or replace them, or remove their names from the lists"
    odd = [*report(found.doubts), *found.dataset.warnings]
    conclude(found.dataset.root, found.faults, advice, odd)


def conclude(root: Path, faults: list[Fault], advice: str, odd: list[str] = ()) -> None:
    """Print faults, a line for each kind, and lines about what is odd.

    Raises:
        InputError: there are faults; the line ends in advice.
    """
    warnings = [f"warning: {line}" for line in odd]
    well = f"{root}: every file that the lists name exists and can be read"
    print(*([*warnings, *report(faults)] if faults else [well, *warnings]), sep="\n")
    if faults:
        raise InputError(f"{root}: {len(faults)} missing or damaged: {advice}")
