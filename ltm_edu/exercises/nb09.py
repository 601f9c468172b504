"""Exercises of notebook 09: the size of a cache, one step of Adam from its state, four folds."""

from __future__ import annotations

import math

import torch

from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor


# 9.1 ----------------------------------------------------------------------------------------------


def cache_bytes(
    pictures: int, copies: int, channels: int, sides: torch.Tensor, stride: int, number: int
) -> torch.Tensor:
    """Bytes that the frozen features of all pictures take.

    Each picture is kept `copies` times (2 with its mirror image), each copy at every query scale:
    `sides` is (S,), the picture's side in pixels at each. The grid has a cell for every `stride`
    pixels, a started one included; a cell holds `channels` numbers of `number` bytes.
    """
    cells = ((sides + stride - 1) // stride) ** 2
    return pictures * copies * channels * number * cells.sum()


def _cache_bytes_loop(
    pictures: int, copies: int, channels: int, sides: Tensor, stride: int, number: int
) -> Tensor:
    total = 0
    for side in sides.tolist():
        for _top in range(0, side, stride):
            for _left in range(0, side, stride):
                total += channels * number
    return torch.tensor(pictures * copies * total)


def _cache(g: torch.Generator) -> tuple[int, int, int, Tensor, int, int]:
    n, c = torch.randint(5, 60, (2,), generator=g).tolist()
    sides = 16 * torch.randint(4, 26, (3,), generator=g) + torch.tensor([1, 7, 0])
    return n, 2, c, sides, 16, 4


def _cells(sides: Tensor, stride: int) -> Tensor:
    return ((sides + stride - 1) // stride) ** 2


CACHE_BYTES = Exercise(
    id="9.1",
    title="the size of a cache before it is made",
    reference=cache_bytes,
    spec=_cache_bytes_loop,
    tiny=[(10, 2, 3, torch.tensor([33, 64]), 16, 4), (2, 1, 5, torch.tensor([20]), 16, 2)],
    draw=_cache,
    invariances=[
        Invariance(
            "the scales in another order must change nothing",
            lambda fn, n, k, c, s, t, b: torch.equal(fn(n, k, c, s.flip(0), t, b),
                                                     fn(n, k, c, s, t, b)),
        ),
    ],
    edges=[
        Edge((3, 1, 4, torch.tensor([16]), 16, 4), "a side of just one stride has one cell"),
        Edge((3, 1, 4, torch.tensor([17]), 16, 4), "17 pixels start a second cell at stride 16"),
        Edge((0, 1, 4, torch.tensor([64]), 16, 4), "no pictures, no bytes"),
    ],
    slips=[
        Slip(
            "a started cell was left out: 33 pixels have 3 cells at stride 16, not 2",
            lambda n, k, c, s, t, b: n * k * c * b * ((s // t) ** 2).sum(),
        ),
        Slip(
            "always one cell more than whole strides: 64 pixels have 4 at stride 16",
            lambda n, k, c, s, t, b: n * k * c * b * ((s // t + 1) ** 2).sum(),
        ),
        Slip(
            "a row of the grid, expected all of it: square the cells",
            lambda n, k, c, s, t, b: n * k * c * b * ((s + t - 1) // t).sum(),
        ),
        Slip(
            "summed before squaring: each scale has a grid of its own",
            lambda n, k, c, s, t, b: n * k * c * b * ((s + t - 1) // t).sum() ** 2,
        ),
        Slip(
            "pixels counted, expected grid cells: where is the stride?",
            lambda n, k, c, s, t, b: n * k * c * b * (s**2).sum(),
        ),
        Slip(
            "the copies are missing: a mirror image is kept, too",
            lambda n, k, c, s, t, b: n * c * b * _cells(s, t).sum(),
        ),
        Slip(
            "numbers counted, expected bytes",
            lambda n, k, c, s, t, b: n * k * c * _cells(s, t).sum(),
        ),
        Slip(
            "bits, expected bytes: 8 times too many",
            lambda n, k, c, s, t, b: 8 * n * k * c * b * _cells(s, t).sum(),
        ),
        Slip(
            "one scale, expected all of them",
            lambda n, k, c, s, t, b: n * k * c * b * _cells(s, t)[0],
        ),
        Slip(
            "a number for each scale: take their sum",
            lambda n, k, c, s, t, b: n * k * c * b * _cells(s, t),
        ),
        Slip(
            "the channels are missing: a cell holds a whole vector",
            lambda n, k, c, s, t, b: n * k * b * _cells(s, t).sum(),
        ),
    ],
    hints=[
        "First the cells of one grid: a side divided by the stride, rounded up, squared.",
        "cells = ((sides + stride - 1) // stride) ** 2; add up the scales, then multiply by "
        "pictures, copies, channels and bytes a number.",
    ],
)  # fmt: skip


# 9.2 ----------------------------------------------------------------------------------------------


def adam_step(
    w: torch.Tensor, g: torch.Tensor, m: torch.Tensor, v: torch.Tensor, t: int, lr: float
) -> torch.Tensor:
    """One update by Adam, from the state of t updates before: the new w, m and v, (3, n).

    w, g, m, v are (n,): weights, gradient, and its running mean and running mean square, which
    start as 0. Rates .9 and .999; both means are divided by the share of evidence that they hold
    so far, 1 - .9^k and 1 - .999^k after k updates; 1e-8 is added to the root.
    """
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    m_hat = m / (1 - 0.9 ** (t + 1))
    v_hat = v / (1 - 0.999 ** (t + 1))
    return torch.stack([w - lr * m_hat / (v_hat.sqrt() + 1e-8), m, v])


def _adam_loop(w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float) -> Tensor:
    rows: list[list[float]] = [[], [], []]
    for a, b, c, d in zip(w.tolist(), g.tolist(), m.tolist(), v.tolist(), strict=True):
        mean, square = 0.9 * c + 0.1 * b, 0.999 * d + 0.001 * b**2
        root = math.sqrt(square / (1 - 0.999 ** (t + 1))) + 1e-8
        for row, x in zip(
            rows, (a - lr * mean / (1 - 0.9 ** (t + 1)) / root, mean, square), strict=True
        ):
            row.append(x)
    return torch.tensor(rows, dtype=torch.float64)


def _state(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, int, float]:
    w, grad, m = torch.randn(3, 5, generator=g, dtype=torch.float64).unbind()
    v = 0.5 + torch.rand(5, generator=g, dtype=torch.float64)
    return w, 20 + 5 * grad, m, v, int(torch.randint(3, 20, (), generator=g)), 0.5


def _adam(
    w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float,
    a: float = 0.9, b: float = 0.999, root: bool = True, corrected: bool = True, late: int = 1,
) -> Tensor:  # fmt: skip
    m, v = a * m + (1 - a) * g, b * v + (1 - b) * g * g
    m_hat = m / (1 - a ** (t + late)) if corrected else m
    v_hat = v / (1 - b ** (t + late)) if corrected else v
    return torch.stack([w - lr * m_hat / ((v_hat.sqrt() if root else v_hat) + 1e-8), m, v])


_ZERO = torch.zeros(2)

ADAM_STEP = Exercise(
    id="9.2",
    title="a step of Adam from a kept state",
    reference=adam_step,
    spec=_adam_loop,
    tiny=[
        (torch.ones(2), torch.tensor([20.0, -10.0]), torch.tensor([4.0, 2.0]),
         torch.tensor([1.0, 3.0]), 3, 0.5),
    ],
    draw=_state,
    edges=[
        Edge(
            (torch.ones(2), torch.tensor([2.0, -5.0]), _ZERO, _ZERO, 0, 0.5),
            "the first update of all (t = 0) moves each weight by lr: divide by 1 - .9^1",
        ),
        Edge(
            (torch.ones(2), _ZERO, _ZERO, _ZERO, 0, 0.5),
            "no gradient yet: 0 over 1e-8, nothing moves and nothing is NaN",
        ),
    ],
    invariances=[
        Invariance(
            "a loss 10 times as large, from a fresh state, must move the weights alike",
            lambda fn, w, g, m, v, t, lr: torch.allclose(
                fn(w, 10 * g, 0 * m, 0 * v, 0, lr)[0], fn(w, g, 0 * m, 0 * v, 0, lr)[0], atol=1e-6
            ),
        )
    ],
    slips=[
        Slip(
            "m, v and t were forgotten: that is a run that starts anew from these weights",
            lambda w, g, m, v, t, lr: _adam(w, g, 0 * m, 0 * v, 0, lr),
        ),
        Slip(
            "t was forgotten: the correction is that of a first update",
            lambda w, g, m, v, t, lr: _adam(w, g, m, v, 0, lr),
        ),
        Slip(
            "the correction is missing: both means start as 0 and are too small at first",
            lambda *args: _adam(*args, corrected=False),
        ),
        Slip(
            "the correction of the update before: t updates are done, this is number t + 1",
            lambda *args: _adam(*args, late=0),
        ),
        Slip("the root is missing", lambda *args: _adam(*args, root=False)),
        Slip("rates swapped: .9 is the mean's", lambda *args: _adam(*args, a=0.999, b=0.9)),
        Slip(
            "uphill: minus the step",
            lambda w, g, m, v, t, lr: torch.cat([
                2 * w[None] - _adam(w, g, m, v, t, lr)[:1], _adam(w, g, m, v, t, lr)[1:]]),
        ),
        Slip(
            "that is plain gradient descent: divide the mean by the root of the mean square",
            lambda w, g, m, v, t, lr: torch.cat([
                (w - lr * g)[None], _adam(w, g, m, v, t, lr)[1:]]),
        ),
        Slip(
            "the weights alone: the next update needs m and v, too",
            lambda *args: _adam(*args)[0],
        ),
        Slip(
            "the old m and v came back: a state must go on",
            lambda w, g, m, v, t, lr: torch.stack([_adam(w, g, m, v, t, lr)[0], m, v]),
        ),
    ],
    hints=[
        "Move both means first, then correct copies of them: it is the uncorrected ones that stay.",
        "m = 0.9 * m + 0.1 * g and v = 0.999 * v + 0.001 * g * g; divide m by 1 - 0.9 ** (t + 1) "
        "and v by 1 - 0.999 ** (t + 1); step by lr * m_hat / (v_hat.sqrt() + 1e-8); torch.stack.",
    ],
)  # fmt: skip


# 9.3 ----------------------------------------------------------------------------------------------


def four_folds(scores: torch.Tensor) -> torch.Tensor:
    """The mean over the folds, and its spread over the seeds: (folds, seeds) -> (2,).

    For each seed the folds' mean; of those means their mean and standard deviation (divide by the
    number of seeds, as in the package's tables).
    """
    of_seeds = scores.mean(dim=0)
    spread = (of_seeds - of_seeds.mean()).square().mean().sqrt()
    return torch.stack([of_seeds.mean(), spread])


def _four_folds_loop(scores: Tensor) -> Tensor:
    rows = scores.tolist()
    means = [sum(row[s] for row in rows) / len(rows) for s in range(len(rows[0]))]
    mean = sum(means) / len(means)
    variance = sum((m - mean) ** 2 for m in means) / len(means)
    return torch.tensor([mean, variance**0.5], dtype=torch.float64)


def _fold_scores(g: torch.Generator) -> tuple[Tensor]:
    folds = torch.rand(4, 1, generator=g, dtype=torch.float64)
    return (0.2 + 0.4 * folds + 0.3 * torch.rand(4, 5, generator=g, dtype=torch.float64),)


def _mean_and(scores: Tensor, spread: Tensor) -> Tensor:
    return torch.stack([scores.mean(), spread])


FOUR_FOLDS = Exercise(
    id="9.3",
    title="the mean of four folds, and its spread",
    reference=four_folds,
    spec=_four_folds_loop,
    tiny=[(torch.tensor([[0.5, 0.7, 0.6], [0.2, 0.4, 0.6]]),)],
    draw=_fold_scores,
    edges=[
        Edge(
            (torch.tensor([[0.5], [0.7]]),),
            "one seed has no spread: 0 when divided by S, NaN when divided by S - 1",
        ),
        Edge((torch.tensor([[0.5, 0.7]]),), "one fold is its own mean"),
    ],
    invariances=[
        Invariance(
            "a fold that is harder under every seed must not change the spread",
            lambda fn, x: torch.allclose(
                fn(x - 0.1 * torch.arange(len(x))[:, None])[1], fn(x)[1], atol=1e-6
            ),
        ),
        Invariance(
            "the folds in another order must change nothing",
            lambda fn, x: torch.allclose(fn(x.flip(0)), fn(x)),
        ),
    ],
    slips=[
        Slip(
            "the spread over the folds: it says that folds differ, not how sure their mean is",
            lambda x: _mean_and(x, x.mean(1).std(correction=0)),
        ),
        Slip(
            "the mean of the folds' spreads: take each seed's mean first",
            lambda x: _mean_and(x, x.std(1, correction=0).mean()),
        ),
        Slip(
            "the spread of all scores as one heap",
            lambda x: _mean_and(x, x.std(correction=0)),
        ),
        Slip(
            "divided by S - 1: the package divides by S",
            lambda x: _mean_and(x, x.mean(0).std()),
        ),
        Slip(
            "the variance: a root is missing",
            lambda x: _mean_and(x, x.mean(0).std(correction=0) ** 2),
        ),
        Slip(
            "the error of the mean: the spread itself is asked for",
            lambda x: _mean_and(x, x.mean(0).std(correction=0) / x.shape[1] ** 0.5),
        ),
        Slip(
            "the folds' spreads added up as if independent: the seeds' means are at hand",
            lambda x: _mean_and(x, x.var(1, correction=0).sum().sqrt() / len(x)),
        ),
        Slip("the best seed: report all of them", lambda x: torch.stack([
            x.mean(0).max(), x.mean(0).std(correction=0)])),
        Slip("the mean alone: its spread belongs to it", lambda x: x.mean()),
        Slip("added up, expected a mean over the folds", lambda x: torch.stack([
            x.sum(0).mean(), x.sum(0).std(correction=0)])),
    ],
    hints=[
        "A seed is a whole evaluation, all folds of it. How many numbers are left after that?",
        "of_seeds = scores.mean(dim=0); its mean, and its standard deviation with correction=0; "
        "torch.stack both.",
    ],
)  # fmt: skip

EXERCISES = (CACHE_BYTES, ADAM_STEP, FOUR_FOLDS)
