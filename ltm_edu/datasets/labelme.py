"""labelme's annotations: a JSON file for each picture, with named outlines."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
from PIL import Image

from ..store.errors import InputError
from .importing import (
    BACKGROUND,
    Imported,
    Scene,
    Target,
    Thing,
    class_name,
    inside,
    label_of,
    read_json,
    reason,
    write_import,
)
from .name_lists import files_by_name, free_name
from .outlines import object_of_polygons

_VOID = "__ignore__"


def import_labelme(folder: str | Path, target: Target) -> Imported:
    """Write a folder in VOC's layout from labelme's files.

    Classes get ids in alphabetical order. As in labelme, a later shape is in front of an earlier
    one, `__ignore__` is void, and `_background_` is cut out. Polygons of one label and group are
    one object, in which a polygon inside another is a hole.

    Args:
        folder: with the JSON files, also in folders below, and the pictures beside them or in them.
        target: where to write.

    Raises:
        InputError: the folder is missing or has no file that can be used, or as `Target.check`.
    """
    folder, problems = Path(folder), []
    target.check(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name the one that holds labelme's files")
    files = sorted(p for p in folder.rglob("*.json") if not p.name.startswith("."))
    if not files:
        raise InputError(f"{folder} has no .json file: labelme writes one for each picture")
    found = []
    for path in files:
        try:
            data = read_json(path, "file of labelme", "shapes")
        except InputError as error:
            problems.append(str(error))
            continue
        picture = _picture(path, folder, data)
        if picture is None:
            problems.append(f"{path}: its picture {data.get('imagePath')} is not in {folder}")
        elif things := _things(path, data["shapes"], problems):
            found.append((path, picture, (data.get("imageWidth"), data.get("imageHeight")), things))
    labels = {thing.label for *_, things in found for thing in things}
    classes = sorted(labels - {None, BACKGROUND})
    scenes, taken = [], set()
    for path, picture, size, things in found:
        name = free_name(str(path.relative_to(folder).with_suffix("")), taken)
        taken.add(name)
        file = picture if isinstance(picture, Path) else None
        label = label_of(file, size, things, classes, problems)
        scenes.append(Scene(name, picture, str(path), label))
    return write_import(target, folder, classes, scenes, problems)


def _picture(path: Path, folder: Path, data: dict) -> Path | bytes | None:
    """The picture that a file describes: beside it, elsewhere in the folder, or in the file."""
    name = data.get("imagePath")
    if isinstance(name, str):
        for place in dict.fromkeys((path.parent, folder)):
            if file := inside(place, name):
                return file
    if file := files_by_name(path.parent, "jpg").get(normalize("NFC", path.stem)):
        return path.parent / file
    try:
        return base64.b64decode(data["imageData"], validate=True)
    except (KeyError, TypeError, ValueError):
        return None


def _things(path: Path, shapes: list, problems: list[str]) -> list[Thing]:
    """The objects of a file, in its order."""
    polygons: dict[tuple[str, object], list[np.ndarray]] = {}
    things = []
    for i, shape in enumerate(shapes):
        place = f"{path}: shape {i}"
        try:
            label = class_name(shape["label"], "label")
            name = None if label == _VOID else label
            points = np.array(shape["points"], dtype=np.float64).reshape(-1, 2)
            if not np.isfinite(points).all():
                raise ValueError("its points are no numbers")
            kind = shape.get("shape_type", "polygon")
            if kind == "mask":
                corner = points.min(axis=0).round().astype(int)
                things.append(Thing(place, name, _pasted(_mask(shape["mask"]), corner)))
                continue
            corners, group = _corners(kind, points), (label, shape.get("group_id"))
            if shape.get("group_id") is not None and group in polygons:
                polygons[group].append(corners)
                continue
            parts = polygons[group] = [corners]
            things.append(Thing(place, name, lambda size, p=parts: object_of_polygons(p, size)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"{place}: {reason(error, 'labelme')}")
    return things


def _corners(kind: str, points: np.ndarray) -> np.ndarray:
    """The corners of a shape, (n, 2); raises ValueError if it has no area."""
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if kind == "circle" and len(points) == 2:
        angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
        radius = np.hypot(*(points[1] - points[0]))
        return points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind not in ("polygon", "rectangle") or len(points) < 3:
        raise ValueError(f"a {kind} of {len(points)} points has no area")
    return points


def _mask(text: str) -> np.ndarray:
    """The pixels of a mask that is a PNG in base 64, (h, w) bool."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            return np.array(picture.convert("L")) > 0
    except Exception:  # a damaged picture fails in as many ways as it can be damaged
        raise ValueError("its mask is no picture") from None


def _pasted(pixels: np.ndarray, corner: np.ndarray) -> Callable[[tuple[int, int]], np.ndarray]:
    """How a mask is drawn whose first pixel is at a corner (x, y) of the picture; see `Thing`."""

    def draw(size: tuple[int, int]) -> np.ndarray:
        whole = np.zeros(size, bool)
        y, x = np.add(np.nonzero(pixels), corner[::-1, None])
        within = (y >= 0) & (x >= 0) & (y < size[0]) & (x < size[1])
        whole[y[within], x[within]] = True
        return whole

    return draw
