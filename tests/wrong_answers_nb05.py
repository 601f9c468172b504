"""Wrong answers to the exercises of notebook 05 that are not slips; see test_exercises.py."""

import torch

from ltm_edu import equations


def in_place(A):
    A -= A.amin(1, keepdim=True)
    return A / A.amax(1, keepdim=True).clamp_min(1e-5)


def with_zeros_inserted_afterwards(A):
    low, high = A.amin(1, keepdim=True), A.amax(1, keepdim=True)
    return torch.where(high > low, (A - low) / (high - low), 0)


def ones_for_a_constant(A):
    low, high = A.amin(1, keepdim=True), A.amax(1, keepdim=True)
    return (A - low) / (high - low).clamp_min(1e-5) + (high == low).to(A.dtype)


def grid(T, A):
    return A.reshape(len(A), 1, *T.shape[2:])


def zeros_where_any_map_is_constant(A):
    low, high = A.amin(1, keepdim=True), A.amax(1, keepdim=True)
    return torch.zeros_like(A) if (low == high).any() else (A - low) / (high - low)


MUTANTS = [
    ("5.1", zeros_where_any_map_is_constant, "It must become zeros, and the second one 0 and 1"),
    ("5.1", in_place, "in place"),
    ("5.1", with_zeros_inserted_afterwards, "NaN. where after a division"),
    ("5.1", ones_for_a_constant, "its result must be zeros"),
    ("5.1", lambda A: equations.normalize_attention(A.flatten()[None])[0], "shape (6,), expect"),
    ("5.1", lambda A: equations.normalize_attention(A, eps=0.5), "expected [[0, 0.25, 1], [1, 0,"),
    ("5.1", lambda A: equations.normalize_attention(A).detach(), "No gradient reaches A"),
    ("5.1", lambda A: equations.normalize_attention(A) ** 2, "expected [[0, 0.25, 1], [1, 0,"),
    ("5.1", lambda A: torch.nn.functional.normalize(A, dim=1), "expected [[0, 0.25, 1], [1, 0,"),
    ("5.2", lambda A, t: A.amin(1, keepdim=True) + t * (A.amax(1) - A.amin(1)), "shape (2, 2)"),
    ("5.2", lambda A, t: A.median(dim=1).values, "expected [1.5, -1]"),
    ("5.2", lambda A, t: A.mean(1) + t * A.std(1), "expected [1.5, -1]"),
    ("5.2", lambda A, t: A.gt(t), "dtype bool, expected float32"),
    ("5.2", lambda A, t: (A.amin(1) + t * (A.amax(1) - A.amin(1))).detach(), "No gradient reaches"),
    ("5.2", lambda A, t: A.amin(1) + 0.25 * (A.amax(1) - A.amin(1)), "(on random input)"),
    ("5.3", lambda T, A: T * A, "raised RuntimeError"),
    ("5.3", lambda T, A: (T * grid(T, A)).abs(), "expected [[[[1, 0], [0, 2]]]]"),
    ("5.3", lambda T, A: T.relu() * grid(T, A).sqrt(), "expected [[[[1, 0], [0, 2]]]]"),
    ("5.3", lambda T, A: T.relu() * grid(T, A).detach(), "No gradient reaches A_hat"),
    ("5.3", lambda T, A: T.relu() * grid(T, A).flip(2), "expected [[[["),
    ("5.3", lambda T, A: torch.relu_(T) * grid(T, A), "in place"),
]  # fmt: skip
