"""Outlines and run lengths of annotation files as masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def polygon_mask(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre is inside a polygon, (H, W) bool.

    Args:
        points: (n, 2) x and y of the corners in pixels; pixel (0, 0) reaches from 0 to 1.
        size: (H, W).

    >>> polygon_mask(np.array([[1, 0], [3, 0], [3, 1], [1, 1]]), (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    height, width = size
    (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
    centres = np.arange(height) + 0.5
    edges, rows = np.nonzero((y0[:, None] <= centres) != (y1[:, None] <= centres))
    along = (centres[rows] - y0[edges]) / (y1[edges] - y0[edges])
    crossed_at = x0[edges] + along * (x1[edges] - x0[edges])
    crossings = np.zeros((height, width + 1), np.int32)
    np.add.at(crossings, (rows, np.ceil(crossed_at - 0.5).clip(0, width).astype(int)), 1)
    return crossings.cumsum(axis=1)[:, :width] % 2 == 1


def polygon_area(points: np.ndarray) -> float:
    """The area inside a polygon, (n, 2), in pixels.

    >>> polygon_area(np.array([[0, 0], [4, 0], [4, 3]]))
    6.0
    """
    x, y = points.T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def object_of_polygons(parts: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The pixels of an object of several polygons, (H, W) bool: a part inside another is a hole."""
    whole = np.zeros(size, bool)
    drawn: list[np.ndarray] = []
    for part in sorted((polygon_mask(p, size) for p in parts), key=np.sum, reverse=True):
        repeated = any(np.array_equal(part, other) for other in drawn)
        is_hole = not repeated and part.any() and whole[part].all()
        whole = whole & ~part if is_hole else whole | part
        drawn.append(part)
    return whole


def object_of_runs(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The pixels of COCO's run lengths, (H, W) bool.

    The runs go down the columns, off and on in turn, the first one off.

    Raises:
        ValueError: they do not make a mask of this size.

    >>> object_of_runs([2, 3, 1], (2, 3)).astype(int).tolist()
    [[0, 1, 1], [0, 1, 0]]
    """
    height, width = size
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"its run lengths do not make a mask of {width}x{height}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def decoded_runs(text: str) -> list[int]:
    """Run lengths from COCO's compressed text.

    Each number is in groups of five bits, the lowest first, a sixth bit says that another follows;
    from the third number on, it is the difference to the last but one.

    Raises:
        ValueError: the text is something else.

    >>> decoded_runs("231")
    [2, 3, 1]
    """
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("ascii", "replace"):
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError("its run lengths have a sign that does not belong there")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("its run lengths are cut short")
    return runs
