"""`ltm-edu fetch`: put a dataset into the data folder."""

from __future__ import annotations

import argparse

from ..datasets import pascal5i
from ..datasets.voc import VocFolder
from ..store.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Put a dataset into the data folder."""
    if options.dataset != "pascal5i":
        raise InputError(f"fetch {options.dataset}: fetch gets only pascal5i (emoji5i is drawn)")
    root = pascal5i.fetch(options.source, options.mirror, available=options.available)
    dataset = VocFolder.open(root)
    missing = len(dataset.names("all")) - len(dataset.available().names("all"))
    if missing:
        print(
            f"{root}: lacks {missing:,} of {len(dataset.names('all')):,} listed pictures; use it "
            "with --data pascal5i --available"
        )
    else:
        print(f"{root}: complete; use it with --data pascal5i")
    for path in pascal5i.kept_archives():
        print(f"{path}: no longer needed; you can delete it")
