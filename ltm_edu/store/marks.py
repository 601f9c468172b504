"""What the mask of one object marks: from files, pictures and arrays as people have them.

A mask that can be meant in two ways is refused, with what to do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .errors import InputError
from .pictures import (
    LOSSY,
    VOID,
    Picture,
    check_palette,
    check_whole,
    has_indices,
    mask_values,
    open_picture,
)

_PAINT = "paint the object white and the rest black, and save it as PNG"
_COLOUR = 64  # how far the colours of one object may be apart, of 255
_SOFT = 64  # from this grey value up, a value beside 255 may be a soft edge


def object_mask(given: Picture, class_id: int | None = None, name: str = "mask") -> np.ndarray:
    """The pixels of a mask that are the object, (H, W) uint8 of 0 and 1, as a viewer turns it.

    The object is what is not 0 in the mask's numbers; what is not black where it has one colour;
    or what is opaque where its transparency marks it. Between 0 and the object's value, a thin soft
    edge as JPEG and resizing leave it is cut in the middle. Beside one id of a class, 255 is void.

    Args:
        given: a file, a PIL picture, or an array (H, W) of truth values or numbers, or (H, W, 3) or
            (H, W, 4) uint8.
        class_id: take this number for the object, and no other.
        name: of what is not a file, for an error.

    Raises:
        InputError: the file is missing, damaged or not a picture; an array has another shape; or
            the numbers or colours do not say what the object is.
    """
    labels = lossy = False  # the numbers are ids and no shades of grey; the file's format blurs
    if isinstance(given, str | Path):
        name = str(given)
        with open_picture(given) as picture:
            return object_mask(picture, class_id, name)
    if isinstance(given, Image.Image):
        values, lossy = mask_values(given, name), given.format in LOSSY
        labels = given.mode == "1" or has_indices(given)
        if has_indices(given) and class_id is None:
            check_palette(given, values, name)
    else:
        values = np.asarray(given)
        if values.ndim == 3 and values.dtype == np.uint8 and values.shape[2] in (3, 4):
            values = mask_values(Image.fromarray(values), name)
        elif values.ndim != 2 or values.dtype.kind not in "buif":
            raise InputError(
                f"{name} came as an array of {values.dtype} {values.shape}: expected (H, W)"
            )
    if values.ndim == 3:
        values = _one_colour(values, name)
    if class_id is not None:
        if lossy:
            raise InputError(f"{name} is a {given.format} picture, which blurs ids: save it as PNG")
        return (values == class_id).astype(np.uint8)
    if not labels and _has_soft_edge(values, lossy):
        return (values > values.max() / 2).astype(np.uint8)
    numbers = np.unique(check_whole(values, name)).tolist()
    ids = [v for v in numbers if v != 0]
    if len(ids) == 2 and ids[1] == VOID and not labels and ids[0] >= _SOFT:
        raise InputError(
            f"{name} holds 0, {ids[0]} and 255: if {ids[0]} is the edge of the object, {_PAINT}; "
            f"if it is a class and 255 void, choose it with class_id"
        )
    if len(ids) > 1:
        ids = [v for v in ids if v != VOID]
    if len(ids) > 1 and lossy:
        raise InputError(f"{name} has shades of grey that do not say what the object is: {_PAINT}")
    if len(ids) > 1:
        more = f" and {len(ids) - 6} more" if ids[6:] else ""
        raise InputError(
            f"{name} shows classes {', '.join(f'{v:g}' for v in ids[:6])}{more}: choose one with "
            f"class_id, or {_PAINT}"
        )
    return np.isin(values, ids).astype(np.uint8)


def _one_colour(pixels: np.ndarray, name: str) -> np.ndarray:
    """Where the colour of an object is, 0 to 255, of RGBA pixels (H, W, 4)."""
    colours, alpha = pixels[..., :3], pixels[..., 3]
    transparent = np.ptp(alpha) > 0
    values = alpha if transparent else colours.max(axis=2)
    thing = colours[values > 0.75 * values.max()].astype(int)
    apart = np.abs(thing - np.median(thing, axis=0)).max(axis=1)
    if (apart <= _COLOUR).mean() < 0.95:
        kind = "RGBA" if transparent else "RGB"
        raise InputError(
            f"{name} is an {kind} picture of several colours, which do not say what the object is: "
            f"{_PAINT}"
        )
    if values.min() > 0.25 * values.max():
        raise InputError(f"{name} is an RGB picture without a black background: {_PAINT}")
    return values


def _has_soft_edge(values: np.ndarray, lossy: bool) -> bool:
    """Whether a mask is one object with shades of grey at its edge, and nowhere else."""
    top = float(values.max(initial=0))
    if not (top >= 200 or (values.dtype.kind == "f" and 0 < top <= 1)) or values.min() < 0:
        return False
    darker = ((values > 0) & (values < top / 2)).any()
    lighter = ((values >= top / 2) & (values < top)).any()
    if not ((darker and lighter) or lossy):  # a mask of a few ids and void has no such shades
        return False
    edge = (values > 0.1 * top) & (values < 0.9 * top)
    side = max(8, min(edge.shape) // 64)
    blocks = edge[: edge.shape[0] // side * side, : edge.shape[1] // side * side]
    blocks = blocks.reshape(edge.shape[0] // side, side, edge.shape[1] // side, side)
    return not blocks.all(axis=(1, 3)).any()
