"""Downloads that resume after an interruption, try several servers, and check what they receive.

A file gets its name only when it is complete and its checksum is right; until then it is NAME.part.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .errors import InputError
from .files import existing_parent, locked, write_all, writing, written_whole

_RESUMES = "solve this and fetch again: it resumes"
_ANOTHER_DISK = "make room, or set LTM_EDU_DATA to a folder on a larger disk"
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
SLOWEST = 10_000
"""Bytes a second: a download that takes longer than at this speed, and a minute, is given up."""
ATTEMPTS = 20
"""The most connections to one server; each must have brought something for the next to follow."""
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Archive:
    """A file that can be downloaded from its addresses, which are tried in their order."""

    name: str  # on every server and in our folder
    size: int  # in bytes
    md5: str  # in hexadecimal digits
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({readable(self.size)}, MD5 {self.md5})"


def obtain(
    archive: Archive, folder: Path, mirrors: Sequence[str] = (), progress: bool = True
) -> Path:
    """Download what a folder lacks of a file, and return the complete file.

    The mirrors are addresses of folders that also contain it, and are tried first. A bar shows the
    time left.

    Raises:
        InputError: no server gives the right file (each is named with its fault), the disk is full,
            or the folder contains another file of that name.
    """
    path = folder / archive.name
    if path.exists():
        check(path, archive, progress)
        return path
    part, faults = folder / f"{archive.name}.part", []
    urls = [f"{m.rstrip('/')}/{archive.name}" for m in check_mirrors(mirrors)]
    for url in (*urls, *archive.urls):
        fault = _download(url, part, archive, progress)
        if fault is None:
            with writing(path, _RESUMES):
                os.replace(part, path)
            return path
        faults.append(f"{url}: {fault}")
    if size := _size(part):
        faults.append(f"{readable(size)} are kept, the next attempt resumes after them")
    raise InputError(
        f"cannot download {archive.name} ({'; '.join(faults)}): fetch with another mirror, or get "
        f"{archive} elsewhere and fetch from the folder that holds it"
    )


def check(path: Path, archive: Archive, progress: bool = True) -> None:
    """Check that a file is the archive.

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
        md5 = _md5(path, progress)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None
    if md5 != archive.md5:
        raise InputError(
            f"{path} has MD5 {md5} where {archive.name} has {archive.md5}: "
            "it is damaged; delete it, and get it again"
        )


def check_mirrors(mirrors: Sequence[str]) -> Sequence[str]:
    """The mirrors, if all are web addresses.

    Raises:
        InputError: one is not http:// or https://.
    """
    for mirror in mirrors:
        if not re.match("(?i)https?://[^/?#]", mirror):
            raise InputError(f"mirror {mirror}: give the http:// or https:// address of a folder")
    return mirrors


def missing_bytes(archive: Archive, folder: Path) -> int:
    """How much of an archive the folder lacks."""
    if (folder / archive.name).exists():
        return 0
    return max(0, archive.size - _size(folder / f"{archive.name}.part"))


def need_room(folder: Path, size: int, advice: str = _ANOTHER_DISK) -> None:
    """Check that so many bytes fit on the disk of a folder, which need not exist yet.

    Raises:
        InputError: fewer bytes are free; it ends with the advice.
    """
    if (free := shutil.disk_usage(existing_parent(folder)).free) < size:
        raise InputError(
            f"{folder} needs {readable(size)} and its disk has {readable(free)} free: {advice}"
        )


def put(path: Path, content: bytes) -> None:
    """Write a file, completely or not at all.

    Raises:
        InputError: it cannot be written.
    """
    with written_whole(path, _RESUMES) as part:
        part.write_bytes(content)


def alone(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes from fetching into a folder during the block.

    Raises:
        InputError: another process is fetching into it, or the folder cannot be written to.
    """

    def refuse() -> None:
        raise InputError(f"another process is fetching into {folder}: wait until it has finished")

    return locked(folder / ".lock", refuse)


def readable(size: float) -> str:
    """A number of bytes, rounded and with its unit.

    >>> readable(1999639040), readable(4096)
    ('2.0 GB', '4.1 kB')
    """
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size:.0f} bytes"


def byte_bar(label: str, size: int, progress: bool, done: int = 0) -> tqdm:
    """A bar over bytes with speed and time left, which disappears at the end."""
    in_bytes = {"unit": "B", "unit_scale": True, "leave": False}
    return tqdm(desc=label, total=size, initial=done, disable=not progress, **in_bytes)


def _download(url: str, part: Path, archive: Archive, progress: bool) -> str | None:
    """Complete `part` from one server; returns its fault, or None if `part` is now the archive."""
    fault, done = None, _size(part)
    resumes = done > 0
    end = time.monotonic() + 60 + archive.size / SLOWEST
    with byte_bar(archive.name, archive.size, progress, done) as bar:
        for _ in range(ATTEMPTS):
            if done >= archive.size or time.monotonic() > end:
                break
            try:
                _append(url, part, archive.size, bar, end)
            except urllib.error.HTTPError as error:
                fault = f"HTTP {error.code} {error.reason}"
            except urllib.error.URLError as error:
                fault = str(error.reason)
            except (OSError, http.client.HTTPException) as error:
                fault = str(error) or type(error).__name__
            before, done = done, _size(part)
            if done <= before:
                break
    if done == archive.size and _md5(part, progress) == archive.md5:
        return None
    if 0 < done < archive.size:
        return fault
    part.unlink(missing_ok=True)
    if not resumes:
        return "what it sends has another checksum" if done else fault
    # Bytes of an earlier run or of another server may be wrong: try again without them.
    return _download(url, part, archive, progress)


class _OnlyTheWeb(urllib.request.HTTPRedirectHandler):
    """Follow a server to other web addresses, and to nothing else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: object,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuse an address that is not http:// or https://."""
        if not re.match("(?i)https?://", newurl):
            raise urllib.error.URLError(f"it leads to {newurl[:100]}, which is no web address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_WEB = urllib.request.build_opener(_OnlyTheWeb)


def _append(url: str, part: Path, size: int, bar: tqdm, end: float) -> None:
    """Ask a server for the missing bytes, and append what arrives until the clock says `end`."""
    done = _size(part)
    headers = {"User-Agent": "ltm-edu"} | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(url, headers=headers)
    with _WEB.open(request, timeout=TIMEOUT) as reply:
        target, before = part, done
        if reply.status == 200:  # the whole file: also from a server that ignores ranges
            done, total = 0, reply.headers.get("Content-Length", str(size))
            if before:  # what is there stays until there is more
                target = part.with_name(f"{part.name}.new")
        else:
            content_range = reply.headers.get("Content-Range", "")
            match = re.fullmatch(rf"bytes {done}-\d+/(\d+)", content_range)
            total = match[1] if match else "unknown"
        if total != str(size):
            raise http.client.HTTPException(f"its file has {total} bytes instead of {size}")
        with writing(part, _RESUMES):
            part.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("ab" if done else "wb", buffering=0)
        try:
            with file:
                bar.update(done - bar.n)
                while done < size and (chunk := reply.read1(_CHUNK)):
                    with writing(part, _RESUMES):
                        written = write_all(file, chunk[: size - done])
                    done += written
                    bar.update(written)
                    if time.monotonic() > end:
                        raise http.client.HTTPException(f"it sent {done} bytes, too slowly")
        finally:
            if target is not part:
                if done > before:
                    os.replace(target, part)
                target.unlink(missing_ok=True)
    if done < size:
        raise http.client.HTTPException(f"the connection ended after {done} of {size} bytes")


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
