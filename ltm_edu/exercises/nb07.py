"""Exercises of notebook 07, training: which class comes next, how long a step, how fast."""

from __future__ import annotations

import math

import torch

from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-6)


# 7.1 ----------------------------------------------------------------------------------------------


def class_probabilities(counts: torch.Tensor, power: float) -> torch.Tensor:
    """How likely each class is drawn: its number of pictures to a power, all together 1.

    counts is (C,); power 0 draws all classes alike, 1 all pictures alike; without a picture, 0.
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
    title="how likely a class is drawn",
    reference=class_probabilities,
    spec=_probabilities_loop,
    tiny=[(torch.tensor([1.0, 4.0, 9.0]), 0.5)],
    draw=_counts,
    invariances=[
        Invariance(
            "twice the pictures of every class must change nothing",
            lambda fn, n, p: _close(fn(2 * n, p), fn(n, p)),
        ),
    ],
    edges=[
        Edge(
            (torch.tensor([3.0, 0.0, 5.0]), 0.0),
            "a class without pictures was drawn: 0 to the power of 0 is 1",
        ),
        Edge((torch.tensor([2.0, 6.0]), 1.0), "power 1: all pictures alike"),
    ],
    slips=[
        Slip("probabilities add up to 1: divide by their sum", lambda n, p: n**p),
        Slip("the power is missing: that draws all pictures alike", lambda n, p: n / n.sum()),
        Slip(
            "all classes alike: that is power 0",
            lambda n, p: torch.ones_like(n) / len(n),
        ),
        Slip(
            "divided first: after the power they no longer add up to 1",
            lambda n, p: (n / n.sum()) ** p,
        ),
        Slip("a softmax: the weight of a class is n ** power", lambda n, p: (n * p).softmax(0)),
        Slip(
            "the root of that order: the weight of a class is n ** power",
            lambda n, p: n ** (1 / p) / (n ** (1 / p)).sum(),
        ),
        Slip(
            "multiplied by the power: the weight of a class is n ** power",
            lambda n, p: n * p / n.sum(),
        ),
        Slip(
            "rare classes come out ahead: the power is not negative",
            lambda n, p: n**-p / (n**-p).sum(),
        ),
        Slip(
            "a class without pictures was drawn: 0 to the power of 0 is 1",
            lambda n, p: n**p / (n**p).sum(),
        ),
    ],
    hints=[
        "A weight for each class, then divide by the sum. Then think of an empty class.",
        "`counts**power` is 1 for an empty class at power 0; torch.where(counts > 0, ..., 0) keeps "
        "it out.",
    ],
)


# 7.2 ----------------------------------------------------------------------------------------------


def clip(gradients: torch.Tensor, limit: float) -> torch.Tensor:
    """Shorten all gradients by one factor, so that together they are no longer than limit.

    gradients is (G, n), a row a group of weights; shorter ones stay as they are.
    """
    norm = torch.linalg.vector_norm(gradients)
    return gradients * (limit / norm.clamp_min(limit))


def _clip_loop(gradients: Tensor, limit: float) -> Tensor:
    rows = gradients.tolist()
    norm = math.sqrt(sum(x * x for row in rows for x in row))
    factor = limit / norm if norm > limit else 1.0
    return torch.tensor([[factor * x for x in row] for row in rows], dtype=torch.float64)


def _gradients(g: torch.Generator) -> tuple[Tensor, float]:
    return 3 * torch.randn(3, 5, generator=g, dtype=torch.float64), 1.5


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
            "the direction changed: one factor for all",
            lambda fn, x, c: _close(fn(x, c) / fn(x, c).norm(), x / x.norm()),
        ),
    ],
    edges=[
        Edge((torch.zeros(2, 3), 1.0), "all gradients zero: nothing to shorten, and no 0 / 0"),
        Edge((torch.tensor([[0.0, 2.0]]), 2.0), "exactly as long as allowed: leave it"),
    ],
    slips=[
        Slip(
            "each group by itself: that bends the direction; take one norm of them all",
            lambda x, c: x * (c / x.norm(dim=1, keepdim=True).clamp_min(c)),
        ),
        Slip(
            "each number by itself: that bends the direction; scale all by one factor",
            lambda x, c: x.clamp(-c, c),
        ),
        Slip(
            "short gradients were made longer: leave them as they are",
            lambda x, c: x * c / x.norm(),
        ),
        Slip(
            "short gradients were made longer: leave them as they are",
            lambda x, c: x * (c / x.norm().clamp_min(1e-6)),
        ),
        Slip("divided by the norm: limit / norm is the factor", lambda x, c: x / x.norm()),
        Slip(
            "the square of the norm: a root is missing",
            lambda x, c: x * (c / x.square().sum().clamp_min(c)),
        ),
        Slip(
            "the largest number is no norm: the root of the sum of squares",
            lambda x, c: x * (c / x.abs().max().clamp_min(c)),
        ),
        Slip(
            "the sum of absolute values: the norm is the root of the sum of squares",
            lambda x, c: x * (c / x.abs().sum().clamp_min(c)),
        ),
        Slip("nothing was shortened", lambda x, c: x + 0),
        Slip(
            "too long is thrown away: shorten it",
            lambda x, c: torch.where(x.norm() > c, torch.zeros_like(x), x),
        ),
    ],
    hints=[
        "One number measures all gradients together. From it comes one factor, at most 1.",
        "norm = torch.linalg.vector_norm(gradients); the factor is limit / norm where norm is over "
        "limit, else 1: `limit / norm.clamp_min(limit)`.",
    ],
)


# 7.3 ----------------------------------------------------------------------------------------------


def rate(step: torch.Tensor, steps: int) -> torch.Tensor:
    """The share of the full learning rate at each update; step is (n,), 0 for the first.

    It warms up over the first tenth (at least one update) in equal parts, the first above 0, the
    last at 1; then it falls along half a cosine, 1 to 0, over the rest.
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


def _cosine(step: Tensor, start: int, length: int) -> Tensor:
    return 0.5 * (1 + torch.cos(torch.pi * (step - start) / max(1, length)))


def _warmed(step: Tensor, steps: int, then: Tensor, first: int = 1) -> Tensor:
    warm = max(1, steps // 10)
    return torch.where(step < warm, (step + first) / warm, then)


def _no_least(step: Tensor, steps: int) -> Tensor:
    warm = steps // 10
    return torch.where(step < warm, (step + 1) / warm, _cosine(step, warm, steps - warm))


RATE = Exercise(
    id="7.3",
    title="warm up, then fall along a cosine",
    reference=rate,
    spec=_rate_loop,
    tiny=[(torch.tensor([0.0, 1.0, 11.0]), 20)],
    draw=_updates,
    invariances=[
        Invariance("over 1: the full rate is the most", lambda fn, s, n: fn(s, n).max() <= 1 + 1e-6)
    ],
    edges=[
        Edge((torch.tensor([0.0, 1.0, 4.0]), 5), "with few steps one update warms up"),
        Edge((torch.tensor([0.0]), 1), "a single update: at the full rate"),
    ],
    slips=[
        Slip("no warm-up", lambda s, n: _cosine(s, 0, n)),
        Slip(
            "the first update has rate 0 and changes nothing: (step + 1) / warm",
            lambda s, n: _warmed(s, n, _cosine(s, max(1, n // 10), n - max(1, n // 10)), 0),
        ),
        Slip(
            "the fall begins where the warm-up ends: count its steps from there",
            lambda s, n: _warmed(s, n, _cosine(s, 0, n)),
        ),
        Slip(
            "the fall takes what the warm-up leaves: steps - warm",
            lambda s, n: _warmed(s, n, _cosine(s, max(1, n // 10), n)),
        ),
        Slip(
            "a straight line: the fall is half a cosine",
            lambda s, n: _warmed(s, n, 1 - (s - max(1, n // 10)) / max(1, n - max(1, n // 10))),
        ),
        Slip(
            "a quarter of a cosine: cos(pi / 2 * ...) starts flat but ends steep",
            lambda s, n: _warmed(
                s, n, torch.cos(torch.pi / 2 * (s - max(1, n // 10)) / max(1, n - max(1, n // 10)))
            ),
        ),
        Slip(
            "from 1 down to -1: (1 + cos) / 2 ends at 0",
            lambda s, n: _warmed(s, n, 2 * _cosine(s, max(1, n // 10), n - max(1, n // 10)) - 1),
        ),
        Slip(
            "from 2 down to 0: take half",
            lambda s, n: _warmed(s, n, 2 * _cosine(s, max(1, n // 10), n - max(1, n // 10))),
        ),
        Slip(
            "it stays at 1 after the warm-up: it must fall",
            lambda s, n: _warmed(s, n, torch.ones_like(s)),
        ),
        Slip("with few steps one update warms up: max(1, steps // 10)", _no_least),
    ],
    hints=[
        "Two formulas and torch.where. After the warm-up, how far is the rest done, from 0 to 1?",
        "warm = max(1, steps // 10); while warming (step + 1) / warm; then "
        "(1 + torch.cos(torch.pi * (step - warm) / (steps - warm))) / 2, and mind steps == warm.",
    ],
)

EXERCISES = (CLASS_PROBABILITIES, CLIP, RATE)
