"""Wrong answers to the exercises of notebook 07 that are not slips; see test_exercises.py."""

import torch
from torch import nn

from ltm_edu.exercises.nb07 import class_probabilities, clip, rate


def clip_as_pytorch_does_to_each(gradients, limit):
    rows = [nn.Parameter(torch.zeros_like(r)) for r in gradients]
    for row, g in zip(rows, gradients, strict=True):
        row.grad = g.clone()
        nn.utils.clip_grad_norm_([row], limit)
    return torch.stack([r.grad for r in rows])


def clip_in_place(gradients, limit):
    gradients *= limit / gradients.norm().clamp_min(limit)
    return gradients


def one_step_late(step, steps):
    return rate((step - 1).clamp_min(0), steps)


def warm_up_alone(step, steps):
    return ((step + 1) / max(1, steps // 10)).clamp(max=1)


MUTANTS = [
    ("7.1", lambda n, p: class_probabilities(n, p).cumsum(0), "expected [0.1667, 0.3333, 0.5]"),
    ("7.1", lambda n, p: class_probabilities(n, p).tolist(), "a list, expected a torch.Tensor"),
    ("7.1", lambda n, p: n.sqrt() / n.sqrt().sum(), "The power in your code is 0.5"),
    ("7.1", lambda n, p: class_probabilities(n, p).flip(0), "expected [0.1667, 0.3333, 0.5]"),
    ("7.1", lambda n, p: class_probabilities(n, p)[None], "shape (1, 3), expected (3,)"),
    ("7.1", lambda n, p: (n + 1) ** p / ((n + 1) ** p).sum(), "expected [0.1667, 0.3333, 0.5]"),
    ("7.2", clip_as_pytorch_does_to_each, "Each group is clipped separately"),
    ("7.2", clip_in_place, "changes its arguments in place"),
    ("7.2", lambda x, c: x * min(1, c / x.norm().item() ** 2), "the square of the norm"),
    ("7.2", lambda x, c: clip(x, c).norm(), "shape (), expected (2, 2)"),
    ("7.2", lambda x, c: clip(x, 1.0), "The limit in your code is 1"),
    ("7.2", lambda x, c: x * (c / (x.norm() + c)), "expected [[0.6, 0], [0, 0.8]]"),
    ("7.3", one_step_late, "expected [0.5, 1, 0.5]"),
    ("7.3", warm_up_alone, "The rate stays at 1 after the warm-up"),
    ("7.3", lambda s, n: rate(s, n) ** 2, "expected [0.5, 1, 0.5]"),
    ("7.3", lambda s, n: rate(s + 1, n), "expected [0.5, 1, 0.5]"),
    ("7.3", lambda s, n: rate(s, n).float().half(), "dtype float16"),
    ("7.3", lambda s, n: 0.8 ** (s // 10), "expected [0.5, 1, 0.5]"),
]
