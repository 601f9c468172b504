"""What is in every mask of a list, counted once and kept between runs."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from ..store.files import written_whole
from .voc import MaskIndex, VocFolder


def cached_index(
    dataset: VocFolder, split: str, cache: Path | None, fewest: int = 1000
) -> MaskIndex:
    """`VocFolder.index`, read from a file where no mask has changed since it was written.

    Args:
        dataset: whose masks.
        split: which list.
        cache: folder of such files; made if need be. None counts without one.
        fewest: a shorter list is counted in no time, and not kept.

    Raises:
        InputError: as `VocFolder.index` does, or the cache cannot be written to.
    """
    names = dataset.names(split)
    if cache is None or len(names) < fewest:
        return dataset.index(split)
    path = cache / f"masks-{_fingerprint(dataset, names)}.npz"
    if path.exists():
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                return MaskIndex(names, kept["pixels"], kept["grid"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            path.unlink(missing_ok=True)  # damaged: count again
    index = dataset.index(split)
    with written_whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, pixels=index.pixels, grid=index.grid)
    return index


def _fingerprint(dataset: VocFolder, names: tuple[str, ...]) -> str:
    """A hash of the masks' names, sizes and times, and of the number of classes."""
    digest = hashlib.sha256(f"{dataset.root.resolve()} {len(dataset.classes)}\n".encode())
    for name in names:
        path = dataset.mask_path(name)
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise dataset.missing(path) from None
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
