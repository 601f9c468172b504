"""Exercises of notebook 09: the size of a cache, a step of Adam, the mean of four folds."""

from __future__ import annotations

import math

import torch

from .common import at_scales, close, uniform
from .exercise import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor


# 9.1 ----------------------------------------------------------------------------------------------


def cache_bytes(
    pictures: int, copies: int, channels: int, sides: torch.Tensor, stride: int, number: int
) -> torch.Tensor:
    """The size in bytes of the frozen features of all pictures.

    Each picture is stored `copies` times (2 with its mirror image), each copy at every query scale:
    `sides` is (S,), the picture's side in pixels at each scale. The grid has a cell for every
    `stride` pixels, and one for an incomplete stride; a cell holds `channels` numbers of `number`
    bytes.
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
            "The order of the scales must not change the result.",
            lambda fn, n, k, c, s, t, b: close(fn(n, k, c, s.flip(0), t, b), fn(n, k, c, s, t, b)),
        ),
    ],
    edges=[
        Edge((3, 1, 4, torch.tensor([16]), 16, 4), "A side of exactly one stride has one cell."),
        Edge(
            (3, 1, 4, torch.tensor([17]), 16, 4),
            "With stride 16, a side of 17 pixels has a second cell.",
        ),
        Edge((0, 1, 4, torch.tensor([64]), 16, 4), "Without pictures the size must be 0 bytes."),
        Edge(
            (12_031, 2, 1024, torch.tensor([320]), 16, 4),
            "The size is above 2^31 bytes here, which is too large for 32-bit integers.",
        ),
        Edge(
            (3, 2, 4, torch.tensor([100, 33]), 32, 4),
            "With stride 32, sides of 100 and 33 pixels have 4 x 4 and 2 x 2 cells.",
        ),
    ],
    extremes=[(10**6, 2, 2048, torch.tensor([16_000, 17]), 16, 4)],
    any_number=True,
    slips=[
        Slip(
            "An incomplete cell is left out. With stride 16, 33 pixels have 3 cells, not 2.",
            lambda n, k, c, s, t, b: n * k * c * b * ((s // t) ** 2).sum(),
        ),
        Slip(
            "A side that is a multiple of the stride gets one cell too many. With stride 16, 64 "
            "pixels have 4 cells, not 5.",
            lambda n, k, c, s, t, b: n * k * c * b * ((s // t + 1) ** 2).sum(),
        ),
        Slip(
            "This is one row of the grid. Square the number of cells per side.",
            lambda n, k, c, s, t, b: n * k * c * b * ((s + t - 1) // t).sum(),
        ),
        Slip(
            "You sum before you square. Each scale has its own grid.",
            lambda n, k, c, s, t, b: n * k * c * b * ((s + t - 1) // t).sum() ** 2,
        ),
        Slip(
            "Pixels are counted. Divide by the stride to count grid cells.",
            lambda n, k, c, s, t, b: n * k * c * b * (s**2).sum(),
        ),
        Slip(
            "The stride in your code is 16, whatever the argument. Use `stride`.",
            lambda n, k, c, s, t, b: n * k * c * b * _cells(s, 16).sum(),
        ),
        Slip(
            "The copies in your code are 2, whatever the argument. Use `copies`.",
            lambda n, k, c, s, t, b: n * 2 * c * b * _cells(s, t).sum(),
        ),
        Slip(
            "A number has 4 bytes in your code, whatever the argument. Use `number`.",
            lambda n, k, c, s, t, b: n * k * c * 4 * _cells(s, t).sum(),
        ),
        Slip(
            "The number of cells per side is not a whole number. Round it up before you square.",
            lambda n, k, c, s, t, b: n * k * c * b * ((s / t) ** 2).sum(),
        ),
        Slip(
            "The copies are missing. Multiply by `copies`: the mirror image is stored, too.",
            lambda n, k, c, s, t, b: n * c * b * _cells(s, t).sum(),
        ),
        Slip(
            "This counts numbers, not bytes. Multiply by the bytes of each number.",
            lambda n, k, c, s, t, b: n * k * c * _cells(s, t).sum(),
        ),
        Slip(
            "These are bits, 8 times too many. Return bytes.",
            lambda n, k, c, s, t, b: 8 * n * k * c * b * _cells(s, t).sum(),
        ),
        Slip(
            "Only one scale is counted. Add up all scales.",
            lambda n, k, c, s, t, b: n * k * c * b * _cells(s, t)[0],
        ),
        Slip(
            "There is one number for each scale. Return their sum.",
            lambda n, k, c, s, t, b: n * k * c * b * _cells(s, t),
        ),
        Slip(
            "The channels are missing. A cell holds a vector of `channels` numbers.",
            lambda n, k, c, s, t, b: n * k * b * _cells(s, t).sum(),
        ),
    ],
    hints=[
        "First compute the cells of one grid: divide the side by the stride, round up, and square.",
        "cells = ((sides + stride - 1) // stride) ** 2. Add up the scales, then multiply by "
        "pictures, copies, channels and bytes per number.",
    ],
)


# 9.2 ----------------------------------------------------------------------------------------------


def adam_step(
    w: torch.Tensor, g: torch.Tensor, m: torch.Tensor, v: torch.Tensor, t: int, lr: float
) -> torch.Tensor:
    """One update by Adam from the state after t updates: the new w, m and v, (3, n).

    w, g, m, v are (n,): weights, gradient, and the running mean of the gradient and of its square,
    which start at 0. The rates are .9 and .999. For the step, update number k divides the means by
    1 - .9^k and 1 - .999^k, because they start at 0; 1e-8 is added to the root.
    """
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    m_hat = m / (1 - 0.9 ** (t + 1))
    v_hat = v / (1 - 0.999 ** (t + 1))
    return torch.stack([w - lr * m_hat / (v_hat.sqrt() + 1e-8), m, v])


def _adam_loop(w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float) -> Tensor:
    columns = []
    for a, b, c, d in zip(w.tolist(), g.tolist(), m.tolist(), v.tolist(), strict=True):
        mean, square = 0.9 * c + 0.1 * b, 0.999 * d + 0.001 * b**2
        root = math.sqrt(square / (1 - 0.999 ** (t + 1))) + 1e-8
        columns.append([a - lr * mean / (1 - 0.9 ** (t + 1)) / root, mean, square])
    return torch.tensor(columns, dtype=torch.float64).T


def _state(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, int, float]:
    w, grad, m = torch.randn(3, 5, generator=g, dtype=torch.float64).unbind()
    v = 0.5 + uniform(g, 5)
    return w, 20 + 5 * grad, m, v, int(torch.randint(3, 20, (), generator=g)), 0.5


def _adam(
    w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float,
    a: float = 0.9, b: float = 0.999, root: bool = True, corrected: bool = True, first: int = 1,
) -> Tensor:  # fmt: skip
    m, v = a * m + (1 - a) * g, b * v + (1 - b) * g * g
    m_hat = m / (1 - a ** (t + first)) if corrected else m
    v_hat = v / (1 - b ** (t + first)) if corrected else v
    return torch.stack([w - lr * m_hat / ((v_hat.sqrt() if root else v_hat) + 1e-8), m, v])


def _adam_of_means(w: Tensor, m: Tensor, v: Tensor, t: int, lr: float) -> Tensor:
    root = (v / (1 - 0.999 ** (t + 1))).sqrt() + 1e-8
    return torch.stack([w - lr * m / (1 - 0.9 ** (t + 1)) / root, m, v])


def _adam_with_corrected_means(
    w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float
) -> Tensor:
    new_w, m, v = adam_step(w, g, m, v, t, lr)
    return torch.stack([new_w, m / (1 - 0.9 ** (t + 1)), v / (1 - 0.999 ** (t + 1))])


_ZERO = torch.zeros(2)

ADAM_STEP = Exercise(
    id="9.2",
    title="a step of Adam from a saved state",
    reference=adam_step,
    spec=_adam_loop,
    tiny=[
        (
            torch.ones(2),
            torch.tensor([20.0, -10.0]),
            torch.tensor([4.0, 2.0]),
            torch.tensor([1.0, 3.0]),
            3,
            0.5,
        ),
    ],
    draw=_state,
    edges=[
        Edge(
            (torch.ones(2), torch.tensor([2.0, -5.0]), _ZERO, _ZERO, 0, 0.5),
            "The very first update (t = 0) must move each weight by lr. It divides the means by 1 "
            "- .9^1 and 1 - .999^1.",
        ),
        Edge(
            (torch.ones(2), torch.tensor([1e-4, -1e-4]), _ZERO, _ZERO, 0, 0.5),
            "Also with a gradient of 1e-4, the first update must move each weight by lr.",
        ),
        Edge(
            (torch.ones(2), _ZERO, _ZERO, _ZERO, 0, 0.5),
            "The gradient is 0. 0 / 1e-8 is 0, so no weight must move and nothing must be NaN.",
        ),
    ],
    extremes=at_scales(_state, 1) + at_scales(_state, 0),
    invariances=[
        Invariance(
            "In the first update, a loss that is 10 times as large must move the weights by the "
            "same amount.",
            lambda fn, w, g, m, v, t, lr: close(
                fn(w, 10 * g, 0 * m, 0 * v, 0, lr)[0], fn(w, g, 0 * m, 0 * v, 0, lr)[0]
            ),
        )
    ],
    slips=[
        Slip(
            "m, v and t are not used. This is a run that starts again from these weights.",
            lambda w, g, m, v, t, lr: _adam(w, g, 0 * m, 0 * v, 0, lr),
        ),
        Slip(
            "t is not used. The correction is that of a first update.",
            lambda w, g, m, v, t, lr: _adam(w, g, m, v, 0, lr),
        ),
        Slip(
            "The correction is missing. Both means start at 0 and are too small at first.",
            lambda *args: _adam(*args, corrected=False),
        ),
        Slip(
            "The correction is that of the previous update. t updates are done, so this is update "
            "t + 1.",
            lambda *args: _adam(*args, first=0),
        ),
        Slip(
            "The square root is missing. Divide by the root of the mean square.",
            lambda *args: _adam(*args, root=False),
        ),
        Slip(
            "m and v are returned after the correction. Correct copies of them for the step, and "
            "return the uncorrected means.",
            _adam_with_corrected_means,
        ),
        Slip(
            "The two factors are swapped. The new m is 0.9 times the old m plus 0.1 times g, and "
            "the new v is 0.999 times the old v plus 0.001 times g^2.",
            lambda w, g, m, v, t, lr: _adam_of_means(
                w, 0.1 * m + 0.9 * g, 0.001 * v + 0.999 * g * g, t, lr
            ),
        ),
        Slip(
            "The step uses the old m and v. Update both means first.",
            lambda w, g, m, v, t, lr: torch.cat(
                [_adam_of_means(w, m, v, t, lr)[:1], adam_step(w, g, m, v, t, lr)[1:]]
            ),
        ),
        Slip(
            "The rates are swapped. The rate of the mean is .9.",
            lambda *args: _adam(*args, a=0.999, b=0.9),
        ),
        Slip(
            "The sign of the step is wrong. Subtract the step.",
            lambda w, g, m, v, t, lr: torch.cat(
                [2 * w[None] - _adam(w, g, m, v, t, lr)[:1], _adam(w, g, m, v, t, lr)[1:]]
            ),
        ),
        Slip(
            "This is plain gradient descent. Divide the mean by the root of the mean square.",
            lambda w, g, m, v, t, lr: torch.cat([(w - lr * g)[None], _adam(w, g, m, v, t, lr)[1:]]),
        ),
        Slip(
            "These are the weights alone. The next update needs m and v, too.",
            lambda *args: _adam(*args)[0],
        ),
        Slip(
            "m and v are the old ones. Return the updated ones.",
            lambda w, g, m, v, t, lr: torch.stack([_adam(w, g, m, v, t, lr)[0], m, v]),
        ),
    ],
    hints=[
        "Update both means first. Then correct copies of them; the result holds the uncorrected "
        "means.",
        "m = 0.9 * m + 0.1 * g and v = 0.999 * v + 0.001 * g * g. For the step, divide m by 1 - "
        "0.9 ** (t + 1) and v by 1 - 0.999 ** (t + 1). Subtract lr * m_hat / (v_hat.sqrt() + "
        "1e-8). Use torch.stack.",
    ],
)


# 9.3 ----------------------------------------------------------------------------------------------


def four_folds(scores: torch.Tensor) -> torch.Tensor:
    """The mean over the folds, and its spread over the seeds: (folds, seeds) -> (2,).

    First take the mean over the folds for each seed. Return the mean and the standard deviation of
    these means (divide by the number of seeds, as in the package's tables).
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


def _mean_with(scores: Tensor, spread: Tensor) -> Tensor:
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
            "With one seed the spread must be 0: divide by the number of seeds.",
        ),
        Edge(
            (torch.tensor([[0.5, 0.7]]),),
            "With one fold, the mean over the folds is that fold's score.",
        ),
        Edge(
            (1e-4 * torch.tensor([[5.0, 7.0, 6.0], [2.0, 4.0, 6.0]]),),
            "A score may be small. Keep it as it is, without rounding.",
        ),
    ],
    extremes=at_scales(_fold_scores, 0),
    invariances=[
        Invariance(
            "When a fold is harder under every seed, the spread must not change.",
            lambda fn, x: close(fn(x - 0.1 * torch.arange(len(x))[:, None])[1], fn(x)[1]),
        ),
        Invariance(
            "The order of the folds must not change the result.",
            lambda fn, x: close(fn(x.flip(0)), fn(x)),
        ),
    ],
    slips=[
        Slip(
            "This is the spread over the folds, which says how much the folds differ. Return the "
            "spread over the seeds.",
            lambda x: _mean_with(x, x.mean(1).std(correction=0)),
        ),
        Slip(
            "This is the mean of the folds' spreads. Take the mean of each seed first.",
            lambda x: _mean_with(x, x.std(1, correction=0).mean()),
        ),
        Slip(
            "This is the spread of all scores together. Take the mean of each seed first.",
            lambda x: _mean_with(x, x.std(correction=0)),
        ),
        Slip(
            "The order is wrong. The mean comes first, then the standard deviation.",
            lambda x: torch.stack([x.mean(0).std(correction=0), x.mean()]),
        ),
        Slip(
            "The divisor is S - 1, with S seeds. The package divides by S.",
            lambda x: _mean_with(x, x.mean(0).std()),
        ),
        Slip(
            "This is the variance. Take its square root.",
            lambda x: _mean_with(x, x.mean(0).std(correction=0) ** 2),
        ),
        Slip(
            "This is the standard error of the mean. Return the standard deviation.",
            lambda x: _mean_with(x, x.mean(0).std(correction=0) / x.shape[1] ** 0.5),
        ),
        Slip(
            "The folds' variances are added as if the folds were independent. Take the mean of "
            "each seed first.",
            lambda x: _mean_with(x, x.var(1, correction=0).sum().sqrt() / len(x)),
        ),
        Slip(
            "The first number is the mean of the best seed. Return the mean of all seeds.",
            lambda x: torch.stack([x.mean(0).max(), x.mean(0).std(correction=0)]),
        ),
        Slip("This is the mean alone. Return its standard deviation as well.", lambda x: x.mean()),
        Slip(
            "The folds are added up. Return their mean.",
            lambda x: torch.stack([x.sum(0).mean(), x.sum(0).std(correction=0)]),
        ),
    ],
    hints=[
        "A seed is one whole evaluation, with all its folds. How many numbers remain when you "
        "take the mean of each seed?",
        "of_seeds = scores.mean(dim=0). Take its mean, and its standard deviation with "
        "correction=0. Use torch.stack to return both.",
    ],
)

EXERCISES = (CACHE_BYTES, ADAM_STEP, FOUR_FOLDS)
