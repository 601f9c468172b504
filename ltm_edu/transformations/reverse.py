"""Reverse matching: each support pixel looks for its likeness in the query."""

from __future__ import annotations

import torch
from torch import Tensor

from ..equations import relationship_matrix
from .base import Shots, Transformation, register_transformation


class ReverseTransformation(Transformation):
    """Every support pixel divides one vote among the query's pixels, by a softmax over R's column.

    A_i is the mean vote of the object's pixels minus the mean vote of the background's: a query
    pixel that looks like everything gets votes from both and loses.

    Source: the reverse half of bidirectional matching in Matcher, Liu et al., ICLR 2024,
    arXiv:2305.13310, with a softmax in place of the nearest neighbour.

    Args:
        temperature: of the softmax, in units of a cosine; 0.05 is nearly a nearest neighbour.
        shots: see `Transformation`.
    """

    masks_support = False

    def __init__(self, temperature: float = 0.1, shots: Shots = "mean") -> None:
        super().__init__(shots)
        self.temperature = temperature

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The difference of the votes; see `Transformation.relate`."""
        votes = (relationship_matrix(E_q, E_s) / self.temperature).softmax(dim=1)
        G = G_s.flatten(1)
        rows = torch.stack([G, 1 - G], dim=2)
        mean = votes @ (rows / rows.sum(dim=1, keepdim=True).clamp_min(1e-5))
        return torch.where(G.amax(dim=1)[:, None] > 0, mean[..., 0] - mean[..., 1], 0)


register_transformation("reverse", lambda config: ReverseTransformation(shots=config.shots))
