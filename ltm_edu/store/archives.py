"""The files in an archive, read without trust: nothing is unpacked, and no link is followed."""

from __future__ import annotations

import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from .errors import InputError
from .fetch import byte_bar


def members(
    path: Path, pattern: str, progress: bool = True
) -> Iterator[tuple[re.Match[str], Callable[[], bytes]]]:
    """The plain files in a tar, compressed or not, whose whole name matches a regular expression.

    Nothing is written to the disk. A bar shows the time left.

    Yields:
        The match and a function that reads the file; call it before asking for the next member.

    Raises:
        InputError: the archive is damaged, a member would be unpacked outside of the archive's
            folder, whether it matches or not, or a member that matches is a link or a device.
    """
    with (
        _reading(path),
        path.open("rb") as raw,
        tarfile.open(fileobj=raw, mode="r:*") as tar,
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
                yield match, partial(_read, path, tar, member)
            bar.update(raw.tell() - bar.n)


def _read(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with _reading(path):
        return tar.extractfile(member).read()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(
            f"{path} cannot be read as an archive ({reason}): delete it, and get it again"
        ) from None
