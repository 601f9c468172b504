"""Exercises of notebook 00, the start: a score that skips void, and a mask out of a map."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

# 0.1 ----------------------------------------------------------------------------------------------


def iou(predicted: torch.Tensor, truth: torch.Tensor) -> float:
    """Intersection over union of the object, over the pixels that count.

    predicted is (H, W) bool, truth (H, W) of 0, 1 and 255; 255 never counts. Where neither mask
    shows an object there was nothing to find and nothing was claimed: 1.0.
    """
    counts = truth != 255
    intersection = (predicted & (truth == 1) & counts).sum()
    union = ((predicted | (truth == 1)) & counts).sum()
    return (intersection / union).item() if union > 0 else 1.0


def _iou_loop(predicted: Tensor, truth: Tensor) -> float:
    intersection = union = 0
    for p, t in zip(predicted.flatten().tolist(), truth.flatten().tolist(), strict=True):
        if t != 255:
            intersection += bool(p and t == 1)
            union += bool(p or t == 1)
    return intersection / union if union else 1.0


def _labels(g: torch.Generator) -> tuple[Tensor, Tensor]:
    predicted = torch.rand(8, 9, generator=g) < 0.5
    truth = torch.tensor([0, 1, 255], dtype=torch.uint8)[torch.randint(3, (8, 9), generator=g)]
    return predicted, truth


def _ratio(part: Tensor, whole: Tensor) -> float:
    return (part.sum() / whole.sum()).item()


def _iou_of(p: Tensor, t: Tensor) -> float:
    return _ratio(p & t, p | t)


def _counted(p: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return p[t != 255], t[t != 255] == 1


def _dice(p: Tensor, t: Tensor) -> float:
    p, t = _counted(p, t)
    return (2 * (p & t).sum() / (p.sum() + t.sum())).item()


def _mean_of_both(p: Tensor, t: Tensor) -> float:
    p, t = _counted(p, t)
    return (_iou_of(p, t) + _iou_of(~p, ~t)) / 2


_NOTHING = torch.zeros(2, 2, dtype=torch.bool)
_EMPTY = "nothing to find and nothing claimed: 0 / 0 is taken for 1.0 here"

IOU = Exercise(
    id="0.1",
    title="IoU that skips the void",
    reference=iou,
    spec=_iou_loop,
    tiny=[
        (
            torch.tensor([[True, True, False, True]]),
            torch.tensor([[1, 0, 1, 255]], dtype=torch.uint8),
        )
    ],
    draw=_labels,
    invariances=[
        Invariance(
            "what is predicted on a void pixel changes the score",
            lambda fn, p, t: abs(fn(p | (t == 255), t) - fn(p & (t != 255), t)) < 1e-6,
        )
    ],
    edges=[
        Edge((~_NOTHING, torch.ones(2, 2, dtype=torch.uint8)), "a perfect mask scores 1"),
        Edge((~_NOTHING, torch.zeros(2, 2, dtype=torch.uint8)), "no overlap scores 0"),
        Edge((_NOTHING, torch.zeros(2, 2, dtype=torch.uint8)), _EMPTY),
        Edge((~_NOTHING, torch.full((2, 2), 255, dtype=torch.uint8)), _EMPTY),
    ],
    slips=[
        Slip(
            "255 counted as background: leave those pixels out of intersection and union",
            lambda p, t: _iou_of(p, t == 1),
        ),
        Slip(
            "& and | on the labels themselves work bit by bit (255 | True is 255): ask where truth "
            "is 1 first",
            lambda p, t: _iou_of(p, t),
        ),
        Slip(
            "255 counted as object: it is neither object nor background",
            lambda p, t: _iou_of(p, t > 0),
        ),
        Slip(
            "that is the share of right pixels (accuracy): empty background would score high",
            lambda p, t: torch.eq(*_counted(p, t)).float().mean().item(),
        ),
        Slip("that is Dice: IoU does not count the intersection twice", _dice),
        Slip(
            "intersection over the truth (recall): predicting everything would score 1",
            lambda p, t: _ratio(p & (t == 1), t == 1),
        ),
        Slip(
            "intersection over the prediction (precision): one right pixel would score 1",
            lambda p, t: _ratio(p & (t == 1), p & (t != 255)),
        ),
        Slip("the mean of object and background: the object alone is asked for", _mean_of_both),
        Slip("in percent, expected 0 to 1", lambda p, t: 100 * _iou_loop(p, t)),
        Slip(_EMPTY, lambda p, t: _iou_of(*_counted(p, t))),
    ],
    hints=[
        "Leave out the pixels where truth is 255 first; then count two sets of pixels.",
        "`counts = truth != 255`, `true = truth == 1`; the intersection is "
        "`predicted & true & counts`, the union `(predicted | true) & counts`. A union of 0 is a "
        "case of its own.",
    ],
)


# 0.2 ----------------------------------------------------------------------------------------------


def to_mask(A_hat: torch.Tensor, size: tuple[int, int], threshold: float) -> torch.Tensor:
    """An attention map as a mask: resize it bilinearly (corners aligned), then compare.

    A_hat is (B, 1, h, w) in [0, 1], size is (H, W); returns (B, H, W) bool, True above threshold.
    """
    on_image = torch.nn.functional.interpolate(A_hat, size, mode="bilinear", align_corners=True)
    return on_image[:, 0] > threshold


def _to_mask_loop(A_hat: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    (B, _, h, w), (H, W) = A_hat.shape, size
    mask = torch.zeros(B, H, W, dtype=torch.bool)
    for b in range(B):
        for y in range(H):
            for x in range(W):
                v, u = y * (h - 1) / max(H - 1, 1), x * (w - 1) / max(W - 1, 1)
                top, left = min(int(v), h - 1), min(int(u), w - 1)
                low, right = min(top + 1, h - 1), min(left + 1, w - 1)
                a, c, grid = v - top, u - left, A_hat[b, 0]
                upper = (1 - c) * grid[top, left] + c * grid[top, right]
                lower = (1 - c) * grid[low, left] + c * grid[low, right]
                mask[b, y, x] = (1 - a) * upper + a * lower > threshold
    return mask


def _attention(g: torch.Generator) -> tuple[Tensor, tuple[int, int], float]:
    return torch.rand(2, 1, 3, 4, generator=g, dtype=torch.float64), (7, 11), 0.6


def _resized(A_hat: Tensor, size: tuple[int, int], **how: object) -> Tensor:
    return F.interpolate(A_hat, size, **(how or {"mode": "bilinear", "align_corners": True}))[:, 0]


TO_MASK = Exercise(
    id="0.2",
    title="from attention map to mask",
    reference=to_mask,
    spec=_to_mask_loop,
    tiny=[(torch.tensor([[[[0.0, 1.0]]]]), (1, 5), 0.6)],
    draw=_attention,
    edges=[
        Edge((torch.eye(2)[None, None], (3, 3), 1.0), "nothing lies above 1: an empty mask"),
        Edge((torch.full((1, 1, 2, 2), 0.5), (3, 3), 0.0), "all of it lies above 0: a full mask"),
    ],
    slips=[
        Slip(
            "compared first, resized after: the outline keeps the grid's blocks",
            lambda A, size, t: _resized(A.gt(t).to(A.dtype), size) > 0.5,
        ),
        Slip(
            "resized to the nearest cell: ask for mode='bilinear'",
            lambda A, size, t: _resized(A, size, mode="nearest") > t,
        ),
        Slip(
            "corners not aligned: add align_corners=True",
            lambda A, size, t: _resized(A, size, mode="bilinear", align_corners=False) > t,
        ),
        Slip(
            "inside out: the object lies above the threshold",
            lambda A, size, t: _resized(A, size) < t,
        ),
        Slip(
            "(W, H): size is height first",
            lambda A, size, t: _resized(A, size[::-1]) > t,
        ),
        Slip(
            "the resized map itself: compare it with the threshold",
            lambda A, size, t: _resized(A, size),
        ),
        Slip(
            "0 and 1 as numbers, expected a mask of bool: the comparison alone gives one",
            lambda A, size, t: (_resized(A, size) > t).to(A.dtype),
        ),
        Slip(
            "the channel is still there: (B, 1, H, W), expected (B, H, W)",
            lambda A, size, t: _resized(A, size)[:, None] > t,
        ),
        Slip(
            "the threshold is fixed: use the argument",
            lambda A, size, t: _resized(A, size) > 0.5,
        ),
    ],
    hints=[
        "Two steps, and their order matters: make the map as large as the image, then compare.",
        "torch.nn.functional.interpolate(A_hat, size, mode='bilinear', align_corners=True) "
        "is (B, 1, H, W); take channel 0, then `> threshold`.",
    ],
)

EXERCISES = (IOU, TO_MASK)
