"""Exercises of notebook 02, features and masks: equation 1, and the global baseline."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .common import close, normal, uniform
from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

ONE_EPISODE = "one episode for the whole batch: keep the batch dimension first"


# 2.1 ----------------------------------------------------------------------------------------------


def to_grid(masks: torch.Tensor, stride: int) -> torch.Tensor:
    """The share of each cell that the object covers, (B, 1, H, W) -> (B, 1, h, w).

    Sides have stride * k + 1 pixels, stride is even. Cell i is the mean of the window from pixel
    stride * i - stride / 2 to stride * i + stride / 2, both included; what lies outside the
    picture does not count.
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


_EDGE = "too small at the picture's edge: only pixels that exist count (count_include_pad=False)"
_SOFT = "rounded: a soft value says how much of a cell the object covers"

TO_GRID = Exercise(
    id="2.1",
    title="a mask on the feature grid",
    reference=to_grid,
    spec=_to_grid_loop,
    tiny=[(torch.tensor([[[[1.0, 1.0, 0.0, 0.0, 1.0]]]]), 2)],
    draw=_blobs,
    invariances=[
        Invariance(
            "what is not object is background: the grid of 1 - mask must be 1 - the grid",
            lambda fn, m, s: close(fn(1 - m, s), 1 - fn(m, s)),
        )
    ],
    edges=[
        Edge((torch.ones(1, 1, 9, 9), 4), _EDGE),
        Edge((torch.zeros(1, 1, 9, 9), 4), "an empty mask is empty on the grid"),
        Edge((_dot(), 4), "one pixel of object: a small share of one cell, neither 0 nor 1"),
    ],
    differentiable=(0,),
    slips=[
        Slip(_EDGE, lambda m, s: F.avg_pool2d(m, s + 1, s, s // 2)),
        Slip(
            "every stride-th pixel only: a cell is the mean of its window",
            lambda m, s: m[..., ::s, ::s],
        ),
        Slip(_SOFT, lambda m, s: (to_grid(m, s) > 0.5).to(m.dtype)),
        Slip(_SOFT, lambda m, s: (to_grid(m, s) > 0).to(m.dtype)),
        Slip(
            "the largest value of each window, expected the mean",
            lambda m, s: F.max_pool2d(m, s + 1, s, s // 2),
        ),
        Slip(
            "the sum of each window, expected the mean",
            lambda m, s: F.avg_pool2d(m, s + 1, s, s // 2, divisor_override=1),
        ),
        Slip(
            "windows of `stride` pixels lean to one side: stride + 1 are centred",
            lambda m, s: F.avg_pool2d(m, s, s, s // 2, count_include_pad=False),
        ),
        Slip(
            "windows side by side from pixel 0: cell i is centred on pixel stride * i",
            lambda m, s: F.avg_pool2d(m, s),
        ),
        Slip(
            "interpolate looks at the few pixels next to a centre: average the whole window",
            lambda m, s: F.interpolate(m, _grid_size(m, s), mode="bilinear"),
        ),
        Slip(
            "windows that tile the picture: those of the grid overlap by a pixel and are centred",
            lambda m, s: F.interpolate(m, _grid_size(m, s), mode="area"),
        ),
        Slip("the channel is gone: (B, 1, h, w)", lambda m, s: to_grid(m, s)[:, 0]),
        Slip(ONE_EPISODE, lambda m, s: to_grid(m, s)[:1]),
    ],
    hints=[
        "Averages over windows at regular steps: that is a pooling. How wide is a window, how "
        "long the step, and what happens at the edge?",
        "torch.nn.functional.avg_pool2d(masks, kernel, stride, padding): the kernel is stride + 1, "
        "the padding stride // 2, and count_include_pad=False leaves the padding out of the mean.",
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
    # As many channels as episodes, and a square grid: careless broadcasting does not fail here.
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
            "one episode's result changes with the rest of the batch",
            lambda fn, f, g: close(fn(f[:1], g[:1]), fn(f, g)[:1]),
        )
    ],
    edges=[
        Edge((torch.ones(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)), "an empty mask leaves nothing"),
        Edge((-torch.ones(1, 2, 2, 2), torch.ones(1, 1, 2, 2)), "a full mask changes nothing"),
    ],
    differentiable=(0, 1),
    slips=[
        Slip(
            "the mask lost its channel: (B, h, w) lines up with the channels, not with the batch",
            lambda f, g: f * g[:, 0],
        ),
        Slip(
            "cut out at full strength: a cell that is half object keeps half of its feature",
            lambda f, g: f * (g > 0).to(f.dtype),
        ),
        Slip(
            "the mask was rounded: a cell that is half object keeps half of its feature",
            lambda f, g: f * (g > 0.5).to(f.dtype),
        ),
        Slip("the background was kept, not the object", lambda f, g: f * (1 - g)),
        Slip("the mask counts twice: once is enough", lambda f, g: f * g * g),
        Slip("a sum: equation 1 is a product", lambda f, g: f + g),
        Slip(
            "grid transposed: (i, j) meets (i, j)",
            lambda f, g: f * g.transpose(2, 3),
        ),
        Slip("only the first channel was masked", lambda f, g: _first_channel(f, g)),
        Slip("the first episode's mask for all", lambda f, g: f * g[:1]),
        Slip(
            "a list of the object's pixels: F'_s keeps its grid, zeros included",
            lambda f, g: f[:, :, g[0, 0] > 0],
        ),
        Slip(
            "the mean over the object: that comes next, equation 1 keeps every pixel",
            lambda f, g: pool(f, g),
        ),
        Slip(
            "a sum over the channels: each channel is masked by itself",
            lambda f, g: (f * g).sum(dim=1, keepdim=True),
        ),
        Slip("the features as they came: where is the mask?", lambda f, g: f),
    ],
    hints=[
        "One multiplication. What does PyTorch do with a dimension of size 1?",
        "A (B, 1, h, w) mask against (B, C, h, w) features is broadcast over the channels, which "
        "is what equation 1 wants: `F_s * G_s`.",
    ],
)


def _first_channel(f: Tensor, g: Tensor) -> Tensor:
    return torch.cat([f[:, :1] * g, f[:, 1:]], dim=1)


# 2.3 ----------------------------------------------------------------------------------------------


def pool(F_s: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
    """Masked average pooling, (B, C, h, w) and (B, 1, h, w) -> (B, C); an empty mask gives 0."""
    total = (F_s * G_s).sum(dim=(2, 3))
    return total / G_s.sum(dim=(2, 3)).clamp_min(1e-5)


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


def _smooth_at_empty(fn: Callable[[Tensor, Tensor], Tensor], f: Tensor, g: Tensor) -> bool:
    """Whether gradients stay finite at an empty mask; values that are not are told elsewhere."""
    features, empty = f.clone().requires_grad_(), torch.zeros_like(g).requires_grad_()
    out = fn(features, empty)
    if not out.requires_grad or not torch.isfinite(out).all():
        return True
    found = torch.autograd.grad(out.sum(), (features, empty), allow_unused=True)
    return all(x is None or bool(torch.isfinite(x).all()) for x in found)


_EMPTY = "NaN where the mask is empty: 0 / 0. No object, no prototype: return zeros"

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
            "a mask of half the strength is the same object: the mean must not change",
            lambda fn, f, g: close(fn(f, g / 2), fn(f, g)),
        ),
        Invariance(
            "what lies outside the mask must not matter",
            lambda fn, f, g: close(fn(torch.where(g > 0, f, f + 7), g), fn(f, g)),
        ),
        Invariance(
            "one episode's prototype changes with the rest of the batch",
            lambda fn, f, g: close(fn(f[:1], g[:1]), fn(f, g)[:1]),
        ),
        Invariance(
            "right values, but the gradient is NaN at an empty mask: keep the divisor above 0 "
            "(clamp_min) instead of replacing the quotient afterwards",
            _smooth_at_empty,
        ),
    ],
    edges=[
        Edge((torch.ones(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)), _EMPTY),
        Edge(
            (torch.arange(8.0).reshape(1, 2, 2, 2), torch.tensor([[[[0.0, 0.0], [0.3, 0.0]]]])),
            "one cell, partly covered: its own feature, at full length",
        ),
    ],
    differentiable=(0, 1),
    slips=[
        Slip(
            "divided by the number of all pixels: divide by what the mask adds up to",
            lambda f, g: (f * g).mean(dim=(2, 3)),
        ),
        Slip(
            "divided by the number of pixels that the mask touches: soft values count as they are",
            lambda f, g: _weighted(f, g) / (g > 0).sum(dim=(2, 3)).clamp_min(1),
        ),
        Slip("a sum: divide by what the mask adds up to", _weighted),
        Slip("the mask was left out: only the object's pixels count", lambda f, g: f.mean((2, 3))),
        Slip(
            "the mask was rounded: soft values are weights",
            lambda f, g: pool(f, (g > 0.5).to(f.dtype)),
        ),
        Slip(
            "cut out at full strength: soft values are weights",
            lambda f, g: pool(f, (g > 0).to(f.dtype)),
        ),
        Slip(
            "the mask counts twice above the line, once below",
            lambda f, g: _weighted(f * g, g) / g.sum(dim=(2, 3)).clamp_min(1e-5),
        ),
        Slip("that is the background's mean", lambda f, g: pool(f, 1 - g)),
        Slip(
            "the largest value, expected the mean",
            lambda f, g: (f * g).amax(dim=(2, 3)),
        ),
        Slip(
            "divided by the whole batch's masks: each episode has its own",
            lambda f, g: _weighted(f, g) / g.sum().clamp_min(1e-5),
        ),
        Slip(ONE_EPISODE, lambda f, g: pool(f, g).mean(dim=0)),
        Slip(
            "scaled to length 1: the mean itself is asked for",
            lambda f, g: F.normalize(pool(f, g), dim=1),
        ),
        Slip(
            "(B, C, 1, 1): leave keepdim out",
            lambda f, g: pool(f, g)[..., None, None],
        ),
        Slip(_EMPTY, lambda f, g: _weighted(f, g) / g.sum(dim=(2, 3))),
    ],
    hints=[
        "A weighted mean: the weights are the mask. Sum over the grid above and below the line.",
        "`(F_s * G_s).sum(dim=(2, 3))` over `G_s.sum(dim=(2, 3))`; `.clamp_min(1e-5)` below the "
        "line turns 0 / 0 into 0.",
    ],
)


# 2.4 ----------------------------------------------------------------------------------------------


def cosine_map(E_q: torch.Tensor, prototype: torch.Tensor) -> torch.Tensor:
    """The cosine of every query pixel with one vector, (B, D, h, w) and (B, D) -> (B, 1, h, w).

    0 where a vector is zero.
    """
    p = prototype[:, :, None, None]
    lengths = torch.linalg.vector_norm(E_q, dim=1) * torch.linalg.vector_norm(p, dim=1)
    return ((E_q * p).sum(dim=1) / lengths.clamp_min(1e-5))[:, None]


def _cosine_map_loop(E_q: Tensor, prototype: Tensor) -> Tensor:
    B, _, h, w = E_q.shape
    out = torch.zeros(B, 1, h, w, dtype=torch.float64)
    for b in range(B):
        for i in range(h):
            for j in range(w):
                a, p = E_q[b, :, i, j].double(), prototype[b].double()
                lengths = float(a.norm() * p.norm())
                out[b, 0, i, j] = float(a @ p) / lengths if lengths > 1e-10 else 0.0
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


_LENGTHS = "values over 1: did you normalise? Divide by both lengths"
_ZERO = "NaN or infinity where a vector is zero: an empty mask's prototype relates to nothing, 0"

COSINE_MAP = Exercise(
    id="2.4",
    title="the cosine map of a prototype",
    reference=cosine_map,
    spec=_cosine_map_loop,
    tiny=[(torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]]), torch.tensor([[4.0, 3.0]]))],
    draw=_query,
    invariances=[
        Invariance(
            "a longer vector is no closer: the map must not change with a vector's length",
            lambda fn, E, p: close(fn(100 * E, p), fn(E, p)) and close(fn(E, 9 * p), fn(E, p)),
        ),
        Invariance(
            "one episode's map changes with the rest of the batch",
            lambda fn, E, p: close(fn(E[:1], p[:1]), fn(E, p)[:1]),
        ),
    ],
    edges=[Edge(_with_zeros(), _ZERO)],
    differentiable=(0, 1),
    slips=[
        Slip(_LENGTHS, _dots),
        Slip("divided by the query's lengths only", lambda E, p: _dots(E, p) / _length(E)),
        Slip(
            "divided by the prototype's length only",
            lambda E, p: _dots(E, p) / _length(p)[..., None, None],
        ),
        Slip(
            "the channel is gone: (B, h, w), expected (B, 1, h, w)",
            lambda E, p: cosine_map(E, p)[:, 0],
        ),
        Slip(
            "a value for each channel: sum over the channels",
            lambda E, p: E * p[:, :, None, None] / _length(E) / _length(p)[..., None, None],
        ),
        Slip("that is 1 - cosine, a distance: alike is near 1", lambda E, p: 1 - cosine_map(E, p)),
        Slip(
            "lost the sign: opposite vectors relate by -1",
            lambda E, p: cosine_map(E, p).abs(),
        ),
        Slip(
            "min-max is equation 6: the cosine itself is asked for",
            lambda E, p: _stretched(cosine_map(E, p)),
        ),
        Slip(
            "softmax is for attention weights: the cosine itself is asked for",
            lambda E, p: cosine_map(E, p).flatten(2).softmax(dim=2).view(len(E), 1, *E.shape[2:]),
        ),
        Slip("the first episode's prototype for all", lambda E, p: cosine_map(E, p[:1])),
        Slip(
            "the map is flat: keep the grid, (B, 1, h, w)",
            lambda E, p: cosine_map(E, p).flatten(2),
        ),
        Slip(_ZERO, lambda E, p: _dots(E, p) / (_length(E) * _length(p)[..., None, None])),
        Slip(_LENGTHS, when=lambda out, expected, E, p: out.abs().max() > 1.001),
    ],
    hints=[
        "A dot product at every pixel and two lengths; give the prototype the grid's dimensions.",
        "`prototype[:, :, None, None]` broadcasts over the grid. Sum over dim=1 for the dot "
        "product, `torch.linalg.vector_norm(..., dim=1)` for lengths, `.clamp_min(1e-5)` below.",
    ],
)


def _stretched(x: Tensor) -> Tensor:
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    return (x - low) / (high - low)


EXERCISES = (TO_GRID, MASKED, POOL, COSINE_MAP)
