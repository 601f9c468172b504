"""Pictures and masks as files: the one reader for all of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import InputError

VOID = 255
"""The label of pixels that never count (VOC's border, COCO's crowds)."""


def read_image(path: str | Path) -> Image.Image:
    """A picture in RGB.

    Raises:
        InputError: the file is missing, no picture, or cut short.
    """
    return _read(Path(path)).convert("RGB")


def read_mask(path: str | Path) -> np.ndarray:
    """A palette or grey mask as ids, (H, W) uint8.

    Raises:
        InputError: the file is missing, no picture, cut short, or a colour picture.
    """
    picture = _read(Path(path))
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode not in ("P", "L"):
        raise InputError(
            f"{path} is a {picture.mode} picture: a mask is a palette or grey PNG of class ids, "
            "and colours are not turned into ids"
        )
    return np.array(picture, dtype=np.uint8)


def check_same_size(image: Image.Image, image_path: object, mask: np.ndarray, path: object) -> None:
    """Raise InputError where a mask has another size than its picture."""
    if image.size != (mask.shape[1], mask.shape[0]):
        raise InputError(
            f"{path} is {mask.shape[1]}x{mask.shape[0]} but {image_path} is "
            f"{image.size[0]}x{image.size[1]}: a mask must have its picture's size"
        )


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise InputError(f"{path} is not there") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a picture") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture that can be read") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error})") from None


@cache
def voc_palette() -> tuple[int, ...]:
    """VOC's colours, 256 x RGB: an id's bits go to red, green and blue in turn, highest first.

    >>> voc_palette()[3:9]
    (128, 0, 0, 0, 128, 0)
    """
    return tuple(
        sum((i >> (3 * k + channel) & 1) << (7 - k) for k in range(3))
        for i in range(256)
        for channel in range(3)
    )
