"""The paper, one pure function an equation, in the paper's order.

Yang et al., "A New Local Transformation Module for Few-Shot Segmentation", MMM 2020
(arXiv:1910.05886), equations 1 to 11. Two functions are not in the paper and have no number:
`attention_from_embeddings` and `relationship_loss_from_embeddings` compute what equations 2, 5 and
10 say without building R.

A symbol has the same shape and range everywhere. The batch comes first; a grid has N = h w
pixels::

    F_s, F_q    features, (B, C, h, w)
    E_s, E_q    embeddings, finite, (B, D, h, w) or (B, D, N)
    G_s, G_q    masks on the feature grid, m rows of values in [0, 1], (B, m, h, w) or (B, m, N);
                the paper has one row
    R, R_truth  relations, (B, N_q, N_s): rows are query pixels, columns are support pixels
    A           attention, (B, N_q) for one mask row, (B, N_q, m) for several
    A_hat       normalised attention map, (B, 1, h, w), values in [0, 1]
    M           logits, (B, 2, H, W), channels background and foreground
    Y           truth, (B, H, W), 0 background, 1 foreground, 255 not counted
    L           a loss, a scalar; `reduction` is "sum" as printed, or "mean" over the terms of the
                sum as the released code has it

Every function raises ValueError where a shape or a type does not fit, a tensor is empty, a number
is not finite, or a value is outside its range. The message names the argument, and says what came
and what was expected. Masks may also be of whole numbers or truth values; all else is
floating-point, of one type within a call, and so is the result. No argument is changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .store.pictures import VOID

Reduction = Literal["mean", "sum"]

_checks_values: ContextVar[bool] = ContextVar("checks_values", default=True)


@contextmanager
def without_value_checks() -> Iterator[None]:
    """Let the equations check shapes only, inside a `with` block.

    Each check of values makes a GPU wait. Training checks the values of a batch once, where it
    enters, and computes inside this block.
    """
    token = _checks_values.set(False)
    try:
        yield
    finally:
        _checks_values.reset(token)


def masked_features(F_s: Tensor, G_s: Tensor) -> Tensor:
    """Equation 1: keep the support's features on the object, F'_s(i,j) = F_s(i,j) * G_s(i,j).

    F_s (B, C, h, w), G_s (B, 1, h, w) -> F'_s (B, C, h, w).

    >>> F_s, G_s = torch.ones(1, 2, 1, 3), torch.tensor([[[[0.0, 0.5, 1.0]]]])
    >>> masked_features(F_s, G_s)[0, 0].tolist()
    [[0.0, 0.5, 1.0]]
    """
    check_shape("F_s", F_s, "B", "C", "h", "w")
    _check_numbers(F_s, "F_s")
    expected = F_s.shape[0], 1, *F_s.shape[2:]
    check_shape("G_s", G_s, *expected, hint=": resize the mask to the feature grid first")
    check_in_unit_range(G_s, "G_s")
    return F_s * G_s.to(F_s.dtype)


def relationship_matrix(E_q: Tensor, E_s: Tensor, eps: float = 1e-5) -> Tensor:
    """Equation 2: R_ij, the cosine between query pixel i and support pixel j, in [-1, 1].

    E_q (B, D, N_q), E_s (B, D, N_s) -> R (B, N_q, N_s).

    A vector no longer than `eps` has no direction, and relates to nothing: its row or column
    of R is 0. (The released code adds `eps` to the product of the two norms instead. At the norms
    a network produces the two agree to about 1e-6; this form keeps R the product of a query
    factor and a support factor at every scale, which the functions that never build R rely on.)

    >>> E = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 3.0, 2.0]]])
    >>> relationship_matrix(E, E)[0, 2].round(decimals=3)
    tensor([0.7070, 0.7070, 1.0000])
    """
    _check_pair(E_q, E_s)
    _check_eps(eps)
    return _unit(E_q, eps).mT @ _unit(E_s, eps)


def relationship_truth(G_q: Tensor, G_s: Tensor) -> Tensor:
    """Equation 3: the true relation, R_truth = G_q^T G_s.

    G_q (B, m, N_q), G_s (B, m, N_s) -> R_truth (B, N_q, N_s): with the paper's one row, 1 where
    both pixels lie on the object; with m rows, the sum of the rows' relations.

    >>> g_q, g_s = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 0.0, 1.0]]])
    >>> relationship_truth(g_q, g_s)[0].tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    """
    g_q, g_s = _same_rows(G_q, G_s)
    return g_q.mT @ g_s


def generalized_inverse(G_s: Tensor, eps: float = 1e-5) -> Tensor:
    """The bracket of equation 5: G_s^+ = G_s^T (G_s G_s^T + eps I)^-1.

    G_s (B, m, N) -> G_s^+ (B, N, m).

    The Moore-Penrose inverse of a mask with linearly independent rows, up to the `eps` that the
    released code adds. A row that is empty gets a column of zeros. The m x m system is solved in
    float64 where m > 1: the Gram matrix of two nearly equal rows is beyond float32.

    >>> generalized_inverse(torch.tensor([[[1.0, 0.0, 1.0, 1.0]]]))[0, :, 0].round(decimals=3)
    tensor([0.3330, 0.0000, 0.3330, 0.3330])
    """
    g = _rows(G_s, "G_s")
    _check_eps(eps)
    if g.shape[1] == 1:
        wide = _wide(g)  # half precision cannot count to 70,000
        gram = (wide * wide).sum(dim=2, keepdim=True)
        tiny = torch.finfo(wide.dtype).tiny
        inverse = torch.where(gram > 0, 1 / (gram + eps).clamp_min(tiny), 0)
        return (wide * inverse).mT.to(g.dtype)
    wide = g if g.device.type == "mps" else g.double()
    filled = (wide.sum(dim=2) > 0).to(wide.dtype)
    # An empty row leaves a zero on the diagonal; a one there keeps the system solvable at eps = 0,
    # and the row itself stays zero.
    gram = wide @ wide.mT + torch.diag_embed(eps + 1 - filled)
    return torch.linalg.solve(gram, wide).mT.to(g.dtype)


def attention(R: Tensor, G_s: Tensor, eps: float = 1e-5) -> Tensor:
    """Equations 4 and 5: the A for which A G_s comes closest to R, A = R G_s^+.

    R (B, N_q, N_s), G_s (B, m, N_s) -> A (B, N_q), or (B, N_q, m) for several mask rows.
    For a binary mask of one row, A_i is the mean of R_ij over the object's pixels j.

    >>> R = torch.tensor([[[0.9, 0.1, 0.7], [0.2, 0.8, 0.0]]])
    >>> attention(R, torch.tensor([[[1.0, 0.0, 1.0]]]))[0].round(decimals=3)
    tensor([0.8000, 0.1000])
    """
    g = _rows(G_s, "G_s")
    hint = ": rows are query pixels, columns are the support pixels of G_s"
    check_shape("R", R, g.shape[0], "N_q", g.shape[2], hint=hint)
    _check_numbers(R, "R")
    return _squeeze_one_row(R @ generalized_inverse(g, eps).to(R.dtype))


def attention_from_embeddings(E_q: Tensor, E_s: Tensor, G_s: Tensor, eps: float = 1e-5) -> Tensor:
    """Equations 2 and 5 without R: A = u_q^T (u_s G_s^+), u the unit columns of the embeddings.

    E_q (B, D, N_q), E_s (B, D, N_s), G_s (B, m, N_s) -> A (B, N_q), or (B, N_q, m).

    Matrix products associate, so this equals `attention(relationship_matrix(E_q, E_s), G_s)`
    in O(N D m) time and O(N D) memory, where the printed order costs O(N^2 D) and O(N^2).

    >>> E_q, E_s = torch.randn(1, 4, 6), torch.randn(1, 4, 5)
    >>> g = torch.tensor([[[0.0, 1.0, 0.5, 0.0, 1.0]]])
    >>> by_R = attention(relationship_matrix(E_q, E_s), g)
    >>> torch.allclose(attention_from_embeddings(E_q, E_s, g), by_R, atol=1e-6)
    True
    """
    _check_pair(E_q, E_s)
    _check_eps(eps)
    e_q, e_s, g = E_q.flatten(2), E_s.flatten(2), _rows(G_s, "G_s")
    check_shape("G_s", g, e_s.shape[0], "m", e_s.shape[2], hint=", as many pixels as E_s has")
    # The lengths go to the small factors: no unit columns are written out.
    wide = _wide(e_q).dtype
    weights = _inverse_length(e_s, eps).mT * generalized_inverse(g.to(wide), eps)
    A = (e_q.to(wide).mT @ (e_s.to(wide) @ weights)) * _inverse_length(e_q, eps).mT
    return _squeeze_one_row(A.to(E_q.dtype))


def normalize_attention(A: Tensor, eps: float = 1e-5) -> Tensor:
    """Equation 6: A_hat = (A - min A) / (max A - min A + eps), for each image by itself.

    A of any shape with the batch first -> A_hat of the same shape, values in [0, 1]. `eps` makes
    zeros of a constant map.

    >>> normalize_attention(torch.tensor([[-1.0, 0.0, 3.0], [2.0, 2.0, 2.0]])).round(decimals=3)
    tensor([[0.0000, 0.2500, 1.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    _check_numbers(A, "A")
    _check_eps(eps)
    if A.dim() < 2:
        raise ValueError(f"A has shape {tuple(A.shape)}, expected the batch first, as (B, N)")
    each_image = tuple(range(1, A.dim()))
    low, high = A.amin(each_image, keepdim=True), A.amax(each_image, keepdim=True)
    # Only with eps = 0 can the divisor be 0, and then the map is constant: 0 / tiny is 0.
    return (A - low) / (high - low + eps).clamp_min(torch.finfo(A.dtype).tiny)


def attended_features(F_q: Tensor, A_hat: Tensor) -> Tensor:
    """Equation 7: weight the query's features with the attention, F^'_q = F^_q * A_hat.

    F_q, the features after T_f, (B, D', h, w), A_hat (B, 1, h, w) -> F^'_q (B, D', h, w).

    >>> attended_features(torch.ones(1, 2, 1, 2), torch.tensor([[[[0.0, 0.5]]]]))[0, 0].tolist()
    [[0.0, 0.5]]
    """
    check_shape("F_q", F_q, "B", "C", "h", "w")
    _check_numbers(F_q, "F_q")
    check_shape("A_hat", A_hat, F_q.shape[0], 1, *F_q.shape[2:], hint=", the grid of F_q")
    check_in_unit_range(A_hat, "A_hat")
    return F_q * A_hat


def mask_loss(
    M: Tensor, Y: Tensor, reduction: Reduction = "mean", object_weight: float = 1.0
) -> Tensor:
    """Equation 8: L_m, the cross-entropy of the decoder's mask against the truth.

    M (B, 2, H, W), Y (B, H, W) -> L_m, a scalar; 0 where no pixel counts. `object_weight` counts
    a pixel of the object so many times; it is 1 in the paper.

    >>> round(mask_loss(torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2)).item(), 4)
    0.6931
    """
    check_shape("M", M, "B", 2, "H", "W", hint=" logits")
    _check_numbers(M, "M")
    if not 0 < object_weight < math.inf:
        raise ValueError(f"object_weight is {object_weight}, expected a number over 0")
    return _label_loss(M.log_softmax(dim=1), Y, reduction, object_weight)


def attention_loss(
    A_hat: Tensor,
    Y: Tensor,
    form: Literal["printed", "released"] = "printed",
    reduction: Reduction = "mean",
) -> Tensor:
    """Equation 9: L_a, the attention map itself read as a mask, against the truth.

    A_hat (B, 1, h, w), Y (B, H, W) -> L_a, a scalar; 0 where no pixel counts.

    The map is resized bilinearly (corners aligned) to the truth. "printed" is the binary
    cross-entropy of A_hat, clamped to [1e-6, 1 - 1e-6]. "released" takes (1 - A_hat, A_hat) for
    logits, as the released code does, and so never falls below log(1 + 1/e) = 0.3133.

    >>> perfect = torch.eye(2)[None, None]
    >>> round(attention_loss(perfect, torch.eye(2)[None]).item(), 4)
    0.0
    >>> round(attention_loss(perfect, torch.eye(2)[None], form="released").item(), 4)
    0.3133
    """
    check_shape("A_hat", A_hat, "B", 1, "h", "w")
    _check_numbers(A_hat, "A_hat")
    check_in_unit_range(A_hat, "A_hat")
    check_shape("Y", Y, "B", "H", "W")
    resized = F.interpolate(A_hat, Y.shape[-2:], mode="bilinear", align_corners=True)
    M_a = torch.cat([1 - resized, resized], dim=1)
    if form == "printed":
        return _label_loss(M_a.clamp(1e-6, 1 - 1e-6).log(), Y, reduction)
    if form == "released":
        return _label_loss(M_a.log_softmax(dim=1), Y, reduction)
    raise ValueError(f'form is {form!r}, expected "printed" or "released"')


def relationship_loss(R: Tensor, R_truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Equation 10: L_r = ||R - R_truth||^2, over all N_q N_s entries.

    R (B, N_q, N_s), R_truth (B, N_q, N_s) -> L_r, a scalar.

    >>> relationship_loss(torch.eye(2)[None], torch.zeros(1, 2, 2), reduction="sum").item()
    2.0
    """
    _check_numbers(R, "R")
    _check_numbers(R_truth, "R_truth")
    _check_one_type(R, "R", R_truth, "R_truth")
    if R.dim() != 3 or R.shape != R_truth.shape:
        raise ValueError(
            f"R has shape {tuple(R.shape)} and R_truth {tuple(R_truth.shape)}, "
            "expected one shape (B, N_q, N_s)"
        )
    return _reduce((R - R_truth).square().sum(), R.numel(), reduction)


def relationship_loss_from_embeddings(
    E_q: Tensor,
    E_s: Tensor,
    G_q: Tensor,
    G_s: Tensor,
    reduction: Reduction = "mean",
    eps: float = 1e-5,
) -> Tensor:
    """Equations 2, 3 and 10 without R: L_r from two D x D Gram matrices.

    E_q (B, D, N_q), E_s (B, D, N_s), G_q (B, m, N_q), G_s (B, m, N_s) -> L_r, a scalar.

    With u the unit columns of an embedding, K = u u^T and one mask row, this is
    `||R - g_q^T g_s||^2 = <K_q, K_s> - 2 (u_q g_q^T) . (u_s g_s^T) + |g_q|^2 |g_s|^2`:
    exact, in O(N D^2) time and O(D^2) memory instead of O(N^2 D) and O(N^2). With m rows the
    last term is <G_q G_q^T, G_s G_s^T>.

    >>> E_q, E_s, g = torch.randn(1, 3, 9), torch.randn(1, 3, 9), torch.ones(1, 1, 9)
    >>> by_R = relationship_loss(relationship_matrix(E_q, E_s), relationship_truth(g, g))
    >>> torch.allclose(relationship_loss_from_embeddings(E_q, E_s, g, g), by_R, rtol=1e-4)
    True
    """
    _check_pair(E_q, E_s)
    _check_eps(eps)
    u_q, u_s = _unit(E_q, eps), _unit(E_s, eps)
    g_q, g_s = (g.to(E_q.dtype) for g in _same_rows(G_q, G_s))
    check_shape("G_q", g_q, u_q.shape[0], "m", u_q.shape[2], hint=", as many pixels as E_q has")
    check_shape("G_s", g_s, u_s.shape[0], "m", u_s.shape[2], hint=", as many pixels as E_s has")
    relation = ((u_q @ u_q.mT) * (u_s @ u_s.mT)).sum()
    on_truth = ((u_q @ g_q.mT) * (u_s @ g_s.mT)).sum()
    truth = ((g_q @ g_q.mT) * (g_s @ g_s.mT)).sum()
    count = u_q.shape[0] * u_q.shape[2] * u_s.shape[2]
    return _reduce(relation - 2 * on_truth + truth, count, reduction)


def total_loss(
    L_m: Tensor,
    L_a: Tensor,
    L_r: Tensor,
    lambda_m: float = 1.0,
    lambda_a: float = 1.0,
    lambda_r: float = 1.0,
) -> Tensor:
    """Equation 11: L = lambda_m L_m + lambda_a L_a + lambda_r L_r.

    The paper does not print the lambdas; the released code has 1, 1, 1 on averaged terms.

    >>> total_loss(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(4.0), lambda_r=0.5).item()
    5.0
    """
    for name, L in (("L_m", L_m), ("L_a", L_a), ("L_r", L_r)):
        _check_numbers(L, name)
        if L.dim() > 0:
            raise ValueError(f"{name} has shape {tuple(L.shape)}, expected a scalar, ()")
    for name, factor in (("lambda_m", lambda_m), ("lambda_a", lambda_a), ("lambda_r", lambda_r)):
        if isinstance(factor, float | int) and not math.isfinite(factor):
            raise ValueError(f"{name} is {factor}, expected a finite number")
    return lambda_m * L_m + lambda_a * L_a + lambda_r * L_r


def check_shape(name: str, x: Tensor, *expected: int | str, hint: str = "") -> None:
    """Check the shape of a tensor; a letter in `expected` stands for any size.

    Raises:
        ValueError: the shape is another one; the message ends with the hint.

    >>> check_shape("R", torch.zeros(2, 3), "B", "N_q", 9)
    Traceback (most recent call last):
    ValueError: R has shape (2, 3), expected (B, N_q, 9)
    """
    _check_tensor(x, name)
    sizes = [size if isinstance(e, str) else e for e, size in zip(expected, x.shape, strict=False)]
    if len(expected) != x.dim() or sizes != [*x.shape]:
        shape = ", ".join(map(str, expected))
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected ({shape}){hint}")


def check_in_unit_range(x: Tensor, name: str, hint: str = "") -> None:
    """Check that all values of a tensor are in [0, 1].

    Raises:
        ValueError: one is not; the message ends with the hint.
    """
    _check_tensor(x, name)
    if not _look_at_values():
        return
    low, high = (v.item() for v in torch.aminmax(x.detach()))
    # Bilinear resizing may overshoot by a rounding error; NaN fails both comparisons.
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(
            f"{name} has values from {low:g} to {high:g}, expected all of them in [0, 1]{hint}"
        )


def _unit(E: Tensor, eps: float) -> Tensor:
    """Columns of E (B, D, ...) flattened to (B, D, N) and scaled to length 1, or 0 if too short."""
    columns = E.flatten(2)
    return (columns * _inverse_length(columns, eps)).to(E.dtype)


def _inverse_length(columns: Tensor, eps: float) -> Tensor:
    """1 / length of each column of (B, D, N), or 0 if it is no longer than eps: (B, 1, N).

    In float32 at least: half precision cannot hold the squares.
    """
    wide = _wide(columns)
    # Ten times faster than linalg.vector_norm over this dimension.
    squared = wide.square().sum(dim=1, keepdim=True)
    least = max(eps**2, torch.finfo(wide.dtype).tiny)
    inverse = torch.where(squared > least, squared.clamp_min(least).rsqrt(), 0)
    if _look_at_values() and squared.isinf().any():  # vectors of 1e19 and more
        largest = wide.abs().amax(dim=1, keepdim=True).clamp_min(1)
        scaled = (wide / largest).square().sum(dim=1, keepdim=True)
        inverse = torch.where(squared.isinf(), scaled.rsqrt() / largest, inverse)
    return inverse


def _wide(x: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _rows(G: Tensor, name: str) -> Tensor:
    """A checked mask as (B, m, N) of floats."""
    _check_tensor(G, name)
    if G.dim() not in (3, 4):
        raise ValueError(f"{name} has shape {tuple(G.shape)}, expected (B, m, h, w) or (B, m, N)")
    check_in_unit_range(G, name)
    return G.flatten(2) if G.is_floating_point() else G.flatten(2).float()


def _same_rows(G_q: Tensor, G_s: Tensor) -> tuple[Tensor, Tensor]:
    g_q, g_s = _rows(G_q, "G_q"), _rows(G_s, "G_s")
    if g_q.shape[:2] != g_s.shape[:2]:
        raise ValueError(
            f"G_q has shape {tuple(G_q.shape)} and G_s {tuple(G_s.shape)}: expected one batch "
            "and as many mask rows in both"
        )
    both = torch.promote_types(g_q.dtype, g_s.dtype)
    return g_q.to(both), g_s.to(both)


def _squeeze_one_row(A: Tensor) -> Tensor:
    return A.squeeze(2) if A.shape[2] == 1 else A


def _label_loss(
    log_p: Tensor, Y: Tensor, reduction: Reduction, object_weight: float = 1.0
) -> Tensor:
    """-log p of the true labels Y (B, H, W), under log p of both classes, (B, 2, H, W)."""
    check_shape("Y", Y, log_p.shape[0], *log_p.shape[2:], hint=", a label a pixel")
    if _look_at_values() and not ((Y == 0) | (Y == 1) | (Y == VOID)).all():
        raise ValueError("Y holds labels other than 0, 1 and 255: compare the mask with the class")
    Y = Y.long()
    weight = None if object_weight == 1 else log_p.new_tensor([1.0, object_weight])
    total = F.nll_loss(log_p, Y, weight, ignore_index=VOID, reduction="sum")
    return _reduce(total, (Y != VOID).sum(), reduction)


def _reduce(total: Tensor, count: Tensor | int, reduction: Reduction) -> Tensor:
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / (count.clamp_min(1) if isinstance(count, Tensor) else count)
    raise ValueError(f'reduction is {reduction!r}, expected "mean" or "sum"')


def _check_pair(E_q: Tensor, E_s: Tensor) -> None:
    for E, name in ((E_q, "E_q"), (E_s, "E_s")):
        _check_tensor(E, name)
        if E.dim() not in (3, 4):
            raise ValueError(
                f"{name} has shape {tuple(E.shape)}, expected (B, D, h, w) or (B, D, N)"
            )
        _check_numbers(E, name)
    _check_one_type(E_q, "E_q", E_s, "E_s")
    if E_q.shape[:2] != E_s.shape[:2]:
        raise ValueError(
            f"E_q has shape {tuple(E_q.shape)} and E_s {tuple(E_s.shape)}: expected one batch and "
            "as many channels in both, from one T_e"
        )


def _look_at_values() -> bool:
    # Under torch.compile a look at values would break the graph: shapes are still checked there.
    return not torch.compiler.is_compiling() and _checks_values.get()


def _check_tensor(x: object, name: str) -> None:
    """Check that an argument is a tensor of real numbers with at least one entry."""
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is of type {type(x).__name__}, expected a torch.Tensor")
    if x.is_complex() or x.layout != torch.strided:
        raise ValueError(f"{name} is a {x.type()}, expected a dense tensor of real numbers")
    if x.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: it is empty")


def _check_eps(eps: float) -> None:
    if not (isinstance(eps, float | int) and 0 <= eps < math.inf):
        raise ValueError(f"eps is {eps}, expected a small number, 0 or more")


def _check_one_type(x: Tensor, name: str, y: Tensor, other: str) -> None:
    if x.dtype != y.dtype:
        one, two = (str(t.dtype).removeprefix("torch.") for t in (x, y))
        raise ValueError(f"{name} holds {one} and {other} {two}: convert one of them")


def _check_numbers(x: Tensor, name: str) -> None:
    """Check that a tensor is floating-point and finite."""
    _check_tensor(x, name)
    if not x.is_floating_point():
        kind = str(x.dtype).removeprefix("torch.")
        raise ValueError(f"{name} holds {kind}, expected floating-point numbers: call .float()")
    if not _look_at_values():
        return
    # NaN comes through; 20 times faster than isfinite.
    if not torch.stack(torch.aminmax(x.detach())).isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite values, expected finite ones")
