"""`ltm-edu verify`: say what is missing or broken in a dataset."""

from __future__ import annotations

import argparse

from ..datasets import open_dataset, pascal5i
from ..datasets.inspection import inspect_folder, report
from ..store.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Print what is missing or broken in a dataset."""
    if options.dataset == "pascal5i":
        root, faults = pascal5i.folder(), pascal5i.verify()
        advice = "ltm-edu fetch pascal5i makes again only what is missing or broken"
    else:
        dataset = open_dataset(options.dataset)
        root, faults = dataset.root, inspect_folder(dataset)
        advice = "mend or replace them, or take their names out of the lists"
    for line in report(faults):
        print(line)
    if faults:
        raise InputError(f"{root}: {len(faults)} missing or broken: {advice}")
    print(f"{root}: every file that the lists name is there and can be read")
