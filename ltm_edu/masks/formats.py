"""Predictions as files: pictures, labelme's JSON, one COCO file, and a table of all results."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..store.errors import InputError
from ..store.files import read_text, writing, written_whole
from .prediction import Prediction, picture_paths
from .shapes import keyhole, run_lengths

FORMATS = ("png", "labelme", "coco")
COCO_FILE, TABLE_FILE = "coco.json", "results.csv"
COLUMNS = ("file", "class", "presence", "area", "time")


def result_paths(folder: Path, stem: str, formats: Sequence[str]) -> list[Path]:
    """The files that belong to one query."""
    files = {"png": picture_paths(folder, stem), "labelme": (folder / f"{stem}.json",)}
    return [path for kind in formats for path in files.get(kind, ())]


def save_labelme(found: Prediction, path: Path) -> None:
    """Write the outlines as labelme does; a hole is joined to its outline by a cut of no width.

    Raises:
        InputError: the file cannot be written.
    """
    shapes = [
        {
            "label": name,
            "points": keyhole(polygon)[:-1].tolist(),
            "group_id": None,
            "shape_type": "polygon",
            "flags": {},
        }
        for name, polygon in found.polygons()
    ]
    height, width = found.size
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": _relative(found.name, path.parent),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    with written_whole(path) as part:
        part.write_text(json.dumps(content), encoding="utf-8")


class CocoFile:
    """COCO's JSON of many predictions, which are not kept in memory; see `coco_file`."""

    def __init__(self, folder: Path, images: TextIO, annotations: TextIO) -> None:
        self._folder, self._images, self._annotations = folder, images, annotations
        self._counts = {"images": 0, "annotations": 0}

    def add(self, found: Prediction) -> None:
        """Add a picture, and an annotation for each connected piece, its mask as exact RLE."""
        height, width = found.size
        number = self._counts["images"] + 1
        name = _relative(found.name, self._folder)
        image = {"id": number, "file_name": name, "height": height, "width": width}
        self._write(self._images, "images", image)
        for piece in found.objects():
            left, top, right, bottom = piece.box
            annotation = {
                "id": self._counts["annotations"] + 1,
                "image_id": number,
                "category_id": found.classes.index(piece.name) + 1,
                "segmentation": {"counts": run_lengths(piece.mask), "size": [height, width]},
                "area": piece.area,
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
                "score": round(piece.probability, 4),
            }
            self._write(self._annotations, "annotations", annotation)

    def _write(self, file: TextIO, kind: str, item: dict) -> None:
        file.write((",\n" if self._counts[kind] else "") + json.dumps(item))
        self._counts[kind] += 1


@contextmanager
def coco_file(path: Path, classes: Sequence[str]) -> Iterator[CocoFile]:
    """Write COCO's JSON of what is added in the block, also if the block is left by an error.

    Raises:
        InputError: the file cannot be written.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as images,
        tempfile.TemporaryFile("w+", encoding="utf-8") as annotations,
    ):
        try:
            yield CocoFile(path.parent, images, annotations)
        finally:
            categories = [{"id": c, "name": name} for c, name in enumerate(classes, start=1)]
            with written_whole(path) as part, part.open("w", encoding="utf-8") as whole:
                whole.write(f'{{"categories": {json.dumps(categories)},\n"images": [\n')
                for file, after in ((images, '],\n"annotations": [\n'), (annotations, "]}\n")):
                    file.seek(0)
                    whole.writelines(file)
                    whole.write(after)


class ResultsTable:
    """The file results.csv: a row for each query and class, written as soon as it is known.

    A file that is there is read at once, and stays as it is until the first query is added.

    Args:
        path: where it is; rows of an earlier run stay, except those of the same queries.
        queries: names of the queries that this run will write.

    Raises:
        InputError: the file that is there cannot be read, or is no such table.
    """

    def __init__(self, path: Path, queries: Sequence[str]) -> None:
        self.path, self._again, self._begun = path, set(queries), False
        self._kept()

    def add(self, found: Prediction) -> None:
        """Append a query's rows: presence in [0, 1], area in pixels, time in seconds.

        Raises:
            InputError: the file cannot be written.
        """
        if not self._begun:
            kept, path = self._kept(), self.path
            with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([COLUMNS, *kept])
            self._begun = True
        rows = [
            (found.name, name, f"{presence:.3f}", (found.labels == c).sum(), f"{found.seconds:.2f}")
            for c, (name, presence) in enumerate(
                zip(found.classes, found.presences, strict=True), start=1
            )
        ]
        with writing(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    def _kept(self) -> list[list[str]]:
        """The rows of an earlier run that stay."""
        if not self.path.exists():
            return []
        try:
            header, *rows = [*csv.reader(io.StringIO(read_text(self.path), newline=""))] or [()]
        except csv.Error:
            header, rows = (), []
        if tuple(header) != COLUMNS:
            raise InputError(f"{self.path} is no table of ltm_edu: move it, or write elsewhere")
        return [row for row in rows if row and row[0] not in self._again]


def _relative(name: str, folder: Path) -> str:
    """A query's file as seen from a folder, with forward slashes."""
    if not Path(name).exists():
        return name
    try:
        return Path(os.path.relpath(name, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(name).absolute().as_posix()
