"""Files of tensors: read without running anything in them, written so that they can be read."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .errors import InputError
from .files import check_file

PLAIN = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64)
"""The types of numbers that a network's weights and counters have."""


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a file of tensors, of torch or of safetensors. No code of the file is run.

    A file of torch holds a checksum of each of its parts, CRC-32, which is compared: a file with a
    single changed bit is refused.

    Raises:
        InputError: the file is missing, or damaged, or holds something else.
    """
    path = Path(path)
    try:
        check_file(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if zipfile.is_zipfile(path):  # torch wrote another format before its version 1.6
            _check_parts(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} cannot be read as a file of weights ({reason})") from None


def check_named_digest(path: Path) -> None:
    """Compare a file with the digits of its SHA-256 in its name, as in "name-57934424.pth".

    torch's hub names its files so, and other publishers do as well.

    Raises:
        InputError: the file is another one, or cannot be read.
    """
    try:
        check_file(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    named = path.stem.rpartition("-")[2]
    if not digest.startswith(named):
        raise InputError(
            f"{path} has a SHA-256 that begins with {digest[: len(named)]}, where its name says "
            f"{named}: the file is damaged or was changed; get it again"
        )


def save_weights(path: Path, content: dict[str, Any]) -> None:
    """Write a file that `load_weights` reads.

    Raises:
        OSError: the disk does not take it.
    """
    with path.open("wb") as file:
        recorded = _Recorded(file)
        try:
            torch.save(content, recorded)
        except RuntimeError:  # torch's own words about a file that cannot be written
            if recorded.error is None:
                raise
        if recorded.error is not None:
            raise recorded.error from None


def check_plain(path: str | Path, name: str, value: object) -> None:
    """Check that a value is an ordinary tensor: dense, in memory, of plain numbers, all finite.

    Raises:
        InputError: it is something else; names the file and the entry.
    """
    if not isinstance(value, Tensor):
        raise InputError(f"{path}: {name} is of type {type(value).__name__}, not a tensor")
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise InputError(f"{path}: {name} is no dense tensor of numbers: train it again")
    if value.dtype not in PLAIN:
        kind = str(value.dtype).removeprefix("torch.")
        raise InputError(f"{path}: {name} holds numbers of type {kind}: train it again")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise InputError(f"{path}: {name} has more entries than numbers: train it again")
    if not value.isfinite().all():
        raise InputError(f"{path}: {name} holds NaN or infinite values: train it again")


def _check_parts(path: Path) -> None:
    """Compare the checksum of each part of a file that torch wrote.

    Raises:
        ValueError: a part is damaged, or would take more memory than the file has bytes.
        zipfile.BadZipFile: the list of the parts is damaged.
    """
    with zipfile.ZipFile(path) as parts:
        infos = parts.infolist()
        if any(i.compress_type != zipfile.ZIP_STORED for i in infos):
            raise ValueError("torch writes no compressed parts")
        if sum(i.file_size for i in infos) > path.stat().st_size:
            raise ValueError("its parts are larger than the file")
        if (damaged := parts.testzip()) is not None:
            raise ValueError(f"its part {damaged} is damaged; get it again")


class _Recorded:
    """A file that remembers why a write failed: torch says only that it did."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all, or remember the error."""
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        """Let the operating system have all that was written."""
        try:
            self.file.flush()
        except OSError as error:
            self.error = self.error or error
            raise
