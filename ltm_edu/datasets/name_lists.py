"""Lists of pictures: the files in ImageSets/Segmentation, in either of the two common forms."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ..store.errors import InputError


class NameList(NamedTuple):
    """The content of a list.

    Attributes:
        names: each name once, in the file's order.
        repeated: the names that the file contains more than once.
    """

    names: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def fault(self) -> str | None:
        """What is wrong with the list; None if nothing is."""
        if not self.names:
            return "is empty"
        count = len(self.repeated)
        return f"repeats {count:,} name{'s' if count > 1 else ''}" if count else None


def list_files(folder: Path) -> list[Path]:
    """The lists in a folder, without hidden files (macOS creates ._train.txt)."""
    return sorted(p for p in folder.glob("*.txt") if not p.name.startswith("."))


def read_list(path: Path, pattern: str = ".+") -> NameList:
    """Read the names in a list file; see `names_in`.

    Raises:
        InputError: the file cannot be read, or as `names_in` does.
    """
    return _names(read_text(path), str(path), pattern)


def names_in(content: bytes, origin: str, pattern: str = ".+") -> NameList:
    """Read names, one a line; a line may also be "/JPEGImages/NAME.jpg /Masks/NAME.png".

    Folders in a line are ignored: no list can name a file outside of its data set.

    Args:
        content: the bytes of a list file.
        origin: the file's name in an error.
        pattern: a regular expression that every name matches.

    Raises:
        InputError: the content is not text in UTF-8, or a line has neither form.
    """
    return _names(_decoded(content, origin), origin, pattern)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        InputError: it cannot be read, or is not text.
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
