"""`ltm-edu predict`: segment pictures."""

from __future__ import annotations

import argparse

from .. import segmenter
from ..runs.checkpoint import load_checkpoint
from ..store.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Segment pictures and write masks and overlays."""
    model, _ = load_checkpoint(options.checkpoint)
    stems = [q.stem for q in options.query]
    if len(set(stems)) < len(stems):
        raise InputError("two queries have the same name: their results would overwrite each other")
    supports = [tuple(pair) for pair in options.support]
    # Every query is read before anything is written.
    results = [segmenter.predict(model, q, supports, options.class_id) for q in options.query]
    for stem, result in zip(stems, results, strict=True):
        for path in result.save(options.out, stem):
            print(path)
