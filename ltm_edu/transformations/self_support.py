"""Self-support: the query's own confident pixels become a further support."""

from __future__ import annotations

import torch
from torch import Tensor

from ..equations import attention_from_embeddings, normalize_attention
from .base import Rows, Shots, register_transformation
from .local import LocalTransformation


class SelfSupportTransformation(LocalTransformation):
    """Equations 1 to 6 once more, with the query as its own support.

    The first map decides which pixels of the query are surely the object and which surely are not;
    these two rows are the mask of the second support. The result is the mean of the two maps. What
    the query's object looks like is known best in the query itself.

    Source: SSP, Fan et al., ECCV 2022, arXiv:2207.11549.

    Args:
        rows: mask rows of the first support, as in `LocalTransformation`.
        shots: see `Transformation`.
        surely: A_hat of at least this is the object, of at most one minus this the background.
    """

    def __init__(self, rows: Rows = "fg_bg", shots: Shots = "mean", surely: float = 0.7) -> None:
        super().__init__(rows, shots)
        self.surely = surely

    def forward(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """Return the mean of the two normalised maps; see `Transformation` for shapes."""
        first = super().forward(E_q, E_s, G_s)
        rows = torch.cat([first >= self.surely, first <= 1 - self.surely], dim=1).to(E_q)
        A = attention_from_embeddings(E_q, E_q, rows)
        second = normalize_attention(A[..., 0] - A[..., 1]).reshape(first.shape)
        constant = first.flatten(1).amax(dim=1) == first.flatten(1).amin(dim=1)  # an empty mask
        return torch.where(constant[:, None, None, None], first, (first + second) / 2)


register_transformation(
    "self_support", lambda config: SelfSupportTransformation(config.rows, config.shots)
)
