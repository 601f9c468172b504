"""The swappable part: from two embeddings and a mask to an attention map over the query.

`LocalTransformation` is the paper's module. `GlobalTransformation` is what it is held against:
one averaged prototype and a cosine. Both have one interface, `(E_q, E_s, G_s) -> A_hat`, and no
parameters, so either fits the same network.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..equations import attention_from_embeddings, normalize_attention

Rows = Literal["fg", "fg_bg"]
Shots = Literal["mean", "stack"]


class LocalTransformation(nn.Module):
    """Equations 2 to 6: relate every query pixel to every support pixel, invert the mask.

    Args:
        rows: "fg" is the paper's G_s, one row. "fg_bg" adds the background 1 - G_s as a second
            row, and A is the foreground's column minus the background's. The generalized inverse
            un-mixes each column where a soft mask shares a pixel between the rows; from their
            difference it cancels, up to a positive factor: what is left is the difference of the
            two weighted means.
        shots: "mean" takes the mean of the normalised maps of the K supports (the released
            code's way); "stack" puts all supports' pixels into one G_s and solves once.

    Shape:
        E_q (B, D, h, w), E_s (B, K, D, h, w), G_s (B, K, 1, h, w) in [0, 1]
        -> A_hat (B, 1, h, w) in [0, 1].
    """

    def __init__(self, rows: Rows = "fg", shots: Shots = "mean") -> None:
        super().__init__()
        if rows not in ("fg", "fg_bg"):
            raise ValueError(f'rows is {rows!r}, expected "fg" or "fg_bg"')
        if shots not in ("mean", "stack"):
            raise ValueError(f'shots is {shots!r}, expected "mean" or "stack"')
        self.rows: Rows = rows
        self.shots: Shots = shots

    @property
    def masks_support(self) -> bool:
        """Whether the support is masked (equation 1) before it is embedded.

        A background row needs the background's features.
        """
        return self.rows == "fg"

    def mask_rows(self, G: Tensor) -> Tensor:
        """The rows that this module gives a mask, (B, 1, h, w) -> (B, m, h, w)."""
        return G if self.rows == "fg" else torch.cat([G, 1 - G], dim=1)

    def forward(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """Return the normalised attention map; see the class for shapes."""
        K = _check_shots(E_q, E_s, G_s)
        if self.shots == "stack":
            E_s, G_s = (x.transpose(1, 2).flatten(2) for x in (E_s, G_s))
            A_hat = normalize_attention(self._attention(E_q, E_s, G_s))
        else:
            E_each = E_q.repeat_interleave(K, dim=0)
            A = self._attention(E_each, E_s.flatten(0, 1), G_s.flatten(0, 1))
            A_hat = normalize_attention(A).unflatten(0, (-1, K)).mean(dim=1)
        return A_hat.unflatten(1, (1, *E_q.shape[-2:]))

    def _attention(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        if self.rows == "fg":
            return attention_from_embeddings(E_q, E_s, G_s)
        filled = G_s.flatten(1).amax(dim=1)[:, None] > 0
        both = attention_from_embeddings(E_q, E_s, self.mask_rows(G_s))
        # Without an object there is nothing to set against the background: a map of zeros.
        return torch.where(filled, both[..., 0] - both[..., 1], 0)

    def extra_repr(self) -> str:
        """Show the options in the module's printout."""
        return f"rows={self.rows!r}, shots={self.shots!r}"


class GlobalTransformation(nn.Module):
    """The global baseline: masked average pooling, then a cosine at every query pixel.

    The object becomes ONE vector, the mask-weighted mean of its embedding, as in SG-One and the
    methods after it; the map is normalised as in equation 6, K shots by the mean of their maps.

    Shape:
        E_q (B, D, h, w), E_s (B, K, D, h, w), G_s (B, K, 1, h, w) in [0, 1]
        -> A_hat (B, 1, h, w) in [0, 1].
    """

    masks_support = True

    def mask_rows(self, G: Tensor) -> Tensor:
        """One row, the mask itself: (B, 1, h, w) -> (B, 1, h, w)."""
        return G

    def forward(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """Return the normalised attention map; see the class for shapes."""
        _check_shots(E_q, E_s, G_s)
        weight = G_s / G_s.sum(dim=(-2, -1), keepdim=True).clamp_min(1e-5)
        prototype = (E_s * weight).sum(dim=(-2, -1))
        cosine = F.cosine_similarity(E_q[:, None], prototype[..., None, None], dim=2)
        return normalize_attention(cosine.flatten(0, 1)).view_as(cosine).mean(dim=1, keepdim=True)


def _check_shots(E_q: Tensor, E_s: Tensor, G_s: Tensor) -> int:
    if E_q.dim() != 4:
        raise ValueError(f"E_q has shape {tuple(E_q.shape)}, expected (B, D, h, w)")
    if E_s.dim() != 5 or E_s.shape[0] != E_q.shape[0] or E_s.shape[2] != E_q.shape[1]:
        raise ValueError(
            f"E_s has shape {tuple(E_s.shape)}, expected "
            f"({E_q.shape[0]}, K, {E_q.shape[1]}, h, w): the shots are the second dimension"
        )
    expected = (*E_s.shape[:2], 1, *E_s.shape[3:])
    if G_s.shape != expected:
        raise ValueError(f"G_s has shape {tuple(G_s.shape)}, expected {expected}")
    return E_s.shape[1]
