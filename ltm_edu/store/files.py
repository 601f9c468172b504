"""Where data lands: `LTM_EDU_DATA` if set, else the checkout's data/, else the user's cache."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import platformdirs

from .errors import InputError


def data_dir() -> Path:
    """The folder for everything that is generated or downloaded; made when first written to."""
    named = os.environ.get("LTM_EDU_DATA")
    if named:
        return Path(named).expanduser()
    checkout = Path(__file__).resolve().parents[2] / "data"
    if (checkout / "README.md").exists() and os.access(checkout, os.W_OK):
        return checkout
    return Path(platformdirs.user_cache_dir("ltm_edu"))


def shipped_checkpoint(name: str) -> Path:
    """A checkpoint that comes with the course, such as `shipped_checkpoint("emoji5i_fold0")`.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    folders = [Path(__file__).resolve().parents[2] / "data", data_dir()]
    for folder in folders:
        path = folder / "checkpoints" / f"{name}.pt"
        if path.exists():
            return path
    known = sorted({p.stem for f in folders for p in (f / "checkpoints").glob("*.pt")})
    raise InputError(f"no shipped checkpoint {name!r}: there are {', '.join(known) or 'none'}")


def need_place(path: Path) -> None:
    """Refuse, before hours of work, a file that could not be written after them.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    there = next((p for p in path.absolute().parents if p.exists()), path.absolute())
    if path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"cannot write {path}: {path if path.is_dir() else there} is in the way")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Write a file under another name and put it in place only when it is complete.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        # mkstemp makes files that only their owner reads; results are for everybody.
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Fill a folder under another name and put it in place only when it is complete.

    Where another process was faster, its folder stays: both were to hold the same.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from None
    try:
        yield part
        os.chmod(part, 0o755)
        try:
            os.replace(part, folder)
        except OSError as error:
            if not (folder.is_dir() and any(folder.iterdir())):
                raise InputError(f"cannot write {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def writing(path: Path, advice: str) -> Iterator[None]:
    """Make a fault of the disk one line that names the path and ends in advice.

    Raises:
        InputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; {advice}") from None


def write_all(file: BinaryIO, chunk: bytes | memoryview) -> int:
    """Write without a buffer, so that a killed run keeps what came; such a write may be short."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
    return len(chunk)


def lock(handle: BinaryIO) -> bool:
    """Take an open file until it is closed or the process ends; False where another one has it."""
    try:
        try:
            import fcntl
        except ImportError:
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def one_at_a_time(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Let one process after the other into the block.

    Args:
        path: a file that is there for as long as one is in it; its folder is made if need be.
        waiting: called once if another process is in the block.

    Raises:
        InputError: the file cannot be made or locked.
    """
    told = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = path.open("ab")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from None
        with handle:
            while not _locked(handle, path):
                if not told:
                    waiting()
                told = True
                time.sleep(0.1)
            if _is_at(handle, path):
                try:
                    yield
                finally:
                    with suppress(OSError):  # Windows keeps a file that is open
                        path.unlink()
                return
            # Whoever was in the block has taken the file away: another one may be at its place.


def _locked(handle: BinaryIO, path: Path) -> bool:
    try:
        return lock(handle)
    except OSError as error:
        raise InputError(
            f"cannot lock {path}: {error.strerror or error}; name a folder on another disk"
        ) from None


def _is_at(handle: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
