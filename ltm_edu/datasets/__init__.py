"""Datasets that need no download, and the reader that takes any folder in VOC's layout."""

from __future__ import annotations

from pathlib import Path

from ..paths import data_dir
from .voc_layout import VocFolder


def open_dataset(data: str | Path, progress: bool = True) -> VocFolder:
    """Open a dataset by name or path.

    Args:
        data: "emoji5i" for the miniature, which is generated on first use, or a folder in VOC's
            layout.
        progress: show a bar while the miniature is drawn.

    Raises:
        InputError: the folder is missing or laid out otherwise.
    """
    if str(data) == "emoji5i":
        from .emoji5i import generate

        return VocFolder.open(generate(data_dir() / "emoji5i", progress=progress))
    return VocFolder.open(data)
