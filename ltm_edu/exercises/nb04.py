"""Exercises of notebook 04, a mask that has no inverse: equations 4 and 5."""

from __future__ import annotations

import torch

from .common import TINY, at_scales, close, cosine_of, normal, uniform
from .exercise import Cost, Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

EMPTY = "An empty mask marks nothing, so the result must be 0."
ONE_EMPTY = (
    "Only one mask of the batch is empty. Its result must be 0, and the other mask must have its "
    "usual result."
)
EMPTY_DIVIDED = "An empty mask gives NaN, because 0 / 0 is computed. The result must be 0."
HARD_ONLY = (
    "The divisor is the sum of g, which is right only for masks of 0 and 1. G_s G_s^T is the sum "
    "of the squares of g."
)
NOT_DIVIDED = "You use G_s^T alone. G_s^+ is G_s^T times (G_s G_s^T)^-1."
ONE_FOR_ALL = "One G_s G_s^T is used for the whole batch. Compute it for each episode."
ZERO = (
    "A zero vector has no direction, so its relation must be 0. All other vectors count as usual."
)
SCALE = "A must not depend on the lengths of the vectors, however short or long they are."


def _gram(g: Tensor) -> Tensor:
    return (g * g).sum(dim=2, keepdim=True)


# 4.1 ----------------------------------------------------------------------------------------------


def inverse_of_row(G_s: torch.Tensor) -> torch.Tensor:
    """G_s^+ for one soft mask row, (B, 1, h, w) -> (B, N, 1); an empty mask gives zeros."""
    g = G_s.flatten(2)
    gram = (g * g).sum(dim=2, keepdim=True)
    return (g / torch.where(gram > 0, gram, 1)).transpose(1, 2)


def _inverse_loop(G_s: Tensor) -> Tensor:
    B, _, h, w = G_s.shape
    inverse = torch.zeros(B, h * w, 1, dtype=torch.float64)
    for b in range(B):
        values = G_s[b, 0].flatten().tolist()
        squares = sum(v * v for v in values)
        for j, v in enumerate(values):
            inverse[b, j, 0] = v / squares if squares > 0 else 0.0
    return inverse


def _one_row(g: torch.Generator) -> tuple[Tensor]:
    return (uniform(g, 2, 1, 3, 4),)


def _with_an_empty_mask() -> Tensor:
    (G_s,) = _one_row(torch.Generator().manual_seed(7))
    G_s[1] = 0
    return G_s


INVERSE_OF_ROW = Exercise(
    id="4.1",
    title="the generalized inverse of a row, safe when empty",
    reference=inverse_of_row,
    spec=_inverse_loop,
    tiny=[(torch.tensor([[[[1.0, 0.0, 0.5]]]]),)],
    draw=_one_row,
    invariances=[
        Invariance(
            "G_s times its inverse must be 1.",
            lambda fn, G_s: close(G_s.flatten(2) @ fn(G_s), torch.ones_like(G_s[..., 0, :1])),
        ),
        Invariance(
            "When the mask is halved, its inverse must double.",
            lambda fn, G_s: close(fn(G_s / 2), 2 * fn(G_s)),
        ),
    ],
    edges=[
        Edge((_with_an_empty_mask(),), ONE_EMPTY),
        Edge((torch.zeros(1, 1, 2, 2),), EMPTY),
        Edge(
            (torch.tensor([[[[0.0, 1e-3, 0.0]]]]),),
            "A tiny object may cover a thousandth of one cell: the square is 1e-6, and the "
            "inverse must still be exact.",
        ),
    ],
    extremes=at_scales(_one_row, 0, factors=TINY),
    grid=lambda G_s: G_s.shape[2:],
    slips=[
        Slip(NOT_DIVIDED, lambda G: G.flatten(2).transpose(1, 2)),
        Slip(
            HARD_ONLY,
            lambda G: (G.flatten(2) / G.flatten(2).sum(2, keepdim=True)).transpose(1, 2),
        ),
        Slip(
            "The divisor is the length of the row. G_s G_s^T is the squared length.",
            lambda G: (G.flatten(2) / G.flatten(2).norm(dim=2, keepdim=True)).transpose(1, 2),
        ),
        Slip(
            "The result is a row. The inverse of a (1 x N) row is an (N x 1) column.",
            lambda G: G.flatten(2) / _gram(G.flatten(2)),
        ),
        Slip(
            "The divisor is the number of pixels. Divide by the sum of the squares of g.",
            lambda G: G.flatten(2).transpose(1, 2) / G[0, 0].numel(),
        ),
        Slip(
            "Each entry is inverted separately. The inverse of a row is the row divided by the "
            "sum of its squares.",
            lambda G: torch.where(G > 0, 1 / G, 0).flatten(2).transpose(1, 2),
        ),
        Slip(ONE_FOR_ALL, lambda G: G.flatten(2).transpose(1, 2) / (G * G).sum()),
        Slip(
            "The mask is rounded. A soft value is the share of a cell that the object covers.",
            lambda G: inverse_of_row((G > 0.5).to(G.dtype)),
        ),
        Slip(
            "The pixels are counted down the columns. Pixel (y, x) must be row y * w + x.",
            lambda G: inverse_of_row(G.transpose(2, 3)),
        ),
        Slip(EMPTY_DIVIDED, lambda G: (G.flatten(2) / _gram(G.flatten(2))).transpose(1, 2)),
        Slip(
            "In your code G_s G_s^T is never below 1e-5, but the square of a small soft value is. "
            "Only a divisor of 0 must be replaced.",
            lambda G: (G.flatten(2) / _gram(G.flatten(2)).clamp_min(1e-5)).mT,
        ),
        *(
            Slip(
                f"{eps} is added to G_s G_s^T, but the square of a small soft value is small, too. "
                "Only a divisor of 0 must be replaced.",
                lambda G, eps=float(eps): (G.flatten(2) / (_gram(G.flatten(2)) + eps)).mT,
            )
            for eps in ("1e-5", "1e-6", "1e-7", "1e-8")
        ),
    ],
    hints=[
        "For one row, the matrix G_s G_s^T is one number per episode. Which number is it? And "
        "when is it 0?",
        "g = G_s.flatten(2) is (B, 1, N). Divide it by the sum of its squares, with "
        "`torch.where(gram > 0, gram, 1)` so that an empty mask is divided by 1. Then use "
        "transpose(1, 2).",
    ],
)


# 4.2 ----------------------------------------------------------------------------------------------


def attention_without_R(E_q: torch.Tensor, E_s: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """A without R: (B, D, h, w), (B, D, h', w') and (B, 1, h', w') -> (B, N_q)."""
    q, s, g = E_q.flatten(2), E_s.flatten(2), G_s.flatten(2)
    length_q = torch.linalg.vector_norm(q, dim=1, keepdim=True)
    length_s = torch.linalg.vector_norm(s, dim=1, keepdim=True)
    u_q = q / torch.where(length_q > 0, length_q, 1)
    u_s = s / torch.where(length_s > 0, length_s, 1)
    gram = (g * g).sum(dim=2, keepdim=True)
    prototype = u_s @ g.transpose(1, 2) / torch.where(gram > 0, gram, 1)
    return (u_q.transpose(1, 2) @ prototype).squeeze(2)


def _attention_loop(E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
    (B, _, h, w), (h_s, w_s) = E_q.shape, E_s.shape[2:]
    A = torch.zeros(B, h * w, dtype=torch.float64)
    for b in range(B):
        for i in range(h * w):
            a = E_q[b, :, i // w, i % w].tolist()
            numerator = divisor = 0.0
            for j in range(h_s * w_s):
                c, g = E_s[b, :, j // w_s, j % w_s].tolist(), float(G_s[b, 0, j // w_s, j % w_s])
                numerator += g * cosine_of(a, c)
                divisor += g * g
            A[b, i] = numerator / divisor if divisor > 0 else 0.0
    return A


def _episode(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    return normal(g, 2, 3, 4, 5), normal(g, 2, 3, 6, 4), uniform(g, 2, 1, 6, 4)


def _many_pixels() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    drawn = normal(g, 1, 8, 15, 20), normal(g, 1, 8, 15, 20), uniform(g, 1, 1, 15, 20)
    return tuple(x.float() for x in drawn)


def _unit(E: Tensor) -> Tensor:
    E = E.flatten(2)
    return E / torch.linalg.vector_norm(E, dim=1, keepdim=True).clamp_min(1e-5)


def _prototype(E_s: Tensor, G_s: Tensor) -> Tensor:
    return _unit(E_s) @ inverse_of_row(G_s)


def _min_max(A: Tensor) -> Tensor:
    low, high = A.amin(1, keepdim=True), A.amax(1, keepdim=True)
    return (A - low) / (high - low)


def _with_a_zero_pixel() -> tuple[Tensor, Tensor, Tensor]:
    E_q, E_s, G_s = _episode(torch.Generator().manual_seed(7))
    E_q[0, :, 1, 2] = 0
    E_s[1, :, 0, 1] = 0
    return E_q, E_s, G_s


def _with_an_empty_mask_in_the_batch() -> tuple[Tensor, Tensor, Tensor]:
    E_q, E_s, G_s = _episode(torch.Generator().manual_seed(8))
    G_s[0] = 0
    return E_q, E_s, G_s


_TINY_EPISODE = (
    torch.tensor([[[[1.0, 0.0, 3.0]], [[0.0, 2.0, 4.0]]]]),
    torch.tensor([[[[5.0, 0.0]], [[0.0, 1.0]]]]),
    torch.tensor([[[[1.0, 0.5]]]]),
)

ATTENTION_WITHOUT_R = Exercise(
    id="4.2",
    title="attention without R",
    reference=attention_without_R,
    spec=_attention_loop,
    tiny=[_TINY_EPISODE],
    draw=_episode,
    invariances=[
        Invariance(
            "A must not change when E_q or E_s is scaled.",
            lambda fn, E_q, E_s, G_s: close(fn(1000 * E_q, 50 * E_s, G_s), fn(E_q, E_s, G_s)),
        ),
    ],
    edges=[
        Edge(_with_a_zero_pixel(), ZERO),
        Edge((*_TINY_EPISODE[:2], 0 * _TINY_EPISODE[2]), EMPTY),
        Edge(_with_an_empty_mask_in_the_batch(), ONE_EMPTY),
        Edge((1e-3 * _TINY_EPISODE[0], 1e-3 * _TINY_EPISODE[1], _TINY_EPISODE[2]), SCALE),
        Edge((1e6 * _TINY_EPISODE[0], 1e6 * _TINY_EPISODE[1], _TINY_EPISODE[2]), SCALE),
    ],
    extremes=at_scales(_episode, 0) + at_scales(_episode, 1) + at_scales(_episode, 2, factors=TINY),
    costs=[
        Cost(
            _many_pixels(),
            "R has 90,000 numbers here, and row by row it takes 720,000 multiplications. Sum over "
            "the support first, then multiply by the query.",
            numbers=300 * 300 // 2,
            operations=300 * 300 * 8 // 4,
        )
    ],
    grid=lambda E_q, E_s, G_s: E_q.shape[2:],
    differentiable=(0, 1),
    slips=[
        Slip(
            "The support's vectors do not have length 1, so longer vectors weigh more. Normalise "
            "them.",
            lambda q, s, g: (_unit(q).mT @ (s.flatten(2) @ inverse_of_row(g))).squeeze(2),
        ),
        Slip(
            "The query's vectors do not have length 1. Normalise them.",
            lambda q, s, g: (q.flatten(2).mT @ _prototype(s, g)).squeeze(2),
        ),
        Slip(
            "These are dot products. Did you normalise? Scale E_q and E_s to length 1 at each "
            "pixel.",
            lambda q, s, g: (q.flatten(2).mT @ (s.flatten(2) @ inverse_of_row(g))).squeeze(2),
        ),
        Slip(
            "The prototype is scaled to length 1, too. Leave it as it is: it is shorter where the "
            "object's pixels differ, and A must show that.",
            lambda q, s, g: (_unit(q).mT @ _unit(_prototype(s, g))).squeeze(2),
        ),
        Slip(
            "You average first and normalise afterwards, which gives the global prototype. Scale "
            "each support pixel to length 1 before the sum.",
            lambda q, s, g: (_unit(q).mT @ _unit(s.flatten(2) @ g.flatten(2).mT)).squeeze(2),
        ),
        Slip(
            HARD_ONLY,
            lambda q, s, g: (
                _unit(q).mT @ (_unit(s) @ g.flatten(2).mT) / g.flatten(2).sum(2, keepdim=True)
            ).squeeze(2),
        ),
        Slip(
            NOT_DIVIDED,
            lambda q, s, g: (_unit(q).mT @ (_unit(s) @ g.flatten(2).mT)).squeeze(2),
        ),
        Slip(
            ONE_FOR_ALL,
            lambda q, s, g: (_unit(q).mT @ (_unit(s) @ g.flatten(2).mT) / (g * g).sum()).squeeze(2),
        ),
        Slip(
            "The sum is divided by the number of support pixels. Divide by G_s G_s^T, the sum of "
            "the squares of g.",
            lambda q, s, g: (
                (_unit(q).mT @ (_unit(s) @ g.flatten(2).mT)).squeeze(2) / g[0, 0].numel()
            ),
        ),
        Slip(
            "Min-max normalisation comes with equation 6. Return A itself.",
            lambda q, s, g: _min_max(_unit(q).mT @ _prototype(s, g)).squeeze(2),
        ),
        Slip(
            "There is one dimension too many. With one mask row, A is (B, N_q): squeeze the last "
            "dimension.",
            lambda q, s, g: _unit(q).mT @ _prototype(s, g),
        ),
        Slip(
            "The mask is not used. Weight the support's pixels with G_s before you sum them.",
            lambda q, s, g: (_unit(q).mT @ _unit(s).mean(dim=2, keepdim=True)).squeeze(2),
        ),
        Slip(
            "The mask is rounded. A soft value is the share of a cell that the object covers.",
            lambda q, s, g: (_unit(q).mT @ _prototype(s, (g > 0.5).to(g.dtype))).squeeze(2),
        ),
        Slip(
            "A zero vector gives NaN, because 0 / 0 is computed. Its relation must be 0.",
            lambda q, s, g: (
                (q.flatten(2) / q.flatten(2).norm(dim=1, keepdim=True)).mT
                @ (s.flatten(2) / s.flatten(2).norm(dim=1, keepdim=True) @ inverse_of_row(g))
            ).squeeze(2),
        ),
        Slip(
            EMPTY_DIVIDED,
            lambda q, s, g: (
                _unit(q).mT @ (_unit(s) @ g.flatten(2).mT / _gram(g.flatten(2)))
            ).squeeze(2),
        ),
    ],
    hints=[
        "A = (u_q^T u_s) G_s^+. You may move the brackets. Which product is small?",
        "Compute the unit columns u_q and u_s as in notebook 03. `prototype = u_s @ "
        "g.transpose(1, 2)` is (B, D, 1); divide it by the sum of the squares of g. Then compute "
        "u_q.transpose(1, 2) @ prototype.",
    ],
)


# 4.3 ----------------------------------------------------------------------------------------------


def unmix(R: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """A for m mask rows that may overlap: (B, N_q, N_s) and (B, m, h, w) -> (B, N_q, m)."""
    g = G_s.flatten(2)
    gram = g @ g.transpose(1, 2)
    gram = gram + 1e-5 * torch.eye(g.shape[1], dtype=g.dtype, device=g.device)
    return R @ torch.linalg.solve(gram, g).transpose(1, 2)


def _unmix_loop(R: Tensor, G_s: Tensor) -> Tensor:
    (B, N_q, N_s), m = R.shape, G_s.shape[1]
    A = torch.zeros(B, N_q, m, dtype=torch.float64)
    for b in range(B):
        g = G_s[b].flatten(1).tolist()
        for i in range(N_q):
            # The normal equations of this query pixel, one per mask row, by Gauss-Jordan.
            equations = []
            for k in range(m):
                left = [sum(g[k][j] * g[n][j] for j in range(N_s)) for n in range(m)]
                left[k] += 1e-5
                equations.append([*left, sum(g[k][j] * float(R[b, i, j]) for j in range(N_s))])
            for k in range(m):
                equations[k] = [v / equations[k][k] for v in equations[k]]
                for n in range(m):
                    if n != k:
                        factor = equations[n][k]
                        pairs = zip(equations[n], equations[k], strict=True)
                        equations[n] = [v - factor * p for v, p in pairs]
            for k in range(m):
                A[b, i, k] = equations[k][m]
    return A


def _several_rows(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 5, 12), uniform(g, 2, 3, 3, 4)


def _with_an_empty_row() -> tuple[Tensor, Tensor]:
    R, G_s = _several_rows(torch.Generator().manual_seed(7))
    G_s[1, 2] = 0
    return R, G_s


def _each_row_separately(R: Tensor, G_s: Tensor) -> Tensor:
    g = G_s.flatten(2)
    return R @ (g / _gram(g).clamp_min(1e-5)).mT


def _unmix_by_inverse(R: Tensor, G_s: Tensor) -> Tensor:
    g = G_s.flatten(2)
    return R @ g.mT @ torch.linalg.inv(g @ g.mT)


def _matrix(G_s: Tensor) -> Tensor:
    g = G_s.flatten(2)
    return g @ g.mT


EMPTY_ROW = (
    "The column of A that belongs to an empty mask row must be 0. The other columns must be solved "
    "without that row."
)

UNMIX = Exercise(
    id="4.3",
    title="several mask rows that overlap",
    reference=unmix,
    spec=_unmix_loop,
    tiny=[
        (torch.tensor([[[0.6, 0.4], [0.4, 0.6]]]), torch.tensor([[[[0.5, 0.0]], [[0.5, 1.0]]]])),
    ],
    draw=_several_rows,
    invariances=[
        Invariance(
            "When R is exactly A G_s, the result must be A.",
            lambda fn, R, G_s: close(fn(R[..., :3] @ G_s.flatten(2), G_s), R[..., :3]),
        ),
        Invariance(
            "When the mask rows change their order, the columns of A must change their order in "
            "the same way, and nothing else.",
            lambda fn, R, G_s: close(fn(R, G_s.flip(1)), fn(R, G_s).flip(2)),
        ),
    ],
    edges=[
        Edge(_with_an_empty_row(), EMPTY_ROW),
        Edge(
            (
                1e-6 * torch.tensor([[[0.6, 0.4], [0.4, 0.6]]]),
                torch.tensor([[[[0.5, 0.0]], [[0.5, 1.0]]]]),
            ),
            "Small values of R must stay as they are, without rounding.",
        ),
    ],
    extremes=at_scales(_several_rows, 0),
    differentiable=(0,),
    slips=[
        Slip(NOT_DIVIDED, lambda R, G: R @ G.flatten(2).mT),
        Slip(
            "Each mask row is solved separately. Rows that overlap must be solved together.",
            _each_row_separately,
        ),
        Slip(
            "The mean of each mask row is computed separately. Rows that overlap must be solved "
            "together.",
            lambda R, G: R @ (G.flatten(2) / G.flatten(2).sum(2, keepdim=True)).mT,
        ),
        Slip(
            "Each entry of G_s G_s^T is inverted separately. It is a matrix: use "
            "torch.linalg.solve.",
            lambda R, G: R @ G.flatten(2).mT @ (1 / (G.flatten(2) @ G.flatten(2).mT)),
        ),
        Slip(
            "The shape is (B, m, N_q): is A transposed? A has one row for each query pixel.",
            lambda R, G: unmix(R, G).mT,
        ),
        Slip(
            "Only the first mask row is used. A must have one column for each mask row.",
            lambda R, G: unmix(R, G)[..., :1],
        ),
        Slip(
            "The masks are rounded. A soft value is the share of a cell that the object covers.",
            lambda R, G: unmix(R, (G > 0.5).to(G.dtype)),
        ),
        Slip(
            "A softmax is applied over the mask rows. A is the least-squares solution itself.",
            lambda R, G: unmix(R, G).softmax(dim=2),
        ),
        Slip(
            "1e-5 is added to every entry of G_s G_s^T. Add it to the diagonal alone: 1e-5 * "
            "torch.eye(m).",
            lambda R, G: R @ torch.linalg.solve(_matrix(G) + 1e-5, G.flatten(2)).mT,
        ),
        Slip(
            "An empty mask row makes G_s G_s^T singular. Add 1e-5 to its diagonal.",
            _unmix_by_inverse,
        ),
    ],
    hints=[
        "R G_s^T is known, and so is the (m x m) matrix G_s G_s^T. Which equation must A satisfy?",
        "`gram = g @ g.transpose(1, 2) + 1e-5 * torch.eye(m)`. `torch.linalg.solve(gram, g)` is "
        "(B, m, N_s): the generalized inverse of G_s, transposed. A is R times the transpose of "
        "that.",
    ],
)


# 4.4 ----------------------------------------------------------------------------------------------


def stacked_shots(R: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """A for K supports in one long G_s: (B, K, N_q, N_s) and (B, K, 1, h, w) -> (B, N_q)."""
    g = G_s.flatten(2)  # (B, K, N_s)
    gram = (g * g).sum(dim=(1, 2))[:, None]
    return torch.einsum("bkij,bkj->bi", R, g) / torch.where(gram > 0, gram, 1)


def _stacked_loop(R: Tensor, G_s: Tensor) -> Tensor:
    B, K, N_q, N_s = R.shape
    A = torch.zeros(B, N_q, dtype=torch.float64)
    for b in range(B):
        for i in range(N_q):
            numerator = divisor = 0.0
            for k in range(K):
                for j in range(N_s):
                    g = float(G_s[b, k, 0].flatten()[j])
                    numerator += float(R[b, k, i, j]) * g
                    divisor += g * g
            A[b, i] = numerator / divisor if divisor > 0 else 0.0
    return A


def _shots(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 3, 5, 6), uniform(g, 2, 3, 1, 2, 3)


def _each_shot(R: Tensor, G_s: Tensor, squares: bool = True) -> tuple[Tensor, Tensor]:
    """A of each shot (B, K, N_q), and its weight in the long G_s (B, K, 1)."""
    g = G_s.flatten(2)
    weight = (g * g if squares else g).sum(dim=2)[..., None]
    return torch.einsum("bkij,bkj->bki", R, g) / weight, weight


def _with_empty_shots(*empty: int) -> tuple[Tensor, Tensor]:
    R, G_s = _shots(torch.Generator().manual_seed(7))
    G_s[1, list(empty)] = 0
    return R, G_s


def _weighted(R: Tensor, G_s: Tensor) -> Tensor:
    A, weight = _each_shot(R, G_s)
    return (A * weight).sum(dim=1) / weight.sum(dim=1)


def _reshaped_without_transpose(R: Tensor, G_s: Tensor) -> Tensor:
    B, K, N_q, N_s = R.shape
    long = R.reshape(B, N_q, K * N_s)  # wrong: the K axis comes before the query pixels
    g = G_s.reshape(B, 1, K * N_s)
    return (long @ g.mT / _gram(g)).squeeze(2)


STACKED_SHOTS = Exercise(
    id="4.4",
    title="K supports in one G_s",
    reference=stacked_shots,
    spec=_stacked_loop,
    tiny=[
        (
            torch.tensor([[[[0.9, 0.7, 0.1]], [[0.2, 0.0, 0.6]]]]),
            torch.tensor([[[[[1.0, 1.0, 0.0]]], [[[0.5, 0.0, 0.0]]]]]),
        )
    ],
    draw=_shots,
    invariances=[
        Invariance(
            "The order of the supports must not change the result.",
            lambda fn, R, G_s: close(fn(R.flip(1), G_s.flip(1)), fn(R, G_s)),
        ),
        Invariance(
            "A support that is given twice must count as if it were given once.",
            lambda fn, R, G_s: close(
                fn(R[:, :1].repeat(1, 2, 1, 1), G_s[:, :1].repeat(1, 2, 1, 1, 1)),
                fn(R[:, :1], G_s[:, :1]),
            ),
        ),
    ],
    edges=[
        Edge(
            _with_empty_shots(0),
            "An empty support must not change the result: only the others count.",
        ),
        Edge(
            _with_empty_shots(0, 1, 2),
            "All masks of one episode are empty. Its result must be 0, and the other episode must "
            "have its usual result.",
        ),
        Edge(
            (
                1e-6 * torch.tensor([[[[0.9, 0.7, 0.1]], [[0.2, 0.0, 0.6]]]]),
                torch.tensor([[[[[1.0, 1.0, 0.0]]], [[[0.5, 0.0, 0.0]]]]]),
            ),
            "Small values of R must stay as they are, without rounding.",
        ),
    ],
    extremes=at_scales(_shots, 0) + at_scales(_shots, 1, factors=TINY),
    differentiable=(0,),
    slips=[
        Slip(
            "This is the mean of the K solutions, where each support has the same weight. In one "
            "G_s each pixel has its own weight.",
            lambda R, G: _each_shot(R, G)[0].mean(dim=1),
        ),
        Slip(
            "The K relations and the K masks are averaged first, which mixes the pixels of "
            "different supports. Put them side by side instead.",
            lambda R, G: _each_shot(R.mean(1, keepdim=True), G.mean(1, keepdim=True))[0][:, 0],
        ),
        Slip(
            "This is the sum of the K solutions. Solve once, with one long G_s.",
            lambda R, G: _each_shot(R, G)[0].sum(dim=1),
        ),
        Slip(
            "This is the largest of the K solutions. Solve once, with one long G_s.",
            lambda R, G: _each_shot(R, G)[0].amax(dim=1),
        ),
        Slip(
            "Only the first support is used. Use all K supports.",
            lambda R, G: _each_shot(R, G)[0][:, 0],
        ),
        Slip(
            "The shape is (B, K, N_q), one map for each support. All supports share one A of "
            "shape (B, N_q).",
            lambda R, G: _each_shot(R, G)[0],
        ),
        Slip(
            NOT_DIVIDED,
            lambda R, G: torch.einsum("bkij,bkj->bi", R, G.flatten(2)),
        ),
        Slip(
            HARD_ONLY,
            lambda R, G: (
                torch.einsum("bkij,bkj->bi", R, G.flatten(2)) / G.flatten(1).sum(1, keepdim=True)
            ),
        ),
        Slip(
            ONE_FOR_ALL,
            lambda R, G: torch.einsum("bkij,bkj->bi", R, G.flatten(2)) / (G * G).sum(),
        ),
        Slip(
            "reshape mixed supports and query pixels. A row of the long R is one query pixel: use "
            "transpose(1, 2) before flatten(2).",
            _reshaped_without_transpose,
        ),
        Slip(
            EMPTY_DIVIDED,
            lambda R, G: (
                torch.einsum("bkij,bkj->bi", R, G.flatten(2))
                / (G * G).flatten(1).sum(1, keepdim=True)
            ),
        ),
        Slip(
            "An empty support gives NaN, because 0 / 0 is computed for it. Only the others count.",
            _weighted,
        ),
    ],
    hints=[
        "Join the K masks into one row of K * N_s pixels, and put the K relations side by side. "
        "Then this is equation 5 again, with one G_s G_s^T.",
        "Sum over supports and pixels: `torch.einsum('bkij,bkj->bi', R, G_s.flatten(2))`. Divide "
        "by the sum of all squares of G_s, for each episode separately.",
    ],
)


EXERCISES = (INVERSE_OF_ROW, ATTENTION_WITHOUT_R, UNMIX, STACKED_SHOTS)
