"""The files in an archive, read without trust: nothing is unpacked, and no link is followed."""

from __future__ import annotations

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
    """The files in a tar whose whole name matches a pattern; nothing is written to the disk.

    An archive with a member that would be unpacked outside of its folder is refused as soon as
    that member is met, whether it matches or not.

    Args:
        path: a tar, compressed or not.
        pattern: a regular expression; what it matches must be a plain file.
        progress: show a bar with the time left.

    Yields:
        The match and a function that reads the file; call it before asking for the next member.

    Raises:
        InputError: the archive is damaged, or a member is hostile.
    """
    with (
        _reading(path),
        path.open("rb") as raw,
        tarfile.open(fileobj=raw, mode="r:*") as tar,
        byte_bar(f"reading {path.name}", path.stat().st_size, progress) as bar,
    ):
        for member in tar:
            _refuse_escape(path, member)
            match = re.fullmatch(pattern, str(PurePosixPath(member.name)))
            if match and not member.isdir():
                if not member.isfile():
                    raise InputError(
                        f"{path} holds {member.name} as a link or device, which is refused: "
                        "delete the archive, and get it from another server"
                    )
                yield match, partial(_read, path, tar, member)
            bar.update(raw.tell() - bar.n)


def _refuse_escape(path: Path, member: tarfile.TarInfo) -> None:
    """Targets of links need no such check, because no link is ever created or read."""
    name = member.name
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or _climbs(name):
        raise InputError(
            f"{path} holds {name!r}, which would leave its folder: nothing more is unpacked; "
            "delete the archive, and get it from another server"
        )


def _climbs(name: str) -> bool:
    depth = 0
    for part in re.split(r"[/\\]", name):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            return True
    return False


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
