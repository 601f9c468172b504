"""A figure of the relationship matrix: one row of R for a query pixel, one column for a support."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .. import figures
from ..equations import check_shape
from ..store.errors import InputError
from .touched import (
    check_grid,
    check_picture,
    colour_table,
    mask_bytes,
    picture_bytes,
    relation_bytes,
    touched,
)

if TYPE_CHECKING:
    import anywidget


def pick_pixel(
    query: Tensor,
    support: Tensor,
    R: Tensor,
    mask: Tensor | None = None,
    start: tuple[int, int] | None = None,
) -> anywidget.AnyWidget:
    """Point at a query pixel and see its row of R; at a support pixel, and see its column.

    Args:
        query: (3, H, W) in [0, 1].
        support: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids, in [-1, 1]; see `touched.relation_bytes` for its precision.
        mask: the support's object, (H, W), 1 inside; outlined.
        start: (y, x) of the first query pixel; without it, the middle of the grid.

    Raises:
        ValueError: a shape does not fit the others, or `start` is outside the query's grid.
    """
    check_shape("R", R, "N_q", "N_s", hint=": pass one matrix, not a batch, as in R[0]")
    (h, w), grid_s = check_grid("R's rows", R.shape[0]), check_grid("R's columns", R.shape[1])
    size_q, size_s = check_picture("query", query), check_picture("support", support)
    if mask is not None:
        check_shape("mask", mask, *size_s, hint=", the size of the support")
    y, x = (h // 2, w // 2) if start is None else map(int, start)
    if not (0 <= y < h and 0 <= x < w):
        raise InputError(f"start is ({y}, {x}): it must lie in the query's grid of {h} x {w} cells")
    state = {
        "kind": "relation",
        **relation_bytes(R),
        "query": picture_bytes(query),
        "support": picture_bytes(support),
        "query_size": [*size_q],
        "support_size": [*size_s],
        "query_grid": [h, w],
        "support_grid": [*grid_s],
        "mask": None if mask is None else mask_bytes(mask),
        "start": [y, x],
        "colours": colour_table(figures.R_MAP),
    }
    return touched("An interactive figure: rows and columns of R over two pictures", state)
