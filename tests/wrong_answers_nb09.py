"""Wrong answers to the exercises of notebook 09 that are not slips; see test_exercises.py."""

import torch

from ltm_edu.exercises.nb09 import adam_step, cache_bytes, four_folds


def cells_of_the_area(pictures, copies, channels, sides, stride, number):
    cells = (sides**2 + stride**2 - 1) // stride**2
    return pictures * copies * channels * number * cells.sum()


def as_if_one_side(pictures, copies, channels, sides, stride, number):
    cells = ((sides.max() + stride - 1) // stride) ** 2
    return pictures * copies * channels * number * len(sides) * cells


def in_place(w, g, m, v, t, lr):
    out = adam_step(w, g, m, v, t, lr)
    m.mul_(0.9).add_(0.1 * g)
    return out


def square_of_the_mean(w, g, m, v, t, lr):
    new = adam_step(w, g, m, v, t, lr)
    return torch.stack([new[0], new[1], 0.999 * v + 0.001 * new[1] ** 2])


def corrected_state(w, g, m, v, t, lr):
    new = adam_step(w, g, m, v, t, lr)
    return torch.stack([new[0], new[1] / (1 - 0.9 ** (t + 1)), new[2] / (1 - 0.999 ** (t + 1))])


MUTANTS = [
    ("9.1", cells_of_the_area, "expected 80"),
    ("9.1", as_if_one_side, "expected 6000"),
    ("9.1", lambda *args: cache_bytes(*args).item(), "computes it"),
    ("9.1", lambda *args: cache_bytes(*args).float(), "computes it"),
    ("9.1", lambda *args: cache_bytes(*args)[None], "shape (1,), expected ()"),
    ("9.1", lambda *args: cache_bytes(*args) // 1000, "expected 80"),
    ("9.2", in_place, "in place"),
    ("9.2", square_of_the_mean, "expected [["),
    ("9.2", corrected_state, "returned after the correction"),
    ("9.2", lambda *args: tuple(adam_step(*args)), "a tuple, expected a torch.Tensor"),
    ("9.2", lambda *args: adam_step(*args).mT, "shape (2, 3), expected (3, 2)"),
    ("9.2", lambda *args: adam_step(*args)[[0, 2, 1]], "expected [["),
    ("9.3", lambda x: four_folds(x.mT), "the spread over the folds"),
    ("9.3", lambda x: four_folds(x)[:, None], "shape (2, 1), expected (2,)"),
    ("9.3", lambda x: tuple(four_folds(x)), "a tuple, expected a torch.Tensor"),
    ("9.3", lambda x: 100 * four_folds(x), "expected [0.5, 0.108]"),
    ("9.3", lambda x: torch.stack([x.mean(0).median(), x.mean(0).std(correction=0)]), "expected ["),
    ("9.3", lambda x: torch.stack([x.mean(), x.mean(0).max() - x.mean(0).min()]), "expected ["),
]
