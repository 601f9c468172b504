"""Parts: the object as several mask rows, one for each group of similar pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..equations import attention_from_embeddings
from .base import Shots, Transformation, register_transformation


class PartsTransformation(Transformation):
    """Equation 5 with a mask row for each part; A_i is the best part minus the best background.

    The parts of the object, and of the background, are groups of similar pixels (k-means).

    Source: parts as prototypes are in PPNet, Liu et al., ECCV 2020, arXiv:2007.06309.

    Args:
        parts: k of the k-means, for the object and for the background.
        shots: see `Transformation`.
    """

    masks_support = False

    def __init__(self, parts: int = 3, shots: Shots = "mean") -> None:
        super().__init__(shots)
        self.parts = parts

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The best object row minus the best background row; see `Transformation.relate`."""
        G = G_s.flatten(1)
        u = F.normalize(E_s.detach().flatten(2), dim=1).mT
        rows = torch.cat([self._groups(u, M.detach()) * M[:, None] for M in (G, 1 - G)], dim=1)
        A = attention_from_embeddings(E_q, E_s, rows).unflatten(2, (2, self.parts)).amax(dim=3)
        return torch.where(G.amax(dim=1)[:, None] > 0, A[..., 0] - A[..., 1], 0)

    def _groups(self, u: Tensor, G: Tensor) -> Tensor:
        """Which of k groups each unit vector belongs to: (B, N, D) and (B, N) -> (B, k, N)."""
        half = 0.5 * G.amax(dim=1, keepdim=True)
        outside = half >= G
        likeness = (u @ (G[:, :, None] * u).sum(dim=1)[:, :, None]).squeeze(2)
        centres: list[Tensor] = []
        for _ in range(self.parts):  # each starts where the object is least like those before it
            start = likeness.masked_fill(outside, torch.inf).argmin(dim=1)
            centres.append(u[torch.arange(len(u)), start])
            likeness = (u @ torch.stack(centres, dim=2)).amax(dim=2)
        C = torch.stack(centres, dim=1)
        for _ in range(8):
            groups = F.one_hot((u @ C.mT).argmax(dim=2), self.parts).to(G).mT
            C = F.normalize((groups * G[:, None]) @ u, dim=2)
        return groups


register_transformation("parts", lambda config: PartsTransformation(shots=config.shots))
