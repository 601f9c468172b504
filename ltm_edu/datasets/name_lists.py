"""Lists of pictures: the files in ImageSets/Segmentation, in either form that is passed around."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ..store.errors import InputError


class NameList(NamedTuple):
    """What is in a list.

    Attributes:
        names: each name once, in the file's order.
        repeated: those that the file has more than once.
    """

    names: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def fault(self) -> str | None:
        """What `verify` says of the list; None if all is well."""
        if not self.names:
            return "is empty"
        count = len(self.repeated)
        return f"repeats {count:,} name{'s' if count > 1 else ''}" if count else None


def list_files(folder: Path) -> list[Path]:
    """The lists in a folder; hidden files (macOS leaves ._train.txt) are none."""
    return sorted(p for p in folder.glob("*.txt") if not p.name.startswith("."))


def read_list(path: Path, pattern: str = ".+") -> NameList:
    """Names in a list file; see `names_in`.

    Raises:
        InputError: the file cannot be read, or as `names_in` does.
    """
    return _names(read_text(path), str(path), pattern)


def names_in(content: bytes, origin: str, pattern: str = ".+") -> NameList:
    """Names, one a line; lines of the form "/JPEGImages/NAME.jpg /Masks/NAME.png" do as well.

    Args:
        content: a list file's.
        origin: what an error calls it.
        pattern: a regular expression of what pictures are called.

    Raises:
        InputError: it is no text in UTF-8, or a line is neither; no list can name a file outside
            of the folder.
    """
    return _names(_decoded(content, origin), origin, pattern)


def read_text(path: Path) -> str:
    """A text file in UTF-8.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        return _decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None


def _decoded(content: bytes, origin: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{origin} is not text in UTF-8: save it as such, or remove it") from None


def _names(text: str, origin: str, pattern: str) -> NameList:
    lines = filter(None, map(str.strip, text.splitlines()))
    counts = Counter(_name(line, origin, pattern) for line in lines)
    return NameList(tuple(counts), tuple(n for n, count in counts.items() if count > 1))


def _name(line: str, origin: str, pattern: str) -> str:
    pair = re.fullmatch(r"(.+\.(?:jpe?g|png))\s+(.+\.png)", line, re.IGNORECASE)
    files = pair.groups() if pair else (line,)
    stems = {re.sub(r"(?i)^.*[/\\]|\.(?:jpe?g|png)$", "", f) for f in files}
    name = stems.pop()
    if stems or not name.isprintable() or not re.fullmatch(pattern, name):
        raise InputError(
            f"{origin}: {line[:60]!r} is no picture's name (as 2007_000032, or "
            "JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png)"
        )
    return name
