"""The class counts of every mask of a list, computed once and stored between runs."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..store.files import written_whole
from .voc import MaskIndex, VocFolder


def cached_index(
    dataset: VocFolder, split: str, cache: Path | None, fewest: int = 1000
) -> MaskIndex:
    """`VocFolder.index`, read from a file if one exists for the same masks.

    Args:
        dataset: whose masks.
        split: which list.
        cache: the folder of such files, created if necessary; None counts without one.
        fewest: a list with fewer names is counted each time, because that takes little time.

    Raises:
        InputError: as `VocFolder.index` does, or the cache cannot be written to.
    """
    names = dataset.names(split)
    if cache is None or len(names) < fewest:
        return dataset.index(split)
    path = cache / f"masks-{dataset.fingerprint(names, pictures=False)}-{len(dataset.classes)}.npz"
    with (
        suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile),  # count again
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as counts,
    ):
        return MaskIndex(names, counts["pixels"], counts["grid"])
    index = dataset.index(split)
    with written_whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, pixels=index.pixels, grid=index.grid)
    return index
