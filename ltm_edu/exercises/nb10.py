"""Exercises of notebook 10: the mean of R, the cost of R, and the loss of K shots without R."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .common import TINY, at_scales, close, cosine_of, normal, uniform
from .exercise import Cost, Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

ZERO = (
    "A zero vector has no direction, so its relation must be 0. All other relations must be "
    "cosines as usual."
)
DOTS = "This is the mean dot product. R holds cosines: scale every column to length 1 first."
COSINE_OF_MEANS = (
    "This is the cosine of two means. Take the mean of the unit vectors, and do not normalise the "
    "means."
)
ONE_NUMBER = "There is one number for the whole batch. Return one mean for each episode."


def _unit(E: Tensor) -> Tensor:
    return F.normalize(E.flatten(2), dim=1, eps=1e-5)


def _mean_of_nonzero(E: Tensor) -> Tensor:
    u = _unit(E)
    return u.sum(2) / u.any(dim=1).sum(1, keepdim=True)


# 10.1 ---------------------------------------------------------------------------------------------


def mean_relation(E_q: torch.Tensor, E_s: torch.Tensor) -> torch.Tensor:
    """The mean of all entries of R, without R: (B, D, h, w) and (B, D, h', w') -> (B,)."""
    q, s = E_q.flatten(2), E_s.flatten(2)
    length_q = torch.linalg.vector_norm(q, dim=1, keepdim=True)
    length_s = torch.linalg.vector_norm(s, dim=1, keepdim=True)
    u_q = q / torch.where(length_q > 0, length_q, 1)
    u_s = s / torch.where(length_s > 0, length_s, 1)
    return (u_q.mean(dim=2) * u_s.mean(dim=2)).sum(dim=1)


def _mean_loop(E_q: Tensor, E_s: Tensor) -> Tensor:
    means = []
    for q, s in zip(E_q.double().flatten(2), E_s.double().flatten(2), strict=True):
        total = 0.0
        for a in q.T.tolist():
            for b in s.T.tolist():
                total += cosine_of(a, b)
        means.append(total / (q.shape[1] * s.shape[1]))
    return torch.tensor(means, dtype=torch.float64)


def _maps(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return 1 + normal(g, 2, 2, 4, 5), 1 + normal(g, 2, 2, 3, 6)


def _with_a_zero_pixel() -> tuple[Tensor, Tensor]:
    E_q, E_s = _maps(torch.Generator().manual_seed(7))
    E_q[0, :, 1, 2] = 0
    E_s[1, :, 0, 1] = 0
    return E_q, E_s


def _many_pixels() -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    return tuple(normal(g, 1, 8, 15, 20).float() for _ in range(2))


LENGTHS = "The mean must not depend on the lengths of the vectors, however short or long they are."
_TINY_MAPS = (
    torch.tensor([[[[1.0, 0.0, 3.0]], [[0.0, 2.0, 4.0]]]]),
    torch.tensor([[[[5.0, 0.0]], [[0.0, 1.0]]]]),
)

MEAN_RELATION = Exercise(
    id="10.1",
    title="the mean of R without R",
    reference=mean_relation,
    spec=_mean_loop,
    tiny=[_TINY_MAPS],
    draw=_maps,
    invariances=[
        Invariance(
            "The result must not change when E_q or E_s is scaled.",
            lambda fn, q, s: close(fn(1000 * q, 50 * s), fn(q, s)),
        ),
    ],
    edges=[
        Edge((_TINY_MAPS[0] * torch.tensor([1.0, 0.0, 1.0]), _TINY_MAPS[1]), ZERO),
        Edge(_with_a_zero_pixel(), ZERO),
        Edge(tuple(1e-3 * E for E in _TINY_MAPS), LENGTHS),
        Edge(tuple(1e6 * E for E in _TINY_MAPS), LENGTHS),
    ],
    extremes=at_scales(_maps, 0) + at_scales(_maps, 1) + at_scales(_maps, 0, 1),
    costs=[
        Cost(
            _many_pixels(),
            "R has 90,000 numbers here, and row by row it takes 720,000 multiplications. Average "
            "the unit vectors of each side first.",
            numbers=300 * 300 // 2,
            operations=300 * 300 * 8 // 4,
        )
    ],
    differentiable=(0, 1),
    slips=[
        Slip(DOTS, lambda q, s: (q.flatten(2).mean(2) * s.flatten(2).mean(2)).sum(1)),
        Slip(
            COSINE_OF_MEANS,
            lambda q, s: F.cosine_similarity(q.flatten(2).mean(2), s.flatten(2).mean(2)),
        ),
        Slip(COSINE_OF_MEANS, lambda q, s: F.cosine_similarity(_unit(q).mean(2), _unit(s).mean(2))),
        Slip(
            "This is the sum of R. Divide by N_q and by N_s.",
            lambda q, s: (_unit(q).sum(2) * _unit(s).sum(2)).sum(1),
        ),
        Slip(
            "The divisor is N_q only. R has N_q times N_s entries.",
            lambda q, s: (_unit(q).mean(2) * _unit(s).sum(2)).sum(1),
        ),
        Slip(
            "The channels are averaged, too. A dot product is the sum over the channels.",
            lambda q, s: (_unit(q).mean(2) * _unit(s).mean(2)).mean(1),
        ),
        Slip(ONE_NUMBER, lambda q, s: mean_relation(q, s).mean()),
        Slip(
            "Zero vectors are left out of the mean. R has a 0 for each of them, so divide by the "
            "number of all pixels.",
            lambda q, s: (_mean_of_nonzero(q) * _mean_of_nonzero(s)).sum(1),
        ),
        Slip(
            "A zero vector gives NaN, because 0 / 0 is computed. Its relation must be 0.",
            lambda q, s: (
                (q.flatten(2) / q.flatten(2).norm(dim=1, keepdim=True)).mean(2)
                * (s.flatten(2) / s.flatten(2).norm(dim=1, keepdim=True)).mean(2)
            ).sum(1),
        ),
    ],
    hints=[
        "The mean of R is (1/N_q) 1^T R (1/N_s) 1, and R = u_q^T u_s. Move the brackets.",
        "The mean of u_q over its pixels and the mean of u_s over its pixels are two vectors. The "
        "answer is their dot product (not their cosine), one for each episode.",
    ],
)


# 10.2 ---------------------------------------------------------------------------------------------


def multiplications(N_q: int, N_s: int, D: int) -> torch.Tensor:
    """The number of multiplications for R, then for the two Gram matrices, (2,) of int64."""
    return torch.tensor([N_q * N_s * D, (N_q + N_s) * D * D])


def _multiplications_loop(N_q: int, N_s: int, D: int) -> Tensor:
    for_R = sum(N_s * D for _ in range(N_q))
    for_gram = sum(N for N in (N_q, N_s) for _ in range(D) for _ in range(D))
    return torch.tensor([for_R, for_gram])


def _sizes(g: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(3, 40, (3,), generator=g).tolist())


MULTIPLICATIONS = Exercise(
    id="10.2",
    title="the multiplications of both forms",
    reference=multiplications,
    spec=_multiplications_loop,
    tiny=[(3, 5, 2)],
    draw=_sizes,
    edges=[
        Edge((3600, 3600, 256), "The result is wrong for the large grid. Use exact integers."),
        Edge((3599, 3601, 257), "The result is wrong for the large grid. Use exact integers."),
        Edge(
            (1, 1, 1000),
            "With one pixel each, R is one number, but a Gram matrix has D x D entries.",
        ),
    ],
    extremes=[(600, 900, 70), (1, 100_000, 1)],
    slips=[
        Slip(
            "The order is wrong. R comes first, then the Gram matrices.",
            lambda N_q, N_s, D: multiplications(N_q, N_s, D).flip(0),
        ),
        Slip(
            "Only one Gram matrix is counted. The query has one and the support has one.",
            lambda N_q, N_s, D: torch.tensor([N_q * N_s * D, N_q * D * D]),
        ),
        Slip(
            "Only one Gram matrix is counted. The query has one and the support has one.",
            lambda N_q, N_s, D: torch.tensor([N_q * N_s * D, N_s * D * D]),
        ),
        Slip(
            "The size of the query's grid is used for both grids. Their sizes may differ.",
            lambda N_q, N_s, D: torch.tensor([N_q * N_q * D, 2 * N_q * D * D]),
        ),
        Slip(
            "This counts the entries of the results. Count the multiplications: each entry is a "
            "sum of products.",
            lambda N_q, N_s, D: torch.tensor([N_q * N_s, 2 * D * D]),
        ),
        Slip(
            "The additions are counted as well. Count only multiplications.",
            lambda N_q, N_s, D: 2 * multiplications(N_q, N_s, D),
        ),
        Slip(
            "A Gram matrix is D x D, and each of its entries is a sum over the pixels.",
            lambda N_q, N_s, D: torch.tensor([N_q * N_s * D, (N_q + N_s) * D]),
        ),
        Slip(
            "This counts N x N matrices. The Gram matrices here are those of the channels, u u^T, "
            "which are D x D.",
            lambda N_q, N_s, D: torch.tensor([N_q * N_s * D, (N_q * N_q + N_s * N_s) * D]),
        ),
    ],
    hints=[
        "A product of (a x b) and (b x c) has a times c entries. Each entry is a sum of b "
        "products.",
        "R is (N_q x D) times (D x N_s). A Gram matrix is (D x N) times (N x D). There are two "
        "Gram matrices, with N_q and with N_s pixels.",
    ],
)


# 10.3 ---------------------------------------------------------------------------------------------


def loss_of_shots(
    u_q: torch.Tensor, u_s: torch.Tensor, g_q: torch.Tensor, g_s: torch.Tensor
) -> torch.Tensor:
    """L_r, the mean over K shots, from unit columns and two Gram matrices per episode.

    (B, D, N_q), (B, K, D, N_s), (B, N_q), (B, K, N_s) -> a scalar.
    """
    s = u_s.transpose(1, 2).flatten(2)  # all shots' columns side by side, (B, D, K N_s)
    g = g_s.flatten(1)
    relation = ((u_q @ u_q.mT) * (s @ s.mT)).sum()
    on_truth = ((u_q @ g_q[..., None]) * (s @ g[..., None])).sum()
    truth = (g_q.square().sum(1) * g.square().sum(1)).sum()
    return (relation - 2 * on_truth + truth) / (g_q.numel() * g.shape[1])


def _shots_loop(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    B, K = u_s.shape[:2]
    total = torch.zeros((), dtype=torch.float64)
    for b in range(B):
        for k in range(K):
            R = u_q[b].double().T @ u_s[b, k].double()
            R_truth = torch.outer(g_q[b].double(), g_s[b, k].double())
            total += (R - R_truth).square().mean()
    return total / (B * K)


def _shots(g: torch.Generator) -> tuple[Tensor, ...]:
    # The grids are large compared with 3 channels, so that even the R of one shot is the largest
    # tensor by far.
    u_q, u_s = F.normalize(normal(g, 2, 3, 40), dim=1), F.normalize(normal(g, 2, 2, 3, 30), dim=2)
    return u_q, u_s, uniform(g, 2, 40), uniform(g, 2, 2, 30)


def _many_shots() -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    u_q, u_s = F.normalize(normal(g, 1, 4, 800), dim=1), F.normalize(normal(g, 1, 16, 4, 50), dim=2)
    return tuple(x.float() for x in (u_q, u_s, uniform(g, 1, 800), uniform(g, 1, 16, 50)))


def _by_R(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    return (u_q[:, None].mT @ u_s - g_q[:, None, :, None] * g_s[:, :, None]).square().mean()


def _scrambled(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    B, K, D, N = u_s.shape
    s = u_s.reshape(B, D, K * N)
    return loss_of_shots(u_q, s[:, None], g_q, g_s.flatten(1)[:, None])


def _with_factors(
    u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor, cross: float = -2, truth: float = 1
) -> Tensor:
    s, g = u_s.transpose(1, 2).flatten(2), g_s.flatten(1)
    R = u_q.mT @ s
    T = g_q[:, :, None] * g[:, None]
    return (R * R + cross * R * T + truth * T * T).mean()


_TINY = (
    torch.tensor([[[1.0, 0.6], [0.0, 0.8]]]),
    torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[0.8, 0.0], [0.6, 1.0]]]]),
    torch.tensor([[1.0, 0.0]]),
    torch.tensor([[[1.0, 0.5], [0.0, 1.0]]]),
)

LOSS_OF_SHOTS = Exercise(
    id="10.3",
    title="the loss of K shots from two Gram matrices",
    reference=loss_of_shots,
    spec=_shots_loop,
    tiny=[_TINY],
    draw=_shots,
    invariances=[
        Invariance(
            "The order of the shots must not change the result.",
            lambda fn, q, s, g_q, g_s: close(
                fn(q, s.flip(1), g_q, g_s.flip(1)), fn(q, s, g_q, g_s)
            ),
        ),
    ],
    edges=[
        Edge(
            (*_TINY[:2], torch.zeros(1, 2), _TINY[3]),
            "With an empty query mask R_truth is 0, so the loss must be the mean of the squares of "
            "R.",
        ),
        Edge(
            (_TINY[0], _TINY[1][:, :1], _TINY[2], _TINY[3][:, :1]),
            "The result is wrong for one shot, K = 1.",
        ),
    ],
    extremes=at_scales(_shots, 2, factors=TINY) + at_scales(_shots, 2, 3, factors=TINY),
    costs=[
        Cost(
            _many_shots(),
            "Two Gram matrices take 25,600 multiplications here, K one-shot losses 217,600 and R "
            "2,560,000. The query's Gram matrix is needed once for all shots, and R not at all.",
            numbers=800 * 50 // 2,
            operations=100_000,
        )
    ],
    differentiable=(0, 1),
    slips=[
        Slip(
            "The shots are averaged first. Return the mean of the losses, not the loss of the "
            "mean.",
            lambda q, s, g_q, g_s: _by_R(
                q, s.mean(1, keepdim=True), g_q, g_s.mean(1, keepdim=True)
            ),
        ),
        Slip(
            "Only the first shot is used. Use all K shots.",
            lambda q, s, g_q, g_s: _by_R(q, s[:, :1], g_q, g_s[:, :1]),
        ),
        Slip(
            "Channels and shots are mixed. Use transpose(1, 2) first, then flatten.",
            _scrambled,
        ),
        Slip(
            "The middle term is subtracted once. A square has it twice.",
            lambda *args: _with_factors(*args, cross=-1),
        ),
        Slip("The middle term is added. Subtract it.", lambda *args: _with_factors(*args, cross=2)),
        Slip(
            "The term of the masks alone is missing: |g_q|^2 |g_s|^2.",
            lambda *args: _with_factors(*args, truth=0),
        ),
        Slip(
            "This is a sum over the shots. Return the mean.",
            lambda *args: _by_R(*args) * args[1].shape[1],
        ),
        Slip(
            "This is a sum over the episodes. Return the mean over the batch as well.",
            lambda *args: _by_R(*args) * len(args[0]),
        ),
        Slip(
            "This is a sum over all entries. Return the mean.",
            lambda *args: _by_R(*args) * (args[2].numel() * args[3][0].numel()),
        ),
    ],
    hints=[
        "A further shot adds support pixels. Put the columns of all shots side by side, and their "
        "masks as well. Then use the formula for one shot.",
        "s = u_s.transpose(1, 2).flatten(2) is (B, D, K N_s), and g = g_s.flatten(1) is (B, K "
        "N_s). The loss is <K_q, K_s> - 2 (u_q g_q) . (s g) + |g_q|^2 |g|^2, divided by B N_q K "
        "N_s.",
    ],
)


EXERCISES = (MEAN_RELATION, MULTIPLICATIONS, LOSS_OF_SHOTS)
