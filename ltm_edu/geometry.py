"""Between image pixels and the feature grid: masks down, maps up.

Where a side has 16 k + 1 pixels (321, 225) a stride-16 backbone with symmetric padding centres its
cell i on pixel 16 i. Masks and maps then follow that exactly; at any other size they are resized
bilinearly, as the released code does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def mask_to_grid(masks: Tensor, grid: Sequence[int], stride: int = 16) -> Tensor:
    """Bring masks to the feature grid as soft values: how much of a cell the object covers.

    Args:
        masks: (B, 1, H, W), values in [0, 1].
        grid: (h, w).
        stride: image pixels per cell.

    Returns:
        (B, 1, h, w), values in [0, 1].

    >>> left = torch.zeros(1, 1, 33, 33); left[..., :17] = 1
    >>> mask_to_grid(left, (3, 3))[0, 0, 1].round(decimals=2)
    tensor([1.0000, 0.5300, 0.0000])
    """
    if _is_centred(masks.shape[-2:], grid, stride):
        return F.avg_pool2d(masks, stride + 1, stride, stride // 2, count_include_pad=False)
    return F.interpolate(masks, tuple(grid), mode="bilinear", align_corners=False).clamp(0, 1)


def map_to_image(M: Tensor, size: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Bring the decoder's map, `stride` times larger than the grid, to the image's size.

    Args:
        M: (B, 2, h', w') logits over the grid's area.
        size: (H, W) of the image that the backbone saw.
        grid: (h, w) of the features.

    Returns:
        (B, 2, H, W).
    """
    stride = M.shape[-1] // grid[-1]
    if stride > 1 and _is_centred(size, grid, stride):
        edge = stride // 2
        return M[..., edge : edge + size[0], edge : edge + size[1]]
    return F.interpolate(M, tuple(size), mode="bilinear", align_corners=False)


def resize_logits(M: Tensor, size: Sequence[int]) -> Tensor:
    """Stretch a map of the resized square image to the original picture's (H, W)."""
    return F.interpolate(M, tuple(size), mode="bilinear", align_corners=False)


def stretched_rows(M: np.ndarray, size: Sequence[int], rows: int = 64) -> Iterator[np.ndarray]:
    """What `resize_logits` gives, in bands of rows: a large picture needs no large map.

    Args:
        M: (C, h, w) float32.
        size: (H, W) of the picture.
        rows: of a band; the last one may have fewer.

    Yields:
        (C, rows, W) float32, from the top down.
    """

    def places(length: int, of: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.clip((np.arange(length) + 0.5) * (of / length) - 0.5, 0, of - 1)
        before = at.astype(int)
        return before, np.minimum(before + 1, of - 1), (at - before).astype(np.float32)

    (above, below, down), (left, right, across) = map(places, size, M.shape[1:])
    wide = M[..., left] * (1 - across) + M[..., right] * across
    for top in range(0, size[0], rows):
        band = slice(top, top + rows)
        weight = down[band, None]
        yield wide[:, above[band]] * (1 - weight) + wide[:, below[band]] * weight


def image_tensor(image: Image.Image, size: int) -> Tensor:
    """A picture resized to a square, as (3, size, size) in [0, 1]."""
    resized = image.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized, dtype=np.float32) / 255).permute(2, 0, 1)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Class ids resized to a square by the nearest pixel, (size, size) uint8."""
    picture = Image.fromarray(mask)
    return np.array(picture.resize((size, size), Image.Resampling.NEAREST), dtype=np.uint8)


def _is_centred(size: Sequence[int], grid: Sequence[int], stride: int) -> bool:
    return all(s == stride * (g - 1) + 1 for s, g in zip(size, grid, strict=True))
