"""Pictures and masks as files: the one reader for all of them, and hashes of their content.

A picture is read as a viewer shows it: turned by its EXIF orientation, on white where it is
transparent, in 8 bits. A mask of class ids is read number by number, and refused where its numbers
are not surely ids. What the mask of one object marks is decided in `store.marks`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .errors import InputError
from .files import check_file, entries

Picture = str | Path | Image.Image | np.ndarray
VOID = 255
"""The label of pixels that never count (VOC's border, COCO's crowds)."""
READING = 2
"""Changes when the bytes of a file come to mean other pixels: part of the key of a cache."""
# fmt: off
SUFFIXES = (
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "bmp", "gif", "jp2", "avif", "ppm",
    "pgm", "pbm", "pnm", "tga", "heic", "heif",
)
# fmt: on
"""How the names of picture files may end, in small or capital letters."""

_TURN = Image.Transpose
_TURNS = {
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_90,
}
_EXIF = frozenset(("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"))
_NUMBERS = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # modes with more than 8 bits
_FULL_SCALES = (255, 1023, 4095, 16383, 65535)
_JPEG = ("JPEG", "MPO")  # phones and cameras put a preview beside the picture: that is an MPO
LOSSY = (*_JPEG, "WEBP", "AVIF", "JPEG2000")
"""Formats of Pillow that may change the numbers of a mask."""


def picture_files(folder: Path) -> list[Path]:
    """The files in a folder that end like pictures, in the order of their names.

    Hidden ones are left out: macOS creates ._a.jpg beside a.jpg.

    Raises:
        InputError: the folder cannot be read.
    """
    shown = (p for p in entries(folder) if not p.name.startswith("."))
    return [p for p in shown if p.suffix[1:].lower() in SUFFIXES]


def read_image(path: str | Path) -> Image.Image:
    """Read a picture as RGB, as `to_rgb` describes.

    Raises:
        InputError: the file is missing, damaged, not a picture, or holds several.
    """
    with open_picture(path) as picture:
        return to_rgb(picture, path)


def as_picture(given: Picture, name: str = "a picture") -> Image.Image:
    """A file, a PIL picture, or an array (H, W), (H, W, 3) or (H, W, 4), as RGB; see `to_rgb`.

    Raises:
        InputError: as `read_image` and `to_rgb` do, or an array has another shape.
    """
    if isinstance(given, str | Path):
        return read_image(given)
    if isinstance(given, Image.Image):
        return to_rgb(given, name)
    whole = given.ndim == 2 or (given.ndim == 3 and given.shape[2] in (3, 4))
    if given.dtype.kind not in "buif" or not whole or not given.size:
        raise InputError(
            f"{name} came as an array of {given.dtype} {given.shape}: expected uint8 of (H, W, 3)"
        )
    pixels = given if given.dtype == np.uint8 else _to_8_bits(given, name)
    return to_rgb(Image.fromarray(pixels), name)


def to_rgb(picture: Image.Image, name: object) -> Image.Image:
    """A picture as a viewer shows it, in RGB.

    It is turned by its EXIF orientation, and stands on white where it is transparent. Values of
    more than 8 bits are divided by the smallest full scale that holds them all: 1 (of floats), or
    that of 8, 10, 12, 14 or 16 bits.

    Raises:
        InputError: such values are negative, not finite, or over 65,535; the line starts with name.
    """
    picture = upright(picture)
    if picture.mode in _NUMBERS:
        picture = Image.fromarray(_to_8_bits(np.asarray(picture), name))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema()[0] < 255:
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return _in_rgb(picture, name)


def upright(picture: Image.Image) -> Image.Image:
    """A picture turned by its EXIF orientation, which it then no longer has."""
    picture.load()  # turns a TIFF
    turn = turn_of(picture)
    if turn is None:
        return picture
    turned = picture.transpose(turn)
    for key in _EXIF:
        turned.info.pop(key, None)
    return turned


def turn_of(picture: Image.Image) -> Image.Transpose | None:
    """How a viewer turns the pixels of a picture that is loaded; None if it does not."""
    if _EXIF.isdisjoint(picture.info):  # nearly all pictures: faster than getexif
        return None
    try:
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # viewers ignore a damaged EXIF block; Pillow raises many kinds of error
        return None


def plain_kind(path: str | Path) -> str | None:
    """Whether every program reads this file as `read_image` does: its format, or None.

    Returns:
        "jpg" or "png" for a grey or RGB picture of 8 bits that needs no turning; None for others.

    Raises:
        InputError: the file is missing, damaged, not a picture, or holds several.
    """
    with open_picture(path) as picture:
        odd = turn_of(picture) is not None or picture.has_transparency_data
        if odd or picture.mode not in ("RGB", "L"):
            return None
        return "jpg" if picture.format in _JPEG else "png" if picture.format == "PNG" else None


def checked_size(path: str | Path) -> tuple[int, int]:
    """Read a whole picture only to check it, and give its width and height as a viewer shows it.

    A JPEG is decoded at an eighth of its size: that is faster, and still reads every byte.

    Raises:
        InputError: as `read_image` does.
    """
    with open_picture(path, load=False) as picture:
        size = picture.size
        with _reading(path):
            picture.draft("RGB", (size[0] // 8, size[1] // 8))
            picture.load()
        if picture.format not in _JPEG:
            return to_rgb(picture, path).size
        upended = (_TURN.TRANSPOSE, _TURN.ROTATE_270, _TURN.TRANSVERSE, _TURN.ROTATE_90)
        return size[::-1] if turn_of(picture) in upended else size


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as ids, (H, W) uint8: palette indices, grey values, or 0 and 1 of a bitmap.

    Raises:
        InputError: the file is missing, damaged, not a picture, or holds several; or its numbers
            are not surely ids: colours, a lossy format, numbers that are broken, negative or over
            255, or a palette of two colours with a light background and a black object.
    """
    with open_picture(path) as picture:
        if picture.format in LOSSY:
            raise InputError(
                f"{path} is a {picture.format} picture, which blurs the ids of a mask: save the "
                "mask as PNG, drawn again or read as a mask of one object"
            )
        values = mask_values(picture, path)
        if has_indices(picture) and len(picture.getpalette()) == 6:
            check_palette(picture, values, path)
    if values.ndim == 3:
        raise InputError(
            f"{path} is a {picture.mode} picture: a mask is a palette or grey PNG of class ids, "
            "and colours are not turned into ids"
        )
    if values.dtype != np.uint8 and values.max(initial=0) > VOID:
        raise InputError(
            f"{path} holds the value {values.max():,}: class ids are 1 to {VOID - 1}, and {VOID} "
            "is void"
        )
    return values.astype(np.uint8, copy=False)


def mask_values(picture: Image.Image, name: object) -> np.ndarray:
    """The numbers of a mask, (H, W); or (H, W, 4) uint8, RGBA, if it has colours or transparency.

    Raises:
        InputError: they are negative, or not whole; the line starts with name.
    """
    indices = has_indices(picture)
    picture = upright(picture)
    if indices or picture.mode in ("L", *_NUMBERS):
        return check_whole(np.array(picture), name)
    if picture.mode == "1":
        return np.array(picture, np.uint8)
    if picture.mode not in ("LA", "PA", "RGBA"):
        picture = _in_rgb(picture, name)
    pixels = np.array(picture.convert("RGBA"))
    constant = np.ptp(pixels[..., 3]) == 0
    grey = (pixels[..., :1] == pixels[..., 1:3]).all()
    return pixels[..., 0].copy() if constant and grey else pixels


def has_indices(picture: Image.Image) -> bool:
    """Whether a mask's numbers are indices of a palette; of a GIF not: programs renumber those."""
    return picture.mode == "P" and picture.format != "GIF"


def check_whole(values: np.ndarray, name: object) -> np.ndarray:
    """The numbers of a mask, if they are whole and not negative.

    Raises:
        InputError: they are not.
    """
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise InputError(f"{name} holds broken numbers: cut it at a threshold, as in mask > 0.5")
    if values.dtype.kind in "if" and values.min(initial=0) < 0:
        raise InputError(f"{name} holds negative numbers: 0 is background, ids are 1 and up")
    return values


def check_palette(picture: Image.Image, indices: np.ndarray, name: object) -> None:
    """Check that the palette of a mask does not show its background light and its object black.

    Raises:
        InputError: it does.
    """
    used = np.unique(indices).tolist()
    if len(used) != 2 or used[0] > 0:
        return
    background, thing = (max(picture.getpalette()[3 * i : 3 * i + 3], default=0) for i in used)
    if background >= 128 > 64 > thing:
        raise InputError(
            f"{name} has a palette that says the opposite of its indices: index 0, the background, "
            f"is light and index {used[1]} black; save it as a grey PNG with a white object"
        )


def check_same_size(image: Image.Image, image_path: object, mask: np.ndarray, path: object) -> None:
    """Check that a mask has the size of its picture.

    Raises:
        InputError: it has another size; names both files and both sizes.
    """
    height, width = mask.shape
    if image.size != (width, height):
        turned = image.size == (height, width)
        raise InputError(
            f"{path} is {width}x{height} but {image_path} is {image.width}x{image.height}: "
            "a mask must have its picture's size" + ", as a viewer turns the picture" * turned
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
        check_file(path)
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


def _in_rgb(picture: Image.Image, name: object) -> Image.Image:
    try:
        return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy
    except ValueError:
        raise InputError(f"{name} has the colours {picture.mode}: save it as RGB") from None


def _to_8_bits(values: np.ndarray, name: object) -> np.ndarray:
    """Values of more than 8 bits as uint8; see `to_rgb`."""
    lowest, highest = float(values.min()), float(values.max())
    scales = _FULL_SCALES if values.dtype.kind in "ui" else (1, *_FULL_SCALES)
    full = next((s for s in scales if highest <= s), None)
    if full is None or not lowest >= 0:  # nan is neither
        raise InputError(
            f"{name} holds values from {lowest:g} to {highest:g}: save it with 8 or 16 bits, or as "
            "floats from 0 to 1"
        )
    return np.rint(values * np.float32(255 / full)).astype(np.uint8)


@contextmanager
def open_picture(path: str | Path, load: bool = True) -> Iterator[Image.Image]:
    """Open a file of one picture, and decode it unless told otherwise.

    Raises:
        InputError: the file is missing, damaged, not a picture, or holds several.
    """
    with _reading(path):
        check_file(path)
        picture = Image.open(path)
    with picture:
        with _reading(path):
            frames = 1 if picture.format in _JPEG else getattr(picture, "n_frames", 1)
            if load and frames == 1:
                picture.load()
        if frames > 1:
            raise InputError(
                f"{path} holds {frames} pictures (pages or frames): save the one that is meant "
                "as a file of its own"
            )
        yield picture


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Turn an error of the file into one line that names it."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is not there") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a picture") from None
    except Image.DecompressionBombError:
        most = 2 * Image.MAX_IMAGE_PIXELS
        raise InputError(
            f"{path} cannot be read as a picture (it has over {most / 1e6:.0f} megapixels: make it "
            "smaller, or cut it into parts)"
        ) from None
    except UnidentifiedImageError:
        empty = Path(path).stat().st_size == 0
        reason = "the file is empty" if empty else "save it as JPEG or PNG"
        raise InputError(f"{path} cannot be read as a picture ({reason})") from None
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} cannot be read as a picture ({reason})") from None
