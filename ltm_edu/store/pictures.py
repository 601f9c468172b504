"""Pictures and masks as files: the one reader for all of them, and hashes of their content."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import InputError

VOID = 255
"""The label of pixels that never count (VOC's border, COCO's crowds)."""


def read_image(path: str | Path) -> Image.Image:
    """Read a picture as RGB.

    Raises:
        InputError: the file is missing, damaged, or not a picture.
    """
    with _reading(path), Image.open(path) as picture:
        picture.load()
        return picture if picture.mode == "RGB" else picture.convert("RGB")  # convert would copy


def read_mask(path: str | Path) -> np.ndarray:
    """Read a palette or grey mask as ids, (H, W) uint8.

    Raises:
        InputError: the file is missing, damaged, not a picture, or a colour picture.
    """
    with _reading(path), Image.open(path) as picture:
        if picture.mode in ("P", "L", "1"):
            return np.array(picture if picture.mode == "P" else picture.convert("L"))
    raise InputError(
        f"{path} is a {picture.mode} picture: a mask is a palette or grey PNG of class ids, "
        "and colours are not turned into ids"
    )


def checked_size(path: str | Path) -> tuple[int, int]:
    """Read a whole picture only to check it, and give its width and height.

    A JPEG is decoded at an eighth of its size: that is faster, and still reads every byte.

    Raises:
        InputError: the file is missing, damaged, or not a picture.
    """
    with _reading(path), Image.open(path) as picture:
        size = picture.size
        picture.draft("RGB", (size[0] // 8, size[1] // 8))
        picture.load()
    return size


def check_same_size(image: Image.Image, image_path: object, mask: np.ndarray, path: object) -> None:
    """Check that a mask has the size of its picture.

    Raises:
        InputError: it has another size; names both files and both sizes.
    """
    height, width = mask.shape
    if image.size != (width, height):
        raise InputError(
            f"{path} is {width}x{height} but {image_path} is {image.width}x{image.height}: "
            "a mask must have its picture's size"
        )


def palette_png(mask: np.ndarray) -> bytes:
    """A mask of ids, (H, W) uint8, as the bytes of a PNG in VOC's colours."""
    picture, file = Image.fromarray(mask), io.BytesIO()
    picture.putpalette(voc_palette())
    picture.save(file, "PNG")
    return file.getvalue()


@cache
def voc_palette() -> tuple[int, ...]:
    """VOC's colours, 256 x RGB: an id's bits go to red, green and blue in turn, highest first.

    >>> voc_palette()[3:9]
    (128, 0, 0, 0, 128, 0)
    """
    places = [(i, channel) for i in range(256) for channel in range(3)]
    return tuple(sum((i >> (3 * k + c) & 1) << (7 - k) for k in range(3)) for i, c in places)


def fingerprint(path: str | Path) -> str:
    """A hash of a file's bytes, 32 hexadecimal digits; its name and its times do not count.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    with _reading(path):
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()


def joint_fingerprint(paths: Sequence[Path]) -> str:
    """A hash of the names and the bytes of files in their order, 16 hexadecimal digits.

    The folders do not count: a copy of the files elsewhere has the same fingerprint. Every file is
    read each time, because neither its size nor its times show that it has not changed.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    joint = hashlib.blake2b(digest_size=8)
    with ThreadPoolExecutor(8) as pool:
        for path, content in zip(paths, pool.map(fingerprint, paths), strict=True):
            joint.update(f"{path.name} {content}\n".encode())
    return joint.hexdigest()


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Turn an error of the file into one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is not there") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a picture") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} cannot be read as a picture") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error})") from None
