"""SBD's masks, read from their .mat files."""

from __future__ import annotations

import io

import numpy as np

from ..store.errors import InputError
from .voc import VOC_CLASSES


def mask_of_mat(content: bytes, name: str) -> np.ndarray:
    """The mask in the bytes of a .mat file: (H, W) uint8, 0 background, 1 to 20 classes.

    No code in the file is run. An error calls the file `name`.

    Raises:
        InputError: it is not a .mat file, or its content is not a mask of SBD.
    """
    from scipy.io import loadmat

    try:
        mask = loadmat(io.BytesIO(content), variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # SciPy raises many kinds of error for a damaged file
        kind = type(error).__name__
        raise InputError(f"{name} cannot be read as one of SBD's masks ({kind})") from None
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8 or mask.ndim != 2:
        raise InputError(f"{name} is not one of SBD's masks: Segmentation is no table of 8-bit ids")
    if mask.size == 0 or mask.max() > len(VOC_CLASSES):
        raise InputError(
            f"{name} is not one of SBD's masks: its ids go up to {mask.max(initial=0)}, theirs to "
            f"{len(VOC_CLASSES)}"
        )
    return mask
