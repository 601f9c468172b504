"""The files in an archive, read without trust: nothing is unpacked, and no link is followed.

A small archive can promise or unpack to terabytes. What is read at once, a file or one of the
archive's own records, has at most `LARGEST` bytes.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .errors import InputError
from .fetch import byte_bar

LARGEST = 64_000_000
"""The most bytes that a picture, a mask or a list in an archive may have."""
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def members(
    path: Path, pattern: str, progress: bool = True
) -> Iterator[tuple[re.Match[str], Callable[[], bytes]]]:
    """The plain files in a tar, compressed or not, whose whole name matches a regular expression.

    Nothing is written to the disk. A bar shows the time left.

    Yields:
        The match and a function that reads the file; call it before asking for the next member.

    Raises:
        InputError: the archive is damaged, a member would be unpacked outside of the archive's
            folder, whether it matches or not, or a member that matches is a link, a device or
            larger than any picture.
    """
    with (
        _reading(path),
        path.open("rb") as raw,
        _opened(raw) as content,
        tarfile.open(fileobj=_Bounded(content), mode="r:") as tar,
        byte_bar(f"reading {path.name}", path.stat().st_size, progress) as bar,
    ):
        for member in tar:
            # Targets of links need no such check, because no link is ever created or read.
            name = member.name.replace("\\", "/")
            if re.match("/|[A-Za-z]:", name) or f"{posixpath.normpath(name)}/".startswith("../"):
                raise InputError(
                    f"{path} holds {member.name!r}, which would leave its folder: nothing more is "
                    "unpacked; delete the archive, and get it from another server"
                )
            match = re.fullmatch(pattern, str(PurePosixPath(member.name)))
            if match and not member.isdir():
                if not member.isfile():
                    raise InputError(
                        f"{path} holds {member.name} as a link or device, which is refused: "
                        "delete the archive, and get it from another server"
                    )
                if member.size > LARGEST:
                    raise InputError(
                        f"{path} says that {member.name} has {member.size:,} bytes, more than any "
                        "picture: delete the archive, and get it from another server"
                    )
                yield match, partial(_read, path, tar, member)
            bar.update(raw.tell() - bar.n)


def _read(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with _reading(path):
        return tar.extractfile(member).read()


def _opened(raw: BinaryIO) -> BinaryIO:
    """The content of a file that may be compressed."""
    start = raw.read(8)
    raw.seek(0)
    opener = next((o for magic, o in _OPENERS.items() if start.startswith(magic)), None)
    return raw if opener is None else opener(raw)


class _Bounded:
    """A file of which at most `LARGEST` bytes are read at once, whatever its records ask for."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes.

        Raises:
            tarfile.ReadError: they are too many.
        """
        if not 0 <= size <= LARGEST:
            raise tarfile.ReadError(f"one of its records claims {size:,} bytes")
        return self.file.read(size)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (
        tarfile.TarError,
        EOFError,
        OSError,
        zlib.error,
        lzma.LZMAError,
        ValueError,
        OverflowError,
    ) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(
            f"{path} cannot be read as an archive ({reason}): delete it, and get it again"
        ) from None
