"""Folders of pictures to search, and of supports with their masks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..store.errors import InputError
from ..store.pictures import picture_files

MASK_ENDING = "_mask"
MASK_FOLDER = "masks"


def pictures_in(folder: str | Path) -> list[Path]:
    """The pictures in a folder, by their file names' endings, in the order of their names.

    Raises:
        InputError: the folder cannot be read, or has no picture.
    """
    found = picture_files(Path(folder))
    if not found:
        raise InputError(f"{folder} has no picture in it: its subfolders are not searched")
    return found


def supports_in(folder: str | Path) -> dict[str, list[tuple[Path, Path]]]:
    """The supports in a folder: class name to pairs of picture and mask.

    The mask of NAME.jpg is NAME_mask.png beside it, or NAME.png in the subfolder masks/; any ending
    of a picture will do. A picture without a mask is no support. Pictures in the folder itself are
    of the class "object"; each other subfolder is a class with the subfolder's name. Hidden ones
    are left out.

    Raises:
        InputError: the folder cannot be read, or no picture in it has a mask.
    """
    folder = Path(folder)
    found = {"object": _pairs(folder)}
    for inside in sorted(p for p in folder.iterdir() if p.is_dir()):
        if inside.name != MASK_FOLDER and not inside.name.startswith("."):
            found[inside.name] = _pairs(inside)
    found = {name: pairs for name, pairs in found.items() if pairs}
    if not found:
        raise InputError(
            f"{folder} has no picture with its mask: the mask of NAME.jpg is NAME{MASK_ENDING}.png "
            f"beside it, or {MASK_FOLDER}/NAME.png"
        )
    return found


def check_apart(results: Iterable[Path], inputs: Sequence[Path]) -> None:
    """Check that no result would be written over an input, whatever its path is spelt like.

    Raises:
        InputError: a result is an input, or a link to one, or another name of it.
    """
    identity = {_identity(path): path for path in inputs if path.exists()}
    for result in results:
        if result.exists() and (taken := identity.get(_identity(result))):
            raise InputError(
                f"the result {result} would be written over {taken}, which is read: "
                "choose another folder for the results"
            )


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)  # follows links
    return status.st_dev, status.st_ino


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    beside, inside = picture_files(folder), folder / MASK_FOLDER
    masks = {p.stem: p for p in (picture_files(inside) if inside.is_dir() else ())}
    masks |= {p.stem.removesuffix(MASK_ENDING): p for p in beside if p.stem.endswith(MASK_ENDING)}
    return [(p, masks[p.stem]) for p in beside if p.stem in masks]
