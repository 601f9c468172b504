"""Where data is stored, how files appear there whole, and how processes take turns.

The data folder is `LTM_EDU_DATA` if set, else the checkout's data/, else the user's cache.
"""

from __future__ import annotations

import errno
import glob
import os
import platform
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import platformdirs
from filelock import FileLock, Timeout

from .errors import InputError

_CHECKOUT = Path(__file__).resolve().parents[2] / "data"


def data_dir() -> Path:
    """The folder for everything that is generated or downloaded; the first write creates it."""
    if variable := os.environ.get("LTM_EDU_DATA"):
        return at_home(variable)
    if (_CHECKOUT / "README.md").exists() and os.access(_CHECKOUT, os.W_OK):
        return _CHECKOUT
    return Path(platformdirs.user_cache_dir("ltm_edu"))


def at_home(path: str | Path) -> Path:
    """The path with ~ replaced by the home folder.

    Raises:
        InputError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: there is no user of this name") from None


def shipped_checkpoint(name: str) -> Path:
    """A checkpoint that comes with the course, such as `shipped_checkpoint("emoji5i_fold0")`.

    Raises:
        InputError: no checkpoint has that name; lists those that exist.
    """
    folders = (data_dir(), _CHECKOUT)
    paths = {p.stem: p for folder in folders for p in folder.glob("checkpoints/*.pt")}
    if name not in paths:
        names = ", ".join(sorted(paths)) or f"none in {folders[0] / 'checkpoints'}"
        raise InputError(f"no shipped checkpoint {name!r}: there are {names}; or name a file")
    return paths[name]


def existing_parent(path: Path) -> Path:
    """The path itself if it exists, else the nearest folder above it that does."""
    # On a missing drive, no folder above it exists either.
    return next((p for p in (path, *path.absolute().parents) if p.exists()), path)


def beside(path: Path, ending: str) -> Path:
    """The file with another ending that belongs to a file; no two files share one.

    >>> beside(Path("a/fold0.pt"), ".state").as_posix(), beside(Path("lr0.5"), ".state").name
    ('a/fold0.state', 'lr0.5.state')
    """
    return path.with_suffix(ending) if path.suffix == ".pt" else Path(f"{path}{ending}")


def need_places(*paths: Path) -> None:
    """Check several files that are to be written, as `need_place` does.

    Raises:
        InputError: one cannot be written, or two of them are the same file.
    """
    places: dict[str, Path] = {}
    for path in paths:
        need_place(path)
        if (other := places.setdefault(os.path.realpath(path), path)) is not path:
            raise InputError(f"{path} and {other} are one file: give each result its own name")


def need_place(path: Path) -> None:
    """Check, before hours of work, that their result can be written to a file.

    Raises:
        InputError: the path is a folder, or its folder cannot be created or written to.
    """
    with writing(path):
        place = _behind_links(path)
        parent = existing_parent(place.parent)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"cannot write {path}: {parent} is in the way")


@contextmanager
def written_whole(path: Path, advice: str = "", durable: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name, and rename it after the block.

    So the file appears complete or not at all, and a block that fails leaves the old file. What a
    link leads to is written, and the link stays.

    Args:
        path: the file; its folder is created if it is missing.
        advice: how the line of an error ends.
        durable: wait until the disk has the file, so that a loss of power cannot take it.

    Raises:
        InputError: the folder cannot be written to, or something else than a file has the name.
    """
    with writing(path, advice):
        path = _behind_links(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _unfinished(path.parent)
        part.open("xb").close()
        try:
            yield part
            if path.exists():
                shutil.copymode(path, part)
            if durable:
                _reach_the_disk(part)
            part.replace(path)
            if durable:
                _reach_the_disk(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def made_whole(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Fill a folder under a temporary name, and rename it after the block.

    If another process has meanwhile put the same folder in place, that one stays; with `replace`,
    a folder of this name is removed when the new one is in its place.

    Raises:
        InputError: the folder cannot be written to.
    """
    with writing(folder):
        folder = Path(os.path.realpath(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = _unfinished(folder.parent)
        part.mkdir()
    try:
        with writing(folder):
            yield part
            old = part.with_name(f"{part.name}.old")
            if replace and folder.is_dir():
                folder.replace(old)
            try:
                part.replace(folder)
            except OSError:
                if old.is_dir():
                    old.replace(folder)
                    raise
                if not (folder.is_dir() and any(folder.iterdir())):
                    raise
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _behind_links(path: Path) -> Path:
    """The file that a path leads to, which need not exist.

    Raises:
        OSError: the path leads to no file, but to a folder, a device or a circle of links.
    """
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise OSError(f"the link {real} leads in a circle")
    if real.exists() and not real.is_file():
        raise OSError("it is a folder" if real.is_dir() else "it is a device, not a file")
    return real


_UNFINISHED = f".ltm_edu-{platform.node() or 'here'}-"


def _unfinished(folder: Path) -> Path:
    """A new name in a folder for what is not complete; it says which process writes it."""
    _remove_leftovers(folder)
    return folder / f"{_UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}"


@cache  # once for each folder: a folder of results has many files
def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine did not complete, because they were killed."""
    for path in folder.glob(f"{glob.escape(_UNFINISHED)}*"):
        writer = path.name.removeprefix(_UNFINISHED).partition("-")[0]
        if writer.isdecimal() and not _runs(int(writer)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether a process exists; on systems where asking could end it, always True."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True


def _reach_the_disk(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's names."""
    if path.is_dir() and os.name != "posix":
        return  # such a system does not open folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot
            raise
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Turn an error of the disk into one line that names the path and ends in advice.

    Raises:
        InputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        end = f"; {advice}" if advice else ""
        raise InputError(f"cannot write {path}: {error.strerror or error}{end}") from None


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in the order of the names.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror or error})") from None


def check_file(path: str | Path) -> None:
    """Check that a path leads to a file that can be read to its end.

    Reading a pipe or a device may wait for ever; a clone without git-lfs has a pointer in the
    place of the file.

    Raises:
        InputError: it leads to a pipe, a socket or a device, or to a pointer.
        OSError: the file is missing, is a folder or cannot be read.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is a pipe, a socket or a device, not a file: give a file")
    with open(path, "rb") as file:
        if file.read(40).startswith(b"version https://git-lfs.github.com/spec/"):
            raise InputError(f"{path} is a git-lfs pointer, not the file itself: run git lfs pull")


def read_bytes(path: str | Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it cannot be read, or leads to no file.
    """
    try:
        check_file(path)
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        InputError: as `read_bytes`, or it is not text.
    """
    return text_of(read_bytes(path), path)


def text_of(content: bytes, path: str | Path) -> str:
    """The text of a file's content in UTF-8, without a mark of the byte order.

    Raises:
        InputError: it is not text.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: save it as such, or remove it") from None


def write_all(file: BinaryIO, chunk: bytes | memoryview) -> int:
    """Write to an unbuffered file until everything is written: one write may take only a part.

    Without a buffer, a killed process leaves all that it has written.
    """
    remaining = memoryview(chunk)
    while remaining:
        remaining = remaining[file.write(remaining) :]
    return len(chunk)


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time into the block; the others call `waiting` once, and wait.

    If `waiting` raises an error, the process does not wait. The operating system releases the lock
    when the process ends, also when it is killed; the lock file is removed.

    Raises:
        InputError: the file cannot be created, or its file system has no locks.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot lock {path}: {reason}; choose a folder where files can be written and locked"
        ) from None
    try:
        yield
    finally:
        # Removed while it is still locked: a process that waits notices, and creates a new one.
        with suppress(OSError):  # Windows cannot remove an open file
            path.unlink()
        lock.release()
