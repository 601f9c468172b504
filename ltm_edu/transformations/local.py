"""The paper's module: equations 2 to 6."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from ..equations import attention_from_embeddings
from .base import Rows, Shots, Transformation, register_transformation


class LocalTransformation(Transformation):
    """Equations 2 to 6: relate every query pixel to every support pixel, invert the mask.

    Source: Yang et al., MMM 2020, arXiv:1910.05886.

    Args:
        rows: "fg" is the paper's G_s, one row. "fg_bg" adds the background 1 - G_s as a second
            row, and A is the foreground's column minus the background's. The generalized inverse
            un-mixes each column where a soft mask shares a pixel between the rows; from their
            difference it cancels, up to a positive factor: what is left is the difference of the
            two weighted means.
        shots: see `Transformation`.
    """

    def __init__(self, rows: Rows = "fg", shots: Shots = "mean") -> None:
        super().__init__(shots)
        if rows not in get_args(Rows):
            raise ValueError(f'rows is {rows!r}, expected "fg" or "fg_bg"')
        self.rows: Rows = rows

    @property
    def masks_support(self) -> bool:
        """A background row needs the features of the background."""
        return self.rows == "fg"

    def mask_rows(self, G: Tensor) -> Tensor:
        """The mask, and its complement if `rows` is "fg_bg"."""
        return G if self.rows == "fg" else torch.cat([G, 1 - G], dim=1)

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """Equation 5; see `Transformation.relate`."""
        if self.rows == "fg":
            return attention_from_embeddings(E_q, E_s, G_s)
        filled = G_s.flatten(1).amax(dim=1)[:, None] > 0
        both = attention_from_embeddings(E_q, E_s, self.mask_rows(G_s))
        # Without an object there is nothing to compare with the background: a map of zeros.
        return torch.where(filled, both[..., 0] - both[..., 1], 0)

    def extra_repr(self) -> str:
        """Show the options in the module's printout."""
        return f"rows={self.rows!r}, {super().extra_repr()}"


register_transformation(
    "local", lambda config: LocalTransformation(rows=config.rows, shots=config.shots)
)
