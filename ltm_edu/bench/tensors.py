"""Attention and the relationship loss, with R and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .. import equations
from .measuring import HERE, How, Row, Way, compare, peak_bytes


def attention_row(N: int, D: int, repeats: int = 5, how: How = HERE) -> Row:
    """Equation 5 as printed (build R, multiply by the inverse) against never building R.

    The embeddings are (B, D, N), random, the same each time.
    """
    E_q, E_s, G_s, _ = _embeddings(N, D, how)
    ways = [
        lambda: equations.attention(equations.relationship_matrix(E_q, E_s), G_s),
        lambda: equations.attention_from_embeddings(E_q, E_s, G_s),
    ]
    return _row("attention", "attention", ways, N, D, repeats, how)


def loss_row(N: int, D: int, backward: bool = False, repeats: int = 5, how: How = HERE) -> Row:
    """Equation 10 as printed (R and R_truth, N x N each) against two D x D Gram matrices.

    `backward` adds the gradients of both embeddings.
    """
    E_q, E_s, G_s, G_q = _embeddings(N, D, how)

    def by_R() -> Tensor:
        R, R_truth = equations.relationship_matrix(E_q, E_s), equations.relationship_truth(G_q, G_s)
        return equations.relationship_loss(R, R_truth)

    ways = [by_R, lambda: equations.relationship_loss_from_embeddings(E_q, E_s, G_q, G_s)]
    inputs = [E.requires_grad_() for E in (E_q, E_s)] if backward else []
    what = "L_r forward + backward" if backward else "L_r forward"
    return _row("loss", what, ways, N, D, repeats, how, inputs)


def _row(
    part: str,
    what: str,
    ways: Sequence[Way],
    N: int,
    D: int,
    repeats: int,
    how: How,
    inputs: Sequence[Tensor] = (),
) -> Row:
    """Compare two ways to a tensor, or to its gradient with respect to `inputs`."""
    if how.compiled:
        torch.compiler.reset()  # or it would keep to the last size's graph, or give up
        ways = [torch.compile(way) for way in ways]
    if inputs:
        ways = [_gradients_of(way, inputs) for way in ways]
    case, sizes = f"{what}, N {N:,}, D {D:,}{how}", {"N": N, "D": D, "what": f"{what}{how}"}
    row = compare(part, case, ways, repeats, how.device, sizes=sizes)
    plain_bytes, our_bytes = (peak_bytes(way, how.device) for way in ways)
    return replace(row, plain_bytes=plain_bytes, our_bytes=our_bytes)


def _gradients_of(loss: Way, inputs: Sequence[Tensor]) -> Way:
    return lambda: torch.cat([g.flatten() for g in torch.autograd.grad(loss(), inputs)])


def _embeddings(N: int, D: int, how: How) -> list[Tensor]:
    """E_q, E_s (B, D, N), G_s, G_q (B, 1, N)."""
    g = torch.Generator().manual_seed(0)
    E, G = (
        draw(2, how.batch, c, N, generator=g) for draw, c in ((torch.randn, D), (torch.rand, 1))
    )
    return [x.to(how.device, how.dtype) for x in (*E, *G)]
