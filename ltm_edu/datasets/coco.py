"""COCO's annotations of instances: polygons and run lengths in one JSON file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..store.errors import InputError
from .importing import (
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
from .name_lists import free_name
from .outlines import decoded_runs, object_of_polygons, object_of_runs, polygon_area


def import_coco(annotations: str | Path, images: str | Path, target: Target) -> Imported:
    """Write a folder in VOC's layout from COCO's instances.

    Classes get ids in the order of their ids in the file, without gaps; those without an object are
    left out. Where objects overlap, the smaller one is in front. A crowd is void, behind them all.

    Args:
        annotations: the JSON file.
        images: the folder that its file names start from.
        target: where to write.

    Raises:
        InputError: the file cannot be read, holds nothing that can be used, or as `Target.check`.
    """
    path, images, problems = Path(annotations), Path(images), []
    target.check(path, images)
    if not images.is_dir():
        raise InputError(f"{images} is not a folder: name the one that holds the pictures")
    data = read_json(path, "COCO file of instances", "images", "annotations", "categories")
    names = _by_id(
        path, data["categories"], "category", lambda e: class_name(e["name"], "name"), problems
    )
    pictures = _by_id(path, data["images"], "image", _picture, problems)
    for number, name in names.items():
        if list(names.values()).index(name) != list(names).index(number):
            problems.append(
                f"{path}: category {number}: another one is called {name}; both are one"
            )
    things: dict[object, list[Thing]] = {}
    for i, entry in enumerate(data["annotations"]):
        number = entry.get("id", i) if isinstance(entry, dict) else i
        place = f"{path}: annotation {number}"
        try:
            if entry["image_id"] not in pictures:
                raise ValueError(f"image {entry['image_id']} is not in the file")
            things.setdefault(entry["image_id"], []).append(_thing(place, entry, names))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problems.append(f"{place}: {reason(error, 'COCO')}")
    used = {thing.label for of_one in things.values() for thing in of_one}
    ordered = sorted(names, key=lambda i: (0, i, "") if isinstance(i, int) else (1, 0, str(i)))
    classes = [n for n in dict.fromkeys(names[i] for i in ordered) if n in used]
    scenes, taken = [], set()
    for key, of_one in things.items():
        file_name, size = pictures[key]
        file = inside(images, file_name)
        if file is None:
            problems.append(f"{path}: image {key}: {file_name} is not in {images}")
            continue
        name = free_name(str(file.relative_to(images).with_suffix("")), taken)
        taken.add(name)
        # Crowds lie behind all objects, and large objects behind small ones.
        of_one.sort(key=lambda thing: (thing.label is not None, -thing.area))
        label = label_of(file, size, of_one, classes, problems)
        scenes.append(Scene(name, file, f"{path}: image {key}", label))
    return write_import(target, path, classes, scenes, problems)


def _by_id(
    path: Path, entries: list, kind: str, read: Callable[[dict], object], problems: list[str]
) -> dict:
    """Entries that can be used, by their id."""
    found = {}
    for i, entry in enumerate(entries):
        try:
            if entry["id"] in found:
                raise ValueError("its id is that of another entry")
            found[entry["id"]] = read(entry)
        except (KeyError, TypeError, ValueError) as error:
            number = entry.get("id", i) if isinstance(entry, dict) else i
            problems.append(f"{path}: {kind} {number}: {reason(error, 'COCO')}")
    return found


def _picture(entry: dict) -> tuple[str, tuple[object, object]]:
    if not isinstance(entry["file_name"], str):
        raise ValueError("its file_name is no text")
    return entry["file_name"], (entry.get("width"), entry.get("height"))


def _thing(place: str, entry: dict, names: dict[object, str]) -> Thing:
    """An annotation as it will be drawn; raises one of many errors if it cannot be used."""
    if entry["category_id"] not in names:
        raise ValueError(f"category {entry['category_id']} is not in the file")
    name = None if entry.get("iscrowd") else names[entry["category_id"]]
    shape = entry.get("segmentation")
    if not shape:
        raise ValueError("it has no outline, only a box")
    if isinstance(shape, dict):
        counts = shape["counts"]
        runs = decoded_runs(counts) if isinstance(counts, str) else [int(n) for n in counts]
        return Thing(place, name, lambda size: object_of_runs(runs, size), sum(runs[1::2]))
    parts = [np.array(part, dtype=np.float64) for part in shape]
    for part in parts:
        if part.ndim != 1 or len(part) < 6 or len(part) % 2 or not np.isfinite(part).all():
            raise ValueError("a polygon is not x, y of three corners or more")
    corners = [part.reshape(-1, 2) for part in parts]
    area = sum(map(polygon_area, corners))
    return Thing(place, name, lambda size: object_of_polygons(corners, size), area)
