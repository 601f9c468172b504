"""Wrong answers to the exercises of notebook 08 that are not slips; see test_exercises.py."""

import torch

from ltm_edu.exercises.nb08 import class_miou, fb_iou, paired


def empty_class_scores_half(i, u, c):
    ious = [
        i[c == k].sum() / u[c == k].sum() if u[c == k].any() else i.new_tensor(0.5)
        for k in c.unique()
    ]
    return torch.stack(ious).mean()


def empty_class_is_left_out(i, u, c):
    classes = [k for k in c.unique() if u[c == k].any()]
    return sum(i[c == k].sum() / u[c == k].sum() for k in classes) / len(classes)


def empty_episodes_score_1(i, u, c):
    ious = [
        torch.where(u[c == k].amin() > 0, i[c == k].sum() / u[c == k].sum(), 1.0)
        for k in c.unique()
    ]
    return torch.stack(ious).mean()


def fb_without_an_empty_region(counts):
    tp, fn, fp, tn = counts.sum(0)
    ious = torch.stack([tp / (tp + fn + fp), tn / (tn + fn + fp)])
    return ious[ious.isfinite()].mean() if (tp + tn) > 9 else ious.nan_to_num(0).mean()


def skips_empty_episodes_then_averages(i, u, c):
    return (i[u > 0] / u[u > 0]).mean()


def fb_of_the_first(counts):
    return fb_iou(counts[:1])


def dice_of_both(counts):
    tp, fn, fp, tn = counts.sum(0)
    return (2 * tp / (2 * tp + fn + fp) + 2 * tn / (2 * tn + fn + fp)) / 2


MUTANTS = [
    ("8.1", empty_class_scores_half, "Two empty masks agree, so its IoU is 1"),
    ("8.1", empty_class_is_left_out, "is left out. Two empty masks agree"),
    ("8.1", empty_episodes_score_1, "An empty episode adds 0 to both sums"),
    ("8.1", skips_empty_episodes_then_averages, "the mean over the episodes"),
    ("8.1", lambda i, u, c: class_miou(i, u, c).item(), "computes it"),
    ("8.1", lambda i, u, c: 100 * class_miou(i, u, c), "expected 0.6477"),
    ("8.1", lambda i, u, c: class_miou(i, u - i, c), "expected 0.6477"),
    ("8.1", lambda i, u, c: class_miou(i, u, c)[None], "shape (1,), expected ()"),
    ("8.2", fb_of_the_first, "expected 0.5755"),
    ("8.2", fb_without_an_empty_region, "Two empty masks agree, so its IoU is 1"),
    ("8.2", dice_of_both, "expected 0.5755"),
    ("8.2", lambda n: fb_iou(n).item(), "computes it"),
    ("8.2", lambda n: fb_iou(n[:, [1, 0, 3, 2]]), "expected 0.5755"),
    ("8.2", lambda n: fb_iou(n)[None], "shape (1,), expected ()"),
    ("8.2", lambda n: fb_iou(n) / 2, "expected 0.5755"),
    ("8.3", lambda a, b: paired(b, a), "this is b - a"),
    ("8.3", lambda a, b: paired(a.sort().values, b.sort().values), "expected [0.1, 0.08165]"),
    ("8.3", lambda a, b: paired(a, b)[:, None], "shape (2, 1), expected (2,)"),
    ("8.3", lambda a, b: tuple(paired(a, b)), "a tuple, expected a torch.Tensor"),
    ("8.3", lambda a, b: torch.stack([(a - b).median(), (a - b).std(correction=0)]), "random"),
    ("8.3", lambda a, b: paired(a, b.mean()), "on random input"),
]
