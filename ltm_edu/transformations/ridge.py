"""Ridge regression: the generalized inverse of the support's features in place of its mask's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Shots, Transformation, register_transformation


class RidgeTransformation(Transformation):
    """The linear function of a pixel's embedding that reproduces the support's mask, on the query.

    With unit columns u it is A = u_q^T (u_s u_s^T + lambda I)^-1 u_s G_s^T. Equation 5 weights all
    pixels of the object alike; this inverse weights each one by what it says that no other does.

    Source: Bertinetto et al., ICLR 2019, arXiv:1805.08136; in few-shot segmentation as a Gaussian
    process in DGPNet, Johnander et al., ECCV 2022, arXiv:2103.16545.

    Args:
        ridge: lambda. The larger, the nearer to a weighted sum.
        shots: see `Transformation`.
    """

    masks_support = False

    def __init__(self, ridge: float = 10.0, shots: Shots = "mean") -> None:
        super().__init__(shots)
        self.ridge = ridge

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The regression's prediction; see `Transformation.relate`."""
        return self.solve(E_q, *normal_equations(E_s, G_s))

    def solve(self, E_q: Tensor, gram: Tensor, moment: Tensor) -> Tensor:
        """The prediction (B, N_q) from what `normal_equations` returned, or from sums of it."""
        gram = gram + self.ridge * torch.eye(gram.shape[-1]).to(gram)
        weights = torch.cholesky_solve(moment, torch.linalg.cholesky(gram))
        return (F.normalize(E_q.flatten(2), dim=1).mT @ weights).squeeze(2)


def normal_equations(E: Tensor, G: Tensor) -> tuple[Tensor, Tensor]:
    """The two sums over pixels that a regression needs: u u^T (B, D, D) and u G^T (B, D, 1).

    Args:
        E: embeddings, (B, D, ...); u are its unit columns. A column of zeros has no say.
        G: masks, (B, 1, ...).
    """
    u = F.normalize(E.flatten(2), dim=1)
    return u @ u.mT, u @ G.flatten(2).mT


register_transformation("ridge", lambda config: RidgeTransformation(shots=config.shots))
