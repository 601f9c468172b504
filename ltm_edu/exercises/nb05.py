"""Exercises of notebook 05, from relation to attention: equations 6 and 7."""

from __future__ import annotations

import torch

from .common import TINY, at_scales, close, normal, uniform
from .exercise import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

ACROSS = (
    "The minimum and maximum are taken over the whole batch. Each map has its own minimum and "
    "maximum."
)
CONSTANT = "The range of a constant map is 0, and its result must be zeros."


def _low_high(A: Tensor) -> tuple[Tensor, Tensor]:
    return A.amin(dim=1, keepdim=True), A.amax(dim=1, keepdim=True)


# 5.1 ----------------------------------------------------------------------------------------------


def min_max(A: torch.Tensor) -> torch.Tensor:
    """Equation 6 for a batch of maps, (B, N) -> (B, N); a constant map becomes zeros."""
    low, high = A.amin(dim=1, keepdim=True), A.amax(dim=1, keepdim=True)
    return (A - low) / torch.where(high > low, high - low, 1)


def _min_max_loop(A: Tensor) -> Tensor:
    A_hat = torch.zeros(A.shape, dtype=torch.float64)
    for b, row in enumerate(A.tolist()):
        low = high = row[0]
        for value in row:
            low, high = min(low, value), max(high, value)
        for i, value in enumerate(row):
            A_hat[b, i] = (value - low) / (high - low) if high > low else 0.0
    return A_hat


def _raw_maps(g: torch.Generator) -> tuple[Tensor]:
    return (normal(g, 3, 7),)


MIN_MAX = Exercise(
    id="5.1",
    title="min-max for each map of a batch",
    reference=min_max,
    spec=_min_max_loop,
    tiny=[(torch.tensor([[1.0, 2.0, 5.0], [-1.0, -3.0, -3.0]]),)],
    draw=_raw_maps,
    invariances=[
        Invariance(
            "A positive scale and a shift of A must not change the result.",
            lambda fn, A: close(fn(3 * A + 2), fn(A)),
        ),
        Invariance(
            "The result of one map must not change with the rest of the batch.",
            lambda fn, A: close(fn(A[:1]), fn(A)[:1]),
        ),
    ],
    edges=[
        Edge((torch.full((1, 4), 0.3),), CONSTANT),
        Edge(
            (torch.tensor([[0.0, 0.0], [0.0, 2.0]]),),
            "Only the first map is constant. It must become zeros, and the second one 0 and 1.",
        ),
        Edge(
            (torch.tensor([[0.1, 0.2, 0.3]]),),
            "The range may be small. The highest pixel must still become 1.",
        ),
        Edge(
            (torch.tensor([[1e6, 2e6, 5e6]]),),
            "The range may be large. The highest pixel must still become 1.",
        ),
    ],
    extremes=at_scales(_raw_maps, 0),
    differentiable=(0,),
    slips=[
        Slip(ACROSS, lambda A: (A - A.min()) / (A.max() - A.min()).clamp_min(1e-5)),
        Slip(
            "Each pixel is normalised over the images. Use dim=1, which runs over the pixels of a "
            "map.",
            lambda A: min_max(A.T).T,
        ),
        Slip(
            "A is divided by its maximum alone. The lowest pixel must become 0.",
            lambda A: A / _low_high(A)[1],
        ),
        Slip(
            "The divisor is the maximum. Divide by the range, max - min.",
            lambda A: (A - _low_high(A)[0]) / _low_high(A)[1],
        ),
        Slip(
            "The map is shifted, but not scaled. The highest pixel must become 1.",
            lambda A: A - _low_high(A)[0],
        ),
        Slip("The map is inverted. The highest pixel must become 1.", lambda A: 1 - min_max(A)),
        Slip(
            "The result goes from -1 to 1. Equation 6 goes from 0 to 1.",
            lambda A: 2 * min_max(A) - 1,
        ),
        Slip(
            "With softmax the sum is 1. With equation 6 the maximum is 1.",
            lambda A: A.softmax(dim=1),
        ),
        Slip("The sigmoid is not linear. Equation 6 is linear in A.", lambda A: A.sigmoid()),
        Slip(
            "The values are clamped. Equation 6 scales them and cuts nothing off.",
            lambda A: A.clamp(0, 1),
        ),
        Slip(
            "The mean and the standard deviation are used. Equation 6 uses the minimum and the "
            "maximum.",
            lambda A: (A - A.mean(dim=1, keepdim=True)) / A.std(dim=1, keepdim=True),
        ),
        Slip(
            "A constant map gives NaN, because 0 / 0 is computed. The result must be zeros.",
            lambda A: (A - _low_high(A)[0]) / (_low_high(A)[1] - _low_high(A)[0]),
        ),
    ],
    hints=[
        "amin and amax take a dim and keepdim=True. Then ask what happens to a map whose range is "
        "0.",
        "`low, high = A.amin(1, keepdim=True), A.amax(1, keepdim=True)`. Divide by "
        "`torch.where(high > low, high - low, 1)`: for a constant map the numerator is 0.",
    ],
)


# 5.2 ----------------------------------------------------------------------------------------------


def raw_threshold(A: torch.Tensor, t: float) -> torch.Tensor:
    """The threshold on each raw map that selects the same pixels as t on the normalised map.

    A is (B, N), t in [0, 1]; returns (B,).
    """
    low, high = A.amin(dim=1), A.amax(dim=1)
    return low + t * (high - low)


def _raw_threshold_loop(A: Tensor, t: float) -> Tensor:
    thresholds = []
    for row in A.tolist():
        low, high = row[0], row[0]
        for value in row:
            low, high = min(low, value), max(high, value)
        thresholds.append((1 - t) * low + t * high)
    return torch.tensor(thresholds, dtype=torch.float64)


def _maps_and_cut(g: torch.Generator) -> tuple[Tensor, float]:
    return normal(g, 3, 8), 0.6


RAW_THRESHOLD = Exercise(
    id="5.2",
    title="the same threshold on the raw map",
    reference=raw_threshold,
    spec=_raw_threshold_loop,
    tiny=[(torch.tensor([[1.0, 3.0, 2.0], [-2.0, 2.0, 1.0]]), 0.25)],
    draw=_maps_and_cut,
    invariances=[
        Invariance(
            "For the map 2 A + 1 the threshold must be 2 times the threshold of A, plus 1.",
            lambda fn, A, t: close(fn(2 * A + 1, t), 2 * fn(A, t) + 1),
        ),
        Invariance(
            "The threshold of one map must not change with the rest of the batch.",
            lambda fn, A, t: close(fn(A[:1], t), fn(A, t)[:1]),
        ),
    ],
    edges=[
        Edge(
            (torch.tensor([[1.0, 3.0]]), 0.0), "With t = 0 the threshold must be the lowest value."
        ),
        Edge(
            (torch.tensor([[1.0, 3.0]]), 1.0), "With t = 1 the threshold must be the highest value."
        ),
        Edge(
            (torch.full((2, 3), 0.5), 0.6), "The threshold of a constant map must be its one value."
        ),
        Edge(
            (1e-6 * torch.tensor([[1.0, 3.0]]), 0.5),
            "The values may be small. Keep them as they are, without rounding.",
        ),
    ],
    extremes=at_scales(_maps_and_cut, 0),
    differentiable=(0,),
    slips=[
        Slip(
            "This is t itself, the threshold for the normalised map. The raw map has other values.",
            lambda A, t: A.new_full((len(A),), t),
        ),
        Slip(
            "This is a share of the maximum. The lowest value is not 0.",
            lambda A, t: t * A.amax(dim=1),
        ),
        Slip(
            "This is a share of the range, counted from 0. Add the lowest value.",
            lambda A, t: t * (A.amax(dim=1) - A.amin(dim=1)),
        ),
        Slip(
            "This is the lowest value plus a share of the maximum. Take a share of the range.",
            lambda A, t: A.amin(dim=1) + t * A.amax(dim=1),
        ),
        Slip(
            "This is counted down from the highest value. t = 0 must give the lowest value.",
            lambda A, t: A.amax(dim=1) - t * (A.amax(dim=1) - A.amin(dim=1)),
        ),
        Slip(
            "This is a quantile. t is a share of the range of values, not of the number of pixels.",
            lambda A, t: A.quantile(t, dim=1),
        ),
        Slip(
            "There is one threshold for the whole batch. Each map has its own range.",
            lambda A, t: (A.min() + t * (A.max() - A.min())).expand(len(A)),
        ),
        Slip(
            "This is equation 6 with t in place of A. Put t in place of A_hat and solve for A.",
            lambda A, t: (t - A.amin(1)) / (A.amax(1) - A.amin(1)),
        ),
    ],
    hints=[
        "Put t in place of A_hat in equation 6, and solve for A.",
        "A_hat = (A - low) / (high - low), so A = low + A_hat * (high - low). Take low and high "
        "with dim=1, one number per map.",
    ],
)


# 5.3 ----------------------------------------------------------------------------------------------


def attend(T: torch.Tensor, A_hat: torch.Tensor) -> torch.Tensor:
    """Equation 7 from the raw output of T_f: ReLU, then weight the vector of each pixel.

    T is (B, D', h, w), before the ReLU; A_hat is (B, N), N = h * w; returns (B, D', h, w).
    """
    weights = A_hat.unflatten(1, (1, *T.shape[2:]))
    return torch.relu(T) * weights


def _attend_loop(T: Tensor, A_hat: Tensor) -> Tensor:
    B, D, h, w = T.shape
    attended = torch.zeros(T.shape, dtype=torch.float64)
    for b in range(B):
        for d in range(D):
            for y in range(h):
                for x in range(w):
                    attended[b, d, y, x] = max(T[b, d, y, x].item(), 0) * A_hat[b, y * w + x].item()
    return attended


def _features_and_map(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 4, 2, 3), uniform(g, 2, 6)


def _grid(T: Tensor, A_hat: Tensor) -> Tensor:
    return A_hat.unflatten(1, (1, *T.shape[2:]))


def _features_where_A_is_0_do_not_matter(fn: object, T: Tensor, A_hat: Tensor) -> bool:
    low = A_hat < 0.5
    A_hat = A_hat.masked_fill(low, 0)
    return close(fn(T, A_hat), fn(T + 9 * _grid(T, low), A_hat))


ATTEND = Exercise(
    id="5.3",
    title="what the decoder receives",
    reference=attend,
    spec=_attend_loop,
    tiny=[(torch.tensor([[[[2.0, -4.0], [6.0, 8.0]]]]), torch.tensor([[0.5, 1.0, 0.0, 0.25]]))],
    draw=_features_and_map,
    invariances=[
        Invariance(
            "Where A_hat is 0, the features must not change the result.",
            _features_where_A_is_0_do_not_matter,
        ),
        Invariance(
            "The features of one episode must not change with the rest of the batch.",
            lambda fn, T, A: close(fn(T[:1], A[:1]), fn(T, A)[:1]),
        ),
    ],
    edges=[
        Edge(
            (torch.ones(1, 2, 2, 2), torch.zeros(1, 4)), "With a map of zeros the result must be 0."
        ),
        Edge(
            (torch.ones(1, 2, 2, 2), torch.ones(1, 4)),
            "With a map of ones the features must not change.",
        ),
        Edge(
            (1e-6 * torch.ones(1, 2, 2, 2), torch.ones(1, 4)),
            "Small features must stay as they are, without rounding.",
        ),
        Edge(
            (1e6 * torch.ones(1, 2, 2, 2), torch.ones(1, 4)),
            "Large features must stay as they are, without a limit.",
        ),
    ],
    extremes=at_scales(_features_and_map, 0) + at_scales(_features_and_map, 1, factors=TINY),
    differentiable=(0, 1),
    slips=[
        Slip(
            "The ReLU of T_f is missing. Apply torch.relu to T first.", lambda T, A: T * _grid(T, A)
        ),
        Slip(
            "The pixels are counted down the columns. Pixel (y, x) must be entry y * w + x.",
            lambda T, A: T.relu() * A.unflatten(1, (1, T.shape[3], T.shape[2])).mT,
        ),
        Slip("The map is added. Equation 7 multiplies.", lambda T, A: T.relu() + _grid(T, A)),
        Slip(
            "The features are multiplied by 1 + A_hat. Multiply by A_hat: where it is 0, the "
            "result must be 0.",
            lambda T, A: T.relu() * (1 + _grid(T, A)),
        ),
        Slip(
            "The features are multiplied by 1 - A_hat, which removes the object. Multiply by "
            "A_hat.",
            lambda T, A: T.relu() * (1 - _grid(T, A)),
        ),
        Slip(
            "The map is cut at a threshold. Equation 7 uses its values.",
            lambda T, A: T.relu() * (_grid(T, A) > 0.5),
        ),
        Slip(
            "The map is scaled to sum to 1. Equation 7 uses it as it is.",
            lambda T, A: T.relu() * _grid(T, A.softmax(dim=1)),
        ),
        Slip(
            "The map of the first image is used for all images. Use each image's own map.",
            lambda T, A: T.relu() * _grid(T, A)[:1],
        ),
        Slip(
            "The channels are added. The decoder needs every channel.",
            lambda T, A: (T.relu() * _grid(T, A)).sum(dim=1, keepdim=True),
        ),
        Slip(
            "The pixels are summed to one vector. Equation 7 keeps the grid.",
            lambda T, A: (T.relu() * _grid(T, A)).sum(dim=(2, 3)),
        ),
        Slip(
            "The result is flat. Bring it to the grid of T.",
            lambda T, A: T.relu().flatten(2) * A[:, None],
        ),
    ],
    hints=[
        "There are two steps. Bring A_hat to the grid of T, with a channel dimension of 1. Then "
        "multiply.",
        "`A_hat.unflatten(1, (1, *T.shape[2:]))` is (B, 1, h, w) and broadcasts over the "
        "channels. Apply `torch.relu(T)` first.",
    ],
)


EXERCISES = (MIN_MAX, RAW_THRESHOLD, ATTEND)
