"""Data sets by name, and the reader that takes any folder in VOC's layout.

To add one: a module with a function that returns a folder in VOC's layout, which it
writes on first use (`voc.write_voc_folder`), and a call of `register_dataset`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..store.errors import InputError
from ..store.files import data_dir
from .voc import VocFolder

DATASETS: dict[str, Callable[[bool], Path]] = {}
"""Name to a function that returns the data set's folder."""


def register_dataset(name: str, make: Callable[[bool], Path]) -> None:
    """Make a data set known by name, for `open_dataset` and `--data`.

    `make` returns its folder, in VOC's layout, and writes it first if it does not exist; it is told
    whether to show a bar.
    """
    DATASETS[name] = make


def open_dataset(data: str | Path, progress: bool = True) -> VocFolder:
    """Open a dataset by name or path.

    Args:
        data: "emoji5i" for the miniature, which is generated on first use; "pascal5i" after
            `ltm-edu fetch pascal5i`; another registered name; or a folder in VOC's layout. A name
            wins over a folder that is called like it: "./pascal5i" is always the folder.
        progress: show a bar while the miniature is drawn.

    Raises:
        InputError: the folder is missing or has another layout.
    """
    make = DATASETS.get(str(data))
    return VocFolder.open(data if make is None else make(progress))


def _emoji5i(progress: bool) -> Path:
    from .emoji5i import generate

    return generate(data_dir() / "emoji5i", progress=progress)


def _pascal5i(progress: bool) -> Path:
    from .pascal5i import folder, how_to_get

    if not folder().is_dir():
        raise InputError(how_to_get(folder()))
    return folder()


register_dataset("emoji5i", _emoji5i)
register_dataset("pascal5i", _pascal5i)
