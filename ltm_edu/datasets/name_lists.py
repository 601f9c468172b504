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
        fault: what is wrong with the list; None if nothing is.
    """

    names: tuple[str, ...]
    fault: str | None


def list_files(folder: Path) -> list[Path]:
    """The lists in a folder, without hidden files (macOS creates ._train.txt)."""
    return sorted(p for p in folder.glob("*.txt") if not p.name.startswith("."))


def read_list(path: Path | str, pattern: str = ".+", content: bytes | None = None) -> NameList:
    """Read names, one a line; a line may also be "/JPEGImages/NAME.jpg /Masks/NAME.png".

    Folders in a line are ignored: no list can name a file outside of its data set.

    Args:
        path: the list file; with `content`, only its name in an error.
        pattern: a regular expression that every name matches.
        content: the bytes of a list that is not a file on the disk.

    Raises:
        InputError: as `read_lines` does, or a line has neither form.
    """
    counts = Counter(_name(line, path, pattern) for line in read_lines(path, content))
    repeated = sum(count > 1 for count in counts.values())
    fault = f"repeats {repeated:,} name{'s' if repeated > 1 else ''}" if repeated else None
    return NameList(tuple(counts), fault if counts else "is empty")


def read_lines(path: Path | str, content: bytes | None = None) -> list[str]:
    """The lines of a text in UTF-8 that are not blank, without spaces at their ends.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    try:
        text = (Path(path).read_bytes() if content is None else content).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: save it as such, or remove it") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _name(line: str, path: Path | str, pattern: str) -> str:
    pair = re.fullmatch(r"(.+\.(?:jpe?g|png))\s+(.+\.png)", line, re.IGNORECASE)
    files = pair.groups() if pair else (line,)
    stems = {re.sub(r"(?i)^.*[/\\]|\.(?:jpe?g|png)$", "", f) for f in files}
    name = stems.pop()
    if stems or not name.isprintable() or not re.fullmatch(pattern, name):
        raise InputError(
            f"{path}: {line[:60]!r} is no picture's name (as 2007_000032, or "
            "JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png)"
        )
    return name
