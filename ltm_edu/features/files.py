"""Arrays in .npy files: written picture by picture, and read a few rows at a time.

A folder gets its name only when all its files are complete; until then it is .NAME.part. If a
process is stopped, the next one continues after the pictures that all files of this folder contain.
A complete folder holds a checksum of each file, which is compared when the folder is opened:
features with a changed bit would give other scores without a word.

The files are written with `write` and not through `numpy.lib.format.open_memmap`: on a full disk a
write raises an error, where a memory map kills the process.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ..store.errors import InputError
from ..store.fetch import need_room
from ..store.files import locked, write_all, writing

_ADVICE = "solve this and start again: it resumes; or choose another folder"
_CHUNK = 1 << 26
_SUMS = "checksums.json"


class Kind(NamedTuple):
    """The array that a file is expected to contain, the same number of rows for each picture."""

    file: str
    dtype: np.dtype
    shape: tuple[int | None, ...]  # rows first; None for an axis of any length


@dataclass(frozen=True)
class FileOfRows:
    """An array in a .npy file, whose rows can be indexed as those of a tensor.

    Each access maps the file and copies the requested rows: the other rows take no memory, and a
    pickle contains the path instead of the numbers.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def open(cls, path: Path, kind: Kind) -> FileOfRows:
        """Read the header of a file, which need not be complete.

        Raises:
            OSError: the file is missing or cannot be read.
            ValueError: it is not a .npy file, or contains another array.
        """
        with path.open("rb") as file:
            npy.read_magic(file)
            shape, columns_first, dtype = npy.read_array_header_1_0(file)
            offset = file.tell()
        expected = [n if k is None else k for n, k in zip(shape, kind.shape, strict=True)]
        if columns_first or dtype != kind.dtype or shape != tuple(expected):
            raise ValueError(f"{path} holds another array")
        return cls(path, dtype, shape, offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Copy the rows with these numbers, an integer tensor.

        Raises:
            InputError: the file was removed or cut short after `open`, or cannot be read.
        """
        try:
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        except (FileNotFoundError, ValueError):
            raise InputError(
                f"{self.path} is gone or was cut short: start again, to compute it again"
            ) from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None
        return torch.from_numpy(np.asarray(mapped)[rows.numpy()])

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def written(self) -> int:
        """Bytes of the rows that the file contains."""
        return self.path.stat().st_size - self.offset

    def to(self, device: torch.device) -> Tensor:
        """All rows as a tensor on a device, copied a few at a time."""
        dtype = torch.from_numpy(np.empty(0, self.dtype)).dtype
        tensor = torch.empty(self.shape, dtype=dtype, device=device)
        step = max(1, _CHUNK * len(self) // self.nbytes)
        for rows in torch.arange(len(self)).split(step):
            tensor[rows[0] : rows[-1] + 1] = self[rows]
        return tensor


def in_files(
    folder: Path,
    kinds: Sequence[Kind],
    pictures: int,
    make: Callable[[int], Iterable[list[np.ndarray]]],
    progress: bool,
) -> list[FileOfRows]:
    """The arrays in a folder's files, which are computed first if they are missing or damaged.

    Of several processes that need the same folder, one computes it and the others wait.

    Args:
        folder: contains nothing but these files and their checksums.
        kinds: the array of each file.
        pictures: how many pictures the rows come from.
        make: given the number of pictures in the files, computes the rows of each further picture,
            an array a file.
        progress: say so while this process waits for another.

    Raises:
        InputError: the folder cannot be written to, or `make` raises one; then nothing remains,
            because corrected data belong to another folder.
    """

    def waiting() -> None:
        if progress:
            print(f"another process is making {folder}: waiting for it", file=sys.stderr)

    if (cached := _cached(folder, kinds)) is not None:
        return cached
    with locked(folder.with_name(f".{folder.name}.lock"), waiting):
        if (cached := _cached(folder, kinds)) is not None:
            return cached
        part = folder.with_name(f".{folder.name}.part")
        done = _pictures_in(part, kinds, pictures)
        with writing(folder, _ADVICE):
            for damaged in (folder,) if done else (folder, part):
                if damaged.is_dir():
                    shutil.rmtree(damaged)
        for i, arrays in enumerate(_discard_if_refused(make(done), part), done):
            with writing(part, _ADVICE):
                if i == done:
                    missing = sum(a.nbytes for a in arrays) * (pictures - done)
                    need_room(folder, missing, "name another one, or keep features in memory")
                    part.mkdir(exist_ok=True)
                for kind, a in zip(kinds, arrays, strict=True):
                    with (part / kind.file).open("ab", buffering=0) as file:
                        if i == 0:
                            header = npy.header_data_from_array_1_0(a)
                            header["shape"] = (kind.shape[0], *a.shape[1:])
                            npy.write_array_header_1_0(file, header)
                        write_all(file, memoryview(a).cast("B"))
        with writing(folder, _ADVICE):
            for kind in kinds:
                with (part / kind.file).open("rb+") as file:
                    os.fsync(file.fileno())  # the disk has all of it before it gets its name
            sums = {kind.file: _checksum(part / kind.file) for kind in kinds}
            (part / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
            os.replace(part, folder)
            return _opened(folder, kinds)


def _opened(folder: Path, kinds: Sequence[Kind]) -> list[FileOfRows]:
    return [FileOfRows.open(folder / kind.file, kind) for kind in kinds]


def _cached(folder: Path, kinds: Sequence[Kind]) -> list[FileOfRows] | None:
    """The files of a folder; None if one is missing or damaged."""
    try:
        files = _opened(folder, kinds)
        sums = dict(json.loads((folder / _SUMS).read_text(encoding="utf-8")))
        complete = all(f.written == f.nbytes for f in files) and all(
            sums.get(f.path.name) == _known_checksum(f.path, f.path.stat().st_mtime_ns)
            for f in files
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from None
    return files if complete else None


def _checksum(path: Path) -> str:
    """CRC-32 of a file, eight hexadecimal digits."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"


@cache
def _known_checksum(path: Path, _changed: int) -> str:
    """The same, computed once for a file that this process opens several times."""
    return _checksum(path)


def _pictures_in(part: Path, kinds: Sequence[Kind], pictures: int) -> int:
    """How many pictures are in every file of an incomplete folder; what follows them is removed."""
    try:
        files = _opened(part, kinds)
        done = min(pictures, *(f.written * pictures // f.nbytes for f in files))
        for f in files:
            os.truncate(f.path, f.offset + f.nbytes * done // pictures)
    except (OSError, ValueError):
        return 0
    return done


def _discard_if_refused(rows: Iterable[list[np.ndarray]], part: Path) -> Iterator[list[np.ndarray]]:
    """Pass on the rows; if the data are refused, no later run can use what is in the folder."""
    try:
        yield from rows
    except InputError:
        shutil.rmtree(part, ignore_errors=True)
        raise
