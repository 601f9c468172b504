"""Files from the network: broken off and gone on with, from several servers, and checked.

A file has its own name only when it is whole and its checksum is right; until then it is NAME.part.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from .errors import InputError
from .files import lock, write_all, writing, written_whole

_AGAIN = "then run the same command again, it goes on"
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""
ATTEMPTS = 20
"""Connections to one server, as long as each brings something."""
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Archive:
    """A file that can be downloaded.

    Attributes:
        name: what it is called on every server and here.
        size: its bytes.
        md5: its checksum, in hexadecimal digits.
        urls: where it is, the first choice first.
    """

    name: str
    size: int
    md5: str
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({readable(self.size)}, MD5 {self.md5})"


def obtain(
    archive: Archive, folder: Path, mirrors: Sequence[str] = (), progress: bool = True
) -> Path:
    """The whole file in a folder, downloaded as far as it is not there yet.

    Args:
        archive: which file.
        folder: where it is put; made if need be.
        mirrors: addresses of folders that also hold it, asked before `archive.urls`.
        progress: show a bar with the time left.

    Raises:
        InputError: no server gives the right file (each is named with its fault), the disk is full,
            or a file of that name is another one.
    """
    path = folder / archive.name
    if path.exists():
        check(path, archive, progress)
        return path
    part = folder / f"{archive.name}.part"
    faults = []
    own = [f"{m.rstrip('/')}/{archive.name}" for m in check_mirrors(mirrors)]
    for url in [*own, *archive.urls]:
        fault = _from(url, part, archive, progress)
        if fault is None:
            with writing(path, _AGAIN):
                os.replace(part, path)
            return path
        faults.append(f"{url}: {fault}")
    kept = f"; {readable(_size(part))} are kept, the same command goes on" if _size(part) else ""
    raise InputError(
        f"cannot download {archive.name} ({'; '.join(faults)}{kept}): give another server with "
        f"--mirror, or get {archive} elsewhere and name its folder with --from"
    )


def check(path: Path, archive: Archive, progress: bool = True) -> None:
    """Refuse a file that is not the archive.

    Raises:
        InputError: it cannot be read, or has another size or checksum.
    """
    try:
        size = path.stat().st_size
        if size != archive.size:
            raise InputError(
                f"{path} has {size:,} bytes where {archive.name} has {archive.size:,}: "
                "it was cut short or is another file; delete it, and get it again"
            )
        found = _md5(path, progress)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None
    if found != archive.md5:
        raise InputError(
            f"{path} has MD5 {found} where {archive.name} has {archive.md5}: "
            "it is damaged; delete it, and get it again"
        )


def check_mirrors(mirrors: Sequence[str]) -> list[str]:
    """The mirrors, if each is an address that can be asked.

    Raises:
        InputError: one is not http:// or https://.
    """
    for mirror in mirrors:
        if urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).netloc:
            raise InputError(f"--mirror {mirror}: give the http:// or https:// of a folder")
    return list(mirrors)


def missing_bytes(archive: Archive, folder: Path) -> int:
    """How much of an archive is not in the folder yet."""
    if (folder / archive.name).exists():
        return 0
    return max(0, archive.size - _size(folder / f"{archive.name}.part"))


def need_room(folder: Path, size: int) -> None:
    """Refuse to start what will not fit on the disk.

    Args:
        folder: where it is to go; need not be there yet.
        size: bytes.

    Raises:
        InputError: fewer bytes are free.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < size:
        raise InputError(
            f"{folder} needs {readable(size)} and its disk has {readable(free)} free: "
            "make room, or set LTM_EDU_DATA to a folder on a larger disk"
        )


def put(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with written_whole(path) as part:
            part.write_bytes(content)
    except InputError as error:
        raise InputError(f"{error}; then run the same command again, it goes on") from None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second process out of a folder for as long as this one works in it.

    Raises:
        InputError: another one is at work there, or the folder cannot be written to.
    """
    with writing(folder, _AGAIN):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("ab")
    with handle:
        if not lock(handle):
            raise InputError(f"another process is fetching into {folder}: wait for it")
        yield


def readable(size: float) -> str:
    """Bytes for people.

    >>> readable(1999639040), readable(4096)
    ('2.0 GB', '4.1 kB')
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def byte_bar(what: str, size: int, progress: bool, done: int = 0) -> tqdm:
    """A bar over bytes with speed and time left, wiped out at the end."""
    return tqdm(
        total=size,
        initial=done,
        desc=what,
        unit="B",
        unit_scale=True,
        disable=not progress,
        leave=False,
    )


def _from(url: str, part: Path, archive: Archive, progress: bool) -> str | None:
    """Complete `part` from one server; what is wrong, or None if it is the archive now."""
    for again in (False, True):
        began_with = _size(part)
        with byte_bar(archive.name, archive.size, progress, began_with) as bar:
            fault = _append_until_whole(url, part, archive.size, bar)
        if fault is not None:
            return fault
        if _md5(part, progress) == archive.md5:
            return None
        part.unlink()
        # Bytes from an earlier run or another server may be at fault: once more, from the start.
        if again or not began_with:
            break
    return "what it sends has another checksum"


def _append_until_whole(url: str, part: Path, size: int, bar: tqdm) -> str | None:
    if _size(part) > size:
        part.unlink()
    fault = None
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before == size:
            return None
        try:
            _append(url, part, size, bar)
        except urllib.error.HTTPError as error:
            fault = f"HTTP {error.code} {error.reason}"
        except urllib.error.URLError as error:
            fault = str(error.reason)
        except (OSError, http.client.HTTPException, _WrongFile) as error:
            fault = str(error) or type(error).__name__
        if _size(part) <= before:
            break
    if _size(part) == 0:
        part.unlink(missing_ok=True)
    return None if _size(part) == size else fault


class _WrongFile(Exception):
    """A server answers with something else than the rest of the file."""


def _append(url: str, part: Path, size: int, bar: tqdm) -> None:
    have = _size(part)
    headers = {"User-Agent": "ltm-edu"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
        if reply.status == 200:  # also the answer of a server that knows no ranges
            have, total = 0, reply.headers.get("Content-Length", str(size))
        else:
            expected = re.escape(f"bytes {have}-") + r"\d+/(\d+)"
            found = re.fullmatch(expected, reply.headers.get("Content-Range", ""))
            total = found[1] if found else "unknown"
        if total != str(size):
            raise _WrongFile(f"its file has {total} bytes instead of {size}")
        with writing(part, _AGAIN):
            part.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("ab" if have else "wb", buffering=0)
        with file:
            bar.update(have - bar.n)
            while have < size and (chunk := reply.read1(_CHUNK)):
                with writing(part, _AGAIN):
                    written = write_all(file, chunk[: size - have])
                have += written
                bar.update(written)
    if have < size:
        raise _WrongFile(f"it broke off after {have} of {size} bytes")


def _md5(path: Path, progress: bool) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with (
        path.open("rb") as file,
        byte_bar(f"checking {path.name}", path.stat().st_size, progress) as bar,
    ):
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
