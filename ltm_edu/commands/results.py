"""`ltm-edu results`: saved scores beside the paper's."""

from __future__ import annotations

import argparse

from ..scores import beside_the_paper, by_fold, load_results
from ..store.errors import InputError
from ..store.files import written_whole


def run(options: argparse.Namespace) -> None:
    """Print saved scores beside the paper's; draw a bar for each class on request."""
    results = [r for path in options.files for r in load_results(path)]
    shots = {r.protocol.shots: None for r in results} or {1: None}
    if options.png and len(shots) > 1:
        raise InputError("--png draws one number of shots: name only those files")
    tables = [[r for r in results if r.protocol.shots == K] for K in shots]
    print("\n\n".join(map(beside_the_paper, tables)))
    if options.png:
        from ..figures import per_class_bars

        figure = per_class_bars(by_fold(tables[0]).get("mean", tables[0][0]))
        with written_whole(options.png) as part:
            figure.savefig(part, format="png", bbox_inches="tight")
