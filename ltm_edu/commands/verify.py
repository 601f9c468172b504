"""`ltm-edu verify`: list the missing and the damaged files of a dataset."""

from __future__ import annotations

import argparse

from ..datasets import open_dataset, pascal5i
from ..datasets.inspection import inspect_folder, report
from ..store.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Print what is missing or damaged in a dataset."""
    if options.dataset == "pascal5i":
        root, faults = pascal5i.folder(), pascal5i.verify()
        advice = "ltm-edu fetch pascal5i writes only these files again"
    else:
        dataset = open_dataset(options.dataset)
        root, faults = dataset.root, inspect_folder(dataset)
        advice = "repair or replace them, or remove their names from the lists"
    for line in report(faults):
        print(line)
    if faults:
        raise InputError(f"{root}: {len(faults)} missing or damaged: {advice}")
    print(f"{root}: every file that the lists name exists and can be read")
