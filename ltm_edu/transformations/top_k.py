"""The mean over the most similar pixels of the object: between the maximum and the mean."""

from __future__ import annotations

import torch
from torch import Tensor

from ..equations import relationship_matrix
from .base import Shots, Transformation, register_transformation


class TopTransformation(Transformation):
    """A_i is the mean of the largest R_ij over the object, minus the same over the background.

    Source: between PFENet's maximum (arXiv:2008.01449) and the paper's mean; averages of several
    matches in place of one are in PFENet++, Luo et al., TPAMI 2023, arXiv:2109.13788.

    Args:
        share: the part of the object's, or of the background's, pixels that is averaged.
        shots: see `Transformation`.
    """

    masks_support = False

    def __init__(self, share: float = 0.2, shots: Shots = "mean") -> None:
        super().__init__(shots)
        self.share = share

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The mean of the best matches; see `Transformation.relate`."""
        R, G = relationship_matrix(E_q, E_s), G_s.flatten(1)
        A = self._mean_of_best(R, G) - self._mean_of_best(R, 1 - G)
        return torch.where(G.amax(dim=1)[:, None] > 0, A, 0)

    def _mean_of_best(self, R: Tensor, G: Tensor) -> Tensor:
        """The mean of the largest values of each row of R among the pixels of a mask."""
        inside = 0.5 * G.amax(dim=1, keepdim=True) < G
        count = (self.share * inside.sum(dim=1)).ceil().clamp_min(1)[:, None, None]
        best = R.masked_fill(~inside[:, None], -1).sort(dim=2, descending=True).values
        rank = torch.arange(best.shape[2], device=best.device)
        return (best * (rank < count)).sum(dim=2) / count[..., 0]


register_transformation("top_k", lambda config: TopTransformation(shots=config.shots))
