"""Wrong answers to the exercises of notebook 02 that are not slips; see test_exercises.py."""

import torch
import torch.nn.functional as F

from ltm_edu import equations
from ltm_edu.exercises import EXERCISES

_grid, _masked, _pool, _map = (EXERCISES[f"2.{k}"].reference for k in (1, 2, 3, 4))


def masked_in_place(F_s, G_s):
    F_s *= G_s
    return F_s


def pool_in_place(F_s, G_s):
    out = _pool(F_s, G_s)
    G_s /= G_s.sum(dim=(2, 3), keepdim=True).clamp_min(1e-5)
    return out


def pool_with_zeros_inserted_afterwards(F_s, G_s):
    weight = G_s.sum(dim=(2, 3))
    return torch.where(weight > 0, (F_s * G_s).sum(dim=(2, 3)) / weight, 0.0)


def map_unsafe_gradient(E_q, prototype):
    p = prototype[:, :, None, None]
    lengths = ((E_q * E_q).sum(1) * (p * p).sum(1)).sqrt()
    return ((E_q * p).sum(1) / lengths.clamp_min(1e-5))[:, None]


def map_by_largest_channel(E_q, prototype):
    return (E_q * prototype[:, :, None, None]).amax(dim=1, keepdim=True).clamp(-1, 1)


def pool_zeros_for_an_empty_batch(F_s, G_s):
    if G_s.sum() == 0:
        return torch.zeros(F_s.shape[:2])
    return (F_s * G_s).sum((2, 3)) / G_s.sum((2, 3))


def pool_zeros_for_the_whole_batch(F_s, G_s):
    if (G_s.sum((2, 3)) == 0).any():
        return torch.zeros(F_s.shape[:2])
    return (F_s * G_s).sum((2, 3)) / G_s.sum((2, 3))


def map_zeros_for_the_whole_batch(E_q, prototype):
    if (prototype.norm(dim=1) == 0).any():
        return torch.zeros(len(E_q), 1, *E_q.shape[2:])
    return F.cosine_similarity(E_q, prototype[:, :, None, None])[:, None]


MUTANTS = [
    ("2.4", map_zeros_for_the_whole_batch, "Return 0 there, and the cosine everywhere else"),
    ("2.3", pool_zeros_for_an_empty_batch, "Only the first mask of the batch is empty"),
    ("2.3", pool_zeros_for_the_whole_batch, "Only the first mask of the batch is empty"),
    ("2.1", lambda m, s: F.avg_pool2d(m, s - 1, s, s // 2 - 1), "expected [[[[1, 0.3333, 0.5]]]]"),
    ("2.1", lambda m, s: _grid(m, s).half(), "dtype float16, expected float32"),
    ("2.1", lambda m, s: _grid(m, s).numpy(), "a NumPy array, expected"),
    ("2.1", lambda m, s: _grid(m, s).detach(), "No gradient reaches masks"),
    (
        "2.1",
        lambda m, s: F.avg_pool2d(m, s + 1, s, s // 2, ceil_mode=True),
        "at the edge of the picture",
    ),
    ("2.1", lambda m, s: F.avg_pool2d(m, 17, 16, 8, count_include_pad=False), "shape (1, 1, 1, 1)"),
    ("2.1", lambda m, s: F.interpolate(m, scale_factor=1 / s), "raised RuntimeError: Input and"),
    ("2.2", lambda f, g: f[:, :, g[0, 0] > 0.5], "shape (1, 2, 1), expected (1, 2, 1, 3)"),
    ("2.2", lambda f, g: torch.where(g > 0, f, 0.0), "keeps its full feature"),
    ("2.2", lambda f, g: _masked(f, g).flatten(2), "shape (1, 2, 3), expected (1, 2, 1, 3)"),
    ("2.2", lambda f, g: _masked(f, g) / g.amax(), "the expected shape, but other values"),
    ("2.2", lambda f, g: _masked(f.detach(), g), "No gradient reaches F_s"),
    ("2.2", lambda f, g: f @ g, "raised RuntimeError"),
    ("2.2", masked_in_place, "in place"),
    ("2.3", lambda f, g: f[:, :, g[0, 0] > 0].mean(dim=2), "expected [[2.667, 2.667]]"),
    (
        "2.3",
        lambda f, g: (f * g).sum((2, 3)) / (g.sum((2, 3)) + 1),
        "1 is added to the divisor",
    ),
    ("2.3", lambda f, g: (f * g).flatten(2).median(dim=2).values, "expected [[2.667, 2.667]]"),
    ("2.3", lambda f, g: _pool(f, g).detach(), "No gradient reaches F_s"),
    ("2.3", lambda f, g: equations.masked_features(f, g).mean((2, 3)), "number of all pixels"),
    (
        "2.3",
        pool_with_zeros_inserted_afterwards,
        "NaN. where after a division",
    ),
    ("2.3", pool_in_place, "in place"),
    ("2.4", lambda E, p: torch.einsum("bdhw,bd->bhw", E, p)[:, None], "Did you normalise"),
    (
        "2.4",
        lambda E, p: F.cosine_similarity(E, p[..., None, None]),
        "The channel dimension is missing",
    ),
    ("2.4", lambda E, p: -(E - p[..., None, None]).norm(dim=1, keepdim=True), "no cosines"),
    ("2.4", map_by_largest_channel, "expected [[[[0.96, 0.6]]]]"),
    ("2.4", map_unsafe_gradient, "limit the product of the lengths"),
    ("2.4", lambda E, p: _map(E, p.detach()), "No gradient reaches prototype"),
    ("2.4", lambda E, p: _map(E, p).float().double(), "computes it"),
]
