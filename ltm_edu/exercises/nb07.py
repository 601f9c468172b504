"""Exercises of notebook 07, training: drawing a class, clipping gradients, the learning rate."""

from __future__ import annotations

import math

import torch

from .common import at_scales, close, normal
from .exercise import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor


# 7.1 ----------------------------------------------------------------------------------------------


def class_probabilities(counts: torch.Tensor, power: float) -> torch.Tensor:
    """The probability of drawing each class, proportional to its number of pictures to a power.

    counts is (C,); with power 0 all classes are equally likely, with power 1 all pictures are. A
    class without pictures has probability 0. Returns (C,), with the sum 1.
    """
    weights = torch.where(counts > 0, counts**power, 0)
    return weights / weights.sum()


def _probabilities_loop(counts: Tensor, power: float) -> Tensor:
    weights = [n**power if n > 0 else 0.0 for n in counts.tolist()]
    return torch.tensor([w / sum(weights) for w in weights], dtype=torch.float64)


def _counts(g: torch.Generator) -> tuple[Tensor, float]:
    return torch.randint(1, 90, (6,), generator=g).double(), 0.1 + 0.2 * torch.rand(
        (), generator=g
    ).item()


CLASS_PROBABILITIES = Exercise(
    id="7.1",
    title="the probability of each class",
    reference=class_probabilities,
    spec=_probabilities_loop,
    tiny=[(torch.tensor([1.0, 4.0, 9.0]), 0.5)],
    draw=_counts,
    invariances=[
        Invariance(
            "When every class has twice as many pictures, the probabilities must not change.",
            lambda fn, n, p: close(fn(2 * n, p), fn(n, p)),
        ),
    ],
    edges=[
        Edge(
            (torch.tensor([3.0, 0.0, 5.0]), 0.0),
            "The probability of a class without pictures must be 0, also with power 0.",
        ),
        Edge(
            (torch.tensor([2.0, 6.0]), 1.0),
            "With power 1 every picture must have the same probability.",
        ),
        Edge(
            (torch.tensor([1e4, 4e6]), 1.0),
            "A class may have millions of pictures. All of them count.",
        ),
    ],
    extremes=at_scales(_counts, 0, factors=(1e3, 1e6)),
    slips=[
        Slip("The probabilities do not add up to 1. Divide by their sum.", lambda n, p: n**p),
        Slip(
            "The divisor is the number of all pictures, so the probabilities do not add up to 1. "
            "Divide by the sum of the weights n ** power.",
            lambda n, p: n**p / n.sum(),
        ),
        Slip(
            "The power in your code is 0.5, whatever the argument. Use `power`.",
            lambda n, p: n**0.5 / (n**0.5).sum(),
        ),
        Slip(
            "The power is missing: every picture has the same probability here. Use counts ** "
            "power.",
            lambda n, p: n / n.sum(),
        ),
        Slip(
            "Every class has the same probability here, as with power 0. Use counts ** power.",
            lambda n, p: torch.ones_like(n) / len(n),
        ),
        Slip(
            "You divide first, so the probabilities do not add up to 1 after the power. Divide at "
            "the end.",
            lambda n, p: (n / n.sum()) ** p,
        ),
        Slip(
            "This is a softmax. The weight of a class is n ** power.",
            lambda n, p: (n * p).softmax(0),
        ),
        Slip(
            "This takes the root of order `power`. The weight of a class is n ** power.",
            lambda n, p: n ** (1 / p) / (n ** (1 / p)).sum(),
        ),
        Slip(
            "The counts are multiplied by the power. The weight of a class is n ** power.",
            lambda n, p: n * p / n.sum(),
        ),
        Slip(
            "Rare classes have the highest probability, because the power is negative. Use counts "
            "** power.",
            lambda n, p: n**-p / (n**-p).sum(),
        ),
        Slip(
            "A class without pictures has a probability above 0, because 0 to the power of 0 is "
            "1. Its probability must be 0.",
            lambda n, p: n**p / (n**p).sum(),
        ),
    ],
    hints=[
        "Compute a weight for each class, then divide by the sum. What happens to a class without "
        "pictures?",
        "`counts**power` is 1 for a class without pictures when the power is 0. "
        "torch.where(counts > 0, ..., 0) makes its weight 0.",
    ],
)


# 7.2 ----------------------------------------------------------------------------------------------


def clip(gradients: torch.Tensor, limit: float) -> torch.Tensor:
    """Multiply all gradients by one factor, so that their common norm is at most limit.

    gradients is (G, n), one row per group of weights; if the norm is smaller, nothing changes.
    Returns (G, n).
    """
    norm = torch.linalg.vector_norm(gradients)
    return gradients * (limit / norm.clamp_min(limit))


def _clip_loop(gradients: Tensor, limit: float) -> Tensor:
    rows = gradients.tolist()
    norm = math.sqrt(sum(x * x for row in rows for x in row))
    factor = limit / norm if norm > limit else 1.0
    return torch.tensor([[factor * x for x in row] for row in rows], dtype=torch.float64)


def _gradients(g: torch.Generator) -> tuple[Tensor, float]:
    return 3 * normal(g, 3, 5), 1.5


CLIP = Exercise(
    id="7.2",
    title="one limit for all gradients together",
    reference=clip,
    spec=_clip_loop,
    tiny=[
        (torch.tensor([[3.0, 0.0], [0.0, 4.0]]), 1.0),
        (torch.tensor([[0.3, 0.0], [0.0, 0.4]]), 1.0),
    ],
    draw=_gradients,
    invariances=[
        Invariance(
            "The direction of the gradients must not change. Multiply all of them by one factor.",
            lambda fn, x, c: close(fn(x, c) / fn(x, c).norm(), x / x.norm()),
        ),
    ],
    edges=[
        Edge(
            (torch.zeros(2, 3), 1.0),
            "All gradients are zero. There is nothing to shorten, and they must stay zero.",
        ),
        Edge(
            (torch.tensor([[0.0, 2.0]]), 2.0),
            "The gradients are exactly as long as the limit. They must not change.",
        ),
        Edge(
            (torch.tensor([[3e6, 0.0], [0.0, 4e6]]), 1.0),
            "However long the gradients are, their norm must become the limit.",
        ),
    ],
    extremes=at_scales(_gradients, 0) + at_scales(_gradients, 1),
    slips=[
        Slip(
            "Each group is clipped separately, which changes the direction. Use the norm of all "
            "gradients together.",
            lambda x, c: x * (c / x.norm(dim=1, keepdim=True).clamp_min(c)),
        ),
        Slip(
            "Each number is clipped separately, which changes the direction. Multiply all "
            "gradients by one factor.",
            lambda x, c: x.clamp(-c, c),
        ),
        Slip(
            "Short gradients became longer. Leave them as they are.",
            lambda x, c: x * c / x.norm(),
        ),
        Slip(
            "Short gradients became longer. Leave them as they are.",
            lambda x, c: x * (c / x.norm().clamp_min(1e-6)),
        ),
        Slip(
            "The gradients are divided by the norm. The factor is limit / norm.",
            lambda x, c: x / x.norm(),
        ),
        Slip(
            "Long gradients get the norm 1, whatever the argument. Use `limit`: the factor is "
            "limit / norm.",
            lambda x, c: torch.where(x.norm() > c, x / x.norm(), x),
        ),
        Slip(
            "The limit in your code is 1, whatever the argument. Use `limit`.",
            lambda x, c: x / x.norm().clamp_min(1),
        ),
        Slip(
            "This is the square of the norm. Take the square root.",
            lambda x, c: x * (c / x.square().sum().clamp_min(c)),
        ),
        Slip(
            "The largest number is not the norm. Take the square root of the sum of squares.",
            lambda x, c: x * (c / x.abs().max().clamp_min(c)),
        ),
        Slip(
            "The sum of absolute values is not the norm. Take the square root of the sum of "
            "squares.",
            lambda x, c: x * (c / x.abs().sum().clamp_min(c)),
        ),
        Slip(
            "The gradients are unchanged. Shorten those that are longer than the limit.",
            lambda x, c: x + 0,
        ),
        Slip(
            "Long gradients are replaced by zeros. Shorten them instead.",
            lambda x, c: torch.where(x.norm() > c, torch.zeros_like(x), x),
        ),
    ],
    hints=[
        "One norm measures all gradients together. It gives one factor, which is at most 1.",
        "norm = torch.linalg.vector_norm(gradients). The factor is limit / norm where the norm is "
        "above the limit, else 1: `limit / norm.clamp_min(limit)`.",
    ],
)


# 7.3 ----------------------------------------------------------------------------------------------


def rate(step: torch.Tensor, steps: int) -> torch.Tensor:
    """The share of the full learning rate at each update; step is (n,), 0 for the first update.

    In the first steps // 10 updates (at least one) it grows in equal parts: the first update is
    above 0, the last of these is at 1. After that it falls from 1 along half a cosine that reaches
    0 at step = steps. Returns (n,).
    """
    warm = max(1, steps // 10)
    falling = 0.5 * (1 + torch.cos(torch.pi * (step - warm) / max(1, steps - warm)))
    return torch.where(step < warm, (step + 1) / warm, falling)


def _rate_loop(step: Tensor, steps: int) -> Tensor:
    warm, shares = max(1, steps // 10), []
    for s in step.tolist():
        if s < warm:
            shares.append((s + 1) / warm)
        else:
            shares.append((1 + math.cos(math.pi * (s - warm) / (steps - warm))) / 2)
    return torch.tensor(shares, dtype=torch.float64)


def _updates(g: torch.Generator) -> tuple[Tensor, int]:
    steps = int(torch.randint(40, 200, (), generator=g))
    return torch.arange(0, steps, 7, dtype=torch.float64), steps


def _cosine(step: Tensor, start: float, length: float) -> Tensor:
    return 0.5 * (1 + torch.cos(torch.pi * (step - start) / max(1, length)))


def _warm_up(step: Tensor, steps: int, after: Tensor, offset: int = 1) -> Tensor:
    warm = max(1, steps // 10)
    return torch.where(step < warm, (step + offset) / warm, after)


def _with_warm_up(step: Tensor, steps: int, warm: float) -> Tensor:
    return torch.where(step < warm, (step + 1) / warm, _cosine(step, warm, steps - warm))


def _without_minimum(step: Tensor, steps: int) -> Tensor:
    return _with_warm_up(step, steps, steps // 10)


RATE = Exercise(
    id="7.3",
    title="warm up, then fall along a cosine",
    reference=rate,
    spec=_rate_loop,
    tiny=[(torch.tensor([0.0, 1.0, 11.0]), 20)],
    draw=_updates,
    invariances=[
        Invariance(
            "No share may be above 1, because the full learning rate is the maximum.",
            lambda fn, s, n: fn(s, n).max() <= 1 + 1e-6,
        )
    ],
    edges=[
        Edge((torch.tensor([0.0, 1.0, 4.0]), 5), "With few steps, the warm-up has one update."),
        Edge((torch.tensor([0.0]), 1), "A single update must use the full learning rate."),
        Edge(
            (torch.tensor([0.0, 999.0, 5000.0, 9999.0]), 10_000),
            "With many steps, the warm-up is still the first tenth of them.",
        ),
    ],
    extremes=[(torch.arange(0, 10**6, 9973).double(), 10**6), (torch.arange(3).double(), 3)],
    slips=[
        Slip(
            "The warm-up is missing. Start with (step + 1) / warm.", lambda s, n: _cosine(s, 0, n)
        ),
        Slip(
            "The first update has rate 0 and changes nothing. Use (step + 1) / warm.",
            lambda s, n: _warm_up(s, n, _cosine(s, max(1, n // 10), n - max(1, n // 10)), 0),
        ),
        Slip(
            "The fall must start where the warm-up ends. Count its steps from there: step - warm.",
            lambda s, n: _warm_up(s, n, _cosine(s, 0, n)),
        ),
        Slip(
            "The fall must last for the steps after the warm-up. Divide by steps - warm.",
            lambda s, n: _warm_up(s, n, _cosine(s, max(1, n // 10), n)),
        ),
        Slip(
            "The warm-up has one update too many. Use it where step < warm, not where step <= "
            "warm.",
            lambda s, n: torch.where(s == max(1, n // 10), (s + 1) / max(1, n // 10), rate(s, n)),
        ),
        Slip(
            "The fall starts one update too early. Its first step is step - warm = 0.",
            lambda s, n: _warm_up(s, n, _cosine(s + 1, max(1, n // 10), n - max(1, n // 10))),
        ),
        Slip(
            "The fall ends one update too early. It reaches 0 at step = steps: divide by steps - "
            "warm.",
            lambda s, n: _warm_up(s, n, _cosine(s, max(1, n // 10), n - 1 - max(1, n // 10))),
        ),
        *(
            Slip(
                "The length of the warm-up is not rounded down. It has steps // 10 updates, at "
                "least one.",
                lambda s, n, rounded=rounded: _with_warm_up(s, n, max(1, rounded(n / 10))),
            )
            for rounded in (math.ceil, round, float)
        ),
        Slip(
            "This is a straight line. The fall must be half a cosine.",
            lambda s, n: _warm_up(s, n, 1 - (s - max(1, n // 10)) / max(1, n - max(1, n // 10))),
        ),
        Slip(
            "This is a quarter of a cosine, which ends steeply. Use (1 + cos(pi * ...)) / 2.",
            lambda s, n: _warm_up(
                s, n, torch.cos(torch.pi / 2 * (s - max(1, n // 10)) / max(1, n - max(1, n // 10)))
            ),
        ),
        Slip(
            "The rate falls from 1 to -1. (1 + cos) / 2 ends at 0.",
            lambda s, n: _warm_up(s, n, 2 * _cosine(s, max(1, n // 10), n - max(1, n // 10)) - 1),
        ),
        Slip(
            "The rate falls from 2 to 0. Take half of it.",
            lambda s, n: _warm_up(s, n, 2 * _cosine(s, max(1, n // 10), n - max(1, n // 10))),
        ),
        Slip(
            "You use the positions in `step`, not its values. Use `step` itself.",
            lambda s, n: rate(torch.arange(len(s), dtype=s.dtype), n),
        ),
        Slip(
            "The rate stays at 1 after the warm-up. It must fall.",
            lambda s, n: _warm_up(s, n, torch.ones_like(s)),
        ),
        Slip(
            "With few steps, the warm-up must still have one update: max(1, steps // 10).",
            _without_minimum,
        ),
    ],
    hints=[
        "Use two formulas and torch.where. After the warm-up, which share of the remaining steps "
        "is done, from 0 to 1?",
        "warm = max(1, steps // 10). During the warm-up the share is (step + 1) / warm. After it, "
        "the share is (1 + torch.cos(torch.pi * (step - warm) / (steps - warm))) / 2. With "
        "`max(1, steps - warm)` as the divisor, 0 / 0 cannot occur when steps == warm.",
    ],
)

EXERCISES = (CLASS_PROBABILITIES, CLIP, RATE)
