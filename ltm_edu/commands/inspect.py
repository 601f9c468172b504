"""`ltm-edu inspect`: what a dataset holds, what is wrong with it, and how it looks."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from ..datasets import open_dataset
from ..datasets.inspection import Survey, survey
from ..store.files import need_place, written_whole
from .verify import conclude


def run(options: argparse.Namespace) -> None:
    """Print classes, counts, sizes and problems; draw a contact sheet on request."""
    if options.sheet:
        need_place(options.sheet)
    found = survey(open_dataset(options.dataset))
    print(found.table())
    if options.sheet:
        if draw_sheet(found, options.sheet):
            print(f"contact sheet: {options.sheet}")
        else:
            print(f"no contact sheet: no picture of {found.dataset.root} shows a class")
    conclude(found)


def draw_sheet(found: Survey, path: Path) -> bool:
    """Draw some pictures of every class, with their masks, into one PNG, and say if there were any.

    Raises:
        InputError: the file cannot be written.
    """
    from ..figures import contact_sheet

    if not (names := found.examples()):
        return False
    with warnings.catch_warnings(), written_whole(path) as part:
        warnings.filterwarnings("ignore", message="Glyph ")  # a sign that the font lacks is a box
        contact_sheet(found.dataset, names).savefig(part, format="png")
    return True
