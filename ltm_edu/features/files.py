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
            np.lib.format.read_magic(file)
            shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        fits = len(shape) == len(kind.shape) and all(
            expected in (None, n) for n, expected in zip(shape, kind.shape, strict=True)
        )
        if columns_first or dtype != kind.dtype or not fits:
            raise ValueError(f"{path} holds another array")
        return cls(path, dtype, shape, offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Copy some rows.

        Args:
            rows: their numbers, an integer tensor.

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
        return len(self) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def to(self, device: torch.device) -> Tensor:
        """All rows as a tensor on a device, copied a few at a time."""
        dtype = torch.from_numpy(np.empty(0, self.dtype)).dtype
        tensor = torch.empty(self.shape, dtype=dtype, device=device)
        step = max(1, _CHUNK // self.row_bytes)
        for i in range(0, len(self), step):
            tensor[i : i + step] = self[torch.arange(i, min(i + step, len(self)))]
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
    cached = _cached(folder, kinds)
    if cached is not None:
        return cached

    def waiting() -> None:
        if progress:
            print(f"another process is making {folder}: waiting for it", file=sys.stderr)

    with locked(folder.with_name(f".{folder.name}.lock"), waiting):
        cached = _cached(folder, kinds)
        if cached is not None:
            return cached
        part = folder.with_name(f".{folder.name}.part")
        with writing(folder, _ADVICE):
            if folder.is_dir():
                shutil.rmtree(folder)
        _complete(part, kinds, pictures, make, need_room)
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


def _complete(
    part: Path,
    kinds: Sequence[Kind],
    pictures: int,
    make: Callable[[int], Iterable[list[np.ndarray]]],
    need_room: Callable[[int, int], None],
) -> None:
    """Append the missing rows to the files of an incomplete folder."""
    done = _pictures_in(part, kinds, pictures)
    with writing(part, _ADVICE):
        if done == 0:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
    try:
        with ExitStack() as stack:
            files: list[BinaryIO] = []
            for i, arrays in enumerate(_discard_if_refused(make(done), part), done + 1):
                with writing(part, _ADVICE):
                    if not files:
                        size = sum(a.nbytes for a in arrays)
                        need_room(size * pictures, size * (pictures - done))
                        files = [
                            stack.enter_context(_open_at_end(part / kind.file, kind, a, done))
                            for kind, a in zip(kinds, arrays, strict=True)
                        ]
                    for file, a in zip(files, arrays, strict=True):
                        write_all(file, memoryview(a).cast("B"))
                    if i % EVERY == 0 or i == pictures:
                        _save_count(part, files, i)
    except BaseException:
        if not (part / _DONE).exists():
            shutil.rmtree(part, ignore_errors=True)
        raise


def _pictures_in(part: Path, kinds: Sequence[Kind], pictures: int) -> int:
    """How many pictures are in every file of an incomplete folder; 0 if a file is damaged."""
    try:
        done = int((part / _DONE).read_text(encoding="ascii"))
        for kind in kinds:
            array = FileOfRows.open(part / kind.file, kind)
            if array.path.stat().st_size < array.offset + array.nbytes * done // pictures:
                return 0
    except (OSError, ValueError):
        return 0
    return done


def _discard_if_refused(rows: Iterable[list[np.ndarray]], part: Path) -> Iterator[list[np.ndarray]]:
    """Pass on the rows; if the data are refused, no later run can use what is in the folder."""
    try:
        yield from rows
    except InputError:
        (part / _DONE).unlink(missing_ok=True)
        raise


def _open_at_end(path: Path, kind: Kind, first: np.ndarray, done: int) -> BinaryIO:
    """Create a file, or cut it after the rows of `done` pictures; open it at its end."""
    if done == 0:
        file = path.open("wb", buffering=0)
        header = {
            "descr": np.lib.format.dtype_to_descr(first.dtype),
            "fortran_order": False,
            "shape": (kind.shape[0], *first.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(file, header)
    else:
        file = path.open("r+b", buffering=0)
        file.truncate(FileOfRows.open(path, kind).offset + done * first.nbytes)
        file.seek(0, os.SEEK_END)
    return file


def _save_count(part: Path, files: Sequence[BinaryIO], done: int) -> None:
    """Record how many pictures the files contain, after the disk has them."""
    for file in files:
        os.fsync(file.fileno())
    new = part / f"{_DONE}.new"
    new.write_text(str(done), encoding="ascii")
    os.replace(new, part / _DONE)
