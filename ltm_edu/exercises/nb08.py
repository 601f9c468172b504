"""Exercises of notebook 08, scores: pooled by class, FB-IoU, and differences by seed."""

from __future__ import annotations

import torch

from .common import at_scales, close
from .exercise import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor


# 8.1 ----------------------------------------------------------------------------------------------


def class_miou(
    intersections: torch.Tensor, unions: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Class-mean mIoU: pool each class over its episodes, divide, average over the classes.

    All are (n,), one entry per episode. Two empty masks agree: a class whose pooled union is 0 has
    an IoU of 1.
    """
    ious = []
    for c in classes.unique():
        intersection, union = intersections[classes == c].sum(), unions[classes == c].sum()
        ious.append(torch.where(union > 0, intersection / union, 1.0))
    return torch.stack(ious).mean()


def _class_miou_loop(intersections: Tensor, unions: Tensor, classes: Tensor) -> Tensor:
    pooled: dict[int, list[float]] = {}
    episodes = zip(intersections.tolist(), unions.tolist(), classes.tolist(), strict=True)
    for i, u, c in episodes:
        sums = pooled.setdefault(c, [0.0, 0.0])
        sums[0], sums[1] = sums[0] + i, sums[1] + u
    ious = [i / u if u > 0 else 1.0 for i, u in pooled.values()]
    return torch.tensor(sum(ious) / len(ious), dtype=torch.float64)


def _counts(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    unions = torch.randint(10, 900, (12,), generator=g).double()
    shares = torch.rand(12, generator=g, dtype=torch.float64)
    ids = torch.tensor([3, 7, 9])
    classes = torch.cat([ids, ids[torch.randint(3, (9,), generator=g)]])
    return (unions * shares).round(), unions, classes


def _averaged(i: Tensor, u: Tensor, c: Tensor) -> Tensor:
    return (i / u).mean()


def _averaged_by_class(i: Tensor, u: Tensor, c: Tensor) -> Tensor:
    return torch.stack([(i / u)[c == k].mean() for k in c.unique()]).mean()


def _each_class(i: Tensor, u: Tensor, c: Tensor) -> Tensor:
    return torch.stack([i[c == k].sum() / u[c == k].sum() for k in c.unique()])


def _by_frequency(i: Tensor, u: Tensor, c: Tensor) -> Tensor:
    weights = torch.stack([(c == k).sum() for k in c.unique()])
    return (_each_class(i, u, c) * weights).sum() / len(c)


CLASS_MIOU = Exercise(
    id="8.1",
    title="pooled by class, then averaged",
    reference=class_miou,
    spec=_class_miou_loop,
    tiny=[
        (
            torch.tensor([10.0, 50.0, 30.0]),
            torch.tensor([10.0, 100.0, 40.0]),
            torch.tensor([1, 1, 2]),
        )
    ],
    draw=_counts,
    invariances=[
        Invariance(
            "When every episode is given twice, the score must not change.",
            lambda fn, i, u, c: close(fn(i.repeat(2), u.repeat(2), c.repeat(2)), fn(i, u, c)),
        ),
    ],
    edges=[
        Edge(
            (
                torch.tensor([30.0, 0.0]),
                torch.tensor([40.0, 0.0]),
                torch.tensor([1, 2]),
            ),
            "A class has a pooled union of 0. Two empty masks agree, so its IoU is 1.",
        ),
        Edge(
            (torch.tensor([1e5, 5e5]), torch.tensor([2e5, 2e6]), torch.tensor([1, 2])),
            "The counts of pixels may be large. Keep them exact.",
        ),
        Edge(
            (
                torch.tensor([30.0, 0.0, 5.0]),
                torch.tensor([40.0, 0.0, 10.0]),
                torch.tensor([1, 1, 4]),
            ),
            "An empty episode adds 0 to both sums of its class, so it must not change the score.",
        ),
    ],
    extremes=at_scales(_counts, 0, 1, factors=(1e3, 1e6)),
    slips=[
        Slip("This is the mean over the episodes. Pool each class first.", _averaged),
        Slip(
            "This is the mean over the episodes. Pool each class first.",
            lambda i, u, c: (i[u > 0] / u[u > 0]).mean(),
        ),
        Slip(
            "This is the mean over the episodes of each class. Sum the intersections and the "
            "unions, then divide once.",
            _averaged_by_class,
        ),
        Slip(
            "All classes are pooled together, which gives the pooled foreground IoU. Pool each "
            "class separately.",
            lambda i, u, c: i.sum() / u.sum(),
        ),
        Slip(
            "Each class is weighted by its number of episodes. Each class must count once.",
            _by_frequency,
        ),
        Slip("There is one number for each class. Return their mean.", _each_class),
        Slip(
            "The divisor is the highest class id. Divide by the number of classes that occur.",
            lambda i, u, c: _each_class(i, u, c).sum() / c.max(),
        ),
        Slip(
            "The fraction is inverted. Divide the intersection by the union.",
            lambda i, u, c: torch.stack(
                [u[c == k].sum() / i[c == k].sum() for k in c.unique()]
            ).mean(),
        ),
        Slip(
            "This is the median of the classes. Return the mean.",
            lambda i, u, c: _each_class(i, u, c).median(),
        ),
        Slip(
            "A class with a pooled union of 0 scores 0. Two empty masks agree, so its IoU is 1.",
            lambda i, u, c: torch.stack(
                [i[c == k].sum() / u[c == k].sum().clamp_min(1) for k in c.unique()]
            ).mean(),
        ),
        Slip(
            "A class with a pooled union of 0 is left out. Two empty masks agree, so its IoU is 1.",
            lambda i, u, c: torch.stack(
                [i[c == k].sum() / u[c == k].sum() for k in c.unique() if u[c == k].any()]
            ).mean(),
        ),
        Slip(
            "A class with a pooled union of 0 gives NaN. Two empty masks agree, so its IoU is 1.",
            lambda i, u, c: _each_class(i, u, c).mean(),
        ),
    ],
    hints=[
        "Compute two sums and one division for each class, and one mean at the end.",
        "For each c in classes.unique(), divide intersections[classes == c].sum() by the same sum "
        "of the unions; the IoU is 1 where that sum is 0. Use torch.stack, and take the mean.",
    ],
)


# 8.2 ----------------------------------------------------------------------------------------------


def fb_iou(counts: torch.Tensor) -> torch.Tensor:
    """FB-IoU: the mean of foreground and background IoU, each pooled over the episodes.

    counts is (n, 4), one row per episode: true positives, false negatives, false positives, true
    negatives (found, missed, claimed, left). Two empty masks agree: a region whose union is 0 has
    an IoU of 1.
    """
    tp, fn, fp, tn = counts.sum(dim=0)
    correct = torch.stack([tp, tn])  # the intersections of foreground and background
    unions = correct + fn + fp
    return torch.where(unions > 0, correct / unions, 1.0).mean()


def _fb_iou_loop(counts: Tensor) -> Tensor:
    tp, fn, fp, tn = (sum(row[k] for row in counts.tolist()) for k in range(4))
    total = 0.0
    for correct in (tp, tn):
        union = correct + fn + fp
        total += correct / union if union else 1.0
    return torch.tensor(total / 2, dtype=torch.float64)


def _four_counts(g: torch.Generator) -> tuple[Tensor]:
    return (torch.randint(5, 400, (6, 4), generator=g).double(),)


def _regions(counts: Tensor) -> Tensor:
    tp, fn, fp, tn = counts.unbind(dim=-1)
    return torch.stack([tp / (tp + fn + fp), tn / (tn + fn + fp)])


FB_IOU = Exercise(
    id="8.2",
    title="FB-IoU from four counts",
    reference=fb_iou,
    spec=_fb_iou_loop,
    tiny=[(torch.tensor([[6.0, 2.0, 2.0, 30.0], [0.0, 6.0, 4.0, 50.0]]),)],
    draw=_four_counts,
    invariances=[
        Invariance(
            "When object and background are swapped, the mean of both must not change.",
            lambda fn, n: close(fn(n[:, [3, 2, 1, 0]]), fn(n)),
        )
    ],
    edges=[
        Edge(
            (torch.tensor([[0.0, 20.0, 0.0, 80.0]]),),
            "Everything is predicted as background. The two IoUs are 0 and 80 / 100.",
        ),
        Edge(
            (torch.tensor([[0.0, 0.0, 0.0, 9.0]]),),
            "The foreground's union is 0. Two empty masks agree, so its IoU is 1.",
        ),
        Edge(
            (torch.tensor([[9.0, 0.0, 0.0, 0.0]]),),
            "The background's union is 0. Two empty masks agree, so its IoU is 1.",
        ),
        Edge(
            (1e5 * torch.tensor([[6.0, 2.0, 2.0, 30.0]]),),
            "The counts of pixels may be large. Keep them exact.",
        ),
    ],
    extremes=at_scales(_four_counts, 0, factors=(1e3, 1e6)),
    slips=[
        Slip(
            "This is the mean over the episodes. Add up the rows first.",
            lambda n: _regions(n).mean(),
        ),
        Slip(
            "This is the foreground's IoU alone. Return the mean of foreground and background.",
            lambda n: _regions(n.sum(0))[0],
        ),
        Slip(
            "This is the background's IoU alone. Return the mean of foreground and background.",
            lambda n: _regions(n.sum(0))[1],
        ),
        Slip(
            "This is the accuracy, the share of correct pixels. Divide each region's intersection "
            "by its union.",
            lambda n: (n[:, 0] + n[:, 3]).sum() / n.sum(),
        ),
        Slip(
            "This is the recall of both regions. The union of a region is its correct pixels plus "
            "both kinds of errors.",
            lambda n: (n[:, 0].sum() / n[:, :2].sum() + n[:, 3].sum() / n[:, 2:].sum()) / 2,
        ),
        Slip(
            "This is the sum of the two IoUs. Return their mean.",
            lambda n: _regions(n.sum(0)).sum(),
        ),
        Slip("There are two numbers. Return their mean.", lambda n: _regions(n.sum(0))),
        Slip(
            "A union of 0 gives NaN. Two empty masks agree, so the IoU of that region is 1.",
            lambda n: _regions(n.sum(0)).mean(),
        ),
        Slip(
            "A region with a union of 0 scores 0. Two empty masks agree, so its IoU is 1.",
            lambda n: _regions(n.sum(0)).nan_to_num(0).mean(),
        ),
    ],
    hints=[
        "Add up the rows. The union of a region is its correct pixels plus all errors.",
        "tp, fn, fp, tn = counts.sum(dim=0). The foreground's IoU is tp / (tp + fn + fp), the "
        "background's tn / (tn + fn + fp). torch.where gives 1 where a union is 0.",
    ],
)


# 8.3 ----------------------------------------------------------------------------------------------


def paired(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """How much a is better than b: mean and standard deviation of the differences per seed.

    a, b are (S,), scores on the same lists of episodes; returns (2,). The standard deviation is
    the population's (divide by S), as in the package's tables.
    """
    difference = a - b
    spread = (difference - difference.mean()).square().mean().sqrt()
    return torch.stack([difference.mean(), spread])


def _paired_loop(a: Tensor, b: Tensor) -> Tensor:
    differences = [x - y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    mean = sum(differences) / len(differences)
    variance = sum((d - mean) ** 2 for d in differences) / len(differences)
    return torch.tensor([mean, variance**0.5], dtype=torch.float64)


def _scores(g: torch.Generator) -> tuple[Tensor, Tensor]:
    seeds = torch.rand(5, generator=g, dtype=torch.float64)
    noise = 0.3 * torch.rand(5, generator=g, dtype=torch.float64)
    return 0.2 + 0.3 * seeds + noise, 0.3 + 0.3 * seeds


def _pair(mean: Tensor, spread: Tensor) -> Tensor:
    return torch.stack([mean, spread])


def _std(x: Tensor) -> Tensor:
    return x.std(correction=0)


PAIRED = Exercise(
    id="8.3",
    title="a difference, seed by seed",
    reference=paired,
    spec=_paired_loop,
    tiny=[(torch.tensor([0.5, 0.7, 0.6]), torch.tensor([0.4, 0.5, 0.6]))],
    draw=_scores,
    invariances=[
        Invariance(
            "When the episodes of a seed are easier for both methods, the result must not change.",
            lambda fn, a, b: close(
                fn(a + 0.1 * torch.arange(5), b + 0.1 * torch.arange(5)), fn(a, b)
            ),
        ),
    ],
    edges=[
        Edge(
            (torch.tensor([0.5]), torch.tensor([0.4])),
            "With one seed the spread must be 0: divide by S.",
        ),
        Edge(
            (torch.tensor([0.5, 0.6]), torch.tensor([0.4, 0.5])),
            "The difference is the same for every seed, so the spread must be 0.",
        ),
        Edge(
            (1e-4 * torch.tensor([5.0, 7.0, 6.0]), 1e-4 * torch.tensor([4.0, 5.0, 6.0])),
            "A difference may be small. Keep it as it is, without rounding.",
        ),
    ],
    extremes=at_scales(_scores, 0, 1),
    slips=[
        Slip(
            "This is the difference of the two spreads. Return the spread of the differences.",
            lambda a, b: _pair(a.mean() - b.mean(), _std(a) - _std(b)),
        ),
        Slip(
            "The two spreads are added as if the two methods had answered different episodes. Take "
            "the differences seed by seed.",
            lambda a, b: _pair(a.mean() - b.mean(), (_std(a) ** 2 + _std(b) ** 2).sqrt()),
        ),
        Slip(
            "The order is wrong. The mean comes first, then the standard deviation.",
            lambda a, b: _pair(_std(a - b), (a - b).mean()),
        ),
        Slip(
            "The divisor is S - 1. The package divides by S.",
            lambda a, b: _pair((a - b).mean(), (a - b).std()),
        ),
        Slip(
            "The mean is not subtracted before the squares. Square d - d.mean().",
            lambda a, b: _pair((a - b).mean(), (a - b).square().mean().sqrt()),
        ),
        Slip(
            "This is the variance. Take its square root.",
            lambda a, b: _pair((a - b).mean(), _std(a - b) ** 2),
        ),
        Slip(
            "The sign is wrong: this is b - a. Return a - b.",
            lambda a, b: _pair((b - a).mean(), _std(a - b)),
        ),
        Slip(
            "The sign is lost. A difference may be negative.",
            lambda a, b: _pair((a - b).abs().mean(), _std((a - b).abs())),
        ),
        Slip(
            "This is the standard error of the mean. Return the standard deviation.",
            lambda a, b: _pair((a - b).mean(), _std(a - b) / len(a) ** 0.5),
        ),
        Slip(
            "This is the range, the largest minus the smallest difference. Return the standard "
            "deviation.",
            lambda a, b: _pair((a - b).mean(), (a - b).max() - (a - b).min()),
        ),
        Slip(
            "This is the mean alone. Return its standard deviation as well.",
            lambda a, b: (a - b).mean(),
        ),
        Slip(
            "The differences are relative to b. Return the differences themselves.",
            lambda a, b: _pair(((a - b) / b).mean(), _std((a - b) / b)),
        ),
    ],
    hints=[
        "Subtract first: what is easy or hard for both methods cancels. Then compute the mean and "
        "the spread of one list.",
        "With d = a - b, the spread is (d - d.mean()).square().mean().sqrt(). Use torch.stack to "
        "return both.",
    ],
)

EXERCISES = (CLASS_MIOU, FB_IOU, PAIRED)
