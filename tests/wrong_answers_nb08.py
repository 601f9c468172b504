"""Wrong answers to notebook 08 that no slip was written from; see test_exercises.py."""

import torch

from ltm_edu.exercises.nb08 import class_miou, fb_iou, paired


def empty_class_is_perfect(i, u, c):
    each = [
        i[c == k].sum() / u[c == k].sum() if u[c == k].sum() else i.new_ones(()) for k in c.unique()
    ]
    return torch.stack(each).mean()


def skips_empty_episodes_then_averages(i, u, c):
    return (i[u > 0] / u[u > 0]).mean()


def fb_of_the_first(counts):
    return fb_iou(counts[:1])


def dice_of_both(counts):
    found, missed, wrong, left = counts.sum(0)
    errors = missed + wrong
    return (2 * found / (2 * found + errors) + 2 * left / (2 * left + errors)) / 2


MUTANTS = [
    ("8.1", empty_class_is_perfect, "leave it out"),
    ("8.1", skips_empty_episodes_then_averages, "averaged over the episodes"),
    ("8.1", lambda i, u, c: class_miou(i, u, c).item(), "a float, expected a torch.Tensor"),
    ("8.1", lambda i, u, c: 100 * class_miou(i, u, c), "expected 0.648"),
    ("8.1", lambda i, u, c: class_miou(i, u - i, c), "expected 0.648"),
    ("8.1", lambda i, u, c: class_miou(i, u, c)[None], "shape (1,), expected ()"),
    ("8.2", fb_of_the_first, "expected 0.576"),
    ("8.2", dice_of_both, "expected 0.576"),
    ("8.2", lambda n: fb_iou(n).item(), "a float, expected a torch.Tensor"),
    ("8.2", lambda n: fb_iou(n[:, [1, 0, 3, 2]]), "expected 0.576"),
    ("8.2", lambda n: fb_iou(n)[None], "shape (1,), expected ()"),
    ("8.2", lambda n: fb_iou(n) / 2, "expected 0.576"),
    ("8.3", lambda a, b: paired(b, a), "b ahead of a"),
    ("8.3", lambda a, b: paired(a.sort().values, b.sort().values), "expected [0.1, 0.082]"),
    ("8.3", lambda a, b: paired(a, b)[:, None], "shape (2, 1), expected (2,)"),
    ("8.3", lambda a, b: tuple(paired(a, b)), "a tuple, expected a torch.Tensor"),
    ("8.3", lambda a, b: torch.stack([(a - b).median(), (a - b).std(correction=0)]), "random"),
    ("8.3", lambda a, b: paired(a, b.mean()), "on random input"),
]
