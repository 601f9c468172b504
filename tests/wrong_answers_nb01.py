"""Wrong answers to the exercises of notebook 01 that are not slips; see test_exercises.py."""

import torch

from ltm_edu.exercises import EXERCISES
from ltm_edu.store.pictures import VOID

_object, _novel, _grid, _pick = (EXERCISES[f"1.{k}"].reference for k in (1, 2, 3, 4))


def object_in_place(mask, class_id):
    out = _object(mask, class_id)
    mask[mask == VOID] = 0
    return out


def object_clamped(mask, class_id):
    void = mask == VOID
    out = torch.clamp(mask.int() - class_id + 1, 0, 1).to(torch.uint8)  # right for lower ids only
    out[void] = VOID
    return out


def grid_in_place(mask, n_classes):
    out = _grid(mask, n_classes)
    mask[mask == VOID] = 0
    return out


def pick_with_a_new_shuffle(order, shows, query, shots):
    shuffled = torch.randperm(len(order), generator=torch.Generator().manual_seed(5))
    return _pick(order[shuffled], shows, query, shots)


def pick_with_repeats(order, shows, query, shots):
    first = _pick(order, shows, query, 1)
    return first.repeat(shots)


MUTANTS = [
    ("1.1", lambda m, c: m == c, "dtype bool, expected uint8"),
    ("1.1", lambda m, c: _object(m, c).long(), "dtype int64, expected uint8"),
    ("1.1", lambda m, c: _object(m, c)[None], "shape (1, 1, 4), expected (1, 4)"),
    ("1.1", lambda m, c: _object(m, c).numpy(), "computes it"),
    ("1.1", lambda m, c: torch.clamp(m, max=1), "Every number above 0 became 1, and void as well"),
    ("1.1", lambda m, c: _object(m, 3), "all pixels show the class"),
    ("1.1", object_in_place, "in place"),
    ("1.1", object_clamped, "expected [[0, 1, 0, 255]]"),
    ("1.2", lambda f, n: list(range(5 * f + 1, 5 * f + 6)), "a list, expected a torch.Tensor"),
    ("1.2", lambda f, n: _novel(f, n).float(), "dtype float32, expected int64"),
    ("1.2", lambda f, n: _novel(f, n).flip(0), "[10, 9, 8, 7, 6], expected [6, 7, 8, 9, 10]"),
    (
        "1.2",
        lambda f, n: torch.arange(f * n // 4 + 1, (f + 1) * n // 4 + 1),
        "expected [3, 7]",
    ),
    ("1.2", lambda f, n: torch.arange(f, n, 4) + 1, "The classes are interleaved. With 20"),
    (
        "1.2",
        lambda f, n: _novel(f, n) if n in (20, 8) else _novel(f, 80),
        "The result has shape (20,), expected (3,).",
    ),
    (
        "1.2",
        lambda f, n: _novel(f, n) if n > 10 or n == 8 else _novel(f, 8),
        "The result has shape (2,), expected (3,).",
    ),
    ("1.3", lambda m, n: _grid(m, n).long(), "dtype int64, expected bool"),
    ("1.3", lambda m, n: _grid(m.T, n)[:-1], "shape (1,), expected (2,)"),
    ("1.3", lambda m, n: _grid(m[16:, 16:], n), "[False, False], expected [True, False]"),
    ("1.3", lambda m, n: torch.stack([(m == c).sum() > 2048 for c in range(1, n + 1)]), "area"),
    ("1.3", lambda m, n: bool(_grid(m, n).any()), "a bool, expected a torch.Tensor"),
    ("1.3", lambda m, n: _grid(torch.where(m == VOID, 1, m), n), "expected [False, "),
    ("1.3", grid_in_place, "in place"),
    ("1.4", lambda o, s, q, k: _pick(o, s, q, k).tolist(), "a list, expected"),
    ("1.4", lambda o, s, q, k: _pick(o, s, q, k + 1), "shape (3,), expected (2,)"),
    ("1.4", lambda o, s, q, k: s.nonzero()[:, 0][:k], "[0, 1], expected [4, 3]"),
    ("1.4", lambda o, s, q, k: _pick(o, s, q, k).flip(0), "[3, 4], expected [4, 3]"),
    ("1.4", pick_with_repeats, "[4, 4], expected [4, 3]"),
    ("1.4", pick_with_a_new_shuffle, "expected [4, 3]"),
]
