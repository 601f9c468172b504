"""Where data is stored, how files appear there whole, and how processes take turns.

The data folder is `LTM_EDU_DATA` if set, else the checkout's data/, else the user's cache.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import platformdirs
from filelock import FileLock, Timeout

from .errors import InputError

_CHECKOUT = Path(__file__).resolve().parents[2] / "data"


def data_dir() -> Path:
    """The folder for everything that is generated or downloaded; the first write creates it."""
    if variable := os.environ.get("LTM_EDU_DATA"):
        return Path(variable).expanduser()
    if (_CHECKOUT / "README.md").exists() and os.access(_CHECKOUT, os.W_OK):
        return _CHECKOUT
    return Path(platformdirs.user_cache_dir("ltm_edu"))


def shipped_checkpoint(name: str) -> Path:
    """A checkpoint that comes with the course, such as `shipped_checkpoint("emoji5i_fold0")`.

    Raises:
        InputError: no checkpoint has that name; lists those that exist.
    """
    folders = (data_dir(), _CHECKOUT)
    paths = {p.stem: p for folder in folders for p in folder.glob("checkpoints/*.pt")}
    if name not in paths:
        names = ", ".join(sorted(paths)) or "none"
        raise InputError(f"no shipped checkpoint {name!r}: there are {names}")
    return paths[name]


def existing_parent(path: Path) -> Path:
    """The path itself if it exists, else the nearest folder above it that does."""
    # On a missing drive, no folder above it exists either.
    return next((p for p in (path, *path.absolute().parents) if p.exists()), path)


def need_place(path: Path) -> None:
    """Check, before hours of work, that their result can be written to a file.

    Raises:
        InputError: the path is a folder, or its folder cannot be created or written to.
    """
    parent = existing_parent(path.absolute().parent)
    if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        obstacle = path if path.is_dir() else parent
        raise InputError(f"cannot write {path}: {obstacle} is in the way")


@contextmanager
def written_whole(path: Path, advice: str = "") -> Iterator[Path]:
    """Write a file under a temporary name, and rename it after the block.

    So the file appears complete or not at all, and a block that fails leaves the old file.

    Raises:
        InputError: the folder cannot be written to; the line ends in advice.
    """
    with writing(path, advice):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o644)  # mkstemp lets only the owner read
            part.replace(path)
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
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield part
        with writing(folder):
            part.chmod(0o755)
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


def check_no_pointer(path: str | Path) -> None:
    """Check that a file is not what a clone without git-lfs has in its place.

    Raises:
        InputError: it is.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(40).startswith(b"version https://git-lfs.github.com/spec/"):
            raise InputError(f"{path} is a git-lfs pointer, not the file itself: run git lfs pull")


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
