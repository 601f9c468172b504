"""The connected pieces of a mask, and their outlines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from contourpy import FillType, contour_generator
from scipy import ndimage

_TOUCHING = np.ones((3, 3), bool)  # pixels that touch at a corner belong together

Polygon = list[np.ndarray]
"""The outline of a piece, then the outlines of its holes: closed rings (n, 2) of x and y."""


def without_small_pieces(mask: np.ndarray, least: int) -> np.ndarray:
    """Remove the connected pieces of a mask, (H, W) bool, that have fewer than `least` pixels."""
    numbers, _ = ndimage.label(mask, _TOUCHING)
    large = np.bincount(numbers.ravel()) >= least
    large[0] = False
    return large[numbers]


def pieces(mask: np.ndarray) -> list[tuple[tuple[slice, slice], np.ndarray]]:
    """The connected pieces of a mask, (H, W) bool: where each is, and its pixels in that box.

    >>> [(box, piece.sum().item()) for box, piece in pieces(np.eye(2, 5) > 0)]
    [((slice(0, 2, None), slice(0, 2, None)), 2)]
    """
    numbers, _ = ndimage.label(mask, _TOUCHING)
    boxes = ndimage.find_objects(numbers)
    return [(box, numbers[box] == n) for n, box in enumerate(boxes, start=1)]


def polygons(mask: np.ndarray) -> list[Polygon]:
    """The outlines of a mask, (H, W) bool, with their holes.

    x and y are in pixels from the upper left corner of the picture; the pixel in row i and column
    j has its centre at (j + 0.5, i + 0.5). A pixel is in the mask if its centre is inside an
    outline and outside its holes. Each ring ends where it starts.

    >>> (outline,) = polygons(np.ones((1, 1), bool))[0]
    >>> outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    ([0.0, 0.0], [1.0, 1.0])
    """
    framed = np.pad(mask, 1).astype(np.float32)  # so that outlines close at the frame
    found = contour_generator(z=framed, fill_type=FillType.OuterOffset).filled(0.5, 2)
    return [
        [points[a:b] - 0.5 for a, b in pairwise(starts)]
        for points, starts in zip(*found, strict=True)
    ]


def keyhole(polygon: Polygon) -> np.ndarray:
    """One ring (n, 2) around a piece and its holes, for formats whose polygons have no holes.

    A cut of no width leads from the outline to each hole and back.
    """
    ring = polygon[0]
    for hole in polygon[1:]:
        gaps = ((ring[:, None] - hole[None]) ** 2).sum(axis=2)
        i, j = np.unravel_index(gaps.argmin(), gaps.shape)
        turned = np.concatenate([hole[j:-1], hole[: j + 1]])
        ring = np.concatenate([ring[: i + 1], turned, ring[i:]])
    return ring


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE of a mask, (H, W) bool: column by column, zeros first.

    >>> run_lengths(np.array([[0, 1], [1, 1]], bool))
    [1, 3]
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], turns, [mask.size]])).tolist()
