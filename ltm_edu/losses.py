"""The three losses together, weighted: equations 8 to 11 on a model's output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from .equations import (
    Reduction,
    attention_loss,
    mask_loss,
    relationship_loss,
    relationship_loss_from_embeddings,
    relationship_matrix,
    relationship_truth,
    total_loss,
)
from .store.errors import InputError
from .store.pictures import VOID

if TYPE_CHECKING:
    from .model import LTMOutput


@dataclass(frozen=True)
class LossWeights:
    """Options of equations 8 to 11.

    Attributes:
        lambda_m: weight of L_m, the decoder's mask.
        lambda_a: weight of L_a, the attention map as a mask.
        lambda_r: weight of L_r, the relationship matrix. 0 leaves it out.
        form: "printed" or "released" L_a; see `attention_loss`.
        reduction: "mean" as released, "sum" as printed.
        lambda_d: weight of L_d, `overlap_loss`, which is not in the paper; 0 leaves it out.
        object_weight: how often a pixel of the object counts in L_m; 1 in the paper. A network
            that is trained with 1 gives too low a probability to objects of classes that it has
            not seen, and misses them.
    """

    lambda_m: float = 1.0
    lambda_a: float = 1.0
    lambda_r: float = 1.0
    form: Literal["printed", "released"] = "printed"
    reduction: Reduction = "mean"
    lambda_d: float = 0.0
    object_weight: float = 1.0

    def __post_init__(self) -> None:
        lambdas = ("lambda_m", "lambda_a", "lambda_r", "lambda_d")
        for name in lambdas:  # a process's share of a batch is a tensor, and right
            value = getattr(self, name)
            if not isinstance(value, Tensor) and not 0 <= value < math.inf:
                raise InputError(f"{name} is {value}: it must be 0 or more, finite")
        if not 0 < self.object_weight < math.inf:
            raise InputError(f"object_weight is {self.object_weight}: it must be over 0, finite")
        for name, known in (("form", ("printed", "released")), ("reduction", ("mean", "sum"))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: choose {' or '.join(known)}")


def ltm_loss(
    output: LTMOutput, Y: Tensor, G_q: Tensor, weights: LossWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """L and its three terms for a batch.

    Args:
        output: what the model returned.
        Y: truth, (B, H, W) of 0, 1 and 255.
        G_q: the truth on the grid, one row a mask row of the transformation, (B, m, h, w).
        weights: lambdas and forms.

    Returns:
        L, and {"L_m", "L_a", "L_r"} before weighting (detached); with lambda_d also "L_d".
    """
    L_m = mask_loss(output.M, Y, weights.reduction, weights.object_weight)
    L_a = attention_loss(output.A_hat, Y, weights.form, weights.reduction)
    L_r = L_m.new_zeros(())
    if weights.lambda_r:
        K = output.E_s.shape[1]
        L_r = relationship_loss_either_way(
            output.E_q.repeat_interleave(K, dim=0),
            output.E_s.flatten(0, 1),
            G_q.repeat_interleave(K, dim=0),
            output.G_s.flatten(0, 1),
            weights.reduction,
        )
    L = total_loss(L_m, L_a, L_r, weights.lambda_m, weights.lambda_a, weights.lambda_r)
    terms = {"L_m": L_m.detach(), "L_a": L_a.detach(), "L_r": L_r.detach()}
    if weights.lambda_d:
        L_d = overlap_loss(output.M, Y)
        L, terms["L_d"] = L + weights.lambda_d * L_d, L_d.detach()
    return L, terms


def overlap_loss(M: Tensor, Y: Tensor) -> Tensor:
    """L_d: how little the mask and the truth overlap, 1 minus their soft Dice coefficient.

    M (B, 2, H, W), Y (B, H, W) of 0, 1 and 255 -> L_d, a scalar in [0, 1], the mean over the
    queries; 0 for a query in which neither shows the object. A cross-entropy is a mean over
    pixels, in which a small object hardly counts; here every query counts alike.

    Source: V-Net, Milletari et al., 3DV 2016, arXiv:1606.04797; 1 added above and below.

    >>> import torch
    >>> right = torch.tensor([[0, 1], [1, 255]])[None]
    >>> round(overlap_loss(99.0 * torch.stack([1 - right, right], dim=1), right).item(), 4)
    0.0
    """
    counted, true = Y != VOID, Y == 1
    p = M.softmax(dim=1)[:, 1] * counted
    both, either = (p * true).flatten(1).sum(dim=1), (p + true).flatten(1).sum(dim=1)
    return (1 - (2 * both + 1) / (either + 1)).mean()


def relationship_loss_either_way(
    E_q: Tensor, E_s: Tensor, G_q: Tensor, G_s: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    """Equation 10 in its cheaper form: with R, or from D x D Gram matrices where grids are large.

    R takes N_q N_s D multiplications, the Gram matrices (N_q + N_s) D^2; the value is the same up
    to rounding. On 20 x 20 cells with 1,000 channels R is the cheaper one. For the arguments see
    `relationship_loss_from_embeddings`.
    """
    D, N_q, N_s = E_q.shape[1], E_q[0, 0].numel(), E_s[0, 0].numel()
    if N_q * N_s > (N_q + N_s) * D:
        return relationship_loss_from_embeddings(E_q, E_s, G_q, G_s, reduction)
    R, R_truth = relationship_matrix(E_q, E_s), relationship_truth(G_q, G_s)
    return relationship_loss(R, R_truth, reduction)
