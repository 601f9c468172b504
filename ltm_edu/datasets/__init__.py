"""The miniature, PASCAL-5i, and the reader that takes any folder in VOC's layout."""

from __future__ import annotations

from pathlib import Path

from ..store.errors import InputError
from ..store.files import data_dir
from .voc import VocFolder


def open_dataset(data: str | Path, progress: bool = True) -> VocFolder:
    """Open a dataset by name or path.

    Args:
        data: "emoji5i" for the miniature, which is generated on first use, or a folder in VOC's
            layout, or "pascal5i" once `ltm-edu fetch pascal5i` has made it.
        progress: show a bar while the miniature is drawn.

    Raises:
        InputError: the folder is missing or laid out otherwise.
    """
    if str(data) == "emoji5i":
        from .emoji5i import generate

        return VocFolder.open(generate(data_dir() / "emoji5i", progress=progress))
    if str(data) == "pascal5i" and not Path(data).is_dir():
        from .pascal5i import folder, how_to_get

        if not folder().is_dir():
            raise InputError(how_to_get(folder()))
        return VocFolder.open(folder())
    return VocFolder.open(data)
