"""Exercises of notebook 06, the losses: equations 8 to 11."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..store.pictures import VOID
from .common import TINY, at_scales, close, normal, uniform
from .exercise import Cost, Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

VOID_AS_BACKGROUND = (
    "255 is counted as background. These pixels have no known label: leave them out."
)
VOID_IN_THE_MEAN = "The divisor includes the void pixels. Average over the pixels that count."
SUMMED = "This is the sum. Return the mean over the pixels that count."
NO_PIXEL_COUNTS = "No pixel counts here, so the loss must be 0."


def _labels(g: torch.Generator, *size: int) -> Tensor:
    return torch.tensor([0, 1, 1, 0, VOID])[torch.randint(5, size, generator=g)]


# 6.1 ----------------------------------------------------------------------------------------------


def mask_loss(M: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
    """Equation 8, averaged over the pixels that count; M (B, 2, H, W) logits, Y (B, H, W)."""
    difference = M[:, 1] - M[:, 0]
    each = torch.nn.functional.softplus(torch.where(Y == 1, -difference, difference))
    counted = Y != 255
    return (each * counted).sum() / counted.sum().clamp_min(1)


def _mask_loss_loop(M: Tensor, Y: Tensor) -> Tensor:
    total, count = 0.0, 0
    for b in range(M.shape[0]):
        for y in range(M.shape[2]):
            for x in range(M.shape[3]):
                label = int(Y[b, y, x])
                if label != VOID:
                    d = M[b, 1 - label, y, x].item() - M[b, label, y, x].item()
                    total += max(d, 0) + math.log1p(math.exp(-abs(d)))  # log(1 + e^d)
                    count += 1
    return torch.tensor(total / max(count, 1), dtype=torch.float64)


def _cross_entropy(M: Tensor, Y: Tensor, **options: object) -> Tensor:
    return F.cross_entropy(M, Y, ignore_index=VOID, **options)


def _void_as_background(Y: Tensor) -> Tensor:
    return torch.where(Y == VOID, 0, Y)


def _logits_and_labels(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return 2 * normal(g, 3, 2, 4, 5), _labels(g, 3, 4, 5)


def _one_pixel(*logits: float, label: int) -> tuple[Tensor, Tensor]:
    return torch.tensor(logits).reshape(1, 2, 1, 1), torch.full((1, 1, 1), label)


def _mean_of_images(M: Tensor, Y: Tensor) -> Tensor:
    return torch.stack([mask_loss(m[None], y[None]) for m, y in zip(M, Y, strict=True)]).mean()


def _log_of_softmax(M: Tensor, Y: Tensor) -> Tensor:
    p = M.softmax(dim=1)
    each = -torch.where(Y == 1, p[:, 1], p[:, 0]).log()
    return each[Y != VOID].sum() / (Y != VOID).sum().clamp_min(1)


MASK_LOSS = Exercise(
    id="6.1",
    title="the mask loss, void left out",
    reference=mask_loss,
    spec=_mask_loss_loop,
    tiny=[
        (
            torch.tensor([[[[0.0, 1.0, 2.0]], [[0.0, 3.0, -9.0]]]]),
            torch.tensor([[[1, 0, VOID]]]),
        )
    ],
    draw=_logits_and_labels,
    invariances=[
        Invariance(
            "The prediction on a void pixel must not change the loss.",
            lambda fn, M, Y: close(fn(M + 7 * (Y == VOID)[:, None] * M.sign(), Y), fn(M, Y)),
        ),
        Invariance(
            "Adding the same number to both logits must not change the loss. Only their "
            "difference counts.",
            lambda fn, M, Y: close(fn(M + 3, Y), fn(M, Y)),
        ),
    ],
    edges=[
        Edge(
            _one_pixel(300.0, -300.0, label=1),
            "The loss must be finite and exact for large logits, as with log_softmax or softplus.",
        ),
        Edge(
            _one_pixel(1e6, -1e6, label=1),
            "The loss must be finite and exact for large logits, as with log_softmax or softplus.",
        ),
        Edge(_one_pixel(1.0, 2.0, label=VOID), NO_PIXEL_COUNTS),
    ],
    extremes=at_scales(_logits_and_labels, 0),
    differentiable=(0,),
    slips=[
        Slip(
            "cross_entropy takes 255 as the number of a class. Pass ignore_index=255.",
            lambda M, Y: F.cross_entropy(M, Y),
        ),
        Slip(VOID_AS_BACKGROUND, lambda M, Y: F.cross_entropy(M, _void_as_background(Y))),
        Slip(
            "255 is counted as object. These pixels have no known label: leave them out.",
            lambda M, Y: F.cross_entropy(M, (Y > 0).long()),
        ),
        Slip(VOID_IN_THE_MEAN, lambda M, Y: _cross_entropy(M, Y, reduction="sum") / Y.numel()),
        Slip(SUMMED, lambda M, Y: _cross_entropy(M, Y, reduction="sum")),
        Slip(
            "The channels are swapped. Channel 0 is the background, channel 1 is the object.",
            lambda M, Y: mask_loss(M.flip(1), Y),
        ),
        Slip(
            "Only channel 1 is used, as if there were one logit. Use the difference of the two "
            "logits.",
            lambda M, Y: mask_loss(torch.stack([torch.zeros_like(M[:, 0]), M[:, 1]], 1), Y),
        ),
        Slip(
            "nll_loss needs logarithms of probabilities, but M holds logits. Apply log_softmax "
            "first.",
            lambda M, Y: F.nll_loss(M, Y, ignore_index=VOID),
        ),
        Slip(
            "The logarithm is missing: this is minus the probability. Use log_softmax, not "
            "softmax.",
            lambda M, Y: F.nll_loss(M.softmax(dim=1), Y, ignore_index=VOID),
        ),
        Slip(
            "The softmax is applied twice. M holds logits, and the loss turns them into "
            "probabilities.",
            lambda M, Y: mask_loss(M.softmax(dim=1), Y),
        ),
        Slip(
            "The sign is wrong. The loss must fall when the prediction gets better.",
            lambda M, Y: -mask_loss(M, Y),
        ),
        Slip(
            "You use only the object's pixels. The background must count as well.",
            lambda M, Y: mask_loss(M, torch.where(Y == 0, VOID, Y)),
        ),
        Slip(
            "This is the mean of the images' means. Every pixel that counts must have the same "
            "weight.",
            _mean_of_images,
        ),
        Slip(
            "This is 1 minus the probability. Take minus its logarithm.",
            lambda M, Y: (
                1 - (-F.cross_entropy(M, _void_as_background(Y), reduction="none")).exp()
            )[Y != VOID].mean(),
        ),
        Slip(
            "The loss is infinite for large logits: the softmax is 0 before the logarithm. Use "
            "log_softmax or softplus.",
            _log_of_softmax,
        ),
        Slip(
            "Where no pixel counts, the loss is NaN, because 0 / 0 is computed. It must be 0.",
            _cross_entropy,
        ),
    ],
    hints=[
        "First compute a loss for every pixel. Then set void pixels to 0, sum, and divide by the "
        "number of pixels that count.",
        "With d = M[:, 1] - M[:, 0], the loss of a pixel is softplus(-d) on the object and "
        "softplus(d) elsewhere. The divisor is `(Y != 255).sum().clamp_min(1)`.",
    ],
)


# 6.2 ----------------------------------------------------------------------------------------------


def attention_loss(A_hat: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
    """Equation 9 as printed, averaged; A_hat (B, 1, h, w) in [0, 1], Y (B, H, W) of 0, 1, 255.

    The map is resized to Y (bilinear, corners aligned), then clamped to [1e-6, 1 - 1e-6].
    """
    a = torch.nn.functional.interpolate(A_hat, Y.shape[1:], mode="bilinear", align_corners=True)
    a = a[:, 0].clamp(1e-6, 1 - 1e-6)
    each = -torch.where(Y == 1, a, 1 - a).log()
    counted = Y != 255
    return (each * counted).sum() / counted.sum().clamp_min(1)


def _attention_loss_loop(A_hat: Tensor, Y: Tensor) -> Tensor:
    (B, _, h, w), (H, W) = A_hat.shape, Y.shape[1:]
    total, count = 0.0, 0
    for b in range(B):
        for y in range(H):
            for x in range(W):
                if Y[b, y, x] == VOID:
                    continue
                v, u = y * (h - 1) / max(H - 1, 1), x * (w - 1) / max(W - 1, 1)
                top, left = min(int(v), h - 1), min(int(u), w - 1)
                bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
                i, j, grid = v - top, u - left, A_hat[b, 0].double()
                upper = (1 - j) * grid[top, left] + j * grid[top, right]
                lower = (1 - j) * grid[bottom, left] + j * grid[bottom, right]
                a = min(max(((1 - i) * upper + i * lower).item(), 1e-6), 1 - 1e-6)
                total -= math.log(a if Y[b, y, x] == 1 else 1 - a)
                count += 1
    return torch.tensor(total / max(count, 1), dtype=torch.float64)


def _map_and_truth(g: torch.Generator) -> tuple[Tensor, Tensor]:
    A_hat = torch.rand(2, 1, 3, 4, generator=g, dtype=torch.float64)
    return 0.05 + 0.9 * A_hat, _labels(g, 2, 5, 7)


def _resized(A_hat: Tensor, Y: Tensor, **options: object) -> Tensor:
    options = options or {"mode": "bilinear", "align_corners": True}
    return F.interpolate(A_hat, Y.shape[1:], **options)[:, 0].clamp(1e-6, 1 - 1e-6)


def _cross_entropy_of_map(a: Tensor, Y: Tensor, divisor: Tensor | int | None = None) -> Tensor:
    each = -torch.where(Y == 1, a, 1 - a).log() * (Y != VOID)
    return each.sum() / ((Y != VOID).sum().clamp_min(1) if divisor is None else divisor)


def _mean_of_maps(A_hat: Tensor, Y: Tensor) -> Tensor:
    pairs = zip(A_hat, Y, strict=True)
    return torch.stack([attention_loss(a[None], y[None]) for a, y in pairs]).mean()


def _released(A_hat: Tensor, Y: Tensor) -> Tensor:
    a = _resized(A_hat, Y)
    total = _cross_entropy(torch.stack([1 - a, a], dim=1), Y, reduction="sum")
    return total / (Y != VOID).sum().clamp_min(1)


_ALL_VOID = (torch.full((1, 1, 1, 2), 0.5), torch.full((1, 1, 2), VOID))

ATTENTION_LOSS = Exercise(
    id="6.2",
    title="the printed attention loss",
    reference=attention_loss,
    spec=_attention_loss_loop,
    tiny=[(torch.tensor([[[[0.2, 0.8]]]]), torch.tensor([[[0, 1, 1]]]))],
    draw=_map_and_truth,
    invariances=[
        Invariance(
            "When object and background are swapped in the map and in the truth, the loss must "
            "not change.",
            lambda fn, A, Y: close(fn(1 - A, torch.where(Y < 2, 1 - Y, Y)), fn(A, Y)),
        ),
    ],
    edges=[
        Edge(
            (torch.tensor([[[[0.0, 1.0]]]]).double(), torch.tensor([[[1, 0]]])),
            "Where the map is exactly 0 or 1, a logarithm may be infinite. Clamp it to [1e-6, 1 - "
            "1e-6].",
            double=True,
        ),
        Edge(
            (torch.tensor([[[[1e-4, 1e-5]]]]), torch.tensor([[[1, 1]]])),
            "The limits are 1e-6 and 1 - 1e-6. A value between them must not change.",
        ),
        Edge(_ALL_VOID, NO_PIXEL_COUNTS),
    ],
    extremes=at_scales(_map_and_truth, 0, factors=(*TINY, 1e-5)),
    differentiable=(0,),
    slips=[
        Slip(
            "This is the form of the released code. In the printed form A_hat is the probability "
            "itself, not a logit.",
            _released,
        ),
        Slip(
            "A sigmoid is applied to A_hat. A_hat is already a probability.",
            lambda A, Y: _cross_entropy_of_map(_resized(A, Y).sigmoid(), Y),
        ),
        Slip(
            VOID_AS_BACKGROUND,
            lambda A, Y: _cross_entropy_of_map(_resized(A, Y), _void_as_background(Y)),
        ),
        Slip(VOID_IN_THE_MEAN, lambda A, Y: _cross_entropy_of_map(_resized(A, Y), Y, Y.numel())),
        Slip(SUMMED, lambda A, Y: _cross_entropy_of_map(_resized(A, Y), Y, 1)),
        Slip(
            "Each pixel has the value of the nearest cell. Use mode='bilinear'.",
            lambda A, Y: _cross_entropy_of_map(_resized(A, Y, mode="nearest"), Y),
        ),
        Slip(
            "The corners are not aligned. Use align_corners=True.",
            lambda A, Y: _cross_entropy_of_map(
                _resized(A, Y, mode="bilinear", align_corners=False), Y
            ),
        ),
        Slip(
            "Object and background are swapped. A_hat is the probability of the object.",
            lambda A, Y: _cross_entropy_of_map(1 - _resized(A, Y), Y),
        ),
        Slip(
            "The sign is wrong. The loss must fall when the map gets better.",
            lambda A, Y: -attention_loss(A, Y),
        ),
        Slip(
            "You use only the object's pixels. The map must be low elsewhere, so the background "
            "must count as well.",
            lambda A, Y: _cross_entropy_of_map(_resized(A, Y), torch.where(Y == 0, VOID, Y)),
        ),
        Slip(
            "This is the mean of the images' means. Every pixel that counts must have the same "
            "weight.",
            _mean_of_maps,
        ),
        Slip(
            "binary_cross_entropy does not accept the label 255. Leave these pixels out first.",
            lambda A, Y: F.binary_cross_entropy(_resized(A, Y), Y.to(A.dtype)),
        ),
        Slip(
            "This is a squared error. Equation 9 is a cross-entropy.",
            lambda A, Y: ((_resized(A, Y) - Y) ** 2)[Y != VOID].mean(),
        ),
    ],
    hints=[
        "Resize and clamp the map. Then take -log of the probability that the map gives to the "
        "true label.",
        "`a = torch.nn.functional.interpolate(A_hat, Y.shape[1:], mode='bilinear', "
        "align_corners=True)[:, 0].clamp(1e-6, 1 - 1e-6)`. Take -log of a on the object, and -log "
        "of 1 - a elsewhere.",
    ],
)


# 6.3 ----------------------------------------------------------------------------------------------


def relation_loss(
    u_q: torch.Tensor, u_s: torch.Tensor, g_q: torch.Tensor, g_s: torch.Tensor
) -> torch.Tensor:
    """Equation 10, averaged over B N_q N_s entries, without building any of them.

    u_q (B, D, N_q) and u_s (B, D, N_s) have unit columns; g_q (B, N_q), g_s (B, N_s) are masks.
    """
    relation = ((u_q @ u_q.mT) * (u_s @ u_s.mT)).sum()
    on_truth = ((u_q @ g_q[..., None]) * (u_s @ g_s[..., None])).sum()
    truth = (g_q.square().sum(dim=1) * g_s.square().sum(dim=1)).sum()
    return (relation - 2 * on_truth + truth) / (g_q.numel() * g_s.shape[1])


def _relation_loss_loop(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    total, count = 0.0, 0
    for b in range(len(g_q)):
        q, s = u_q[b].T.tolist(), u_s[b].T.tolist()
        for i in range(g_q.shape[1]):
            for j in range(g_s.shape[1]):
                R = sum(x * y for x, y in zip(q[i], s[j], strict=True))
                total += (R - g_q[b, i].item() * g_s[b, j].item()) ** 2
                count += 1
    return torch.tensor(total / count, dtype=torch.float64)


def _units_and_masks(g: torch.Generator) -> tuple[Tensor, ...]:
    u_q, u_s = (F.normalize(normal(g, 2, 3, n), dim=1) for n in (11, 14))
    return u_q, u_s, *(uniform(g, 2, n) for n in (11, 14))


def _many_pixels() -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    units = (F.normalize(normal(g, 1, 4, 200), dim=1) for _ in range(2))
    return tuple(x.float() for x in (*units, uniform(g, 1, 200), uniform(g, 1, 200)))


def _three_sums(
    u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    relation = torch.einsum("bci,bdi,bcj,bdj->", u_q, u_q, u_s, u_s)
    on_truth = torch.einsum("bdi,bi,bdj,bj->", u_q, g_q, u_s, g_s)
    return relation, on_truth, torch.einsum("bi,bi,bj,bj->", g_q, g_q, g_s, g_s)


def _with_factors(*args: Tensor, cross: float = -2, truth: float = 1, count: int = 0) -> Tensor:
    r, o, t = _three_sums(*args)
    return (r + cross * o + truth * t) / (count or args[2].numel() * args[3].shape[1])


def _with_last_term(last: Tensor, *args: Tensor) -> Tensor:
    r, o, _ = _three_sums(*args)
    return (r - 2 * o + last) / (args[2].numel() * args[3].shape[1])


def _difference(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    return u_q.mT @ u_s - g_q[:, :, None] * g_s[:, None]


def _grams_of_the_batch(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    q, s = (u.transpose(0, 1).flatten(1) for u in (u_q, u_s))
    _, o, t = _three_sums(u_q, u_s, g_q, g_s)
    r = ((q @ q.T) * (s @ s.T)).sum()
    return (r - 2 * o + t) / (g_q.numel() * g_s.shape[1])


_OBJECT = torch.tensor([[1.0, 0.0, 1.0]])
_PERFECT = torch.stack([_OBJECT, 1 - _OBJECT], dim=1)

RELATION_LOSS = Exercise(
    id="6.3",
    title="the relationship loss without the matrix",
    reference=relation_loss,
    spec=_relation_loss_loop,
    tiny=[
        (
            torch.tensor([[[1.0, 0.6], [0.0, 0.8]]]),
            torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]),
            torch.tensor([[1.0, 0.0]]),
            torch.tensor([[1.0, 0.5]]),
        )
    ],
    draw=_units_and_masks,
    invariances=[
        Invariance(
            "When query and support are swapped, the loss must not change.",
            lambda fn, u_q, u_s, g_q, g_s: close(fn(u_s, u_q, g_s, g_q), fn(u_q, u_s, g_q, g_s)),
        ),
    ],
    edges=[
        Edge(
            (_PERFECT, _PERFECT * torch.tensor([[[1.0], [0.0]]]), _OBJECT, _OBJECT),
            "R equals R_truth, so the loss must be 0.",
        ),
        Edge(
            (_PERFECT, _PERFECT, 0 * _OBJECT, 0 * _OBJECT),
            "With empty masks the loss must be the mean of the squares of R.",
        ),
    ],
    extremes=at_scales(_units_and_masks, 2, factors=TINY)
    + at_scales(_units_and_masks, 2, 3, factors=TINY),
    costs=[
        Cost(
            _many_pixels(),
            "R has 40,000 numbers here, and row by row it takes 160,000 multiplications. Compute "
            "u u^T of each side, which is D x D: 6,400 multiplications.",
            numbers=200 * 200 // 2,
            operations=200 * 200 * 4 // 4,
        )
    ],
    differentiable=(0, 1),
    slips=[
        Slip(
            "The middle term is subtracted once. It counts twice: (a - b)^2 = a^2 - 2ab + b^2.",
            lambda *a: _with_factors(*a, cross=-1),
        ),
        Slip(
            "The middle term is added. Subtract it: (a - b)^2 = a^2 - 2ab + b^2.",
            lambda *a: _with_factors(*a, cross=2),
        ),
        Slip(
            "The middle term is missing: (a - b)^2 = a^2 - 2ab + b^2.",
            lambda *a: _with_factors(*a, cross=0),
        ),
        Slip("The last term is missing: |g_q|^2 |g_s|^2.", lambda *a: _with_factors(*a, truth=0)),
        Slip(
            "The last term holds the sums of g_q and g_s, which is right only for masks of 0 and "
            "1. It is |g_q|^2 |g_s|^2, with the sums of the squares.",
            lambda *a: _with_last_term((a[2].sum(1) * a[3].sum(1)).sum(), *a),
        ),
        Slip(
            "The episodes of the batch are mixed in the last term. Multiply |g_q|^2 and |g_s|^2 of "
            "each episode, then add.",
            lambda *a: _with_last_term(a[2].square().sum() * a[3].square().sum(), *a),
        ),
        Slip(
            "This is the sum. Divide by all B * N_q * N_s entries.",
            lambda *a: _with_factors(*a, count=1),
        ),
        Slip(
            "The divisor is the number of query pixels. R has N_q * N_s entries per episode.",
            lambda *a: _with_factors(*a, count=a[2].numel()),
        ),
        Slip(
            "The divisor is the number of entries of one episode. Take the mean over the batch as "
            "well.",
            lambda *a: _with_factors(*a, count=a[2].shape[1] * a[3].shape[1]),
        ),
        Slip(
            "The episodes of the batch are mixed. Compute the Gram matrices for each episode.",
            _grams_of_the_batch,
        ),
        Slip(
            "The masks are rounded. A soft value is the share of a cell that the object covers.",
            lambda u_q, u_s, g_q, g_s: _with_factors(u_q, u_s, g_q.round(), g_s.round()),
        ),
        Slip(
            "The masks of query and support are swapped. g_q belongs to u_q, and g_s to u_s.",
            lambda u_q, u_s, g_q, g_s: _with_factors(
                u_q,
                u_s,
                *(
                    g[:, torch.arange(n) % g.shape[1]]
                    for g, n in ((g_s, g_q.shape[1]), (g_q, g_s.shape[1]))
                ),
            ),
        ),
        Slip(
            "This is the absolute difference. Equation 10 squares it.",
            lambda *a: _difference(*a).abs().mean(),
        ),
    ],
    hints=[
        "Expand the square into three sums. In each of them, separate the sum over i from the sum "
        "over j.",
        "The sum of R_ij^2 is `((u_q @ u_q.mT) * (u_s @ u_s.mT)).sum()`. The sum of R_ij g_i g_j "
        "is (u_q g_q) . (u_s g_s). The sum of (g_i g_j)^2 is |g_q|^2 |g_s|^2. Compute each per "
        "episode.",
    ],
)


# 6.4 ----------------------------------------------------------------------------------------------


def total(sums: torch.Tensor, counts: torch.Tensor, lambdas: torch.Tensor) -> torch.Tensor:
    """Equation 11 from summed terms, all (3,): average each over its own count, then weight.

    Returns a scalar. A term with lambda 0 is left out, even if it is infinite; a term with count 0
    contributes 0.
    """
    means = sums / counts.clamp_min(1)
    return torch.where(lambdas == 0, 0, lambdas * means).sum()


def _total_loop(sums: Tensor, counts: Tensor, lambdas: Tensor) -> Tensor:
    L = 0.0
    for s, n, weight in zip(sums.tolist(), counts.tolist(), lambdas.tolist(), strict=True):
        if weight != 0 and n != 0:
            L += weight * s / n
    return torch.tensor(L, dtype=torch.float64)


def _terms(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    sums, lambdas = 9 * torch.rand(2, 3, generator=g, dtype=torch.float64)
    return sums, torch.randint(2, 9, (3,), generator=g), lambdas


_ONE_COUNT_IS_0 = (torch.tensor([0.0, 2.0, 4.0]), torch.tensor([0, 2, 4]), torch.ones(3))
_WITHOUT_R = torch.tensor([1.0, 1.0, 0.0])

TOTAL = Exercise(
    id="6.4",
    title="the total loss, each term averaged and weighted",
    reference=total,
    spec=_total_loop,
    tiny=[
        (torch.tensor([8.0, 4.0, 32.0]), torch.tensor([4, 4, 16]), torch.tensor([1.0, 0.5, 2.0]))
    ],
    draw=_terms,
    invariances=[
        Invariance(
            "When the lambdas double, the loss must double.",
            lambda fn, s, n, w: close(fn(s, n, 2 * w), 2 * fn(s, n, w)),
        ),
        Invariance(
            "When the sums and the counts double, the loss must not change.",
            lambda fn, s, n, w: close(fn(2 * s, 2 * n, w), fn(s, n, w)),
        ),
    ],
    edges=[
        Edge(
            (torch.tensor([1.0, 2.0, math.inf]), torch.tensor([2, 2, 4]), _WITHOUT_R),
            "A term with lambda 0 must be left out, even if it is infinite.",
        ),
        Edge(_ONE_COUNT_IS_0, "A term with count 0 must contribute 0."),
        Edge(
            (torch.tensor([1.0, 2.0, math.inf]), torch.tensor([2, 2, 4]), torch.ones(3)),
            "An infinite term whose lambda is not 0 must make the loss infinite.",
        ),
        Edge(
            (
                torch.tensor([8e6, 4e6, 32e6]),
                torch.tensor([4, 4, 16]) * 1_000_000,
                torch.tensor([1.0, 0.5, 2.0]),
            ),
            "Sums and counts over many pixels are large. The result must still be exact.",
        ),
        Edge(
            (1e-6 * torch.tensor([8.0, 4.0, 32.0]), torch.tensor([4, 4, 16]), torch.ones(3)),
            "The losses may be small. Keep them as they are, without rounding.",
        ),
    ],
    extremes=at_scales(_terms, 0) + at_scales(_terms, 2) + at_scales(_terms, 1, factors=(10**6,)),
    differentiable=(0,),
    slips=[
        Slip(
            "The lambdas are missing. Multiply each mean by its lambda.",
            lambda s, n, w: (s / n).sum(),
        ),
        Slip(
            "The sums are not averaged. Divide each sum by its count.",
            lambda s, n, w: (w * s).sum(),
        ),
        Slip(
            "All terms have the same divisor. Divide each term by its own count.",
            lambda s, n, w: (w * s).sum() / n.sum(),
        ),
        Slip(
            "All terms have the same divisor. Divide each term by its own count.",
            lambda s, n, w: (w * s / n[0]).sum(),
        ),
        Slip(
            "The lambdas are scaled to sum to 1. Equation 11 uses them as they are.",
            lambda s, n, w: (w * s / n).sum() / w.sum(),
        ),
        Slip(
            "This is the mean of the three terms. Equation 11 adds them.",
            lambda s, n, w: (w * s / n).mean(),
        ),
        Slip(
            "The sums are multiplied by the counts. Divide by the counts.",
            lambda s, n, w: (w * s * n).sum(),
        ),
        Slip("There is one number for each term. Add them.", lambda s, n, w: w * s / n),
        Slip(
            "The means are divided by the lambdas. Multiply by the lambdas.",
            lambda s, n, w: (s / n / w).sum(),
        ),
        Slip(
            "0 times infinity is NaN. A term with lambda 0 must be left out, not multiplied.",
            lambda s, n, w: (w * s / n.clamp_min(1)).sum(),
        ),
        Slip(
            "A count of 0 gives NaN, because 0 / 0 is computed. This term must be 0.",
            lambda s, n, w: torch.where(w == 0, 0, w * s / n).sum(),
        ),
    ],
    hints=[
        "Divide each sum by its own count, multiply by its lambda, and add. Then treat two "
        "special cases: a count of 0, and a lambda of 0.",
        "`counts.clamp_min(1)` is a safe divisor, because a sum without pixels is 0. "
        "`torch.where(lambdas == 0, 0, lambdas * means)` leaves a term out even when it is "
        "infinite.",
    ],
)


EXERCISES = (MASK_LOSS, ATTENTION_LOSS, RELATION_LOSS, TOTAL)
