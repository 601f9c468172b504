"""A figure of the generalized inverse: a support mask that the reader paints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .. import figures
from ..equations import check_in_unit_range, check_shape
from ..store.errors import InputError
from .touched import (
    Answer,
    check_picture,
    colour_table,
    float_bytes,
    mask_bytes,
    picture_bytes,
    relation_bytes,
    touched,
)

if TYPE_CHECKING:
    import anywidget

    from ..model import FewShotModel


def paint_mask(
    support: Tensor,
    query: Tensor,
    R: Tensor,
    masks: Mapping[str, Tensor],
    truth: Tensor,
    threshold: float = 0.6,
    model: FewShotModel | None = None,
) -> anywidget.AnyWidget:
    """Paint a support mask; its inverse, A_hat and the answer follow while the hand moves.

    The page computes G+, A_hat and the answer above the threshold. It has R as one byte an entry;
    see `touched.relation_bytes` for what this changes.

    Args:
        support: (3, H, W) in [0, 1].
        query: (3, H, W) in [0, 1].
        R: (N_q, N_s), both grids of the masks' size.
        masks: title to (h, w) in [0, 1]. Each can be copied to start from; the figure starts with
            the first.
        truth: the query's object, (H, W) of 0, 1 and 255.
        threshold: pixels with a larger A_hat belong to the object.
        model: a trained network that answers as well, with its own T_e and its decoder. The kernel
            computes this answer, so a page without a kernel does not show it. The model is put in
            eval mode.

    Raises:
        ValueError: a shape does not fit the others, or a mask is outside [0, 1].
    """
    if not masks:
        raise InputError("masks is empty: pass at least one title with its mask")
    h, w = grid = tuple(next(iter(masks.values())).shape)[-2:]
    for title, g in masks.items():
        check_shape(f"masks[{title!r}]", g, *grid, hint=", one grid for all masks")
        check_in_unit_range(g, f"masks[{title!r}]")
    check_shape("R", R, h * w, h * w, hint=", as many rows and columns as a mask has cells")
    size_s, size_q = check_picture("support", support), check_picture("query", query)
    check_shape("truth", truth, *size_q, hint=", the size of the query")
    state = {
        "kind": "inverse",
        **relation_bytes(R),
        "support": picture_bytes(support),
        "query": picture_bytes(query),
        "support_size": [*size_s],
        "query_size": [*size_q],
        "grid": [h, w],
        "titles": [*masks],
        "masks": [float_bytes(g) for g in masks.values()],
        "truth": mask_bytes(truth),
        "threshold": float(threshold),
        "colours": colour_table(figures.A_MAP),
    }
    answer = None if model is None else _decoder(model, support, query, grid)
    return touched("An interactive figure: a support mask to paint, and its answer", state, answer)


def _decoder(model: FewShotModel, support: Tensor, query: Tensor, grid: Sequence[int]) -> Answer:
    """The network's answer to masks on the grid; the backbone runs once, here."""
    model = model.for_inference()
    with torch.inference_mode():
        F_q = model.query_features(query[None])
        F_s = model.backbone(support[None])
    check_shape("the model's features", F_s, 1, "C", *grid, hint=", the grid of the masks")
    size = tuple(query.shape[1:])

    def answer(
        message: Mapping[str, Any], buffers: Sequence[bytes]
    ) -> tuple[Mapping[str, Any], list[bytes]]:
        g = torch.from_numpy(np.frombuffer(bytes(buffers[0]), "<f4").copy()).clamp(0, 1)
        with torch.inference_mode():
            M = model.forward_features(F_q, F_s[:, None], g.reshape(1, 1, 1, *grid), size).M[0]
        mask = (M[1] > M[0]).numpy().astype(np.uint8)
        return {"id": message["id"]}, [mask.tobytes()]

    return answer
