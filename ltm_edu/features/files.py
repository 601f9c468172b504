"""Arrays in .npy files: made picture by picture, and read a few rows at a time.

A folder has its own name only when all its files are whole; until then it is .NAME.part, and a
process that was stopped leaves it to the next one, which goes on after the pictures it holds.
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
from ..store.files import one_at_a_time, write_all, writing

EVERY = 64
"""Pictures after which what is written is safe from a kill."""
_DONE = "done.txt"
_AGAIN = "mend that and start again, it goes on, or name another folder"
_CHUNK = 1 << 26


class Kind(NamedTuple):
    """What a file must hold to be the one that is meant.

    Attributes:
        file: its name.
        dtype: of its numbers.
        shape: rows first, as many for each picture; None where any length will do.
    """

    file: str
    dtype: np.dtype
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class FileOfRows:
    """An array in a .npy file, which stands in for a tensor where rows are picked.

    Each access maps the file anew and copies what is asked for: the rest of it takes no memory,
    and a pickle holds no more than its path.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def open(cls, path: Path, kind: Kind) -> FileOfRows:
        """Read the header of a file that need not be whole.

        Raises:
            OSError: it is not there, or cannot be read.
            ValueError: it is not a .npy file, or of another kind.
        """
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        alike = len(shape) == len(kind.shape) and all(
            asked in (None, n) for n, asked in zip(shape, kind.shape, strict=True)
        )
        if columns_first or dtype != kind.dtype or not alike:
            raise ValueError(f"{path} holds another array")
        return cls(path, dtype, shape, offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Copies of some rows.

        Raises:
            InputError: the file is gone, was cut short after it had been opened, or cannot be read.
        """
        try:
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        except (FileNotFoundError, ValueError):
            raise InputError(
                f"{self.path} is gone or was cut short: start again, it is made anew"
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
        """All rows on a device, copied there a few at a time."""
        dtype = torch.from_numpy(np.empty(0, self.dtype)).dtype
        whole = torch.empty(self.shape, dtype=dtype, device=device)
        step = max(1, _CHUNK // self.row_bytes)
        for i in range(0, len(self), step):
            whole[i : i + step] = self[torch.arange(i, min(i + step, len(self)))]
        return whole


def in_files(
    folder: Path,
    kinds: Sequence[Kind],
    pictures: int,
    make: Callable[[int], Iterable[list[np.ndarray]]],
    need_room: Callable[[int, int], None],
    progress: bool,
) -> list[FileOfRows]:
    """The arrays in a folder's files, which are made where they are not there or damaged.

    Of several processes that want the same folder, one makes it and the others wait.

    Args:
        folder: what the files belong in; nothing else does.
        kinds: what each file is to hold.
        pictures: how many make up the rows.
        make: told how many pictures are there, computes the rows of each further one, a file each.
        need_room: told all bytes and those still to be written; raises InputError if they are too
            many.
        progress: say so where another process is waited for.

    Raises:
        InputError: the folder cannot be written to; or as `make` does, and then nothing is kept:
            it refuses data, which are other ones once they are mended.
    """
    there = _whole(folder, kinds)
    if there is not None:
        return there

    def waiting() -> None:
        if progress:
            print(f"another process is making {folder}: waiting for it", file=sys.stderr)

    with one_at_a_time(folder.with_name(f".{folder.name}.lock"), waiting):
        there = _whole(folder, kinds)
        if there is not None:
            return there
        part = folder.with_name(f".{folder.name}.part")
        with writing(folder, _AGAIN):
            if folder.is_dir():
                shutil.rmtree(folder)
        _complete(part, kinds, pictures, make, need_room)
        with writing(folder, _AGAIN):
            os.replace(part, folder)
            (folder / _DONE).unlink()
            return [FileOfRows.open(folder / kind.file, kind) for kind in kinds]


def _whole(folder: Path, kinds: Sequence[Kind]) -> list[FileOfRows] | None:
    """The files of a folder; None if one is missing or damaged."""
    try:
        found = [FileOfRows.open(folder / kind.file, kind) for kind in kinds]
        sizes = [rows.path.stat().st_size for rows in found]
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from None
    whole = all(n == rows.offset + rows.nbytes for rows, n in zip(found, sizes, strict=True))
    return found if whole else None


def _complete(
    part: Path,
    kinds: Sequence[Kind],
    pictures: int,
    make: Callable[[int], Iterable[list[np.ndarray]]],
    need_room: Callable[[int, int], None],
) -> None:
    """Append what is missing of an unfinished folder's files."""
    done = _pictures_in(part, kinds, pictures)
    with writing(part, _AGAIN):
        if done == 0:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
    try:
        with ExitStack() as opened:
            files: list[BinaryIO] = []
            for i, arrays in enumerate(_or_forget(make(done), part), done + 1):
                with writing(part, _AGAIN):
                    if not files:
                        size = sum(a.nbytes for a in arrays)
                        need_room(size * pictures, size * (pictures - done))
                        files = [
                            opened.enter_context(_to_append(part, kind, a, done))
                            for kind, a in zip(kinds, arrays, strict=True)
                        ]
                    for file, a in zip(files, arrays, strict=True):
                        write_all(file, memoryview(a).cast("B"))
                    if i % EVERY == 0 or i == pictures:
                        _keep(part, files, i)
    except BaseException:
        if not (part / _DONE).exists():
            shutil.rmtree(part, ignore_errors=True)
        raise


def _pictures_in(part: Path, kinds: Sequence[Kind], pictures: int) -> int:
    """How many pictures an unfinished folder holds in all its files."""
    try:
        done = int((part / _DONE).read_text(encoding="ascii"))
        for kind in kinds:
            rows = FileOfRows.open(part / kind.file, kind)
            if rows.path.stat().st_size < rows.offset + rows.nbytes * done // pictures:
                return 0
    except (OSError, ValueError):
        return 0
    return done


def _or_forget(made: Iterable[list[np.ndarray]], part: Path) -> Iterator[list[np.ndarray]]:
    """Pass on what is made; where data are refused, no later run can go on with what is there."""
    try:
        yield from made
    except InputError:
        (part / _DONE).unlink(missing_ok=True)
        raise


def _to_append(part: Path, kind: Kind, first: np.ndarray, done: int) -> BinaryIO:
    """A file that holds the rows of `done` pictures, open at its end."""
    path = part / kind.file
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


def _keep(part: Path, files: Sequence[BinaryIO], done: int) -> None:
    """Say in the folder how many pictures it holds, once they are on the disk."""
    for file in files:
        os.fsync(file.fileno())
    said = part / f"{_DONE}.new"
    said.write_text(str(done), encoding="ascii")
    os.replace(said, part / _DONE)
