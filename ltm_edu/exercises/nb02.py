"""Exercises of notebook 02, features and masks: equation 1, and the global baseline."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .common import TINY, at_scales, close, normal, uniform
from .exercise import Cost, Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

ONE_EPISODE = "There is one result for the whole batch. Keep the batch dimension first."


# 2.1 ----------------------------------------------------------------------------------------------


def to_grid(masks: torch.Tensor, stride: int) -> torch.Tensor:
    """The share of each cell that the object covers, (B, 1, H, W) -> (B, 1, h, w), in [0, 1].

    Sides have stride * k + 1 pixels, stride is even. Cell i is the mean of the window from pixel
    stride * i - stride / 2 to stride * i + stride / 2, both included; pixels outside the picture
    do not count.
    """
    return torch.nn.functional.avg_pool2d(
        masks, stride + 1, stride, stride // 2, count_include_pad=False
    )


def _to_grid_loop(masks: Tensor, stride: int) -> Tensor:
    B, _, H, W = masks.shape
    h, w, half = (H - 1) // stride + 1, (W - 1) // stride + 1, stride // 2
    G = torch.zeros(B, 1, h, w, dtype=torch.float64)
    for b in range(B):
        for i in range(h):
            for j in range(w):
                total = count = 0.0
                for y in range(max(0, stride * i - half), min(H, stride * i + half + 1)):
                    for x in range(max(0, stride * j - half), min(W, stride * j + half + 1)):
                        total, count = total + float(masks[b, 0, y, x]), count + 1
                G[b, 0, i, j] = total / count
    return G


def _blobs(g: torch.Generator) -> tuple[Tensor, int]:
    return uniform(g, 2, 1, 9, 13), 4


def _dot() -> Tensor:
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 4, 5] = 1
    return mask


def _grid_size(m: Tensor, s: int) -> tuple[int, int]:
    return (m.shape[2] - 1) // s + 1, (m.shape[3] - 1) // s + 1


_EDGE = (
    "The values at the edge of the picture are too small. Only existing pixels count: use "
    "count_include_pad=False."
)
_SOFT = "The values are rounded. A soft value is the share of a cell that the object covers."

TO_GRID = Exercise(
    id="2.1",
    title="a mask on the feature grid",
    reference=to_grid,
    spec=_to_grid_loop,
    tiny=[(torch.tensor([[[[1.0, 1.0, 0.0, 0.0, 1.0]]]]), 2)],
    draw=_blobs,
    invariances=[
        Invariance(
            "The grid of 1 - mask must be 1 - the grid of the mask, because every pixel is object "
            "or background.",
            lambda fn, m, s: close(fn(1 - m, s), 1 - fn(m, s)),
        )
    ],
    edges=[
        Edge(
            (torch.ones(1, 1, 9, 9), 4),
            "Only pixels inside the picture count, so a full mask must be 1 at the edge, too.",
        ),
        Edge((torch.zeros(1, 1, 9, 9), 4), "An empty mask must be empty on the grid."),
        Edge((_dot(), 4), "One object pixel must give a small share of one cell, neither 0 nor 1."),
        Edge((1e-3 * _dot(), 4), "Small soft values must stay as they are, without rounding."),
    ],
    extremes=at_scales(_blobs, 0, factors=TINY),
    costs=[
        Cost(
            (torch.ones(1, 1, 81, 81), 4),
            "It loops over the cells or over the pixels. Average all windows at once.",
            lines=120,
        )
    ],
    differentiable=(0,),
    slips=[
        Slip(_EDGE, lambda m, s: F.avg_pool2d(m, s + 1, s, s // 2)),
        Slip(
            "The padding is missing. The window of a cell at the edge starts half a stride outside "
            "the picture: use padding stride // 2.",
            lambda m, s: F.avg_pool2d(m, s + 1, s),
        ),
        Slip(
            "The pixels at the edge of the picture are repeated outside it and count more than "
            "once. Only existing pixels count: use count_include_pad=False.",
            lambda m, s: F.avg_pool2d(F.pad(m, [s // 2] * 4, mode="replicate"), s + 1, s),
        ),
        Slip(
            "Only every stride-th pixel is used. A cell is the mean of its whole window.",
            lambda m, s: m[..., ::s, ::s],
        ),
        Slip(_SOFT, lambda m, s: (to_grid(m, s) > 0.5).to(m.dtype)),
        Slip(_SOFT, lambda m, s: (to_grid(m, s) > 0).to(m.dtype)),
        Slip(
            "This is the largest value of each window. Return the mean.",
            lambda m, s: F.max_pool2d(m, s + 1, s, s // 2),
        ),
        Slip(
            "This is the sum of each window. Return the mean.",
            lambda m, s: F.avg_pool2d(m, s + 1, s, s // 2, divisor_override=1),
        ),
        Slip(
            "A window of `stride` pixels, an even number, is not centred on a pixel. Use windows "
            "of stride + 1 pixels.",
            lambda m, s: F.avg_pool2d(m, s, s, s // 2, count_include_pad=False),
        ),
        Slip(
            "The windows start at pixel 0 and do not overlap. Cell i must be centred on pixel "
            "stride * i.",
            lambda m, s: F.avg_pool2d(m, s),
        ),
        Slip(
            "Interpolation uses only the few pixels next to a centre. Average the whole window.",
            lambda m, s: F.interpolate(m, _grid_size(m, s), mode="bilinear"),
        ),
        Slip(
            "These windows divide the picture evenly. Window i of the grid is centred on pixel "
            "stride * i and has stride + 1 pixels.",
            lambda m, s: F.interpolate(m, _grid_size(m, s), mode="area"),
        ),
        Slip(
            "The channel dimension is missing. The shape must be (B, 1, h, w).",
            lambda m, s: to_grid(m, s)[:, 0],
        ),
        Slip(ONE_EPISODE, lambda m, s: to_grid(m, s)[:1]),
    ],
    hints=[
        "Averages over windows at regular steps are a pooling. How wide is a window, how long is "
        "a step, and what happens at the edge?",
        "Use torch.nn.functional.avg_pool2d(masks, kernel, stride, padding). The kernel is stride "
        "+ 1, the padding is stride // 2, and count_include_pad=False excludes the padding from "
        "the mean.",
    ],
)


# 2.2 ----------------------------------------------------------------------------------------------


def masked(F_s: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """Equation 1 for a batch: (B, C, h, w) and (B, 1, h, w) -> (B, C, h, w)."""
    return F_s * G_s


def _masked_loop(F_s: Tensor, G_s: Tensor) -> Tensor:
    out = torch.zeros(F_s.shape, dtype=torch.float64)
    B, C, h, w = F_s.shape
    for b in range(B):
        for c in range(C):
            for i in range(h):
                for j in range(w):
                    out[b, c, i, j] = F_s[b, c, i, j] * G_s[b, 0, i, j]
    return out


def _features_and_mask(g: torch.Generator) -> tuple[Tensor, Tensor]:
    # With as many channels as episodes and a square grid, wrong broadcasting raises no error.
    G = uniform(g, 2, 1, 3, 3)
    return normal(g, 2, 2, 3, 3), torch.where(G < 0.3, 0.0, G)


MASKED = Exercise(
    id="2.2",
    title="equation 1, for a batch",
    reference=masked,
    spec=_masked_loop,
    tiny=[
        (
            torch.tensor([[[[1.0, 2.0, 3.0]], [[-1.0, -2.0, -3.0]]]]),
            torch.tensor([[[[0.0, 0.25, 1.0]]]]),
        )
    ],
    draw=_features_and_mask,
    invariances=[
        Invariance(
            "The result of one episode must not change with the rest of the batch.",
            lambda fn, f, g: close(fn(f[:1], g[:1]), fn(f, g)[:1]),
        )
    ],
    edges=[
        Edge(
            (torch.ones(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)),
            "With an empty mask all features must be 0.",
        ),
        Edge(
            (-torch.ones(1, 2, 2, 2), torch.ones(1, 1, 2, 2)),
            "With a full mask the features must not change.",
        ),
        Edge(
            (1e-6 * torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)),
            "Small features must stay as they are, without rounding.",
        ),
        Edge(
            (1e6 * torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)),
            "Large features must stay as they are, without a limit.",
        ),
    ],
    extremes=at_scales(_features_and_mask, 0) + at_scales(_features_and_mask, 1, factors=TINY),
    differentiable=(0,),
    slips=[
        Slip(
            "The mask has lost its channel dimension: (B, h, w) is aligned with the channels, not "
            "with the batch. Keep (B, 1, h, w).",
            lambda f, g: f * g[:, 0],
        ),
        Slip(
            "Every cell that the object touches keeps its full feature. Multiply by the soft "
            "value: a cell that is half object keeps half of its feature.",
            lambda f, g: f * (g > 0).to(f.dtype),
        ),
        Slip(
            "The mask is rounded. Multiply by the soft value: a cell that is half object keeps "
            "half of its feature.",
            lambda f, g: f * (g > 0.5).to(f.dtype),
        ),
        Slip(
            "The background is kept, not the object. Multiply by the mask itself.",
            lambda f, g: f * (1 - g),
        ),
        Slip("The mask is multiplied twice. Multiply once.", lambda f, g: f * g * g),
        Slip("This is a sum. Equation 1 is a product.", lambda f, g: f + g),
        Slip(
            "The grid of the mask is transposed. Cell (i, j) of the mask belongs to cell (i, j) "
            "of the features.",
            lambda f, g: f * g.transpose(2, 3),
        ),
        Slip(
            "Only the first channel is masked. Mask all channels.",
            lambda f, g: _first_channel(f, g),
        ),
        Slip(
            "The mask of the first episode is used for all episodes. Use each episode's own mask.",
            lambda f, g: f * g[:1],
        ),
        Slip(
            "This is a list of the object's pixels. F'_s keeps its grid, with zeros outside the "
            "object.",
            lambda f, g: f[:, :, g[0, 0] > 0],
        ),
        Slip(
            "This is the mean over the object, the next exercise. Equation 1 keeps every pixel.",
            lambda f, g: pool(f, g),
        ),
        Slip(
            "The channels are added. Mask each channel separately.",
            lambda f, g: (f * g).sum(dim=1, keepdim=True),
        ),
        Slip("The features are unchanged. Multiply them by the mask.", lambda f, g: f),
    ],
    hints=[
        "One multiplication is enough. What does PyTorch do with a dimension of size 1?",
        "A (B, 1, h, w) mask is broadcast over the channels of (B, C, h, w) features. This is "
        "what equation 1 asks for: `F_s * G_s`.",
    ],
)


def _first_channel(f: Tensor, g: Tensor) -> Tensor:
    return torch.cat([f[:, :1] * g, f[:, 1:]], dim=1)


# 2.3 ----------------------------------------------------------------------------------------------


def pool(F_s: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """Masked average pooling, (B, C, h, w) and (B, 1, h, w) -> (B, C); an empty mask gives 0."""
    total = (F_s * G_s).sum(dim=(2, 3))
    weight = G_s.sum(dim=(2, 3))
    return total / torch.where(weight > 0, weight, 1)


def _pool_loop(F_s: Tensor, G_s: Tensor) -> Tensor:
    B, C, h, w = F_s.shape
    out = torch.zeros(B, C, dtype=torch.float64)
    for b in range(B):
        total, weight = torch.zeros(C, dtype=torch.float64), 0.0
        for i in range(h):
            for j in range(w):
                total += F_s[b, :, i, j].double() * float(G_s[b, 0, i, j])
                weight += float(G_s[b, 0, i, j])
        if weight > 0:
            out[b] = total / weight
    return out


def _maps(g: torch.Generator) -> tuple[Tensor, Tensor]:
    G = uniform(g, 2, 1, 3, 4)
    return normal(g, 2, 3, 3, 4), torch.where(G < 0.3, 0.0, G)


def _weighted(f: Tensor, g: Tensor) -> Tensor:
    return (f * g).sum(dim=(2, 3))


_EMPTY = "An empty mask marks nothing. Return zeros there."

POOL = Exercise(
    id="2.3",
    title="masked average pooling, safe for an empty mask",
    reference=pool,
    spec=_pool_loop,
    tiny=[
        (
            torch.tensor([[[[2.0, 4.0, 9.0]], [[0.0, 8.0, 9.0]]]]),
            torch.tensor([[[[1.0, 0.5, 0.0]]]]),
        )
    ],
    draw=_maps,
    invariances=[
        Invariance(
            "When all values of a mask are halved, the weighted mean must not change.",
            lambda fn, f, g: close(fn(f, g / 2), fn(f, g)),
        ),
        Invariance(
            "The features outside the mask must not change the result.",
            lambda fn, f, g: close(fn(torch.where(g > 0, f, f + 7), g), fn(f, g)),
        ),
        Invariance(
            "The prototype of one episode must not change with the rest of the batch.",
            lambda fn, f, g: close(fn(f[:1], g[:1]), fn(f, g)[:1]),
        ),
    ],
    edges=[
        Edge((torch.ones(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)), _EMPTY),
        Edge(
            (torch.arange(8.0).reshape(2, 2, 1, 2), torch.tensor([[[[0.0, 0.0]]], [[[1.0, 0.5]]]])),
            "Only the first mask of the batch is empty. Its result must be 0, and the second one "
            "must be a mean.",
        ),
        Edge(
            (torch.arange(8.0).reshape(1, 2, 2, 2), torch.tensor([[[[0.0, 0.0], [0.3, 0.0]]]])),
            "With one partly covered cell, the result must be the unscaled feature of that cell.",
        ),
        Edge(
            (torch.arange(8.0).reshape(1, 2, 2, 2), torch.tensor([[[[0.0, 0.0], [1e-3, 0.0]]]])),
            "A tiny object may cover a thousandth of one cell. The result must be the unscaled "
            "feature of that cell.",
        ),
    ],
    extremes=at_scales(_maps, 0) + at_scales(_maps, 1, factors=TINY),
    differentiable=(0,),
    slips=[
        Slip(
            "In your code the divisor is never below 1, so the mean of an object that covers less "
            "than one cell is too close to 0. Only a divisor of 0 must be replaced.",
            lambda f, g: _weighted(f, g) / g.sum(dim=(2, 3)).clamp_min(1),
        ),
        Slip(
            "1 is added to the divisor, so every mean is too close to 0. Only a divisor of 0 must "
            "be replaced.",
            lambda f, g: _weighted(f, g) / (g.sum(dim=(2, 3)) + 1),
        ),
        *(
            Slip(
                "A small number is added to the divisor, which changes the mean of a tiny object. "
                "Only a divisor of 0 must be replaced.",
                lambda f, g, eps=eps: _weighted(f, g) / (g.sum(dim=(2, 3)) + eps),
            )
            for eps in (1e-5, 1e-6)
        ),
        Slip(
            "The sum is divided by the number of all pixels. Divide by the sum of the mask.",
            lambda f, g: (f * g).mean(dim=(2, 3)),
        ),
        Slip(
            "The sum is divided by the number of pixels that the mask touches. Divide by the sum "
            "of the soft values.",
            lambda f, g: _weighted(f, g) / (g > 0).sum(dim=(2, 3)).clamp_min(1),
        ),
        Slip("This is a sum. Divide it by the sum of the mask.", _weighted),
        Slip(
            "The mask is not used. Only the pixels of the object count.",
            lambda f, g: f.mean((2, 3)),
        ),
        Slip(
            "The mask is rounded. Use its soft values as weights.",
            lambda f, g: pool(f, (g > 0.5).to(f.dtype)),
        ),
        Slip(
            "Every cell that the object touches has weight 1. Use the soft values as weights.",
            lambda f, g: pool(f, (g > 0).to(f.dtype)),
        ),
        Slip(
            "The mask is multiplied twice in the numerator, but once in the divisor. Multiply "
            "once.",
            lambda f, g: _weighted(f * g, g) / g.sum(dim=(2, 3)).clamp_min(1e-5),
        ),
        Slip(
            "This is the mean of the background. Use the mask itself as weights.",
            lambda f, g: pool(f, 1 - g),
        ),
        Slip(
            "This is the largest value. Return the mean.",
            lambda f, g: (f * g).amax(dim=(2, 3)),
        ),
        Slip(
            "The sum is divided by the masks of the whole batch. Divide by each episode's own "
            "mask.",
            lambda f, g: _weighted(f, g) / g.sum().clamp_min(1e-5),
        ),
        Slip(ONE_EPISODE, lambda f, g: pool(f, g).mean(dim=0)),
        Slip(
            "The result is scaled to length 1. Return the mean itself.",
            lambda f, g: F.normalize(pool(f, g), dim=1),
        ),
        Slip(
            "The shape is (B, C, 1, 1), expected (B, C). Do not use keepdim.",
            lambda f, g: pool(f, g)[..., None, None],
        ),
        Slip(
            "An empty mask gives NaN, because 0 / 0 is computed. Return zeros there.",
            lambda f, g: _weighted(f, g) / g.sum(dim=(2, 3)),
        ),
    ],
    hints=[
        "This is a weighted mean, and the weights are the mask. Sum over the grid in the "
        "numerator and in the divisor.",
        "Divide `(F_s * G_s).sum(dim=(2, 3))` by `weight = G_s.sum(dim=(2, 3))`. Before the "
        "division, `torch.where(weight > 0, weight, 1)` replaces a weight of 0: then 0 / 1 is 0.",
    ],
)


# 2.4 ----------------------------------------------------------------------------------------------


def cosine_map(E_q: torch.Tensor, prototype: torch.Tensor) -> torch.Tensor:
    """The cosine of every query pixel with one vector, (B, D, h, w) and (B, D) -> (B, 1, h, w).

    0 where a vector is zero.
    """
    length_q = torch.linalg.vector_norm(E_q, dim=1, keepdim=True)
    length_p = torch.linalg.vector_norm(prototype, dim=1, keepdim=True)
    u_q = E_q / torch.where(length_q > 0, length_q, 1)
    u_p = prototype / torch.where(length_p > 0, length_p, 1)
    return (u_q * u_p[:, :, None, None]).sum(dim=1, keepdim=True)


def _cosine_map_loop(E_q: Tensor, prototype: Tensor) -> Tensor:
    B, _, h, w = E_q.shape
    out = torch.zeros(B, 1, h, w, dtype=torch.float64)
    for b in range(B):
        for i in range(h):
            for j in range(w):
                a, p = E_q[b, :, i, j].double(), prototype[b].double()
                lengths = float(a.norm() * p.norm())
                out[b, 0, i, j] = float(a @ p) / lengths if lengths > 0 else 0.0
    return out


def _query(g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(g, 2, 4, 3, 2), normal(g, 2, 4)


def _dots(E: Tensor, p: Tensor) -> Tensor:
    return (E * p[:, :, None, None]).sum(dim=1, keepdim=True)


def _length(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1, keepdim=True)


def _with_zeros() -> tuple[Tensor, Tensor]:
    E, p = _query(torch.Generator().manual_seed(7))
    E[0, :, 1, 1] = 0
    p[1] = 0
    return E, p


_LENGTHS = "This is the dot product. Did you normalise? Divide by both lengths."
_NO_COSINE = (
    "Some values are not between -1 and 1, so they are no cosines. Check how you divide by the two "
    "lengths."
)
_ZERO = (
    "A zero vector has no direction and relates to nothing. Return 0 there, and the cosine "
    "everywhere else."
)
_SHORT = "The cosine does not depend on the lengths, however short or long the vectors are."

COSINE_MAP = Exercise(
    id="2.4",
    title="the cosine map of a prototype",
    reference=cosine_map,
    spec=_cosine_map_loop,
    tiny=[(torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]]), torch.tensor([[4.0, 3.0]]))],
    draw=_query,
    invariances=[
        Invariance(
            "The map must not change with the length of a vector.",
            lambda fn, E, p: close(fn(100 * E, p), fn(E, p)) and close(fn(E, 9 * p), fn(E, p)),
        ),
        Invariance(
            "The map of one episode must not change with the rest of the batch.",
            lambda fn, E, p: close(fn(E[:1], p[:1]), fn(E, p)[:1]),
        ),
    ],
    edges=[
        Edge(_with_zeros(), _ZERO),
        Edge((torch.tensor([[[[3e-4]], [[4e-4]]]]), torch.tensor([[4e-4, 3e-4]])), _SHORT),
        Edge((torch.tensor([[[[3e6]], [[4e6]]]]), torch.tensor([[4e6, 3e6]])), _SHORT),
    ],
    extremes=at_scales(_query, 0) + at_scales(_query, 1) + at_scales(_query, 0, 1),
    differentiable=(0, 1),
    slips=[
        Slip(_LENGTHS, _dots),
        Slip(
            "You divide by the query's lengths only. Divide by the prototype's length as well.",
            lambda E, p: _dots(E, p) / _length(E),
        ),
        Slip(
            "You divide by the prototype's length only. Divide by the query's lengths as well.",
            lambda E, p: _dots(E, p) / _length(p)[..., None, None],
        ),
        Slip(
            "The channel dimension is missing: the shape is (B, h, w), expected (B, 1, h, w).",
            lambda E, p: cosine_map(E, p)[:, 0],
        ),
        Slip(
            "There is one value for each channel. Sum over the channels.",
            lambda E, p: E * p[:, :, None, None] / _length(E) / _length(p)[..., None, None],
        ),
        Slip(
            "This is 1 - cosine, a distance. The value of similar vectors must be near 1.",
            lambda E, p: 1 - cosine_map(E, p),
        ),
        Slip(
            "The sign is lost. Opposite vectors must have the value -1.",
            lambda E, p: cosine_map(E, p).abs(),
        ),
        Slip(
            "The result goes from 0 to 1. A cosine goes from -1 to 1: return it as it is.",
            lambda E, p: (1 + cosine_map(E, p)) / 2,
        ),
        Slip(
            "Negative cosines became 0. Return the cosine as it is.",
            lambda E, p: cosine_map(E, p).relu(),
        ),
        Slip(
            "This is the mean over the channels. A dot product is their sum.",
            lambda E, p: cosine_map(E, p) / E.shape[1],
        ),
        Slip(
            "The product is divided by the squared lengths. Divide by the lengths themselves.",
            lambda E, p: cosine_map(E, p) / _length(E) / _length(p)[..., None, None],
        ),
        Slip(
            "Min-max normalisation comes with equation 6. Return the cosine itself.",
            lambda E, p: _min_max(cosine_map(E, p)),
        ),
        Slip(
            "Softmax is for attention weights. Return the cosine itself.",
            lambda E, p: cosine_map(E, p).flatten(2).softmax(dim=2).view(len(E), 1, *E.shape[2:]),
        ),
        Slip(
            "The prototype of the first episode is used for all episodes. Use each episode's own "
            "prototype.",
            lambda E, p: cosine_map(E, p[:1]),
        ),
        Slip(
            "The map is flat. Keep the grid: (B, 1, h, w).",
            lambda E, p: cosine_map(E, p).flatten(2),
        ),
        Slip(
            "A zero vector gives NaN, because 0 / 0 is computed. Return 0 there.",
            lambda E, p: _dots(E, p) / (_length(E) * _length(p)[..., None, None]),
        ),
        *(
            Slip(
                "You limit the product of the lengths from below, but for two short vectors it is "
                "smaller than the limit. Limit each length by itself.",
                lambda E, p, eps=eps: (
                    _dots(E, p) / (_length(E) * _length(p)[..., None, None]).clamp_min(eps)
                ),
            )
            for eps in (1e-5, 1e-6)
        ),
        *(
            Slip(
                "A small number is added to the product of the lengths, but for two short vectors "
                "the product is small, too. Limit each length by itself.",
                lambda E, p, eps=eps: (
                    _dots(E, p) / (_length(E) * _length(p)[..., None, None] + eps)
                ),
            )
            for eps in (1e-5, 1e-6, 1e-7, 1e-8)
        ),
        Slip(_NO_COSINE, when=lambda out, expected, E, p: out.abs().max() > 1.001),
    ],
    hints=[
        "Compute a dot product at every pixel, and two lengths. The prototype needs the two "
        "dimensions of the grid.",
        "Scale both to length 1: divide by `length = torch.linalg.vector_norm(..., dim=1, "
        "keepdim=True)`, with `torch.where(length > 0, length, 1)` in its place so that a zero "
        "vector stays zero. `[:, :, None, None]` broadcasts the prototype over the grid.",
    ],
)


def _min_max(x: Tensor) -> Tensor:
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    return (x - low) / (high - low)


EXERCISES = (TO_GRID, MASKED, POOL, COSINE_MAP)
