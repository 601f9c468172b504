"""`ltm-edu bench`: measure how much faster the fast paths are."""

from __future__ import annotations

import argparse

from .. import bench, figures
from ..store.files import data_dir, written_whole


def run(options: argparse.Namespace) -> None:
    """Print each row as it is measured, then write bench.json and bench.png."""
    sizes = bench.QUICK if options.quick else bench.FULL
    folder = options.out or data_dir() / "bench"
    rows = bench.run(folder, sizes, options.only or (), options.data, options.masks)
    with written_whole(folder / "bench.png") as part:
        figures.speed_report(rows).savefig(part, format="png")
    print(folder / "bench.json", folder / "bench.png", sep="\n")
