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
        u_q, u_s = (F.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
        gram = u_s @ u_s.mT + self.ridge * torch.eye(u_s.shape[1]).to(u_s)
        weights = torch.cholesky_solve(u_s @ G_s.flatten(2).mT, torch.linalg.cholesky(gram))
        return (u_q.mT @ weights).squeeze(2)


register_transformation("ridge", lambda config: RidgeTransformation(shots=config.shots))
