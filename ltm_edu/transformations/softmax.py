"""Softmax matching: each query pixel divides its attention among the support's pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..equations import relationship_matrix
from .base import Shots, Transformation, register_transformation


class SoftmaxTransformation(Transformation):
    """A_i is the part of a softmax over R_i / T that falls on the object. T trains.

    The support's background takes part: a query pixel that looks like it loses.

    Source: attention weighted by the support's mask, as in DCAMA, Shi et al., ECCV 2022,
    arXiv:2207.08549.

    Args:
        temperature: T at the start, in units of a cosine.
        shots: see `Transformation`.
    """

    masks_support = False

    def __init__(self, temperature: float = 0.05, shots: Shots = "mean") -> None:
        super().__init__(shots)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The object's part of each row's softmax; see `Transformation.relate`."""
        R = relationship_matrix(E_q, E_s)
        weights = (R / self.log_temperature.exp()).softmax(dim=2)
        return (weights @ G_s.flatten(1)[:, :, None]).squeeze(2)


register_transformation("softmax", lambda config: SoftmaxTransformation(shots=config.shots))
