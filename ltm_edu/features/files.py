"""Arrays in .npy files: written picture by picture, and read a few rows at a time.

A folder gets its name only when all its files are complete; until then it is .NAME.part. If a
process is stopped, the next one continues after the pictures that this folder contains.

The files are written with `write` and not through `numpy.lib.format.open_memmap`: on a full disk a
write raises an error, where a memory map kills the process.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ..store.errors import InputError
from ..store.files import locked, write_all, writing

EVERY = 64
"""After so many pictures, what is written survives a kill."""
_DONE = "done.txt"
_ADVICE = "solve this and start again: it resumes; or choose another folder"
_CHUNK = 1 << 26


class Kind(NamedTuple):
    """The array that a file is expected to contain.

    Attributes:
        file: the file's name.
        dtype: type of the numbers.
        shape: rows first, the same number for each picture; None for an axis of any length.
    """

    file: str
    dtype: np.dtype
    shape: tuple[int | None, ...]


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
    need_room: Callable[[int, int], None],
    progress: bool,
) -> list[FileOfRows]:
    """The arrays in a folder's files, which are computed first if they are missing or damaged.

    Of several processes that need the same folder, one computes it and the others wait.

    Args:
        folder: the folder, which contains nothing but these files.
        kinds: the array of each file.
        pictures: how many pictures the rows come from.
        make: given the number of pictures in the files, computes the rows of each further picture,
            an array a file.
        need_room: given the bytes of all rows and of those still to be written, raises InputError
            if they are too many.
        progress: say so while this process waits for another.

    Raises:
        InputError: the folder cannot be written to, or `make` raises one. Then nothing remains:
            corrected data belong to another folder.
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
            part.mkdir(exist_ok=True)
        try:
            with ExitStack() as stack:
                files: list[BinaryIO] = []
                for i, arrays in enumerate(_discard_if_refused(make(done), part), done + 1):
                    with writing(part, _ADVICE):
                        if not files:
                            size = sum(a.nbytes for a in arrays)
                            need_room(size * pictures, size * (pictures - done))
                            for kind, a in zip(kinds, arrays, strict=True):
                                file = _open_at_end(part / kind.file, kind, a, done)
                                files.append(stack.enter_context(file))
                        for file, a in zip(files, arrays, strict=True):
                            write_all(file, memoryview(a).cast("B"))
                        if i % EVERY == 0 or i == pictures:
                            _save_count(part, files, i)
        except BaseException:
            if not (part / _DONE).exists():
                shutil.rmtree(part, ignore_errors=True)
            raise
        with writing(folder, _ADVICE):
            os.replace(part, folder)
            (folder / _DONE).unlink()
            return [FileOfRows.open(folder / kind.file, kind) for kind in kinds]


def _cached(folder: Path, kinds: Sequence[Kind]) -> list[FileOfRows] | None:
    """The files of a folder; None if one is missing or damaged."""
    try:
        arrays = [FileOfRows.open(folder / kind.file, kind) for kind in kinds]
        complete = all(a.path.stat().st_size == a.offset + a.nbytes for a in arrays)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from None
    return arrays if complete else None


def _pictures_in(part: Path, kinds: Sequence[Kind], pictures: int) -> int:
    """How many pictures are in every file of an incomplete folder; 0 if a file is damaged."""
    try:
        done = int((part / _DONE).read_text(encoding="ascii"))
        arrays = [FileOfRows.open(part / kind.file, kind) for kind in kinds]
        sizes = [a.path.stat().st_size - a.offset for a in arrays]
    except (OSError, ValueError):
        return 0
    complete = all(n >= a.nbytes * done // pictures for n, a in zip(sizes, arrays, strict=True))
    return done if complete else 0


def _discard_if_refused(rows: Iterable[list[np.ndarray]], part: Path) -> Iterator[list[np.ndarray]]:
    """Pass on the rows; if the data are refused, no later run can use what is in the folder."""
    try:
        yield from rows
    except InputError:
        (part / _DONE).unlink(missing_ok=True)
        raise


def _open_at_end(path: Path, kind: Kind, first: np.ndarray, done: int) -> BinaryIO:
    """Create a file, or cut it after the rows of `done` pictures; open it at its end."""
    if done:
        file = path.open("r+b", buffering=0)
        file.truncate(FileOfRows.open(path, kind).offset + done * first.nbytes)
        file.seek(0, os.SEEK_END)
    else:
        file = path.open("wb", buffering=0)
        header = npy.header_data_from_array_1_0(first)
        npy.write_array_header_1_0(file, {**header, "shape": (kind.shape[0], *first.shape[1:])})
    return file


def _save_count(part: Path, files: Sequence[BinaryIO], done: int) -> None:
    """Record how many pictures the files contain, after the disk has them."""
    for file in files:
        os.fsync(file.fileno())
    new = part / f"{_DONE}.new"
    new.write_text(str(done), encoding="ascii")
    os.replace(new, part / _DONE)
