"""Exercises of notebook 00, the start: IoU without void pixels, and a mask from a map."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..store.pictures import VOID
from .common import at_scales
from .exercise import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

# 0.1 ----------------------------------------------------------------------------------------------


def iou(predicted: torch.Tensor, truth: torch.Tensor) -> float:
    """Intersection over union of the object, over the pixels that count.

    predicted is (H, W) bool, truth (H, W) of 0, 1 and 255; 255 never counts. Two empty masks
    agree: their IoU is 1.
    """
    counted = truth != 255
    intersection = (predicted & (truth == 1) & counted).sum()
    union = ((predicted | (truth == 1)) & counted).sum()
    return (intersection / union).item() if union > 0 else 1.0


def _iou_loop(predicted: Tensor, truth: Tensor) -> float:
    intersection = union = 0
    for p, t in zip(predicted.flatten().tolist(), truth.flatten().tolist(), strict=True):
        if t != VOID:
            intersection += bool(p and t == 1)
            union += bool(p or t == 1)
    return intersection / union if union else 1.0


def _labels(g: torch.Generator) -> tuple[Tensor, Tensor]:
    predicted = torch.rand(8, 9, generator=g) < 0.5
    truth = torch.tensor([0, 1, VOID], dtype=torch.uint8)[torch.randint(3, (8, 9), generator=g)]
    return predicted, truth


def _ratio(numerator: Tensor, divisor: Tensor) -> float:
    return (numerator.sum() / divisor.sum()).item()


def _iou_of(p: Tensor, t: Tensor) -> float:
    return _ratio(p & t, p | t)


def _counted(p: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return p[t != VOID], t[t != VOID] == 1


def _dice(p: Tensor, t: Tensor) -> float:
    p, t = _counted(p, t)
    return (2 * (p & t).sum() / (p.sum() + t.sum())).item()


def _mean_of_both(p: Tensor, t: Tensor) -> float:
    p, t = _counted(p, t)
    return (_iou_of(p, t) + _iou_of(~p, ~t)) / 2


def _large() -> tuple[Tensor, Tensor]:
    """Two masks with more than 65,504 pixels, the largest number in half precision."""
    predicted, truth = torch.zeros(2, 320, 320)
    predicted[:280], truth[40:] = 1, 1
    return predicted.bool(), truth.to(torch.uint8)


_EMPTY_MASK = torch.zeros(2, 2, dtype=torch.bool)
_BOTH_EMPTY = (
    "Both masks are empty over the pixels that count. Two empty masks agree, so their IoU is 1."
)

IOU = Exercise(
    id="0.1",
    title="IoU without the pixels labelled 255",
    reference=iou,
    spec=_iou_loop,
    tiny=[
        (
            torch.tensor([[True, True, False, True]]),
            torch.tensor([[1, 0, 1, VOID]], dtype=torch.uint8),
        )
    ],
    draw=_labels,
    invariances=[
        Invariance(
            "The prediction on a void pixel must not change the score.",
            lambda fn, p, t: abs(fn(p | (t == VOID), t) - fn(p & (t != VOID), t)) < 1e-6,
        )
    ],
    edges=[
        Edge((~_EMPTY_MASK, torch.ones(2, 2, dtype=torch.uint8)), "A perfect mask must score 1."),
        Edge(
            (~_EMPTY_MASK, torch.zeros(2, 2, dtype=torch.uint8)),
            "Without overlap the score must be 0.",
        ),
        Edge((_EMPTY_MASK, torch.zeros(2, 2, dtype=torch.uint8)), _BOTH_EMPTY),
        Edge((~_EMPTY_MASK, torch.full((2, 2), VOID, dtype=torch.uint8)), _BOTH_EMPTY),
        Edge(_large(), "A picture has many pixels. Count them exactly, in integers or in float32."),
    ],
    slips=[
        Slip(
            "255 is counted as background. Leave these pixels out of the intersection and of the "
            "union.",
            lambda p, t: _iou_of(p, t == 1),
        ),
        Slip(
            "On numbers, & and | work bit by bit (255 | True is 255). Compute `truth == 1` first "
            "and use that.",
            lambda p, t: _iou_of(p, t),
        ),
        Slip(
            "255 is counted as object. It is neither object nor background: leave these pixels "
            "out.",
            lambda p, t: _iou_of(p, t > 0),
        ),
        Slip(
            "This is the accuracy, the share of correct pixels. It is high for an empty mask, "
            "too. Divide the intersection by the union.",
            lambda p, t: torch.eq(*_counted(p, t)).float().mean().item(),
        ),
        Slip(
            "Python computes & and | before ==, so `predicted & truth == 1` means `(predicted & "
            "truth) == 1`. Write `predicted & (truth == 1)`.",
            lambda p, t: _ratio(p & t == 1, p | t == 1),
        ),
        Slip(
            "This is the Dice score, which counts the intersection twice. Divide the intersection "
            "by the union.",
            _dice,
        ),
        Slip(
            "The divisor is the sum of both masks, which counts the intersection twice. Divide by "
            "the union, where each pixel counts once.",
            lambda p, t: _dice(p, t) / 2,
        ),
        Slip(
            "This is the recall: the intersection is divided by the truth. Divide by the union.",
            lambda p, t: _ratio(p & (t == 1), t == 1),
        ),
        Slip(
            "This is the precision: the intersection is divided by the prediction. Divide by the "
            "union.",
            lambda p, t: _ratio(p & (t == 1), p & (t != VOID)),
        ),
        Slip(
            "This is the mean over object and background. Return the IoU of the object alone.",
            _mean_of_both,
        ),
        Slip(
            "This is a percentage. Return a number from 0 to 1.", lambda p, t: 100 * _iou_loop(p, t)
        ),
        Slip(_BOTH_EMPTY, lambda p, t: _iou_of(*_counted(p, t))),
    ],
    hints=[
        "First leave out the pixels where truth is 255. Then count the pixels of two sets: the "
        "intersection and the union.",
        "`counted = truth != 255`, `is_object = truth == 1`; the intersection is `predicted & "
        "is_object & counted`, the union `(predicted | is_object) & counted`. Where the union is "
        "0, return 1.0.",
    ],
)


# 0.2 ----------------------------------------------------------------------------------------------


def to_mask(A_hat: torch.Tensor, size: tuple[int, int], threshold: float) -> torch.Tensor:
    """Turn an attention map into a mask: resize it (bilinear, corners aligned), then compare.

    A_hat is (B, 1, h, w) in [0, 1], size is (H, W); returns (B, H, W) bool, True above threshold.
    """
    resized = torch.nn.functional.interpolate(A_hat, size, mode="bilinear", align_corners=True)
    return resized[:, 0] > threshold


def _to_mask_loop(A_hat: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    (B, _, h, w), (H, W) = A_hat.shape, size
    mask = torch.zeros(B, H, W, dtype=torch.bool)
    for b in range(B):
        for y in range(H):
            for x in range(W):
                v, u = y * (h - 1) / max(H - 1, 1), x * (w - 1) / max(W - 1, 1)
                top, left = min(int(v), h - 1), min(int(u), w - 1)
                bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
                a, c, grid = v - top, u - left, A_hat[b, 0]
                upper = (1 - c) * grid[top, left] + c * grid[top, right]
                lower = (1 - c) * grid[bottom, left] + c * grid[bottom, right]
                mask[b, y, x] = (1 - a) * upper + a * lower > threshold
    return mask


def _attention(g: torch.Generator) -> tuple[Tensor, tuple[int, int], float]:
    return torch.rand(2, 1, 3, 4, generator=g, dtype=torch.float64), (7, 11), 0.6


def _resized(A_hat: Tensor, size: tuple[int, int], **options: object) -> Tensor:
    return F.interpolate(A_hat, size, **(options or {"mode": "bilinear", "align_corners": True}))[
        :, 0
    ]


TO_MASK = Exercise(
    id="0.2",
    title="from attention map to mask",
    reference=to_mask,
    spec=_to_mask_loop,
    tiny=[(torch.tensor([[[[0.0, 1.0]]]]), (1, 5), 0.6)],
    draw=_attention,
    edges=[
        Edge(
            (torch.eye(2)[None, None], (3, 3), 1.0), "No value is above 1: the mask must be empty."
        ),
        Edge(
            (torch.full((1, 1, 2, 2), 0.5), (3, 3), 0.0),
            "All values are above 0: the mask must be full.",
        ),
        Edge(
            (1e-3 * torch.eye(2)[None, None], (3, 3), 2e-4),
            "The values may be small. Compare them as they are, without rounding.",
        ),
    ],
    extremes=[
        (A, size, f * t)
        for f in (1e-6, 1e-3)
        for A, size, t in at_scales(_attention, 0, factors=(f,))
    ],
    slips=[
        Slip(
            "You compare with >=. A value that is equal to the threshold is not above it: use >.",
            lambda A, size, t: _resized(A, size) >= t,
        ),
        Slip(
            "You compare first and resize afterwards, so the values of the coarse map are lost "
            "before they can be resized. Resize first.",
            lambda A, size, t: _resized(A.gt(t).to(A.dtype), size) > 0.5,
        ),
        Slip(
            "You compare first and resize afterwards, and every pixel near a marked cell becomes "
            "True. Resize first.",
            lambda A, size, t: _resized(A.gt(t).to(A.dtype), size) > 0,
        ),
        Slip(
            "Each pixel has the value of the nearest cell. Use mode='bilinear'.",
            lambda A, size, t: _resized(A, size, mode="nearest") > t,
        ),
        Slip(
            "The corners are not aligned. Use align_corners=True.",
            lambda A, size, t: _resized(A, size, mode="bilinear", align_corners=False) > t,
        ),
        Slip(
            "The mask is inverted. The object is where the map is above the threshold.",
            lambda A, size, t: _resized(A, size) < t,
        ),
        Slip(
            "The mask is inverted. The object is where the map is above the threshold.",
            lambda A, size, t: _resized(A, size) <= t,
        ),
        Slip(
            "The mask has the size (W, H). In `size` the height comes first.",
            lambda A, size, t: _resized(A, size[::-1]) > t,
        ),
        Slip(
            "This is the resized map itself. Compare it with the threshold.",
            lambda A, size, t: _resized(A, size),
        ),
        Slip(
            "The mask holds the numbers 0 and 1. Return a mask of dtype bool; the comparison "
            "alone gives one.",
            lambda A, size, t: (_resized(A, size) > t).to(A.dtype),
        ),
        Slip(
            "The shape is (B, 1, H, W), expected (B, H, W). Remove the channel dimension.",
            lambda A, size, t: _resized(A, size)[:, None] > t,
        ),
        *(
            Slip(
                f"The threshold in your code is {fixed}, whatever the argument. Use `threshold`.",
                lambda A, size, t, fixed=fixed: _resized(A, size) > fixed,
            )
            for fixed in (0.5, 0.6)
        ),
    ],
    hints=[
        "There are two steps, and their order matters. First resize the map to the image size, "
        "then compare it with the threshold.",
        "torch.nn.functional.interpolate(A_hat, size, mode='bilinear', align_corners=True) is (B, "
        "1, H, W). Take channel 0, then `> threshold`.",
    ],
)

EXERCISES = (IOU, TO_MASK)
