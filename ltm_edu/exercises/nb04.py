"""Exercises of notebook 04, a mask that has no inverse: equations 4 and 5."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .common import close, normal, safe_gradient, uniform
from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

EMPTY = "NaN or infinity where a mask is empty: nothing is marked, so the result must be 0"
HARD_ONLY = (
    "divided by the sum of g: right for a mask of 0 and 1 only. G_s G_s^T sums the squares of g"
)
NOT_DIVIDED = "G_s^T alone: (G_s G_s^T)^-1 is missing"
ONE_FOR_ALL = "one G_s G_s^T for the whole batch: each episode has its own"
EMPTY_GRADIENT = (
    "right values, but the gradient is NaN where a mask is empty: torch.where hides the value of "
    "0 / 0, not its gradient. Keep the divisor above 0"
)
ZERO = "NaN or infinity where a vector is zero: it has no direction, so its relation must be 0"


def _gram(g: Tensor) -> Tensor:
    return (g * g).sum(dim=2, keepdim=True)


# 4.1 ----------------------------------------------------------------------------------------------


def inverse_of_row(G_s: torch.Tensor) -> torch.Tensor:
    """G_s^+ of one soft mask row each, (B, 1, h, w) -> (B, N, 1); an empty mask gives zeros."""
    g = G_s.flatten(2)
    gram = (g * g).sum(dim=2, keepdim=True)
    return (g / gram.clamp_min(1e-5)).transpose(1, 2)


def _inverse_loop(G_s: Tensor) -> Tensor:
    B, _, h, w = G_s.shape
    found = torch.zeros(B, h * w, 1, dtype=torch.float64)
    for b in range(B):
        values = [v for line in G_s[b, 0].tolist() for v in line]
        squares = sum(v * v for v in values)
        for j, v in enumerate(values):
            found[b, j, 0] = v / squares if squares > 0 else 0.0
    return found


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
            "G_s times its inverse must be 1",
            lambda fn, G_s: close(G_s.flatten(2) @ fn(G_s), torch.ones_like(G_s[..., 0, :1])),
        ),
        Invariance(
            "half the mask must have twice the inverse",
            lambda fn, G_s: close(fn(G_s / 2), 2 * fn(G_s)),
        ),
    ],
    edges=[
        Edge((_with_an_empty_mask(),), EMPTY),
        Edge((torch.zeros(1, 1, 2, 2),), EMPTY),
    ],
    slips=[
        Slip(NOT_DIVIDED, lambda G: G.flatten(2).transpose(1, 2)),
        Slip(
            HARD_ONLY,
            lambda G: (G.flatten(2) / G.flatten(2).sum(2, keepdim=True)).transpose(1, 2),
        ),
        Slip(
            "divided by the length of the row: G_s G_s^T is the length squared",
            lambda G: (G.flatten(2) / G.flatten(2).norm(dim=2, keepdim=True)).transpose(1, 2),
        ),
        Slip(
            "still a row: the inverse of a (1 x N) row is an (N x 1) column",
            lambda G: G.flatten(2) / _gram(G.flatten(2)),
        ),
        Slip(
            "divided by the number of pixels: pixels outside the object do not count",
            lambda G: G.flatten(2).transpose(1, 2) / G[0, 0].numel(),
        ),
        Slip(
            "one over each entry: no inverse of a row works entry by entry",
            lambda G: torch.where(G > 0, 1 / G, 0).flatten(2).transpose(1, 2),
        ),
        Slip(ONE_FOR_ALL, lambda G: G.flatten(2).transpose(1, 2) / (G * G).sum()),
        Slip(
            "the mask was rounded: a soft value says how much of a cell the object covers",
            lambda G: inverse_of_row((G > 0.5).to(G.dtype)),
        ),
        Slip(
            "pixels in column order: pixel (y, x) is row y * w + x",
            lambda G: inverse_of_row(G.transpose(2, 3)),
        ),
        Slip(EMPTY, lambda G: (G.flatten(2) / _gram(G.flatten(2))).transpose(1, 2)),
    ],
    hints=[
        "For one row the matrix G_s G_s^T is one number an episode. Which one? And when is it 0?",
        "g = G_s.flatten(2) is (B, 1, N). Divide it by the sum of its squares, kept from being "
        "zero with `.clamp_min(1e-5)`, then transpose(1, 2).",
    ],
)


# 4.2 ----------------------------------------------------------------------------------------------


def attention_without_R(E_q: torch.Tensor, E_s: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """A without R: (B, D, h, w), (B, D, h', w') and (B, 1, h', w') -> (B, N_q)."""
    q, s, g = E_q.flatten(2), E_s.flatten(2), G_s.flatten(2)
    q = q / torch.linalg.vector_norm(q, dim=1, keepdim=True).clamp_min(1e-5)
    s = s / torch.linalg.vector_norm(s, dim=1, keepdim=True).clamp_min(1e-5)
    gram = (g * g).sum(dim=2, keepdim=True).clamp_min(1e-5)
    prototype = s @ g.transpose(1, 2) / gram
    return (q.transpose(1, 2) @ prototype).squeeze(2)


def _attention_loop(E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
    (B, _, h, w), (h_s, w_s) = E_q.shape, E_s.shape[2:]
    A = torch.zeros(B, h * w, dtype=torch.float64)
    for b in range(B):
        for i in range(h * w):
            a = E_q[b, :, i // w, i % w].double()
            top = bottom = 0.0
            for j in range(h_s * w_s):
                c, g = E_s[b, :, j // w_s, j % w_s].double(), float(G_s[b, 0, j // w_s, j % w_s])
                lengths = float(a.norm() * c.norm())
                top += g * float(a @ c) / lengths if lengths > 1e-10 else 0.0
                bottom += g * g
            A[b, i] = top / bottom if bottom > 0 else 0.0
    return A


def _episode(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    return normal(g, 2, 3, 4, 5), normal(g, 2, 3, 6, 4), uniform(g, 2, 1, 6, 4)


def _builds_no_R(
    fn: Callable[[Tensor, Tensor, Tensor], Tensor], E_q: Tensor, E_s: Tensor, G_s: Tensor
) -> bool:
    """Whether nothing as large as R is kept for the backward pass, where R G_s^+ would keep R."""
    largest = 0

    def note(x: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, x.numel())
        return x

    inputs = [x.clone().requires_grad_() for x in (E_q, E_s, G_s)]
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        fn(*inputs)
    return largest < E_q[0, 0].numel() * E_s[0, 0].numel()


def _unit(E: Tensor) -> Tensor:
    E = E.flatten(2)
    return E / torch.linalg.vector_norm(E, dim=1, keepdim=True).clamp_min(1e-5)


def _prototype(E_s: Tensor, G_s: Tensor) -> Tensor:
    return _unit(E_s) @ inverse_of_row(G_s)


def _with_a_zero_pixel() -> tuple[Tensor, Tensor, Tensor]:
    E_q, E_s, G_s = _episode(torch.Generator().manual_seed(7))
    E_q[0, :, 1, 2] = 0
    E_s[1, :, 0, 1] = 0
    return E_q, E_s, G_s


def _with_nothing_marked() -> tuple[Tensor, Tensor, Tensor]:
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
            "right values, but R was built (something as large as N_q x N_s was computed): first "
            "sum the support, then multiply by the query",
            _builds_no_R,
        ),
        Invariance(
            "a brighter feature is no closer: A must not change when E_q or E_s is scaled",
            lambda fn, E_q, E_s, G_s: close(fn(1000 * E_q, 50 * E_s, G_s), fn(E_q, E_s, G_s)),
        ),
        safe_gradient(EMPTY_GRADIENT, 1, _with_nothing_marked()),
    ],
    edges=[Edge(_with_a_zero_pixel(), ZERO), Edge(_with_nothing_marked(), EMPTY)],
    differentiable=(0, 1),
    slips=[
        Slip(
            "the support's vectors are not of length 1: a long one has more say",
            lambda q, s, g: (_unit(q).mT @ (s.flatten(2) @ inverse_of_row(g))).squeeze(2),
        ),
        Slip(
            "the query's vectors are not of length 1",
            lambda q, s, g: (q.flatten(2).mT @ _prototype(s, g)).squeeze(2),
        ),
        Slip(
            "values over 1: did you normalise? Both E_q and E_s to length 1, pixel by pixel",
            lambda q, s, g: (q.flatten(2).mT @ (s.flatten(2) @ inverse_of_row(g))).squeeze(2),
        ),
        Slip(
            "the prototype got length 1, too: it is shorter where the object's pixels disagree, "
            "and A says so",
            lambda q, s, g: (_unit(q).mT @ _unit(_prototype(s, g))).squeeze(2),
        ),
        Slip(
            "averaged first, normalised after: that is the global prototype. Here each support "
            "pixel gets length 1 before the sum",
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
            "one dimension too many: with one mask row A is (B, N_q), squeeze the last",
            lambda q, s, g: _unit(q).mT @ _prototype(s, g),
        ),
        Slip(
            "the mask has no say: weight the support's pixels with G_s before you sum them",
            lambda q, s, g: (_unit(q).mT @ _unit(s).mean(dim=2, keepdim=True)).squeeze(2),
        ),
        Slip(
            ZERO,
            lambda q, s, g: (
                (q.flatten(2) / q.flatten(2).norm(dim=1, keepdim=True)).mT
                @ (s.flatten(2) / s.flatten(2).norm(dim=1, keepdim=True) @ inverse_of_row(g))
            ).squeeze(2),
        ),
        Slip(
            EMPTY,
            lambda q, s, g: (
                _unit(q).mT @ (_unit(s) @ g.flatten(2).mT / _gram(g.flatten(2)))
            ).squeeze(2),
        ),
    ],
    hints=[
        "A = (u_q^T u_s) G_s^+. Brackets may move: which product is small?",
        "Unit columns u_q and u_s as in notebook 03; `prototype = u_s @ g.transpose(1, 2)` is "
        "(B, D, 1), divided by the sum of g squared; then u_q.transpose(1, 2) @ prototype.",
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
        g = [[v for line in row for v in line] for row in G_s[b].tolist()]
        for i in range(N_q):
            # The normal equations of this query pixel, one line a mask row, then Gauss-Jordan.
            lines = []
            for k in range(m):
                left = [sum(g[k][j] * g[n][j] for j in range(N_s)) for n in range(m)]
                left[k] += 1e-5
                lines.append([*left, sum(g[k][j] * float(R[b, i, j]) for j in range(N_s))])
            for k in range(m):
                lines[k] = [v / lines[k][k] for v in lines[k]]
                for n in range(m):
                    if n != k:
                        factor = lines[n][k]
                        pairs = zip(lines[n], lines[k], strict=True)
                        lines[n] = [v - factor * p for v, p in pairs]
            for k in range(m):
                A[b, i, k] = lines[k][m]
    return A


def _several_rows(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 5, 12), uniform(g, 2, 3, 3, 4)


def _with_an_empty_row() -> tuple[Tensor, Tensor]:
    R, G_s = _several_rows(torch.Generator().manual_seed(7))
    G_s[1, 2] = 0
    return R, G_s


def _column_by_column(R: Tensor, G_s: Tensor) -> Tensor:
    g = G_s.flatten(2)
    return R @ (g / _gram(g).clamp_min(1e-5)).mT


def _unmix_by_inverse(R: Tensor, G_s: Tensor) -> Tensor:
    g = G_s.flatten(2)
    return R @ g.mT @ torch.linalg.inv(g @ g.mT)


EMPTY_ROW = "an empty mask row makes G_s G_s^T singular: its column of A must be 0"

UNMIX = Exercise(
    id="4.3",
    title="several rows, un-mixed",
    reference=unmix,
    spec=_unmix_loop,
    tiny=[
        (torch.tensor([[[0.5, 1.0], [0.5, 0.0]]]), torch.tensor([[[[0.5, 0.0]], [[0.5, 1.0]]]])),
    ],
    draw=_several_rows,
    invariances=[
        Invariance(
            "where R is A G_s exactly, A must come back",
            lambda fn, R, G_s: close(fn(R[..., :3] @ G_s.flatten(2), G_s), R[..., :3]),
        ),
        Invariance(
            "with the mask rows in another order, the columns of A must change places and nothing "
            "else",
            lambda fn, R, G_s: close(fn(R, G_s.flip(1)), fn(R, G_s).flip(2)),
        ),
    ],
    edges=[Edge(_with_an_empty_row(), EMPTY_ROW)],
    differentiable=(0,),
    slips=[
        Slip(NOT_DIVIDED, lambda R, G: R @ G.flatten(2).mT),
        Slip(
            "each row was solved by itself: rows that overlap must be solved together",
            _column_by_column,
        ),
        Slip(
            "each row's mean by itself: rows that overlap must be solved together",
            lambda R, G: R @ (G.flatten(2) / G.flatten(2).sum(2, keepdim=True)).mT,
        ),
        Slip(
            "one over each entry of G_s G_s^T: it is a matrix, so solve",
            lambda R, G: R @ G.flatten(2).mT @ (1 / (G.flatten(2) @ G.flatten(2).mT)),
        ),
        Slip(
            "(m, N_q): transposed? A has a line for each query pixel",
            lambda R, G: unmix(R, G).mT,
        ),
        Slip("only the first mask row: A has a column for each", lambda R, G: unmix(R, G)[..., :1]),
        Slip(
            "the masks were rounded: a soft value says how much of a cell the object covers",
            lambda R, G: unmix(R, (G > 0.5).to(G.dtype)),
        ),
        Slip(
            "softmax over the rows: A is the least-squares solution itself",
            lambda R, G: unmix(R, G).softmax(dim=2),
        ),
        Slip(EMPTY_ROW, _unmix_by_inverse),
    ],
    hints=[
        "R G_s^T is known, and so is the (m x m) matrix G_s G_s^T. What must A satisfy?",
        "`gram = g @ g.transpose(1, 2) + 1e-5 * torch.eye(m)`; `torch.linalg.solve(gram, g)` is "
        "(B, m, N_s), the transposed inverse, and R times its transpose is A.",
    ],
)


# 4.4 ----------------------------------------------------------------------------------------------


def stacked_shots(R: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """A of K supports in one long G_s: (B, K, N_q, N_s) and (B, K, 1, h, w) -> (B, N_q)."""
    g = G_s.flatten(2)  # (B, K, N_s)
    gram = (g * g).sum(dim=(1, 2)).clamp_min(1e-5)
    return torch.einsum("bkij,bkj->bi", R, g) / gram[:, None]


def _stacked_loop(R: Tensor, G_s: Tensor) -> Tensor:
    B, K, N_q, N_s = R.shape
    A = torch.zeros(B, N_q, dtype=torch.float64)
    for b in range(B):
        for i in range(N_q):
            top = bottom = 0.0
            for k in range(K):
                for j in range(N_s):
                    g = float(G_s[b, k, 0].flatten()[j])
                    top += float(R[b, k, i, j]) * g
                    bottom += g * g
            A[b, i] = top / bottom if bottom > 0 else 0.0
    return A


def _shots(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 3, 5, 6), uniform(g, 2, 3, 1, 2, 3)


def _each_shot(R: Tensor, G_s: Tensor, squares: bool = True) -> tuple[Tensor, Tensor]:
    """Each shot's A (B, K, N_q) and the weight that it has in the stack (B, K, 1)."""
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


def _in_a_wrong_order(R: Tensor, G_s: Tensor) -> Tensor:
    B, K, N_q, N_s = R.shape
    long = R.reshape(B, N_q, K * N_s)  # the shots stand before the query's pixels: not one row each
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
            "the order of the supports must not matter",
            lambda fn, R, G_s: close(fn(R.flip(1), G_s.flip(1)), fn(R, G_s)),
        ),
        Invariance(
            "one support, given twice, must count as if given once",
            lambda fn, R, G_s: close(
                fn(R[:, :1].repeat(1, 2, 1, 1), G_s[:, :1].repeat(1, 2, 1, 1, 1)),
                fn(R[:, :1], G_s[:, :1]),
            ),
        ),
        safe_gradient(EMPTY_GRADIENT, 0, _with_empty_shots(0, 1, 2)),
    ],
    edges=[
        Edge(_with_empty_shots(0), "an empty support has no say: the others decide alone"),
        Edge(_with_empty_shots(0, 1, 2), EMPTY),
    ],
    differentiable=(0,),
    slips=[
        Slip(
            "the mean of the K solutions: there each support has the same say, in one G_s each "
            "pixel has",
            lambda R, G: _each_shot(R, G)[0].mean(dim=1),
        ),
        Slip("the sum of the K solutions", lambda R, G: _each_shot(R, G)[0].sum(dim=1)),
        Slip("the largest of the K solutions", lambda R, G: _each_shot(R, G)[0].amax(dim=1)),
        Slip("only the first support", lambda R, G: _each_shot(R, G)[0][:, 0]),
        Slip(
            "(B, K, N_q): one map for each support still; they share one A",
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
            "reshape mixed supports and query pixels: a row of the long R is one query pixel, so "
            "transpose(1, 2) before flatten(2)",
            _in_a_wrong_order,
        ),
        Slip(
            EMPTY,
            lambda R, G: (
                torch.einsum("bkij,bkj->bi", R, G.flatten(2))
                / (G * G).flatten(1).sum(1, keepdim=True)
            ),
        ),
        Slip("an empty support has no say: the others decide alone", _weighted),
    ],
    hints=[
        "Put the K masks end to end into one row of K * N_s pixels, and the K relations side by "
        "side. Then it is equation 5 again, with one G_s G_s^T.",
        "The sum runs over supports and pixels: `torch.einsum('bkij,bkj->bi', R, "
        "G_s.flatten(2))`, divided by the sum of all squares of G_s, an episode by itself.",
    ],
)


EXERCISES = (INVERSE_OF_ROW, ATTENTION_WITHOUT_R, UNMIX, STACKED_SHOTS)
