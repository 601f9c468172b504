"""`ltm-edu assign`: student copies of notebooks."""

from __future__ import annotations

import argparse

from ..classroom.assigning import RELEASE, SUBMITTED, assign
from ..classroom.teaching import FILE


def run(options: argparse.Namespace) -> None:
    """Write the copies, and say what to hand out and what not."""
    folders = assign(
        options.numbers, options.out, options.seed, options.notebooks, options.overwrite
    )
    for folder in folders:
        print(folder)
    print(f"hand out what is in {options.out / RELEASE}")
    print(f"keep {options.out / FILE}, and put what comes back into {options.out / SUBMITTED}")
