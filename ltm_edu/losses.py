"""The three losses together, weighted: equations 8 to 11 on a model's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from .equations import (
    Reduction,
    attention_loss,
    mask_loss,
    relationship_loss_from_embeddings,
    total_loss,
)

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
    """

    lambda_m: float = 1.0
    lambda_a: float = 1.0
    lambda_r: float = 1.0
    form: Literal["printed", "released"] = "printed"
    reduction: Reduction = "mean"


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
        L, and {"L_m", "L_a", "L_r"} before weighting (detached).
    """
    L_m = mask_loss(output.M, Y, weights.reduction)
    L_a = attention_loss(output.A_hat, Y, weights.form, weights.reduction)
    L_r = L_m.new_zeros(())
    if weights.lambda_r:
        K = output.E_s.shape[1]
        L_r = relationship_loss_from_embeddings(
            output.E_q.repeat_interleave(K, dim=0),
            output.E_s.flatten(0, 1),
            G_q.repeat_interleave(K, dim=0),
            output.G_s.flatten(0, 1),
            weights.reduction,
        )
    L = total_loss(L_m, L_a, L_r, weights.lambda_m, weights.lambda_a, weights.lambda_r)
    return L, {"L_m": L_m.detach(), "L_a": L_a.detach(), "L_r": L_r.detach()}
