"""Exercises of notebook 05, from relation to attention: equations 6 and 7."""

from __future__ import annotations

import torch

from .common import close, normal
from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

ACROSS = "normalised over the whole batch: each image has its own lowest and highest value"
CONSTANT = "0 / 0 on a constant map: its range is 0, and the result must be zeros"


def _ends(A: Tensor) -> tuple[Tensor, Tensor]:
    return A.amin(dim=1, keepdim=True), A.amax(dim=1, keepdim=True)


# 5.1 ----------------------------------------------------------------------------------------------


def min_max(A: torch.Tensor) -> torch.Tensor:
    """Equation 6 for a batch of maps, (B, N) -> (B, N); a constant map becomes zeros."""
    low, high = A.amin(dim=1, keepdim=True), A.amax(dim=1, keepdim=True)
    return (A - low) / (high - low).clamp_min(1e-5)


def _min_max_loop(A: Tensor) -> Tensor:
    found = torch.zeros(A.shape, dtype=torch.float64)
    for b, row in enumerate(A.tolist()):
        low = high = row[0]
        for value in row:
            low, high = min(low, value), max(high, value)
        for i, value in enumerate(row):
            found[b, i] = (value - low) / (high - low) if high > low else 0.0
    return found


def _constant_map_has_a_gradient(fn: object, _: Tensor) -> bool:
    A = torch.full((1, 4), 0.3, requires_grad=True)
    with torch.enable_grad():
        out = fn(A)
    if not torch.isfinite(out).all() or not out.requires_grad:
        return True  # another rule's case
    (gradient,) = torch.autograd.grad((out * torch.arange(1.0, 5.0)).sum(), A)
    return bool(torch.isfinite(gradient).all())


MIN_MAX = Exercise(
    id="5.1",
    title="min-max for each map of a batch",
    reference=min_max,
    spec=_min_max_loop,
    tiny=[(torch.tensor([[1.0, 2.0, 5.0], [-1.0, -3.0, -3.0]]),)],
    draw=lambda g: (normal(g, 3, 7),),
    invariances=[
        Invariance(
            "a positive scale and a shift of A must change nothing",
            lambda fn, A: close(fn(3 * A + 2), fn(A)),
        ),
        Invariance(ACROSS, lambda fn, A: close(fn(A[:1]), fn(A)[:1])),
        Invariance(
            "right values, but the gradient is NaN on a constant map: torch.where hides the value "
            "of 0 / 0, not its gradient. Keep the divisor above 0",
            _constant_map_has_a_gradient,
        ),
    ],
    edges=[
        Edge((torch.full((1, 4), 0.3),), CONSTANT),
        Edge((torch.tensor([[0.0, 0.0], [0.0, 2.0]]),), CONSTANT),
    ],
    differentiable=(0,),
    slips=[
        Slip(ACROSS, lambda A: (A - A.min()) / (A.max() - A.min()).clamp_min(1e-5)),
        Slip(
            "normalised pixel by pixel over the images: dim=1 runs over a map's pixels",
            lambda A: min_max(A.T).T,
        ),
        Slip(
            "divided by the maximum alone: the lowest pixel must become 0",
            lambda A: A / _ends(A)[1],
        ),
        Slip(
            "divided by the maximum: the divisor is the range, max - min",
            lambda A: (A - _ends(A)[0]) / _ends(A)[1],
        ),
        Slip("shifted, not scaled: the highest pixel must become 1", lambda A: A - _ends(A)[0]),
        Slip("upside down: the highest pixel must become 1", lambda A: 1 - min_max(A)),
        Slip("from -1 to 1: equation 6 goes from 0 to 1", lambda A: 2 * min_max(A) - 1),
        Slip("softmax sums to 1: equation 6 has a maximum of 1", lambda A: A.softmax(dim=1)),
        Slip("sigmoid squeezes: equation 6 stretches, linearly", lambda A: A.sigmoid()),
        Slip("clamped: equation 6 cuts nothing off", lambda A: A.clamp(0, 1)),
        Slip(
            "mean and standard deviation: equation 6 uses the lowest and the highest value",
            lambda A: (A - A.mean(dim=1, keepdim=True)) / A.std(dim=1, keepdim=True),
        ),
        Slip(CONSTANT, lambda A: (A - _ends(A)[0]) / (_ends(A)[1] - _ends(A)[0])),
    ],
    hints=[
        "amin and amax take a dim, and keepdim=True; then think of a map whose range is 0.",
        "`low, high = A.amin(1, keepdim=True), A.amax(1, keepdim=True)`; divide by "
        "`(high - low).clamp_min(1e-5)`: the numerator of a constant map is exactly 0.",
    ],
)


# 5.2 ----------------------------------------------------------------------------------------------


def raw_threshold(A: torch.Tensor, t: float) -> torch.Tensor:
    """The cut through each raw map that does what t does to the normalised one, (B, N) -> (B,)."""
    low, high = A.amin(dim=1), A.amax(dim=1)
    return low + t * (high - low)


def _raw_threshold_loop(A: Tensor, t: float) -> Tensor:
    cuts = []
    for row in A.tolist():
        low, high = row[0], row[0]
        for value in row:
            low, high = min(low, value), max(high, value)
        cuts.append((1 - t) * low + t * high)
    return torch.tensor(cuts, dtype=torch.float64)


RAW_THRESHOLD = Exercise(
    id="5.2",
    title="the same cut through the raw map",
    reference=raw_threshold,
    spec=_raw_threshold_loop,
    tiny=[(torch.tensor([[1.0, 3.0, 2.0], [-2.0, 2.0, 1.0]]), 0.25)],
    draw=lambda g: (normal(g, 3, 8), 0.6),
    invariances=[
        Invariance(
            "twice the map plus 1 must be cut at twice the value plus 1",
            lambda fn, A, t: close(fn(2 * A + 1, t), 2 * fn(A, t) + 1),
        ),
        Invariance(
            "one image's cut changes with the rest of the batch",
            lambda fn, A, t: close(fn(A[:1], t), fn(A, t)[:1]),
        ),
    ],
    edges=[
        Edge((torch.tensor([[1.0, 3.0]]), 0.0), "t = 0 is the lowest value"),
        Edge((torch.tensor([[1.0, 3.0]]), 1.0), "t = 1 is the highest value"),
        Edge((torch.full((2, 3), 0.5), 0.6), "a constant map has one value: that is the cut"),
    ],
    differentiable=(0,),
    slips=[
        Slip(
            "t itself: it cuts the normalised map, the raw one has other values",
            lambda A, t: A.new_full((len(A),), t),
        ),
        Slip("a share of the maximum: the lowest value is not 0", lambda A, t: t * A.amax(dim=1)),
        Slip(
            "a share of the range, counted from 0: it starts at the lowest value",
            lambda A, t: t * (A.amax(dim=1) - A.amin(dim=1)),
        ),
        Slip(
            "the lowest value plus a share of the maximum: take a share of the range",
            lambda A, t: A.amin(dim=1) + t * A.amax(dim=1),
        ),
        Slip(
            "counted down from the highest value: t = 0 is the lowest",
            lambda A, t: A.amax(dim=1) - t * (A.amax(dim=1) - A.amin(dim=1)),
        ),
        Slip(
            "a quantile: t is a share of the range of values, not of the pixels",
            lambda A, t: A.quantile(t, dim=1),
        ),
        Slip(
            "one cut for the whole batch: each image has its own range",
            lambda A, t: (A.min() + t * (A.max() - A.min())).expand(len(A)),
        ),
        Slip("went forward through equation 6: solve it for A", lambda A, t: (t - A.amin(1)) / (
            A.amax(1) - A.amin(1)
        )),
    ],
    hints=[
        "Put t in place of A_hat in equation 6, and solve for A.",
        "A_hat = (A - low) / (high - low), so A = low + A_hat * (high - low); low and high with "
        "dim=1, a number an image.",
    ],
)  # fmt: skip


# 5.3 ----------------------------------------------------------------------------------------------


def attend(T: torch.Tensor, A_hat: torch.Tensor) -> torch.Tensor:
    """Equation 7 from T_f's raw output: ReLU, then weight each pixel's vector.

    T is (B, D', h, w), before the ReLU; A_hat is (B, N), N = h * w; returns (B, D', h, w).
    """
    weights = A_hat.unflatten(1, (1, *T.shape[2:]))
    return torch.relu(T) * weights


def _attend_loop(T: Tensor, A_hat: Tensor) -> Tensor:
    B, D, h, w = T.shape
    found = torch.zeros(T.shape, dtype=torch.float64)
    for b in range(B):
        for d in range(D):
            for y in range(h):
                for x in range(w):
                    found[b, d, y, x] = max(T[b, d, y, x].item(), 0) * A_hat[b, y * w + x].item()
    return found


def _features_and_map(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 4, 2, 3), torch.rand(2, 6, generator=g, dtype=torch.float64)


def _grid(T: Tensor, A_hat: Tensor) -> Tensor:
    return A_hat.unflatten(1, (1, *T.shape[2:]))


def _features_where_A_is_0_do_not_matter(fn: object, T: Tensor, A_hat: Tensor) -> bool:
    silent = A_hat < 0.5
    A_hat = A_hat.masked_fill(silent, 0)
    return close(fn(T, A_hat), fn(T + 9 * _grid(T, silent), A_hat))


ATTEND = Exercise(
    id="5.3",
    title="what the decoder gets to see",
    reference=attend,
    spec=_attend_loop,
    tiny=[(torch.tensor([[[[2.0, -4.0], [6.0, 8.0]]]]), torch.tensor([[0.5, 1.0, 0.0, 0.25]]))],
    draw=_features_and_map,
    invariances=[
        Invariance(
            "where A_hat is 0 the features must not matter",
            _features_where_A_is_0_do_not_matter,
        ),
        Invariance(
            "one episode's features change with the rest of the batch",
            lambda fn, T, A: close(fn(T[:1], A[:1]), fn(T, A)[:1]),
        ),
    ],
    edges=[
        Edge((torch.ones(1, 2, 2, 2), torch.zeros(1, 4)), "a map of zeros leaves nothing"),
        Edge((torch.ones(1, 2, 2, 2), torch.ones(1, 4)), "a map of ones changes nothing"),
    ],
    differentiable=(0, 1),
    slips=[
        Slip("the ReLU of T_f is missing", lambda T, A: T * _grid(T, A)),
        Slip(
            "pixels in column order: pixel (y, x) is entry y * w + x",
            lambda T, A: T.relu() * A.unflatten(1, (1, T.shape[3], T.shape[2])).mT,
        ),
        Slip("added: equation 7 multiplies", lambda T, A: T.relu() + _grid(T, A)),
        Slip(
            "features weighted with 1 + A_hat: where A_hat is 0 nothing may pass",
            lambda T, A: T.relu() * (1 + _grid(T, A)),
        ),
        Slip(
            "upside down: 1 - A_hat silences the object",
            lambda T, A: T.relu() * (1 - _grid(T, A)),
        ),
        Slip(
            "the map was cut at a threshold: equation 7 uses its values",
            lambda T, A: T.relu() * (_grid(T, A) > 0.5),
        ),
        Slip(
            "the map was made to sum to 1: equation 7 uses it as it is",
            lambda T, A: T.relu() * _grid(T, A.softmax(dim=1)),
        ),
        Slip(
            "the first image's map for all of them",
            lambda T, A: T.relu() * _grid(T, A)[:1],
        ),
        Slip(
            "summed over the channels: the decoder gets every one",
            lambda T, A: (T.relu() * _grid(T, A)).sum(dim=1, keepdim=True),
        ),
        Slip(
            "summed over the pixels, a pooled vector: equation 7 keeps the grid",
            lambda T, A: (T.relu() * _grid(T, A)).sum(dim=(2, 3)),
        ),
        Slip("still flat: bring it to T's grid", lambda T, A: T.relu().flatten(2) * A[:, None]),
    ],
    hints=[
        "Two steps: bring A_hat to T's grid with a channel dimension of 1, then multiply.",
        "`A_hat.unflatten(1, (1, *T.shape[2:]))` is (B, 1, h, w), and broadcasts over the "
        "channels; `torch.relu(T)` comes first.",
    ],
)  # fmt: skip


EXERCISES = (MIN_MAX, RAW_THRESHOLD, ATTEND)
