"""Exercises of notebook 08, scores: pooled and averaged, two regions, and differences by seed."""

from __future__ import annotations

import torch

from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor


# 8.1 ----------------------------------------------------------------------------------------------


def class_miou(
    intersections: torch.Tensor, unions: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Class-mean mIoU: pool each class over its episodes, divide, average over the classes.

    All are (n,), one entry an episode. A class whose pooled union is 0 has shown nothing and
    claimed nothing: it is left out. There is at least one other.
    """
    each = []
    for c in classes.unique():
        union = unions[classes == c].sum()
        if union > 0:
            each.append(intersections[classes == c].sum() / union)
    return torch.stack(each).mean()


def _class_miou_loop(intersections: Tensor, unions: Tensor, classes: Tensor) -> Tensor:
    pooled: dict[int, list[float]] = {}
    rows = zip(intersections.tolist(), unions.tolist(), classes.tolist(), strict=True)
    for i, u, c in rows:
        both = pooled.setdefault(c, [0.0, 0.0])
        both[0], both[1] = both[0] + i, both[1] + u
    each = [i / u for i, u in pooled.values() if u > 0]
    return torch.tensor(sum(each) / len(each), dtype=torch.float64)


def _counts(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    unions = torch.randint(10, 900, (12,), generator=g).double()
    shares = torch.rand(12, generator=g, dtype=torch.float64)
    classes = torch.cat([torch.tensor([3, 7, 9]), torch.tensor([3, 7, 9])[
        torch.randint(3, (9,), generator=g)]])  # fmt: skip
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
            "all episodes twice must change nothing",
            lambda fn, i, u, c: torch.allclose(
                fn(i.repeat(2), u.repeat(2), c.repeat(2)), fn(i, u, c)
            ),
        ),
    ],
    edges=[
        Edge(
            (
                torch.tensor([30.0, 0.0]),
                torch.tensor([40.0, 0.0]),
                torch.tensor([1, 2]),
            ),
            "a class with union 0 was scored: leave it out",
        ),
        Edge(
            (
                torch.tensor([30.0, 0.0, 5.0]),
                torch.tensor([40.0, 0.0, 10.0]),
                torch.tensor([1, 1, 4]),
            ),
            "an empty episode beside others adds 0 and 0: it changes nothing",
        ),
    ],
    slips=[
        Slip("averaged over the episodes: pool each class first", _averaged),
        Slip("averaged inside each class: sum, sum, then divide once", _averaged_by_class),
        Slip(
            "one heap of all classes: that is the pooled foreground IoU",
            lambda i, u, c: i.sum() / u.sum(),
        ),
        Slip("each class counts once, not by its episodes", _by_frequency),
        Slip("one number a class: take their mean", _each_class),
        Slip(
            "divided by the highest id: only classes that were asked about count",
            lambda i, u, c: _each_class(i, u, c).sum() / c.max(),
        ),
        Slip(
            "upside down: intersection over union",
            lambda i, u, c: torch.stack(
                [u[c == k].sum() / i[c == k].sum() for k in c.unique()]
            ).mean(),
        ),
        Slip(
            "the median of the classes, expected their mean",
            lambda i, u, c: _each_class(i, u, c).median(),
        ),
        Slip(
            "a class with union 0 was scored: leave it out",
            lambda i, u, c: torch.stack(
                [i[c == k].sum() / u[c == k].sum().clamp_min(1) for k in c.unique()]
            ).mean(),
        ),
    ],
    hints=[
        "Two sums a class, one division a class, one mean at the end.",
        "for c in classes.unique(): intersections[classes == c].sum() over the same sum of unions, "
        "if that is over 0; torch.stack them and take the mean.",
    ],
)


# 8.2 ----------------------------------------------------------------------------------------------


def fb_iou(counts: torch.Tensor) -> torch.Tensor:
    """FB-IoU: the mean of foreground and background IoU, each pooled over the episodes.

    counts is (n, 4), a row an episode: object found, object missed, claimed wrongly, rightly left.
    A region that nobody claims and that is not there scores 0.
    """
    found, missed, wrong, left = counts.sum(dim=0)
    errors = missed + wrong
    foreground = found / (found + errors).clamp_min(1)
    background = left / (left + errors).clamp_min(1)
    return (foreground + background) / 2


def _fb_iou_loop(counts: Tensor) -> Tensor:
    found, missed, wrong, left = (sum(row[k] for row in counts.tolist()) for k in range(4))
    total = 0.0
    for right in (found, left):
        union = right + missed + wrong
        total += right / union if union else 0.0
    return torch.tensor(total / 2, dtype=torch.float64)


def _four(g: torch.Generator) -> tuple[Tensor]:
    return (torch.randint(5, 400, (6, 4), generator=g).double(),)


def _regions(counts: Tensor) -> Tensor:
    found, missed, wrong, left = counts.unbind(dim=-1)
    errors = missed + wrong
    return torch.stack([found / (found + errors), left / (left + errors)])


FB_IOU = Exercise(
    id="8.2",
    title="FB-IoU from four counts",
    reference=fb_iou,
    spec=_fb_iou_loop,
    tiny=[(torch.tensor([[6.0, 2.0, 2.0, 30.0], [0.0, 6.0, 4.0, 50.0]]),)],
    draw=_four,
    invariances=[
        Invariance(
            "with object and background swapped the mean of both must stay",
            lambda fn, n: torch.allclose(fn(n[:, [3, 2, 1, 0]]), fn(n)),
        )
    ],
    edges=[
        Edge((torch.tensor([[0.0, 20.0, 0.0, 80.0]]),), "all background: 0 and 80 of 100"),
        Edge((torch.tensor([[0.0, 0.0, 0.0, 9.0]]),), "0 / 0 in the foreground: 0 here"),
        Edge((torch.tensor([[9.0, 0.0, 0.0, 0.0]]),), "0 / 0 in the background: 0 here"),
    ],
    slips=[
        Slip(
            "averaged over the episodes: add up the rows first",
            lambda n: _regions(n).mean(),
        ),
        Slip("the foreground alone", lambda n: _regions(n.sum(0))[0]),
        Slip("the background alone", lambda n: _regions(n.sum(0))[1]),
        Slip(
            "that is accuracy: the share of right pixels",
            lambda n: (n[:, 0] + n[:, 3]).sum() / n.sum(),
        ),
        Slip(
            "recall of both: the union holds what was claimed wrongly, too",
            lambda n: (
                n[:, 0].sum() / n[:, :2].sum() + n[:, 3].sum() / n[:, 2:].sum()
            ) / 2,
        ),
        Slip("the sum of the two: take half", lambda n: _regions(n.sum(0)).sum()),
        Slip("two numbers: take their mean", lambda n: _regions(n.sum(0))),
        Slip(
            "0 / 0 in the foreground: 0 here",
            lambda n: _regions(n.sum(0)).mean(),
        ),
    ],
    hints=[
        "Add up the rows. Each region's union: what is right in it, and every mistake.",
        "found, missed, wrong, left = counts.sum(dim=0); the foreground is found / (found + missed "
        "+ wrong), the background left / (left + missed + wrong); clamp_min(1) saves 0 / 0.",
    ],
)  # fmt: skip


# 8.3 ----------------------------------------------------------------------------------------------


def paired(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """How far a is ahead of b: mean and standard deviation of the differences, seed by seed.

    a, b are (S,), scores on the same lists of episodes; returns (2,). The standard deviation is
    the population's (divide by S), as in the package's tables.
    """
    difference = a - b
    spread = (difference - difference.mean()).square().mean().sqrt()
    return torch.stack([difference.mean(), spread])


def _paired_loop(a: Tensor, b: Tensor) -> Tensor:
    each = [x - y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    mean = sum(each) / len(each)
    variance = sum((d - mean) ** 2 for d in each) / len(each)
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
            "episodes that are easier for both must change nothing",
            lambda fn, a, b: torch.allclose(
                fn(a + 0.1 * torch.arange(5), b + 0.1 * torch.arange(5)), fn(a, b), atol=1e-6
            ),
        ),
    ],
    edges=[
        Edge(
            (torch.tensor([0.5]), torch.tensor([0.4])),
            "one seed has no spread: 0 when divided by S, NaN when divided by S - 1",
        ),
        Edge((torch.tensor([0.5, 0.6]), torch.tensor([0.4, 0.5])), "ahead by the same: spread 0"),
    ],
    slips=[
        Slip(
            "the difference of the spreads: take the spread of the differences",
            lambda a, b: _pair(a.mean() - b.mean(), _std(a) - _std(b)),
        ),
        Slip(
            "spreads added as if the lists were different: pair them seed by seed",
            lambda a, b: _pair(a.mean() - b.mean(), (_std(a) ** 2 + _std(b) ** 2).sqrt()),
        ),
        Slip(
            "divided by S - 1: the package divides by S",
            lambda a, b: _pair((a - b).mean(), (a - b).std()),
        ),
        Slip(
            "the variance: a root is missing",
            lambda a, b: _pair((a - b).mean(), _std(a - b) ** 2),
        ),
        Slip("b ahead of a: the sign", lambda a, b: _pair((b - a).mean(), _std(a - b))),
        Slip(
            "the sign is gone: a may be behind",
            lambda a, b: _pair((a - b).abs().mean(), _std((a - b).abs())),
        ),
        Slip(
            "the error of the mean: the spread itself is asked for",
            lambda a, b: _pair((a - b).mean(), _std(a - b) / len(a) ** 0.5),
        ),
        Slip(
            "largest less smallest, expected the standard deviation",
            lambda a, b: _pair((a - b).mean(), (a - b).max() - (a - b).min()),
        ),
        Slip("the mean alone: its spread belongs to it", lambda a, b: (a - b).mean()),
        Slip("relative to b: points are asked for", lambda a, b: _pair(
            ((a - b) / b).mean(), _std((a - b) / b))),
    ],
    hints=[
        "Subtract first: what both find easy or hard cancels. Then mean and spread of one list.",
        "With d = a - b the spread is (d - d.mean()).square().mean().sqrt(); torch.stack both.",
    ],
)  # fmt: skip

EXERCISES = (CLASS_MIOU, FB_IOU, PAIRED)
