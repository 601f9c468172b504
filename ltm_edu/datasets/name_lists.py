"""Lists of pictures and of classes, and the names in them.

Names are compared in Unicode's composed form (NFC): macOS writes an accent apart from its letter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple
from unicodedata import category, normalize

from ..store.errors import InputError
from ..store.files import read_bytes, text_of
from ..store.pictures import SUFFIXES, picture_files

_FILE = rf"\.(?:{'|'.join(SUFFIXES)})"
_UNSEEN = ("Cc", "Cs")
"""The categories of Unicode that no name has a character of: control characters and surrogates."""
_BACKGROUND = ("background", "_background_", "__background__", "__ignore__")


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
    lines = filter(None, read_lines(path, content))
    counts = Counter(_name(line, path, pattern) for line in lines)
    repeated = sum(count > 1 for count in counts.values())
    fault = f"repeats {repeated:,} name{'s' if repeated > 1 else ''}" if repeated else None
    return NameList(tuple(counts), fault if counts else "is empty")


def read_classes(path: Path) -> tuple[str, ...]:
    """The classes of a list, the first has id 1; a blank line keeps its id, as an unused class.

    Raises:
        InputError: as `read_lines` does, or two classes have one name.
    """
    lines = read_lines(path)
    while lines and not lines[-1]:
        lines.pop()
    names = [line or unused_name(i) for i, line in enumerate(lines, start=1)]
    for i, name in enumerate(names, start=1):
        if (first := names.index(name) + 1) < i:
            raise InputError(
                f"{path}: lines {first} and {i} are both {name!r}: give each class a name of its "
                "own, or one id to both in the masks"
            )
    return tuple(names)


def unused_name(class_id: int) -> str:
    """What a class is called whose line is blank."""
    return f"(unused {class_id})"


def is_background(name: str) -> bool:
    """Whether the name of a class is one that labelme and others give to the background.

    >>> is_background("_background_"), is_background("cell")
    (True, False)
    """
    return name.lower() in _BACKGROUND


def files_by_name(folder: Path, preferred: str) -> dict[str, str]:
    """Name to file of the pictures in a folder; of several with one name, that with an ending.

    Raises:
        InputError: the folder cannot be read.
    """
    files = sorted(picture_files(folder), key=lambda p: p.suffix.lower() == f".{preferred}")
    return {normalize("NFC", p.stem): p.name for p in files}  # the last with a name replaces others


def read_lines(path: Path | str, content: bytes | None = None) -> list[str]:
    """The lines of a text in UTF-8, without spaces at their ends, in NFC.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    text = text_of(read_bytes(path) if content is None else content, path)
    return [normalize("NFC", line.strip(" \t")) for line in re.split(r"\r\n|\r|\n", text)]


def free_name(text: str, taken: Collection[str]) -> str:
    """A picture's name that `read_list` gives back as it is, and that is not taken yet.

    It is a text without folders, signs, and the endings of picture files.

    >>> free_name("a/b", ()), free_name("a/b", ("a_b",)), free_name("a.jpg", ())
    ('a_b', 'a_b_2', 'a')
    """
    signs = "".join("_" if c in '/\\:*?"<>|' or category(c) in _UNSEEN else c for c in text)
    text = normalize("NFC", signs).lstrip(" .")
    text = re.sub(rf"(?i)(?:{_FILE}|[ .])+$", "", text) or "picture"
    numbered = (f"{text}_{i}" for i in count(2))
    return next(name for name in chain([text], numbered) if name not in taken)


def _name(line: str, path: Path | str, pattern: str) -> str:
    pair = re.fullmatch(rf"(.+{_FILE})\s+(.+{_FILE})", line, re.I)
    files = pair.groups() if pair else (line,)
    stems = {re.sub(rf"(?i)^.*[/\\]|{_FILE}$", "", f) for f in files}
    name = stems.pop()
    control = any(category(c) in _UNSEEN for c in name)
    if stems or control or not re.fullmatch(pattern, name):
        raise InputError(
            f"{path}: {line[:60]!r} is no picture's name (as 2007_000032, or "
            "JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png)"
        )
    return name
