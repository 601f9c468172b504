"""Exercises of notebook 03, the relationship matrix: equations 2 and 3."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .common import TINY, at_scales, close, cosine_of, normal, uniform
from .exercise import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

ZERO = "A zero vector has no direction, so its relation must be 0."
ONLY_ZERO = (
    "A zero vector has no direction, so its relation must be 0. All other relations must be "
    "cosines as usual."
)
ZERO_DIVIDED = "A zero vector gives NaN, because 0 / 0 is computed. Its relation must be 0."
LENGTHS = "The cosine does not depend on the lengths, however short or long the vectors are."
NO_COSINE = (
    "Some values are not between -1 and 1, so they are no cosines. Check how you divide by the two "
    "lengths."
)
PRODUCT_LIMITED = (
    "You limit the product of the lengths from below, but for two short vectors it is smaller than "
    "the limit. Limit each length by itself."
)
ADDED_TO_PRODUCT = (
    "A small number is added to the product of the lengths, but for two short vectors the product "
    "is small, too. Limit each length by itself."
)
NOT_NORMALISED = "These are dot products. Did you normalise? Divide by both lengths."
ONE_LENGTH = "You divide by only one of the two lengths. Divide by both."


# 3.1 ----------------------------------------------------------------------------------------------


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The cosine of two vectors, (D,) and (D,) -> a scalar; 0 where one of them is zero."""
    length_a, length_b = torch.linalg.vector_norm(a), torch.linalg.vector_norm(b)
    u_a = a / torch.where(length_a > 0, length_a, 1)
    u_b = b / torch.where(length_b > 0, length_b, 1)
    return u_a @ u_b


def _cosine_loop(a: Tensor, b: Tensor) -> Tensor:
    return torch.tensor(cosine_of(a.tolist(), b.tolist()), dtype=torch.float64)


def _vectors(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 6), normal(g, 6)


COSINE = Exercise(
    id="3.1",
    title="one pair's cosine, safe at zero",
    reference=cosine,
    spec=_cosine_loop,
    tiny=[(torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0]))],
    draw=_vectors,
    invariances=[
        Invariance(
            "The result must not change with the length of a vector.",
            lambda fn, a, b: close(fn(1000 * a, b), fn(a, b)) and close(fn(a, 50 * b), fn(a, b)),
        ),
        Invariance(
            "The relation of a to b must be the relation of b to a.",
            lambda fn, a, b: close(fn(a, b), fn(b, a)),
        ),
    ],
    edges=[
        Edge((torch.zeros(3), torch.tensor([1.0, 2.0, 2.0])), ZERO),
        Edge((torch.tensor([1.0, 2.0, 2.0]), torch.zeros(3)), ZERO),
        Edge((torch.zeros(3), torch.zeros(3)), ZERO),
        Edge((torch.tensor([1e-3, 0.0]), torch.tensor([1e-3, 0.0])), LENGTHS),
        Edge((torch.tensor([2e-4, 0.0]), torch.tensor([2e-4, 0.0])), LENGTHS),
        Edge((torch.tensor([3e6, 4e6]), torch.tensor([4e6, 3e6])), LENGTHS),
    ],
    extremes=at_scales(_vectors, 0) + at_scales(_vectors, 1) + at_scales(_vectors, 0, 1),
    differentiable=(0, 1),
    slips=[
        Slip(
            "This is the dot product. Did you normalise? Divide by both lengths.",
            lambda a, b: a @ b,
        ),
        Slip(ONE_LENGTH, lambda a, b: a @ b / a.norm()),
        Slip(ONE_LENGTH, lambda a, b: a @ b / b.norm()),
        Slip(
            "The product is divided by the squared lengths. Divide by the lengths themselves.",
            lambda a, b: a @ b / ((a @ a) * (b @ b)),
        ),
        Slip(
            "The sign is lost. Opposite vectors must have the relation -1.",
            lambda a, b: cosine(a, b).abs(),
        ),
        Slip(
            "This is 1 - cosine, a distance. The relation of similar vectors must be near 1.",
            lambda a, b: 1 - cosine(a, b),
        ),
        Slip(
            "This is a distance. The relation of similar vectors must be near 1.",
            lambda a, b: (a - b).norm(),
        ),
        Slip(
            "There is one product for each channel. Sum them.",
            lambda a, b: a * b / (a.norm() * b.norm()),
        ),
        Slip(
            "This is the mean over the channels. Return the sum.",
            lambda a, b: cosine(a, b) / len(a),
        ),
        Slip(ZERO_DIVIDED, lambda a, b: a @ b / (a.norm() * b.norm())),
        *(
            Slip(
                PRODUCT_LIMITED,
                lambda a, b, eps=eps: a @ b / (a.norm() * b.norm()).clamp_min(eps),
            )
            for eps in (1e-5, 1e-6, 1e-7)
        ),
        *(
            Slip(ADDED_TO_PRODUCT, lambda a, b, eps=eps: a @ b / (a.norm() * b.norm() + eps))
            for eps in (1e-5, 1e-6, 1e-7, 1e-8)
        ),
        Slip(NO_COSINE, when=lambda out, expected, a, b: out.abs().max() > 1.001),
    ],
    hints=[
        "Compute a @ b and the two lengths. Then ask what 0 / 0 gives.",
        "Scale each vector to length 1 by itself. `torch.where(length > 0, length, 1)` divides a "
        "zero vector by 1, so it stays zero. (A limit on the product of both lengths would change "
        "the cosine of two short vectors.)",
    ],
)


# 3.2 ----------------------------------------------------------------------------------------------


def relation(E_q: torch.Tensor, E_s: torch.Tensor) -> torch.Tensor:
    """R for a batch: (B, D, h, w) and (B, D, h', w') -> (B, N_q, N_s); zero vectors give 0."""
    q, s = E_q.flatten(2), E_s.flatten(2)
    length_q = torch.linalg.vector_norm(q, dim=1, keepdim=True)
    length_s = torch.linalg.vector_norm(s, dim=1, keepdim=True)
    u_q = q / torch.where(length_q > 0, length_q, 1)  # a zero vector stays zero
    u_s = s / torch.where(length_s > 0, length_s, 1)
    return u_q.transpose(1, 2) @ u_s


def _relation_loop(E_q: Tensor, E_s: Tensor) -> Tensor:
    (B, _, h, w), (h_s, w_s) = E_q.shape, E_s.shape[2:]
    R = torch.zeros(B, h * w, h_s * w_s, dtype=torch.float64)
    for b in range(B):
        for i in range(h * w):
            for j in range(h_s * w_s):
                a, c = E_q[b, :, i // w, i % w], E_s[b, :, j // w_s, j % w_s]
                R[b, i, j] = _cosine_loop(a, c)
    return R


def _maps(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 5, 2, 3), normal(g, 2, 5, 2, 4)


def _unit(E: Tensor, dim: int | tuple[int, ...] = 1) -> Tensor:
    E = E.flatten(2)
    return E / torch.linalg.vector_norm(E, dim=dim, keepdim=True).clamp_min(1e-5)


def _product(q: Tensor, s: Tensor) -> Tensor:
    return q.transpose(1, 2) @ s


def _dots(E_q: Tensor, E_s: Tensor) -> Tensor:
    return _product(E_q.flatten(2), E_s.flatten(2))


def _lengths(E_q: Tensor, E_s: Tensor) -> Tensor:
    return _product(*(E.flatten(2).norm(dim=1, keepdim=True) for E in (E_q, E_s)))


def _scrambled(E_q: Tensor, E_s: Tensor) -> Tensor:
    (B, D), N_q, N_s = E_q.shape[:2], E_q[0, 0].numel(), E_s[0, 0].numel()
    q = F.normalize(E_q.reshape(B, N_q, D), dim=2)
    s = F.normalize(E_s.reshape(B, N_s, D), dim=2)
    return q @ s.transpose(1, 2)


def _with_zero_pixel() -> tuple[Tensor, Tensor]:
    E_q, E_s = _maps(torch.Generator().manual_seed(7))
    E_q[0, :, 1, 2] = 0
    E_s[1, :, 0, 1] = 0
    return E_q, E_s


_TINY_Q = torch.tensor([[[[1.0, 0.0, 3.0]], [[0.0, 2.0, 4.0]]]])
_TINY_S = torch.tensor([[[[5.0, 0.0]], [[0.0, 1.0]]]])

RELATION = Exercise(
    id="3.2",
    title="the whole R, for a batch",
    reference=relation,
    spec=_relation_loop,
    tiny=[(_TINY_Q, _TINY_S)],
    draw=_maps,
    invariances=[
        Invariance(
            "R must not change when E_q or E_s is scaled.",
            lambda fn, E_q, E_s: close(fn(1000 * E_q, 50 * E_s), fn(E_q, E_s)),
        ),
        Invariance(
            "When query and support are swapped, R must become its transpose.",
            lambda fn, E_q, E_s: close(fn(E_s, E_q), fn(E_q, E_s).transpose(1, 2)),
        ),
        Invariance(
            "R of one episode must not change with the rest of the batch.",
            lambda fn, E_q, E_s: close(fn(E_q[:1], E_s[:1]), fn(E_q, E_s)[:1]),
        ),
    ],
    edges=[
        Edge((_TINY_Q * torch.tensor([1.0, 0.0, 1.0]), _TINY_S), ONLY_ZERO),
        Edge(_with_zero_pixel(), ONLY_ZERO),
        Edge((1e-3 * _TINY_Q, 1e-3 * _TINY_S), LENGTHS),
        Edge((2e-4 * _TINY_Q, 2e-4 * _TINY_S), LENGTHS),
        Edge((1e6 * _TINY_Q, 1e6 * _TINY_S), LENGTHS),
    ],
    extremes=at_scales(_maps, 0) + at_scales(_maps, 1) + at_scales(_maps, 0, 1),
    differentiable=(0, 1),
    slips=[
        Slip(
            "The transpose is missing. Both matrices have D rows, so the shapes do not fit. Use "
            "q.transpose(1, 2) @ s.",
            lambda q, s: q.flatten(2) @ s.flatten(2),
        ),
        Slip(
            "The transpose is missing, so only grids of the same size can be compared, and only "
            "pixels at the same place. Use q.transpose(1, 2) @ s.",
            lambda q, s: F.cosine_similarity(q.flatten(2), s.flatten(2)),
        ),
        Slip(NOT_NORMALISED, lambda q, s: _product(q.flatten(2), s.flatten(2))),
        Slip(
            "The shape is (B, N_s, N_q): is R transposed? Rows are query pixels, columns are "
            "support pixels.",
            lambda q, s: _product(_unit(s), _unit(q)),
        ),
        Slip(
            "Only the query has unit length. Normalise the support as well.",
            lambda q, s: _product(_unit(q), s.flatten(2)),
        ),
        Slip(
            "Only the support has unit length. Normalise the query as well.",
            lambda q, s: _product(q.flatten(2), _unit(s)),
        ),
        Slip(
            "The vectors are normalised over the pixels. The vector of each pixel must have "
            "length 1: use dim=1, the channels.",
            lambda q, s: _product(_unit(q, 2), _unit(s, 2)),
        ),
        Slip(
            "The vectors are divided by the length of the whole map. Divide each pixel's vector "
            "by its own length.",
            lambda q, s: _product(_unit(q, (1, 2)), _unit(s, (1, 2))),
        ),
        Slip(
            "Channels and pixels are mixed, because reshape does not transpose. Use flatten(2), "
            "then transpose(1, 2).",
            _scrambled,
        ),
        Slip(
            "The pixels are counted down the columns. Pixel (y, x) must be row y * w + x.",
            lambda q, s: relation(q.transpose(2, 3), s.transpose(2, 3)),
        ),
        Slip(
            "Softmax is for attention weights. R is the cosine itself.",
            lambda q, s: relation(q, s).softmax(dim=2),
        ),
        Slip(
            "There is one result for the whole batch. Keep the batch dimension first.",
            lambda q, s: relation(q[:1], s[:1]),
        ),
        Slip(
            "There is one result for the whole batch. Keep the batch dimension first.",
            lambda q, s: relation(q, s)[0],
        ),
        Slip(
            ZERO_DIVIDED,
            lambda q, s: _product(
                q.flatten(2) / q.flatten(2).norm(dim=1, keepdim=True),
                s.flatten(2) / s.flatten(2).norm(dim=1, keepdim=True),
            ),
        ),
        *(
            Slip(
                PRODUCT_LIMITED,
                lambda q, s, eps=eps: _dots(q, s) / _lengths(q, s).clamp_min(eps),
            )
            for eps in (1e-5, 1e-6, 1e-7)
        ),
        *(
            Slip(ADDED_TO_PRODUCT, lambda q, s, eps=eps: _dots(q, s) / (_lengths(q, s) + eps))
            for eps in (1e-5, 1e-6, 1e-7, 1e-8)
        ),
        Slip(NO_COSINE, when=lambda out, expected, q, s: out.abs().max() > 1.001),
    ],
    hints=[
        "Three lines are enough. Flatten the grids to (B, D, N), scale every column to length 1, "
        "then multiply the two matrices.",
        "Use `E.flatten(2)` and `length = torch.linalg.vector_norm(E, dim=1, keepdim=True)`. "
        "Divide by `torch.where(length > 0, length, 1)`: a zero vector stays zero. `q.transpose(1, "
        "2) @ s` has the query pixels as rows.",
    ],
)


# 3.3 ----------------------------------------------------------------------------------------------


def row_as_map(
    R: torch.Tensor, y: int, x: int, query_grid: tuple[int, int], support_grid: tuple[int, int]
) -> torch.Tensor:
    """The row of R that belongs to query pixel (y, x), as a map over the support's grid.

    R is (N_q, N_s), a grid is (height, width); returns a (height, width) map of the support.
    """
    return R[y * query_grid[1] + x].reshape(support_grid)


def _row_loop(
    R: Tensor, y: int, x: int, query_grid: tuple[int, int], support_grid: tuple[int, int]
) -> Tensor:
    row_map = torch.zeros(support_grid, dtype=torch.float64)
    i = 0
    for row in range(query_grid[0]):
        for column in range(query_grid[1]):
            if (row, column) == (y, x):
                for j in range(R.shape[1]):
                    row_map[j // support_grid[1], j % support_grid[1]] = R[i, j]
            i += 1
    return row_map


def _matrix_and_pixel(g: torch.Generator) -> tuple[Any, ...]:
    height, width = (int(torch.randint(3, 6, (), generator=g)) for _ in range(2))
    width += width == height  # so that y * height + x is another pixel
    rows = (2, 3, 4, 6)[int(torch.randint(4, (), generator=g))]
    return normal(g, height * width, 12), 1, 2, (height, width), (rows, 12 // rows)


ROW_AS_MAP = Exercise(
    id="3.3",
    title="a row of R as a map over the support",
    reference=row_as_map,
    spec=_row_loop,
    tiny=[(torch.arange(12.0).reshape(6, 2), 1, 0, (2, 3), (1, 2))],
    draw=_matrix_and_pixel,
    edges=[
        Edge(
            (torch.arange(72.0).reshape(6, 12), 1, 2, (2, 3), (3, 4)),
            "The result is wrong for the last pixel of the query's grid.",
        ),
        Edge(
            (torch.arange(72.0).reshape(6, 12), 0, 0, (2, 3), (3, 4)),
            "The result is wrong for the first pixel of the query's grid.",
        ),
        Edge(
            (1e-6 * torch.arange(12.0).reshape(6, 2), 1, 0, (2, 3), (1, 2)),
            "Small values of R must stay as they are, without rounding.",
        ),
    ],
    extremes=at_scales(_matrix_and_pixel, 0),
    differentiable=(0,),
    slips=[
        Slip(
            "This is a column of R. Columns are support pixels; rows are query pixels.",
            lambda R, y, x, q, s: R[:, y * q[1] + x].reshape(s),
        ),
        Slip(
            "This is a column of R. Columns are support pixels; rows are query pixels.",
            lambda R, y, x, q, s: R.T[y * q[1] + x].reshape(s),
        ),
        Slip(
            "You count y * height. A row of pixels has `width` pixels, so pixel (y, x) is row y * "
            "width + x.",
            lambda R, y, x, q, s: R[y * q[0] + x].reshape(s),
        ),
        *(
            Slip(
                f"You count y * {width}, whatever the grid. A row of pixels has `width` pixels, so "
                "use query_grid[1].",
                lambda R, y, x, q, s, width=width: R[y * width + x].reshape(s),
            )
            for width in (2, 3, 4, 5)
        ),
        Slip(
            "y and x are added. A row of pixels has `width` pixels, so pixel (y, x) is row y * "
            "width + x.",
            lambda R, y, x, q, s: R[y + x].reshape(s),
        ),
        Slip(
            "y and x are swapped. Pixel (y, x) is row y * width + x.",
            lambda R, y, x, q, s: R[x * q[1] + y].reshape(s),
        ),
        Slip(
            "The pixels are counted down the columns. Pixel (y, x) is row y * width + x.",
            lambda R, y, x, q, s: R[x * q[0] + y].reshape(s),
        ),
        Slip(
            "The width of the support's grid is used to find the query pixel. Use the width of "
            "the query's grid.",
            lambda R, y, x, q, s: R[y * s[1] + x].reshape(s),
        ),
        Slip(
            "The shape is (width, height). A map has its height first.",
            lambda R, y, x, q, s: row_as_map(R, y, x, q, s[::-1]),
        ),
        Slip(
            "The map is transposed. Reshape to (height, width), without a transpose.",
            lambda R, y, x, q, s: row_as_map(R, y, x, q, s[::-1]).T,
        ),
        Slip(
            "This is still a flat row. Reshape it to the support's grid.",
            lambda R, y, x, q, s: R[y * q[1] + x],
        ),
        Slip(
            "The map has the shape of the query's grid. Reshape it to the support's grid.",
            lambda R, y, x, q, s: R[y * q[1] + x].reshape(q),
        ),
    ],
    hints=[
        "flatten(2) reads a grid row by row, from left to right. How many pixels come before "
        "pixel (y, x)?",
        "Before it there are y whole rows of `width` pixels, and x more pixels: R[y * width + x], "
        "with the width of the query's grid. The support's grid is needed only for the reshape.",
    ],
)


# 3.4 ----------------------------------------------------------------------------------------------


def truth(G_q: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """R_truth of two soft masks, (B, 1, h, w) and (B, 1, h', w') -> (B, N_q, N_s)."""
    return G_q.flatten(2).transpose(1, 2) @ G_s.flatten(2)


def _truth_loop(G_q: Tensor, G_s: Tensor) -> Tensor:
    (B, _, h, w), (h_s, w_s) = G_q.shape, G_s.shape[2:]
    R = torch.zeros(B, h * w, h_s * w_s, dtype=torch.float64)
    for b in range(B):
        for i in range(h * w):
            for j in range(h_s * w_s):
                R[b, i, j] = G_q[b, 0, i // w, i % w] * G_s[b, 0, j // w_s, j % w_s]
    return R


def _masks(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return uniform(g, 2, 1, 2, 3), uniform(g, 2, 1, 2, 4)


def _pairs(G_q: Tensor, G_s: Tensor) -> tuple[Tensor, Tensor]:
    return G_q.flatten(2).transpose(1, 2), G_s.flatten(2)


def _object_and_background(G_q: Tensor, G_s: Tensor) -> Tensor:
    q, s = _pairs(G_q, G_s)
    return q * s + (1 - q) * (1 - s)


TRUTH = Exercise(
    id="3.4",
    title="the true relation of two masks",
    reference=truth,
    spec=_truth_loop,
    tiny=[(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0, 1.0]]]]))],
    draw=_masks,
    invariances=[
        Invariance(
            "When query and support are swapped, R_truth must become its transpose.",
            lambda fn, G_q, G_s: close(fn(G_s, G_q), fn(G_q, G_s).transpose(1, 2)),
        ),
        Invariance(
            "R_truth of one episode must not change with the rest of the batch.",
            lambda fn, G_q, G_s: close(fn(G_q[:1], G_s[:1]), fn(G_q, G_s)[:1]),
        ),
    ],
    edges=[
        Edge(
            (torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)),
            "An empty mask relates to nothing, so R_truth must be all zeros.",
        ),
        Edge(
            (torch.tensor([[[[0.0, 1e-3]]]]), torch.tensor([[[[1e-3, 0.0, 1.0]]]])),
            "Small soft values must stay as they are, without rounding.",
        ),
    ],
    extremes=at_scales(_masks, 0, factors=TINY) + at_scales(_masks, 0, 1, factors=TINY),
    slips=[
        Slip(
            "The shape is (B, N_s, N_q): is R transposed? Rows are query pixels, columns are "
            "support pixels.",
            lambda q, s: truth(s, q),
        ),
        Slip(
            "Two background pixels count as related. Only an object pixel relates to an object "
            "pixel.",
            _object_and_background,
        ),
        Slip(
            "Two background pixels count as related. Only an object pixel relates to an object "
            "pixel.",
            lambda q, s: torch.eq(*_pairs(q, s)).to(q.dtype),
        ),
        Slip(
            "The masks are rounded. A soft value is the share of a cell that the object covers.",
            lambda q, s: truth((q > 0.5).to(q.dtype), (s > 0.5).to(s.dtype)),
        ),
        Slip(
            "This is the smaller of the two values. Equation 3 takes their product.",
            lambda q, s: torch.minimum(*_pairs(q, s)),
        ),
        Slip(
            "This is the sum of the two values. Equation 3 takes their product.",
            lambda q, s: torch.add(*_pairs(q, s)),
        ),
        Slip(
            "The transpose is missing: a column times a row gives every pair. Use "
            "q.transpose(1, 2) @ s.",
            lambda q, s: q.flatten(2) @ s.flatten(2),
        ),
        Slip(
            "The support is transposed, so a row is multiplied by a column: a dot product, one "
            "number. Transpose the query instead.",
            lambda q, s: q.flatten(2) @ s.flatten(2).mT,
        ),
        Slip(
            "This is a dot product, one number. Every query pixel must be multiplied by every "
            "support pixel.",
            lambda q, s: (q.flatten(2) * s.flatten(2)).sum(dim=2, keepdim=True),
        ),
        Slip(
            "Only pixels at the same place are multiplied. Every query pixel must be multiplied "
            "by every support pixel.",
            lambda q, s: q.flatten(2) * s.flatten(2),
        ),
        Slip(
            "The pixels are counted down the columns. Pixel (y, x) must be row y * w + x.",
            lambda q, s: truth(q.transpose(2, 3), s.transpose(2, 3)),
        ),
        Slip(
            "There is one result for the whole batch. Keep the batch dimension first.",
            lambda q, s: truth(q, s)[0],
        ),
    ],
    hints=[
        "Each entry is a product of two numbers. R_truth is the outer product of the two "
        "flattened masks.",
        "Multiply a column by a row. Use flatten(2) to get (B, 1, N) from both masks, "
        "transpose(1, 2) for the query's, and then @.",
    ],
)


EXERCISES = (COSINE, RELATION, ROW_AS_MAP, TRUTH)
