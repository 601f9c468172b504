"""`ltm-edu predict`: segment pictures."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from ..masks.folders import check_apart, pictures_in, supports_in
from ..masks.formats import (
    COCO_FILE,
    FORMATS,
    TABLE_FILE,
    ResultsTable,
    coco_file,
    result_paths,
    save_labelme,
)
from ..segmenter import FewShotSegmenter
from ..store.errors import InputError
from ..store.files import need_place

Pair = tuple[Path, Path]


def run(options: argparse.Namespace) -> int:
    """Segment pictures one after another, and write what is found in each.

    Returns:
        The exit status: 1 if some of the queries could not be segmented.
    """
    formats = _formats(options.format)
    supports = _supports(options.support or (), options.support_dir)
    pairs = [pair for named in supports.values() for pair in named]
    queries = _queries(options.query, {mask.absolute() for _, mask in pairs})
    results = {q: result_paths(options.out, q.stem, formats) for q in queries}
    shared = [options.out / TABLE_FILE]
    shared += [options.out / COCO_FILE] * ("coco" in formats)
    written = [*shared, *(path for paths in results.values() for path in paths)]
    check_apart(written, [*queries, *(path for pair in pairs for path in pair)])
    need_place(options.out / TABLE_FILE)
    table = ResultsTable(options.out / TABLE_FILE, [str(q) for q in queries])
    segmenter = FewShotSegmenter(
        options.checkpoint,
        threshold=options.threshold,
        min_presence=options.min_presence,
        smooth=options.smooth,
        min_area=options.min_area,
        tile=options.tile,
        device=options.device,
    )
    names = [name for name, named in supports.items() for _ in named]
    images, masks = zip(*pairs, strict=True)
    segmenter.fit(images, masks, names, options.class_id)
    existing = [p for p in written if p.exists() and p.name != TABLE_FILE]
    if existing and not options.overwrite:
        raise InputError(
            f"{existing[0]} is there already, one of {len(existing)}: --overwrite replaces them, "
            "--out names another folder"
        )
    return _segment(segmenter, results, formats, table)


def _segment(
    segmenter: FewShotSegmenter,
    results: dict[Path, list[Path]],
    formats: Sequence[str],
    table: ResultsTable,
) -> int:
    out, failed = table.path.parent, []

    def report(query: Path, error: InputError) -> None:
        if len(results) == 1:
            raise error
        failed.append(str(query))
        tqdm.write(f"ltm-edu: {error}", file=sys.stderr)
        bar.update()

    with ExitStack() as stack:
        bar = tqdm(total=len(results), unit="image", leave=False, disable=None)
        stack.enter_context(bar)
        coco = None
        for found in segmenter.predict(results, report):
            if coco is None and "coco" in formats:  # nothing is written before something is found
                coco = stack.enter_context(coco_file(out / COCO_FILE, segmenter.classes))
            query = Path(found.name)
            if "png" in formats:
                found.save(out, query.stem)
            if "labelme" in formats:
                save_labelme(found, out / f"{query.stem}.json")
            if coco:
                coco.add(found)
            table.add(found)
            bar.update()
            for path in results[query]:
                tqdm.write(str(path))
    if len(failed) == len(results):
        raise InputError(f"none of the {len(results)} queries can be segmented")
    print("\n".join(str(path) for path in (table.path, out / COCO_FILE)[: 1 + bool(coco)]))
    if failed:
        print(
            f"ltm-edu: {len(failed)} of {len(results)} queries are not segmented: "
            + ", ".join(failed),
            file=sys.stderr,
        )
    return 1 if failed else 0


def _formats(text: str) -> list[str]:
    formats = list(dict.fromkeys(text.split(",")))
    if unknown := [f for f in formats if f not in FORMATS]:
        raise InputError(f"--format {unknown[0]}: choose from {', '.join(FORMATS)}")
    return formats


def _supports(given: Iterable[Sequence[str]], folder: Path | None) -> dict[str, list[Pair]]:
    """Class name to supports, of --support and --support-dir."""
    supports = {} if folder is None else supports_in(folder)
    for values in given:
        named = [_named(v) for v in values]
        if len(values) == 2 and not all(named):
            named = [("object", (Path(values[0]), Path(values[1])))]
        for value, one in zip(values, named, strict=False):
            if one is None:
                raise InputError(f"--support {value}: give PICTURE MASK, or NAME=PICTURE,MASK")
            supports.setdefault(one[0], []).append(one[1])
    if not supports:
        raise InputError("no support: give --support PICTURE MASK, or --support-dir DIR")
    return supports


def _named(value: str) -> tuple[str, Pair] | None:
    """NAME=PICTURE,MASK; of several commas, the first after which the mask's file exists."""
    name, equals, files = value.partition("=")
    parts = files.split(",")
    splits = [(",".join(parts[:i]), ",".join(parts[i:])) for i in range(1, len(parts))]
    if not (name and equals and splits):
        return None
    picture, mask = max(splits, key=lambda s: Path(s[0]).is_file() + Path(s[1]).is_file())
    return name, (Path(picture), Path(mask))


def _queries(given: Iterable[Path], masks: set[Path]) -> list[Path]:
    """The pictures to search: those named, and those of folders except the supports' masks."""
    queries: list[Path] = []
    for path in given:
        if path.is_dir():
            queries += [p for p in pictures_in(path) if p.absolute() not in masks]
        elif path.exists():
            queries.append(path)
        else:
            raise InputError(f"{path} is not there")
    twice = [stem for stem, n in Counter(q.stem for q in queries).items() if n > 1]
    if twice:
        raise InputError(
            f"two queries have the name {twice[0]}: their results would overwrite each other"
        )
    return queries
