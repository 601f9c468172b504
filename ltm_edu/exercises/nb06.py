"""Exercises of notebook 06, the losses: equations 8 to 11."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .common import close, largest_tensor, normal, safe_gradient
from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

VOID_AS_BACKGROUND = "255 counted as background: nobody knows what is there, so it never counts"
VOID_IN_THE_MEAN = "void pixels are in the divisor: average over the pixels that count"
SUMMED = "the sum: asked for is the mean over the pixels that count"
NOTHING_COUNTS = "0 / 0 where no pixel counts: the loss is 0 there"
NOTHING_GRADIENT = (
    "right values, but the gradient is NaN where nothing counts: 0 / 0 was computed and hidden "
    "afterwards. Keep the divisor above 0"
)


def _labels(g: torch.Generator, *size: int) -> Tensor:
    return torch.tensor([0, 1, 1, 0, 255])[torch.randint(5, size, generator=g)]


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
                if label != 255:
                    right, wrong = M[b, label, y, x].item(), M[b, 1 - label, y, x].item()
                    gap = wrong - right  # log(1 + e^gap), also where e^gap is too large
                    total += max(gap, 0) + math.log1p(math.exp(-abs(gap)))
                    count += 1
    return torch.tensor(total / max(count, 1), dtype=torch.float64)


def _cross_entropy(M: Tensor, Y: Tensor, **how: object) -> Tensor:
    return F.cross_entropy(M, Y, ignore_index=255, **how)


def _as_background(Y: Tensor) -> Tensor:
    return torch.where(Y == 255, 0, Y)


def _one_pixel(*logits: float, label: int) -> tuple[Tensor, Tensor]:
    return torch.tensor(logits).reshape(1, 2, 1, 1), torch.full((1, 1, 1), label)


def _mean_of_images(M: Tensor, Y: Tensor) -> Tensor:
    return torch.stack([mask_loss(m[None], y[None]) for m, y in zip(M, Y, strict=True)]).mean()


MASK_LOSS = Exercise(
    id="6.1",
    title="the mask loss, void left out",
    reference=mask_loss,
    spec=_mask_loss_loop,
    tiny=[
        (
            torch.tensor([[[[0.0, 1.0, 2.0]], [[0.0, 3.0, -9.0]]]]),
            torch.tensor([[[1, 0, 255]]]),
        )
    ],
    draw=lambda g: (2 * normal(g, 3, 2, 4, 5), _labels(g, 3, 4, 5)),
    invariances=[
        Invariance(
            "a prediction on a void pixel changed the loss",
            lambda fn, M, Y: close(fn(M + 7 * (Y == 255)[:, None] * M.sign(), Y), fn(M, Y)),
        ),
        Invariance(
            "the same number added to both logits changed the loss: only their difference counts",
            lambda fn, M, Y: close(fn(M + 3, Y), fn(M, Y)),
        ),
        safe_gradient(NOTHING_GRADIENT, 0, _one_pixel(1.0, 2.0, label=255)),
    ],
    edges=[
        Edge(
            _one_pixel(300.0, -300.0, label=1),
            "infinite at large logits: log(softmax) has underflowed; take log_softmax or softplus",
        ),
        Edge(_one_pixel(1.0, 2.0, label=255), NOTHING_COUNTS),
    ],
    differentiable=(0,),
    slips=[
        Slip(VOID_AS_BACKGROUND, lambda M, Y: F.cross_entropy(M, _as_background(Y))),
        Slip(
            "255 counted as object: nobody knows what is there, so it never counts",
            lambda M, Y: F.cross_entropy(M, (Y > 0).long()),
        ),
        Slip(VOID_IN_THE_MEAN, lambda M, Y: _cross_entropy(M, Y, reduction="sum") / Y.numel()),
        Slip(SUMMED, lambda M, Y: _cross_entropy(M, Y, reduction="sum")),
        Slip(
            "channels swapped: channel 0 is the background, channel 1 the object",
            lambda M, Y: mask_loss(M.flip(1), Y),
        ),
        Slip(
            "channel 1 alone, as if there were one logit: take the difference of the two",
            lambda M, Y: mask_loss(torch.stack([torch.zeros_like(M[:, 0]), M[:, 1]], 1), Y),
        ),
        Slip(
            "softmax taken twice: M holds logits, and the loss turns them into probabilities",
            lambda M, Y: mask_loss(M.softmax(dim=1), Y),
        ),
        Slip("the sign: a loss falls as the answer gets better", lambda M, Y: -mask_loss(M, Y)),
        Slip(
            "the object's pixels alone: the background must be found, too",
            lambda M, Y: mask_loss(M, torch.where(Y == 0, 255, Y)),
        ),
        Slip(
            "the mean of the images' means: every pixel that counts weighs the same",
            _mean_of_images,
        ),
        Slip(
            "one minus the probability, not its logarithm",
            lambda M, Y: (1 - (-F.cross_entropy(M, _as_background(Y), reduction="none")).exp())[
                Y != 255
            ].mean(),
        ),
        Slip(NOTHING_COUNTS, _cross_entropy),
    ],
    hints=[
        "A loss for every pixel first; then set void pixels to 0, sum, and divide by how many "
        "count.",
        "With d = M[:, 1] - M[:, 0] a pixel's loss is softplus(-d) on the object and softplus(d) "
        "off it; the divisor is `(Y != 255).sum().clamp_min(1)`.",
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
                if Y[b, y, x] == 255:
                    continue
                v, u = y * (h - 1) / max(H - 1, 1), x * (w - 1) / max(W - 1, 1)
                top, left = min(int(v), h - 1), min(int(u), w - 1)
                low, right = min(top + 1, h - 1), min(left + 1, w - 1)
                i, j, grid = v - top, u - left, A_hat[b, 0].double()
                upper = (1 - j) * grid[top, left] + j * grid[top, right]
                lower = (1 - j) * grid[low, left] + j * grid[low, right]
                a = min(max(((1 - i) * upper + i * lower).item(), 1e-6), 1 - 1e-6)
                total -= math.log(a if Y[b, y, x] == 1 else 1 - a)
                count += 1
    return torch.tensor(total / max(count, 1), dtype=torch.float64)


def _map_and_truth(g: torch.Generator) -> tuple[Tensor, Tensor]:
    A_hat = torch.rand(2, 1, 3, 4, generator=g, dtype=torch.float64)
    return 0.05 + 0.9 * A_hat, _labels(g, 2, 5, 7)


def _resized(A_hat: Tensor, Y: Tensor, **how: object) -> Tensor:
    how = how or {"mode": "bilinear", "align_corners": True}
    return F.interpolate(A_hat, Y.shape[1:], **how)[:, 0].clamp(1e-6, 1 - 1e-6)


def _entropy(a: Tensor, Y: Tensor, divisor: Tensor | int | None = None) -> Tensor:
    each = -torch.where(Y == 1, a, 1 - a).log() * (Y != 255)
    return each.sum() / ((Y != 255).sum().clamp_min(1) if divisor is None else divisor)


def _released(A_hat: Tensor, Y: Tensor) -> Tensor:
    a = _resized(A_hat, Y)
    return _cross_entropy(torch.stack([1 - a, a], dim=1), Y)


_ALL_VOID = (torch.full((1, 1, 1, 2), 0.5), torch.full((1, 1, 2), 255))

ATTENTION_LOSS = Exercise(
    id="6.2",
    title="the printed attention loss",
    reference=attention_loss,
    spec=_attention_loss_loop,
    tiny=[(torch.tensor([[[[0.2, 0.8]]]]), torch.tensor([[[0, 1, 1]]]))],
    draw=_map_and_truth,
    invariances=[
        Invariance(
            "inside out: with object and background swapped in both, the loss must stay",
            lambda fn, A, Y: close(fn(1 - A, torch.where(Y < 2, 1 - Y, Y)), fn(A, Y)),
        ),
        safe_gradient(NOTHING_GRADIENT, 0, _ALL_VOID),
    ],
    edges=[
        Edge(
            (torch.tensor([[[[0.0, 1.0]]]]).double(), torch.tensor([[[1, 0]]])),
            "a map that is exactly 0 or 1 has no finite logarithm: clamp it to [1e-6, 1 - 1e-6]",
        ),
        Edge(_ALL_VOID, NOTHING_COUNTS),
    ],
    differentiable=(0,),
    slips=[
        Slip(
            "the released code's form: as printed, A_hat is the probability itself, not a logit",
            _released,
        ),
        Slip(
            "a sigmoid of A_hat: it is a probability already",
            lambda A, Y: _entropy(_resized(A, Y).sigmoid(), Y),
        ),
        Slip(VOID_AS_BACKGROUND, lambda A, Y: _entropy(_resized(A, Y), _as_background(Y))),
        Slip(VOID_IN_THE_MEAN, lambda A, Y: _entropy(_resized(A, Y), Y, Y.numel())),
        Slip(SUMMED, lambda A, Y: _entropy(_resized(A, Y), Y, 1)),
        Slip(
            "resized to the nearest cell: ask for mode='bilinear'",
            lambda A, Y: _entropy(_resized(A, Y, mode="nearest"), Y),
        ),
        Slip(
            "corners not aligned: add align_corners=True",
            lambda A, Y: _entropy(_resized(A, Y, mode="bilinear", align_corners=False), Y),
        ),
        Slip(
            "object and background swapped: A_hat is the object's probability",
            lambda A, Y: _entropy(1 - _resized(A, Y), Y),
        ),
        Slip("the sign: a loss falls as the map gets better", lambda A, Y: -attention_loss(A, Y)),
        Slip(
            "the object's pixels alone: the map must be low elsewhere, too",
            lambda A, Y: _entropy(_resized(A, Y), torch.where(Y == 0, 255, Y)),
        ),
        Slip(
            "a squared error: equation 9 is a cross-entropy",
            lambda A, Y: ((_resized(A, Y) - Y) ** 2)[Y != 255].mean(),
        ),
    ],
    hints=[
        "Resize, clamp, then -log of the probability that the map gives to what is true there.",
        "`a = torch.nn.functional.interpolate(A_hat, Y.shape[1:], mode='bilinear', "
        "align_corners=True)[:, 0].clamp(1e-6, 1 - 1e-6)`; -log of a on the object, of 1 - a "
        "off it.",
    ],
)  # fmt: skip


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
    return u_q, u_s, *(torch.rand(2, n, generator=g, dtype=torch.float64) for n in (11, 14))


def _never_builds_R(fn: object, *args: Tensor) -> bool:
    return largest_tensor(fn, *args) < args[2].shape[1] * args[3].shape[1]


def _three(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    relation = torch.einsum("bci,bdi,bcj,bdj->", u_q, u_q, u_s, u_s)
    on_truth = torch.einsum("bdi,bi,bdj,bj->", u_q, g_q, u_s, g_s)
    return relation, on_truth, torch.einsum("bi,bi,bj,bj->", g_q, g_q, g_s, g_s)


def _combined(*args: Tensor, cross: float = -2, truth: float = 1, count: int = 0) -> Tensor:
    r, o, t = _three(*args)
    return (r + cross * o + truth * t) / (count or args[2].numel() * args[3].shape[1])


def _difference(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    return u_q.mT @ u_s - g_q[:, :, None] * g_s[:, None]


def _grams_of_the_batch(u_q: Tensor, u_s: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
    one = [u.transpose(0, 1).flatten(1)[None] for u in (u_q, u_s)]
    _, o, t = _three(u_q, u_s, g_q, g_s)
    r = ((one[0] @ one[0].mT) * (one[1] @ one[1].mT)).sum()
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
            "right, but R was built: N_q * N_s numbers at once. Multiply u u^T of each side, D x D",
            _never_builds_R,
        ),
        Invariance(
            "with query and support swapped the loss must stay",
            lambda fn, u_q, u_s, g_q, g_s: close(fn(u_s, u_q, g_s, g_q), fn(u_q, u_s, g_q, g_s)),
        ),
    ],
    edges=[
        Edge(
            (_PERFECT, _PERFECT * torch.tensor([[[1.0], [0.0]]]), _OBJECT, _OBJECT),
            "R equals R_truth: the loss must be 0",
        ),
        Edge(
            (_PERFECT, _PERFECT, 0 * _OBJECT, 0 * _OBJECT),
            "with empty masks it is the mean square of R",
        ),
    ],
    differentiable=(0, 1),
    slips=[
        Slip("the middle term counts twice: (a - b)^2 = a^2 - 2ab + b^2",
             lambda *a: _combined(*a, cross=-1)),
        Slip("the middle term is subtracted: (a - b)^2 = a^2 - 2ab + b^2",
             lambda *a: _combined(*a, cross=2)),
        Slip("the middle term is missing: (a - b)^2 = a^2 - 2ab + b^2",
             lambda *a: _combined(*a, cross=0)),
        Slip("the last term is missing: |g_q|^2 |g_s|^2", lambda *a: _combined(*a, truth=0)),
        Slip("the sum: divide by all B * N_q * N_s entries", lambda *a: _combined(*a, count=1)),
        Slip("divided by the number of pixels: R has N_q * N_s entries an episode",
             lambda *a: _combined(*a, count=a[2].numel())),
        Slip("divided by one episode's entries: the mean runs over the batch, too",
             lambda *a: _combined(*a, count=a[2].shape[1] * a[3].shape[1])),
        Slip("the episodes of the batch got mixed: a Gram matrix for each", _grams_of_the_batch),
        Slip("the masks were rounded: a soft value says how much of a cell the object covers",
             lambda u_q, u_s, g_q, g_s: _combined(u_q, u_s, g_q.round(), g_s.round())),
        Slip("query and support masks swapped", lambda u_q, u_s, g_q, g_s: _combined(
            u_q, u_s, *(g[:, torch.arange(n) % g.shape[1]]
                        for g, n in ((g_s, g_q.shape[1]), (g_q, g_s.shape[1]))))),
        Slip("the absolute difference: equation 10 squares it",
             lambda *a: _difference(*a).abs().mean()),
    ],
    hints=[
        "Write the square out: three sums. In each, take the sum over i and the sum over j apart.",
        "The sum of R_ij^2 is `((u_q @ u_q.mT) * (u_s @ u_s.mT)).sum()`, that of R_ij g_i g_j is "
        "(u_q g_q) . (u_s g_s), that of (g_i g_j)^2 is |g_q|^2 |g_s|^2; episode by episode.",
    ],
)  # fmt: skip


# 6.4 ----------------------------------------------------------------------------------------------


def total(sums: torch.Tensor, counts: torch.Tensor, lambdas: torch.Tensor) -> torch.Tensor:
    """Equation 11 from summed terms, all (3,): average each over its own count, then weight.

    A term with lambda 0 is left out, whatever its value; one with count 0 contributes 0.
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


_NOTHING_COUNTED = (torch.tensor([0.0, 2.0, 4.0]), torch.tensor([0, 2, 4]), torch.ones(3))
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
            "twice the lambdas must be twice the loss",
            lambda fn, s, n, w: close(fn(s, n, 2 * w), 2 * fn(s, n, w)),
        ),
        Invariance(
            "the same pixels counted twice must change nothing",
            lambda fn, s, n, w: close(fn(2 * s, 2 * n, w), fn(s, n, w)),
        ),
        safe_gradient(NOTHING_GRADIENT, 0, _NOTHING_COUNTED),
    ],
    edges=[
        Edge(
            (torch.tensor([1.0, 2.0, math.inf]), torch.tensor([2, 2, 4]), _WITHOUT_R),
            "0 times infinity is NaN: a term with lambda 0 must be left out, not multiplied",
        ),
        Edge(
            _NOTHING_COUNTED,
            "0 / 0 where nothing counts: that term is 0",
        ),
    ],
    differentiable=(0,),
    slips=[
        Slip("the lambdas are missing", lambda s, n, w: (s / n).sum()),
        Slip("the sums were not averaged: divide each by its count", lambda s, n, w: (w * s).sum()),
        Slip(
            "one divisor for all: each term has its own count",
            lambda s, n, w: (w * s).sum() / n.sum(),
        ),
        Slip(
            "one divisor for all: each term has its own count",
            lambda s, n, w: (w * s / n[0]).sum(),
        ),
        Slip(
            "the lambdas were scaled to sum to 1: equation 11 takes them as they are",
            lambda s, n, w: (w * s / n).sum() / w.sum(),
        ),
        Slip("the mean of the three: equation 11 adds them", lambda s, n, w: (w * s / n).mean()),
        Slip("multiplied by the counts: divide", lambda s, n, w: (w * s * n).sum()),
        Slip("one number a term: add them", lambda s, n, w: w * s / n),
        Slip("divided by the lambdas: multiply", lambda s, n, w: (s / n / w).sum()),
        Slip(
            "0 times infinity is NaN: a term with lambda 0 must be left out, not multiplied",
            lambda s, n, w: (w * s / n.clamp_min(1)).sum(),
        ),
        Slip("0 / 0 where nothing counts: that term is 0",
             lambda s, n, w: torch.where(w == 0, 0, w * s / n).sum()),
    ],
    hints=[
        "Divide each sum by its own count, weight, add. Then the two zeros: a count, a lambda.",
        "`counts.clamp_min(1)` is a safe divisor, since nothing counted sums to 0; "
        "`torch.where(lambdas == 0, 0, lambdas * means)` leaves a term out even when it is "
        "infinite.",
    ],
)  # fmt: skip


EXERCISES = (MASK_LOSS, ATTENTION_LOSS, RELATION_LOSS, TOTAL)
